//! `{{ }}` in the strings of a job file: compiled when the file is read, rendered for each task.
//!
//! A string is inserted as it is, anything else as JSON, so a number has no surprises and a table can be passed on.
//! What isn't there is an error, never an empty string. Comments are TOML's: Jinja's `{#` would be found in a
//! shell's `${#name}`.

mod filters;
mod places;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde_json::Value as Json;
use toml::de::DeValue;

use super::document::{Diagnostics, Entry};
use super::schema;
use super::source::TaskData;
use filters::{FUEL, MARKED, defined, plain_text};
pub(super) use filters::{MARK, shell_word};
use places::{block_around, literal_offset, missing_column, sole_expression, word};

/// The most that a template may make of a task, in bytes.
const MOST_TEXT: usize = 64 << 20;

/// The variables that templates may use.
const VARIABLES: [&str; 2] = ["task", "index"];

/// The reason why a step can't be rendered for a task: its template asks for something the task doesn't have, or makes
/// an invalid path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, {label}{}: {reason}", task.map(|task| format!(", task {task}")).unwrap_or_default())]
pub struct RenderError {
    /// The line of the job file with the template, from 1.
    pub line: usize,
    /// The name of the string and its step, for example "step 2 `upload.from`".
    pub label: String,
    /// The number of the task, from 0; none in the setup.
    pub task: Option<u64>,
    /// The reason in words.
    pub reason: String,
    marks: Box<Marks>,
}

/// Marks that only the reader of a job file's text uses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Marks {
    help: Option<String>,
    /// The whole string in the job file.
    span: Range<usize>,
    /// The part of its content that is meant.
    part: Option<Range<usize>>,
}

/// The place of a string, which decides on the variables that it may use.
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

/// The data of one rendering.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    engine: &'a Engine,
    values: Value,
    task: Option<&'a TaskData>,
    /// The folder that relative paths start from.
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
        Self { env: filters::environment(), count: 0 }
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
            DeValue::String(source) => {
                self.compile(source, entry, step, scope, true, diagnostics).map(JsonTemplate::Text)
            }
            DeValue::Array(_) => {
                let items = entry.list("a list", diagnostics)?;
                let items: Vec<_> =
                    items.iter().map(|item| self.json(item, step, scope, diagnostics)).collect();
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
            text.failure(&error, 0, source, None).report("bad template: ", diagnostics);
            return None;
        }
        let template = self.env.get_template(&name).expect("the template was added just now");
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
            error.marks.part = word(source, variable);
            if VARIABLES.contains(&variable.as_str()) {
                error.reason = format!("`{variable}` has no value in the setup");
                error.marks.help =
                    Some("setup runs once per provider, before any task: use it in [[steps]]".to_owned());
            } else {
                error.reason = format!("templates have no variable `{variable}`");
                error.marks.help = match (scope, schema::closest(variable, VARIABLES.into_iter())) {
                    (Scope::Setup, _) => Some("in the setup there are no variables at all".to_owned()),
                    (Scope::Task, Some(close)) => Some(format!("did you mean `{close}`?")),
                    (Scope::Task, None) => Some("there are `task`, its columns, and `index`".to_owned()),
                };
            }
            error.report("", diagnostics);
        }
        text.per_task = unknown.iter().any(|variable| VARIABLES.contains(&variable.as_str()));
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
        Self { engine, values, task, folder }
    }

    pub(super) fn task(&self) -> Option<&'a TaskData> {
        self.task
    }
}

impl Text {
    /// True if it differs from task to task.
    pub(super) fn is_per_task(&self) -> bool {
        self.per_task
    }

    pub(super) fn render(&self, scene: &Scene<'_>) -> Result<String, RenderError> {
        match &self.content {
            Content::Plain(text) => Ok(text.clone()),
            Content::Template(name) => {
                let template =
                    scene.engine.0.get_template(name).expect("templates are kept with their steps");
                let mut rendered = Bounded::default();
                match template.render_captured_to(&scene.values, &mut rendered) {
                    Ok(_) => Ok(rendered.into_text()),
                    Err(error) => Err(self.failure(&error, 0, template.source(), scene.task)),
                }
            }
            Content::Expression(start, source) => {
                let value = self.evaluate(*start, source, scene)?;
                plain_text(&value).map_err(|error| self.failure(&error, *start, source, scene.task))
            }
        }
    }

    /// Renders with [`MARK`] before and after everything that isn't in the job file, to tell the two apart.
    pub(super) fn render_marked(&self, scene: &Scene<'_>) -> Result<String, RenderError> {
        let values = minijinja::context! { ..BTreeMap::from([(MARKED, true)]), ..scene.values.clone() };
        self.render(&Scene { engine: scene.engine, values, task: scene.task, folder: scene.folder })
    }

