//! Reads the `[[setup]]` and `[[steps]]` sections, and tries them: the setup as it is, the steps on the first task.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::document::{Diagnostics, Entry, Section, describe};
use super::host::{HostFiles, Role};
use super::schema;
use super::script::too_large;
use super::steps::{Mode, Plan, mode, possible};
use super::tasks::ReadTasks;
use super::template::{Compiler, Scene, Scope, Text};
use super::{RenderedAction, RenderedStep, Step};

/// The number of tasks that are asked for their files as soon as the job file is read; the others are when they are
/// needed.
const TARGETS_COMPARED: usize = 1000;

/// The steps that are done on every provider before its first task.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) steps: Vec<RenderedStep>,
    /// The permissions of what each step uploads.
    pub(super) modes: Vec<Option<Mode>>,
}

/// Reads both sections and tries them: the setup as it is, the steps on the first task.
pub(super) fn read(
    top: &Section<'_>,
    folder: &Arc<Path>,
    tasks: Option<&ReadTasks>,
    host: &mut HostFiles,
    diagnostics: &mut Diagnostics<'_>,
) -> (Option<Setup>, Option<Vec<Step>>) {
    let mut compiler = Compiler::new();
    let setup = read_list(top, "setup", Scope::Setup, &mut compiler, diagnostics);
    let steps = read_list(top, "steps", Scope::Task, &mut compiler, diagnostics);
    let engine = compiler.finish();

    let scene = Scene::new(&engine, None, folder);
    let setup = setup.and_then(|plans| {
        let rendered: Vec<_> = plans
            .iter()
            .zip(1..)
            .map(|((plan, timeout), number)| {
                let action = try_out(plan, &scene, diagnostics)?;
                Some(RenderedStep { number, action, timeout: *timeout })
            })
            .collect();
        let rendered: Vec<RenderedStep> = rendered.into_iter().collect::<Option<_>>()?;
        if let Some((place, bytes)) = too_large(&rendered) {
            possible::too_large(plans[place].0.main_text(), bytes, None).report("", diagnostics);
            return None;
        }
        let modes =
            plans.iter().zip(&rendered).map(|((plan, _), step)| Mode::of(step, plan.mode())).collect();
        Some(Setup { steps: rendered, modes })
    });
    let steps = steps.map(|plans| {
        plans
            .into_iter()
            .zip(1..)
            .map(|((plan, timeout), number)| {
                let (folder, engine) = (Arc::clone(folder), engine.clone());
                Step { number, plan, timeout, folder, engine }
            })
            .collect::<Vec<_>>()
    });
    host.keep(setup.iter().flat_map(|setup| &setup.steps).filter_map(|step| match &step.action {
        RenderedAction::Upload { from, .. } => Some((from.clone(), Role::Setup)),
        _ => None,
    }));
    if let (Some(steps), Some(tasks)) = (&steps, tasks) {
        let mut sound = true;
        if let Some(first) = &tasks.first {
            let scene = Scene::new(&engine, Some(first), folder);
            for step in steps {
                sound &= try_out(&step.plan, &scene, diagnostics).is_some();
            }
        }
        if sound {
            check_targets(steps, tasks, host, diagnostics);
        }
    }
    (setup, steps)
}

fn read_list(
    top: &Section<'_>,
    key: &'static str,
    scope: Scope,
    compiler: &mut Compiler,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<(Plan, Option<Duration>)>> {
    let Some(entry) = top.get(key) else {
        if scope == Scope::Setup {
            return Some(Vec::new());
        }
        if top.lacks(key) {
            diagnostics.missing(
                "there are no [[steps]]",
                "say what to do for each task, for example\n\n    [[steps]]\n    run = \"echo {{ task }}\"",
            );
        }
        return None;
    };
    let tables = match entry.value.get_ref() {
        DeValue::Array(items) if items.iter().all(|item| item.get_ref().is_table()) => {
            entry.list("a list of steps", diagnostics)?
        }
        other => {
            let message = format!("`{key}` must be a list of steps, found {}", describe(other));
            let help = format!("begin every step with a line [[{key}]] in double brackets");
            diagnostics.report_with_help(entry.key_span, message, help);
            return None;
        }
    };
    if tables.is_empty() && scope == Scope::Task {
        diagnostics.report_with_help(entry.span(), "`steps` is empty", "add at least one step");
        return None;
    }
    let plans: Vec<_> = tables
        .iter()
        .enumerate()
        .map(|(number, table)| {
            let name = if scope == Scope::Setup { "setup" } else { "step" };
            StepReader { key, name: format!("{name} {}", number + 1), scope, compiler }
                .read(table, diagnostics)
        })
        .collect();
    plans.into_iter().collect()
}

/// Reads one step.
struct StepReader<'c> {
    key: &'static str,
    /// The name of the step in messages, for example "step 2".
    name: String,
    scope: Scope,
    compiler: &'c mut Compiler,
}

