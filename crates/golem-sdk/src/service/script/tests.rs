use super::*;

#[test]
fn a_word_for_a_shell_stays_one_word() {
    assert_eq!(quoted("plain-1.2/x=y"), "plain-1.2/x=y");
    assert_eq!(quoted(""), "''");
    assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
}

#[test]
fn the_output_of_a_check_is_read() {
    let found = Found::read("runs\nlistens all\ncheck 0\n--log--\n").unwrap();
    let expected =
        Found { process: Process::Runs, port: Some(Listens::ForAll), check: Some(0), log: String::new() };
    assert_eq!(found, expected);
    let found = Found::read("exit 127\n--log--\nsh: nginx: not found\n").unwrap();
    assert_eq!((found.process, found.log.as_str()), (Process::Exited(127), "sh: nginx: not found"));
    assert_eq!(Found::read("gone\nlistens locally\n--log--\n").unwrap().port, Some(Listens::Locally));
    assert_eq!(Found::read(""), None);
    assert_eq!(Found::read("exit x\n--log--\n"), None);
}

/// A machine of which there is a shell and a folder.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn sh(&self, script: &str) -> (i32, String) {
        let script = script.replace(FOLDER, self.0.path().to_str().unwrap());
        let output = tokio::process::Command::new("/bin/sh").args(["-c", &script]).output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8(text).unwrap())
    }

    async fn found(&self, spec: &ServiceSpec) -> Found {
        let (code, output) = self.sh(&check(spec, &BTreeMap::new())).await;
        assert_eq!(code, 0, "{output}");
        Found::read(&output).unwrap_or_else(|| panic!("{output:?}"))
    }

    /// Checks until this holds.
    async fn until(&self, spec: &ServiceSpec, holds: impl Fn(&Found) -> bool) -> Found {
        for _ in 0..600 {
            let found = self.found(spec).await;
            if holds(&found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it never came: {:?}", self.found(spec).await)
    }

    async fn stop(&self) {
        let (code, output) = self.sh(&stop(Duration::from_secs(1))).await;
        assert_eq!((code, output.as_str()), (0, ""));
    }
}

#[tokio::test]
async fn a_process_runs_in_the_background_until_it_is_stopped() {
    let machine = Machine::new();
    let spec = ServiceSpec::shell(
        "web",
        "echo \"it's $WHO\"; trap 'echo bye; exit 3' TERM; while :; do sleep 0.1; done",
    )
    .env("WHO", "me & you");
    assert_eq!(machine.found(&spec).await.process, Process::Gone);
    let begin = start(&spec, &BTreeMap::new());
    assert_eq!(machine.sh(&begin).await, (0, String::new()));
    machine.until(&spec, |found| found.process == Process::Runs).await;
    // Started once more it is the same.
    let pid = std::fs::read_to_string(machine.0.path().join("pid")).unwrap();
    assert_eq!(machine.sh(&begin).await.0, 0);
    assert_eq!(std::fs::read_to_string(machine.0.path().join("pid")).unwrap(), pid);
    machine.stop().await;
    let found = machine.until(&spec, |found| found.process == Process::Exited(3)).await;
    // Some shells tell of the signal as well.
    assert!(found.log.starts_with("it's me & you\n") && found.log.ends_with("bye"), "{}", found.log);
}

#[tokio::test]
async fn a_process_that_will_not_end_is_killed_with_its_children() {
    let machine = Machine::new();
    let child = machine.0.path().join("child");
    let line =
        format!("trap '' TERM; sleep 1000 & echo $! >{}; while :; do sleep 0.1; done", child.display());
    let spec = ServiceSpec::shell("web", line);
    assert_eq!(machine.sh(&start(&spec, &BTreeMap::new())).await.0, 0);
    machine.until(&spec, |_| child.exists()).await;
    machine.stop().await;
    machine.until(&spec, |found| found.process != Process::Runs).await;
    let pid = std::fs::read_to_string(child).unwrap();
    let lives = || {
        std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
    };
    for _ in 0..600 {
        if !lives() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the child of a killed process lives on");
}

#[tokio::test]
async fn another_command_replaces_the_process() {
    let machine = Machine::new();
    let first = ServiceSpec::shell("web", "echo first; sleep 1000").stop_timeout(Duration::from_secs(1));
    let second = ServiceSpec::shell("web", "echo second; sleep 1000").stop_timeout(Duration::from_secs(1));
    assert_eq!(machine.sh(&start(&first, &BTreeMap::new())).await.0, 0);
    assert_eq!(machine.sh(&start(&second, &BTreeMap::new())).await.0, 0);
    machine.until(&second, |found| found.process == Process::Runs).await;
    for _ in 0..600 {
        let (_, log) = machine.sh(&log(LogFrom::Byte(0), 1000)).await;
        if log == "0\nfirst\nsecond\n" {
            return machine.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", machine.sh(&log(LogFrom::Byte(0), 1000)).await);
}

#[tokio::test]
async fn a_preparation_that_fails_ends_the_start() {
    let machine = Machine::new();
    let spec = ServiceSpec::shell("web", "echo never").init("echo once").init("exit 7");
    assert_eq!(machine.sh(&start(&spec, &BTreeMap::new())).await.0, 0);
    let found = machine.until(&spec, |found| found.process == Process::Exited(7)).await;
    assert_eq!(found.log, "once");
}

#[tokio::test]
async fn a_port_is_ready_when_others_can_reach_it() {
    let machine = Machine::new();
    let for_all = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let spec = |port| ServiceSpec::shell("web", "sleep 1000").ready(Ready::Tcp(port));
    let ask = async |port| machine.found(&spec(port)).await.port;
    assert_eq!(ask(for_all.local_addr().unwrap().port()).await, Some(Listens::ForAll));
    let local = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = local.local_addr().unwrap().port();
    assert_eq!(ask(port).await, Some(Listens::Locally));
    drop(local);
    assert_eq!(ask(port).await, Some(Listens::Nowhere));
}

#[tokio::test]
async fn a_command_decides_whether_it_is_ready() {
    let machine = Machine::new();
    let spec =
        |line: &str| ServiceSpec::shell("web", "true").env("X", "1 2").ready(Ready::Command(line.to_owned()));
    assert_eq!(machine.found(&spec("[ \"$X\" = '1 2' ]")).await.check, Some(0));
    let found = machine.found(&spec("echo not yet; exit 4")).await;
    assert_eq!((found.check, found.log.as_str()), (Some(4), "not yet"));
}

#[tokio::test]
async fn a_log_is_read_from_any_byte_of_it() {
    let machine = Machine::new();
    assert_eq!(machine.sh(&log(LogFrom::Byte(0), 10)).await.1, "0\n");
    std::fs::write(machine.0.path().join("log"), "0123456789").unwrap();
    assert_eq!(machine.sh(&log(LogFrom::Byte(4), 3)).await.1, "4\n456");
    assert_eq!(machine.sh(&log(LogFrom::Last(2), 30)).await.1, "8\n89");
    assert_eq!(machine.sh(&log(LogFrom::Byte(99), 30)).await.1, "10\n");
    // Its first bytes were cut off.
    std::fs::write(machine.0.path().join("gone"), "100\n").unwrap();
    assert_eq!(machine.sh(&log(LogFrom::Byte(4), 3)).await.1, "100\n012");
    assert_eq!(machine.sh(&log(LogFrom::Byte(108), 30)).await.1, "108\n89");
}
