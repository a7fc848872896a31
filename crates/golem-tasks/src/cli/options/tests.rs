use std::fs;
use std::path::PathBuf;

use clap::{CommandFactory, Parser};
use golem_sdk::OnBudget;
use tempfile::TempDir;

use yagna_api::AppKey;
use yagna_client::ApiUrls;

use super::*;
use crate::cli::args::{Args, Command, JobFile};
use crate::cli::report;
use crate::options::DaemonChoice;
use crate::work::Typed;

const JOB: &str = r#"
[payload]
image_tag = "golem/alpine:latest"
[tasks]
values = [1]
[[steps]]
run = "echo {{ task }}"
[limits]
workers = 7
retries = 1
budget = "3"
task_timeout = "50s"
expiration = "10m"
"#;

struct Scene {
    _folder: TempDir,
    job: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let job = folder.path().join("job.toml");
        fs::write(&job, JOB).unwrap();
        Self { _folder: folder, job }
    }

    fn resolve(&self, flags: &[&str], variables: &[(&str, &str)]) -> Result<RunOptions, Failure> {
        let line = ["golem-tasks", "run"]
            .into_iter()
            .chain([self.job.to_str().unwrap()])
            .chain(flags.iter().copied());
        let args = Args::<JobFile>::try_parse_from(line).map_err(|error| Failure::new(Exit::Usage, error))?;
        let Command::Run(flags) = args.command else {
            panic!("the command is run");
        };
        let environment = |name: &str| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        };
        let load = |file: &JobFile| -> Result<Arc<dyn AnyJob>, Failure> {
            Ok(Arc::new(Typed::new(crate::job::Job::load(&file.job)?)))
        };
        resolve(&flags, load, &environment, &mut fastrand::Rng::with_seed(1))
    }

    fn refused(&self, flags: &[&str], variables: &[(&str, &str)]) -> String {
        let failure = self.resolve(flags, variables).expect_err("these options make no sense");
        assert_eq!(failure.exit(), Exit::Usage);
        report(&failure)
    }
}

#[test]
fn what_is_left_open_has_defaults() {
    let options = Scene::new().resolve(&["--devnet"], &[]).unwrap();
    let Limits { workers, retries, task_timeout, .. } = options.limits;
    assert_eq!((workers, retries, task_timeout), (7, 1, Duration::from_secs(50)));
    assert_eq!(options.daemon, DaemonChoice::Devnet { providers: 3, seed: None });
    assert_eq!(
        (options.subnet.as_str(), options.driver.as_str(), options.network.as_str()),
        ("public", "erc20", "hoodi")
    );
    assert_eq!(options.style, Style::Text);
    assert_eq!(options.dsn, Dsn::devnet_default().unwrap());
    assert!(!options.run_id.is_empty());
}

