//! Errors as people see them: what went wrong, why, and what to do.

use std::fmt::Write as _;

use crate::exit::Failure;

/// The one message about a failure: the error, its sources, and the advice.
pub fn report(failure: &Failure) -> String {
    let mut text = format!("error: {}\n", failure.error());
    let mut told = failure.error().to_string();
    let mut source = failure.error().source();
    while let Some(error) = source {
        let message = error.to_string();
        // Some libraries repeat their source in their own message.
        if !told.contains(&message) {
            let _ = writeln!(text, "  because: {message}");
            told = message;
        }
        source = error.source();
    }
    if let Some(advice) = failure.advice() {
        let _ = writeln!(text, "  try: {advice}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    fn chain(texts: &[&'static str]) -> Link {
        let (text, rest) = texts.split_first().unwrap();
        Link { text, source: (!rest.is_empty()).then(|| Box::new(chain(rest))) }
    }

    #[test]
    fn the_chain_is_told_once_and_ends_with_advice() {
        let error = chain(&["can't do it", "it broke: disk full", "disk full", "no space"]);
        let failure = Failure::new(Exit::Store, error).advise("make room");
        assert_eq!(
            report(&failure),
            "error: can't do it\n  because: it broke: disk full\n  because: no space\n  try: make room\n"
        );
        assert_eq!(report(&Failure::new(Exit::Bug, chain(&["odd"]))), "error: odd\n");
    }
}
