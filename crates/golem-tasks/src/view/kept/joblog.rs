//! `results --joblog`: the columns of GNU parallel's job log, for tools that read those.

use crate::store::{LastAttempt, task_name};

/// The titles of the columns.
pub(crate) const HEADER: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

/// The words before an exit code in the reason of a failure.
const EXITED: &str = "exited with code ";

/// The exit value of what didn't come to an end of its own, as there.
const NO_END: i64 = -1;

/// The line of a task, by its last attempt; none while that runs.
///
/// `Seq` counts from 1, so it is the task's number and one more; the host is the provider, the command the task's data.
pub(crate) fn line(last: &LastAttempt) -> Option<String> {
    let LastAttempt { attempt, task, data, .. } = last;
    let outcome = attempt.outcome.as_deref()?;
    let ended = micros(attempt.ended?);
    // What shares a script begins with it: a result knows better how long it took.
    let started = micros(attempt.started);
    let took = attempt.took.map_or(ended - started, |took| took.as_secs_f64());
    let started = if outcome == "done" { started.max(ended - took) } else { started };
    let exit = match outcome {
        "done" => 0,
        "failed" => attempt.failure.as_deref().and_then(exit_code).unwrap_or(NO_END),
        _ => NO_END,
    };
    let host = attempt.provider.as_ref().map_or("", |provider| &provider.name);
    let command = match data {
        serde_json::Value::String(text) => text.clone(),
        other => task_name(*task, other).unwrap_or_else(|| other.to_string()),
    };
    let printed = last.printed;
    let (host, command) = (plain(host), plain(&command));
    Some(format!("{}\t{host}\t{started:.3}\t{took:.3}\t0\t{printed}\t{exit}\t0\t{command}\n", task + 1))
}

/// The exit code that a failure names.
fn exit_code(failure: &str) -> Option<i64> {
    let (_, after) = failure.rsplit_once(EXITED)?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The text in one cell.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of this century fit into a float's 53 bits")]
fn micros(at: yagna_api::Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use golem_core::event::Provider;
    use serde_json::json;
    use yagna_api::Timestamp;

    use super::*;
    use crate::store::{AttemptRow, TaskStatus};

    fn last(outcome: Option<&str>, failure: Option<&str>) -> LastAttempt {
        let at = |millis: i32| Timestamp::from_millisecond(1_000_000_000 + i64::from(millis)).unwrap();
        let id = format!("0x{:040x}", 1).parse().unwrap();
        LastAttempt {
            task: 6,
            data: json!("a\tb"),
            status: TaskStatus::Done,
            failure: None,
            printed: 12,
            attempt: AttemptRow {
                number: 1,
                provider: Some(Provider { id, name: "lively-lynx".to_owned() }),
                outcome: outcome.map(str::to_owned),
                started: at(0),
                ended: outcome.map(|_| at(5000)),
                took: Some(Duration::from_millis(1500)),
                failure_kind: None,
                failure: failure.map(str::to_owned),
                stderr: "".into(),
            },
        }
    }

    #[test]
    fn a_task_is_a_line_as_gnu_parallel_writes_it() {
        let done = line(&last(Some("done"), None)).unwrap();
        assert_eq!(done, "7\tlively-lynx\t1000003.500\t1.500\t0\t12\t0\t0\ta b\n");
        assert_eq!(done.matches('\t').count(), HEADER.matches('\t').count());
        let exit = |outcome, failure| {
            let line = line(&last(Some(outcome), failure)).unwrap();
            line.split('\t').nth(6).unwrap().to_owned()
        };
        assert_eq!(exit("failed", Some("step 1 (`x`) exited with code 127 (after 1 other)")), "127");
        assert_eq!(exit("failed", Some("it took longer than 10 s")), "-1");
        assert_eq!(exit("lost", None), "-1");
        assert_eq!(line(&last(None, None)), None);
    }
}
