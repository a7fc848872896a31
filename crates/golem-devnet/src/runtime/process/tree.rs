//! The processes of a run or an activity, their CPU time, and their end.
//!
//! Everything is read from `/proc`. Where there is none (macOS), only process groups are known.

use std::time::Duration;

use rustix::process::{Pid, Signal};

/// The processes that a run started, for as long as they may have to be killed.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Our child: the program itself, or the one that carries it into the namespaces. It leads a process group.
    pub(super) child: Pid,
    /// The scope in which its descendants are found even after they left the group.
    pub(super) scope: Scope,
}

/// The way to tell the processes of one activity from all others.
#[derive(Debug, Clone)]
pub(super) enum Scope {
    /// They are in the PID namespace of this process, which is its first.
    #[cfg(target_os = "linux")]
    Namespace {
        /// The first process, as the host numbers it.
        init: Pid,
    },
    /// They carry this variable in their environment.
    Marker(String),
}

/// Kills a run: its child, all descendants, also those that left its group or lost their parents. Processes that
/// earlier runs left behind are spared. Doesn't wait for their end.
pub(super) fn kill_run(target: &Target) {
    #[cfg(target_os = "linux")]
    linux::kill_run(target);
    let _ = rustix::process::kill_process_group(target.child, Signal::KILL);
}

/// Kills whatever still carries the marker of an activity.
pub(super) fn kill_marked(marker: &str) {
    #[cfg(target_os = "linux")]
    linux::kill_marked(marker);
    #[cfg(not(target_os = "linux"))]
    let _ = marker;
}

/// CPU time of an ended child and all it waited for. Only until the child is reaped.
pub(super) fn cpu_of_ended(child: Pid) -> Option<Duration> {
    #[cfg(target_os = "linux")]
    return linux::cpu_of_ended(child);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = child;
        None
    }
}

