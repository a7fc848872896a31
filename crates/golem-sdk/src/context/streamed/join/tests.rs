use serde_json::Value;
use yagna_api::activity::Outcome;
use yagna_api::{BatchId, Timestamp};

use super::*;
use crate::script::{Capture, Program};

fn step(program: Program) -> Step {
    Step::Program(program)
}

/// So many programs whose output is streamed.
fn streamed(n: usize) -> Join {
    let steps: Vec<_> = (0..n).map(|_| step(Program::new("x"))).collect();
    Join::new(&steps)
}

fn event(index: u32, kind: RuntimeEventKind) -> RuntimeEvent {
    RuntimeEvent { batch_id: BatchId::new("b"), index, timestamp: Timestamp::UNIX_EPOCH, kind }
}

fn started(index: u32) -> RuntimeEvent {
    event(index, RuntimeEventKind::Started { command: Value::Null })
}

fn wrote(index: u32, bytes: impl AsRef<[u8]>) -> RuntimeEvent {
    event(index, RuntimeEventKind::StdOut(Output::Bytes(bytes.as_ref().to_vec())))
}

fn ended(index: u32, return_code: i32) -> RuntimeEvent {
    event(index, RuntimeEventKind::Finished { return_code, message: None })
}

fn result(index: u32, stdout: impl AsRef<[u8]>) -> CommandResult {
    CommandResult {
        index,
        result: Outcome::Ok,
        stdout: Some(Output::Bytes(stdout.as_ref().to_vec())),
        stderr: None,
        message: None,
        is_batch_finished: false,
        event_date: Timestamp::UNIX_EPOCH,
    }
}

/// What a reader is told, in short: `0 start`, `0 "text"`, `0 late "text"`, `0 end Some(0)`.
#[derive(Default)]
struct Reader(Vec<String>);

impl Reader {
    fn event(&mut self, join: &mut Join, event: RuntimeEvent) -> &mut Self {
        assert!(!join.needs_results(&event), "{event:?} needs results");
        join.on_event(event, |told| self.hear(told));
        self
    }

    fn results(&mut self, join: &mut Join, results: &[CommandResult]) -> &mut Self {
        join.on_results(results, |told| self.hear(told));
        self
    }

    fn hear(&mut self, told: Told) {
        self.0.push(match told {
            Told::Started { place } => format!("{place} start"),
            Told::Piece { place, bytes, belated, .. } => {
                let late = if belated { "late " } else { "" };
                format!("{place} {late}{:?}", String::from_utf8_lossy(&bytes))
            }
            Told::Progress { place, .. } => format!("{place} progress"),
            Told::Finished { place, exit_code, .. } => format!("{place} end {exit_code:?}"),
        });
    }
}

#[test]
fn a_whole_stream_is_told_as_it_comes_and_the_results_add_nothing() {
    let (mut join, mut reader) = (streamed(2), Reader::default());
    for event in
        [started(0), wrote(0, "a"), wrote(0, "b"), ended(0, 0), started(1), wrote(1, "c"), ended(1, 0)]
    {
        assert!(!join.is_over());
        reader.event(&mut join, event);
    }
    assert!(join.is_over());
    reader.results(&mut join, &[result(0, "ab"), result(1, "c")]);
    let told = ["0 start", "0 \"a\"", "0 \"b\"", "0 end Some(0)", "1 start", "1 \"c\"", "1 end Some(0)"];
    assert_eq!(reader.0, told);
}

#[test]
fn what_was_written_before_the_stream_began_is_told_belated_and_once() {
    let (mut join, mut reader) = (streamed(1), Reader::default());
    reader.event(&mut join, wrote(0, "c")).event(&mut join, wrote(0, "d"));
    assert!(join.needs_results(&ended(0, 0)), "its beginning isn't known");
    reader.results(&mut join, &[result(0, "abcd")]);
    join.on_event(ended(0, 0), |told| reader.hear(told));
    assert_eq!(reader.0, ["0 start", "0 \"c\"", "0 \"d\"", "0 late \"ab\"", "0 end Some(0)"]);
}

#[test]
fn commands_that_the_stream_never_saw_are_told_before_those_that_it_sees() {
    let (mut join, mut reader) = (streamed(3), Reader::default());
    assert!(join.needs_results(&wrote(2, "z")), "two commands are unknown");
    reader.results(&mut join, &[result(0, "x"), result(1, "")]);
    reader.event(&mut join, wrote(2, "z"));
    let told = ["0 start", "0 \"x\"", "0 end Some(0)", "1 start", "1 end Some(0)", "2 start", "2 \"z\""];
    assert_eq!(reader.0, told);
}

#[test]
fn results_that_come_late_are_asked_for_once() {
    let (mut join, mut reader) = (streamed(2), Reader::default());
    assert!(join.needs_results(&started(1)));
    reader.results(&mut join, &[]).event(&mut join, started(1)).event(&mut join, wrote(1, "b"));
    reader.results(&mut join, &[result(0, "a"), result(1, "b")]);
    assert_eq!(reader.0, ["1 start", "1 \"b\"", "0 start", "0 \"a\"", "0 end Some(0)", "1 end Some(0)"]);
}

