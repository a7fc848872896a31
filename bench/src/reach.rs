//! The ways to a service: the HTTP proxy to an instance on the devnet.
//!
//! The emulated daemon and the instance are a process of their own. This process holds the proxy and its clients, so that its
//! memory is theirs.

pub(crate) mod far;

use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use golem_sdk::NetworkId;
use golem_sdk::reach::{HttpProxy, Target, Targets};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use yagna_api::AppKey;
use yagna_client::{Client, HttpTransport};

use crate::program::AS;
use crate::{Failure, peak_memory};

/// The value of [`AS`] that makes this program the daemon and the instance.
pub(crate) const FAR: &str = "far";

/// Clients at a time that ask for something small.
const CLIENTS: usize = 16;
/// The time for which small things are asked for.
const ASKING: Duration = Duration::from_secs(5);
/// A large body.
const LARGE: usize = 100_000_000;
/// Upgraded connections at a time.
const SOCKETS: usize = 1000;
/// The time for which they are idle: longer than a daemon bears the silence of a client.
const IDLE: Duration = Duration::from_secs(15);

/// Measures all of it.
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
pub(crate) async fn measure() -> Result<(), Failure> {
    raise_file_limit();
    let (_far, place, client, targets) = begin().await?;
    let proxy = HttpProxy::bind(0, client, targets).await?;
    let at = proxy.local_addr();
    println!("memory_before {:.1} MiB", memory());
    println!("small_requests_direct {:.0} /s", small(place).await?);
    println!("small_requests {:.0} /s", small(at).await?);
    println!("peak_memory_small_requests {:.1} MiB", memory());
    forget_peak()?;
    println!("download_direct {:.0} MB/s", download(place).await?);
    println!("download {:.0} MB/s", download(at).await?);
    println!("peak_memory_download {:.1} MiB", memory());
    forget_peak()?;
    println!("upload_direct {:.0} MB/s", upload(place).await?);
    println!("upload {:.0} MB/s", upload(at).await?);
    println!("peak_memory_upload {:.1} MiB", memory());
    forget_peak()?;
    let (opening, cpu) = sockets(at).await?;
    println!("idle_sockets {SOCKETS} sockets");
    println!("opened_within {:.1} s", opening.as_secs_f64());
    println!("peak_memory_sockets {:.1} MiB", memory());
    println!("cpu_while_idle {:.1} %", cpu * 100.0);
    proxy.shutdown(Duration::from_secs(1)).await;
    Ok(())
}

/// Starts the other process, and finds its instance: the process, the instance's own address, a client, and the targets.
async fn begin() -> Result<(Child, SocketAddr, Client, Targets), Failure> {
    let mut far = Command::new(std::env::current_exe()?)
        .env(AS, FAR)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut line = String::new();
    BufReader::new(far.stdout.take().ok_or("no output")?).read_line(&mut line).await?;
    let words: Vec<_> = line.split_whitespace().collect();
    let [url, key, network, ip, place] = words[..] else {
        return Err(format!("the other process said `{line}`").into());
    };
    let transport = HttpTransport::new(&url.parse()?, &AppKey::new(key))?;
    let targets = Targets::new();
    targets.set([Target::new("instance", NetworkId::new(network), ip.parse()?, 80)]);
    Ok((far, place.parse()?, Client::new(Arc::new(transport)), targets))
}

/// Small requests a second.
async fn small(at: SocketAddr) -> Result<f64, Failure> {
    let mut clients = JoinSet::new();
    let began = Instant::now();
    for _ in 0..CLIENTS {
        clients.spawn(async move {
            let mut stream = Http::connect(at).await?;
            let mut answered = 0_u32;
            while began.elapsed() < ASKING {
                stream.ask("GET /small HTTP/1.1\r\nhost: x\r\n\r\n").await?;
                answered += 1;
            }
            Ok::<_, Failure>(answered)
        });
    }
    let mut all = 0;
    while let Some(answered) = clients.join_next().await {
        all += answered??;
    }
    Ok(f64::from(all) / began.elapsed().as_secs_f64())
}

/// Megabytes a second of a large response.
async fn download(at: SocketAddr) -> Result<f64, Failure> {
    let mut stream = Http::connect(at).await?;
    let began = Instant::now();
    let length = stream.ask(&format!("GET /{LARGE} HTTP/1.1\r\nhost: x\r\n\r\n")).await?;
    rate(length, began)
}

/// Megabytes a second of a large request.
async fn upload(at: SocketAddr) -> Result<f64, Failure> {
    let mut stream = Http::connect(at).await?;
    let began = Instant::now();
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {LARGE}\r\n\r\n");
    stream.0.write_all(head.as_bytes()).await?;
    let piece = vec![7; 64 * 1024];
    let mut left = LARGE;
    while left > 0 {
        let count = left.min(piece.len());
        stream.0.write_all(&piece[..count]).await?;
        left -= count;
    }
    stream.ask("").await?;
    rate(LARGE, began)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn rate(bytes: usize, began: Instant) -> Result<f64, Failure> {
    if bytes != LARGE {
        return Err(format!("{bytes} bytes came").into());
    }
    Ok(bytes as f64 / 1e6 / began.elapsed().as_secs_f64())
}

/// Opens idle connections of bytes: the time for opening them, and the share of a processor that they need.
async fn sockets(at: SocketAddr) -> Result<(Duration, f64), Failure> {
    let began = Instant::now();
    let mut open = Vec::new();
    for _ in 0..SOCKETS {
        let mut stream = Http::connect(at).await?;
        stream
            .ask("GET /socket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: bytes\r\n\r\n")
            .await?;
        open.push(stream.0);
    }
    let opening = began.elapsed();
    let (began, cpu) = (Instant::now(), cpu_time()?);
    sleep(IDLE).await;
    let share = (cpu_time()? - cpu) / began.elapsed().as_secs_f64();
    for stream in &mut open {
        stream.write_all(b"x").await?;
        if stream.read_u8().await? != b'x' {
            return Err("a socket said something else".into());
        }
    }
    Ok((opening, share))
}

/// A connection that speaks as little HTTP as is needed.
struct Http(BufReader<TcpStream>);

impl Http {
    async fn connect(at: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::with_capacity(8 * 1024, stream)))
    }

    /// Sends a request and reads its response, whose length it gives.
    async fn ask(&mut self, request: &str) -> Result<usize, Failure> {
        self.0.write_all(request.as_bytes()).await?;
        let (status, length) = far::head(&mut self.0).await?;
        if !status.contains(" 200 ") && !status.contains(" 101 ") {
            return Err(format!("the response was `{status}`").into());
        }
        let mut left = length;
        while left > 0 {
            let count = self.0.fill_buf().await?.len().min(left);
            if count == 0 {
                return Err("the response broke off".into());
            }
            self.0.consume(count);
            left -= count;
        }
        Ok(length)
    }
}

/// The time that this process has spent on processors, in seconds.
fn cpu_time() -> Result<f64, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = stat.rsplit_once(')').ok_or("/proc/self/stat is in another form")?;
    let ticks: Vec<f64> = rest.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

fn memory() -> f64 {
    peak_memory().unwrap_or(f64::NAN) / 1024.0
}

/// Lets the peak of memory begin anew.
fn forget_peak() -> Result<(), Failure> {
    Ok(fs::write("/proc/self/clear_refs", "5")?)
}

/// As many open files as the system lets this process have.
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Without it, the connections that can't be opened say so.
    // Fewer connections are opened where this fails.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).ok();
}
