//! The mark at the end of a command's output, by which a cut output is known.
//!
//! Golem's own runtime sometimes loses the end of what a command printed and reports success all the same. A line of shell
//! is therefore run by another shell that prints a mark after it: where the mark arrives, all that was printed before has.
//! A program that isn't started by a shell has no mark, for its image may have no shell. A shell that can't print one, as those
//! of emulated machines, is found out by trying, and its outputs are believed.

use std::time::Duration;

use golem_sdk::{ExecutionEnd, Program, Script, ScriptError, WorkContext};
use yagna_api::activity::{CommandResult, Outcome, Output};

use super::super::{RenderedAction, RenderedStep};

const SHELL: &str = "/bin/sh";
/// The mark. It begins and ends with a control character that programs don't print by chance.
const MARK: &[u8] = b"\x1egolem:end\x1e";
/// The outer shell's program: the line is its first argument, and its exit code is the line's.
const OUTER: &str = r#"/bin/sh -c "$1"; golem_end=$?; printf '\036golem:end\036'; exit $golem_end"#;

/// The line of a step that a shell runs.
fn line(step: &RenderedStep) -> Option<&str> {
    match &step.action {
        RenderedAction::Run { program, args } if program == SHELL => match args.as_slice() {
            [flag, line] if flag == "-c" => Some(line),
            _ => None,
        },
        _ => None,
    }
}

/// The arguments with which a shell runs the step's line and marks its end; none for steps that aren't a line of shell.
pub(in crate::job) fn marked(step: &RenderedStep) -> Option<Vec<String>> {
    line(step).map(outer)
}

fn outer(line: &str) -> Vec<String> {
    ["-c", OUTER, SHELL, line].map(str::to_owned).into()
}

/// The marks found in some results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::job) struct Marks {
    /// The place of the first that succeeded and has none: the end of its output didn't arrive.
    pub(in crate::job) incomplete: Option<usize>,
    /// One of them has a mark.
    seen: bool,
}

/// The shell of an activity, as far as it is known.
#[derive(Debug, Default)]
pub(in crate::job) struct Shell {
    /// Its shell prints marks. Nothing is known before the first mark, or before one was asked for and didn't come.
    marks: Option<bool>,
}

impl Shell {
    /// A shell that prints no mark at all is tried so often: it may have, and the mark was cut off.
    const TRIES: u32 = 3;
    /// A trial may take so long.
    const LIMIT: Duration = Duration::from_secs(60);

    pub(in crate::job) fn saw(&mut self, marks: Marks) {
        if marks.seen {
            self.marks = Some(true);
        }
    }

    /// True if this shell has been seen to print marks.
    pub(in crate::job) fn is_known(&self) -> bool {
        self.marks == Some(true)
    }

    /// True if this shell prints marks, so that an output without one is incomplete. It is tried out where that isn't known.
    ///
    /// **Errors**: those of [`WorkContext::execute`].
    pub(in crate::job) async fn marks(&mut self, ctx: &WorkContext) -> Result<bool, ScriptError> {
        for _ in 0..Self::TRIES {
            if let Some(marks) = self.marks {
                return Ok(marks);
            }
            let program = Program::new(SHELL).args(outer(":")).binary_output();
            let tried = ctx.execute(Script::new().program(program), Self::LIMIT).await?;
            let printed = tried.results.first().and_then(|result| result.stdout.as_ref());
            let is_marked = printed.is_some_and(|stdout| !stdout.as_bytes().is_empty());
            if is_marked || tried.end != ExecutionEnd::Done {
                // Whatever came is the mark, or its beginning.
                self.marks = Some(is_marked);
            }
        }
        Ok(*self.marks.get_or_insert(false))
    }
}

/// Takes the marks out of the results of these steps.
pub(in crate::job) fn take_marks(steps: &[RenderedStep], results: &mut [CommandResult]) -> Marks {
    let mut marks = Marks::default();
    for (place, (step, result)) in steps.iter().zip(results).enumerate() {
        if line(step).is_none() {
            continue;
        }
        let has_mark = take_mark(&mut result.stdout);
        marks.seen |= has_mark;
        if !has_mark && result.result == Outcome::Ok {
            marks.incomplete = marks.incomplete.or(Some(place));
        }
    }
    marks
}

