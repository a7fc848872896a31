//! The meaning of the end of a task's commands, where the job file says it: exit codes that are never or only retried, those that mean that
//! there is no result, and what ends the run.
//!
//! Left to others: carrying it out.

use std::fmt;
use std::ops::RangeInclusive;

use golem_core::event::TaskOutput;
use regex::bytes::{Regex, RegexBuilder};

use super::document::{Diagnostics, Entry, Section};

/// The keys of `[limits]` that are read here.
const KEYS: [&str; 4] = ["give_up_on", "retry_on", "no_result_on", "stop_when"];

/// The meaning of the end of a task's commands.
#[derive(Debug, Clone, Default)]
pub struct Verdicts {
    /// Exit codes after which a task isn't tried again.
    pub give_up_on: ExitCodes,
    /// The only exit codes after which a task is tried again; any where this says nothing.
    pub retry_on: Option<ExitCodes>,
    /// Exit codes that mean that a task is done and has no result.
    pub no_result_on: ExitCodes,
    /// The conditions of which any ends the run.
    pub stop_when: Vec<StopWhen>,
}

/// A set of exit codes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExitCodes(Vec<RangeInclusive<u8>>);

/// A condition that ends the run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StopWhen {
    /// A line that commands printed matches.
    Matches {
        /// The output that is looked at.
        output: OutputName,
        /// The pattern that a line must match.
        pattern: Regex,
    },
    /// A command ended with this code; with 0, all commands of a task did.
    ExitCode(u8),
}

/// An output of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputName {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The consequence of a command that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The task failed and is tried again, while it has retries.
    Retry,
    /// The task failed for good.
    GiveUp,
    /// The task is done and has no result.
    NoResult,
    /// The task is done, and the run with it.
    Stop,
}

impl ExitCodes {
    /// True if the code is one of these.
    pub fn has(&self, code: i32) -> bool {
        u8::try_from(code).is_ok_and(|code| self.0.iter().any(|range| range.contains(&code)))
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A code that both have.
    fn common(&self, other: &Self) -> Option<u8> {
        (1..=u8::MAX).find(|code| self.has((*code).into()) && other.has((*code).into()))
    }
}

impl fmt::Display for ExitCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, range) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for StopWhen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matches { output: OutputName::Stdout, pattern } => write!(f, "stdout matches '{pattern}'"),
            Self::Matches { output: OutputName::Stderr, pattern } => write!(f, "stderr matches '{pattern}'"),
            Self::ExitCode(code) => write!(f, "exit code is {code}"),
        }
    }
}

impl Verdicts {
    /// The consequence of a command that failed with this exit code, if it had one.
    pub(super) fn of_failure(&self, code: Option<i32>) -> Verdict {
        let Some(code) = code else { return Verdict::Retry };
        let is_hit = |stop: &StopWhen| matches!(stop, StopWhen::ExitCode(hit) if i32::from(*hit) == code);
        match () {
            () if self.stop_when.iter().any(is_hit) => Verdict::Stop,
            () if self.no_result_on.has(code) => Verdict::NoResult,
            () if self.give_up_on.has(code) => Verdict::GiveUp,
            () if self.retry_on.as_ref().is_some_and(|codes| !codes.has(code)) => Verdict::GiveUp,
            () => Verdict::Retry,
        }
    }

    /// The output of a task all of whose commands succeeded, which may end the run.
    pub(super) fn judged(&self, output: TaskOutput) -> TaskOutput {
        let is_met = |stop: &StopWhen| match stop {
            StopWhen::Matches { output: OutputName::Stdout, pattern } => {
                pattern.is_match(output.stdout.as_bytes())
            }
            StopWhen::Matches { output: OutputName::Stderr, pattern } => {
                pattern.is_match(output.stderr.as_bytes())
            }
            StopWhen::ExitCode(code) => *code == 0,
        };
        let ends_run = output.ends_run || self.stop_when.iter().any(is_met);
        TaskOutput { ends_run, ..output }
    }

    /// True if a task can be done though a command of it ended with another code than 0: nothing is run after that one in its script.
    pub(super) fn may_be_done_by_failing(&self) -> bool {
        let by_code = |stop: &StopWhen| matches!(stop, StopWhen::ExitCode(code) if *code > 0);
        !self.no_result_on.is_empty() || self.stop_when.iter().any(by_code)
    }
}

