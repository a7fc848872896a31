//! Network cards of machines in namespaces, and the requestor's own end of a network.
//!
//! A network card is a TAP device: whoever holds its descriptor reads and writes the Ethernet frames. A device can only be
//! opened by a process in the namespace, and no tool of the system passes on what it opened. So a script of a few
//! lines opens it, in Perl or Python, whichever is there; the kernel then gives us a copy of the descriptor
//! (`pidfd_getfd`, which asks for no right that we don't have over our own child). In the same way we get sockets that
//! belong to a namespace, and connect them ourselves.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{MTU, Place};
use crate::tools::{PATH, find};

/// The name of the network card inside.
const CARD: &str = "eth0";
/// For a tool to do its work, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two attempts to connect to an address where nobody answers yet.
const PAUSE: Duration = Duration::from_millis(200);

// Both scripts open the device and print `tap` and its number; then they make a socket for each line that they read, and
// print the line and its number. The last socket stays open until the next one is there. The numbers are `TUNSETIFF`,
// `IFF_TAP | IFF_NO_PI`, `SO_KEEPALIVE`, `TCP_KEEPIDLE`, `TCP_KEEPINTVL` and `TCP_USER_TIMEOUT`: a peer that vanishes is
// given up after the time that Golem's daemon has for that.
const PERL: &str = r#"$| = 1;
open(my $tap, "+<", "/dev/net/tun") or die "/dev/net/tun: $!\n";
my $request = pack("a16 S x22", $ARGV[0], 0x1002);
ioctl($tap, 0x400454ca, $request) or die "a TAP device: $!\n";
print "tap ", fileno($tap), "\n";
my $last;
while (my $line = <STDIN>) {
    chomp $line;
    socket(my $socket, 2, 1, 0) or die "a socket: $!\n";
    setsockopt($socket, $$_[0], $$_[1], pack("i", $$_[2])) for [1, 9, 1], [6, 4, 30], [6, 5, 30], [6, 18, 120000];
    $last = $socket;
    print "$line ", fileno($last), "\n";
}
"#;
const PYTHON: &str = r#"import fcntl, os, socket, struct, sys
try:
    tap = os.open("/dev/net/tun", os.O_RDWR)
except OSError as error:
    sys.exit("/dev/net/tun: " + error.strerror)
try:
    fcntl.ioctl(tap, 0x400454ca, struct.pack("16sH22x", sys.argv[1].encode(), 0x1002))
except OSError as error:
    sys.exit("a TAP device: " + error.strerror)
print("tap", tap, flush=True)
last = None
for line in iter(sys.stdin.readline, ""):
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    for level, name, value in ((1, 9, 1), (6, 4, 30), (6, 5, 30), (6, 18, 120000)):
        made.setsockopt(level, name, value)
    last = made
    print(line.strip(), last.fileno(), flush=True)
"#;

/// The tools that make network cards, found and tried out once.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    unshare: PathBuf,
    nsenter: PathBuf,
    ip: PathBuf,
    script: Script,
}

/// The program that opens devices, and what it is called with.
#[derive(Debug, Clone)]
struct Script {
    program: PathBuf,
    args: &'static [&'static str],
    text: &'static str,
}

/// A machine's network card. What is written to it arrives at the machine, and the machine's own frames are read.
///
/// Dropping it removes the card from the machine.
#[derive(Debug)]
pub struct Tap(AsyncFd<OwnedFd>);

/// The requestor's own end of a network: a namespace with an address, and sockets in it.
#[derive(Debug)]
pub(crate) struct Gate {
    tap: Arc<Tap>,
    opener: Mutex<Opener>,
}

/// The reasons why a connection into a network doesn't stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GateError {
    /// The machine is there, but nothing listens at the port.
    Refused,
    /// Nobody answered in time.
    Silent,
}

/// A process in a namespace that opens a device, and then sockets.
#[derive(Debug)]
struct Opener {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// The number of sockets that it was asked for.
    asked: u64,
}

impl Tools {
    /// Finds them and tries them out, at the first call in this process; the error says what is missing.
    pub(crate) async fn get() -> Result<Self, String> {
        static FOUND: OnceCell<Result<Tools, String>> = OnceCell::const_new();
        let look = async {
            let tools = Self::find(&["perl", "python3"])?;
            Gate::open(&tools, Ipv4Addr::new(192, 168, 0, 1), 24).await.map(|_| tools)
        };
        FOUND.get_or_init(|| Box::pin(look)).await.clone()
    }

    fn find(languages: &[&str]) -> Result<Self, String> {
        let tool = |name: &str, package: &str| {
            find(name).ok_or_else(|| format!("`{name}` of {package} is not installed"))
        };
        let script = languages.iter().find_map(|language| {
            let program = find(language)?;
            Some(match *language {
                "perl" => Script { program, args: &["-e"], text: PERL },
                _ => Script { program, args: &["-I", "-S", "-c"], text: PYTHON },
            })
        });
        Ok(Self {
            unshare: tool("unshare", "util-linux")?,
            nsenter: tool("nsenter", "util-linux")?,
            ip: tool("ip", "iproute2")?,
            script: script.ok_or_else(|| "neither `perl` nor `python3` is installed".to_owned())?,
        })
    }

