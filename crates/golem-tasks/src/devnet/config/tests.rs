use std::time::Duration;

use golem_devnet::provider::{ApprovalManner, Behaviour, InvoiceManner, OfferFlaw, Vanishing};
use yagna_api::market::Reason;

use super::*;

fn read(text: &str) -> ConfigFile {
    ConfigFile::parse(text, Path::new("devnet.toml")).unwrap_or_else(|error| panic!("{error}"))
}

fn told(text: &str) -> String {
    ConfigFile::parse(text, Path::new("devnet.toml")).expect_err("it is wrong").to_string()
}

fn behaviour(text: &str) -> Behaviour {
    let config = read(&format!("[[provider]]\nname = \"ada\"\nbehaviour = {{ {text} }}\n"));
    config.described[0].config.behaviour.clone()
}

#[test]
fn an_empty_file_leaves_everything_to_the_flags() {
    let config = read("");
    assert!(config.seed.is_none() && config.listen.is_none() && config.providers.is_none());
    assert!(config.described.is_empty());
}

#[test]
fn the_networks_own_settings_are_read() {
    let config = read(
        "seed = 7\nlisten = \"127.0.0.1:0\"\nsubnet = \"mine\"\ndriver = \"erc20\"\nnetwork = \"polygon\"\n\
         delays = \"none\"\nproviders = 5\nprices = { env_hour = 0.02 }\n",
    );
    assert_eq!((config.seed, config.providers, config.pace), (Some(7), Some(5), Some(Pace::AtOnce)));
    assert_eq!(config.listen.unwrap().port(), 0);
    assert_eq!(config.subnet.as_deref(), Some("mine"));
    assert_eq!((config.driver.as_deref(), config.network.as_deref()), (Some("erc20"), Some("polygon")));
    assert_eq!(config.prices, Some(Prices::per_hour("0", "0", "0.02").unwrap()));
}

#[test]
fn a_provider_is_what_its_section_says_and_usual_otherwise() {
    let config = read(
        "[[provider]]\nname = \"ada\"\ncores = 8\nmemory_gib = 32\nstorage_gib = 100.5\nruntime = \"vm-nvidia\"\n\
         capabilities = [\"vpn\"]\nsubnet = \"hers\"\nprices = { start = \"0.1\" }\ncpu_first = true\n\
         [provider.limits]\nagreements = 2\nidle = \"5m\"\ndebit_note_interval = \"10s\"\n\
         [[provider]]\nname = \"bob\"\ncount = 2\nthreads = 3\n",
    );
    let names: Vec<_> = config.described.iter().map(|one| one.config.name.as_str()).collect();
    assert_eq!(names, ["ada", "bob-1", "bob-2"]);
    let (ada, bob) = (&config.described[0], &config.described[1]);
    let hardware = ada.config.hardware;
    assert_eq!((hardware.cores, hardware.threads), (8, 16));
    assert_eq!(
        (hardware.memory_gib.to_bits(), hardware.storage_gib.to_bits()),
        (32f64.to_bits(), 100.5f64.to_bits())
    );
    assert_eq!(
        (ada.config.runtime_name.as_str(), &*ada.config.capabilities),
        ("vm-nvidia", &["vpn".to_owned()][..])
    );
    assert_eq!(ada.config.subnet.as_deref(), Some("hers"));
    assert!(ada.config.cpu_first && !bob.config.cpu_first);
    assert_eq!((ada.has_prices, ada.config.prices), (true, Prices::per_hour("0.1", "0", "0").unwrap()));
    let limits = &ada.config.limits;
    assert_eq!((limits.agreements, limits.idle), (2, Duration::from_secs(300)));
    assert_eq!(limits.debit_note_interval, Duration::from_secs(10));
    assert_eq!(limits.min_expiration, Duration::from_secs(300), "the usual one");
    assert_eq!((bob.config.hardware.cores, bob.config.hardware.threads), (2, 3));
    assert_eq!((bob.has_prices, &bob.config.behaviour), (false, &Behaviour::default()));
}

