//! The other end: an emulated daemon with a network, and an instance in it that speaks as little HTTP as is needed.

use std::net::SocketAddr;

use golem_devnet::clock::DevnetClock;
use golem_devnet::node::{Delays, World};
use golem_devnet::port::Port as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy, stdin};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use yagna_api::net::{AddNode, CreateNetwork, NewNetwork, Node};
use yagna_client::{Client, InProcessTransport};

use crate::Failure;

/// The address of the instance in its network.
const IP: &str = "192.168.0.2";

/// Serves until the process that started this one goes away, and says on the standard output where.
#[expect(clippy::print_stdout, reason = "who started this reads it there")]
pub(crate) async fn serve() -> Result<(), Failure> {
    super::raise_file_limit();
    let world = World::new(DevnetClock::real(), 1, Delays::none());
    let requestor = world.add_requestor("bench");
    let provider = world.add_provider("provider");
    let client = Client::new(std::sync::Arc::new(InProcessTransport::new(world.router(), &requestor.key)?));
    let new = NewNetwork { ip: "192.168.0.0/24".into(), mask: None, gateway: None };
    let network = client.call(&CreateNetwork(new)).await?.id;
    let node = Node { id: provider.node(), ip: IP.into() };
    client.call(&AddNode { network: network.clone(), node }).await?;
    let instance = TcpListener::bind("127.0.0.1:0").await?;
    let daemon = TcpListener::bind("127.0.0.1:0").await?;
    let place: SocketAddr = instance.local_addr()?;
    world.expose_tcp(&provider.node(), 80, place);
    println!("http://{} {} {network} {IP} {place}", daemon.local_addr()?, requestor.key.expose());
    // The pipe ends with the process that holds its other end.
    let (mut pipe, mut nowhere) = (stdin(), tokio::io::sink());
    tokio::select! {
        served = world.serve(daemon, CancellationToken::new()) => Ok(served?),
        served = be_the_instance(instance) => served,
        ended = copy(&mut pipe, &mut nowhere) => Ok(ended.map(drop)?),
    }
}

async fn be_the_instance(listener: TcpListener) -> Result<(), Failure> {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        connections.spawn(async move {
            // The other end may go away at any time.
            drop(answer(BufReader::new(stream)).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers the requests of one connection.
async fn answer(mut stream: BufReader<TcpStream>) -> Result<(), Failure> {
    let zeros = vec![0; 64 * 1024];
    loop {
        let (request, length) = head(&mut stream).await?;
        let mut body = (&mut stream).take(length as u64);
        copy(&mut body, &mut tokio::io::sink()).await?;
        let path = request.split(' ').nth(1).unwrap_or_default();
        if path == "/socket" {
            let consent = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: bytes\r\n\r\n";
            stream.write_all(consent.as_bytes()).await?;
            let mut byte = [0];
            while stream.read_exact(&mut byte).await.is_ok() {
                stream.write_all(&byte).await?;
            }
            return Ok(());
        }
        let mut left = path.trim_start_matches('/').parse().unwrap_or(2);
        let small = if left == 2 { "ok" } else { "" };
        let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {left}\r\n\r\n{small}");
        stream.write_all(response.as_bytes()).await?;
        left -= small.len();
        while left > 0 {
            let count = left.min(zeros.len());
            stream.write_all(&zeros[..count]).await?;
            left -= count;
        }
    }
}

/// The first line of a message, and the length of its body.
pub(super) async fn head(stream: &mut BufReader<TcpStream>) -> Result<(String, usize), Failure> {
    let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
    if stream.read_line(&mut first).await? == 0 {
        return Err("the connection has ended".into());
    }
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse()?;
            }
            Some(_) => {}
            None => return Ok((first.trim_end().to_owned(), length)),
        }
    }
}
