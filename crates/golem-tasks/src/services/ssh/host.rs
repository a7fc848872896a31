//! The machine's side of ssh, seen and prepared by a script that runs there.

use golem_sdk::service::shell_word;

use super::Shell;
use crate::exit::{Exit, Failure};

/// A machine whose ssh server is ready.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// Its public keys, each as its kind and its text.
    pub(super) keys: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum HostError {
    #[error("the image of {name} has no ssh server")]
    NoServer { name: String },
    #[error("the ssh server of {name} isn't running: nothing listens at its port {port}")]
    NotRunning { name: String, port: u16 },
    #[error("{name} has no user `{user}`")]
    NoUser { name: String, user: String },
    #[error("the key of the ssh server of {name} can't be read there")]
    NoKey { name: String },
    #[error("{name} can't be prepared for ssh: {said}")]
    Failed { name: String, said: String },
}

/// A script that lets a key in for a user, and tells of the ssh server: a line each, `name value`.
pub(super) fn script(public: &str, user: &str, port: u16) -> String {
    SCRIPT
        .replace("{KEY}", &shell_word(public))
        .replace("{USER}", &shell_word(user))
        .replace("{PORT}", &port.to_string())
        .replace("{HEX}", &format!("{port:04X}"))
}

const SCRIPT: &str = r#"
key={KEY}; user={USER}
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin
home=$(sed -n "s/^$user:[^:]*:[^:]*:[^:]*:[^:]*:\([^:]*\):.*/\1/p" /etc/passwd 2>/dev/null | head -n 1)
[ -z "$home" ] && [ "$user" = root ] && home=/root
echo "home $home"
for server in sshd dropbear; do command -v $server >/dev/null 2>&1 && echo "server $server"; done
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q ':{HEX} [0-9A-F]*:0000 0A ' && echo "listens yes"
[ -n "$home" ] || exit 0
keys=$home/.ssh/authorized_keys
mkdir -p "$home/.ssh" && chmod 700 "$home/.ssh" || exit 1
grep -qxF "$key" "$keys" 2>/dev/null || echo "$key" >> "$keys" || exit 1
chmod 600 "$keys" || exit 1
[ "$user" = root ] || chown -R "$user" "$home/.ssh" || exit 1
found=$(ssh-keyscan -T 5 -p {PORT} 127.0.0.1 2>/dev/null | grep -v '^#' | cut -d ' ' -f 2,3)
[ -z "$found" ] && found=$(cat /etc/ssh/ssh_host_*_key.pub 2>/dev/null | cut -d ' ' -f 1,2)
[ -z "$found" ] && found=$(for file in /etc/dropbear/dropbear_*_host_key; do
    dropbearkey -y -f "$file" 2>/dev/null | grep '^ssh-\|^ecdsa-' | cut -d ' ' -f 1,2; done)
echo "$found" | while read -r kind text; do [ -n "$text" ] && echo "key $kind $text"; done
exit 0
"#;

/// The end of the script and its words.
#[derive(Debug, Default)]
pub(super) struct Said<'s> {
    pub(super) code: i32,
    pub(super) stdout: &'s str,
    pub(super) stderr: &'s str,
}

/// Reads what the script said.
pub(super) fn read(ran: &Said<'_>, name: &str, shell: &Shell) -> Result<Host, Failure> {
    let name = name.to_owned();
    let values = |of: &str| -> Vec<String> {
        let lines = ran.stdout.lines().filter_map(|line| line.split_once(' '));
        lines.filter(|(what, _)| *what == of).map(|(_, value)| value.trim().to_owned()).collect()
    };
    let failed = |error| Failure::new(Exit::BrokeOff, error);
    if ran.code != 0 {
        let said = ran.stderr.trim().lines().last().unwrap_or("its script failed").to_owned();
        return Err(failed(HostError::Failed { name, said }));
    }
    let runs = !values("listens").is_empty();
    if !runs && values("server").is_empty() {
        let advice = "put one into the image (`apk add openssh-server`, `apt-get install openssh-server`), and start it by \
                      the service's `init` or `command`; `golem-tasks exec` runs commands without one";
        return Err(failed(HostError::NoServer { name }).advise(advice));
    }
    if !runs {
        let advice = format!(
            "start it by the service's `init` in its file, such as `ssh-keygen -A && mkdir -p /run/sshd && /usr/sbin/sshd -p {}`, or \
             now by `golem-tasks exec`; --port names another port",
            shell.port
        );
        return Err(failed(HostError::NotRunning { name, port: shell.port }).advise(advice));
    }
    if values("home").iter().all(String::is_empty) {
        let error = HostError::NoUser { name, user: shell.user.clone() };
        return Err(failed(error).advise("--user names another user of the machine"));
    }
    let keys = values("key");
    if keys.is_empty() {
        let advice = "its keys are looked for by `ssh-keyscan` there and in /etc/ssh/ssh_host_*_key.pub: `ssh-keygen -A` makes them";
        return Err(failed(HostError::NoKey { name }).advise(advice));
    }
    Ok(Host { keys })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn shell() -> Shell {
        Shell {
            name: "box".into(),
            user: "root".into(),
            port: 22,
            command: Vec::new(),
            proxy_flags: Vec::new(),
            environment: Vec::new(),
        }
    }

    fn read_of(stdout: &str) -> Result<Host, Failure> {
        read(&Said { stdout, ..Said::default() }, "box-1", &shell())
    }

    #[test]
    fn what_is_missing_is_told_with_its_remedy() {
        let listens = "home /root\nserver sshd\nlistens yes\n";
        let found = read_of(&format!("{listens}key ssh-ed25519 AAAA\nkey ssh-rsa BBBB\n")).unwrap();
        assert_eq!(found.keys, ["ssh-ed25519 AAAA", "ssh-rsa BBBB"]);
        for (said, error, advice) in [
            ("home /root\n", "the image of box-1 has no ssh server", "apk add openssh-server"),
            (
                "home /root\nserver dropbear\n",
                "the ssh server of box-1 isn't running: nothing listens at its port 22",
                "/usr/sbin/sshd -p 22",
            ),
            ("home \nserver sshd\nlistens yes\n", "box-1 has no user `root`", "--user"),
            (listens, "the key of the ssh server of box-1 can't be read there", "ssh-keygen -A"),
        ] {
            let failure = read_of(said).unwrap_err();
            assert_eq!(failure.to_string(), error);
            assert!(failure.advice().unwrap().contains(advice), "{failure:?}");
        }
        let broken =
            Said { code: 1, stdout: "home /root\n", stderr: "mkdir: /root: Read-only file system\n" };
        let failure = read(&broken, "box-1", &shell()).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "box-1 can't be prepared for ssh: mkdir: /root: Read-only file system"
        );
    }

    /// The script runs in any shell of this machine. For a user that isn't there it changes nothing.
    #[test]
    fn the_script_is_one_that_a_shell_runs() {
        let script = script("ssh-ed25519 AAAA it's me", "nobody-here", 9);
        let ran = Command::new("sh").arg("-c").arg(&script).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
        assert!(ran.status.success());
        let stdout = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(stdout.starts_with("home \n"), "{stdout}");
    }
}