    /// A command that runs a tool in the user and the network namespace of a process.
    fn enter(&self, process: Pid, program: &PathBuf) -> Command {
        let mut command = Command::new(&self.nsenter);
        command
            .arg(format!("--target={}", process.as_raw_nonzero()))
            .args(["--user", "--net", "--preserve-credentials", "--"])
            .arg(program);
        command
    }

    /// Makes a network card in the namespace of a machine, with its address in each of the networks.
    pub(crate) async fn card(&self, machine: Pid, places: &[Place]) -> Result<Tap, String> {
        let addresses: Vec<_> = places.iter().map(|place| (place.address, place.prefix)).collect();
        let (_, tap) = self.open(self.enter(machine, &self.script.program), &addresses).await?;
        Ok(tap)
    }

    /// Opens a device in the namespace that `command` enters, and gives it addresses.
    async fn open(
        &self,
        mut command: Command,
        addresses: &[(Ipv4Addr, u8)],
    ) -> Result<(Opener, Tap), String> {
        command.args(self.script.args).args([self.script.text, CARD]);
        let mut opener = Opener::start(command)?;
        let device = opener.take("tap").await?;
        let tap = Tap::new(device).map_err(|error| error.to_string())?;
        self.configure(opener.process()?, addresses).await?;
        Ok((opener, tap))
    }

    async fn configure(&self, process: Pid, addresses: &[(Ipv4Addr, u8)]) -> Result<(), String> {
        let mut lines = "link set lo up\n".to_owned();
        let write = |lines: &mut String, line: std::fmt::Arguments<'_>| {
            lines.write_fmt(line).expect("writing into a string can't fail");
        };
        if let Some((first, _)) = addresses.first() {
            // As the machines of Golem's providers have it.
            let [a, b, c, d] = first.octets();
            write(
                &mut lines,
                format_args!("link set {CARD} address 90:13:{a:02x}:{b:02x}:{c:02x}:{d:02x} mtu {MTU}\n"),
            );
        }
        for (address, prefix) in addresses {
            write(&mut lines, format_args!("addr add {address}/{prefix} dev {CARD}\n"));
        }
        write(&mut lines, format_args!("link set {CARD} up\n"));
        let mut command = self.enter(process, &self.ip);
        command.args(["-batch", "-"]).env_clear().env("PATH", PATH);
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let work = async {
            let mut child = child?;
            let mut stdin = child.stdin.take().expect("stdin was piped");
            stdin.write_all(lines.as_bytes()).await?;
            drop(stdin);
            child.wait_with_output().await
        };
        match timeout(PATIENCE, work).await {
            Ok(Ok(done)) if done.status.success() => Ok(()),
            Ok(Ok(done)) => Err(format!("ip: {}", String::from_utf8_lossy(&done.stderr).trim())),
            Ok(Err(error)) => Err(format!("ip: {error}")),
            Err(_) => Err(format!("`ip` took more than {PATIENCE:?}")),
        }
    }
}

impl Opener {
    fn start(mut command: Command) -> Result<Self, String> {
        let spawned = command
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.map_err(|error| error.to_string())?;
        let stdin = child.stdin.take().expect("stdin was piped");
        let lines = BufReader::new(child.stdout.take().expect("stdout was piped")).lines();
        Ok(Self { child, stdin, lines, asked: 0 })
    }

    fn process(&self) -> Result<Pid, String> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        id.ok_or_else(|| "the process that opens devices has ended".to_owned())
    }

    /// Takes a copy of the descriptor that it calls by this name.
    async fn take(&mut self, name: &str) -> Result<OwnedFd, String> {
        let process = self.process()?;
        loop {
            let line = match timeout(PATIENCE, self.lines.next_line()).await {
                Ok(Ok(Some(line))) => line,
                Ok(Ok(None)) => return Err(self.last_words().await),
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err(format!("a device took more than {PATIENCE:?}")),
            };
            // A socket whose taker went away comes before ours.
            let Some(number) = line.strip_prefix(name).and_then(|rest| rest.trim().parse().ok()) else {
                continue;
            };
            let copy = pidfd_open(process, PidfdFlags::empty())
                .and_then(|process| pidfd_getfd(process, number, PidfdGetfdFlags::empty()));
            return copy.map_err(|error| format!("the kernel gives no copy of a descriptor: {error}"));
        }
    }

    /// The message with which it ended.
    async fn last_words(&mut self) -> String {
        let mut said = Vec::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            drop(timeout(Duration::from_secs(1), stderr.read_to_end(&mut said)).await);
        }
        let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
        if said.is_empty() { "the tools gave no reason".to_owned() } else { said }
    }

    /// Makes a socket in the namespace.
    async fn socket(&mut self) -> Result<OwnedFd, String> {
        self.asked += 1;
        let name = format!("{} ", self.asked);
        self.stdin
            .write_all(format!("{}\n", self.asked).as_bytes())
            .await
            .map_err(|error| error.to_string())?;
        self.take(&name).await
    }
}

