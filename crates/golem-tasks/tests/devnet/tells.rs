//! What a devnet tells while it is used.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;
use yagna_api::AppKey;
use yagna_api::identity::GetMe;
use yagna_api::payment::ListRequestorAccounts;
use yagna_client::{Client, HttpTransport, Url};

use crate::served::{Served, command, objects};
use crate::stage::{Home, Running, signal, wait_until};

const JOB: &str = "[tasks]\nrange = { end = 6 }\n[[steps]]\nrun = \"echo $(( {{ task }} * 7 ))\"\n";

#[tokio::test]
async fn a_job_runs_on_it_from_another_process_and_every_step_of_the_rental_is_told() {
    let (home, mut devnet) = (Home::new(), Served::start(&["--providers", "2"]));
    let ended = devnet.run(&home, &home.job(JOB), &[]).await;
    ended.assert_code(0);
    assert_eq!(ended.results().len(), 6);
    home.kept().await.assert_settled();
    for parts in [
        &["offer ", " is on the market"][..],
        &["agreement ", " proposed by 0x"],
        &["agreement ", " approved"],
        &["activity ", " created in agreement "],
        &["activity ", " deployed"],
        &["activity ", " ended after ", " command", "destroyed by the requestor"],
        &["debit note ", " sent: ", " GLM for activity "],
        &["agreement ", " ended by the requestor: all work is done"],
        &["invoice ", " sent: ", " GLM for agreement "],
        &["invoice ", " accepted: ", " GLM"],
    ] {
        devnet.tells(parts).await;
    }
    let (out, err) = devnet.stop().await;
    assert!(!out.contains(" ran `"), "commands weren't asked for:\n{out}");
    assert!(err.contains("A Golem Network of 2 providers, inside this program (seed 7)"), "{err}");
}

#[tokio::test]
async fn the_first_example_runs_in_its_environment_without_a_way_out() {
    let home = Home::new();
    let file = home.path("devnet.env");
    let devnet = Served::start(&["--env-file", file.to_str().unwrap(), "--quiet"]);
    wait_until("the file is there", || file.exists()).await;
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hello_world/job.toml");
    // As the guide has it, where nothing beyond this machine can be reached: proxies don't answer.
    let script = ". \"$1\"; exec \"$2\" run \"$3\"";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-euc", script, "sh"]).arg(&file).arg(env!("CARGO_BIN_EXE_golem-tasks")).arg(&example);
    shell.env_clear().kill_on_drop(true);
    for proxy in ["https_proxy", "http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        shell.env(proxy, "http://127.0.0.1:1");
    }
    for (name, value) in home.command(&example, [""; 0]).as_std().get_envs() {
        shell.env(name, value.unwrap());
    }
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = Running::start(shell).end().await;
    ended.assert_code(0);
    let products: Vec<_> = (0..24).map(|n| (n, (n * 7).to_string())).collect();
    let results: Vec<_> = ended.results().into_iter().map(|(task, text)| (task, text.to_owned())).collect();
    assert_eq!(results, products);
    home.kept().await.assert_settled();
    devnet.stop().await;
}

#[tokio::test]
async fn its_lines_are_an_environment_for_a_shell_and_so_is_its_file() {
    let home = Home::new();
    let file = home.path("devnet.env");
    let keys = ["--app-key", "first-key", "--app-key", "it's-another"];
    let flags = ["--env-file", file.to_str().unwrap(), "--subnet", "two words", "--quiet"];
    let mut devnet = Served::start(&[&flags[..], &keys].concat());
    let environment = devnet.environment().await;
    assert_eq!(environment["YAGNA_APPKEY"], "first-key");
    assert_eq!(
        (environment["YAGNA_PAYMENT_DRIVER"].as_str(), environment["YAGNA_PAYMENT_NETWORK"].as_str()),
        ("erc20", "hoodi")
    );
    wait_until("the file is there", || file.exists()).await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it has keys in it");
    }
    let script = ". \"$1\"; echo \"$YAGNA_API_URL|$YAGNA_APPKEY|$YAGNA_SUBNET|$PAYMENT_NETWORK\"";
    let shell = Command::new("/bin/sh").args(["-euc", script, "sh"]).arg(&file).output().await.unwrap();
    assert_eq!(
        String::from_utf8(shell.stdout).unwrap(),
        format!("{}|first-key|two words|hoodi\n", environment["YAGNA_API_URL"])
    );
    // Both requestors are there: the second key opens the daemon too.
    let ended = {
        let mut command = home.command(&home.job(JOB), ["--subnet", "two words"]);
        command.env("YAGNA_API_URL", &environment["YAGNA_API_URL"]).env("YAGNA_APPKEY", "it's-another");
        Running::start(command).end().await
    };
    ended.assert_code(0);
    let (out, err) = devnet.stop().await;
    assert_eq!(
        out,
        String::from_utf8(home.read("devnet.env")).unwrap(),
        "quiet: nothing but the environment"
    );
    assert!(out.contains("# another requestor: export YAGNA_APPKEY='it'\\''s-another'\n"), "{out}");
    assert_eq!(err, "");
    let beside: Vec<_> =
        std::fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(beside.iter().all(|name| !name.to_string_lossy().ends_with(".new")), "{beside:?}");
}

