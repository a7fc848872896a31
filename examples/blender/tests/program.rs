//! The program, as it is, on devnets whose machines have a stand-in for Blender in place of the image.

#![expect(clippy::unwrap_used, reason = "what goes wrong here is a failed test")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use golem_devnet::devnet::Devnet;
use golem_devnet::provider::{Behaviour, ProviderConfig};
use golem_examples::testing::Stage;
use golem_examples::{CANCELLED, ImageFolder};

const BLENDER: &str = env!("CARGO_BIN_EXE_blender");
const FRAMES: [u32; 6] = [0, 10, 20, 30, 40, 50];

fn stand_in(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stand-in").join(name)
}

fn scene() -> String {
    stand_in("scene.blend").to_str().unwrap().to_owned()
}

/// An image with this entry point.
fn image(folder: &Path, entry_point: &str) -> ImageFolder {
    let entry_points = folder.join("golem/entrypoints");
    fs::create_dir_all(&entry_points).unwrap();
    let file = entry_points.join("run-blender.sh");
    fs::write(&file, entry_point).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    ImageFolder::new(folder).unwrap()
}

/// Each frame is a picture that was made of the scene.
#[track_caller]
fn assert_pictures(folder: &Path) {
    for frame in FRAMES {
        let picture = fs::read(folder.join(format!("output_{frame}.png"))).unwrap();
        assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"), "frame {frame}");
        // The stand-in puts the checksum and the length of the scene behind the picture.
        let length = fs::metadata(scene()).unwrap().len();
        let text = String::from_utf8_lossy(&picture).into_owned();
        assert!(text.trim_end().ends_with(&format!(" {length}")), "frame {frame}: {text}");
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), FRAMES.len());
}

#[tokio::test]
async fn frames_are_rendered_where_the_image_has_blender() {
    let image = ImageFolder::new(&stand_in("image")).unwrap();
    let stage = Stage::with_devnet(Devnet::builder().providers(2).runtime(image)).await;
    let ended = stage.run(BLENDER, &[&scene(), "--output", "out", "--log-file", "run.log"]).await;
    ended.assert_code(0);
    assert_pictures(&stage.path("out"));
    assert_eq!(ended.stdout.lines().count(), FRAMES.len(), "{}", ended.stdout);
    for frame in FRAMES {
        assert!(ended.stdout.contains(&format!("Frame {frame} is in out/output_{frame}.png, rendered by ")));
    }
    assert!(ended.stderr.contains("Payment driver: erc20, network: hoodi"), "{}", ended.stderr);
    assert!(ended.stderr.contains("\n6 frames in "), "{}", ended.stderr);
    let log = fs::read_to_string(stage.path("run.log")).unwrap();
    assert!(log.contains("Agreement with "), "{log}");
    assert!(!log.contains(stage.devnet().requestor().key.expose()), "no log has the key");
    stage.assert_closed();
    stage.close().await;
}

#[tokio::test]
async fn the_devnet_inside_the_program_takes_a_folder_for_the_image() {
    let stage = Stage::bare();
    let image = stand_in("image");
    let flags = ["--devnet", "--devnet-image", image.to_str().unwrap(), "--output", "out"];
    let ended = stage.run(BLENDER, &[&flags[..], &[&scene()]].concat()).await;
    ended.assert_code(0);
    assert_pictures(&stage.path("out"));
}

#[tokio::test]
async fn a_frame_that_fails_is_rendered_elsewhere() {
    let image = ImageFolder::new(&stand_in("image")).unwrap();
    let clumsy = Behaviour { fails_commands: Some(1), ..Behaviour::default() };
    let devnet = Devnet::builder()
        .provider(ProviderConfig::new("clumsy").behaving(clumsy))
        .provider(ProviderConfig::new("steady"))
        .runtime(image);
    let stage = Stage::with_devnet(devnet).await;
    let ended = stage.run(BLENDER, &[&scene(), "--output", "out"]).await;
    ended.assert_code(0);
    assert_pictures(&stage.path("out"));
    assert!(ended.stderr.contains("will be retried"), "{}", ended.stderr);
    stage.assert_closed();
    stage.close().await;
}

