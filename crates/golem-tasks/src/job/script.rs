//! Steps as scripts: which of them share one, and how large a script becomes.

use std::time::Duration;

use golem_sdk::script::LARGEST_SCRIPT;
use golem_sdk::{Program, Script, ScriptError, Source, Target};

use super::work::mark;
use super::{RenderedAction, RenderedStep};

/// The largest JSON document that a task may download, in bytes; larger ones belong into files.
pub(super) const MOST_JSON: u64 = 16 << 20;

/// A run of steps that share one script.
pub(super) struct Segment<'a> {
    pub(super) steps: &'a [RenderedStep],
    pub(super) limit: Duration,
}

/// Cuts steps where one has a time-out of its own.
pub(super) fn segments(steps: &[RenderedStep], limit: Duration) -> Vec<Segment<'_>> {
    let mut segments = Vec::new();
    let mut rest = steps;
    while !rest.is_empty() {
        let (n, limit) = match rest[0].timeout {
            Some(timeout) => (1, timeout),
            None => (rest.iter().take_while(|step| step.timeout.is_none()).count(), limit),
        };
        let (steps, after) = rest.split_at(n);
        segments.push(Segment { steps, limit });
        rest = after;
    }
    segments
}

/// The script that carries out these steps.
pub(super) fn script(steps: &[RenderedStep]) -> Script {
    steps.iter().fold(Script::new(), |script, step| match &step.action {
        // As bytes: a provider turns what isn't UTF-8 into other characters where text is asked for.
        RenderedAction::Run { program, args } => {
            let args = mark::marked(step).unwrap_or_else(|| args.clone());
            script.program(Program::new(program).args(args).binary_output())
        }
        RenderedAction::Upload { from, to } => script.upload(Source::File(from.clone()), to),
        RenderedAction::UploadJson { data, to } => script.upload_json(data, to),
        RenderedAction::UploadText { text, to } => script.upload_text(text, to),
        RenderedAction::Download { from, to } => script.download(from, Target::File(to.clone())),
        RenderedAction::DownloadJson { from, .. } => {
            script.download(from, Target::Memory { limit: MOST_JSON })
        }
    })
}

/// The place of the largest of these steps, and the size of its script, where no daemon would take that.
pub(super) fn too_large(steps: &[RenderedStep]) -> Option<(usize, usize)> {
    // Written as JSON in JSON, a byte takes seven at the most, and a command without its arguments a few hundred.
    if steps.iter().map(|step| words(step) * 7 + 1000).sum::<usize>() < LARGEST_SCRIPT {
        return None;
    }
    let mut done = 0;
    for segment in segments(steps, Duration::ZERO) {
        if let Err(ScriptError::TooLarge { bytes }) = script(segment.steps).check() {
            let largest = (0..segment.steps.len()).max_by_key(|place| words(&segment.steps[*place]));
            return Some((done + largest.unwrap_or_default(), bytes));
        }
        done += segment.steps.len();
    }
    None
}

/// Bytes of a step's command in a script.
fn words(step: &RenderedStep) -> usize {
    match &step.action {
        RenderedAction::Run { program, args } => {
            program.len() + args.iter().map(|arg| arg.len() + 10).sum::<usize>()
        }
        RenderedAction::Download { from, .. } | RenderedAction::DownloadJson { from, .. } => from.len(),
        action => action.uploaded_to().map_or(0, str::len),
    }
}
