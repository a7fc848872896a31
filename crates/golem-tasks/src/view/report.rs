//! Errors as people see them: what went wrong, the first cause of it, and what to do.

use std::fmt::Write as _;

use console::style;

use crate::exit::Failure;
use crate::view::text::clean;

/// The one message about a failure: the error, what lies at the bottom of it, and the advice. What is between them is told
/// by the log.
pub fn report(failure: &Failure) -> String {
    let told = failure.error().to_string();
    let mut text = format!("{} {}\n", style("error:").for_stderr().red().bold(), clean(&told));
    let causes = std::iter::successors(failure.error().source(), |error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    tracing::debug!(?causes, "{told}");
    // Some libraries repeat their source in their own message.
    if let Some(last) = causes.last().filter(|last| !told.contains(last.as_str())) {
        let _ = writeln!(text, "  because: {}", clean(last));
    }
    if let Some(advice) = failure.advice() {
        let _ = writeln!(text, "  {} {advice}", style("try:").for_stderr().green());
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
    fn the_first_and_the_last_of_the_chain_are_told_with_advice() {
        let error = chain(&["can't do it", "it broke: disk full", "disk full", "no space"]);
        let failure = Failure::new(Exit::Store, error).advise("make room");
        assert_eq!(report(&failure), "error: can't do it\n  because: no space\n  try: make room\n");
        assert_eq!(report(&Failure::new(Exit::Bug, chain(&["odd"]))), "error: odd\n");
        let repeated = chain(&["no: disk full", "disk full"]);
        assert_eq!(report(&Failure::new(Exit::Store, repeated)), "error: no: disk full\n");
    }
}
