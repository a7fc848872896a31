//! `runs rm` and `runs prune`: what was removed, and what wasn't and why.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::json::{VERSION, line};

/// Runs that were removed, and those that were to be.
#[derive(Debug)]
pub(crate) struct Removed {
    pub(crate) runs: Vec<String>,
    pub(crate) kept: Vec<KeptRun>,
    /// True if nothing was removed in truth.
    pub(crate) dry_run: bool,
}

/// A run that is kept though it was to be removed.
#[derive(Debug, Serialize)]
pub(crate) struct KeptRun {
    pub(crate) run: String,
    pub(crate) why: &'static str,
}

#[derive(Serialize)]
struct RemovedJson<'a> {
    #[serde(rename = "type")]
    of: &'static str,
    version: u32,
    dry_run: bool,
    runs: &'a [String],
    kept: &'a [KeptRun],
}

impl Removed {
    /// A line for each run that was removed.
    pub(crate) fn text(&self) -> String {
        if self.runs.is_empty() {
            return "no run was removed\n".to_owned();
        }
        let what = if self.dry_run { "would remove" } else { "removed" };
        self.runs.iter().fold(String::new(), |mut text, run| {
            let _ = writeln!(text, "{what} {run}");
            text
        })
    }

    /// The deleted runs as one JSON object, with those that are kept.
    pub(crate) fn json(&self) -> String {
        let Self { runs, kept, dry_run } = self;
        line(&RemovedJson { of: "removed", version: VERSION, dry_run: *dry_run, runs, kept })
    }
}

/// A line for each run that is kept.
pub(crate) fn kept_runs_text(removed: &Removed) -> String {
    removed.kept.iter().fold(String::new(), |mut text, kept| {
        let _ = writeln!(text, "kept {}: {}", kept.run, kept.why);
        text
    })
}
