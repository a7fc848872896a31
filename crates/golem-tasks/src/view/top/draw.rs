//! The picture of the view, painted afresh at each change.

use std::fmt::Write as _;
use std::time::Duration;

use console::truncate_str;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Gauge, Paragraph, Row as TableRow, Table, TableState, Wrap};

use super::super::kept::state_text;
use super::super::text::{clean, duration, one_amount, used};
use super::{Mode, Snapshot, Tab, Top, lists};

/// The smallest screen that holds the view.
const LEAST: (u16, u16) = (40, 10);

/// Paints the view.
pub(crate) fn draw(frame: &mut Frame<'_>, top: &Top) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("The terminal is too small: {}x{} at least. q leaves.", LEAST.0, LEAST.1);
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    let [head, bar, facts, tabs, list, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(area);
    match &top.snapshot {
        Some(snapshot) => {
            draw_head(frame, top, snapshot, head);
            draw_bar(frame, top, snapshot, bar);
            draw_facts(frame, top, snapshot, facts);
        }
        None => frame.render_widget(Paragraph::new("reading the database .."), head),
    }
    draw_tabs(frame, top, tabs);
    draw_list(frame, top, list);
    draw_foot(frame, top, foot);
    if let Mode::Text { title, text, from } = &top.mode {
        draw_text(frame, top, title, text, *from);
    }
}

impl Top {
    fn style(&self, colour: Color) -> Style {
        if self.coloured { Style::new().fg(colour) } else { Style::new() }
    }
}

fn draw_head(frame: &mut Frame<'_>, top: &Top, snapshot: &Snapshot, area: Rect) {
    let overview = &snapshot.overview;
    let state = clean(&state_text(&overview.status, overview.paused_until()));
    let colour = if overview.status.holder().is_some() { Color::Green } else { Color::Yellow };
    let line = Line::from(vec![
        Span::styled(overview.summary.run_id.clone(), Style::new().add_modifier(Modifier::BOLD)),
        Span::raw("  "),
        Span::styled(state, top.style(colour)),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}

fn draw_bar(frame: &mut Frame<'_>, top: &Top, snapshot: &Snapshot, area: Rect) {
    let tasks = &snapshot.overview.summary.tasks;
    let (ended, total) = (tasks.done + tasks.failed, tasks.total());
    #[expect(clippy::cast_precision_loss, reason = "a share of a bar")]
    let share = if total == 0 { 0.0 } else { (ended as f64 / total as f64).clamp(0.0, 1.0) };
    let plus = if snapshot.all_known { "" } else { " and more" };
    let mut label = format!("{} of {total}{plus} done", tasks.done);
    for (n, word) in [(tasks.failed, "failed"), (tasks.running, "running")] {
        if n > 0 {
            let _ = write!(label, ", {n} {word}");
        }
    }
    let gauge = Gauge::default().ratio(share).label(label);
    // Without colours a bar is reversed.
    let style = if top.coloured {
        Style::new().fg(Color::Blue).bg(Color::Black)
    } else {
        Style::new().add_modifier(Modifier::BOLD)
    };
    frame.render_widget(gauge.gauge_style(style), area);
}

fn draw_facts(frame: &mut Frame<'_>, top: &Top, snapshot: &Snapshot, area: Rect) {
    let overview = &snapshot.overview;
    let tasks = &overview.summary.tasks;
    let mut pace = Vec::new();
    if let Some(per_hour) = top.per_hour() {
        pace.push(if per_hour >= 7200.0 {
            format!("{:.1} tasks a second", per_hour / 3600.0)
        } else if per_hour >= 120.0 {
            format!("{:.1} tasks a minute", per_hour / 60.0)
        } else {
            format!("{per_hour:.1} tasks an hour")
        });
        #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
        let left = (tasks.running + tasks.waiting) as f64 / per_hour * 3600.0;
        let left = Duration::try_from_secs_f64(left).ok();
        if let Some(left) = left.filter(|left| overview.status.holder().is_some() && !left.is_zero()) {
            let least = if snapshot.all_known { "" } else { "at least " };
            pace.push(format!("{least}{} left", duration(Duration::from_secs(left.as_secs().max(1)))));
        }
    }
    let spent = used(overview.summary.cost, overview.estimate);
    let spent = match snapshot.budget {
        Some(budget) => format!("{spent} of {} GLM used", one_amount(budget)),
        None => format!("{spent} GLM used"),
    };
    let mut money = vec![spent];
    if let Some(each) = overview.cost_per_result() {
        money.push(format!("{} GLM a result", one_amount(each)));
    }
    money.push(format!("{} ready, {} starting", overview.ready, overview.new));
    let mut lines = vec![Line::from(money.join("  ·  "))];
    match (&overview.summary.waiting, tasks.running == 0 && tasks.waiting > 0) {
        (Some(waiting), true) if overview.status.holder().is_some() => {
            lines
                .push(Line::styled(clean(&waiting.to_string()).replace('\n', " "), top.style(Color::Yellow)));
        }
        _ => lines.push(Line::from(pace.join("  ·  "))),
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_tabs(frame: &mut Frame<'_>, top: &Top, area: Rect) {
    let mut spans = Vec::new();
    for tab in Tab::ALL {
        let style = if tab == top.tab {
            Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD)
        } else {
            Style::new()
        };
        spans.push(Span::styled(format!(" {} ", tab.title()), style));
        spans.push(Span::raw(" "));
    }
    let orders = lists::orders(top.tab);
    spans.push(Span::raw(format!("by {}", orders[top.sort % orders.len()])));
    if !top.filter.is_empty() {
        spans.push(Span::raw(format!("  /{}", clean(&top.filter))));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

fn draw_list(frame: &mut Frame<'_>, top: &Top, area: Rect) {
    let rows = top.rows();
    let columns = lists::columns(top.tab);
    if rows.is_empty() {
        let words = match (top.tab, top.filter.is_empty()) {
            (_, false) => "no line has this text; Esc shows all",
            (Tab::Providers, _) => "nobody has been hired so far",
            (Tab::Tasks, _) => "no task is being tried",
            (Tab::Failures, _) => "nothing has failed",
            (Tab::Runs, _) => "there are no runs",
        };
        frame.render_widget(Paragraph::new(words), area);
        return;
    }
    let widths = widths(columns, &rows, area.width);
    let cell = |text: &str, place: usize| {
        let width = usize::from(widths[place]);
        let text = truncate_str(text, width, "…").into_owned();
        if columns[place].1 { format!("{text:>width$}") } else { text }
    };
    let header = TableRow::new(columns.iter().enumerate().map(|(place, (title, _))| cell(title, place)))
        .style(Style::new().add_modifier(Modifier::BOLD));
    let table_rows = rows.iter().map(|row| {
        let style = match (row.is_bad, row.is_over) {
            (true, _) => top.style(Color::Red),
            (false, true) => Style::new().add_modifier(Modifier::DIM),
            _ => Style::new(),
        };
        TableRow::new(row.cells.iter().enumerate().map(|(place, text)| cell(text, place))).style(style)
    });
    let table = Table::new(table_rows, widths.iter().map(|width| Constraint::Length(*width)))
        .header(header)
        .column_spacing(1)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::default().with_selected(Some(top.selected));
    frame.render_stateful_widget(table, area, &mut state);
}

/// Widths that fit: what is too long is shortened, the longest column first.
fn widths(columns: &[(&str, bool)], rows: &[lists::Row], room: u16) -> Vec<u16> {
    let mut widths: Vec<u16> = columns
        .iter()
        .enumerate()
        .map(|(place, (title, _))| {
            let cells = rows.iter().map(|row| console::measure_text_width(&row.cells[place]));
            u16::try_from(cells.max().unwrap_or(0).max(title.len())).unwrap_or(u16::MAX)
        })
        .collect();
    let gaps = u16::try_from(columns.len().saturating_sub(1)).unwrap_or(0);
    let room = u32::from(room.saturating_sub(gaps));
    while widths.iter().map(|width| u32::from(*width)).sum::<u32>() > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > 4 => *widest -= 1,
            _ => break,
        }
    }
    widths
}

fn draw_foot(frame: &mut Frame<'_>, top: &Top, area: Rect) {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let line = match (&top.mode, &top.note) {
        (Mode::Confirm(wish), _) => Line::styled(wish.question(), bold),
        (Mode::Filter, _) => Line::styled(format!("show lines with: {}_", clean(&top.filter)), bold),
        (Mode::Task(text), _) => Line::styled(format!("task (number or text): {}_", clean(text)), bold),
        (_, Some(note)) => Line::styled(clean(note).replace('\n', " "), top.style(Color::Yellow)),
        (Mode::Text { .. }, None) => Line::from("up, down, PgUp, PgDn   Esc back"),
        (Mode::List, None) => {
            Line::from("Enter look  t task  s sort  / filter  b block  c stop run  ? help  q leave")
        }
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn draw_text(frame: &mut Frame<'_>, top: &Top, title: &str, text: &str, from: usize) {
    let area = frame.area();
    let area = Rect { height: area.height.saturating_sub(1), ..area };
    frame.render_widget(Clear, area);
    let lines: Vec<Line<'_>> = text.lines().skip(from).map(|line| Line::from(clean(line))).collect();
    let block = Block::bordered().title(format!(" {} ", clean(title))).border_style(top.style(Color::Blue));
    frame.render_widget(Paragraph::new(lines).block(block).wrap(Wrap { trim: false }), area);
}
