//! The views of stored runs: text for people and JSON for machines, made from the store's rows.
//!
//! Nothing here reads the database or knows where its text goes. `docs/json-output.md` documents the JSON.

mod activities;
mod columns;
mod cost;
mod errors;
mod explain;
mod joblog;
mod overview;
mod providers;
mod remembered;
mod removed;
mod results;
mod runs;

use golem_core::event::Provider;
use serde::Serialize;
use yagna_api::Timestamp;

pub(crate) use activities::Show;
pub(crate) use columns::Columns;
pub(crate) use cost::Costs;
pub(crate) use errors::{Grouped, each_json as error_json, each_text as error_text};
pub(super) use explain::RaiseJson;
pub(crate) use explain::{
    run_json as explain_json, run_text as explain_text, story_json as task_json, story_text as task_text,
};
pub(crate) use joblog::{HEADER as JOBLOG_HEADER, line as joblog};
pub(crate) use overview::{json as overview_json, text as overview_text};
pub(crate) use providers::Providers;
pub(crate) use remembered::{json as remembered_json, text as remembered_text};
pub(crate) use removed::{KeptRun, Removed, kept_runs_text};
pub(crate) use results::{CSV_HEADER, csv as result_csv, json as result_json};
pub(crate) use runs::{json as runs_json, state_text, text as runs_text};

use super::json::{self, VERSION};
use crate::store::RunStatus;

/// Characters of a provider's name that are always shown: a name can be an argument, and strangers' names may be long.
const NAME: usize = 24;

/// The size of the output; no limits where it isn't a terminal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Room {
    /// Characters in a line.
    pub(crate) width: Option<usize>,
    /// Lines.
    pub(crate) height: Option<usize>,
}

/// The head of every object of a command's JSON.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    of: &'static str,
    version: u32,
    run: &'a str,
}

/// The status of a run, in JSON.
#[derive(Serialize)]
struct State<'a> {
    state: &'static str,
    paused_until: Option<Timestamp>,
    holder: Option<HolderJson<'a>>,
}

#[derive(Serialize)]
struct HolderJson<'a> {
    host: &'a str,
    pid: u32,
    since: Timestamp,
}

impl<'a> Head<'a> {
    fn of(of: &'static str, run: &'a str) -> Self {
        Self { of, version: VERSION, run }
    }
}

impl<'a> State<'a> {
    fn of(state: &'a RunStatus, paused_until: Option<Timestamp>) -> Self {
        let holder = state.holder().map(|held| HolderJson {
            host: &held.holder.host,
            pid: held.holder.pid,
            since: held.since,
        });
        Self { state: state.word(), paused_until, holder }
    }
}

fn named(provider: &Provider) -> json::Provider<'_> {
    json::Provider { id: &provider.id, name: &provider.name }
}

/// A moment for people, to the second.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}
