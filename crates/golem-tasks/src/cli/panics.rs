//! Panics: bugs of the program, told as such, wherever they happen.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::{Mutex, PoisonError};

use super::report;
use crate::exit::{Exit, Failure};
use crate::view::Output;

/// The first panic of this process.
static FIRST: Mutex<Option<Bug>> = Mutex::new(None);

/// A panic of the program's own code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("golem-tasks has a bug: {message} (at {place}, version {})", env!("CARGO_PKG_VERSION"))]
struct Bug {
    message: String,
    place: String,
}

/// Does what a program is for, and ends it with a report where anything in it panics, on whichever thread: what a
/// background task had to do wasn't done then, whatever else went well.
pub(crate) fn told(go: impl FnOnce() -> Exit) -> Exit {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        FIRST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| Bug::of(info));
        // Whoever asks for a backtrace gets one.
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|wanted| wanted != "0") {
            before(info);
        }
    }));
    let outcome = catch_unwind(AssertUnwindSafe(go));
    let first = FIRST.lock().unwrap_or_else(PoisonError::into_inner).take();
    ended(outcome.ok(), first, &mut Output::stderr())
}

/// Guards a program whose job is its own: a panic there is its own affair, as long as it doesn't end the program.
pub(crate) fn told_of_own(go: impl FnOnce() -> Exit) -> Exit {
    ended(catch_unwind(AssertUnwindSafe(go)).ok(), None, &mut Output::stderr())
}

/// The exit code of the program, by its outcome and the first panic.
fn ended(outcome: Option<Exit>, first: Option<Bug>, output: &mut Output) -> Exit {
    let bug = match (outcome, first) {
        (Some(exit), None) => return exit,
        (_, Some(bug)) => bug,
        // Its message was written where it happened.
        (None, None) => {
            Bug { message: "the program panicked".to_owned(), place: "the place named above".to_owned() }
        }
    };
    let advice = concat!(
        "please report it at ",
        env!("CARGO_PKG_REPOSITORY"),
        "/issues with these lines, the command line, the job file, and what the same command says with -vv; \
         what a run has recorded is kept, and the same command with its --run-id goes on"
    );
    output.write(&report(&Failure::new(Exit::Bug, bug).advise(advice)));
    Exit::Bug
}

impl Bug {
    fn of(info: &PanicHookInfo<'_>) -> Self {
        let message = info.payload_as_str().unwrap_or("it didn't say why").replace('\n', " ");
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        Self { message, place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn told_as(outcome: Option<Exit>, first: Option<Bug>) -> (Exit, String) {
        let written = Written::default();
        let exit = ended(outcome, first, &mut Output::new(written.clone()));
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        (exit, text)
    }

    #[test]
    fn a_panic_anywhere_is_a_bug_with_a_report() {
        let bug = Bug { message: "index out of bounds".to_owned(), place: "src/x.rs:3:4".to_owned() };
        for outcome in [None, Some(Exit::Done), Some(Exit::TasksFailed), Some(Exit::Bug)] {
            let (exit, text) = told_as(outcome, Some(bug.clone()));
            assert_eq!(exit, Exit::Bug);
            assert!(
                text.starts_with(
                    "error: golem-tasks has a bug: index out of bounds (at src/x.rs:3:4, version"
                ),
                "{text}"
            );
            assert!(text.contains("/issues with these lines") && text.contains("-vv"), "{text}");
        }
        assert_eq!(told_as(Some(Exit::Usage), None), (Exit::Usage, String::new()));
        assert_eq!(told_as(None, None).0, Exit::Bug);
    }

    #[test]
    fn panics_of_this_thread_and_of_others_are_noticed() {
        // One after the other: they share the process's hook.
        let before = panic::take_hook();
        assert_eq!(told(|| panic!("here")), Exit::Bug);
        assert_eq!(
            told(|| {
                let other = std::thread::spawn(|| panic!("elsewhere"));
                assert!(other.join().is_err());
                Exit::Done
            }),
            Exit::Bug
        );
        panic::set_hook(before);
    }
}