#[tokio::test]
async fn what_is_no_picture_is_refused() {
    let folder = Stage::bare();
    let script = "#!/bin/sh\nfor n in 0 1 2 3 4 5; do echo lies >/golem/output/out00${n}0.png; done\n";
    let image = image(&folder.path("image"), script);
    let stage = Stage::with_devnet(Devnet::builder().providers(3).runtime(image)).await;
    let ended = stage.run(BLENDER, &[&scene(), "--output", "out"]).await;
    ended.assert_error("error: not every task could be done; 6 failed, such as task ");
    assert!(ended.stderr.ends_with(" after 4 attempts: what came is no PNG\n"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    stage.assert_closed();
    stage.close().await;
}

#[tokio::test]
async fn ctrl_c_ends_in_order_and_keeps_what_is_done() {
    let folder = Stage::bare();
    // Frame 0 is rendered, the others take for ever.
    let script = "#!/bin/sh\ngrep -q '\"frames\":\\[0\\]' /golem/work/params.json || exec sleep 3600\n\
                  printf '\\211PNG\\r\\n\\032\\n' >/golem/output/out0000.png\n";
    let image = image(&folder.path("image"), script);
    let stage = Stage::with_devnet(Devnet::builder().providers(2).runtime(image)).await;
    let mut running = stage.start(BLENDER, &[&scene(), "--output", "out"]);
    running.says("Task finished").await;
    running.interrupt();
    let ended = running.end().await;
    ended.assert_code(i32::from(CANCELLED));
    assert!(ended.stdout.starts_with("Frame 0 is in out/output_0.png"), "{}", ended.stdout);
    assert!(ended.stderr.contains("\n1 frames in "), "{}", ended.stderr);
    stage.assert_closed();
    stage.close().await;
}

#[tokio::test]
async fn what_is_missing_is_told_in_one_line() {
    let stage = Stage::bare();
    let ended = stage.run(BLENDER, &["nowhere.blend"]).await;
    ended.assert_error("error: there is no scene at `nowhere.blend`");
    let ended = stage.run(BLENDER, &[&scene()]).await;
    ended.assert_error("error: no app key is given and YAGNA_APPKEY isn't set: `yagna app-key create");
    let ended = stage.run(BLENDER, &[&scene(), "--devnet", "--devnet-image", "nowhere"]).await;
    ended.assert_error("error: the folder `nowhere` that stands in for the image can't be read: ");
    let ended = stage.run(BLENDER, &[]).await;
    ended.assert_code(2);
    assert!(ended.stderr.contains("required arguments were not provided"), "{}", ended.stderr);
    let ended = stage.run(BLENDER, &["--help"]).await;
    ended.assert_code(0);
    for flag in ["--devnet", "--subnet-tag", "--driver", "--network", "--log-file", "--output"] {
        assert!(ended.stdout.contains(flag), "{}", ended.stdout);
    }

    let stage = Stage::with_devnet(Devnet::builder().providers(1)).await;
    let ended = stage.run(BLENDER, &[&scene(), "--driver", "ZkSync", "--network", "Rinkeby"]).await;
    ended.assert_error(
        "error: no payment account with funds for the driver `zksync` on the network `rinkeby`: ",
    );
    stage.close().await;
}

#[test]
fn it_is_as_short_as_the_comparison_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = fs::read_to_string(root.join("src/main.rs")).unwrap();
    let code = program.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    let page = fs::read_to_string(root.join("../../docs/blender-side-by-side.md")).unwrap();
    let row = format!("| the program | 116 | {} |", code.count());
    assert!(page.contains(&row), "docs/blender-side-by-side.md should say: {row}");
}
