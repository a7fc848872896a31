//! `{{ }}` in the strings of a job file: compiled when the file is read, rendered for each task.
//!
//! A string is inserted as it is, anything else as JSON, so a number has no surprises and a table can be passed on.
//! What isn't there is an error, never an empty string. Comments are TOML's: Jinja's `{#` would be found in a
//! shell's `${#name}`.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde_json::Value as Json;
use toml::de::DeValue;

use super::document::{Diagnostics, Entry};
use super::schema;
use super::source::TaskData;

/// What templates may use.
const VARIABLES: [&str; 2] = ["task", "index"];

/// Why a step can't be rendered for a task: its template asks for something the task doesn't have, or makes
/// something that is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, {label}{}: {reason}", task.map(|task| format!(", task {task}")).unwrap_or_default())]
pub struct RenderError {
    /// The line of the job file with the template, from 1.
    pub line: usize,
    /// Which string of which step, for example "step 2 `upload.from`".
    pub label: String,
    /// The number of the task, from 0; none in the setup.
    pub task: Option<u64>,
    /// What is wrong.
    pub reason: String,
    pub(super) help: Option<String>,
    /// The whole string in the job file, and the part of its content that is meant.
    pub(super) span: Range<usize>,
    pub(super) part: Option<Range<usize>>,
}

/// Where a string stands: that decides what it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// In a step of the setup, before any task.
    Setup,
    /// In a step of each task.
    Task,
}

/// Compiles the templates of one job file.
#[derive(Debug)]
pub(super) struct Compiler {
    env: Environment<'static>,
    count: usize,
}

/// Renders the templates of one job file.
#[derive(Debug, Clone)]
pub(super) struct Engine(Arc<Environment<'static>>);

/// What one rendering knows.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    engine: &'a Engine,
    values: Value,
    task: Option<&'a TaskData>,
    /// Where relative paths start.
    pub(super) folder: &'a Path,
}

/// A string of a job file that may be a template.
#[derive(Debug, Clone)]
pub(super) struct Text {
    content: Content,
    label: String,
    line: usize,
    span: Range<usize>,
    per_task: bool,
}

#[derive(Debug, Clone)]
enum Content {
    Plain(String),
    /// A template of the environment, by name.
    Template(String),
    /// One `{{ }}` and nothing else, which keeps its type in JSON: where it starts, and what is inside.
    Expression(usize, String),
}

/// A JSON value whose strings may be templates.
#[derive(Debug, Clone)]
pub(super) enum JsonTemplate {
    Plain(Json),
    Text(Text),
    List(Vec<JsonTemplate>),
    Table(Vec<(String, JsonTemplate)>),
}

impl Compiler {
    pub(super) fn new() -> Self {
        let mut env = Environment::new();
        let syntax = SyntaxConfig::builder()
            .comment_delimiters("{{#", "#}}")
            .keep_trailing_newline(true)
            .build()
            .expect("the three start markers differ");
        env.set_syntax(syntax);
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_debug(true); // errors say which part of a template they mean
        env.set_formatter(|out, _state, value| {
            let written = match value.kind() {
                ValueKind::Undefined => Ok(()),
                _ => out.write_str(&plain_text(value)?),
            };
            written.map_err(Error::from)
        });
        env.add_filter("basename", |path: String| file_part(&path, Path::file_name));
        env.add_filter("stem", |path: String| file_part(&path, Path::file_stem));
        env.add_filter("extension", |path: String| file_part(&path, Path::extension));
        env.add_filter("json", |value: &Value| json_text(defined(value)?));
        env.add_filter("shell", |value: &Value| shell_word(&plain_text(defined(value)?)?));
        Self { env, count: 0 }
    }

    pub(super) fn finish(self) -> Engine {
        Engine(Arc::new(self.env))
    }