#[test]
fn every_way_to_misbehave_can_be_written() {
    let second = Duration::from_secs(1);
    let honest = Behaviour::default();
    for (text, meant) in [
        ("", honest.clone()),
        ("approves = \"at once\", invoices = \"once\"", honest.clone()),
        (
            "approves = \"after 5s\"",
            Behaviour { approval: ApprovalManner::After(5 * second), ..honest.clone() },
        ),
        ("approves = \"never\"", Behaviour { approval: ApprovalManner::Never, ..honest.clone() }),
        ("approves = \"rejects\"", Behaviour { approval: ApprovalManner::Rejects, ..honest.clone() }),
        ("slow = 3.5", Behaviour { slowdown: 3.5, ..honest.clone() }),
        ("fails_commands = 2", Behaviour { fails_commands: Some(2), ..honest.clone() }),
        ("fails_deploy = true", Behaviour { fails_deploy: true, ..honest.clone() }),
        (
            "dies_after = \"30s\", comes_back_after = \"1m\"",
            Behaviour {
                vanishes: Some(Vanishing::After(30 * second)),
                returns_after: Some(60 * second),
                ..honest.clone()
            },
        ),
        (
            "dies_after_commands = 3",
            Behaviour { vanishes: Some(Vanishing::AfterCommands(3)), ..honest.clone() },
        ),
        (
            "agent_dies_after = \"30s\", comes_back_after = \"1m\"",
            Behaviour {
                vanishes: Some(Vanishing::AgentAfter(30 * second)),
                returns_after: Some(60 * second),
                ..honest.clone()
            },
        ),
        (
            "terminates_after = \"1m\", terminates_because = \"bored\"",
            Behaviour { terminates: Some((60 * second, Reason::new("bored"))), ..honest.clone() },
        ),
        ("overbills = 2", Behaviour { bill_factor: 2.0, ..honest.clone() }),
        ("frozen_usage = true", Behaviour { frozen_usage: true, ..honest.clone() }),
        ("debit_notes_every = \"10s\"", Behaviour { debit_notes_every: Some(10 * second), ..honest.clone() }),
        ("invoices = \"never\"", Behaviour { invoicing: InvoiceManner::Never, ..honest.clone() }),
        ("invoices = \"twice\"", Behaviour { invoicing: InvoiceManner::Twice, ..honest.clone() }),
        (
            "invoices = \"after 500ms\"",
            Behaviour { invoicing: InvoiceManner::After(Duration::from_millis(500)), ..honest.clone() },
        ),
        ("offer_flaw = \"price null\"", Behaviour { offer_flaw: Some(OfferFlaw::PriceNull), ..honest }),
    ] {
        assert_eq!(behaviour(text), meant, "{text}");
    }
}

