//! The ways to a service from the command line: ports that are forwarded, the standard streams, ssh.
//!
//! The daemon is a devnet in this process, and what listens on its provider is a program of this test.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use golem_devnet::devnet::Devnet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::stage::{Ended, Home, PATIENCE, Running, processes};

const SERVICES: &str = "[network]\n[service.box]\ncommand = \"exec COMMAND\"\n\
    image_url = \"http://registry.invalid/image\"\n\
    image_hash = \"9a3b5d67b0b27746283cb5f287c13eab1beaa12d92a9f536b747c7ae\"\n";
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// As it is in no command line.
const KEY_VARIABLE: &str = "YAGNA_APPKEY";

/// A service that is up, with one instance.
struct Up {
    home: Home,
    devnet: Devnet,
    api_url: String,
    up: Running,
    tasks: JoinSet<()>,
}

impl Up {
    async fn new() -> Self {
        Self::running("sleep 1000").await
    }

    /// With this program on the instance.
    async fn running(program: &str) -> Self {
        let home = Home::new();
        home.write("box.toml", SERVICES.replace("COMMAND", program));
        let devnet = Devnet::builder().providers(1).seed(7).start().await.unwrap();
        let api_url = format!("http://{}", devnet.listen(LOCAL).await.unwrap());
        let mut command = home.program(env!("CARGO_BIN_EXE_golem-tasks"));
        command
            .args(["up", home.path("box.toml").to_str().unwrap()])
            .args(["--settle-timeout", "1s"])
            .env("YAGNA_API_URL", &api_url)
            .env(KEY_VARIABLE, devnet.requestor().key.expose());
        let mut up = Running::start(command);
        up.says("box-1  ready").await;
        Self { home, devnet, api_url, up, tasks: JoinSet::new() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.program(env!("CARGO_BIN_EXE_golem-tasks"));
        let key = self.devnet.requestor().key.clone();
        command.args(words).env("YAGNA_API_URL", &self.api_url).env(KEY_VARIABLE, key.expose());
        command
    }

    async fn ends(&self, words: &[&str]) -> Ended {
        Running::start(self.command(words)).end().await
    }

    /// Lets an address of this machine be a port of the instance.
    fn expose(&self, port: u16, to: SocketAddr) {
        let provider = self.devnet.providers().next().unwrap();
        self.devnet.world().expose_tcp(provider.node(), port, to);
    }

    /// A program on the instance that says what it hears.
    async fn echo(&mut self, port: u16) {
        let listener = TcpListener::bind(LOCAL).await.unwrap();
        self.expose(port, listener.local_addr().unwrap());
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    // The other end may go away at any time.
                    drop(tokio::io::copy(&mut from, &mut to).await);
                });
            }
        });
    }

    async fn down(self) -> Home {
        self.up.interrupt();
        self.up.end().await.assert_code(130);
        self.devnet.stop().await;
        self.home
    }
}

