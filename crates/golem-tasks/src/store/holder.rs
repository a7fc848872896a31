//! The process that holds a run, and whether it is still alive.
//!
//! On Linux a process is known by its pid and the moment it started, as the kernel counts it, within one boot and one
//! namespace of pids; elsewhere by its pid and what `ps` says of its start, on one host. Left to others: keeping it in
//! the database (`lease.rs`).

use std::fmt;
use std::fs;
use std::process::Command;
use std::time::Duration;

use yagna_api::Timestamp;

/// A holder of which nothing was heard for so long holds nothing any more.
pub const LEASE_TIMEOUT: Duration = Duration::from_secs(30);

/// A process that takes runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The host's name, for people.
    pub host: String,
    /// Its pid there.
    pub pid: u32,
    /// The time at which it started, in whatever form its system has for that; tells it from a later process of the
    /// same pid.
    pub(super) process: Option<String>,
    /// Among which pids its pid is one; none when that isn't known.
    pub(super) machine: Option<String>,
}

/// The process that holds a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBy {
    /// The process.
    pub holder: Holder,
    /// Since when, by the database's clock.
    pub since: Timestamp,
    /// The time at which it was last heard of, by the same clock.
    pub heard: Timestamp,
    /// The time since then, at the moment of asking.
    pub silent: Duration,
}

impl Holder {
    /// This process.
    pub fn here() -> Self {
        let pid = std::process::id();
        Self { host: host(), pid, process: started(pid), machine: machine() }
    }

    /// True if this process has certainly ended. Only a process of the same machine can know.
    pub(super) fn is_dead(&self, here: &Self) -> bool {
        let same_machine = self.machine.is_some() && self.machine == here.machine;
        same_machine && self.process.is_some() && started(self.pid) != self.process
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

fn host() -> String {
    let name = match fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) => name,
        Err(_) => said_by("uname", &["-n"]).unwrap_or_default(),
    };
    let name = name.trim();
    if name.is_empty() { "an unnamed host".to_owned() } else { name.to_owned() }
}

/// Pids of another boot or of another container are not ours to judge.
fn machine() -> Option<String> {
    if cfg!(target_os = "linux") {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let pids = fs::read_link("/proc/self/ns/pid").ok()?;
        return Some(format!("{} {}", boot.trim(), pids.display()));
    }
    said_by("uname", &["-n"])
}

/// The time at which a process started; none when there is no such process, or only what is left of it.
fn started(pid: u32) -> Option<String> {
    if cfg!(target_os = "linux") {
        return started_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?);
    }
    said_by("ps", &["-o", "lstart=", "-p", &pid.to_string()])
}

/// The start in a line of `/proc/PID/stat`, unless that process is a zombie.
fn started_in(stat: &str) -> Option<String> {
    // The second field is the program's name in brackets, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    // Field 22 of the line; the state was field 3.
    fields.nth(18).map(str::to_owned)
}

fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_nobody_elses_is_judged() {
        let here = Holder::here();
        assert!(!here.is_dead(&here), "{here:?}");
        let reused = Holder { process: Some("long ago".to_owned()), ..here.clone() };
        assert!(reused.is_dead(&here));
        let elsewhere = Holder { machine: Some("another".to_owned()), ..reused.clone() };
        assert!(!elsewhere.is_dead(&here));
        let unknown = Holder { machine: None, ..reused };
        assert!(!unknown.is_dead(&Holder { machine: None, ..here }));
    }

    #[test]
    fn a_line_of_the_kernels_is_read_whatever_the_program_is_called() {
        let line = |state: &str| {
            let rest: Vec<_> = (4..=24).map(|field| format!("f{field}")).collect();
            format!("17 (a) Z (b) {state} {}", rest.join(" "))
        };
        assert_eq!(started_in(&line("S")).as_deref(), Some("f22"));
        assert_eq!(started_in(&line("Z")), None);
        assert_eq!(started_in(""), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_child_that_ended_is_dead_before_it_is_waited_for() {
        let here = Holder::here();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let held = Holder { pid: child.id(), process: started(child.id()), ..here.clone() };
        assert!(!held.is_dead(&here), "{held:?}");
        child.kill().unwrap();
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        while !held.is_dead(&here) {
            assert!(tokio::time::Instant::now() < deadline, "{held:?} is thought alive");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(held.is_dead(&here));
    }
}
