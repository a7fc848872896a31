//! The program with its renderer, both as they are, on devnets.

#![expect(clippy::unwrap_used, reason = "what goes wrong here is a failed test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use frames::{Picture, Scene, render};
use golem_devnet::devnet::Devnet;
use golem_examples::CANCELLED;
use golem_examples::testing::Stage;

const FRAMES: &str = env!("CARGO_BIN_EXE_frames");
const RENDERER: &str = env!("CARGO_BIN_EXE_frames-worker");

fn picture(file: &Path) -> Picture {
    Picture::from_png(&fs::read(file).unwrap()).unwrap()
}

#[tokio::test]
async fn the_picture_in_the_readme_is_what_the_program_makes() {
    let stage = Stage::bare();
    let ended = stage.run(FRAMES, &["--devnet", "out"]).await;
    ended.assert_code(0);
    assert_eq!(ended.stdout.lines().count(), 9, "{}", ended.stdout);
    assert!(ended.stdout.ends_with("all of them are in out/sheet.png\n"), "{}", ended.stdout);
    let shown = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/images/frames.png");
    assert!(fs::metadata(&shown).unwrap().len() < 300_000);
    // Their bytes may differ from one version of the PNG library to the next, their pixels may not.
    let (made, shown) = (picture(&stage.path("out/sheet.png")), picture(&shown));
    assert!(made == shown, "if that is meant, put the new sheet.png in the place of docs/images/frames.png");
}

#[tokio::test]
async fn each_frame_is_a_file_with_its_own_picture() {
    let stage = Stage::with_devnet(Devnet::builder().providers(2)).await;
    let ended = stage.run(FRAMES, &["out", "--frames", "5", "--width", "20", "--workers", "2"]).await;
    ended.assert_code(0);
    assert!(ended.stderr.contains("\n5 of 5 frames for "), "{}", ended.stderr);
    for frame in 0..5 {
        let made = picture(&stage.path(format!("out/frame_{frame:03}.png")));
        assert!(made == render(&Scene::at(frame, 5), 20, 15), "frame {frame}");
    }
    assert_eq!(fs::read_dir(stage.path("out")).unwrap().count(), 6);
    stage.assert_closed();
    stage.close().await;
}

#[tokio::test]
async fn a_frame_of_another_size_is_refused() {
    let stage = Stage::with_devnet(Devnet::builder().providers(1)).await;
    let small = stage.path("small.png");
    fs::write(&small, render(&Scene::at(0, 1), 4, 4).to_png().unwrap()).unwrap();
    let liar = stage.path("liar");
    fs::write(&liar, format!("#!/bin/sh\nbase64 -d >\"$5\" <<END\n{}\nEND\n", base64(&small))).unwrap();
    let flags = ["out", "--frames", "1", "--width", "20", "--worker", liar.to_str().unwrap()];
    let ended = stage.run(FRAMES, &flags).await;
    ended.assert_error(
        "error: not every task could be done; 1 failed, such as task 0 after 4 attempts: the frame has",
    );
    assert!(!stage.path("out/sheet.png").exists());
    stage.assert_closed();
    stage.close().await;
}

#[tokio::test]
async fn ctrl_c_ends_in_order() {
    let stage = Stage::with_devnet(Devnet::builder().providers(2)).await;
    let slow = stage.path("slow");
    fs::write(&slow, "#!/bin/sh\nexec sleep 3600\n").unwrap();
    let mut running = stage.start(FRAMES, &["out", "--worker", slow.to_str().unwrap()]);
    running.says("Task started").await;
    running.interrupt();
    let ended = running.end().await;
    ended.assert_code(i32::from(CANCELLED));
    assert!(ended.stderr.ends_with(" GLM\n"), "{}", ended.stderr);
    assert!(!stage.path("out/sheet.png").exists());
    stage.assert_closed();
    stage.close().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_before_anything_is_bought() {
    let stage = Stage::bare();
    for flags in [["--frames", "0"], ["--width", "3"], ["--workers", "0"], ["--size", "3"]] {
        let ended = stage.run(FRAMES, &flags).await;
        ended.assert_code(2);
        assert!(ended.stderr.contains(flags[0]), "{}", ended.stderr);
    }
    let ended = stage.run(FRAMES, &["--worker", "nowhere"]).await;
    ended.assert_error("error: there is no renderer at `nowhere`: `cargo build -p frames` builds it");
    let ended = stage.run(FRAMES, &[]).await;
    ended.assert_error("error: no app key is given");
}

#[test]
fn the_renderer_says_what_it_cant_do() {
    let nowhere = ["0", "1", "8", "8", "/nowhere/at/all.png"];
    for wrong in [
        &[][..],
        &["0", "1", "8", "x", "f"],
        &["0", "1", "99999", "8", "f"],
        &["0", "1", "0", "8", "f"],
        &nowhere,
    ] {
        let output = Command::new(RENDERER).args(wrong).output().unwrap();
        assert!(!output.status.success() && output.stderr.starts_with(b"error: "), "{wrong:?}: {output:?}");
    }
}

/// As a shell can read it back.
fn base64(file: &Path) -> String {
    let output = Command::new("base64").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