/// Reads the keys of `[limits]` that are about this.
pub(super) fn read(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Verdicts> {
    let give_up_on = section.value_or("give_up_on", ExitCodes::default(), diagnostics, codes);
    let retry_on = section
        .value_or("retry_on", None, diagnostics, |entry, diagnostics| codes(entry, diagnostics).map(Some));
    let no_result_on = section.value_or("no_result_on", ExitCodes::default(), diagnostics, codes);
    let stop_when = section.value_or("stop_when", Vec::new(), diagnostics, stop_when);
    let verdicts = Verdicts {
        give_up_on: give_up_on?,
        retry_on: retry_on?,
        no_result_on: no_result_on?,
        stop_when: stop_when?,
    };
    let span = |key: &str| section.get(key).map_or(0..0, |entry| entry.span());
    if let (false, Some(_)) = (verdicts.give_up_on.is_empty(), &verdicts.retry_on) {
        diagnostics.report_with_help(
            span("give_up_on"),
            "`give_up_on` says nothing beside `retry_on`, which names all that is retried",
            "leave one of them out",
        );
        return None;
    }
    let stops = verdicts.stop_when.iter().filter_map(|stop| match stop {
        StopWhen::ExitCode(code) if *code > 0 => Some(*code..=*code),
        _ => None,
    });
    let stops = ExitCodes(stops.collect());
    let retries = verdicts.retry_on.clone().unwrap_or_default();
    let sets = [&verdicts.give_up_on, &retries, &verdicts.no_result_on, &stops];
    for (place, (codes, key)) in sets.iter().zip(KEYS).enumerate() {
        for (others, other) in sets.iter().zip(KEYS).take(place) {
            if let Some(code) = codes.common(others) {
                diagnostics.report(span(key), format!("exit code {code} is in `{other}` already"));
                return None;
            }
        }
    }
    Some(verdicts)
}

const CODES: &str = "exit codes from 1 to 255, such as [2, \"126-127\"]";

/// One exit code, a range of them as a string, or a list of both.
fn codes(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<ExitCodes> {
    let Some(items) = entry.items() else { return Some(ExitCodes(vec![range(entry, diagnostics)?])) };
    if items.is_empty() {
        entry.expected(CODES, diagnostics);
        return None;
    }
    let ranges: Option<Vec<_>> = items.iter().map(|item| range(item, diagnostics)).collect();
    ranges.map(ExitCodes)
}

fn range(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<RangeInclusive<u8>> {
    let found = if let Some(text) = entry.as_str() {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        first.trim().parse().ok().zip(last.trim().parse().ok())
    } else {
        let code = entry.integer(diagnostics)?;
        u8::try_from(code).ok().map(|code| (code, code))
    };
    let range = found.filter(|(first, last)| *first > 0 && first <= last);
    if range.is_none() {
        entry.expected(CODES, diagnostics);
    }
    range.map(|(first, last)| first..=last)
}

/// One condition, or several of which any ends the run.
fn stop_when(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Vec<StopWhen>> {
    let Some(items) = entry.items() else { return Some(vec![condition(entry, diagnostics)?]) };
    items.iter().map(|item| condition(item, diagnostics)).collect()
}

fn condition(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<StopWhen> {
    const EXPECTED: &str = "\"stdout matches 'PATTERN'\", \"stderr matches 'PATTERN'\" or \"exit code is N\"";
    let text = entry.text(diagnostics)?.trim();
    if let Some(code) = text.strip_prefix("exit code is ") {
        let Ok(code) = code.trim().parse() else {
            entry.expected("an exit code from 0 to 255, as in \"exit code is 0\"", diagnostics);
            return None;
        };
        return Some(StopWhen::ExitCode(code));
    }
    let outputs = [("stdout matches ", OutputName::Stdout), ("stderr matches ", OutputName::Stderr)];
    let found =
        outputs.into_iter().find_map(|(words, output)| Some((output, text.strip_prefix(words)?.trim())));
    let quoted = found.and_then(|(output, pattern)| {
        let inner = |quote| pattern.strip_prefix(quote)?.strip_suffix(quote);
        Some((output, inner('\'').or_else(|| inner('"'))?))
    });
    let Some((output, pattern)) = quoted else {
        entry.expected(EXPECTED, diagnostics);
        return None;
    };
    // So that `^` is where a line begins.
    match RegexBuilder::new(pattern).multi_line(true).build() {
        Ok(pattern) => Some(StopWhen::Matches { output, pattern }),
        Err(error) => {
            let said = error.to_string();
            let reason =
                said.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned();
            diagnostics.report(
                entry.span(),
                format!("the pattern `{pattern}` isn't a regular expression: {reason}"),
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::job::Job;

    fn limits(limits: &str) -> Result<Verdicts, String> {
        let text = format!(
            "[payload]\nimage_tag = \"golem/alpine:latest\"\n[tasks]\nvalues = [1]\n[[steps]]\nrun = \"true\"\n[limits]\n{limits}"
        );
        Job::parse(&text, Path::new("job.toml")).map(|job| job.verdicts).map_err(|error| error.to_string())
    }

    #[test]
    fn an_exit_code_means_what_the_job_file_says() {
        let verdict = |text: &str, code: i32| limits(text).unwrap().of_failure(Some(code));
        assert_eq!(verdict("", 2), Verdict::Retry);
        assert_eq!(verdict("give_up_on = 2", 2), Verdict::GiveUp);
        for (code, expected) in [
            (1, Verdict::Retry),
            (2, Verdict::GiveUp),
            (126, Verdict::GiveUp),
            (128, Verdict::Retry),
            (300, Verdict::Retry),
        ] {
            assert_eq!(verdict("give_up_on = [2, \"126-127\"]", code), expected, "{code}");
        }
        assert_eq!(verdict("retry_on = [75, \"137 - 143\"]", 139), Verdict::Retry);
        assert_eq!(verdict("retry_on = [75]", 1), Verdict::GiveUp);
        assert_eq!(
            limits("retry_on = [75]").unwrap().of_failure(None),
            Verdict::Retry,
            "a lost machine has no exit code"
        );
        assert_eq!(verdict("no_result_on = [1]\nretry_on = [75]", 1), Verdict::NoResult);
        assert_eq!(verdict("stop_when = \"exit code is 3\"\nno_result_on = \"1\"", 3), Verdict::Stop);
    }

    #[test]
    fn a_run_is_ended_by_a_line_that_matches_or_by_an_exit_code() {
        let ends = |text: &str, stdout: &str, stderr: &str| {
            let output = TaskOutput { stdout: stdout.into(), stderr: stderr.into(), ..TaskOutput::default() };
            limits(text).unwrap().judged(output).ends_run
        };
        let hit = "stop_when = \"stdout matches '^HIT'\"";
        assert!(ends(hit, "x\nHIT 3\n", "") && !ends(hit, "no HIT", "HIT"));
        assert!(ends("stop_when = 'stderr matches \"done$\"'", "", "all done\nbye\n"));
        assert!(
            ends("stop_when = \"exit code is 0\"", "", "") && !ends("stop_when = \"exit code is 1\"", "", "")
        );
        assert!(ends("stop_when = [\"exit code is 4\", \"stdout matches 'a+b'\"]", "caab", ""));
        assert!(!ends("", "HIT", ""));
    }

    #[test]
    fn a_condition_that_cannot_be_is_told_with_its_mend() {
        for (text, said) in [
            ("give_up_on = 0", "exit codes from 1 to 255"),
            ("give_up_on = [256]", "exit codes from 1 to 255"),
            ("retry_on = []", "exit codes from 1 to 255"),
            ("retry_on = \"9-3\"", "exit codes from 1 to 255"),
            ("no_result_on = \"one\"", "exit codes from 1 to 255"),
            ("give_up_on = 2\nretry_on = 3", "leave one of them out"),
            ("give_up_on = \"1-9\"\nno_result_on = [5]", "exit code 5 is in `give_up_on` already"),
            ("no_result_on = 1\nstop_when = \"exit code is 1\"", "exit code 1 is in `no_result_on` already"),
            ("stop_when = \"stdout matches '('\"", "isn't a regular expression"),
            ("stop_when = \"stdout has HIT\"", "\"stdout matches 'PATTERN'\""),
            ("stop_when = \"exit code is x\"", "an exit code from 0 to 255"),
        ] {
            let told = limits(text).unwrap_err();
            assert!(told.contains(said), "{text}: {told}");
        }
    }
}
