//! What a scenario shows of the daemon's answers, without what differs from one run to the next.
//!
//! Ids become `<node 1>`, `<hash 2>` and so on, in the order in which they are first seen, so that it still shows which
//! of them are the same. Times become `<time>`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;
use yagna_api::Glm;

use crate::grounds::Ground;
use crate::hand::Reply;

/// Everything with a name of its own, the longest first.
static VOLATILE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?P<subscription>\b[0-9a-f]{32}-[0-9a-f]{64}\b)",
        r"|(?P<hash>\b[0-9a-f]{64}\b)",
        r"|(?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)",
        r"|(?P<node>\b0x[0-9a-f]{40}\b)",
        r"|(?P<id>\b[0-9a-f]{32}\b)",
        r"|(?P<time>\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(?P<zone>Z|[+-]\d\d:\d\d| UTC)?)",
        r"|(?P<millis>\b1[789]\d{11}\b)",
        r"|(?P<subnet>\bcontract-[0-9a-z_-]+\b)",
    ))
    .expect("a sound expression")
});

/// One scenario's transcript.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    text: String,
    names: HashMap<String, String>,
    counts: HashMap<&'static str, usize>,
    checked: bool,
}

/// A scenario that forgets to close its stage would pass whatever its transcript says.
impl Drop for Transcript {
    fn drop(&mut self) {
        let forgotten = !self.checked && !self.text.is_empty() && !std::thread::panicking();
        assert!(!forgotten, "the transcript was held against nothing: close the stage");
    }
}

impl Transcript {
    /// Writes down an answer.
    pub(crate) fn look(&mut self, what: &str, reply: &Reply, masked: &[&str]) {
        let kind = if reply.content_type.is_empty() { "no type" } else { &reply.content_type };
        self.line(&format!("## {what}\n{} {kind}", reply.status));
        let body = match serde_json::from_str::<Value>(&reply.text) {
            Ok(mut value) => {
                plain_amounts(&mut value);
                for pointer in masked {
                    if let Some(place) = value.pointer_mut(pointer) {
                        *place = Value::String("<masked>".into());
                    }
                }
                serde_json::to_string_pretty(&value).expect("JSON can be written")
            }
            Err(_) => reply.text.clone(),
        };
        self.line(&body);
    }

    /// Writes down something else that must be the same everywhere.
    pub(crate) fn note(&mut self, what: &str) {
        self.line(&format!("## {what}"));
    }

    /// Holds the transcript against the one recorded on real daemons, or records it there when it is asked for by
    /// `GOLEM_RECORD`.
    ///
    /// # Panics
    /// When they differ: with the first difference.
    pub(crate) fn check(mut self, scenario: &str, ground: Ground) {
        self.checked = true;
        let name = scenario.replace("::", ".");
        let path: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "tests/contract/transcripts", &format!("{name}.txt")]
                .iter()
                .collect();
        if self.text.is_empty() {
            return;
        }
        if std::env::var_os("GOLEM_RECORD").is_some() && ground == Ground::Daemons {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for transcripts");
            std::fs::write(&path, &self.text).expect("the transcript can be written");
            return;
        }
        let recorded = std::fs::read_to_string(&path).unwrap_or_else(|_| {
            panic!(
                "nothing is recorded for `{scenario}`; on real daemons record it with GOLEM_RECORD=1. Here it is:\n{}",
                self.text
            )
        });
        if let Some(difference) = difference(&recorded, &self.text) {
            panic!("the transcript differs from the one recorded on real daemons ({name}.txt)\n{difference}");
        }
    }

    fn line(&mut self, text: &str) {
        let Self { names, counts, .. } = self;
        let plain = VOLATILE.replace_all(text, |found: &Captures<'_>| name_of(found, names, counts));
        writeln!(self.text, "{plain}").expect("writing to a string never fails");
    }
}

/// Amounts are numbers: how many zeros the daemon's database ends them with means nothing.
fn plain_amounts(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let amount = match value {
                    Value::String(text) if name.to_lowercase().contains("amount") => text.parse::<Glm>().ok(),
                    _ => None,
                };
                match amount {
                    Some(amount) => *value = Value::String(amount.to_string()),
                    None => plain_amounts(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain_amounts),
        _ => {}
    }
}

fn name_of(
    found: &Captures<'_>,
    names: &mut HashMap<String, String>,
    counts: &mut HashMap<&'static str, usize>,
) -> String {
    if found.name("time").is_some() {
        return if found.name("zone").is_some() { "<time>".into() } else { "<naive time>".into() };
    }
    if found.name("millis").is_some() {
        return "<ms>".into();
    }
    if found.name("subnet").is_some() {
        return "<subnet>".into();
    }
    let kind = ["subscription", "hash", "uuid", "node", "id"]
        .into_iter()
        .find(|kind| found.name(kind).is_some())
        .expect("one of the alternatives has matched");
    let value = &found[0];
    if let Some(name) = names.get(value) {
        return name.clone();
    }
    let count = counts.entry(kind).or_default();
    *count += 1;
    let name = format!("<{kind} {count}>");
    names.insert(value.to_owned(), name.clone());
    name
}

/// The first lines that differ, with what is before them.
fn difference(recorded: &str, seen: &str) -> Option<String> {
    if recorded == seen {
        return None;
    }
    let (old, new): (Vec<_>, Vec<_>) = (recorded.lines().collect(), seen.lines().collect());
    let first = old.iter().zip(&new).position(|(a, b)| a != b).unwrap_or_else(|| old.len().min(new.len()));
    let heading = old[..first.min(old.len())].iter().rposition(|line| line.starts_with("## ")).unwrap_or(0);
    let mut text = String::new();
    let common = heading.max(first.saturating_sub(6));
    if common > heading {
        writeln!(text, "  {}\n  ..", old[heading]).expect("writing to a string never fails");
    }
    for line in &old[common..first] {
        writeln!(text, "  {line}").expect("writing to a string never fails");
    }
    for (mark, lines) in [('-', &old), ('+', &new)] {
        for line in lines.iter().skip(first).take(8) {
            writeln!(text, "{mark} {line}").expect("writing to a string never fails");
        }
    }
    Some(text)
}
