//! The problems of a job file, as a reader should see them: file, line, column, the line itself with a caret, and the
//! remedy. Finding the problems is left to the modules of the sections.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Problems told at once; a reader mends a few at a time.
pub(super) const MOST: usize = 10;
/// Characters of a line shown around a problem.
const WINDOW: usize = 100;

/// The reasons why a job file can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The file can't be opened or read.
    #[error("can't read the job file `{}`", path.display())]
    Read {
        /// The job file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file holds something else than text.
    #[error("{}:{line}: the job file is not UTF-8 text: save it as UTF-8", path.display())]
    NotUtf8 {
        /// The job file.
        path: PathBuf,
        /// The first line with a byte that is no text.
        line: usize,
    },
    /// The file was read and says something wrong.
    #[error("{0}")]
    Invalid(Problems),
}

/// The problems of one job file, in the order of its lines, at most ten of them.
///
/// Printed, they are one message to show as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    origin: PathBuf,
    list: Vec<Problem>,
    count: usize,
}

/// One thing wrong with a job file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The place of the problem; none when something is missing.
    pub place: Option<Place>,
    /// The problem in words.
    pub message: String,
    /// The mend.
    pub help: Option<String>,
}

/// A place in a job file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line's text, or the part of a long line around the place.
    snippet: String,
    /// The position of the caret in the snippet, and its width, in characters.
    caret: (usize, usize),
}

impl Problems {
    pub(super) fn new(origin: &Path, list: Vec<Problem>, count: usize) -> Self {
        Self { origin: origin.to_owned(), list, count }
    }

    /// The first problems.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// The number of problems in all.
    pub fn count(&self) -> usize {
        self.count
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.list.iter().enumerate() {
            if number > 0 {
                f.write_str("\n\n")?;
            }
            problem.write(&self.origin, f)?;
        }
        let (count, shown, origin) = (self.count, self.list.len(), self.origin.display());
        match count {
            0 | 1 => Ok(()),
            _ if count == shown => write!(f, "\n\n{count} problems in {origin}"),
            _ => write!(f, "\n\n{count} problems in {origin}, the first {shown} shown"),
        }
    }
}

impl Problem {
    fn write(&self, origin: &Path, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = origin.display();
        let margin = if let Some(place) = &self.place {
            let number = place.line.to_string();
            let margin = " ".repeat(number.len());
            write!(f, "{origin}:{number}:{}: {}", place.column, self.message)?;
            let (indent, width) = place.caret;
            // A tab stays a tab in front of the caret, so that the two lines keep together.
            let lead: String =
                place.snippet.chars().take(indent).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n{margin} |\n{number} | {}\n{margin} | {lead}{}", place.snippet, "^".repeat(width))?;
            margin
        } else {
            write!(f, "{origin}: {}", self.message)?;
            " ".to_owned()
        };
        match &self.help {
            Some(help) => write!(f, "\n{margin} = help: {help}"),
            None => Ok(()),
        }
    }
}

impl Place {
    /// The place of a byte range; a range over several lines is marked on its first one.
    pub(super) fn new(text: &str, span: Range<usize>) -> Self {
        let start = floor_boundary(text, span.start);
        let end = floor_boundary(text, span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let before = text[line_start..start].chars().count();
        let length = line.chars().count();
        let marked = text[start..end.min(line_start + line.len()).max(start)].chars().count();
        let (snippet, indent) = window(line, length, before);
        let room = snippet.chars().count().saturating_sub(indent);
        Self {
            line: text[..line_start].matches('\n').count() + 1,
            column: before + 1,
            snippet,
            caret: (indent, marked.min(room).max(1)),
        }
    }
}

/// The part of a line around a column, and where the column is in it.
fn window(line: &str, length: usize, column: usize) -> (String, usize) {
    if length <= WINDOW + 10 {
        return (line.to_owned(), column);
    }
    let first = column.saturating_sub(WINDOW / 3);
    let mut shown: String = line.chars().skip(first).take(WINDOW).collect();
    if first + WINDOW < length {
        shown.push('…');
    }
    if first == 0 { (shown, column) } else { (format!("…{shown}"), column - first + 1) }
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_from_one_and_columns_in_characters() {
        let place = Place::new("a = 1\nkey = \"zażółć\"\n", 12..20);
        assert_eq!((place.line, place.column), (2, 7));
        let place = Place::new("ż = 1", 3..4);
        assert_eq!((place.line, place.column, place.caret), (1, 3, (2, 1)));
    }

    #[test]
    fn a_place_at_the_end_or_beyond_still_has_a_caret() {
        assert_eq!(Place::new("a =", 3..3).caret, (3, 1));
        assert_eq!(Place::new("", 9..12).caret, (0, 1));
        assert_eq!(Place::new("a = \"\"\"\nb\n\"\"\"", 4..13).caret, (4, 3));
    }

    #[test]
    fn a_long_line_is_shown_around_the_place_only() {
        let text = format!("values = [{}]", "1, ".repeat(1000));
        let place = Place::new(&text, 1000..1001);
        assert!(place.snippet.starts_with('…') && place.snippet.ends_with('…'), "{}", place.snippet);
        assert_eq!(place.snippet.chars().count(), WINDOW + 2);
        let (indent, _) = place.caret;
        assert_eq!(place.snippet.chars().nth(indent), text.chars().nth(1000));
    }
}
