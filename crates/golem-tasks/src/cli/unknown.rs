//! Commands that people type from habit: those that mean one of ours are its aliases, for the others a tip says what to do.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Commands of other programs, and what to do here instead.
const TIPS: [(&[&str], &str); 5] = [
    (
        &["log"],
        "`errors` shows what failed in a run, `show --watch` what happens now, `run --log-file FILE` writes a log; \
         `logs NAME` the output of a service",
    ),
    (&["retry"], "`resume --retry-failed` tries the failed tasks of the newest run again"),
    (&["watch"], "`top` and `show --watch` follow a run until it has ended"),
    (&["rm", "delete", "prune"], "`runs rm RUN` deletes a run, `runs prune --older-than 30d` old runs"),
    (&["version"], "`--version` prints the version"),
];

/// The error of an unknown command, with a tip where it is one that other programs have.
pub(super) fn hinted(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    let tip = TIPS.into_iter().find(|(names, _)| names.contains(&typed.as_str()));
    if let (ErrorKind::InvalidSubcommand, Some((_, tip))) = (error.kind(), tip) {
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
    error
}