    fn render_json(&self, scene: &Scene<'_>) -> Result<Json, RenderError> {
        let Content::Expression(start, source) = &self.content else {
            return self.render(scene).map(Json::String);
        };
        let value = self.evaluate(*start, source, scene)?;
        serde_json::to_value(&value).map_err(|error| {
            let mut refused = self.refuse(format!("JSON can't hold the value: {error}"), scene.task);
            refused.marks.part = Some(*start..*start + source.len());
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
            marks: Box::new(Marks { help: None, span: self.span.clone(), part: None }),
        }
    }

    /// The template engine's error about `source`, which begins at `start` of this text.
    fn failure(&self, error: &Error, start: usize, source: &str, task: Option<&TaskData>) -> RenderError {
        let reason = match error.detail() {
            Some(detail) if error.kind() == ErrorKind::SyntaxError => detail.to_owned(),
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        let mut failure = self.refuse(reason, task);
        let mut part = error.range().filter(|part| source.get(part.clone()).is_some());
        match error.kind() {
            ErrorKind::SyntaxError => {
                failure.marks.help = Some(
                    "a `{{` or `{%` that is not a template goes between {% raw %} and {% endraw %}"
                        .to_owned(),
                );
            }
            ErrorKind::OutOfFuel => {
                failure.reason =
                    format!("the template is too long in the making: it takes more than {FUEL} steps");
                failure.marks.help = Some("let its loops go over fewer things".to_owned());
            }
            ErrorKind::WriteFailure => {
                failure.reason = format!("the template makes more than {} MiB of text", MOST_TEXT >> 20);
                failure.marks.help = Some("put what is large into a file, and upload that".to_owned());
            }
            ErrorKind::UnknownFilter => {
                let name = part.clone().map_or("", |part| &source[part]);
                failure.reason = format!("there is no filter `{name}`");
                failure.marks.help = Some(match schema::closest(name, schema::FILTERS.iter().copied()) {
                    Some(close) => format!("did you mean `{close}`?"),
                    None => format!("there are {} and those of Jinja", schema::list(schema::FILTERS, "and")),
                });
            }
            ErrorKind::UndefinedError => {
                // The engine names a filter where it was the filter that had nothing to work on.
                let named = part.clone().filter(|part| source[part.clone()].contains("task."));
                let block = block_around(source, part.as_ref().map_or(0, |part| part.start));
                let searched = named.unwrap_or(block);
                let missing = task.and_then(|task| missing_column(&source[searched.clone()], &task.value));
                if let Some(missing) = missing {
                    failure.reason = missing.reason;
                    failure.marks.help = Some(missing.help);
                    part = Some(searched.start + missing.part.start..searched.start + missing.part.end);
                }
            }
            _ => {}
        }
        failure.marks.part = part.map(|part| part.start + start..part.end + start);
        failure
    }
}

/// Text that is being rendered, of bounded length.
#[derive(Debug, Default)]
struct Bounded(Vec<u8>);

impl Bounded {
    fn into_text(self) -> String {
        String::from_utf8(self.0)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

impl io::Write for &mut Bounded {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.0.len() + text.len() > MOST_TEXT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl JsonTemplate {
    pub(super) fn render(&self, scene: &Scene<'_>) -> Result<Json, RenderError> {
        match self {
            Self::Plain(value) => Ok(value.clone()),
            Self::Text(text) => text.render_json(scene),
            Self::List(items) => items.iter().map(|item| item.render(scene)).collect(),
            Self::Table(fields) => {
                fields.iter().map(|(key, field)| Ok((key.clone(), field.render(scene)?))).collect()
            }
        }
    }
}

impl RenderError {
    /// Adds the mend.
    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.marks.help = Some(help.into());
        self
    }

    /// The error with the mend behind it, in one line.
    pub(super) fn with_way_out(&self) -> String {
        match self.help() {
            Some(help) => format!("{self}: {help}"),
            None => self.to_string(),
        }
    }

    /// The mend, if one is known.
    pub(super) fn help(&self) -> Option<&str> {
        self.marks.help.as_deref()
    }

    /// Reports it at its place in the job file.
    pub(super) fn report(self, prefix: &str, diagnostics: &mut Diagnostics<'_>) {
        let Marks { help, span, part } = *self.marks;
        let raw = diagnostics.raw(span.clone());
        let at = |offset| span.start + literal_offset(raw, offset);
        let meant = part.map_or_else(|| span.clone(), |part| at(part.start)..at(part.end));
        let message = format!("{prefix}{}", self.reason);
        match help {
            Some(help) => diagnostics.report_with_help(meant, message, help),
            None => diagnostics.report(meant, message),
        }
    }
}
