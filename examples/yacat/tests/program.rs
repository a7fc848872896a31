//! The program with an executor and its worker, both as they are, on devnets.

use std::fs;
use std::process::Command;

use golem_devnet::devnet::Devnet;
use golem_examples::CANCELLED;
use golem_examples::testing::{Ended, Stage};

const YACAT: &str = env!("CARGO_BIN_EXE_yacat-executor");
const WORKER: &str = env!("CARGO_BIN_EXE_yacat-worker");

/// The MD5 of `q7x` and the SHA-256 of `golem`.
const Q7X: &str = "3b7380df3c1ce716d7e824d41847c028";
const GOLEM: &str = "4c5cddb7859b93eebf26c551518c021a31fa0013b2c03afa5b541cbc8bd079a6";

async fn crack(stage: &Stage, flags: &[&str]) -> Ended {
    stage.run(YACAT, flags).await
}

#[tokio::test]
async fn the_word_is_found_and_the_rest_is_stopped() {
    let stage = Stage::with_devnet(Devnet::builder().providers(3)).await;
    let ended = crack(&stage, &["--mask", "go?l?l?l", "--hash", GOLEM, "--parts", "1000"]).await;
    ended.assert_code(0);
    assert_eq!(ended.stdout, "golem\n");
    assert!(ended.stderr.contains("\n17576 words in 977 parts\n"), "{}", ended.stderr);
    // It is word 7,552, and 18 words are a part.
    let searched = ended.stderr.matches(" of 977 parts searched").count();
    assert!((380..700).contains(&searched), "{searched} parts were searched");
    stage.assert_closed();
    stage.close().await;
}

#[tokio::test]
async fn a_word_that_isnt_there_is_told() {
    let stage = Stage::bare();
    let ended = crack(&stage, &["--devnet", "--mask", "?l?d?d", "--hash", Q7X, "--parts", "4"]).await;
    ended.assert_code(1);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("\n4 of 4 parts searched"), "{}", ended.stderr);
    assert!(
        ended.stderr.ends_with("not in this space: no word of the mask has this hash\n"),
        "{}",
        ended.stderr
    );
    let ended = crack(&stage, &["--devnet", "--mask", "?l?d?l", "--hash", Q7X]).await;
    ended.assert_code(0);
    assert_eq!(ended.stdout, "q7x\n");
}

#[tokio::test]
async fn ctrl_c_ends_the_search() {
    let stage = Stage::with_devnet(Devnet::builder().providers(2)).await;
    let endless = "?a?a?a?a?a?a?a?a?a";
    let mut running = stage.start(YACAT, &["--mask", endless, "--hash", Q7X, "--parts", "2"]);
    running.says("words in 2 parts").await;
    running.says("(task 1)").await;
    running.interrupt();
    let ended = running.end().await;
    ended.assert_code(i32::from(CANCELLED));
    assert_eq!(ended.stdout, "");
    stage.assert_closed();
    stage.close().await;
}

#[tokio::test]
async fn a_worker_that_lies_is_found_out() {
    let stage = Stage::with_devnet(Devnet::builder().providers(1)).await;
    let liar = stage.path("liar");
    fs::write(&liar, "#!/bin/sh\n[ \"$1\" = keyspace ] && echo 10 || echo wrong\n").unwrap();
    let flags = ["--mask", "?d", "--hash", Q7X, "--parts", "1", "--worker", liar.to_str().unwrap()];
    let ended = crack(&stage, &flags).await;
    ended.assert_error(
        "error: not every task could be done; 1 failed, such as task 1 after 4 attempts: a word that",
    );
    assert_eq!(ended.stdout, "");
    stage.assert_closed();
    stage.close().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_before_anything_is_bought() {
    let stage = Stage::bare();
    for (flags, told) in [
        (&["--mask", "?x", "--hash", Q7X][..], "`?x` is no place of a mask"),
        (&["--mask", "?l", "--hash", "abc"], "`abc` is neither an MD5"),
        (&["--mask", "?l", "--hash", Q7X, "--parts", "0"], "invalid value '0' for '--parts"),
        (&["--mask", "?l"], "--hash"),
    ] {
        let ended = crack(&stage, flags).await;
        ended.assert_code(2);
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    }
    let ended = crack(&stage, &["--mask", "?l", "--hash", Q7X, "--worker", "nowhere"]).await;
    ended.assert_error("error: there is no worker at `nowhere`: `cargo build -p yacat` builds it");
    let ended = crack(&stage, &["--mask", "?l", "--hash", Q7X]).await;
    ended.assert_error("error: no app key is given");
}

#[test]
fn the_worker_counts_and_searches() {
    let worker = |args: &[&str]| Command::new(WORKER).args(args).output().unwrap();
    let said = |args: &[&str]| String::from_utf8(worker(args).stdout).unwrap();
    assert_eq!(said(&["keyspace", "?l?d"]), "260\n");
    assert_eq!(said(&["search", "?l?d?l", Q7X, "0", "6760"]), "q7x\n");
    assert_eq!(said(&["search", "?l?d?l", Q7X, "0", "10"]), "");
    for wrong in
        [&[][..], &["keyspace", "?"], &["search", "?l", "x", "0", "1"], &["search", "?l", Q7X, "0", "x"]]
    {
        let output = worker(wrong);
        assert!(!output.status.success() && output.stderr.starts_with(b"error: "), "{wrong:?}: {output:?}");
    }
}
