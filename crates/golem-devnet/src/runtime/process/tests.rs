//! Real commands, with and without namespaces. Where the machine allows none, the tests that need them say so and pass.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

fn runtime(isolation: IsolationChoice) -> ProcessRuntime {
    ProcessRuntime::new(ProcessConfig { isolation, ..ProcessConfig::default() })
}

async fn deployed(runtime: &ProcessRuntime) -> Arc<dyn Instance> {
    let instance = runtime.create(&ActivityId::new("activity")).unwrap();
    instance.deploy(&Deployment::default()).await.unwrap();
    instance.start(&[]).await.unwrap();
    instance
}

/// One in namespaces, or none where the machine has none.
async fn sandboxed() -> Option<Arc<dyn Instance>> {
    let runtime = runtime(IsolationChoice::Automatic);
    match runtime.isolation().await {
        Isolation::Namespaces => Some(deployed(&runtime).await),
        Isolation::Plain(reason) => {
            eprintln!("not tested: no namespaces here ({reason})");
            None
        }
    }
}

/// One of each kind that the machine has.
async fn every_kind() -> Vec<Arc<dyn Instance>> {
    let plain = deployed(&runtime(IsolationChoice::Plain)).await;
    sandboxed().await.into_iter().chain([plain]).collect()
}

struct Ran {
    code: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

async fn run(instance: &Arc<dyn Instance>, program: &str, args: &[&str]) -> Result<Ran, RuntimeError> {
    let (sender, mut receiver) = mpsc::channel(2);
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let collect = async {
        while let Some(piece) = receiver.recv().await {
            match piece {
                Output::Stdout(piece) => stdout.extend_from_slice(&piece),
                Output::Stderr(piece) => stderr.extend_from_slice(&piece),
            }
        }
    };
    let both = async { tokio::join!(instance.run(program, &args, sender), collect).0 };
    let code = tokio::time::timeout(DEADLINE, both).await.expect("the command ends in time")?;
    Ok(Ran { code, stdout, stderr })
}

async fn shell(instance: &Arc<dyn Instance>, line: &str) -> Ran {
    run(instance, "/bin/sh", &["-c", line]).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A number of seconds to sleep that no other process on this machine sleeps.
fn unique() -> String {
    format!("1{:09}.{:09}", fastrand::u32(..1_000_000_000), fastrand::u32(..1_000_000_000))
}

fn living(argument: &str) -> usize {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return 0;
    };
    let holds = |path: std::path::PathBuf| {
        std::fs::read(path.join("cmdline")).is_ok_and(|line| {
            let mut words = line.split(|byte| *byte == 0);
            words.next().is_some_and(|program| program.ends_with(b"sleep"))
                && words.any(|word| word == argument.as_bytes())
        })
    };
    entries.flatten().filter(|entry| holds(entry.path())).count()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < DEADLINE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn output_and_exit_codes_come_as_they_are() {
    for instance in every_kind().await {
        let ran = shell(&instance, "printf 'a\\000\\377b'; printf err >&2; exit 7").await;
        assert_eq!((ran.code, ran.stdout, ran.stderr), (7, b"a\0\xffb".to_vec(), b"err".to_vec()));
        let ran = shell(&instance, "kill -9 $$").await;
        assert_eq!(ran.code, 137);
        let ran = run(&instance, "/no/such/program", &[]).await.unwrap();
        assert_eq!(ran.code, 127);
        assert!(text(&ran.stderr).contains("failed to execute /no/such/program"), "{}", text(&ran.stderr));
        let ran = run(&instance, "/bin/echo", &["-n", "with blanks  and 'quotes'", "--help"]).await.unwrap();
        assert_eq!(text(&ran.stdout), "with blanks  and 'quotes' --help");
        instance.stop().await;
    }
}

#[tokio::test]
async fn five_megabytes_arrive_whole_through_a_narrow_channel() {
    for instance in every_kind().await {
        let ran = shell(&instance, "head -c 5000000 /dev/zero | tr '\\0' x; echo end").await;
        assert_eq!(ran.stdout.len(), 5_000_004);
        assert!(ran.stdout.ends_with(b"xxend\n"));
        instance.stop().await;
    }
}

#[tokio::test]
async fn the_environment_is_clean() {
    for instance in every_kind().await {
        let ran = shell(&instance, "env").await;
        let names: std::collections::BTreeSet<&str> =
            text(&ran.stdout).lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        for name in names {
            let known =
                ["PATH", "HOME", "LANG", "PWD", "OLDPWD", "SHLVL", "_", "TMPDIR", "GOLEM_DEVNET_ACTIVITY"];
            assert!(known.contains(&name), "{name}");
        }
        instance.stop().await;
    }
}

#[tokio::test]
async fn deploy_gives_volumes() {
    let runtime = runtime(IsolationChoice::Automatic);
    if runtime.isolation().await != Isolation::Namespaces {
        return;
    }
    let instance = runtime.create(&ActivityId::new("a")).unwrap();
    let deployment = Deployment {
        volumes: vec!["/data/in".to_owned(), "/golem/more".to_owned()],
        ..Deployment::default()
    };
    instance.deploy(&deployment).await.unwrap();
    let ran = shell(&instance, "echo hello > /data/in/f; cp /data/in/f /golem/more/g").await;
    assert_eq!(ran.code, 0, "{}", text(&ran.stderr));
    let mut content = String::new();
    instance.open("/data/in/f").unwrap().read_to_string(&mut content).unwrap();
    instance.open("/golem/more/g").unwrap().read_to_string(&mut content).unwrap();
    assert_eq!(content, "hello\nhello\n");
    for bad in ["/usr/share/x", "relative", "/", "/data/../usr"] {
        let deployment = Deployment { volumes: vec![bad.to_owned()], ..Deployment::default() };
        let refused = runtime.create(&ActivityId::new("b")).unwrap().deploy(&deployment).await;
        assert!(matches!(refused, Err(RuntimeError::Volume { .. })), "{bad}");
    }
}

#[tokio::test]
async fn two_activities_see_only_their_own_golem_folder() {
    let (Some(one), Some(two)) = (sandboxed().await, sandboxed().await) else {
        return;
    };
    for (instance, word) in [(&one, "one"), (&two, "two")] {
        let ran = shell(
            instance,
            &format!("pwd; ls -A /golem/work /tmp; echo {word} | tee /golem/work/f /tmp/f /var/tmp/f"),
        )
        .await;
        assert_eq!(
            text(&ran.stdout),
            format!("/golem/work\n/golem/work:\n\n/tmp:\n{word}\n"),
            "{}",
            text(&ran.stderr)
        );
    }
    for (instance, word) in [(&one, "one\n"), (&two, "two\n")] {
        assert_eq!(text(&shell(instance, "cat /golem/work/f").await.stdout), word);
        assert_eq!(text(&shell(instance, "cat /tmp/f").await.stdout), word);
        assert_eq!(text(&shell(instance, "cat /var/tmp/f").await.stdout), word);
        let mut content = String::new();
        instance.open("/golem/work/f").unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, word);
    }
    assert!(!Path::new("/golem/work/f").exists());
    two.create("/golem/work/sent").unwrap().write_all(b"in").unwrap();
    assert_eq!(text(&shell(&two, "cat sent").await.stdout), "in");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn the_host_is_out_of_reach() {
    let Some(instance) = sandboxed().await else { return };
    let home = tempfile::tempdir().unwrap();
    for line in [
        "touch /usr/here",
        "touch /etc/here",
        "touch /var/here",
        "mount -o remount,rw,bind /usr && touch /usr/here",
        "umount /usr",
        "umount -l /etc && ls /etc/passwd",
        "ls /.host",
        "echo x > /sys/kernel/here",
        "head -c 1 /dev/[sv]da",
        "mount --bind /proc/1/root/usr /usr && touch /usr/here",
        &format!("ls {}", home.path().display()),
        &format!(
            "ls /home/* || ls /root/* || ls /run/*.sock || ls {}/*",
            std::env::var("HOME").unwrap_or_default()
        ),
        "kill -9 1 && sleep 0.1 && ! kill -0 1",
    ] {
        let ran = shell(&instance, line).await;
        assert_ne!(ran.code, 0, "{line}: {}", text(&ran.stdout));
    }
    let ran =
        shell(&instance, "echo $$; ps ax | wc -l; test -w /dev/null && test -w /root && echo writable").await;
    assert!(text(&ran.stdout).ends_with("writable\n"), "{}", text(&ran.stdout));
    // Outside, a link that leads nowhere in the activity is not followed to the host's file.
    shell(&instance, "ln -s /etc/hostname /golem/work/link; ln -s / /golem/work/root").await;
    assert!(instance.open("/golem/work/link").is_err());
    assert!(instance.open("/golem/work/root/etc/hostname").is_err());
    assert!(instance.create("/golem/work/root/etc/new").is_err());
    instance.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_mount_of_the_host_is_writable() {
    if runtime(IsolationChoice::Automatic).isolation().await != Isolation::Namespaces {
        return;
    }
    let tools = sandbox::Tools::find().unwrap();
    let mut folder = Folder::new(&std::env::temp_dir()).unwrap();
    let deployment = Deployment::default();
    make_folders(&folder, &deployment).unwrap();
    let sandbox = sandbox::Sandbox::start(&tools, &mut folder, &deployment, true).await.unwrap();
    assert_eq!(sandbox.writable(), Vec::<PathBuf>::new());
    sandbox.stop().await;
}

#[tokio::test]
async fn the_network_can_be_taken_away() {
    let config = ProcessConfig { network: false, ..ProcessConfig::default() };
    let runtime = ProcessRuntime::new(config);
    if runtime.isolation().await != Isolation::Namespaces {
        return;
    }
    let instance = deployed(&runtime).await;
    let ran = shell(&instance, "grep -c : /proc/net/dev").await;
    assert_eq!(text(&ran.stdout), "1\n", "only the loopback device");
    instance.stop().await;
}

#[tokio::test]
async fn a_machine_in_networks_has_a_card_and_names_of_its_own() {
    let runtime = runtime(IsolationChoice::Automatic);
    if let Err(reason) = runtime.vpn().await {
        eprintln!("not tested: no virtual networks here ({reason})");
        return;
    }
    let place = |id: &str, address: [u8; 4], prefix| crate::vpn::Place {
        network: yagna_api::NetworkId::new(id),
        address: address.into(),
        prefix,
        nodes: std::collections::BTreeMap::new(),
    };
    let deployment = Deployment {
        networks: vec![place("a", [192, 168, 0, 7], 24), place("b", [10, 1, 0, 7], 16)],
        hosts: [("db".to_owned(), [192, 168, 0, 2].into())].into(),
        hostname: Some("worker".to_owned()),
        ..Deployment::default()
    };
    let instance = runtime.create(&ActivityId::new("activity")).unwrap();
    instance.deploy(&deployment).await.unwrap();
    assert!(instance.card().is_none(), "it comes with the start");
    instance.start(&[]).await.unwrap();
    assert!(instance.card().is_some());
    let ran = shell(&instance, "ip -o address show dev eth0 scope global; ip route show default").await;
    let shown = text(&ran.stdout);
    assert!(shown.contains("inet 192.168.0.7/24") && shown.contains("inet 10.1.0.7/16"), "{shown}");
    assert!(!shown.contains("default"), "{shown}");
    let ran = shell(&instance, "ip link show eth0; ip link show lo").await;
    let shown = text(&ran.stdout);
    assert!(shown.contains("mtu 1220") && shown.contains("90:13:c0:a8:00:07"), "{shown}");
    assert!(shown.contains("LOOPBACK,UP"), "{shown}");
    let ran = shell(&instance, "cat /proc/sys/kernel/hostname /etc/hosts").await;
    let shown = text(&ran.stdout);
    for line in ["worker", "127.0.0.1\tlocalhost", "192.168.0.7\tworker", "192.168.0.2\tdb"] {
        assert!(shown.lines().any(|other| other == line), "{line}: {shown}");
    }
    instance.stop().await;
    assert!(instance.card().is_none());
    // Without namespaces there are no networks.
    let plain = self::runtime(IsolationChoice::Plain);
    assert!(plain.vpn().await.unwrap_err().contains("switched off"));
    let refused = plain.create(&ActivityId::new("b")).unwrap().deploy(&deployment).await;
    assert!(matches!(refused, Err(RuntimeError::Vpn(_))), "{refused:?}");
}

#[tokio::test]
async fn each_activity_has_its_own_names_of_hosts() {
    let Some(instance) = sandboxed().await else { return };
    let ran = shell(&instance, "echo '10.0.0.1 added' >>/etc/hosts && cat /etc/hosts").await;
    let own = text(&ran.stdout);
    assert!(own.ends_with("10.0.0.1 added\n"), "{own}");
    let host = std::fs::read_to_string("/etc/hosts").unwrap();
    assert!(!host.contains("added") && own.starts_with(host.trim_end()), "{host}");
    instance.stop().await;
}

#[tokio::test]
async fn a_dropped_run_dies_with_all_its_descendants() {
    for instance in every_kind().await {
        let (background, run_only) = (unique(), unique());
        shell(&instance, &format!("sleep {background} >/dev/null 2>&1 &")).await;
        let line = format!(
            "sleep {run_only} & (setsid sleep {run_only} &) ; (sleep {run_only} & exec sleep {run_only}) & sleep {run_only}"
        );
        let args = ["-c".to_owned(), line];
        let (sender, _receiver) = mpsc::channel(1);
        let mut run = instance.run("/bin/sh", &args, sender);
        let begun = Instant::now();
        while living(&run_only) < 5 {
            assert!(begun.elapsed() < DEADLINE, "the sleepers never came: {}", living(&run_only));
            let ended = tokio::time::timeout(Duration::from_millis(2), &mut run).await;
            assert!(ended.is_err(), "it sleeps on");
        }
        drop(run);
        until("the run's processes end", || living(&run_only) == 0).await;
        assert_eq!(living(&background), 1, "what an earlier run left lives on");
        assert_eq!(shell(&instance, "echo -n fine").await.stdout, b"fine");
        instance.stop().await;
        until("the background's end", || living(&background) == 0).await;
    }
}

#[tokio::test]
async fn stop_and_drop_leave_no_process_and_no_file() {
    for stop in [true, false] {
        let base = tempfile::tempdir().unwrap();
        for isolation in [IsolationChoice::Automatic, IsolationChoice::Plain] {
            let config = ProcessConfig { folder: base.path().to_owned(), isolation, network: true };
            let instance = deployed(&ProcessRuntime::new(config)).await;
            let argument = unique();
            shell(
                &instance,
                &format!("setsid sleep {argument} >/dev/null 2>&1 & echo x > file; mkdir -p d; chmod 0 d"),
            )
            .await;
            until("the sleeper is there", || living(&argument) == 1).await;
            assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 1);
            if stop {
                instance.stop().await;
                if isolation == IsolationChoice::Automatic {
                    assert_eq!(living(&argument), 0, "stop waits");
                }
                assert!(matches!(run(&instance, "true", &[]).await, Err(RuntimeError::NotDeployed)));
                instance.deploy(&Deployment::default()).await.unwrap();
                assert_eq!(shell(&instance, "ls -A").await.stdout, b"", "a new deployment begins empty");
                instance.stop().await;
            }
            drop(instance);
            until("the sleeper's end", || living(&argument) == 0).await;
            assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
        }
    }
}

#[tokio::test]
async fn a_run_ends_with_its_program_and_leaves_servers_alone() {
    for instance in every_kind().await {
        // It holds the pipe and writes to it after the run: with the pipe closed that would kill it.
        let line =
            "(for i in 1 2 3; do sleep 0.1; echo tick; done; touch done; exec sleep 100) & echo started";
        let ran = shell(&instance, line).await;
        assert_eq!(ran.code, 0);
        assert!(text(&ran.stdout).starts_with("started\n"));
        let begun = Instant::now();
        while shell(&instance, "test -e done").await.code != 0 {
            assert!(begun.elapsed() < DEADLINE, "the server died");
        }
        instance.stop().await;
    }
}

#[tokio::test]
async fn cpu_time_counts_ended_and_living_processes() {
    if cfg!(not(target_os = "linux")) {
        return;
    }
    for instance in every_kind().await {
        shell(&instance, "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done").await;
        let ended = instance.cpu_time();
        assert!(ended >= Duration::from_millis(30), "{ended:?}");
        shell(&instance, "(while :; do :; done) >/dev/null 2>&1 &").await;
        let more = ended + Duration::from_millis(50);
        until("the busy process counts", || instance.cpu_time() > more).await;
        let told = instance.cpu_time();
        instance.stop().await;
        assert!(instance.cpu_time() >= told, "it never falls");
    }
}

#[tokio::test]
async fn without_namespaces_golem_is_refused_with_the_reason() {
    let instance = deployed(&runtime(IsolationChoice::Plain)).await;
    let error =
        run(&instance, "/bin/sh", &["-c", "cat /golem/work/x"]).await.map(|ran| ran.code).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`cat /golem/work/x` names /golem") && text.contains("switched off"), "{text}");
    instance.create("/golem/work/x").unwrap().write_all(b"sent").unwrap();
    assert_eq!(shell(&instance, "cat x; echo back > y").await.stdout, b"sent");
    let mut back = String::new();
    instance.open("/golem/work/y").unwrap().read_to_string(&mut back).unwrap();
    assert_eq!(back, "back\n");
    assert!(matches!(instance.open("/tmp/x"), Err(RuntimeError::OutsideVolumes(_))));
    instance.stop().await;
}

#[tokio::test]
async fn a_dead_machine_is_noticed() {
    let runtime = runtime(IsolationChoice::Automatic);
    if runtime.isolation().await != Isolation::Namespaces {
        return;
    }
    let instance = runtime.create(&ActivityId::new("a")).unwrap();
    instance.deploy(&Deployment::default()).await.unwrap();
    // This is the kernel's reaction when memory runs out: the first process inside is killed from outside.
    let marker = unique();
    let args = ["-c".to_owned(), format!("sleep {marker}")];
    let (sender, _receiver) = mpsc::channel(1);
    let mut run = instance.run("/bin/sh", &args, sender);
    let begun = Instant::now();
    while living(&marker) == 0 {
        assert!(begun.elapsed() < DEADLINE);
        assert!(tokio::time::timeout(Duration::from_millis(2), &mut run).await.is_err());
    }
    let inits = namespace_inits(&marker);
    assert_eq!(inits.len(), 1);
    rustix::process::kill_process(inits[0], rustix::process::Signal::KILL).unwrap();
    let ended = tokio::time::timeout(DEADLINE, run).await.unwrap();
    assert!(matches!(ended, Err(RuntimeError::Died)));
    assert!(matches!(self::run(&instance, "true", &[]).await.map(|ran| ran.code), Err(RuntimeError::Died)));
    instance.stop().await;
}

const HELD: &str = "GOLEM_DEVNET_TEST_HELD";

/// Only does something when the next test starts it, in a process of its own.
#[tokio::test]
async fn holds_an_activity_until_it_is_killed() {
    let Ok(marker) = std::env::var(HELD) else { return };
    let instance = deployed(&runtime(IsolationChoice::Automatic)).await;
    let script = format!("setsid sleep {marker} >/dev/null 2>&1 & exec sleep {marker}");
    let ran = shell(&instance, &script).await;
    panic!("nobody killed us, it exited with {}", ran.code);
}

#[tokio::test]
async fn nothing_survives_when_the_whole_devnet_is_killed() {
    if runtime(IsolationChoice::Automatic).isolation().await != Isolation::Namespaces {
        return;
    }
    let (marker, base) = (unique(), tempfile::tempdir().unwrap());
    let mut devnet = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "runtime::process::tests::holds_an_activity_until_it_is_killed"])
        .env(HELD, &marker)
        .env("TMPDIR", base.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the sleepers are there", || living(&marker) == 2).await;
    devnet.start_kill().unwrap();
    until("the sleepers' end", || living(&marker) == 0).await;
    devnet.wait().await.unwrap();
}

/// The first process of the namespace in which that sleeper sleeps.
fn namespace_inits(argument: &str) -> Vec<Pid> {
    let all: Vec<i32> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let sleeper = all.iter().copied().find(|pid| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| text_of(&line).contains(argument))
            && std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| {
                status.lines().any(|line| line.starts_with("NSpid:") && line.split_whitespace().count() == 3)
            })
    });
    let home = namespace(sleeper.unwrap());
    all.into_iter()
        .filter(|pid| namespace(*pid) == home)
        .filter(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| {
                status
                    .lines()
                    .any(|line| line.starts_with("NSpid:") && line.split_whitespace().last() == Some("1"))
            })
        })
        .filter_map(Pid::from_raw)
        .collect()
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