/// CPU time of the processes that live in the scope, with what they waited for.
pub(super) fn cpu_of_living(scope: &Scope) -> Duration {
    #[cfg(target_os = "linux")]
    return linux::cpu_of_living(scope);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = scope;
        Duration::ZERO
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::ffi::OsString;
    use std::fs;
    use std::time::Duration;

    use rustix::process::{Pid, Signal, kill_process};

    use super::{Scope, Target};

    /// Killing is repeated until nothing is found, for what was forked meanwhile; a fork bomb is left to the end of
    /// its namespace.
    const ROUNDS: usize = 10;

    struct Stat {
        parent: i32,
        group: i32,
        zombie: bool,
        ticks: u64,
        started: u64,
    }

    pub(super) fn kill_run(target: &Target) {
        let child = target.child.as_raw_nonzero().get();
        for _ in 0..ROUNDS {
            let all = snapshot();
            let Some(run) = all.get(&child) else { return };
            let member = membership(&target.scope);
            let victims: Vec<i32> = all
                .iter()
                .filter(|(pid, stat)| {
                    **pid != child && !stat.zombie && is_of_run(**pid, child, run, &all, &member)
                })
                .map(|(pid, _)| *pid)
                .collect();
            if victims.is_empty() {
                break;
            }
            kill_all(&victims);
        }
        kill_all(&[child]);
    }

    /// A descendant of the child, in its group, or a younger orphan in the same scope: what the run left behind by
    /// forking twice. The workers of an older server have an older ancestor and live on.
    fn is_of_run(
        pid: i32,
        child: i32,
        run: &Stat,
        all: &HashMap<i32, Stat>,
        member: &dyn Fn(i32) -> bool,
    ) -> bool {
        let line =
            || std::iter::successors(Some(pid), |pid| all.get(pid).map(|stat| stat.parent)).take(all.len());
        if line().filter_map(|pid| all.get(&pid)).any(|stat| stat.group == child || stat.parent == child) {
            return true;
        }
        // Starts are told in hundredths of a second; within one, the numbers tell the order.
        let eldest = line().take_while(|pid| member(*pid)).last();
        eldest.is_some_and(|pid| {
            all.get(&pid).is_some_and(|eldest| (eldest.started, pid) > (run.started, child))
        })
    }

    pub(super) fn kill_marked(marker: &str) {
        let scope = Scope::Marker(marker.to_owned());
        for _ in 0..ROUNDS {
            let member = membership(&scope);
            let victims: Vec<i32> = snapshot()
                .into_iter()
                .filter(|(pid, stat)| !stat.zombie && member(*pid))
                .map(|(pid, _)| pid)
                .collect();
            if victims.is_empty() {
                return;
            }
            kill_all(&victims);
        }
    }

    /// Makes the test whether a process is in the scope. The first process of a namespace isn't counted: it belongs to
    /// no run.
    fn membership(scope: &Scope) -> Box<dyn Fn(i32) -> bool> {
        match scope {
            Scope::Namespace { init } => {
                let init = init.as_raw_nonzero().get();
                let namespace = pid_namespace(init);
                Box::new(move |pid| pid != init && namespace.is_some() && pid_namespace(pid) == namespace)
            }
            Scope::Marker(marker) => {
                let marker = marker.clone().into_bytes();
                Box::new(move |pid| {
                    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
                        environ.split(|byte| *byte == 0).any(|variable| variable == marker)
                    })
                })
            }
        }
    }

    pub(super) fn cpu_of_ended(child: Pid) -> Option<Duration> {
        read("/proc", child.as_raw_nonzero().get()).map(|stat| duration(stat.ticks))
    }

    pub(super) fn cpu_of_living(scope: &Scope) -> Duration {
        let ticks = match scope {
            // The activity's own /proc, seen through its first process, lists exactly its processes.
            Scope::Namespace { init } => {
                let proc = format!("/proc/{}/root/proc", init.as_raw_nonzero());
                let own = read(&proc, 1).is_some_and(|first| first.parent == 0);
                if own {
                    pids(&proc).into_iter().filter_map(|pid| read(&proc, pid)).map(|stat| stat.ticks).sum()
                } else {
                    0
                }
            }
            Scope::Marker(_) => {
                let member = membership(scope);
                snapshot().into_iter().filter(|(pid, _)| member(*pid)).map(|(_, stat)| stat.ticks).sum()
            }
        };
        duration(ticks)
    }

    fn snapshot() -> HashMap<i32, Stat> {
        pids("/proc").into_iter().filter_map(|pid| Some((pid, read("/proc", pid)?))).collect()
    }

    fn pids(proc: &str) -> Vec<i32> {
        let Ok(entries) = fs::read_dir(proc) else {
            return Vec::new();
        };
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    fn read(proc: &str, pid: i32) -> Option<Stat> {
        parse(&fs::read_to_string(format!("{proc}/{pid}/stat")).ok()?)
    }

    /// The name in the second field may hold anything, brackets too, so fields count from the last bracket on.
    fn parse(line: &str) -> Option<Stat> {
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // The first of these is field 3 of proc(5).
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let id = |field: usize| fields.get(field - 3)?.parse::<i32>().ok();
        Some(Stat {
            parent: id(4)?,
            group: id(5)?,
            zombie: matches!(*fields.first()?, "Z" | "X"),
            ticks: number(14)? + number(15)? + number(16)? + number(17)?,
            started: number(22)?,
        })
    }

    fn pid_namespace(pid: i32) -> Option<OsString> {
        fs::read_link(format!("/proc/{pid}/ns/pid")).ok().map(std::path::PathBuf::into_os_string)
    }

    fn duration(ticks: u64) -> Duration {
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        Duration::from_millis(ticks.saturating_mul(1000) / per_second)
    }

    fn kill_all(pids: &[i32]) {
        for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            // One that ended by itself meanwhile is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_name_with_brackets_and_spaces_is_no_trouble() {
            let stat = parse("7 (a) b (c) S 3 7 7 0 -1 4 1 2 3 4 10 20 30 40 20 0 1 0 999 1 2 3").unwrap();
            assert_eq!((stat.parent, stat.group, stat.ticks, stat.started), (3, 7, 100, 999));
            assert!(!stat.zombie);
            assert!(parse("7 (a").is_none());
        }
    }
}