impl Tap {
    #[expect(
        deprecated,
        reason = "its successor is unsafe for descriptors that may change; an OwnedFd can't"
    )]
    fn new(device: OwnedFd) -> io::Result<Self> {
        fcntl_setfl(&device, fcntl_getfl(&device)? | OFlags::NONBLOCK)?;
        Ok(Self(AsyncFd::new(device)?))
    }

    /// Reads the next frame of the machine. Cancel safe.
    pub(crate) async fn read(&self, frame: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            let read = ready.try_io(|device| Ok(rustix::io::read(device.get_ref(), &mut *frame)?));
            if let Ok(read) = read {
                return read;
            }
        }
    }

    /// Hands a frame to the machine. A frame that it can't take is lost, as in any network.
    pub(crate) fn write(&self, frame: &[u8]) {
        if let Err(error) = rustix::io::write(self.0.get_ref(), frame) {
            tracing::trace!(%error, "a frame is lost");
        }
    }
}

impl Gate {
    /// Makes a namespace that has this address.
    pub(crate) async fn open(tools: &Tools, address: Ipv4Addr, prefix: u8) -> Result<Self, String> {
        let mut command = Command::new(&tools.unshare);
        command.args(["--user", "--map-root-user", "--net", "--"]).arg(&tools.script.program);
        let (opener, tap) = tools.open(command, &[(address, prefix)]).await?;
        Ok(Self { tap: Arc::new(tap), opener: Mutex::new(opener) })
    }

    /// Its network card.
    pub(crate) fn tap(&self) -> Arc<Tap> {
        Arc::clone(&self.tap)
    }

    /// Connects to an address in the network. Cancel safe.
    pub(crate) async fn connect(&self, to: SocketAddrV4, until: Instant) -> Result<TcpStream, GateError> {
        loop {
            let attempt = async {
                let socket = self.opener.lock().await.socket().await.map_err(io::Error::other)?;
                let socket = std::net::TcpStream::from(socket);
                socket.set_nonblocking(true)?;
                TcpSocket::from_std_stream(socket).connect(SocketAddr::V4(to)).await
            };
            match timeout_at(until, attempt).await {
                Ok(Ok(stream)) => {
                    // Small messages shall not wait for more to come; where that can't be set they come a little later.
                    drop(stream.set_nodelay(true));
                    return Ok(stream);
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    return Err(GateError::Refused);
                }
                // Nobody has answered yet who has that address: the kernel gives up sooner than Golem's daemon does.
                Ok(Err(error)) => {
                    tracing::debug!(%to, %error, "no connection into a virtual network yet");
                    if Instant::now() + PAUSE >= until {
                        tokio::time::sleep_until(until).await;
                        return Err(GateError::Silent);
                    }
                    sleep(PAUSE).await;
                }
                Err(_) => return Err(GateError::Silent),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each language in which the scripts are written works by itself.
    #[tokio::test]
    async fn a_card_and_sockets_are_had_in_either_language() {
        if let Err(reason) = Tools::get().await {
            eprintln!("not tested: no virtual networks here ({reason})");
            return;
        }
        for language in ["perl", "python3"] {
            let Ok(tools) = Tools::find(&[language]) else { continue };
            let gate = Gate::open(&tools, Ipv4Addr::new(10, 0, 0, 1), 8).await.unwrap();
            let until = Instant::now() + PATIENCE;
            let refused = gate.connect("10.0.0.1:1".parse().unwrap(), until).await;
            assert_eq!(refused.unwrap_err(), GateError::Refused, "{language}");
            // A question for another address appears on the card.
            let mut frame = [0; 2048];
            let asks = gate.connect("10.0.0.2:1".parse().unwrap(), until);
            let hears = async {
                loop {
                    let length = gate.tap.read(&mut frame).await.unwrap();
                    if super::super::frame::addresses(&frame[..length])
                        .is_some_and(|addresses| addresses.target == Ipv4Addr::new(10, 0, 0, 2))
                    {
                        return;
                    }
                }
            };
            tokio::select! {
                connected = asks => panic!("nobody is there: {connected:?}"),
                () = hears => {}
            }
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_said() {
        assert_eq!(Tools::find(&[]).unwrap_err(), "neither `perl` nor `python3` is installed");
        if let Ok(mut tools) = Tools::get().await {
            tools.script.args = &["-no-such-option"];
            let error = Gate::open(&tools, Ipv4Addr::LOCALHOST, 8).await.map(drop).unwrap_err();
            assert!(!error.is_empty() && error != "the tools gave no reason", "{error}");
        }
    }
}
