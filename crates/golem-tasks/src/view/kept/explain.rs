//! `explain`: why a run has no more providers at work, and the story of one task.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use golem_core::explain::Explanation;
use golem_core::raise::Raise;
use serde::Serialize;
use yagna_api::{Glm, Timestamp};

use super::super::json::{self, line};
use super::super::text::{clean, duration, named_task, one_amount, one_line, plural};
use super::results::word;
use super::{Head, State, moment, named, state_text};
use crate::store::{AttemptStory, ExplainedRun, RunStatus, TaskStory, Wait};

/// Lines shown of what was written to standard error.
const STDERR_LINES: usize = 4;
/// Neighbours that are named one by one.
const NEIGHBOURS: usize = 20;
/// Waits that are shorter aren't told.
const SHORT: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Serialize)]
struct RunJson<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    #[serde(flatten)]
    state: State<'a>,
    tasks: TasksJson,
    funnel: Vec<StepJson>,
    refused_by_us: &'a BTreeMap<String, u64>,
    refused_by_providers: &'a BTreeMap<String, u64>,
    failures: &'a BTreeMap<String, u64>,
    cheapest_refused: Option<Glm>,
    raise: Option<RaiseJson>,
    advice: Option<String>,
}

#[derive(Serialize)]
struct TasksJson {
    done: u64,
    failed: u64,
    running: u64,
    waiting: u64,
}

#[derive(Serialize)]
struct StepJson {
    step: &'static str,
    providers: u64,
    reasons: Vec<String>,
}

#[derive(Serialize)]
pub(in super::super) struct RaiseJson {
    key: &'static str,
    from: Glm,
    to: Glm,
    providers: u64,
}

#[derive(Serialize)]
struct StoryJson<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    task: u64,
    name: Option<&'a str>,
    status: &'static str,
    added: Timestamp,
    finished: Option<Timestamp>,
    failure: Option<&'a str>,
    waits: Option<WaitJson>,
    attempts: Vec<AttemptJson<'a>>,
    advice: Option<String>,
}

#[derive(Serialize)]
struct WaitJson {
    seconds: f64,
    what: &'static str,
}

#[derive(Serialize)]
struct AttemptJson<'a> {
    attempt: u64,
    waited: WaitJson,
    provider: json::Provider<'a>,
    started: Timestamp,
    ended: Option<Timestamp>,
    took_seconds: Option<f64>,
    outcome: Option<&'a str>,
    kind: Option<&'a str>,
    reason: Option<&'a str>,
    ran_before: u64,
    neighbours: &'a [u64],
    cost: Option<Glm>,
    cost_is_estimate: bool,
    #[serde(flatten)]
    output: json::Outputs<'a>,
}

impl From<Raise> for RaiseJson {
    fn from(raise: Raise) -> Self {
        Self { key: raise.of.key(), from: raise.from, to: raise.to, providers: raise.providers }
    }
}

/// The way from the offers to the providers at work, with reasons, and what would help most.
pub(crate) fn run_text(run: &ExplainedRun) -> String {
    let explanation = &run.explanation;
    let mut text = format!(
        "run {}  {}\n\n",
        run.run_id,
        clean(&state_text(&run.status, explanation.paused_until.filter(|_| run.is_live())))
    );
    funnel(&mut text, explanation);
    let tasks = &run.tasks;
    let _ = write!(text, "\n{} done", plural(tasks.done, "task"));
    let unfinished = if run.is_live() { 0 } else { tasks.unfinished() };
    let (running, waiting) = if run.is_live() { (tasks.running, tasks.waiting) } else { (0, 0) };
    for (n, word) in
        [(tasks.failed, "failed"), (running, "running"), (waiting, "waiting"), (unfinished, "unfinished")]
    {
        if n > 0 {
            let _ = write!(text, ", {n} {word}");
        }
    }
    text.push('\n');
    if tasks.running == 0 && tasks.waiting > 0 && run.is_live() && !explanation.waited.is_zero() {
        let _ = writeln!(text, "{}", one_line(&explanation.to_string()));
    }
    if let Some(advice) = advice(run) {
        let _ = writeln!(text, "try: {}", one_line(&advice));
    }
    text
}

fn advice(run: &ExplainedRun) -> Option<String> {
    match &run.status {
        RunStatus::Interrupted(_) => Some(format!("`golem-tasks resume {}` continues the run", run.run_id)),
        _ => run.explanation.advice(),
    }
}

/// A line for each step, its reasons beside it.
pub(crate) fn funnel(text: &mut String, explanation: &Explanation) {
    let funnel = explanation.funnel();
    let width = funnel.iter().map(|step| step.providers.to_string().len()).max().unwrap_or(1);
    for step in funnel {
        let head = format!("{:<10}  {:>width$}", step.name, step.providers);
        let mut reasons = step.reasons.iter().map(|reason| one_line(reason));
        let first = reasons.next().map(|reason| format!("  {reason}")).unwrap_or_default();
        let _ = writeln!(text, "{head}{first}");
        for reason in reasons {
            let _ = writeln!(text, "{:indent$}  {reason}", "", indent = head.len());
        }
    }
}

