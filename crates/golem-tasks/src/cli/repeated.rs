//! The command line once more, as it would be typed to try again what failed. Secrets in it are replaced by placeholders.

use std::fmt::Write as _;

/// Flags whose value may be a secret, and the placeholder that stands for it.
const SECRETS: [(&str, &str); 2] = [("--app-key", "KEY"), ("--dsn", "DSN")];

/// This command line with the run's id, and with `--retry-failed`.
pub(super) fn retrying(words: impl IntoIterator<Item = String>, run_id: &str) -> String {
    let mut text = String::new();
    let (mut has_id, mut retries) = (false, false);
    let mut secret: Option<(&str, &str)> = None;
    for word in words {
        has_id |= word == "--run-id" || word.starts_with("--run-id=");
        retries |= word == "--retry-failed";
        let shown = match secret.take() {
            Some((flag, placeholder)) if is_secret(flag, &word) => placeholder.to_owned(),
            _ => shown(word.clone()),
        };
        secret = SECRETS.into_iter().find(|(flag, _)| *flag == word);
        let _ = write!(text, "{}{shown}", if text.is_empty() { "" } else { " " });
    }
    if !has_id {
        let _ = write!(text, " --run-id {run_id}");
    }
    if !retries {
        text.push_str(" --retry-failed");
    }
    text
}

/// A word of a command line, quoted where a shell would read it as something else.
fn shown(word: String) -> String {
    for (flag, placeholder) in SECRETS {
        if let Some(value) = word.strip_prefix(flag).and_then(|rest| rest.strip_prefix('='))
            && is_secret(flag, value)
        {
            return format!("{flag}={placeholder}");
        }
    }
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=,@+%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word;
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// An address of a database is one only where it may have a password in it.
fn is_secret(flag: &str, value: &str) -> bool {
    let after_scheme = value.split_once("://").map(|(_, rest)| rest);
    flag != "--dsn" || value.contains("password") || after_scheme.is_some_and(|rest| rest.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(words: &[&str]) -> String {
        retrying(words.iter().map(|word| (*word).to_owned()), "calm-fox-1")
    }

    #[test]
    fn the_command_is_what_was_typed_with_what_it_lacked() {
        assert_eq!(
            again(&["golem-tasks", "run", "a job.toml", "--devnet"]),
            "golem-tasks run 'a job.toml' --devnet --run-id calm-fox-1 --retry-failed"
        );
        let all = ["golem-tasks", "run", "j.toml", "--run-id=x", "--retry-failed", "--budget", "3/h,20/d"];
        assert_eq!(again(&all), all.join(" "));
        assert!(again(&["p", "run", "it's"]).starts_with("p run 'it'\\''s' "));
    }

    #[test]
    fn no_secret_is_repeated() {
        let words = ["p", "run", "--app-key", "1234", "--dsn", "postgres://me:pw@h/d"];
        assert!(again(&words).starts_with("p run --app-key KEY --dsn DSN --run-id "));
        let words = ["p", "run", "--app-key=1234", "--dsn=host=h password=pw"];
        assert!(again(&words).starts_with("p run --app-key=KEY --dsn=DSN --run-id "));
        let words = ["p", "run", "--dsn", "sqlite:runs.db"];
        assert!(again(&words).starts_with("p run --dsn sqlite:runs.db --run-id "));
    }
}
