//! What is wrong is told once, with the mend, and nothing is begun.

use crate::served::{Served, command};
use crate::stage::{Ended, Home, Running};

async fn refused(flags: &[&str]) -> Ended {
    let ended = Running::start(command(flags)).end().await;
    assert_eq!(ended.out, "", "nothing is begun");
    ended
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let mut devnet = Served::start(&["--providers", "0", "--quiet"]);
    let url = devnet.environment().await["YAGNA_API_URL"].clone();
    let address = url.strip_prefix("http://").unwrap();
    let ended = refused(&["--listen", address]).await;
    ended.assert_code(2);
    let port = address.rsplit_once(':').unwrap().1;
    ended.assert_says(&[
        &format!("error: the devnet can't listen at {address}\n"),
        "Address already in use",
        &format!("sport = :{port}"),
        "--listen 127.0.0.1:0",
    ]);
    devnet.stop().await;
}

#[tokio::test]
async fn a_config_file_that_is_missing_or_misspelt() {
    let home = Home::new();
    let file = home.path("devnet.toml");
    let name = file.to_str().unwrap();
    let ended = refused(&["--config", name]).await;
    ended.assert_code(2);
    ended.assert_says(&["can't read the config file", "No such file"]);

    home.write("devnet.toml", "[[provider]]\nname = \"ada\"\nbehaviour = { overbils = 2.0 }\n");
    let ended = refused(&["--config", name]).await;
    ended.assert_code(2);
    ended.assert_says(&[
        &format!("{name}:3:15: unknown key `overbils` in `behaviour`"),
        "3 | behaviour = { overbils = 2.0 }\n",
        "did you mean `overbills`?",
    ]);
    assert_eq!(ended.err.matches("error: ").count(), 1, "{}", ended.err);
}

#[tokio::test]
async fn flags_that_make_no_sense() {
    for (flags, told) in [
        (&["--price", "0.1"][..], "expected prices in GLM such as start=0.01,cpu-hour=0.06,env-hour=0.02"),
        (&["--price", "cpu=1"], "there is no price `cpu`"),
        (&["--price", "start=-1"], "must not be negative"),
        (&["--providers", "1001"], "1001 is not in 0..=1000"),
        (&["--listen", "7465"], "invalid socket address"),
        (&["--subnet", " "], "`--subnet` must not be empty"),
        (&["--app-key", "two words"], "an app key is one word"),
        (
            &["--app-key", "k", "--app-key", "k", "--listen", "127.0.0.1:0"],
            "two requestors have the same app key",
        ),
        (
            &["--env-file", "/no/such/folder/env", "--listen", "127.0.0.1:0", "--quiet", "--json"],
            "can't write the environment to",
        ),
    ] {
        let ended = Running::start(command(flags)).end().await;
        ended.assert_code(2);
        ended.assert_says(&[told]);
    }
}

#[test]
fn the_help_teaches() {
    insta::assert_snapshot!(golem_tasks::cli::help(Some("devnet")).unwrap());
}
