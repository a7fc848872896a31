//! Finding one's way in a template: which part of it is meant, and where that stands in the job file.

use std::ops::Range;

use serde_json::Value as Json;

use crate::job::schema;

/// The inside of a string that is one `{{ }}` and nothing else, and where it starts.
pub(super) fn sole_expression(source: &str) -> Option<(usize, &str)> {
    let inside = source.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    let inside = inside.strip_suffix(['-', '+']).unwrap_or(inside);
    if ["{{", "}}", "{%"].iter().any(|marker| inside.contains(marker)) {
        return None;
    }
    Some((source.find(inside)?, inside))
}

/// A column that a template asks for in vain.
#[derive(Debug)]
pub(super) struct MissingColumn {
    pub(super) reason: String,
    pub(super) help: String,
    pub(super) part: Range<usize>,
}

/// The first column asked for that the task doesn't have.
pub(super) fn missing_column(source: &str, task: &Json) -> Option<MissingColumn> {
    for (at, prefix) in source.match_indices("task.") {
        let name = at + prefix.len();
        let column: String = source[name..].chars().take_while(|c| is_word(*c)).collect();
        let part = at..name + column.len();
        match task {
            Json::Object(columns) if columns.contains_key(&column) || column.is_empty() => {}
            Json::Object(columns) => {
                let names: Vec<&str> = columns.keys().map(String::as_str).collect();
                let help = match schema::closest(&column, names.iter().copied()) {
                    Some(close) => format!("did you mean `task.{close}`?"),
                    None if names.is_empty() => "it has no columns at all".to_owned(),
                    None => format!("it has {}", schema::list(&names, "and")),
                };
                let reason = format!("the task has no column `{column}`");
                return Some(MissingColumn { reason, help, part });
            }
            _ => {
                let reason = format!("the task is not a table, so it has no column `{column}`");
                let help = "write {{ task }} for the task itself".to_owned();
                return Some(MissingColumn { reason, help, part });
            }
        }
    }
    None
}

/// The `{{ }}` or `{% %}` around a place in a template.
pub(super) fn block_around(source: &str, at: usize) -> Range<usize> {
    let start = ["{{", "{%"].iter().filter_map(|marker| source[..at].rfind(marker)).max().unwrap_or(0);
    let end = ["}}", "%}"].iter().filter_map(|marker| source[at..].find(marker)).min();
    start..end.map_or(source.len(), |end| at + end)
}

/// The position of a variable in a template.
pub(super) fn word(source: &str, variable: &str) -> Option<Range<usize>> {
    let first = source.find("{{").into_iter().chain(source.find("{%")).min()?;
    source.match_indices(variable).map(|(at, _)| at..at + variable.len()).find(|range| {
        let before = source[..range.start].chars().next_back();
        let after = source[range.end..].chars().next();
        range.start > first && !before.is_some_and(|c| is_word(c) || c == '.') && !after.is_some_and(is_word)
    })
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The position in a TOML string, as it is written, of a byte of its content.
pub(super) fn literal_offset(raw: &str, content_offset: usize) -> usize {
    let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
    let mut at = quotes;
    if quotes == 3 {
        let newline = ["\r\n", "\n"].into_iter().find(|newline| raw[at..].starts_with(newline));
        at += newline.map_or(0, str::len);
    }
    if raw.starts_with('\'') {
        return at + content_offset;
    }
    let mut passed = 0;
    while passed < content_offset
        && let Some(c) = raw.get(at..).and_then(|rest| rest.chars().next())
    {
        if c != '\\' {
            at += c.len_utf8();
            passed += c.len_utf8();
            continue;
        }
        let escape = raw[at + 1..].chars().next();
        let digits = match escape {
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some(c) if c.is_whitespace() => {
                // A line end behind a backslash and the space around it stand for nothing.
                at += 1 + raw[at + 1..].find(|c: char| !c.is_whitespace()).unwrap_or(raw.len() - at - 1);
                continue;
            }
            _ => 0,
        };
        let code = raw.get(at + 2..at + 2 + digits).and_then(|code| u32::from_str_radix(code, 16).ok());
        at += 1 + escape.map_or(0, char::len_utf8) + digits;
        passed += code.and_then(char::from_u32).map_or(1, char::len_utf8);
    }
    at.min(raw.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_in_a_string_is_found_in_the_file() {
        for (raw, content, offset) in [
            (r#""abc {{ x }}""#, "abc {{ x }}", "x"),
            (r"'a\b {{ x }}'", r"a\b {{ x }}", "x"),
            (r#""a\t\u017b\"{{ x }}""#, "a\tŻ\"{{ x }}", "x"),
            ("\"\"\"\nline\n{{ x }}\"\"\"", "line\n{{ x }}", "x"),
            ("'''\r\nline {{ x }}'''", "line {{ x }}", "x"),
            ("\"\"\"a \\\n   {{ x }}\"\"\"", "a {{ x }}", "x"),
        ] {
            let at = literal_offset(raw, content.find(offset).unwrap());
            assert_eq!(&raw[at..=at], offset, "{raw}");
        }
        assert_eq!(literal_offset("\"a\\", 9), 3);
    }

    #[test]
    fn a_sole_expression_is_told_from_a_template() {
        assert_eq!(sole_expression("{{ task }}"), Some((2, " task ")));
        assert_eq!(sole_expression(" {{- task.a -}} "), Some((4, " task.a ")));
        assert_eq!(sole_expression("{{ a }} {{ b }}"), None);
        assert_eq!(sole_expression("n {{ a }}"), None);
    }
}