#[test]
fn the_help_names_the_defaults() {
    let command = Args::<JobFile>::command();
    let run = command.find_subcommand("run").unwrap();
    let told: Vec<_> = run
        .get_arguments()
        .filter(|flag| flag.get_help_heading() == Some("Limits, instead of those in the job file"))
        .filter_map(|flag| {
            let help = flag.get_help()?.to_string();
            let (_, default) = help.split_once("[default: ")?;
            Some([format!("--{}", flag.get_long()?), default.trim_end_matches(']').to_owned()])
        })
        .filter(|[_, default]| default != "all of them")
        .collect();
    assert!(told.len() >= 9, "{told:?}");
    let scene = Scene::new();
    fs::write(&scene.job, JOB.split_once("[limits]").unwrap().0).unwrap();
    for flags in told.iter().map(<[_; 2]>::as_slice).chain([told.concat().as_slice()]) {
        let flags: Vec<_> = flags.iter().map(String::as_str).chain(["--devnet"]).collect();
        let options = scene.resolve(&flags, &[]).unwrap();
        assert_eq!(
            (options.limits, options.settle_timeout),
            (Limits::default(), SETTLE_TIMEOUT),
            "{flags:?}"
        );
    }
    let lifted = ["--devnet", "--max-price-per-hour", "none", "--max-start-price", "none"];
    let limits = scene.resolve(&lifted, &[]).unwrap().limits;
    assert_eq!((limits.max_price_per_hour, limits.max_start_price), (None, None));
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_default() {
    let scene = Scene::new();
    let variables = [
        ("YAGNA_APPKEY", "key-of-env\n"),
        ("YAGNA_API_URL", "http://10.0.0.1:7465/"),
        ("YAGNA_SUBNET", "env-net"),
        ("YAGNA_PAYMENT_DRIVER", "dummy"),
        ("PAYMENT_NETWORK", "holesky"),
        ("GOLEM_TASKS_DSN", "sqlite:env.db"),
    ];
    let options = scene.resolve(&[], &variables).unwrap();
    assert_eq!(options.daemon, yagna("http://10.0.0.1:7465", "key-of-env"));
    assert_eq!(
        (options.subnet.as_str(), options.driver.as_str(), options.network.as_str()),
        ("env-net", "dummy", "holesky")
    );
    assert_eq!(options.dsn, Dsn::Sqlite("env.db".into()));

    let both = [variables.as_slice(), &[("YAGNA_PAYMENT_NETWORK", "sepolia")]].concat();
    assert_eq!(scene.resolve(&[], &both).unwrap().network, "sepolia");

    let flags = [
        "--app-key",
        "k",
        "--api-url",
        "https://d",
        "--subnet",
        "s",
        "--driver",
        "erc20",
        "--network",
        "polygon",
        "--dsn",
        "memory",
    ];
    let options = scene.resolve(&flags, &both).unwrap();
    let expected = yagna("https://d", "k");
    assert_eq!(options.daemon, expected);
    assert_eq!(
        (options.subnet, options.driver, options.network),
        ("s".into(), "erc20".into(), "polygon".into())
    );
    assert_eq!(options.dsn, Dsn::Memory);
}

#[test]
fn an_empty_variable_counts_as_none() {
    let scene = Scene::new();
    let variables = [("YAGNA_APPKEY", "k"), ("YAGNA_SUBNET", " "), ("YAGNA_PAYMENT_NETWORK", "")];
    let options = scene.resolve(&[], &variables).unwrap();
    assert_eq!((options.subnet.as_str(), options.network.as_str()), ("public", "hoodi"));
    assert!(scene.refused(&[], &[("YAGNA_APPKEY", "")]).contains("YAGNA_APPKEY isn't set"));
}

#[test]
fn flags_override_the_limits_of_the_job_file() {
    let flags = [
        "--devnet",
        "--devnet-providers",
        "9",
        "--devnet-seed",
        "42",
        "--workers",
        "2",
        "--budget",
        "0.5",
        "--budget",
        "2/h",
        "--on-budget",
        "pause",
        "--price-grace",
        "2m",
        "--retries",
        "0",
        "--task-timeout",
        "1m30s",
        "--max-price",
        "0.01",
        "--max-price-per-hour",
        "0.2",
        "--max-start-price",
        "0",
        "--expiration",
        "20m",
        "--idle-timeout",
        "9s",
        "--results",
        "11",
        "--halt",
        "12.5%",
        "--settle-timeout",
        "0s",
        "--run-id",
        "mine",
        "--json",
    ];
    let options = Scene::new().resolve(&flags, &[]).unwrap();
    let glm = |text: &str| text.parse::<Glm>().unwrap();
    assert_eq!(
        options.limits,
        Limits {
            providers: Vec::new(),
            exclude_providers: Vec::new(),
            on_end: None,
            notify: Vec::new(),
            task_timeout: Duration::from_secs(90),
            retries: 0,
            workers: 2,
            budget: "0.5,2/h".parse().unwrap(),
            on_budget: OnBudget::Pause,
            price_grace: Duration::from_secs(120),
            max_price: Some(glm("0.01")),
            max_price_per_hour: Some(glm("0.2")),
            max_start_price: Some(Glm::ZERO),
            expiration: Duration::from_secs(1200),
            idle_timeout: Duration::from_secs(9),
            results: Some(11),
            halt: "12.5%".parse().ok(),
        }
    );
    let devnet = DaemonChoice::Devnet { providers: 9, seed: Some(42) };
    assert_eq!(options.daemon, devnet);
    assert_eq!((options.run_id.as_str(), options.style), ("mine", Style::Json));
    assert_eq!(options.settle_timeout, Duration::ZERO);
    assert_eq!(options.describe().unwrap().to_json()["limits"]["budget"], "0.5,2/h");
    assert_eq!(options.describe().unwrap().to_json()["limits"]["on_budget"], "pause");
}

#[test]
fn providers_of_flags_replace_those_of_the_job_file_and_exclusions_add_up() {
    let scene = Scene::new();
    let of_file = "[payload]\nproviders = [\"ada\"]\nexclude_providers = [\"eve\"]\n";
    fs::write(&scene.job, JOB.replace("[payload]\n", of_file)).unwrap();
    let limits = scene.resolve(&["--devnet"], &[]).unwrap().limits;
    assert_eq!(
        (limits.providers, limits.exclude_providers),
        (vec!["ada".to_owned()], vec!["eve".to_owned()])
    );
    let flags = ["--devnet", "--provider", "bob", "--provider", "0x28", "--exclude-provider", "mallory"];
    let limits = scene.resolve(&flags, &[]).unwrap().limits;
    assert_eq!(limits.providers, ["bob", "0x28"]);
    assert_eq!(limits.exclude_providers, ["eve", "mallory"]);
}

#[test]
fn a_shorter_agreement_shortens_its_tasks() {
    let scene = Scene::new();
    fs::write(&scene.job, JOB.replace("50s", "9m")).unwrap();
    let options = scene.resolve(&["--devnet", "--expiration", "6m"], &[]).unwrap();
    assert_eq!(options.limits.task_timeout, Duration::from_secs(360));
}

#[test]
fn without_a_key_one_message_says_how_to_get_one() {
    insta::assert_snapshot!(Scene::new().refused(&[], &[]));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let scene = Scene::new();
    let key = [("YAGNA_APPKEY", "k")];
    for (flags, message) in [
        (&["--devnet", "--task-timeout", "11m"][..], "longer than an agreement lasts"),
        (&["--api-url", "localhost:7465"], "not a valid address of a daemon"),
        (&["--subnet", ""], "`--subnet` must not be empty"),
        (&["--app-key", "a b"], "characters that are not valid in a key"),
        (&["--dsn", "runs"], "names no database"),
        (&["--dsn", "dbnam=golem"], "did you mean `dbname`?"),
        (&["--devnet", "--budget", "0"], "nothing can be bought"),
        (&["--devnet", "--budget", "3/w"], "write `h` for any hour or `d` for any day"),
        (&["--devnet", "--budget", "3,x"], "`x` is not a valid amount of GLM"),
        (&["--devnet", "--budget", "3/h", "--budget", "4/h"], "two amounts for an hour"),
        (&["--devnet", "--on-budget", "wait"], "expected stop or pause"),
        (&["--devnet", "--budget=-1"], "must not be negative"),
        (&["--devnet", "--task-timeout", "5"], "expected a time such as"),
        (&["--devnet", "--expiration", "5m"], "providers refuse agreements of less than 5 minutes"),
        (&["--devnet", "--workers", "0"], "must be at least 1"),
        (&["--devnet", "--run-id", "a b"], "letters, digits"),
        (&["--devnet", "--api-url", "http://x"], "cannot be used with"),
        (&["--devnet-seed", "1"], "required arguments were not provided"),
    ] {
        let told = scene.refused(flags, &key);
        assert!(told.contains(message), "{flags:?}: {told}");
    }
}

#[test]
fn the_app_key_is_told_to_nobody() {
    let options = Scene::new().resolve(&["--app-key", "s3cret"], &[]).unwrap();
    assert!(!format!("{options:?}").contains("s3cret"));
    assert!(!options.describe().unwrap().to_json().to_string().contains("s3cret"));
}

fn yagna(url: &str, key: &str) -> DaemonChoice {
    DaemonChoice::Yagna { url: url.to_owned(), apis: Box::default(), app_key: AppKey::new(key) }
}

#[test]
fn single_apis_of_the_daemon_are_found_by_their_variables() {
    let scene = Scene::new();
    let payment = ("YAGNA_PAYMENT_URL", "http://pay:1/payment-api/v1");
    let options = scene.resolve(&[], &[("YAGNA_APPKEY", "k"), payment, ("YAGNA_NET_URL", " ")]).unwrap();
    let expected = ApiUrls { payment: Some(payment.1.parse().unwrap()), ..ApiUrls::default() };
    let DaemonChoice::Yagna { apis, .. } = options.daemon else { panic!("{:?}", options.daemon) };
    assert_eq!(*apis, expected);
    let said = scene.refused(&[], &[("YAGNA_APPKEY", "k"), ("YAGNA_MARKET_URL", "market")]);
    assert!(
        said.contains("YAGNA_MARKET_URL") && said.contains("http://127.0.0.1:7465/market-api/v1"),
        "{said}"
    );
}