    /// Compiles a string; `step` is how messages call its step.
    pub(super) fn text(
        &mut self,
        entry: &Entry<'_>,
        step: &str,
        scope: Scope,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<Text> {
        let source = entry.string(diagnostics)?;
        self.compile(source, entry, step, scope, false, diagnostics)
    }

    /// Compiles a value whose strings may be templates; a string that is one `{{ }}` and nothing else keeps the
    /// type of what is in it.
    pub(super) fn json(
        &mut self,
        entry: &Entry<'_>,
        step: &str,
        scope: Scope,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<JsonTemplate> {
        match entry.value.get_ref() {
            DeValue::String(source) => self
                .compile(source, entry, step, scope, true, diagnostics)
                .map(JsonTemplate::Text),
            DeValue::Array(_) => {
                let items = entry.list("a list", diagnostics)?;
                let items: Vec<_> = items
                    .iter()
                    .map(|item| self.json(item, step, scope, diagnostics))
                    .collect();
                items.into_iter().collect::<Option<_>>().map(JsonTemplate::List)
            }
            DeValue::Table(_) => {
                let fields: Vec<_> = entry
                    .fields()?
                    .into_iter()
                    .map(|(key, field)| Some((key, self.json(&field, step, scope, diagnostics)?)))
                    .collect();
                fields.into_iter().collect::<Option<_>>().map(JsonTemplate::Table)
            }
            _ => entry.json(diagnostics).map(JsonTemplate::Plain),
        }
    }

    fn compile(
        &mut self,
        source: &str,
        entry: &Entry<'_>,
        step: &str,
        scope: Scope,
        keeps_type: bool,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<Text> {
        let mut text = Text {
            content: Content::Plain(source.to_owned()),
            label: format!("{step} `{}`", entry.name),
            line: diagnostics.line(entry.span().start),
            span: entry.span(),
            per_task: false,
        };
        if !source.contains("{{") && !source.contains("{%") {
            return Some(text);
        }
        let name = format!("template {}", self.count);
        self.count += 1;
        if let Err(error) = self.env.add_template_owned(name.clone(), source.to_owned()) {
            text.failure(&error, 0, source, None)
                .report("bad template: ", diagnostics);
            return None;
        }
        let template = self
            .env
            .get_template(&name)
            .expect("the template was added just now");
        let unknown = template.undeclared_variables(false);
        let globals: Vec<_> = self.env.globals().map(|(name, _)| name.to_owned()).collect();
        let mut sound = true;
        for variable in &unknown {
            if globals.contains(variable) || (scope == Scope::Task && VARIABLES.contains(&variable.as_str()))
            {
                continue;
            }
            sound = false;
            let mut error = text.refuse(String::new(), None);
            error.part = word(source, variable);
            if VARIABLES.contains(&variable.as_str()) {
                error.reason = format!("`{variable}` has no value in the setup");
                error.help =
                    Some("setup runs once per provider, before any task: use it in [[steps]]".to_owned());
            } else {
                error.reason = format!("templates have no variable `{variable}`");
                error.help = match (scope, schema::closest(variable, VARIABLES.into_iter())) {
                    (Scope::Setup, _) => Some("in the setup there are no variables at all".to_owned()),
                    (Scope::Task, Some(close)) => Some(format!("did you mean `{close}`?")),
                    (Scope::Task, None) => Some("there are `task`, its columns, and `index`".to_owned()),
                };
            }
            error.report("", diagnostics);
        }
        text.per_task = unknown
            .iter()
            .any(|variable| VARIABLES.contains(&variable.as_str()));
        text.content = match sole_expression(source).filter(|_| keeps_type) {
            Some((start, inside)) if self.env.compile_expression_owned(inside.to_owned()).is_ok() => {
                Content::Expression(start, inside.to_owned())
            }
            _ => Content::Template(name),
        };
        sound.then_some(text)
    }
}

impl<'a> Scene<'a> {
    /// The rendering of a task's step, or without a task of the setup's.
    pub(super) fn new(engine: &'a Engine, task: Option<&'a TaskData>, folder: &'a Path) -> Self {
        let values = match task {
            Some(task) => minijinja::context! { task => Serde(&task.value), index => task.index },
            None => minijinja::context! {},
        };
        Self {
            engine,
            values,
            task,
            folder,
        }
    }

    pub(super) fn task(&self) -> Option<&'a TaskData> {
        self.task
    }
}

impl Text {
    /// Does it say something else for each task?
    pub(super) fn is_per_task(&self) -> bool {
        self.per_task
    }

    pub(super) fn render(&self, scene: &Scene<'_>) -> Result<String, RenderError> {
        match &self.content {
            Content::Plain(text) => Ok(text.clone()),
            Content::Template(name) => {
                let template = scene
                    .engine
                    .0
                    .get_template(name)
                    .expect("templates are kept with their steps");
                let rendered = template.render(&scene.values);
                rendered.map_err(|error| self.failure(&error, 0, template.source(), scene.task))
            }
            Content::Expression(start, source) => {
                let value = self.evaluate(*start, source, scene)?;
                plain_text(&value).map_err(|error| self.failure(&error, *start, source, scene.task))
            }
        }
    }

    fn render_json(&self, scene: &Scene<'_>) -> Result<Json, RenderError> {
        let Content::Expression(start, source) = &self.content else {
            return self.render(scene).map(Json::String);
        };
        let value = self.evaluate(*start, source, scene)?;
        serde_json::to_value(&value).map_err(|error| {
            let mut refused = self.refuse(format!("JSON can't hold the value: {error}"), scene.task);
            refused.part = Some(*start..*start + source.len());
            refused
        })
    }

    fn evaluate(&self, start: usize, source: &str, scene: &Scene<'_>) -> Result<Value, RenderError> {
        let expression = scene.engine.0.compile_expression_owned(source.to_owned());
        let value = expression.and_then(|expression| defined(&expression.eval(&scene.values)?).cloned());
        value.map_err(|error| self.failure(&error, start, source, scene.task))
    }

    /// A rendering that makes no sense.
    pub(super) fn refuse(&self, reason: String, task: Option<&TaskData>) -> RenderError {
        RenderError {
            line: self.line,
            label: self.label.clone(),
            task: task.map(|task| task.index),
            reason,
            help: None,
            span: self.span.clone(),
            part: None,
        }
    }

    /// What the template engine says about `source`, which begins at `start` of this text.
    fn failure(&self, error: &Error, start: usize, source: &str, task: Option<&TaskData>) -> RenderError {
        let reason = match error.detail() {
            Some(detail) if error.kind() == ErrorKind::SyntaxError => detail.to_owned(),
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        let mut failure = self.refuse(reason, task);
        let part = error.range();
        if error.kind() == ErrorKind::UndefinedError {
            let meant = part.clone().and_then(|part| source.get(part)).unwrap_or(source);
            if let Some((reason, help)) = task.and_then(|task| missing_column(meant, &task.value)) {
                failure.reason = reason;
                failure.help = Some(help);
            }
        }
        failure.part = part.map(|part| part.start + start..part.end + start);
        failure
    }
}

impl JsonTemplate {
    pub(super) fn render(&self, scene: &Scene<'_>) -> Result<Json, RenderError> {
        match self {
            Self::Plain(value) => Ok(value.clone()),
            Self::Text(text) => text.render_json(scene),
            Self::List(items) => items.iter().map(|item| item.render(scene)).collect(),
            Self::Table(fields) => fields
                .iter()
                .map(|(key, field)| Ok((key.clone(), field.render(scene)?)))
                .collect(),
        }
    }
}

impl RenderError {
    /// Reports it at its place in the job file.
    pub(super) fn report(self, prefix: &str, diagnostics: &mut Diagnostics<'_>) {
        let raw = diagnostics.raw(self.span.clone());
        let span = self.part.map_or(self.span.clone(), |part| {
            let at = |offset| self.span.start + literal_offset(raw, offset);
            at(part.start)..at(part.end)
        });
        let message = format!("{prefix}{}", self.reason);
        match self.help {
            Some(help) => diagnostics.report_with_help(span, message, help),
            None => diagnostics.report(span, message),
        }
    }
}

/// Refuses a value that isn't there, which the engine lets pass into filters that take any value.
fn defined(value: &Value) -> Result<&Value, Error> {
    if value.is_undefined() {
        Err(Error::from(ErrorKind::UndefinedError))
    } else {
        Ok(value)
    }
}

/// A string as it is, anything else as JSON.
fn plain_text(value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => json_text(value),
    }
}

fn json_text(value: &Value) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("JSON can't hold the value: {error}"),
        )
    })
}