#[tokio::test]
async fn every_requestors_account_is_ready_to_pay() {
    let keys = ["--app-key", "first-key", "--app-key", "second-key"];
    let flags = ["--providers", "1", "--network", "holesky"];
    let mut devnet = Served::start(&[&flags[..], &keys].concat());
    let environment = devnet.environment().await;
    let url = Url::parse(&environment["YAGNA_API_URL"]).unwrap();
    for key in ["first-key", "second-key"] {
        let client = Client::new(Arc::new(HttpTransport::new(&url, &AppKey::new(key)).unwrap()));
        let accounts = client.call(&ListRequestorAccounts).await.unwrap().items;
        let account = accounts.iter().find(|account| account.platform == "erc20-holesky-tglm");
        let account = account.unwrap_or_else(|| panic!("not there: {accounts:?}"));
        assert_eq!((account.send, account.network.as_str()), (true, "holesky"));
        assert_eq!(account.address, client.call(&GetMe).await.unwrap().identity.as_str());
    }
    devnet.stop().await;
}

#[tokio::test]
async fn machines_read_one_object_a_line() {
    let (home, mut devnet) =
        (Home::new(), Served::start(&["--json", "--providers", "1", "--commands", "--delays", "none"]));
    let text = devnet.prints("the devnet", |text| text.contains('\n')).await;
    let first = &objects(&text)[0];
    assert_eq!((&first["type"], &first["version"], &first["seed"]), (&"devnet".into(), &1.into(), &7.into()));
    let key = first["requestors"][0]["app_key"].as_str().unwrap();
    assert_eq!(first["environment"]["YAGNA_APPKEY"], key);
    let mut command = home.command(&home.job(JOB), ["--quiet"]);
    let url = first["environment"]["YAGNA_API_URL"].as_str().unwrap();
    command.env("YAGNA_API_URL", url).env("YAGNA_APPKEY", key);
    Running::start(command).end().await.assert_code(0);
    devnet.tells(&["\"type\":\"invoice\"", "\"event\":\"accepted\""]).await;
    let (out, _) = devnet.stop().await;
    let happened = objects(&out);
    let of = |kind: &str, event: &str| {
        let found: Vec<_> =
            happened.iter().filter(|object| object["type"] == kind && object["event"] == event).collect();
        assert!(!found.is_empty(), "no {kind} is {event} in\n{out}");
        found
    };
    let agreement = &of("agreement", "approved")[0]["agreement"];
    let activity = of("activity", "created")[0];
    assert_eq!(&activity["agreement"], agreement);
    assert_eq!(of("activity", "deployed")[0]["activity"], activity["activity"]);
    let ran = of("command", "ended");
    let programs: Vec<_> = ran.iter().filter(|object| object["command"][0] == "/bin/sh").collect();
    assert_eq!(programs.len(), 6);
    assert!(
        programs.iter().all(|object| object["exit_code"] == 0 && object["activity"] == activity["activity"])
    );
    assert_eq!(of("activity", "ended")[0]["commands"], 6);
    let ended = of("agreement", "ended")[0];
    assert_eq!(
        (&ended["by"], &ended["reason"]["message"]),
        (&"requestor".into(), &"all work is done".into())
    );
    let (sent, accepted) = (of("invoice", "sent")[0], of("invoice", "accepted")[0]);
    assert_eq!((&sent["invoice"], &sent["agreement"]), (&accepted["invoice"], agreement));
    assert!(sent["amount"].as_str().unwrap().starts_with("0.0"), "{sent}");
    assert_eq!(sent["provider"], first["providers"][0]);
}

#[tokio::test]
async fn providers_misbehave_as_the_config_file_says_and_the_work_is_done_all_the_same() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/devnet/misbehaving.toml");
    let (home, mut devnet) = (Home::new(), Served::start(&["--config", example, "--commands"]));
    for name in
        ["sleepy", "mortal", "clumsy-1", "clumsy-2", "full", "greedy", "moody", "forgetful", "shy", "garbled"]
    {
        devnet.tells(&[name, "is on the market"]).await;
    }
    // Ten machines, so that everyone gets work who can be had for it.
    let job = home.job("[tasks]\nrange = { end = 60 }\n[[steps]]\nrun = \"sleep 0.5; echo {{ task }}\"\n[limits]\nworkers = 10\nretries = 9\n");
    let mut command = home.command(&job, ["--quiet"]);
    command.envs(devnet.environment().await);
    let mut run = Running::start(command);
    run.prints(60).await;
    for parts in [
        &["shy", "gets no answer"][..],
        &["clumsy", "ran `/bin/sh", "exit code 1"],
        &["full", "can't be deployed: "],
        &["mortal", "the provider has died"],
        &["greedy", "invoice ", " sent: "],
        &["greedy", "invoice ", "rejected: "],
    ] {
        devnet.tells(parts).await;
    }
    // It would still wait for the bills of those that died or never send any.
    run.kill();
    run.end().await;
    let (out, _) = devnet.stop().await;
    assert!(!out.lines().any(|line| line.contains("forgetful") && line.contains("invoice ")), "{out}");
    assert!(!out.lines().any(|line| line.contains("garbled") && line.contains("approved")), "{out}");
}

#[tokio::test]
async fn it_goes_on_when_nobody_reads_what_it_tells() {
    let home = Home::new();
    let file = home.path("devnet.env");
    let mut child =
        command(&["--listen", "127.0.0.1:0", "--providers", "1", "--env-file", file.to_str().unwrap()])
            .spawn()
            .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    wait_until("the file is there", || file.exists()).await;
    let text = std::fs::read_to_string(&file).unwrap();
    let environment =
        text.lines().filter_map(|line| line.strip_prefix("export ")).filter_map(|line| line.split_once('='));
    let mut command = home.command(&home.job(JOB), ["--quiet"]);
    command.envs(environment);
    Running::start(command).end().await.assert_code(0);
    signal(child.id().unwrap(), Signal::TERM);
    let status = tokio::time::timeout(Duration::from_secs(60), child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}
