//! A network of their own for the real daemons: a namespace with nothing but `lo`, so that they reach nobody and use
//! whatever ports they like. The test program starts itself again within it.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Set for the program that runs within.
const INSIDE: &str = "GOLEM_CONTRACT_INSIDE";

/// The daemon's program, or why real daemons can't be had.
pub(crate) fn third_ground() -> Result<PathBuf, String> {
    if !cfg!(target_os = "linux") {
        return Err("they need Linux's namespaces".into());
    }
    let daemon = std::env::var_os("GOLEM_YAGNA")
        .ok_or("GOLEM_YAGNA doesn't name a yagna 0.17.6 (scripts/daemon installs one and prints its path)")?;
    let daemon = PathBuf::from(daemon);
    if !daemon.is_file() {
        return Err(format!("GOLEM_YAGNA names {}, which is not a file", daemon.display()));
    }
    if is_inside() {
        return Ok(daemon);
    }
    let tried = unshare().arg("true").output();
    match tried {
        Ok(output) if output.status.success() => Ok(daemon),
        Ok(output) => Err(format!(
            "this machine refuses a network namespace (are you root?): {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Err(format!("unshare of util-linux can't be started: {error}")),
    }
}

/// Is this the program within?
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Starts this program again within a namespace of its own, and takes over its exit code.
///
/// Whatever it starts dies with it: the processes are in a namespace too.
#[expect(clippy::print_stderr, reason = "a test program talks to who started it")]
pub(crate) fn enter() -> ExitCode {
    let this = std::env::current_exe().expect("a running program has a file");
    let status = unshare()
        .args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
        .arg(this)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .status();
    match status {
        Ok(status) => ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)),
        Err(error) => {
            eprintln!("error: the network namespace can't be entered: {error}");
            ExitCode::FAILURE
        }
    }
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    command
}
