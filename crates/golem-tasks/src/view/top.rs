//! `top`: a full-screen view of one run. This is its state, and the meaning of its keys; `draw` paints it.
//!
//! Left to others: reading the store, and carrying out what the keys ask for.

mod draw;
mod lists;

use std::collections::VecDeque;
use std::time::Duration;

use golem_core::event::Provider;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use yagna_api::time::between;
use yagna_api::{Glm, Timestamp};

use crate::store::{ActivityRow, ErrorGroup, Overview, RunRow, RunStatus, TaskAtWork};

pub(crate) use draw::draw;
use lists::Row;

/// Looks that the rate is measured over.
const LOOKS: usize = 60;

/// All that is shown, as of one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// The moment.
    pub(crate) now: Timestamp,
    /// The run.
    pub(crate) overview: Overview,
    /// Its budget.
    pub(crate) budget: Option<Glm>,
    /// True if all of its tasks are known.
    pub(crate) all_known: bool,
    /// Its activities.
    pub(crate) activities: Vec<ActivityRow>,
    /// The tasks that are being tried.
    pub(crate) at_work: Vec<TaskAtWork>,
    /// The failures, by reason.
    pub(crate) errors: Vec<ErrorGroup>,
    /// The newest runs of the database.
    pub(crate) runs: Vec<RunRow>,
}

/// The lists of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    /// Providers with their activities.
    Providers,
    /// Tasks that are being tried.
    Tasks,
    /// Failures by reason.
    Failures,
    /// All runs.
    Runs,
}

/// The state of the keyboard: what the next key means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    /// A list is looked at.
    List,
    /// A filter is typed.
    Filter,
    /// The number or the text of a task is typed.
    Task(String),
    /// Something is to be confirmed.
    Confirm(Wish),
    /// A text is read, from this line on.
    Text { title: String, text: String, from: usize },
}

/// Something that somebody wishes by a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The view ends.
    Quit,
    /// The run is stopped in an orderly way.
    Cancel,
    /// No run rents from this provider any more.
    Block(Provider),
    /// The story and the output of a task are shown.
    LookInto(String),
    /// Another run is shown.
    Show(String),
}

/// The view.
#[derive(Debug)]
pub(crate) struct Top {
    snapshot: Option<Snapshot>,
    tab: Tab,
    selected: usize,
    sort: usize,
    filter: String,
    mode: Mode,
    note: Option<String>,
    /// The numbers of tasks that had ended, by time.
    looks: VecDeque<(Timestamp, u64)>,
    coloured: bool,
}

impl Tab {
    const ALL: [Self; 4] = [Self::Providers, Self::Tasks, Self::Failures, Self::Runs];

    fn title(self) -> &'static str {
        match self {
            Self::Providers => "1 Providers",
            Self::Tasks => "2 Tasks",
            Self::Failures => "3 Failures",
            Self::Runs => "4 Runs",
        }
    }
}

impl Wish {
    /// The question before it is carried out.
    fn question(&self) -> String {
        match self {
            Self::Cancel => "Stop this run, as Ctrl+C would? [y/N]".to_owned(),
            Self::Block(provider) => {
                format!(
                    "Block {} for all runs of this database? [y/N]",
                    super::text::one_line(&provider.name)
                )
            }
            Self::Quit | Self::LookInto(_) | Self::Show(_) => String::new(),
        }
    }
}

impl Top {
    /// A view with or without colours.
    pub(crate) fn new(coloured: bool) -> Self {
        Self {
            snapshot: None,
            tab: Tab::Providers,
            selected: 0,
            sort: 0,
            filter: String::new(),
            mode: Mode::List,
            note: None,
            looks: VecDeque::new(),
            coloured,
        }
    }

    /// Takes in what was read.
    pub(crate) fn see(&mut self, snapshot: Snapshot) {
        let is_other = self
            .snapshot
            .as_ref()
            .is_some_and(|before| before.overview.summary.run_id != snapshot.overview.summary.run_id);
        if is_other {
            self.looks.clear();
        }
        let tasks = &snapshot.overview.summary.tasks;
        self.looks.push_back((snapshot.now, tasks.done + tasks.failed));
        while self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
        self.snapshot = Some(snapshot);
        self.keep_selection();
    }

    /// Shows a message in the last line.
    pub(crate) fn say(&mut self, note: impl Into<String>) {
        self.note = Some(note.into());
    }

    /// Shows a text to read.
    pub(crate) fn show(&mut self, title: impl Into<String>, text: impl Into<String>) {
        self.mode = Mode::Text { title: title.into(), text: text.into(), from: 0 };
    }