fn file_part(path: &str, part: fn(&Path) -> Option<&std::ffi::OsStr>) -> String {
    part(Path::new(path))
        .map(|part| part.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// One word for a POSIX shell, quoted where it must be.
fn shell_word(text: &str) -> Result<String, Error> {
    if text.contains('\0') {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "no shell can take a NUL character",
        ));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./,:+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// The inside of a string that is one `{{ }}` and nothing else, and where it starts.
fn sole_expression(source: &str) -> Option<(usize, &str)> {
    let inside = source.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    let inside = inside.strip_suffix(['-', '+']).unwrap_or(inside);
    if ["{{", "}}", "{%"].iter().any(|marker| inside.contains(marker)) {
        return None;
    }
    Some((source.find(inside)?, inside))
}

/// Says which column of the task a template asks for in vain.
fn missing_column(source: &str, task: &Json) -> Option<(String, String)> {
    for (at, _) in source.match_indices("task.") {
        let column: String = source[at + "task.".len()..]
            .chars()
            .take_while(|c| is_word(*c))
            .collect();
        match task {
            Json::Object(columns) if columns.contains_key(&column) || column.is_empty() => {}
            Json::Object(columns) => {
                let names: Vec<&str> = columns.keys().map(String::as_str).collect();
                let help = match schema::closest(&column, names.iter().copied()) {
                    Some(close) => format!("did you mean `task.{close}`?"),
                    None if names.is_empty() => "it has no columns at all".to_owned(),
                    None => format!("it has {}", schema::list(&names, "and")),
                };
                return Some((format!("the task has no column `{column}`"), help));
            }
            _ => {
                let reason = format!("the task is no table, so it has no column `{column}`");
                return Some((reason, "write {{ task }} for the task itself".to_owned()));
            }
        }
    }
    None
}

/// Where a variable stands in a template.
fn word(source: &str, variable: &str) -> Option<Range<usize>> {
    let first = source.find("{{").into_iter().chain(source.find("{%")).min()?;
    source
        .match_indices(variable)
        .map(|(at, _)| at..at + variable.len())
        .find(|range| {
            let before = source[..range.start].chars().next_back();
            let after = source[range.end..].chars().next();
            range.start > first
                && !before.is_some_and(|c| is_word(c) || c == '.')
                && !after.is_some_and(is_word)
        })
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Where in a TOML string as it is written a byte of its content stands.
fn literal_offset(raw: &str, content_offset: usize) -> usize {
    let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") {
        3
    } else {
        1
    };
    let mut at = quotes;
    if quotes == 3 {
        let newline = ["\r\n", "\n"]
            .into_iter()
            .find(|newline| raw[at..].starts_with(newline));
        at += newline.map_or(0, str::len);
    }
    if raw.starts_with('\'') {
        return at + content_offset;
    }
    let mut passed = 0;
    while passed < content_offset
        && let Some(c) = raw[at..].chars().next()
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
                at += 1 + raw[at + 1..]
                    .find(|c: char| !c.is_whitespace())
                    .unwrap_or(raw.len() - at - 1);
                continue;
            }
            _ => 0,
        };
        let code = raw
            .get(at + 2..at + 2 + digits)
            .and_then(|code| u32::from_str_radix(code, 16).ok());
        at += 1 + escape.map_or(0, char::len_utf8) + digits;
        passed += code.and_then(char::from_u32).map_or(1, char::len_utf8);
    }
    at.min(raw.len())
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
