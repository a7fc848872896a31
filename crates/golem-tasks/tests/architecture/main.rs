//! The house's rules that the compiler doesn't know: which crate may depend on which, how large a file may grow,
//! and which licences the tree may hold.

#![expect(clippy::unwrap_used, reason = "what can't be read here is a failed test")]

mod circles;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Every arrow that is allowed, from the crate that depends to those it may depend on.
const ARROWS: [(&str, &[&str]); 14] = [
    ("yagna-api", &[]),
    ("yagna-client", &["yagna-api"]),
    ("golem-core", &["yagna-api"]),
    ("golem-sdk", &["yagna-api", "yagna-client", "golem-core"]),
    ("golem-devnet", &["yagna-api"]),
    ("golem-tasks", &["yagna-api", "yagna-client", "golem-core", "golem-sdk", "golem-devnet"]),
    (
        "golem-python",
        &["yagna-api", "yagna-client", "golem-core", "golem-sdk", "golem-devnet", "golem-tasks"],
    ),
    ("golem-examples", &["yagna-api", "yagna-client", "golem-sdk", "golem-devnet"]),
    ("blender", &["golem-sdk", "golem-examples"]),
    ("frames", &["golem-sdk", "golem-examples"]),
    ("market", &["yagna-api", "golem-sdk", "golem-examples"]),
    ("yacat", &["golem-sdk", "golem-examples", "golem-tasks"]),
    ("hello-world", &["golem-tasks"]),
    ("golem-bench", &["yagna-api", "yagna-client", "golem-sdk", "golem-devnet", "golem-tasks"]),
];

/// Circles of modules that may be, with the reason for each.
const CIRCLES: &[(&str, &[&str])] = &[
    // A value and its decoder.
    ("yagna-client", &["bus/decode", "bus/value"]),
    // An error shows how far its batch came, and a batch names its errors.
    ("golem-sdk", &["context/batch", "context/error"]),
    // Records of the emulated daemon that refer to one another, as they do in a real one.
    ("golem-devnet", &["node/activity", "node/monitor"]),
    ("golem-devnet", &["node/market", "node/negotiation"]),
];

/// Licences that a program under MIT or Apache-2.0 may be linked with.
const LICENCES: [&str; 14] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unlicense",
    "Unicode-3.0",
    "CDLA-Permissive-2.0",
    "BSL-1.0",
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .other_options(vec!["--locked".into()])
        .exec()
        .unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All files with this extension below these folders.
fn files(folders: &[&str], extension: &str) -> Vec<PathBuf> {
    let mut folders: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|own| own == extension) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn crates_depend_only_along_the_allowed_arrows() {
    let metadata = metadata();
    let allowed: BTreeMap<_, BTreeSet<_>> =
        ARROWS.iter().map(|(from, to)| (*from, to.iter().copied().collect())).collect();
    let ours: BTreeSet<_> =
        metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    assert_eq!(
        ours,
        allowed.keys().map(|name| (*name).to_owned()).collect(),
        "a crate without its line in ARROWS"
    );
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            // Tests may look at everything: they check that both sides of a contract agree.
            if dependency.kind == DependencyKind::Development || !ours.contains(&dependency.name) {
                continue;
            }
            assert!(
                allowed[package.name.as_str()].contains(dependency.name.as_str()),
                "{} must not depend on {}: if it has to, change ARROWS and docs/ARCHITECTURE.md by an ADR",
                package.name,
                dependency.name
            );
        }
    }
}

#[test]
fn the_devnet_is_tested_without_our_own_client() {
    // A test that drives the devnet by our client would prove only that both share their misunderstandings.
    let metadata = metadata();
    let devnet =
        metadata.workspace_packages().into_iter().find(|package| package.name == "golem-devnet").unwrap();
    for dependency in &devnet.dependencies {
        assert!(
            !["yagna-client", "golem-core", "golem-sdk"].contains(&dependency.name.as_str()),
            "golem-devnet must not see {}, not even in tests",
            dependency.name
        );
    }
}

#[test]
fn everything_linked_is_freely_licensed() {
    let metadata = metadata();
    for package in &metadata.packages {
        let Some(licence) = &package.license else {
            panic!("{} names no licence", package.name);
        };
        // "A OR B" is fine when one of them is; "A AND B" when both are. Older crates write "/" for "OR".
        let fine = |part: &str| {
            let part = part.trim().trim_matches(['(', ')']).trim();
            LICENCES.contains(&part)
        };
        let licence = licence.replace('/', " OR ");
        let ok =
            licence.split(" AND ").all(|all| all.split(" OR ").any(fine)) || licence.split(" OR ").any(fine);
        assert!(ok, "{} is licensed {licence}", package.name);
    }
}

#[test]
fn modules_form_no_circles_but_those_that_are_named() {
    for package in metadata().workspace_packages() {
        let src = Path::new(package.manifest_path.as_str()).with_file_name("src");
        if !src.is_dir() {
            continue;
        }
        let files = files(&[src.to_str().unwrap()], "rs");
        for circle in circles::circles(&src, &files) {
            let circle: Vec<_> = circle.iter().map(String::as_str).collect();
            assert!(
                CIRCLES.iter().any(|(name, files)| *name == package.name.as_str() && circle == *files),
                "the modules {circle:?} of {} need one another: move what they share below them, \
                 or name the circle in CIRCLES with its reason",
                package.name
            );
        }
    }
}

#[test]
fn no_source_file_grows_past_800_lines() {
    let mut long = Vec::new();
    for path in files(&["crates", "bench", "examples"], "rs") {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        if lines > 800 {
            long.push(format!("{}: {lines}", path.display()));
        }
    }
    assert!(long.is_empty(), "files that want to be several: {long:#?}");
}
