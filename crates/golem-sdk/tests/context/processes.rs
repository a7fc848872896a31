//! Commands that really run: environment, output, files, the web.

use axum::Router;
use axum::routing::get;
use golem_sdk::{Capture, Program, ScriptError};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use yagna_api::activity::Deploy;

use crate::lab::{Lab, secs};

#[tokio::test]
async fn the_environment_reaches_the_command() {
    let mut lab = Lab::with_processes().await;
    let ctx = &mut lab.ctx;
    let shell = ctx.add(
        Program::shell("printf %s \"$GREETING, $NAME\"").env("GREETING", "good day").env("NAME", "ż = 'ł'\n"),
    );
    let program = ctx.add(Program::new("/usr/bin/env").env("ONLY", "here"));
    let odd = "/golem/work/a=b";
    ctx.shell(format!("printf '#!/bin/sh\\nprintf %%s \"$NAME:$1\"' >{odd}; chmod +x {odd}"));
    let odd = ctx.add(Program::new(odd).arg("x y").env("NAME", "n"));
    let without = ctx.shell("printf %s \"$GREETING\"");
    let done = ctx.commit(secs(60)).await.unwrap();
    assert_eq!(done[shell].stdout(), "good day, ż = 'ł'\n");
    assert!(done[program].stdout().lines().any(|line| line == "ONLY=here"), "{}", done[program].stdout());
    assert_eq!(done[odd].stdout(), "n:x y");
    assert_eq!(done[without].stdout(), "");
    lab.end().await;
}

#[tokio::test]
async fn an_explicit_deployment_brings_a_fresh_machine_whose_variables_come_with_each_command() {
    let mut lab = Lab::with_processes().await;
    let ctx = &mut lab.ctx;
    ctx.shell("touch /golem/work/old");
    ctx.commit(secs(60)).await.unwrap();
    ctx.terminate();
    // Providers don't heed the variables of a deployment.
    ctx.deploy(Deploy { env: [("PLACE".to_owned(), "here".to_owned())].into(), ..Deploy::default() });
    ctx.start([""; 0]);
    let there = ctx.shell("echo $PLACE $OWN; ls /golem/work");
    let both = ctx.add(Program::shell("echo $PLACE $OWN").env("OWN", "mine"));
    let done = ctx.commit(secs(60)).await.unwrap();
    assert_eq!((done[there].stdout().as_ref(), done[both].stdout().as_ref()), ("\n", "mine\n"));
    lab.end().await;
}

#[tokio::test]
async fn captures_keep_what_they_say() {
    let mut lab = Lab::with_processes().await;
    let ctx = &mut lab.ctx;
    let line = "printf abcdefghij; printf klm >&2";
    let captures = [
        (Capture::none(), ""),
        (Capture::all(), "abcdefghij"),
        (Capture::head(4), "abcd"),
        (Capture::tail(4), "ghij"),
        (Capture::head_tail(4), "abij"),
        (Capture::stream(), "abcdefghij"),
        (Capture::stream_up_to(3), "abc"),
    ];
    let commands = captures.map(|(capture, _)| ctx.add(Program::shell(line).stdout(capture)));
    let silent = ctx.add(Program::shell(line).capture(Capture::none()));
    let bytes = ctx.add(Program::shell("printf 'a\\377\\000b'").binary_output());
    let done = ctx.commit(secs(60)).await.unwrap();
    for (command, (capture, kept)) in commands.into_iter().zip(captures) {
        assert_eq!(done[command].stdout(), kept, "{capture:?}");
        assert_eq!(done[command].stderr(), "klm", "{capture:?}");
    }
    assert_eq!((done[silent].stdout().as_ref(), done[silent].stderr().as_ref()), ("", ""));
    assert_eq!(done[bytes].stdout_bytes(), b"a\xff\0b");
    lab.end().await;
}

#[tokio::test]
async fn files_documents_and_bytes_travel_both_ways() {
    let mut lab = Lab::with_processes().await;
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(folder.path().join("scene"), &content).unwrap();
    let ctx = &mut lab.ctx;
    ctx.send_file(folder.path().join("scene"), "/golem/resource/scene");
    ctx.send_json(&vec!["a", "b"], "/golem/work/list.json").unwrap();
    ctx.send_bytes(&b"\0\xff"[..], "/golem/work/bytes");
    ctx.shell("cat /golem/work/bytes /golem/work/bytes >/golem/output/twice");
    let scene = ctx.download_file("/golem/resource/scene", folder.path().join("back/scene"));
    let list = ctx.download_json("/golem/work/list.json", 100);
    let twice = ctx.download_bytes("/golem/output/twice", 4);
    let done = ctx.commit(secs(60)).await.unwrap();
    assert_eq!(std::fs::read(done.file(scene).unwrap()).unwrap(), content);
    assert_eq!(done.json::<Vec<String>>(list).unwrap(), ["a", "b"]);
    assert_eq!(done.bytes(twice).unwrap(), &b"\0\xff\0\xff"[..]);
    lab.end().await;
}

#[tokio::test]
async fn the_provider_fetches_from_the_web_by_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/weights", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    let router = Router::new().route("/weights", get(|| async { "from the web" }));
    server.spawn(async move { axum::serve(listener, router).await });
    let mut lab = Lab::with_processes().await;
    let fetch = lab.ctx.fetch(&url, "/golem/resource/weights");
    let shown = lab.ctx.shell("cat /golem/resource/weights");
    let done = lab.ctx.commit(secs(60)).await.unwrap();
    assert_eq!(done[shown].stdout(), "from the web");
    assert_eq!(done[fetch].command.words, format!("transfer {url} to container:/golem/resource/weights"));

    server.shutdown().await;
    lab.ctx.fetch(&url, "/golem/resource/weights");
    let error = lab.ctx.commit(secs(60)).await.unwrap_err();
    assert!(
        matches!(&error, ScriptError::TransferFailed(failure) if failure.exit_code.is_none()),
        "{error:?}"
    );
    lab.end().await;
}

#[tokio::test]
async fn a_program_that_isnt_there_is_named() {
    let mut lab = Lab::with_processes().await;
    lab.ctx.add(Program::new("/no/such/program").arg("x").env("SECRET", "hidden"));
    let error = lab.ctx.commit(secs(60)).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(error.to_string().starts_with("`/no/such/program x` (command 0) failed on ada"), "{error}");
    assert!(!shown.contains("hidden"), "{shown}");
    lab.end().await;
}