/// The address that `forward` says it listens at.
fn listening(said: &str) -> SocketAddr {
    let line = said.lines().find(|line| line.contains(" leads to ")).unwrap();
    line.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn forwarded_ports_lead_to_the_instances_until_they_are_down() {
    let mut up = Up::new().await;
    up.echo(7).await;
    let mut forward = Running::start(up.command(&["forward", "box", "0:7"]));
    forward.says(" leads to box:7").await;
    let address = listening(&forward.said());
    assert!(address.ip().is_loopback());
    let (sent, mut heard) = (vec![b'x'; 300_000], vec![0; 300_000]);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let talk = async {
        let (mut from, mut to) = stream.split();
        let (written, read) = tokio::join!(to.write_all(&sent), from.read_exact(&mut heard));
        written.and_then(|()| read.map(drop))
    };
    timeout(PATIENCE, talk).await.unwrap().unwrap();
    assert_eq!(sent, heard);

    let port = address.port().to_string();
    let taken = up.ends(&["forward", "box-1", &format!("{port}:7")]).await;
    taken.assert_code(2);
    taken.assert_says(&[&format!("port {port} of this machine is in use"), "choose another local port"]);
    up.ends(&["forward", "web", "7"])
        .await
        .assert_says(&["`web` is not a service or an instance that is up"]);
    up.ends(&["forward", "box", "7:x"]).await.assert_says(&["`x` is not a valid port"]);

    let mut interrupted = Running::start(up.command(&["forward", "box", "0:7"]));
    interrupted.says(" leads to box:7").await;
    interrupted.interrupt();
    interrupted.end().await.assert_code(130);
    let _home = up.down().await;
    let ended = forward.end().await;
    ended.assert_code(0);
    ended.assert_says(&["box is down"]);
}

#[tokio::test]
async fn the_standard_streams_are_connected_and_a_refusal_is_told() {
    let mut up = Up::new().await;
    up.echo(7).await;
    let mut command = up.command(&["connect", "box", "7"]);
    command.stdin(Stdio::piped());
    let mut connected = Running::start(command);
    let mut input = connected.input();
    input.write_all(b"hello there\n").await.unwrap();
    input.flush().await.unwrap();
    connected.hears("hello there\n").await;
    drop(input);
    connected.end().await.assert_code(0);
    let refused = up.ends(&["connect", "box", "8"]).await;
    refused.assert_code(7);
    refused.assert_says(&[
        "nothing listens on 192.168.",
        ":8: start the program there",
        "golem-tasks logs box-1",
    ]);
    up.down().await;
}

#[tokio::test]
async fn ssh_says_what_is_missing_on_the_machine() {
    let up = Up::new().await;
    // Port 1 is nobody's. Commands of the devnet's machines are those of this one.
    let ended = up.ends(&["ssh", "box", "--port", "1"]).await;
    ended.assert_code(7);
    let has_server = sshd().is_some() || PathBuf::from("/usr/sbin/dropbear").exists();
    let expected = if has_server {
        "the ssh server of box-1 isn't running: nothing listens at its port 1"
    } else {
        "the image of box-1 has no ssh server"
    };
    ended.assert_says(&[expected]);
    up.ends(&["ssh", "box", "--user", "-x"]).await.assert_code(2);
    up.down().await;
}

/// Debian's server, where it is installed.
fn sshd() -> Option<PathBuf> {
    Some(PathBuf::from("/usr/sbin/sshd")).filter(|path| path.is_file())
}

/// The key of this machine's server, which the devnet's machines see too.
const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";

/// A server on this machine that lets in whom `authorized` names.
async fn start_sshd(home: &Home, program: &PathBuf) -> (Child, u16) {
    std::fs::create_dir_all("/run/sshd").unwrap();
    let free = std::net::TcpListener::bind(LOCAL).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let option = |name: &str, value: &str| format!("-o{name}={value}");
    let server = Command::new(program)
        .args(["-D", "-f", "/dev/null", "-p", &port.to_string(), "-h", HOST_KEY])
        .args([option("ListenAddress", "127.0.0.1"), option("PidFile", "none"), option("UsePAM", "no")])
        .args([option("StrictModes", "no"), option("PasswordAuthentication", "no")])
        .args([option("KbdInteractiveAuthentication", "no"), option("PermitRootLogin", "yes")])
        .arg(option("AuthorizedKeysFile", home.path("authorized").to_str().unwrap()))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let listens = async {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, listens).await.unwrap();
    (server, port)
}

#[tokio::test]
async fn ssh_needs_no_prompt_and_shows_no_key() {
    let is_root = rustix::process::geteuid().is_root();
    let Some(program) = sshd().filter(|_| is_root && PathBuf::from(HOST_KEY).is_file()) else {
        // Without a server there is nothing to log in to; `ssh_says_what_is_missing_on_the_machine` covers that.
        eprintln!("not root, or Debian's openssh-server is not set up: logging in was not tested");
        return;
    };
    // A server can't change its user inside of the devnet's machines, so it is outside of them. Something else listens there.
    let up = Up::running("python3 -m http.server 2222").await;
    let (_server, port) = start_sshd(&up.home, &program).await;
    up.expose(2222, (Ipv4Addr::LOCALHOST, port).into());
    let on_machine = ["ssh", "box", "--port", "2222", "--user", "root"];
    // The server is outside of the machine's own files: at first it knows nobody.
    up.home.write("authorized", "");
    let stranger = up.ends(&on_machine).await;
    stranger.assert_code(255);
    stranger.assert_says(&["Permission denied (publickey)"]);
    let key = up.ends(&["exec", "box", "--", "cat", "/root/.ssh/authorized_keys"]).await;
    assert!(
        key.out.starts_with("ssh-ed25519 ") && key.out.ends_with(" golem-tasks box.box\n"),
        "{}",
        key.out
    );
    assert_eq!(key.out.lines().count(), 1);
    up.home.write("authorized", &key.out);
    let ended = up.ends(&[&on_machine[..], &["--", "echo", "$((6 * 7))", ";", "exit", "3"]].concat()).await;
    ended.assert_code(3);
    assert_eq!(ended.out, "42\n", "{}", ended.err);

    // A key of its own, and files that nobody else can read.
    let folder = up.home.database().with_file_name("runs.db.services").join("ssh/box.box");
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(folder.clone()), mode(folder.join("id_ed25519"))), (0o700, 0o600));
    let secret = up.devnet.requestor().key.expose().to_owned();
    let mut command = up.command(&[&on_machine[..], &["--", "cat"]].concat());
    command.stdin(Stdio::piped());
    let mut cat = Running::start(command);
    let mut input = cat.input();
    input.write_all(b"meow\n").await.unwrap();
    cat.hears("meow\n").await;
    assert!(!processes("connect box-1").is_empty(), "the proxy command runs");
    assert!(processes(&secret).is_empty(), "the app key is in a command line");
    drop(input);
    cat.end().await.assert_code(0);

    // The machine is known by its own keys.
    let known = std::fs::read_to_string(folder.join("known_hosts.box-1")).unwrap();
    let key = std::fs::read_to_string(format!("{HOST_KEY}.pub")).unwrap();
    let key = key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    assert!(known.lines().any(|line| line == format!("box-1 {key}")), "{known}");
    up.down().await;
}
