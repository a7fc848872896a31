//! The syntax of templates, and the filters beside those of every Jinja.

use std::ffi::OsStr;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

/// Stands around inserted text where a rendering is to be marked. No path can hold it.
pub(in crate::job) const MARK: char = '\0';

/// The variable that has text marked. No template can name it.
pub(super) const MARKED: &str = "(marked)";

/// Steps that a rendering may take: some hundredths of a second, and far more than any sensible template needs.
pub(super) const FUEL: u64 = 1_000_000;

/// An environment without templates.
pub(super) fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    let syntax = SyntaxConfig::builder()
        .comment_delimiters("{{#", "#}}")
        .keep_trailing_newline(true)
        .build()
        .expect("the three start markers differ");
    env.set_syntax(syntax);
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_fuel(Some(FUEL));
    env.set_debug(true); // errors say which part of a template they mean
    env.set_formatter(|out, state, value| {
        let written = match value.kind() {
            ValueKind::Undefined => Ok(()),
            _ if state.lookup(MARKED).is_some() => {
                let text = plain_text(value)?.replace(MARK, "");
                out.write_str(&format!("{MARK}{text}{MARK}"))
            }
            _ => out.write_str(&plain_text(value)?),
        };
        written.map_err(Error::from)
    });
    env.add_filter("basename", |path: String| file_part(&path, Path::file_name));
    env.add_filter("stem", |path: String| file_part(&path, Path::file_stem));
    env.add_filter("extension", |path: String| file_part(&path, Path::extension));
    env.add_filter("json", |value: &Value| json_text(defined(value)?));
    env.add_filter("shell", |value: &Value| shell_word(&plain_text(defined(value)?)?));
    env
}

/// Refuses a value that isn't there, which the engine lets pass into filters that take any value.
pub(super) fn defined(value: &Value) -> Result<&Value, Error> {
    if value.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(value) }
}

/// A string as it is, anything else as JSON.
pub(super) fn plain_text(value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => json_text(value),
    }
}

fn json_text(value: &Value) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| {
        Error::new(ErrorKind::InvalidOperation, format!("JSON can't hold the value: {error}"))
    })
}

fn file_part(path: &str, part: fn(&Path) -> Option<&OsStr>) -> String {
    part(Path::new(path)).map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
}

/// One word for a POSIX shell, quoted where it must be.
pub(in crate::job) fn shell_word(text: &str) -> Result<String, Error> {
    if text.contains('\0') {
        return Err(Error::new(ErrorKind::InvalidOperation, "no shell can take a NUL character"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./,:+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell_where_they_must_be() {
        for (text, quoted) in [
            ("frames/0001.png", "frames/0001.png"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(rm -rf /)", "'$(rm -rf /)'"),
            ("-x;y", "'-x;y'"),
            ("~", "'~'"),
        ] {
            assert_eq!(shell_word(text).unwrap(), quoted);
        }
        assert!(shell_word("a\0b").is_err());
    }
}
