//! The list of themes, defects and complaints names tests: all of them must exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Below which folders tests are found, from the workspace's own.
const SOURCES: [&str; 7] = [
    "crates/golem-sdk",
    "crates/golem-core",
    "crates/yagna-api",
    "crates/yagna-client",
    "crates/golem-devnet",
    "crates/golem-tasks",
    "examples",
];

#[test]
fn every_test_in_the_list_exists_where_it_is_said_to_be() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let known = tests(&root);
    let list = fs::read_to_string(root.join("docs/yapapi-tests.md")).unwrap();
    let mut named = BTreeSet::new();
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(list.lines()) {
        for name in names(line) {
            let (place, function) = name.rsplit_once("::").unwrap_or(("", name));
            let places = known.get(function).map(Vec::as_slice).unwrap_or_default();
            let ends = place.replace("::", "/");
            if !places.iter().any(|path| is_at(path, &ends)) {
                wrong.push(format!("line {number}: `{name}` is not among {places:?}"));
            }
            named.insert(function);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(named.len() > 100, "only {} tests are named", named.len());
    // And all tests of this target are in the list.
    let forgotten: Vec<_> = known
        .iter()
        .filter(|(_, places)| places.iter().any(|path| path.starts_with("crates/golem-sdk/tests/yapapi")))
        .filter(|(_, places)| !places.iter().any(|path| path.ends_with("table.rs")))
        .map(|(function, _)| function.as_str())
        .filter(|function| !named.contains(function))
        .collect();
    assert!(forgotten.is_empty(), "not in the list: {forgotten:#?}");
}

/// Is this the file of the module `place`, such as `executor/ends`? A module's tests may be in a file of their own.
fn is_at(path: &Path, place: &str) -> bool {
    let path = path.with_extension("");
    let text = path.to_str().unwrap_or_default();
    let outer = |text: &str| text.strip_suffix("/tests").unwrap_or(text).to_owned();
    text.ends_with(&format!("/{place}")) || outer(text).ends_with(&format!("/{}", outer(place)))
}

/// What stands between backticks in the last column of a table, with at least one `::` in it.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let cells = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|'));
    let last = cells.and_then(|cells| cells.rsplit_once('|')).map_or("", |(_, last)| last);
    last.split('`').skip(1).step_by(2).filter(|name| name.contains("::"))
}

/// All test functions, and the files that they are in, from the workspace's folder.
fn tests(root: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut folders: Vec<PathBuf> = SOURCES.iter().map(|source| root.join(source)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let place = path.strip_prefix(root).unwrap().to_path_buf();
                for function in functions(&fs::read_to_string(&path).unwrap()) {
                    found.entry(function.to_owned()).or_default().push(place.clone());
                }
            }
        }
    }
    found
}

/// Functions that are marked as tests; scenarios of the contract suite are functions of a scene.
fn functions(source: &str) -> Vec<&str> {
    let mut functions = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        }
        let Some((before, after)) = line.split_once("fn ") else { continue };
        let signature = ["", "async ", "pub(super) async "].contains(&before);
        if signature && (is_test || after.contains("(scene: Scene)")) {
            functions.extend(after.split('(').next());
        }
        is_test = false;
    }
    functions
}