fn take_mark(output: &mut Option<Output>) -> bool {
    let Some(bytes) = output.as_ref().and_then(|output| output.as_bytes().strip_suffix(MARK)) else {
        return false;
    };
    let left = bytes.len();
    match output {
        // The mark is plain text, so that what is before it ends between two characters.
        Some(Output::Text(text)) => text.truncate(left),
        Some(Output::Bytes(bytes)) => bytes.truncate(left),
        None => {}
    }
    true
}

#[cfg(test)]
mod tests {
    use yagna_api::Timestamp;

    use super::*;

    fn shell(line: &str) -> RenderedStep {
        let args = vec!["-c".to_owned(), line.to_owned()];
        RenderedStep {
            number: 1,
            action: RenderedAction::Run { program: SHELL.to_owned(), args },
            timeout: None,
        }
    }

    fn run(line: &str) -> std::process::Output {
        let args = marked(&shell(line)).unwrap();
        std::process::Command::new(SHELL).args(args).output().unwrap()
    }

    fn result(outcome: Outcome, stdout: &[u8]) -> CommandResult {
        CommandResult {
            index: 0,
            result: outcome,
            stdout: Some(Output::Bytes(stdout.to_vec())),
            stderr: None,
            message: None,
            is_batch_finished: false,
            event_date: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_line_does_what_it_did_without_a_mark() {
        for (line, code, stdout) in [
            ("echo hello", 0, "hello\n"),
            ("printf 'no newline'", 0, "no newline"),
            ("exit 3", 3, ""),
            ("exec echo replaced", 0, "replaced\n"),
            ("trap 'echo bye' EXIT; echo hi", 0, "hi\nbye\n"),
            ("set -e; false; echo never", 1, ""),
            ("echo $# \"$1\"", 0, "0 \n"),
            ("cat <<END\na 'quoted' \"text\" $((1 + 1))\nEND", 0, "a 'quoted' \"text\" 2\n"),
            ("kill -9 $$", 137, ""),
            ("(exit 0) # a comment", 0, ""),
        ] {
            let output = run(line);
            assert_eq!(output.status.code(), Some(code), "{line}");
            let printed = output.stdout.strip_suffix(MARK).unwrap_or_else(|| panic!("{line} has no mark"));
            assert_eq!(String::from_utf8_lossy(printed), stdout, "{line}");
        }
    }

    #[test]
    fn what_succeeds_without_its_mark_is_incomplete() {
        let steps = [shell("a"), shell("b"), shell("c")];
        let whole = [b"caf\xe9".as_slice(), MARK].concat();
        let mut results = [
            result(Outcome::Ok, &whole),
            result(Outcome::Ok, &whole[..whole.len() - 1]),
            result(Outcome::Ok, b""),
        ];
        assert_eq!(take_marks(&steps, &mut results), Marks { incomplete: Some(1), seen: true });
        assert_eq!(results[0].stdout.as_ref().unwrap().as_bytes(), b"caf\xe9");
        let mut failed = [result(Outcome::Error, b"half")];
        assert_eq!(take_marks(&steps, &mut failed), Marks::default(), "it failed anyway");
        let twice = [MARK, MARK].concat();
        let mut results = [result(Outcome::Ok, &twice)];
        assert_eq!(take_marks(&steps, &mut results).incomplete, None);
        assert_eq!(results[0].stdout.as_ref().unwrap().as_bytes(), MARK, "only our own one is taken");
    }

    #[test]
    fn a_program_without_a_shell_has_no_mark() {
        let step = RenderedStep {
            number: 1,
            action: RenderedAction::Run {
                program: "/bin/echo".to_owned(),
                args: vec!["-c".into(), "x".into()],
            },
            timeout: None,
        };
        assert_eq!(marked(&step), None);
        assert_eq!(take_marks(&[step], &mut [result(Outcome::Ok, b"x\n")]), Marks::default());
    }
}
