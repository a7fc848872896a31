//! Walking a TOML document: sections, entries and typed values, each with its place in the text.
//!
//! Readers return `None` after they reported why, so that a section can go on and report what else is wrong.
//! What the keys mean is left to the sections.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use yagna_api::Glm;

use super::numbers::is_exact;
use super::problem::{MOST, Place, Problem, Problems};
use super::schema::Vocabulary;

/// Collects the problems of one document.
#[derive(Debug)]
pub(crate) struct Diagnostics<'t> {
    text: &'t str,
    /// The words of this kind of document.
    vocabulary: &'static Vocabulary,
    /// The beginning of each line.
    lines: Vec<usize>,
    found: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    span: Option<Range<usize>>,
    message: String,
    help: Option<String>,
}

/// A table of the document whose keys are known.
#[derive(Debug, Clone)]
pub(crate) struct Section<'a> {
    /// The name in messages, for example `[payload]`.
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
    /// The prefix of its entries' names.
    prefix: String,
    /// True if it has keys that it may not have. They were reported.
    has_unknown: bool,
    /// Keys that a mistyped key was taken for.
    meant: Vec<String>,
    table: &'a DeTable<'a>,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    /// The name in messages, for example `budget` or `upload.from`.
    pub(crate) name: String,
    pub(crate) key_span: Range<usize>,
    pub(crate) value: &'a Spanned<DeValue<'a>>,
}

/// Reads the text of a file that is, or would be, at `origin`. All of its problems are reported together.
///
/// `read` gives `None` after it reported why.
pub(crate) fn read<T>(
    text: &str,
    origin: &Path,
    vocabulary: &'static Vocabulary,
    read: impl for<'a> FnOnce(&'a DeTable<'a>, &mut Diagnostics<'_>) -> Option<T>,
) -> Result<T, Problems> {
    // Editors on Windows put a byte order mark in front; every position is counted behind it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut diagnostics = Diagnostics::new(text, vocabulary);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // The meaning of a broken document is a guess, so its mistakes in grammar are all we report.
        diagnostics.syntax_errors(&errors);
        return Err(diagnostics.into_problems(origin));
    }
    match read(document.get_ref(), &mut diagnostics) {
        Some(read) if diagnostics.is_clean() => Ok(read),
        _ => Err(diagnostics.into_problems(origin)),
    }
}

impl<'t> Diagnostics<'t> {
    fn new(text: &'t str, vocabulary: &'static Vocabulary) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { text, vocabulary, lines, found: Vec::new() }
    }

    fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    /// The text behind a span.
    pub(crate) fn raw(&self, span: Range<usize>) -> &'t str {
        self.text.get(span).unwrap_or_default()
    }

    /// The line, from 1, of a byte offset.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    pub(crate) fn report(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.push(Some(span), message.into(), None);
    }

    pub(crate) fn report_with_help(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Some(span), message.into(), Some(help.into()));
    }

    /// Something that isn't there, so has no place.
    pub(crate) fn missing(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.push(None, message.into(), Some(help.into()));
    }

    /// Mistakes in TOML's grammar, one a line: a second complaint about a line is mostly an echo of the first.
    fn syntax_errors(&mut self, errors: &[toml::de::Error]) {
        let mut lines = BTreeSet::new();
        for error in errors {
            let span = error.span();
            if lines.insert(span.as_ref().map(|span| self.line(span.start))) {
                let message = error.message().lines().collect::<Vec<_>>().join(", ");
                self.push(span, format!("this is not TOML: {message}"), None);
            }
        }
    }

    /// The problems that were found, in the order of the lines.
    fn into_problems(mut self, origin: &Path) -> Problems {
        self.found.sort_by_key(|found| found.span.as_ref().map_or(0, |span| span.start));
        let count = self.found.len();
        let text = self.text;
        let problem = |Found { span, message, help }| Problem {
            place: span.map(|span| Place::new(text, span)),
            message,
            help,
        };
        let list = self.found.into_iter().take(MOST).map(problem).collect();
        Problems::new(origin, list, count)
    }

    fn push(&mut self, span: Option<Range<usize>>, message: String, help: Option<String>) {
        self.found.push(Found { span, message, help });
    }
}

