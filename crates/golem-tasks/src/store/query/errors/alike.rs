//! The grouping of failures: those of the same step with the same exit code are one, whatever the task was.

use golem_core::words::without_others;

/// The text that stands for a part that differs from one failure to the next.
const ANY: &str = "…";

/// A reason without what belongs to one task or one provider alone: what is quoted in it, the provider's name, and what a
/// command said on its way out.
pub(super) fn alike(reason: &str, provider: Option<&str>) -> String {
    let reason = without_others(reason);
    let mut text = match step(reason).or_else(|| command(reason)) {
        Some(text) => text,
        None => without_quotes(reason),
    };
    if let Some(name) = provider.filter(|name| name.chars().count() > 2) {
        text = text.replace(name, ANY);
    }
    text
}

/// `step 2 (`render frame-7`) exited with code 1`, as a job file's steps fail.
fn step(reason: &str) -> Option<String> {
    let (number, rest) = reason.strip_prefix("step ")?.split_once(" (")?;
    number.parse::<u64>().ok()?;
    // The rendered text may have quotes in it.
    let (quoted, said) = rest.rsplit_once("`)")?;
    let what = quoted.split_once('`')?.0.trim_end();
    let what = if what.is_empty() { String::new() } else { format!(" ({what})") };
    Some(format!("step {number}{what}{}", without_quotes(said)))
}

/// `` `render frame-7` (command 0) failed on ada: exited with code 42: no more memory``, as commands of a program's own job
/// fail.
fn command(reason: &str) -> Option<String> {
    let (_, rest) = reason.strip_prefix('`')?.rsplit_once("` (command ")?;
    let (number, rest) = rest.split_once(") failed on ")?;
    let (_, said) = rest.split_once(": ")?;
    let code = said.strip_prefix("exited with code ").map(|code| code.split(':').next().unwrap_or_default());
    let said = code.map_or_else(|| without_quotes(said), |code| format!("exited with code {code}"));
    Some(format!("command {number} {said}"))
}

/// A text with what stands between backquotes taken out.
fn without_quotes(text: &str) -> String {
    let mut without = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('`') {
        let Some((_, after)) = after.split_once('`') else { break };
        without.push_str(before);
        without.push_str(ANY);
        rest = after;
    }
    without.push_str(rest);
    without
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_one_step_with_one_exit_code_are_alike_whatever_the_task_was() {
        for (reasons, together) in [
            (
                ["step 1 (`exit 3 # a`) exited with code 3", "step 1 (`exit 3 # `b``) exited with code 3"],
                "step 1 exited with code 3",
            ),
            (
                ["step 2 (upload to `/golem/1`): no space", "step 2 (upload to `/golem/2`): no space"],
                "step 2 (upload to): no space",
            ),
            (
                [
                    "`/bin/x 1` (command 0) failed on ada: exited with code 42: no more memory",
                    "`/bin/x 2` (command 0) failed on bob: exited with code 42: lost",
                ],
                "command 0 exited with code 42",
            ),
            (["`in/1.txt` can't be read: gone", "`in/2.txt` can't be read: gone"], "… can't be read: gone"),
        ] {
            for reason in reasons {
                assert_eq!(alike(reason, None), together);
            }
        }
    }

    #[test]
    fn failures_that_differ_in_step_exit_code_or_words_are_not_alike() {
        let reasons = [
            "step 1 (`a`) exited with code 1",
            "step 1 (`a`) exited with code 2",
            "step 2 (`a`) exited with code 1",
            "step 1 (`a`) ran into its time limit of 2s",
            "a ` alone",
        ];
        let all: std::collections::BTreeSet<_> = reasons.iter().map(|reason| alike(reason, None)).collect();
        assert_eq!(all.len(), reasons.len(), "{all:?}");
    }

    #[test]
    fn the_name_of_a_provider_makes_no_difference() {
        let lost = |name| alike(&format!("the activity is lost on {name}: killed"), Some(name));
        assert_eq!(lost("lively-lynx"), lost("calm-wren"));
    }
}
