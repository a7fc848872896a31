//! The flags of the commands that reach ports of services: `forward`, `connect`, `ssh`.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};

use clap::Args as ClapArgs;

use super::services::Where;
use crate::exit::Failure;
use crate::options::DaemonChoice;
use crate::services::forward::Ports;
use crate::services::ssh::Shell;

pub(super) const FORWARD_EXAMPLES: &str = "\
Examples:
  golem-tasks forward db 5432
      Port 5432 of this machine leads to port 5432 of the instances of db.
  golem-tasks forward web-1 8080:80 8443:443
  golem-tasks forward db 0:5432
      The system chooses a free port, which is printed.

Each connection goes to the instance with the fewest connections. The network
doesn't carry the end of a connection; docs/services.md says what follows.";

pub(super) const SSH_EXAMPLES: &str = "\
Examples:
  golem-tasks ssh box
  golem-tasks ssh box-2 -- tail -f /var/log/messages

The image must have an ssh server that runs. Nothing else is set up: the key is
made for the service, and the machine's own key is read through the daemon. It
needs `ssh` and `ssh-keygen` on this machine. The exit code is that of `ssh`.";

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct ForwardFlags {
    /// The service, or one of its instances.
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// The port of the instances, and before it the port of this machine if it is another one; 0 lets the system choose.
    #[arg(value_name = "[LOCAL:]PORT", required = true, value_parser = ports)]
    pub(super) ports: Vec<Ports>,
    /// The address of this machine to listen at; 0.0.0.0 lets other machines in.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(super) address: IpAddr,
    #[command(flatten)]
    pub(super) place: Where,
}

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct ConnectFlags {
    /// The instance, or a service: its first instance that is ready.
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    /// The port of the instance.
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: u16,
    #[command(flatten)]
    pub(super) place: Where,
}

#[derive(Debug, Clone, ClapArgs)]
pub(super) struct SshFlags {
    /// The instance, or a service: its first instance that is ready.
    #[arg(value_name = "NAME")]
    name: String,
    /// A command instead of a shell.
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<String>,
    /// The user on the machine.
    #[arg(long, value_name = "NAME", default_value = "root", value_parser = user)]
    user: String,
    /// The port at which the machine's ssh server listens.
    #[arg(long, value_name = "PORT", default_value_t = 22, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    #[command(flatten)]
    pub(super) place: Where,
}

impl SshFlags {
    /// The shell that is meant. What names the daemon and the database goes to this program's own `connect` in the
    /// environment, which others can't see.
    pub(super) fn shell(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Shell, Failure> {
        let mut proxy_flags = Vec::new();
        let mut variables: Vec<(&'static str, OsString)> = Vec::new();
        if let Some(stack) = &self.place.stack {
            proxy_flags.push(format!("--stack={stack}"));
        }
        if let Some(dsn) = &self.place.dsn {
            variables.push(("GOLEM_TASKS_DSN", dsn.into()));
        }
        if self.place.site.is_devnet() {
            proxy_flags.push("--devnet".to_owned());
        } else if let (site, true) = self.place.site.keyless_site(environment)?
            && let DaemonChoice::Yagna { url, app_key, .. } = site.daemon
        {
            variables.push(("YAGNA_API_URL", url.into()));
            variables.push(("YAGNA_APPKEY", app_key.expose().into()));
        }
        Ok(Shell {
            name: self.name.clone(),
            user: self.user.clone(),
            port: self.port,
            command: self.command.clone(),
            proxy_flags,
            environment: variables,
        })
    }
}

/// Reads a port, or two.
fn ports(text: &str) -> Result<Ports, String> {
    let port = |text: &str| {
        let port = text.parse::<u16>();
        port.map_err(|_| format!("`{text}` is not a valid port: a port is a number up to 65535"))
    };
    let (local, remote) = match text.split_once(':') {
        Some((local, remote)) => (port(local)?, port(remote)?),
        None => (port(text)?, port(text)?),
    };
    if remote == 0 {
        return Err("port 0 of an instance can't be connected to".to_owned());
    }
    Ok(Ports { local, remote })
}

/// Reads the name of a user of a machine.
fn user(text: &str) -> Result<String, String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    let is_name = text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    if is_name && text.chars().all(is_part) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is not a valid name of a user"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_or_two_are_read() {
        assert_eq!(ports("80"), Ok(Ports { local: 80, remote: 80 }));
        assert_eq!(ports("8080:80"), Ok(Ports { local: 8080, remote: 80 }));
        assert_eq!(ports("0:80"), Ok(Ports { local: 0, remote: 80 }));
        for wrong in ["", "x", "80:", ":80", "65536", "1:2:3", "8080:0", "0", "-1"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_user_has_a_name_that_no_shell_reads_otherwise() {
        assert_eq!(user("web-data_1.x"), Ok("web-data_1.x".to_owned()));
        for wrong in ["", "-x", "a b", "a;b", "$(x)", "a/b", "1a"] {
            assert!(user(wrong).is_err(), "{wrong}");
        }
    }
}