impl<'a> Section<'a> {
    /// The document itself, whose keys are the sections.
    pub(crate) fn document(table: &'a DeTable<'a>, diagnostics: &mut Diagnostics<'_>) -> Self {
        let Vocabulary { file, top, .. } = diagnostics.vocabulary;
        Self::open(table, 0..0, (*file).to_owned(), top, diagnostics)
    }

    /// A table that may have the `known` keys only; others are reported.
    pub(crate) fn open(
        table: &'a DeTable<'a>,
        span: Range<usize>,
        name: String,
        known: &[&str],
        diagnostics: &mut Diagnostics<'_>,
    ) -> Self {
        let mut meant = Vec::new();
        let mut has_unknown = false;
        let vocabulary = diagnostics.vocabulary;
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            has_unknown = true;
            let message = format!("unknown key `{}` in {name}", key.get_ref());
            let help = if let Some(close) = vocabulary.closest(key.get_ref(), known.iter().copied()) {
                meant.push(close.to_owned());
                format!("did you mean `{close}`?")
            } else {
                vocabulary.help_for_stranger(key.get_ref(), &name, known)
            };
            diagnostics.report_with_help(key.span(), message, help);
        }
        Self { name, span, prefix: String::new(), has_unknown, meant, table }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Entry<'a>> {
        let (found, value) = self.table.get_key_value(key)?;
        Some(Entry { name: format!("{}{key}", self.prefix), key_span: found.span(), value })
    }

    /// A value that may be left out.
    pub(crate) fn value_or<'d, T>(
        &self,
        key: &str,
        default: T,
        diagnostics: &mut Diagnostics<'d>,
        read: impl FnOnce(&Entry<'a>, &mut Diagnostics<'d>) -> Option<T>,
    ) -> Option<T> {
        match self.get(key) {
            Some(entry) => read(&entry, diagnostics),
            None => Some(default),
        }
    }

    /// The entries among `keys`, in the order of the file.
    pub(crate) fn entries(&self, keys: &[&str]) -> Vec<Entry<'a>> {
        let mut found: Vec<_> = keys.iter().filter_map(|key| self.get(key)).collect();
        found.sort_by_key(|entry| entry.key_span.start);
        found
    }

    /// True if a key is absent, and no other key was reported as a slip for it.
    pub(crate) fn lacks(&self, key: &str) -> bool {
        self.get(key).is_none() && !self.meant.iter().any(|meant| meant == key)
    }

    /// True if there are keys that may not be there. They were reported already.
    pub(crate) fn has_unknown(&self) -> bool {
        self.has_unknown
    }

    /// A section such as `[limits]`; `None` when it is absent or was reported as no table.
    pub(crate) fn section(
        &self,
        key: &str,
        known: &[&str],
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<Section<'a>> {
        let entry = self.get(key)?;
        match entry.value.get_ref() {
            DeValue::Table(table) => Some(Section::open(
                table,
                heading(&entry, diagnostics),
                format!("[{key}]"),
                known,
                diagnostics,
            )),
            other => {
                let help = if is_array_of_tables(other) {
                    format!("there is one {key} section: write [{key}] with single brackets")
                } else {
                    format!("write a line [{key}] and the keys below it")
                };
                let message = format!("`{key}` must be a section, found {}", describe(other));
                diagnostics.report_with_help(entry.key_span, message, help);
                None
            }
        }
    }
}

impl<'a> Entry<'a> {
    pub(crate) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    /// Reports that the value should be something else.
    pub(crate) fn expected(&self, what: &str, diagnostics: &mut Diagnostics<'_>) {
        let found = describe(self.value.get_ref());
        diagnostics.report(self.span(), format!("`{}` must be {what}, found {found}", self.name));
    }

    pub(crate) fn string(&self, diagnostics: &mut Diagnostics<'_>) -> Option<&'a str> {
        let text = self.value.get_ref().as_str();
        if text.is_none() {
            self.expected("a string", diagnostics);
        }
        text
    }

    /// The string that it is, if it is one.
    pub(crate) fn as_str(&self) -> Option<&'a str> {
        self.value.get_ref().as_str()
    }

