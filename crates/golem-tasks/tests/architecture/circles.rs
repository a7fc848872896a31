//! Circles of modules: files that need one another, directly or by way of others.
//!
//! A file needs another one where it names something of it. What a module re-exports belongs to the file that has it, and
//! a module may use what its ancestors hold: that is how Rust nests modules. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

type Module = Vec<String>;

/// A file's text without comments, the contents of strings, and its tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let mut quoted = false;
        let mut before = ' ';
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' if quoted => drop(chars.next()),
                '"' if before != '\'' => quoted = !quoted,
                '/' if !quoted && chars.peek() == Some(&'/') => break,
                c if !quoted => code.push(c),
                _ => {}
            }
            before = c;
        }
        code.push('\n');
    }
    code
}

/// The paths of a `use` with braces, each by itself.
fn expand(prefix: &str, list: &str, into: &mut Vec<String>) {
    let (mut depth, mut start) = (0, 0);
    let mut items = Vec::new();
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&list[start..]);
    for item in items.into_iter().map(str::trim).filter(|item| !item.is_empty()) {
        match item.split_once('{') {
            Some((head, rest)) => {
                let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
                expand(&format!("{prefix}{}", head.trim()), inner, into);
            }
            None => into.push(format!("{prefix}{}", item.split(" as ").next().unwrap_or_default().trim())),
        }
    }
}

/// A path as it is written in a module, from the root of the crate.
fn absolute(module: &Module, path: &str, known: &BTreeMap<Module, String>) -> Option<Module> {
    let mut parts: Vec<&str> = path.split("::").map(str::trim).collect();
    let mut base: Module = module.clone();
    match *parts.first()? {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            while parts.first() == Some(&"super") {
                base.pop()?;
                parts.remove(0);
            }
            base.extend(parts.iter().map(|part| (*part).to_owned()));
            return Some(base);
        }
        child => {
            base.push(child.to_owned());
            return known.contains_key(&base).then(|| {
                base.extend(parts[1..].iter().map(|part| (*part).to_owned()));
                base
            });
        }
    }
    base.extend(parts[1..].iter().map(|part| (*part).to_owned()));
    Some(base)
}

fn uses(code: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ") {
        let line = &code[code[..at].rfind('\n').map_or(0, |end| end + 1)..at];
        let shown = line.trim_start().starts_with("pub");
        if line.trim().is_empty() || (shown && line.trim().split(' ').count() <= 2) {
            let list = code[at + 4..].split(';').next().unwrap_or_default();
            let mut paths = Vec::new();
            expand("", list, &mut paths);
            found.extend(paths.into_iter().map(|path| (shown, path)));
        }
    }
    found
}

/// Paths that are written out where they are used.
fn named(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(start) {
            let before = &code[code[..at].rfind('\n').map_or(0, |end| end + 1)..at];
            if before.trim_end().ends_with("use") {
                continue;
            }
            let path = code[at..].split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).next();
            found.extend(path.map(|path| path.trim_end_matches(':').to_owned()));
        }
    }
    found
}

/// The groups of modules of a crate that form circles, each as the paths of its files.
pub(crate) fn circles(src: &Path, files: &[std::path::PathBuf]) -> Vec<BTreeSet<String>> {
    let mut known: BTreeMap<Module, String> = BTreeMap::new();
    for file in files {
        let path = file.strip_prefix(src).unwrap().with_extension("");
        let module: Module = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let is_test = module.iter().any(|part| part == "tests" || part == "bin");
        if !is_test && !["lib", "main"].contains(&module[0].as_str()) {
            known.insert(module, code(&fs::read_to_string(file).unwrap()));
        }
    }
    let mut shown: BTreeMap<Module, Module> = BTreeMap::new();
    for (module, code) in &known {
        for (_, path) in uses(code).into_iter().filter(|(shown, _)| *shown) {
            if let Some(path) = absolute(module, &path, &known) {
                let mut alias = module.clone();
                alias.extend(path.last().cloned());
                shown.insert(alias, path);
            }
        }
    }
    let home = |mut path: Module| -> Option<Module> {
        for _ in 0..6 {
            let Some(n) = (1..=path.len()).rev().find(|n| shown.contains_key(&path[..*n])) else { break };
            path = [&shown[&path[..n]][..], &path[n..]].concat();
        }
        (1..=path.len()).rev().map(|n| path[..n].to_vec()).find(|module| known.contains_key(module))
    };
    let mut needs: BTreeMap<&Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, code) in &known {
        let paths = uses(code).into_iter().map(|(_, path)| path).chain(named(code));
        let homes = paths.filter_map(|path| home(absolute(module, &path, &known)?));
        needs.insert(module, homes.filter(|other| !module.starts_with(other)).collect());
    }
    // Two modules are in one circle where each can be reached from the other.
    let reach = |from: &Module| {
        let mut seen = BTreeSet::new();
        let mut left = vec![from.clone()];
        while let Some(module) = left.pop() {
            for next in needs.get(&module).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    left.push(next.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> =
        known.keys().map(|module| (module, reach(module))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (module, seen) in &reached {
        let circle: BTreeSet<String> = seen
            .iter()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(*module)))
            .map(|other| other.join("/"))
            .collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}