#[test]
fn slips_are_told_with_their_place_and_the_mend() {
    for (text, message) in [
        ("sed = 7\n", "devnet.toml:1:1: unknown key `sed` in a devnet's config file"),
        ("sed = 7\n", "did you mean `seed`?"),
        ("seed = -1\n", "devnet.toml:1:8: `seed` can't be below zero"),
        ("seed = \n", "devnet.toml:1:"),
        ("listen = \"7465\"\n", "`listen` must be an address with a port, such as \"127.0.0.1:7465\""),
        ("delays = \"nome\"\n", "did you mean \"none\"?"),
        ("delays = \"some\"\n", "`delays` can't be \"some\""),
        ("providers = 1001\n", "can't be more than 1000"),
        ("prices = { cpu = 1 }\n", "did you mean `cpu_hour`?"),
        ("prices = { start = -1 }\n", "`prices.start` can't be below zero"),
        ("threads = 4\n", "`threads` belongs in [[provider]]"),
        ("[[provider]]\nslow = 2.0\n", "`slow` belongs in [provider.behaviour]"),
        ("[[provider]]\ncores = 2\n", "devnet.toml:1:1: this provider has no name"),
        ("[provider]\nname = \"ada\"\n", "begin every provider with a line [[provider]] in double brackets"),
        ("[[provider]]\nname = \"a\"\nbehavior = {}\n", "did you mean `behaviour`?"),
        (
            "[[provider]]\nname = \"a\"\nbehaviour = { dies_after_tasks = 1 }\n",
            "did you mean `dies_after_commands`?",
        ),
        (
            "[[provider]]\nname = \"a\"\nbehaviour = { slow = \"very\" }\n",
            "`behaviour.slow` must be a number from 0 up",
        ),
        ("[[provider]]\nname = \"a\"\nbehaviour = { slow = 0.5 }\n", "must be 1 or more"),
        (
            "[[provider]]\nname = \"a\"\nbehaviour = { fails_deploy = 1 }\n",
            "must be true or false, found the number 1",
        ),
        (
            "[[provider]]\nname = \"a\"\nbehaviour = { fails_commands = 0 }\n",
            "must be an exit code from 1 to 255",
        ),
        ("[[provider]]\nname = \"a\"\nbehaviour = { approves = \"nver\" }\n", "did you mean \"never\"?"),
        (
            "[[provider]]\nname = \"a\"\nbehaviour = { approves = \"after\" }\n",
            "`behaviour.approves` can't be \"after\"",
        ),
        ("[[provider]]\nname = \"a\"\nbehaviour = { invoices = \"after 5\" }\n", "can't be \"after 5\""),
        (
            "[[provider]]\nname = \"a\"\nbehaviour = { offer_flaw = \"no price\" }\n",
            "did you mean \"no prices\"?",
        ),
        (
            "[[provider]]\nname = \"a\"\nbehaviour = { comes_back_after = \"1s\" }\n",
            "comes back but never dies",
        ),
        (
            "[[provider]]\nname = \"a\"\nbehaviour = { terminates_because = \"x\" }\n",
            "says why, but not when",
        ),
        (
            "[[provider]]\nname = \"a\"\nbehaviour = { dies_after = \"1s\", dies_after_commands = 1 }\n",
            "`dies_after` and `dies_after_commands` can't both be given",
        ),
        (
            "[[provider]]\nname = \"a\"\nbehaviour = { agent_dies_after = \"1s\", dies_after_commands = 1 }\n",
            "`dies_after_commands` and `agent_dies_after` can't both be given",
        ),
        (
            "[[provider]]\nname = \"a-2\"\n\n[[provider]]\nname = \"a\"\ncount = 3\n",
            "devnet.toml:5:8: two providers are called `a-2`",
        ),
        ("[[provider]]\nname = \"a\"\n\n[[provider]]\nname = \"a\"\n", "the other one is in line 2"),
    ] {
        let told = told(text);
        assert!(told.contains(message), "{text}\n{told}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let told = told("seed = -1\nprovders = 3\n[[provider]]\nname = \"\"\ncount = 0\n");
    assert!(told.ends_with("4 problems in devnet.toml"), "{told}");
}

#[test]
fn every_other_word_leads_to_a_key_that_exists() {
    let known = [schema::CONFIG.top, schema::PROVIDER, schema::PRICES, schema::LIMITS, schema::BEHAVIOUR];
    for (word, meant) in schema::CONFIG.other_words {
        assert!(known.iter().any(|keys| keys.contains(meant)), "{word} -> {meant}");
    }
}

const PAGE: &str = include_str!("../../../../../docs/devnet.md");

#[test]
fn the_page_explains_every_key_and_its_examples_are_right() {
    for keys in [schema::CONFIG.top, schema::PROVIDER, schema::PRICES, schema::LIMITS, schema::BEHAVIOUR] {
        for key in keys {
            let told = [format!("`{key}`"), format!("`{key} ="), format!("`[[{key}]]`")];
            assert!(told.iter().any(|told| PAGE.contains(told)), "{key}");
        }
    }
    let files: Vec<_> = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```")).collect();
    assert!(!files.is_empty());
    for (file, _) in files {
        assert!(!read(file).described.is_empty());
    }
    let (_, table) = PAGE.split_once("In `behaviour`").unwrap();
    let (table, flaws) = table.split_once("The flaws of an offer: ").unwrap();
    let examples: Vec<_> =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |")).collect();
    assert!(examples.len() >= 10, "{examples:?}");
    for (example, _) in examples {
        let beside = match example.split_once(' ').unwrap().0 {
            "comes_back_after" => ", dies_after = \"1s\"",
            "terminates_because" => ", terminates_after = \"1s\"",
            _ => "",
        };
        assert_ne!(behaviour(&format!("{example}{beside}")), Behaviour::default(), "{example}");
    }
    let flaws = flaws.split_once("\n\n").unwrap().0;
    assert_eq!(flaws.matches('"').count(), 22);
    for flaw in flaws.split('"').skip(1).step_by(2) {
        assert!(behaviour(&format!("offer_flaw = \"{flaw}\"")).offer_flaw.is_some());
    }
}

#[test]
fn the_example_is_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/devnet/misbehaving.toml");
    let config = ConfigFile::load(&path).unwrap();
    assert_eq!((config.providers, config.described.len()), (Some(2), 10));
}