    /// The items of the list that it is, if it is one.
    pub(crate) fn items(&self) -> Option<Vec<Self>> {
        let DeValue::Array(items) = self.value.get_ref() else { return None };
        let item = |(number, value)| Entry {
            name: format!("{}[{number}]", self.name),
            key_span: self.key_span.clone(),
            value,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A string with something in it.
    pub(crate) fn text(&self, diagnostics: &mut Diagnostics<'_>) -> Option<&'a str> {
        let text = self.string(diagnostics)?;
        if text.trim().is_empty() {
            diagnostics.report(self.span(), format!("`{}` is empty", self.name));
            return None;
        }
        Some(text)
    }

    pub(crate) fn boolean(&self, diagnostics: &mut Diagnostics<'_>) -> Option<bool> {
        let value = self.value.get_ref().as_bool();
        if value.is_none() {
            self.expected("true or false", diagnostics);
        }
        value
    }

    pub(crate) fn integer(&self, diagnostics: &mut Diagnostics<'_>) -> Option<i64> {
        let DeValue::Integer(literal) = self.value.get_ref() else {
            self.expected("a whole number", diagnostics);
            return None;
        };
        let parsed = i64::from_str_radix(literal.as_str(), literal.radix()).ok();
        if parsed.is_none() {
            diagnostics.report(self.span(), format!("`{}` is too large a number", self.name));
        }
        parsed
    }

    /// A whole number from `least` up.
    pub(crate) fn count(&self, least: u32, diagnostics: &mut Diagnostics<'_>) -> Option<u32> {
        let number = self.integer(diagnostics)?;
        let count = u32::try_from(number).ok().filter(|count| *count >= least);
        if count.is_none() {
            let limit = if number < i64::from(least) {
                format!("must be a whole number from {least} up")
            } else {
                format!("can't be more than {}", u32::MAX)
            };
            diagnostics.report(self.span(), format!("`{}` {limit}, found {number}", self.name));
        }
        count
    }

    /// A number from 0 up.
    pub(crate) fn amount(&self, diagnostics: &mut Diagnostics<'_>) -> Option<f64> {
        let number = match self.value.get_ref() {
            DeValue::Float(literal) => literal.as_str().parse::<f64>().ok(),
            DeValue::Integer(literal) if literal.radix() == 10 => literal.as_str().parse::<f64>().ok(),
            _ => None,
        };
        let number = number.filter(|number| number.is_finite() && *number >= 0.0);
        if number.is_none() {
            self.expected("a number from 0 up", diagnostics);
        }
        number
    }

    /// An amount of GLM from 0 up, exactly as it is written, be it a string or a number.
    pub(crate) fn money(&self, diagnostics: &mut Diagnostics<'_>) -> Option<Glm> {
        let text = match self.value.get_ref() {
            DeValue::String(text) => text.as_ref(),
            DeValue::Float(literal) => literal.as_str(),
            DeValue::Integer(literal) if literal.radix() == 10 => literal.as_str(),
            _ => {
                self.expected("an amount of GLM such as \"0.5\"", diagnostics);
                return None;
            }
        };
        match text.parse::<Glm>() {
            Ok(amount) if !amount.is_negative() => Some(amount),
            Ok(_) => {
                diagnostics.report(self.span(), format!("`{}` can't be below zero", self.name));
                None
            }
            Err(error) => {
                diagnostics.report(self.span(), format!("`{}`: {error}", self.name));
                None
            }
        }
    }

    /// A time longer than none, such as `"1h30m"`.
    pub(crate) fn duration(&self, diagnostics: &mut Diagnostics<'_>) -> Option<Duration> {
        const EXAMPLE: &str = "a duration such as \"90s\", \"5m\" or \"1h30m\"";
        let DeValue::String(text) = self.value.get_ref() else {
            let found = describe(self.value.get_ref());
            let message = format!("`{}` must be {EXAMPLE}, found {found}", self.name);
            match self.value.get_ref() {
                DeValue::Integer(literal) => diagnostics.report_with_help(
                    self.span(),
                    message,
                    format!("if seconds are meant, write \"{}s\"", literal.as_str()),
                ),
                _ => diagnostics.report(self.span(), message),
            }
            return None;
        };
        let parsed = text.trim().parse::<jiff::SignedDuration>();
        let duration = parsed.ok().and_then(|duration| Duration::try_from(duration).ok());
        match duration {
            Some(duration) if !duration.is_zero() => Some(duration),
            Some(_) => {
                diagnostics.report(self.span(), format!("`{}` must be greater than zero", self.name));
                None
            }
            None => {
                let message = format!("`{}` must be {EXAMPLE}, found \"{text}\"", self.name);
                let help = "the units are h, m, s and ms; write a day as \"24h\"";
                diagnostics.report_with_help(self.span(), message, help);
                None
            }
        }
    }

    pub(crate) fn list(&self, what: &str, diagnostics: &mut Diagnostics<'_>) -> Option<Vec<Entry<'a>>> {
        let items = self.items();
        if items.is_none() {
            self.expected(what, diagnostics);
        }
        items
    }

    /// A table with the `known` keys only.
    pub(crate) fn table(
        &self,
        known: &[&str],
        example: &str,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<Section<'a>> {
        let DeValue::Table(table) = self.value.get_ref() else {
            let message =
                format!("`{}` must be a table, found {}", self.name, describe(self.value.get_ref()));
            diagnostics.report_with_help(self.span(), message, format!("for example {example}"));
            return None;
        };
        let name = format!("`{}`", self.name);
        let section = Section::open(table, self.key_span.clone(), name, known, diagnostics);
        Some(Section { prefix: format!("{}.", self.name), ..section })
    }

    /// Any value, as JSON; dates and times become strings.
    pub(crate) fn json(&self, diagnostics: &mut Diagnostics<'_>) -> Option<Value> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(Value::String(text.to_string())),
            DeValue::Boolean(value) => Some(Value::Bool(*value)),
            DeValue::Datetime(value) => Some(Value::String(value.to_string())),
            DeValue::Integer(literal) => {
                let signed = i64::from_str_radix(literal.as_str(), literal.radix()).map(Value::from);
                let number = signed
                    .or_else(|_| u64::from_str_radix(literal.as_str(), literal.radix()).map(Value::from));
                if number.is_err() {
                    diagnostics.report(self.span(), "this number is too large: write it as a string");
                }
                number.ok()
            }
            DeValue::Float(literal) => {
                let number = literal.as_str().parse().ok().and_then(serde_json::Number::from_f64);
                if number.is_none() {
                    diagnostics.report(self.span(), "JSON has no such number: write it as a string");
                    return None;
                }
                if !is_exact(literal.as_str()) {
                    let message = "this number has too many digits to be kept exactly: write it as a string";
                    diagnostics.report(self.span(), message);
                    return None;
                }
                number.map(Value::Number)
            }
            DeValue::Array(_) => {
                let items = self.list("a list", diagnostics)?;
                items.iter().map(|item| item.json(diagnostics)).collect()
            }
            DeValue::Table(_) => self
                .fields()?
                .iter()
                .map(|(key, field)| Some((key.clone(), field.json(diagnostics)?)))
                .collect(),
        }
    }

    /// The entries of a table whose keys are the user's own.
    pub(crate) fn fields(&self) -> Option<Vec<(String, Entry<'a>)>> {
        let table = self.value.get_ref().as_table()?;
        let field = |(key, value): (&'a Spanned<std::borrow::Cow<'a, str>>, _)| {
            let name = format!("{}.{}", self.name, key.get_ref());
            (key.get_ref().to_string(), Entry { name, key_span: key.span(), value })
        };
        Some(table.iter().map(field).collect())
    }
}

/// The kind of a value, for "found ..".
pub(crate) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() > 30 || text.contains('\n') => "a string".to_owned(),
        DeValue::String(text) => format!("the string \"{text}\""),
        DeValue::Integer(literal) => format!("the number {literal}"),
        DeValue::Float(literal) => format!("the number {literal}"),
        DeValue::Boolean(value) => format!("{value}"),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) if is_array_of_tables(value) => "a list of tables".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

pub(crate) fn is_array_of_tables(value: &DeValue<'_>) -> bool {
    value.as_array().is_some_and(|items| {
        items.iter().next().is_some() && items.iter().all(|item| item.get_ref().is_table())
    })
}

/// The position for messages about a whole section: its first line.
fn heading(entry: &Entry<'_>, diagnostics: &Diagnostics<'_>) -> Range<usize> {
    let raw = diagnostics.raw(entry.span());
    if raw.starts_with('[') { entry.span() } else { entry.key_span.clone() }
}
