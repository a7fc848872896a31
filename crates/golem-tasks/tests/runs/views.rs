//! What people and machines see of a run.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use golem_core::event::{Event, EventKind, StopReason};
use golem_tasks::store::RunSummary;
use golem_tasks::view::{Bar, Beginning, Facts, Json, Output, Plain, Quiet, SummaryFold, Terminal, View};
use serde_json::{Value, json};

use crate::scene::{Scene, eventful, start};

/// Text that was written, to be looked at afterwards.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn output(&self) -> Output {
        Output::new(self.clone())
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn facts(total: Option<u64>) -> Facts {
    Facts {
        run_id: "brave-otter-0001".to_owned(),
        started: start(),
        total,
        budget: None,
        place: "runs.db".to_owned(),
        retry: Some("golem-tasks run job.toml --run-id brave-otter-0001 --retry-failed".to_owned()),
        prints_itself: false,
        beginning: Beginning::New,
    }
}

fn summary(events: &[Event]) -> RunSummary {
    let mut fold = SummaryFold::new("brave-otter-0001", start());
    for event in events {
        fold.apply(event);
    }
    fold.summary()
}

/// What a view in plain text writes to stdout and stderr.
fn plain(events: &[Event], total: Option<u64>) -> (String, String) {
    let (out, err) = (Paper::default(), Paper::default());
    let mut view = Plain::new(facts(total), out.output(), err.output());
    for event in events {
        view.on(std::slice::from_ref(event));
    }
    view.finish(&summary(events));
    (out.text(), err.text())
}

fn good_run() -> Vec<Event> {
    let mut scene = Scene::new();
    scene.opening().added(0..24).rental(1, 1).rental(2, 2).rental(3, 3);
    for task in 0..24 {
        let rental = task % 3 + 1;
        scene.started(task, 1, rental).wait(83).done(task, 1, rental, &(task * 7).to_string());
    }
    scene.stops(StopReason::AllDone);
    for rental in 1..=3 {
        scene.rental_ends(rental, Some("0.00041"));
    }
    scene.closing().ends(StopReason::AllDone, (24, 0, 0), "0.00123", 0);
    scene.events
}

#[test]
fn a_good_run_in_lines() {
    let (out, err) = plain(&good_run(), Some(24));
    assert_eq!(out.lines().count(), 24);
    assert!(out.starts_with("0\t0\n1\t7\n2\t14\n"), "{out}");
    insta::assert_snapshot!(err);
}

#[test]
fn an_eventful_run_in_lines() {
    let (out, err) = plain(&eventful(), Some(6));
    assert_eq!(out, "0\t0\n1\tseven\neight\n4\t\n");
    insta::assert_snapshot!(err);
}

#[test]
fn a_result_that_is_null_gets_no_line_where_the_job_prints_itself() {
    let out = Paper::default();
    let facts = Facts { prints_itself: true, ..facts(Some(6)) };
    let mut view = Plain::new(facts, out.output(), Paper::default().output());
    view.on(&eventful());
    assert_eq!(out.text(), "0\t0\n1\tseven\neight\n");
}

#[test]
fn an_eventful_run_for_machines() {
    let (out, err) = (Paper::default(), Paper::default());
    let mut view = Json::new(facts(None), out.output(), err.output());
    view.on(&eventful());
    view.finish(&summary(&eventful()));
    for line in out.text().lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        assert!(object["type"].is_string(), "{line}");
    }
    assert_eq!(err.text(), {
        let err = Paper::default();
        let mut view = Plain::new(facts(None), Paper::default().output(), err.output());
        view.on(&eventful());
        view.finish(&summary(&eventful()));
        err.text()
    });
    insta::assert_snapshot!(out.text());
}

#[test]
fn every_field_for_machines_is_documented() {
    let out = Paper::default();
    let mut view = Json::new(facts(Some(6)), out.output(), Paper::default().output());
    view.on(&eventful());
    view.finish(&summary(&eventful()));
    let documentation = include_str!("../../../../docs/json-output.md");
    for line in out.text().lines() {
        let Value::Object(object) = serde_json::from_str(line).unwrap() else {
            panic!("a line is an object: {line}");
        };
        for field in object.keys() {
            assert!(documentation.contains(&format!("`{field}`")), "{field} of {line}");
        }
    }
}

#[test]
fn a_quiet_view_shows_results_only_while_all_goes_well() {
    let (out, err) = (Paper::default(), Paper::default());
    let mut view = Quiet::new(facts(None), out.output(), err.output());
    let mut events = eventful();
    for event in &mut events {
        if let EventKind::TaskDone { output, .. } = &mut event.kind
            && output.stdout.is_empty()
        {
            output.result = json!({ "answer": 42 });
        }
    }
    view.on(&events);
    assert_eq!(err.text(), "");
    view.finish(&summary(&events));
    assert_eq!(out.text(), "0\t0\n1\tseven\neight\n4\t{\"answer\":42}\n");
    // This run went wrong, and a quiet view doesn't hide that; one that went well it doesn't praise.
    assert!(err.text().contains("The run ended early: nothing could run"), "{}", err.text());
    let err = Paper::default();
    let mut view = Quiet::new(facts(None), out.output(), err.output());
    view.on(&good_run());
    view.finish(&summary(&good_run()));
    assert_eq!(err.text(), "");
}

#[test]
fn nobody_waits_in_silence() {
    let err = Paper::default();
    let mut view = Plain::new(facts(Some(2)), Paper::default().output(), err.output());
    let mut scene = Scene::new();
    scene.added(0..2).rental(1, 1).started(0, 1, 1);
    view.on(&scene.events);
    let before = err.text().lines().count();
    for second in 1..=60 {
        view.tick(yagna_api::time::after(start(), Duration::from_secs(second)));
    }
    let lines: Vec<_> = err.text().lines().skip(before).map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "    +5.0s  0 of 2 tasks done, 1 running, 1 provider rented",
            "   +20.0s  0 of 2 tasks done, 1 running, 1 provider rented",
            "   +35.0s  0 of 2 tasks done, 1 running, 1 provider rented",
            "   +50.0s  0 of 2 tasks done, 1 running, 1 provider rented",
        ]
    );
}

#[test]
fn a_flood_of_failures_is_cut_short() {
    let err = Paper::default();
    let mut view = Plain::new(facts(Some(1000)), Paper::default().output(), err.output());
    let mut scene = Scene::new();
    scene.added(0..1000).rental(1, 1);
    for task in 0..1000 {
        scene.started(task, 1, 1).failed_once(task, 1, 1);
    }
    view.on(&scene.events);
    view.tick(yagna_api::time::after(start(), Duration::from_secs(6)));
    let text = err.text();
    assert!(text.lines().count() < 50, "{text}");
    assert!(text.contains("more lines left out"), "{text}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let err = Paper::default();
    let mut view = Plain::new(facts(Some(24)), Output::new(Gone), err.output());
    view.on(&good_run());
    view.finish(&summary(&good_run()));
    assert!(err.text().contains("24 of 24 tasks done"), "{}", err.text());
}

#[test]
fn a_bar_writes_the_same_results() {
    let out = Paper::default();
    let mut view = Bar::new(facts(None), out.output(), &Terminal::stderr());
    view.on(&eventful());
    view.finish(&summary(&eventful()));
    assert_eq!(out.text(), "0\t0\n1\tseven\neight\n4\t\n");
}