    /// Takes a key, and gives what it wishes for.
    pub(crate) fn press(&mut self, key: KeyEvent) -> Option<Wish> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char('c')) {
            return Some(Wish::Quit);
        }
        self.note = None;
        match std::mem::replace(&mut self.mode, Mode::List) {
            Mode::List => self.press_in_list(key.code),
            Mode::Filter => {
                match key.code {
                    KeyCode::Enter => return None,
                    KeyCode::Esc => self.filter.clear(),
                    code => {
                        edit(&mut self.filter, code);
                        self.mode = Mode::Filter;
                    }
                }
                self.selected = 0;
                None
            }
            Mode::Task(mut text) => match key.code {
                KeyCode::Enter if !text.trim().is_empty() => Some(Wish::LookInto(text.trim().to_owned())),
                KeyCode::Enter | KeyCode::Esc => None,
                code => {
                    edit(&mut text, code);
                    self.mode = Mode::Task(text);
                    None
                }
            },
            Mode::Confirm(wish) => {
                let agrees = matches!(key.code, KeyCode::Char('y' | 'Y'));
                if !agrees {
                    self.note = Some("nothing was done".to_owned());
                }
                agrees.then_some(wish)
            }
            Mode::Text { title, text, from } => {
                let last = text.lines().count().saturating_sub(1);
                let from = match key.code {
                    KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q') => return None,
                    KeyCode::Down | KeyCode::Char('j') => from.saturating_add(1),
                    KeyCode::Up | KeyCode::Char('k') => from.saturating_sub(1),
                    KeyCode::PageDown | KeyCode::Char(' ') => from.saturating_add(15),
                    KeyCode::PageUp => from.saturating_sub(15),
                    KeyCode::Home => 0,
                    KeyCode::End => last,
                    _ => from,
                };
                self.mode = Mode::Text { title, text, from: from.min(last) };
                None
            }
        }
    }

    fn press_in_list(&mut self, code: KeyCode) -> Option<Wish> {
        let n_rows = self.rows().len();
        match code {
            KeyCode::Char('q') | KeyCode::Esc if code == KeyCode::Char('q') || self.filter.is_empty() => {
                return Some(Wish::Quit);
            }
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char(digit @ '1'..='4') => {
                let place = digit.to_digit(10).unwrap_or(1) as usize - 1;
                self.turn_to(Tab::ALL[place]);
            }
            KeyCode::Tab | KeyCode::Right => self.turn_to(self.neighbour(1)),
            KeyCode::BackTab | KeyCode::Left => self.turn_to(self.neighbour(Tab::ALL.len() - 1)),
            KeyCode::Down | KeyCode::Char('j') => self.selected += 1,
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::PageDown => self.selected += 10,
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(10),
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.selected = n_rows,
            KeyCode::Char('s') => self.sort += 1,
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('t') => self.mode = Mode::Task(String::new()),
            KeyCode::Char('?' | 'h') => self.show("Help", HELP),
            KeyCode::Char('c') => self.ask_to_cancel(),
            KeyCode::Char('b') => self.ask_to_block(),
            KeyCode::Enter => return self.enter(),
            _ => {}
        }
        self.keep_selection();
        None
    }

    fn turn_to(&mut self, tab: Tab) {
        (self.tab, self.selected, self.sort) = (tab, 0, 0);
        self.filter.clear();
    }

    fn neighbour(&self, steps: usize) -> Tab {
        let place = Tab::ALL.iter().position(|tab| *tab == self.tab).unwrap_or(0);
        Tab::ALL[(place + steps) % Tab::ALL.len()]
    }

    fn keep_selection(&mut self) {
        self.selected = self.selected.min(self.rows().len().saturating_sub(1));
    }

    fn ask_to_cancel(&mut self) {
        let status = self.snapshot.as_ref().map(|snapshot| &snapshot.overview.status);
        match status {
            Some(RunStatus::Running(_)) => self.mode = Mode::Confirm(Wish::Cancel),
            Some(RunStatus::Stopping(..)) => self.say("the run is being stopped"),
            Some(_) => self.say("no process works on the run: there is nothing to stop"),
            None => {}
        }
    }

    fn ask_to_block(&mut self) {
        match self.rows().get(self.selected).and_then(|row| row.provider.clone()) {
            Some(provider) => self.mode = Mode::Confirm(Wish::Block(provider)),
            None => self.say("choose a provider, in the first or the second list"),
        }
    }

    fn enter(&mut self) -> Option<Wish> {
        let row: Row = self.rows().into_iter().nth(self.selected)?;
        if let Some(run_id) = row.run {
            self.turn_to(Tab::Providers);
            return Some(Wish::Show(run_id));
        }
        if let Some(task) = row.task {
            return Some(Wish::LookInto(task.to_string()));
        }
        if let Some((title, text)) = row.text {
            self.show(title, text);
        }
        None
    }

    /// The rows of the list that is shown, sorted and filtered.
    fn rows(&self) -> Vec<Row> {
        let Some(snapshot) = &self.snapshot else { return Vec::new() };
        lists::rows(snapshot, self.tab, self.sort, &self.filter)
    }

    /// Tasks an hour, by the last looks, or else since the run began.
    fn per_hour(&self) -> Option<f64> {
        let snapshot = self.snapshot.as_ref()?;
        let (first, newest) = (self.looks.front()?, self.looks.back()?);
        let ended = newest.1.saturating_sub(first.1);
        let since = between(first.0, newest.0);
        let began = (snapshot.overview.summary.started, 0);
        let (ended, since) = if ended > 0 && since >= Duration::from_secs(10) {
            (ended, since)
        } else {
            (newest.1 - began.1, between(began.0, newest.0))
        };
        let hours = since.as_secs_f64() / 3600.0;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        (ended > 0 && hours > 0.0).then(|| ended as f64 / hours)
    }
}

/// Changes a text that is typed.
fn edit(text: &mut String, code: KeyCode) {
    match code {
        KeyCode::Char(c) if text.chars().count() < 200 => text.push(c),
        KeyCode::Backspace => {
            text.pop();
        }
        _ => {}
    }
}

/// The text of the help.
const HELP: &str = "\
1 to 4, Tab       the lists: providers, tasks at work, failures, all runs
up, down, j, k    choose a line; PgUp, PgDn, Home, End
Enter             look into it: a task's story and output, a failure, another run
t                 look into a task by its number or its text
s                 sort by the next column
/                 show only lines with this text; Esc shows all again
b                 block the chosen provider: no run rents from it any more
c                 stop the run in an orderly way, as Ctrl+C in its terminal would
?                 this help
q, Ctrl+C         leave; the run goes on

A ~ marks an estimate by the program's own meter, until providers have billed.
The view reads the database once a second, and never disturbs the run.";

#[cfg(test)]
mod tests;