/// The explanation as one JSON object.
pub(crate) fn run_json(run: &ExplainedRun) -> String {
    let explanation = &run.explanation;
    let funnel = explanation.funnel().into_iter();
    line(&RunJson {
        head: Head::of("explain", &run.run_id),
        state: State::of(&run.status, explanation.paused_until.filter(|_| run.is_live())),
        tasks: TasksJson {
            done: run.tasks.done,
            failed: run.tasks.failed,
            running: run.tasks.running,
            waiting: run.tasks.waiting,
        },
        funnel: funnel
            .map(|step| StepJson { step: step.name, providers: step.providers, reasons: step.reasons })
            .collect(),
        refused_by_us: &explanation.refused_by_us,
        refused_by_providers: &explanation.refused_by_them,
        failures: &explanation.failures,
        cheapest_refused: explanation.cheapest_refused,
        raise: explanation.raise.map(RaiseJson::from),
        advice: advice(run),
    })
}

/// The story of a task, a paragraph for each attempt.
pub(crate) fn story_text(story: &TaskStory) -> String {
    let mut text = format!(
        "{} of run {}: {}\n",
        named_task(story.task, story.name.as_deref()),
        story.run.run_id,
        word(story.status)
    );
    fact(&mut text, "added", &moment(story.added));
    for attempt in &story.attempts {
        waited(&mut text, "waited", attempt.waited);
        told(&mut text, attempt);
    }
    if let Some(wait) = story.waits {
        fact(&mut text, "waits", &format!("{} so far, for {}", duration(wait.time), wait.what.in_words()));
        if let Some(advice) = advice(&story.run) {
            fact(&mut text, "try", &one_line(&advice));
        }
    }
    if let Some(finished) = story.finished {
        let failure = story.failure.as_deref().map(|failure| format!(": {}", one_line(failure)));
        // Where the last attempt has just said it, once is enough.
        let is_told =
            story.attempts.last().and_then(|last| last.reason.as_deref()) == story.failure.as_deref();
        let failure = failure.filter(|_| !is_told).unwrap_or_default();
        fact(&mut text, word(story.status), &format!("{}{failure}", moment(finished)));
    }
    text
}

fn fact(text: &mut String, name: &str, what: &str) {
    let _ = writeln!(text, "{name:<10} {what}");
}

fn waited(text: &mut String, name: &str, wait: Wait) {
    if wait.time >= SHORT {
        fact(text, name, &format!("{} for {}", duration(wait.time), wait.what.in_words()));
    }
}

fn told(text: &mut String, attempt: &AttemptStory) {
    let times = match (attempt.ended, attempt.took) {
        (Some(ended), took) => {
            let took = took.map(|took| format!(", {}", duration(took))).unwrap_or_default();
            format!("{} to {}{took}", moment(attempt.started), moment(ended))
        }
        (None, _) => format!("since {}", moment(attempt.started)),
    };
    let cost = attempt.cost.map(|cost| {
        let about = if attempt.is_estimate { "~" } else { "" };
        format!(", {about}{} GLM", one_amount(cost))
    });
    let head = format!("on {}, {times}{}", one_line(&attempt.provider.name), cost.unwrap_or_default());
    fact(text, &format!("attempt {}", attempt.number), &head);
    let outcome = attempt.outcome.as_deref().map_or("running", |outcome| match outcome {
        "lost" => "lost: nobody heard of its end",
        "cancelled" => "given back, which costs the task no retry",
        outcome => outcome,
    });
    let reason = attempt.reason.as_deref().map(|reason| format!(": {}", one_line(reason)));
    fact(text, "", &format!("{outcome}{}", reason.unwrap_or_default()));
    let stderr = clean(attempt.stderr.to_text().trim_end());
    let lines: Vec<_> = stderr.lines().collect();
    for line in &lines[lines.len().saturating_sub(STDERR_LINES)..] {
        fact(text, "", &format!("| {line}"));
    }
    if attempt.ran_before > 0 {
        let before = plural(attempt.ran_before, "task");
        fact(text, "", &format!("{before} had run on the same machine before"));
    }
    if !attempt.neighbours.is_empty() {
        let n = u64::try_from(attempt.neighbours.len()).unwrap_or(u64::MAX);
        let mut numbers: Vec<_> = attempt.neighbours.iter().take(NEIGHBOURS).map(u64::to_string).collect();
        if attempt.neighbours.len() > NEIGHBOURS {
            numbers.push("…".to_owned());
        }
        fact(text, "", &format!("shared a script with {}: {}", plural(n, "other task"), numbers.join(", ")));
    }
}

/// The story as one JSON object.
pub(crate) fn story_json(story: &TaskStory) -> String {
    let wait = |wait: Wait| WaitJson { seconds: wait.time.as_secs_f64(), what: wait.what.word() };
    let attempts = story.attempts.iter().map(|attempt| AttemptJson {
        attempt: attempt.number,
        waited: wait(attempt.waited),
        provider: named(&attempt.provider),
        started: attempt.started,
        ended: attempt.ended,
        took_seconds: attempt.took.map(|took| took.as_secs_f64()),
        outcome: attempt.outcome.as_deref(),
        kind: attempt.kind.as_deref(),
        reason: attempt.reason.as_deref(),
        ran_before: attempt.ran_before,
        neighbours: &attempt.neighbours,
        cost: attempt.cost,
        cost_is_estimate: attempt.is_estimate,
        output: json::Outputs::of(None, &attempt.stderr),
    });
    line(&StoryJson {
        head: Head::of("task", &story.run.run_id),
        task: story.task,
        name: story.name.as_deref(),
        status: word(story.status),
        added: story.added,
        finished: story.finished,
        failure: story.failure.as_deref(),
        waits: story.waits.map(wait),
        attempts: attempts.collect(),
        advice: story.waits.and_then(|_| advice(&story.run)),
    })
}