#[test]
fn after_a_cut_the_results_go_on_where_the_stream_broke_off() {
    let (mut join, mut reader) = (streamed(2), Reader::default());
    reader.event(&mut join, started(0)).event(&mut join, wrote(0, "ab"));
    join.on_cut();
    // The stream is there again, and begins anew or not: neither may repeat or leave out anything.
    reader.event(&mut join, started(0)).event(&mut join, wrote(0, "ab")).event(&mut join, wrote(0, "e"));
    assert!(join.needs_results(&ended(0, 0)));
    reader.results(&mut join, &[result(0, "abcde")]);
    reader.event(&mut join, started(1)).event(&mut join, wrote(1, "f")).event(&mut join, ended(1, 0));
    let told = ["0 start", "0 \"ab\"", "0 \"cde\"", "0 end Some(0)", "1 start", "1 \"f\"", "1 end Some(0)"];
    assert_eq!(reader.0, told);
}

#[test]
fn a_stream_with_neither_beginning_nor_end_is_made_whole() {
    let (mut join, mut reader) = (streamed(1), Reader::default());
    reader.event(&mut join, wrote(0, "cd"));
    join.on_cut();
    reader.results(&mut join, &[result(0, "abcdef")]);
    assert_eq!(reader.0, ["0 start", "0 \"cd\"", "0 late \"ab\"", "0 \"ef\"", "0 end Some(0)"]);
}

#[test]
fn output_captured_at_the_end_comes_before_the_end_is_told() {
    let steps = [step(Program::new("x").stdout(Capture::head(3)).stderr(Capture::none()))];
    let (mut join, mut reader) = (Join::new(&steps), Reader::default());
    reader.event(&mut join, started(0));
    assert!(join.needs_results(&ended(0, 0)));
    reader.results(&mut join, &[result(0, "abc")]);
    assert_eq!(reader.0, ["0 start", "0 \"abc\"", "0 end Some(0)"]);
}

#[test]
fn characters_are_never_cut_and_bytes_always_come_at_once() {
    let text = "żółw 𝄞 日本";
    for binary in [false, true] {
        let program = if binary { Program::new("x").binary_output() } else { Program::new("x") };
        let (mut join, mut reader) = (Join::new(&[step(program)]), Reader::default());
        let mut pieces = Vec::new();
        reader.event(&mut join, started(0));
        for byte in text.as_bytes().iter().chain(&[0xE6]) {
            join.on_event(wrote(0, [*byte]), |told| {
                if let Told::Piece { bytes, .. } = told {
                    pieces.push(bytes);
                }
            });
        }
        // Another byte that no character begins with ends the waiting.
        join.on_event(wrote(0, b"!"), |told| {
            if let Told::Piece { bytes, .. } = told {
                pieces.push(bytes);
            }
        });
        let expected = [text.as_bytes(), b"\xE6!"].concat();
        assert_eq!(pieces.concat(), expected);
        let whole = pieces.iter().filter(|piece| std::str::from_utf8(piece).is_ok()).count();
        let chars = text.chars().count();
        assert_eq!(whole, if binary { text.chars().filter(char::is_ascii).count() + 1 } else { chars });
    }
}

#[test]
fn a_failure_and_a_time_out_leave_nothing_untold() {
    let (mut join, mut reader) = (streamed(2), Reader::default());
    reader.event(&mut join, started(0)).event(&mut join, wrote(0, b"a\xC3")).event(&mut join, ended(0, 3));
    assert!(join.is_over());
    assert_eq!(reader.0, ["0 start", "0 \"a\"", "0 \"\u{fffd}\"", "0 end Some(3)"]);

    let (mut join, mut reader) = (streamed(1), Reader::default());
    reader.event(&mut join, started(0)).event(&mut join, wrote(0, b"a\xC3"));
    join.on_expired(|told| reader.hear(told));
    assert_eq!(reader.0, ["0 start", "0 \"a\"", "0 \"\u{fffd}\""]);
}

#[test]
fn nothing_a_provider_says_makes_it_panic() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..2000 {
        let mut join = streamed(3);
        let mut told = Vec::new();
        for _ in 0..random.usize(0..20) {
            let index = random.u32(0..5);
            let bytes: Vec<u8> = (0..random.usize(0..4)).map(|_| random.u8(..)).collect();
            match random.u8(0..6) {
                0 => join.on_event(started(index), |one| told.push(one)),
                1 => join.on_event(ended(index, random.i32(-1..2)), |one| told.push(one)),
                2 => join.on_cut(),
                3 => {
                    let results: Vec<_> = (0..index).map(|index| result(index, &bytes)).collect();
                    join.on_results(&results, |one| told.push(one));
                }
                _ => join.on_event(wrote(index, &bytes), |one| told.push(one)),
            }
        }
        for place in 0..3 {
            let count = |is: &dyn Fn(&Told) -> bool| told.iter().filter(|one| is(one)).count();
            assert!(count(&|one| matches!(one, Told::Started { place: at } if *at == place)) <= 1);
            assert!(count(&|one| matches!(one, Told::Finished { place: at, .. } if *at == place)) <= 1);
        }
    }
}
