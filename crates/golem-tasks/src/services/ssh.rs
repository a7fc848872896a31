//! A shell on an instance: `ssh` of this machine, with this program as its proxy command.
//!
//! The key is made for the service and kept beside the database. It is put on the machine, and the machine's own keys are
//! read, by commands through the daemon, so that nobody is asked anything and nobody in between can be believed. The app key
//! travels in the environment and in no command line.

mod host;
mod key;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use golem_sdk::service::shell_word;
use tokio::process::Command;

use self::host::{Host, Said};
use self::key::Keys;
use super::connect::no_network;
use super::look::{Looking, Reached, machine, not_run, reach};
use crate::exit::{Exit, Failure};
use crate::options::Site;
use crate::signals::Stops;
use crate::store::Store;

/// The time for the preparations on the machine, which may have to wait for another command.
const PREPARING: Duration = Duration::from_secs(90);

/// The shell that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    /// The instance, or the service.
    pub(crate) name: String,
    /// The user on the machine.
    pub(crate) user: String,
    /// The port at which its ssh server listens.
    pub(crate) port: u16,
    /// A command in place of a shell.
    pub(crate) command: Vec<String>,
    /// The words for this program's `connect` beside the instance and the port.
    pub(crate) proxy_flags: Vec<String>,
    /// Variables for this program's `connect`.
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

#[derive(Debug, thiserror::Error)]
enum SshError {
    #[error("`ssh` can't be started")]
    NoSsh(#[source] std::io::Error),
    #[error("this program doesn't know its own path")]
    NoPath(#[source] std::io::Error),
}

/// `ssh`: opens a shell on an instance, or runs a command there. The exit code is that of `ssh`.
pub(crate) async fn ssh(
    looking: &Looking,
    shell: &Shell,
    site: impl FnOnce() -> Result<Site, Failure>,
) -> Result<Exit, Failure> {
    let store = Store::open_existing(&looking.dsn).await?;
    let reached = reach(&store, looking, &shell.name, site).await;
    store.close().await;
    let reached = reached?;
    let name = reached.info.name();
    if reached.info.network.is_none() || reached.info.address.is_none() {
        return Err(no_network(&name));
    }
    let mut stops = Stops::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
    let (keys, host) = tokio::select! {
        biased;
        () = stops.next() => return Ok(Exit::Cancelled),
        prepared = prepare(looking, shell, &reached) => prepared?,
    };
    let known_hosts = keys.know(&name, &host)?;
    let program =
        std::env::current_exe().map_err(|error| Failure::new(Exit::Bug, SshError::NoPath(error)))?;
    let words = words(shell, &name, &program, keys.private(), &known_hosts);
    let mut child = Command::new("ssh")
        .args(words)
        .envs(shell.environment.iter().map(|(name, value)| (name, value)))
        .spawn()
        .map_err(|error| Failure::new(Exit::Usage, SshError::NoSsh(error)).advise(key::INSTALL))?;
    loop {
        // What is typed goes to `ssh`, which decides itself what Ctrl+C means.
        tokio::select! {
            () = stops.next() => {}
            ended = child.wait() => {
                let ended = ended.map_err(|error| Failure::new(Exit::BrokeOff, SshError::NoSsh(error)))?;
                let code = ended.code().and_then(|code| u8::try_from(code).ok());
                return Ok(match code {
                    Some(0) => Exit::Done,
                    Some(code) => Exit::Command(code),
                    None => Exit::Cancelled,
                });
            }
        }
    }
}

/// Makes the keys of this machine and the other known to each other.
async fn prepare(looking: &Looking, shell: &Shell, reached: &Reached) -> Result<(Keys, Host), Failure> {
    let keys = Keys::of(&super::access::folder(&looking.dsn)?, &reached.row.run_id).await?;
    let script = host::script(keys.public(), &shell.user, shell.port);
    let ran = machine(reached)?.sh(&script, PREPARING).await.map_err(|error| not_run(reached, error))?;
    let said = Said { code: ran.code, stdout: &ran.stdout, stderr: &ran.stderr };
    let host = host::read(&said, &reached.info.name(), shell)?;
    Ok((keys, host))
}

/// The words for `ssh`.
fn words(shell: &Shell, name: &str, program: &Path, key: &Path, known_hosts: &Path) -> Vec<OsString> {
    let flags = shell.proxy_flags.iter().fold(String::new(), |flags, flag| flags + " " + &shell_word(flag));
    // A percent sign is ssh's own.
    let own = |text: &str| text.replace('%', "%%");
    // `ssh` puts an `exec` before it.
    let proxy = format!(
        "ProxyCommand={} connect {} %p{}",
        own(&shell_word(&program.to_string_lossy())),
        shell_word(name),
        own(&flags)
    );
    let quoted = |name: &str, path: &Path| format!("{name}=\"{}\"", own(&path.to_string_lossy()));
    let settings = [
        quoted("IdentityFile", key),
        "IdentitiesOnly=yes".to_owned(),
        "PreferredAuthentications=publickey".to_owned(),
        quoted("UserKnownHostsFile", known_hosts),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        format!("HostKeyAlias={name}"),
        "StrictHostKeyChecking=yes".to_owned(),
        "UpdateHostKeys=no".to_owned(),
        "CheckHostIP=no".to_owned(),
        // The network doesn't carry that the other end goes away.
        "ServerAliveInterval=15".to_owned(),
        "LogLevel=ERROR".to_owned(),
        proxy,
    ];
    // The user's own settings are made for other hosts.
    let mut words: Vec<OsString> = vec!["-F".into(), "/dev/null".into()];
    words.extend(settings.into_iter().flat_map(|setting| ["-o".into(), setting.into()]));
    words.extend(["-p".into(), shell.port.to_string().into(), "-l".into(), shell.user.clone().into()]);
    words.extend(["--".into(), name.into()]);
    if !shell.command.is_empty() {
        // As `ssh` itself does: the shell of the machine reads the words.
        words.push(shell.command.join(" ").into());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_in_a_command_line_and_nothing_is_asked() {
        let shell = Shell {
            name: "box".into(),
            user: "root".into(),
            port: 2222,
            command: vec!["echo".into(), "$HOME".into()],
            proxy_flags: vec!["--stack=it's 100%".into()],
            environment: vec![("YAGNA_APPKEY", "secret".into())],
        };
        let words = words(&shell, "box-1", Path::new("/opt/golem tasks"), Path::new("/k"), Path::new("/h"));
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        assert!(!words.iter().any(|word| word.contains("secret")));
        assert!(words.contains(&"StrictHostKeyChecking=yes".into()));
        assert!(words.contains(&"IdentityFile=\"/k\"".into()));
        let proxy = words.iter().find(|word| word.starts_with("ProxyCommand=")).unwrap();
        assert!(proxy.starts_with("ProxyCommand='/opt/golem tasks' connect "), "{proxy}");
        assert!(proxy.contains("100%%"), "{proxy}");
        assert_eq!(&words[words.len() - 3..], ["--", "box-1", "echo $HOME"]);
    }
}
