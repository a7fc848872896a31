//! A daemon that knows nothing but one kind of WebSocket, and looks at each frame as it is on the wire.

use std::sync::{Arc, Mutex};

use golem_sdk::NetworkId;
use golem_sdk::reach::{ReachError, Tunnel, TunnelConfig, connect_with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use yagna_api::AppKey;

use crate::ground::client;

pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A frame that came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) is_last: bool,
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
}

/// The frames that came, and a way to send some.
pub(crate) struct Strict {
    pub(crate) tunnel: Tunnel,
    pub(crate) frames: Arc<Mutex<Vec<Frame>>>,
    /// Frames for the client: kind and payload. The connection is cut when this is dropped.
    pub(crate) send: mpsc::Sender<(u8, Vec<u8>)>,
    _tasks: JoinSet<()>,
}

impl Strict {
    pub(crate) async fn open(config: &TunnelConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let frames = Arc::<Mutex<Vec<Frame>>>::default();
        let (send, orders) = mpsc::channel(1024);
        let mut tasks = JoinSet::new();
        let seen = Arc::clone(&frames);
        tasks.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            shake_hands(&mut stream).await;
            let (from, to) = stream.into_split();
            tokio::select! { () = read(from, seen) => {}, () = write(to, orders) => {} }
        });
        let client = client(&url, &AppKey::new("key"));
        let tunnel = connect(&client, config).await.unwrap();
        Self { tunnel, frames, send, _tasks: tasks }
    }

    pub(crate) fn count(&self, kind: u8) -> usize {
        self.frames.lock().unwrap().iter().filter(|frame| frame.kind == kind).count()
    }

    /// The number of data bytes that came.
    pub(crate) fn received(&self) -> usize {
        let frames = self.frames.lock().unwrap();
        frames.iter().filter(|frame| frame.kind == BINARY).map(|frame| frame.payload.len()).sum()
    }
}

async fn connect(client: &yagna_client::Client, config: &TunnelConfig) -> Result<Tunnel, ReachError> {
    connect_with(client, &NetworkId::new("n"), "192.168.0.2".parse().unwrap(), 80, config).await
}

async fn shake_hands(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
    });
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {}\r\n\r\n",
        derive_accept_key(key.unwrap().as_bytes())
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

async fn read(mut from: OwnedReadHalf, frames: Arc<Mutex<Vec<Frame>>>) {
    while let Ok(first) = from.read_u8().await {
        let second = from.read_u8().await.unwrap();
        assert_eq!(second & 0x80, 0x80, "a client masks");
        let length = match second & 0x7f {
            126 => usize::from(from.read_u16().await.unwrap()),
            127 => usize::try_from(from.read_u64().await.unwrap()).unwrap(),
            length => usize::from(length),
        };
        let mask = from.read_u32().await.unwrap().to_be_bytes();
        let mut payload = vec![0; length];
        from.read_exact(&mut payload).await.unwrap();
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        let frame = Frame { is_last: first & 0x80 != 0, kind: first & 0x0f, payload };
        frames.lock().unwrap().push(frame);
    }
}

async fn write(mut to: OwnedWriteHalf, mut orders: mpsc::Receiver<(u8, Vec<u8>)>) {
    while let Some((kind, payload)) = orders.recv().await {
        let mut frame = vec![0x80 | kind];
        match payload.len() {
            length @ 0..126 => frame.push(u8::try_from(length).unwrap()),
            length @ 126..=0xffff => {
                frame.push(126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        if to.write_all(&frame).await.is_err() {
            return;
        }
    }
}
