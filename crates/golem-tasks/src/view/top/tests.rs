//! The view on a screen of 80x24, and what its keys wish for.

use golem_core::event::{RentalId, StopReason};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use yagna_api::NodeId;

use super::*;
use crate::store::{ActivityStatus, HeldBy, Holder, RunSummary, TaskCounts};

fn at(second: u64) -> Timestamp {
    let start: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    yagna_api::time::after(start, Duration::from_secs(second))
}

fn glm(text: &str) -> Glm {
    text.parse().unwrap()
}

fn provider(number: u64) -> Provider {
    let id: NodeId = format!("0x{number:040x}").parse().unwrap();
    Provider { id, name: format!("lively-lynx-{number}") }
}

fn activity(number: u64, status: ActivityStatus, results: u64, failed: u64) -> ActivityRow {
    ActivityRow {
        rental: RentalId(number),
        number: 1,
        activity: Some(yagna_api::ActivityId::new(format!("activity-{number}"))),
        status,
        attempts: results + failed,
        failed,
        results,
        results_took: Duration::from_secs(2 * results),
        cost: glm("0.0123"),
        stop_reason: (status == ActivityStatus::Stopped).then(|| "all work is done".to_owned()),
        provider: provider(number),
        agreement: None,
        per_hour: glm("0.1"),
        start: Glm::ZERO,
        began: at(10),
        ended: (status == ActivityStatus::Stopped).then(|| at(60)),
        settled: true,
    }
}

fn snapshot(second: u64, done: u64) -> Snapshot {
    let mut summary = RunSummary::new("brave-otter-0001", at(0));
    summary.tasks = TaskCounts { done, failed: 2, running: 2, waiting: 96 - done, ..TaskCounts::default() };
    summary.cost = glm("0.02");
    let mut holder = Holder::here();
    (holder.host, holder.pid) = ("desk".to_owned(), 4711);
    let held = HeldBy { holder, since: at(0), heard: at(second), silent: Duration::ZERO };
    let task = |task, number| TaskAtWork {
        task,
        name: Some(format!("shot {task}.blend")),
        attempt: 1,
        provider: provider(number),
        started: at(second - 7),
    };
    Snapshot {
        now: at(second),
        overview: Overview {
            summary,
            status: RunStatus::Running(held),
            ready: 2,
            new: 1,
            other: 1,
            attempts: done + 4,
            open_agreements: 3,
            estimate: glm("0.025"),
        },
        budget: Some(glm("1")),
        all_known: true,
        activities: vec![
            activity(1, ActivityStatus::Ready, 30, 0),
            activity(2, ActivityStatus::Stopped, 9, 12),
            activity(3, ActivityStatus::New, 0, 0),
            activity(4, ActivityStatus::Ready, 20, 1),
        ],
        at_work: vec![task(41, 1), task(42, 4)],
        errors: Vec::new(),
        runs: vec![RunRow {
            run_id: "calm-wren-7777".to_owned(),
            status: RunStatus::Ended(StopReason::AllDone),
            paused_until: None,
            done: 5,
            failed: 0,
            left: 0,
            settled: crate::store::Settled { cost: glm("0.001"), unsettled: 0 },
            began: at(0),
            ended: Some(at(9)),
        }],
    }
}

fn top() -> Top {
    let mut top = Top::new(false);
    top.see(snapshot(100, 40));
    top.see(snapshot(120, 50));
    top
}

fn picture(top: &Top, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, top)).unwrap();
    terminal.backend().to_string()
}

fn press(top: &mut Top, keys: &str) -> Option<Wish> {
    let mut wish = None;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            '\t' => KeyCode::Tab,
            key => KeyCode::Char(key),
        };
        wish = top.press(KeyEvent::new(code, KeyModifiers::NONE));
    }
    wish
}

#[test]
fn a_run_fits_into_80_columns_and_24_lines() {
    let mut top = top();
    insta::assert_snapshot!("providers", picture(&top, 80, 24));
    press(&mut top, "2");
    insta::assert_snapshot!("tasks", picture(&top, 80, 24));
    press(&mut top, "?");
    insta::assert_snapshot!("help", picture(&top, 80, 24));
}

#[test]
fn every_size_is_painted_and_small_ones_say_so() {
    let mut top = top();
    for (width, height) in [(1, 1), (10, 3), (39, 24), (80, 9), (40, 10), (300, 100)] {
        for keys in ["1", "2", "3", "4", "?"] {
            press(&mut top, keys);
            let shown = picture(&top, width, height);
            assert!(!shown.is_empty(), "{width}x{height}");
            press(&mut top, if keys == "?" { "\u{1b}" } else { "" });
        }
    }
    assert!(picture(&top, 30, 5).contains("too small"));
    assert!(picture(&Top::new(true), 80, 24).contains("reading the database"));
}

#[test]
fn what_changes_something_is_asked_first() {
    let mut top = top();
    assert_eq!(press(&mut top, "c"), None);
    assert!(picture(&top, 80, 24).contains("Stop this run, as Ctrl+C would? [y/N]"));
    assert_eq!(press(&mut top, "n"), None);
    assert!(picture(&top, 80, 24).contains("nothing was done"));
    assert_eq!(press(&mut top, "cy"), Some(Wish::Cancel));
    assert_eq!(press(&mut top, "jb"), None);
    assert!(picture(&top, 80, 24).contains("Block lively-lynx-4 for all runs"));
    assert_eq!(press(&mut top, "y"), Some(Wish::Block(provider(4))));
    assert_eq!(press(&mut top, "q"), Some(Wish::Quit));
}

#[test]
fn lists_are_sorted_filtered_and_looked_into() {
    let mut top = top();
    let names = |top: &Top| top.rows().iter().map(|row| row.cells[0].clone()).collect::<Vec<_>>();
    assert_eq!(names(&top)[..2], ["lively-lynx-1", "lively-lynx-4"], "those at work come first");
    press(&mut top, "ss");
    assert_eq!(names(&top)[0], "lively-lynx-2", "the most failures come first");
    press(&mut top, "/LYNX-3\n");
    assert_eq!(names(&top), ["lively-lynx-3"]);
    assert_eq!(press(&mut top, "\u{1b}"), None, "Esc shows all again, and doesn't leave");
    assert_eq!(names(&top).len(), 4);
    assert_eq!(press(&mut top, "2j\n"), Some(Wish::LookInto("42".to_owned())));
    assert_eq!(press(&mut top, "t7\n"), Some(Wish::LookInto("7".to_owned())));
    assert_eq!(press(&mut top, "4\n"), Some(Wish::Show("calm-wren-7777".to_owned())));
    top.show("Task 7", "one\ntwo\u{1b}]0;stolen\u{7}\nthree");
    let shown = picture(&top, 80, 24);
    assert!(shown.contains("Task 7") && shown.contains("three") && !shown.contains('\u{1b}'), "{shown}");
    press(&mut top, "jj\u{1b}");
    assert!(picture(&top, 80, 24).contains("1 Providers"));
}