impl StepReader<'_> {
    fn read(
        mut self,
        entry: &Entry<'_>,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<(Plan, Option<Duration>)> {
        let table = entry.value.get_ref().as_table()?;
        let section =
            Section::open(table, entry.span(), format!("[[{}]]", self.key), schema::STEP, diagnostics);
        let timeout = section.value_or("timeout", None, diagnostics, |entry, diagnostics| {
            entry.duration(diagnostics).map(Some)
        });
        let actions = section.entries(schema::ACTIONS);
        match actions.as_slice() {
            [action] => Some((self.action(action, diagnostics)?, timeout?)),
            [] => {
                if !section.has_unknown() {
                    let help = format!("add one of {}", schema::list(schema::ACTIONS, "or"));
                    diagnostics.report_with_help(section.span, format!("{} does nothing", self.name), help);
                }
                None
            }
            [first, second, ..] => {
                diagnostics.report_with_help(
                    second.key_span.clone(),
                    format!("{} does two things, `{}` and `{}`", self.name, first.name, second.name),
                    format!("begin another step with a line [[{}]] above `{}`", self.key, second.name),
                );
                None
            }
        }
    }

    fn action(&mut self, action: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Plan> {
        if self.scope == Scope::Setup && action.name.starts_with("download") {
            diagnostics.report_with_help(
                action.key_span.clone(),
                format!("`{}` makes no sense in the setup: there is no result yet", action.name),
                "move it to [[steps]]",
            );
            return None;
        }
        match action.name.as_str() {
            "run" => self.run(action, diagnostics),
            "upload" => {
                let example = "{ from = \"scene.blend\", to = \"/golem/resource/scene.blend\" }";
                let section = action.table(&["from", "to", "mode"], example, diagnostics)?;
                let from = self.required(&section, "from", example, diagnostics);
                let to = self.required(&section, "to", example, diagnostics);
                let mode = section.value_or("mode", None, diagnostics, |entry, diagnostics| {
                    mode::read(entry, diagnostics).map(Some)
                });
                Some(Plan::Upload { from: from?, to: to?, mode: mode? })
            }
            "upload_json" => {
                let example = "{ data = { frame = \"{{ task }}\" }, to = \"/golem/input/task.json\" }";
                let section = action.table(&["data", "to", "mode"], example, diagnostics)?;
                let data = require(&section, "data", example, diagnostics)
                    .and_then(|data| self.compiler.json(&data, &self.name, self.scope, diagnostics));
                let to = self.required(&section, "to", example, diagnostics);
                let mode = section.value_or("mode", None, diagnostics, |entry, diagnostics| {
                    mode::read(entry, diagnostics).map(Some)
                });
                Some(Plan::UploadJson { data: data?, to: to?, mode: mode? })
            }
            "upload_text" => {
                let example = "{ text = \"{{ task }}\", to = \"/golem/input/task.txt\" }";
                let section = action.table(&["text", "to", "mode"], example, diagnostics)?;
                let text = self.required(&section, "text", example, diagnostics);
                let to = self.required(&section, "to", example, diagnostics);
                let mode = section.value_or("mode", None, diagnostics, |entry, diagnostics| {
                    mode::read(entry, diagnostics).map(Some)
                });
                Some(Plan::UploadText { text: text?, to: to?, mode: mode? })
            }
            "download" => {
                let example = "{ from = \"/golem/output/out.png\", to = \"out/{{ index }}.png\" }";
                let section = action.table(&["from", "to"], example, diagnostics)?;
                let from = self.required(&section, "from", example, diagnostics);
                let to = self.required(&section, "to", example, diagnostics);
                Some(Plan::Download { from: from?, to: to? })
            }
            _ => {
                let example = "{ from = \"/golem/output/result.json\" }";
                let section = action.table(&["from", "to"], example, diagnostics)?;
                let from = self.required(&section, "from", example, diagnostics);
                let to = match section.get("to") {
                    Some(to) => self.text(&to, diagnostics).map(Some),
                    None => Some(None),
                };
                Some(Plan::DownloadJson { from: from?, to: to? })
            }
        }
    }

    fn run(&mut self, action: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Plan> {
        match action.value.get_ref() {
            DeValue::String(_) => {
                action.text(diagnostics)?;
                self.text(action, diagnostics).map(Plan::Shell)
            }
            DeValue::Array(_) => {
                let words = action.list("a list of strings", diagnostics)?;
                let texts: Vec<_> = words.iter().map(|word| self.text(word, diagnostics)).collect();
                let mut texts = texts.into_iter().collect::<Option<Vec<_>>>()?.into_iter();
                let program = texts.next();
                if program.is_none() {
                    diagnostics.report_with_help(
                        action.span(),
                        "`run` is empty",
                        "name the program and its arguments, for example [\"sleep\", \"1\"]",
                    );
                }
                Some(Plan::Program(program?, texts.collect()))
            }
            _ => {
                action.expected("a shell line or a list such as [\"program\", \"argument\"]", diagnostics);
                None
            }
        }
    }

    fn text(&mut self, entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Text> {
        self.compiler.text(entry, &self.name, self.scope, diagnostics)
    }

    fn required(
        &mut self,
        section: &Section<'_>,
        key: &str,
        example: &str,
        diagnostics: &mut Diagnostics<'_>,
    ) -> Option<Text> {
        let entry = require(section, key, example, diagnostics)?;
        self.text(&entry, diagnostics)
    }
}

fn require<'a>(
    section: &Section<'a>,
    key: &str,
    example: &str,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Entry<'a>> {
    let entry = section.get(key);
    if section.lacks(key) {
        let message = format!("{} has no `{key}`", section.name);
        diagnostics.report_with_help(section.span.clone(), message, format!("for example {example}"));
    }
    entry
}

/// Renders an action, and looks whether the file it uploads is there.
fn try_out(plan: &Plan, scene: &Scene<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<RenderedAction> {
    let action = match plan.render(scene) {
        Ok(action) => action,
        Err(error) => {
            error.report("", diagnostics);
            return None;
        }
    };
    let (RenderedAction::Upload { from, .. }, Some(text)) = (&action, plan.uploaded_file()) else {
        return Some(action);
    };
    match possible::upload(text, from, None) {
        Ok(()) => Some(action),
        Err(refused) => {
            refused.report("", diagnostics);
            None
        }
    }
}

/// Refuses downloads that would overwrite each other or an input: a result that is overwritten is lost.
fn check_targets(steps: &[Step], tasks: &ReadTasks, host: &mut HostFiles, diagnostics: &mut Diagnostics<'_>) {
    let targets: Vec<&Text> = steps.iter().filter_map(|step| step.plan.target()).collect();
    let mut sound = true;
    for target in targets.iter().filter(|target| tasks.more_than_one && !target.is_per_task()) {
        sound = false;
        let refused =
            target.refuse("every task would overwrite this file with its own result".to_owned(), None);
        let help = "put {{ index }} or something of {{ task }} into the name, such as \"out/{{ index }}\"";
        refused.with_help(help).report("", diagnostics);
    }
    if !sound || targets.is_empty() {
        return;
    }
    // A file that the job wrote in an earlier process is not a task of it.
    let Ok(items) = tasks.tasks.clone().without_outputs_of(steps).open() else { return };
    // Errors of later tasks show when all of them are read; here only the files of the first ones matter.
    for task in items.map_while(Result::ok).take(TARGETS_COMPARED) {
        let Some(files) = steps.iter().map(|step| step.file(&task).ok()).collect::<Option<Vec<_>>>() else {
            continue;
        };
        if let Err((step, clash)) = tasks.tasks.note_files(host, &task, &files) {
            steps[step].refuse_file(&clash).report("", diagnostics);
            return;
        }
    }
}
