//! The checks themselves are checked: whatever is wrong in one way is found.

use serde_json::{Value, json};
use yagna_api::Glm;

use super::{Evidence, Expected, Findings, check};
use crate::books::Books;
use crate::record::{Allocation, Attempt, Bill, Record, Rental, Task};

const TOKENS: [&str; 2] = ["11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"];

fn glm(text: &str) -> Glm {
    text.parse().unwrap()
}

fn at(second: u32) -> String {
    format!("2026-01-01T10:00:{second:02}Z")
}

fn command(task: u64, activity: &str, second: u32) -> Value {
    let words = ["/bin/sh".to_owned(), "-c".to_owned(), format!("m=MARK.{task}.; true")];
    json!({ "activity": activity, "command": words, "started": at(second), "ended": at(second + 1), "exit_code": 0 })
}

/// Two tasks on one honest provider, and a vanished one of which only a debit note is known.
fn books() -> Value {
    json!({
        "at": at(50),
        "missed": 0,
        "agreements": [
            { "id": "a1", "state": "Terminated", "requestor": "me", "approved": at(1) },
            { "id": "a2", "state": "Terminated", "requestor": "me", "approved": at(2) },
            { "id": "a9", "state": "Approved", "requestor": "you", "approved": at(2) },
        ],
        "activities": [
            { "id": "c1", "agreement": "a1", "alive": false, "owed": "0.3" },
            { "id": "c2", "agreement": "a2", "alive": false, "owed": "0.2" },
        ],
        "commands": [command(0, "c1", 3), command(1, "c2", 4), command(1, "c1", 6)],
        "debit_notes": [
            { "id": "n1", "agreement": "a1", "activity": "c1", "amount": "0.1", "status": "ACCEPTED" },
            { "id": "n2", "agreement": "a2", "activity": "c2", "amount": "0.2", "status": "ACCEPTED" },
        ],
        "invoices": [
            { "id": "i1", "agreement": "a1", "activity": null, "amount": "0.3", "status": "ACCEPTED" },
            { "id": "i2", "agreement": "a1", "activity": null, "amount": "0.3", "status": "REJECTED" },
        ],
        "allocations": [
            { "id": "m1", "requestor": "me", "spent": "0.5", "released": true },
            { "id": "other", "requestor": "me", "spent": "0", "released": false },
            { "id": "m9", "requestor": "you", "spent": "0", "released": false },
        ],
    })
}

fn evidence() -> (Evidence, Expected) {
    let task = |number: u64, attempt: u64, second: u32| Task {
        number,
        status: "done".to_owned(),
        attempt,
        finished: Some(at(second).parse().unwrap()),
        stdout: format!("{number} {} {}\n", number * 7, TOKENS[usize::try_from(number).unwrap()]),
    };
    let attempt = |task, number, outcome: &str| Attempt { task, number, outcome: Some(outcome.to_owned()) };
    let rental = |number, agreement: &str, cost: &str, final_bill: Option<&str>| Rental {
        number,
        agreement: Some(agreement.to_owned()),
        status: "ended".to_owned(),
        cost: glm(cost),
        final_bill: final_bill.map(str::to_owned),
    };
    let bill = |id: &str, amount: &str, status: &str| Bill {
        id: id.to_owned(),
        amount: glm(amount),
        status: status.to_owned(),
    };
    let record = Record {
        status: "ended".to_owned(),
        tasks: vec![task(0, 1, 4), task(1, 2, 8)],
        attempts: vec![attempt(0, 1, "done"), attempt(1, 1, "lost"), attempt(1, 2, "done")],
        rentals: vec![rental(1, "a1", "0.3", Some("accepted")), rental(2, "a2", "0.2", None)],
        bills: vec![
            bill("n1", "0.1", "accepted"),
            bill("n2", "0.2", "accepted"),
            bill("i1", "0.3", "accepted"),
            bill("i2", "0.3", "refused"),
        ],
        allocations: vec![Allocation { id: Some("m1".to_owned()), status: "released".to_owned() }],
    };
    let evidence = Evidence {
        books: serde_json::from_value(books()).unwrap(),
        record,
        files: TOKENS.iter().zip(0..).map(|(token, task)| (task, format!("{token}\n"))).collect(),
        processes: Vec::new(),
        summary: json!({ "cost": "0.5", "tasks": { "done": 2 } }),
    };
    let expected = Expected {
        requestor: "me".to_owned(),
        tasks: 2,
        complete: true,
        budget: glm("1"),
        bystander: "other".to_owned(),
        mark: "MARK".to_owned(),
        kills: 0,
    };
    (evidence, expected)
}

fn found(change: impl FnOnce(&mut Evidence, &mut Expected)) -> Findings {
    let (mut evidence, mut expected) = evidence();
    change(&mut evidence, &mut expected);
    check(&evidence, &expected)
}

/// The books with something in them changed.
fn with_books(change: impl FnOnce(&mut Value)) -> impl FnOnce(&mut Evidence, &mut Expected) {
    let mut text = books();
    change(&mut text);
    let books: Books = serde_json::from_value(text).unwrap();
    |evidence, _| evidence.books = books
}

#[track_caller]
fn finds(what: &str, change: impl FnOnce(&mut Evidence, &mut Expected)) {
    let findings = found(change);
    assert!(findings.wrong.iter().any(|wrong| wrong.contains(what)), "`{what}` isn't found: {findings:#?}");
}

#[test]
fn what_is_right_is_let_pass() {
    let findings = found(|_, _| {});
    assert!(findings.wrong.is_empty() && findings.late.is_empty(), "{findings:#?}");
}

#[test]
fn wrong_results_are_found() {
    finds("task 1 is `running`: its result is lost", |evidence, _| {
        evidence.record.tasks[1].status = "running".to_owned();
    });
    finds("the tasks are [0]", |evidence, _| drop(evidence.record.tasks.pop()));
    finds("the tasks are [0, 1, 1]", |evidence, _| {
        let twice = evidence.record.tasks[1].clone();
        evidence.record.tasks.push(twice);
    });
    finds("wrong result", |evidence, _| evidence.record.tasks[1].stdout = format!("1 8 {}", TOKENS[1]));
    finds("wrong result", |evidence, _| evidence.record.tasks[1].stdout.clear());
    finds("of one execution", |evidence, _| evidence.record.tasks[1].stdout = format!("1 7 {}", TOKENS[0]));
    finds("has 2 attempts with a result", |evidence, _| {
        evidence.record.attempts[1].outcome = Some("done".to_owned());
    });
    finds("attempt 1 of task 1 is recorded as running", |evidence, _| {
        evidence.record.attempts[1].outcome = None;
    });
    finds("the file of task 0 is of another execution", |evidence, _| {
        evidence.files.insert(0, TOKENS[1].to_owned());
    });
    finds("the file of task 0 is lost", |evidence, _| drop(evidence.files.remove(&0)));
    finds("`summary` says that Some(1) tasks", |evidence, _| evidence.summary["tasks"]["done"] = json!(1));
    finds("not as ended", |evidence, _| evidence.record.status = "running".to_owned());
}

#[test]
fn work_done_again_or_never_is_found() {
    finds("task 0 ran again at", with_books(|books| books["commands"][2] = command(0, "c1", 6)));
    finds("task 0 ran 2 times in 1 attempts", with_books(|books| books["commands"][1] = command(0, "c1", 3)));
    finds(
        "task 0 has a result and never ran",
        with_books(|books| books["commands"][0]["exit_code"] = json!(1)),
    );
    finds("task 7 ran and isn't recorded", with_books(|books| books["commands"][1] = command(7, "c1", 3)));
    finds("which isn't the run's", with_books(|books| books["commands"][0]["activity"] = json!("c9")));
    finds("nobody knows when", |evidence, _| evidence.record.tasks[0].finished = None);
    finds("they prove nothing", with_books(|books| books["missed"] = json!(3)));
}

#[test]
fn what_is_left_is_found() {
    finds(
        "agreement a2 is still `Approved`",
        with_books(|books| books["agreements"][1]["state"] = json!("Approved")),
    );
    finds(
        "agreement a2 is still `Pending`",
        with_books(|books| books["agreements"][1]["state"] = json!("Pending")),
    );
    finds("agreement a2 was used and isn't recorded", |evidence, _| drop(evidence.record.rentals.pop()));
    finds("activity c2 is still alive", with_books(|books| books["activities"][1]["alive"] = json!(true)));
    finds(
        "a command of activity c1 still runs",
        with_books(|books| books["commands"][0]["ended"] = Value::Null),
    );
    finds("a process is left: sh", |evidence, _| evidence.processes.push("sh".to_owned()));
    finds("rental 2 is recorded as `approved`", |evidence, _| {
        evidence.record.rentals[1].status = "approved".to_owned();
    });
    finds(
        "allocation m1 isn't released",
        with_books(|books| books["allocations"][0]["released"] = json!(false)),
    );
    finds("that isn't the run's", with_books(|books| books["allocations"][1]["released"] = json!(true)));
    finds("that isn't the run's", with_books(|books| books["allocations"][1]["spent"] = json!("0.1")));
    finds("is recorded as `created`", |evidence, _| {
        evidence.record.allocations[0].status = "created".to_owned();
    });
}

#[test]
fn wrong_payments_are_found() {
    finds("which owes", with_books(|books| books["activities"][0]["owed"] = json!("0.2")));
    finds("2 invoices were accepted", with_books(|books| books["invoices"][1]["status"] = json!("ACCEPTED")));
    let refused = |books: &mut Value| books["invoices"][0]["status"] = json!("REJECTED");
    finds("invoice i1 of 0.3 GLM is right and `REJECTED`", with_books(refused));
    let open = |books: &mut Value| books["invoices"][0]["status"] = json!("RECEIVED");
    finds("invoice i1 of 0.3 GLM is right and `RECEIVED`", with_books(open));
    finds("debit note n2 of 0.2 GLM is right", |evidence, expected| {
        with_books(|books| books["debit_notes"][1]["status"] = json!("RECEIVED"))(evidence, expected);
        evidence.record.rentals[1].final_bill = Some("refused".to_owned());
    });
    finds("more than the budget", |_, expected| expected.budget = glm("0.4"));
    finds("rental 1 is recorded to cost 0.1", |evidence, _| evidence.record.rentals[0].cost = glm("0.1"));
    finds("`summary` tells a cost", |evidence, _| evidence.summary["cost"] = json!("0.4"));
    finds("bill i1 is accepted and isn't recorded", |evidence, _| drop(evidence.record.bills.remove(2)));
    finds("bill i1 asks for", |evidence, _| evidence.record.bills[2].amount = glm("0.2"));
    finds("bill i2 is `REJECTED`, recorded is `accepted`", |evidence, _| {
        evidence.record.bills[3].status = "accepted".to_owned();
    });
    finds("nobody sent it", |evidence, _| evidence.record.bills[3].id = "i3".to_owned());
}

#[test]
fn what_the_next_start_settles_is_late_and_a_wrong_or_empty_bill_is_left_alone() {
    let with_invoice = |amount: &str| {
        let amount = amount.to_owned();
        found(|evidence, expected| {
            with_books(|books| {
                books["invoices"][1] = json!({ "id": "i2", "agreement": "a2", "activity": null, "amount": amount,
                                               "status": "RECEIVED" });
            })(evidence, expected);
            evidence.record.bills.pop();
        })
    };
    let findings = with_invoice("0.2");
    assert!(findings.wrong.is_empty(), "{findings:#?}");
    assert_eq!(findings.late.len(), 1, "{findings:#?}");
    let findings = found(|evidence, _| evidence.record.bills[2].status = "accepting".to_owned());
    assert!(findings.wrong.is_empty(), "{findings:#?}");
    assert_eq!(findings.late, ["bill i1 is being accepted, as it is recorded"]);
    for left in ["200", "0"] {
        let findings = with_invoice(left);
        assert!(findings.wrong.is_empty() && findings.late.is_empty(), "{findings:#?}");
    }
}

#[test]
fn a_killed_process_may_have_had_work_in_its_hands_that_it_never_recorded() {
    let findings = found(|evidence, expected| {
        with_books(|books| books["commands"][1] = command(0, "c1", 3))(evidence, expected);
        expected.kills = 1;
    });
    assert!(findings.wrong.is_empty(), "{findings:#?}");
    let findings = found(with_books(|books| {
        books["agreements"][2] =
            json!({ "id": "a3", "state": "Terminated", "requestor": "me", "approved": at(2) });
    }));
    assert!(findings.wrong.is_empty(), "nothing was done there: {findings:#?}");
}

#[test]
fn a_run_that_was_stopped_may_leave_tasks_and_nothing_else() {
    let stopped = |evidence: &mut Evidence, expected: &mut Expected| {
        expected.complete = false;
        evidence.record.tasks[1].status = "waiting".to_owned();
        evidence.record.attempts[2].outcome = Some("cancelled".to_owned());
        evidence.summary["tasks"]["done"] = json!(1);
    };
    let findings = found(stopped);
    assert!(findings.wrong.is_empty(), "{findings:#?}");
    finds("activity c2 is still alive", |evidence, expected| {
        with_books(|books| books["activities"][1]["alive"] = json!(true))(evidence, expected);
        stopped(evidence, expected);
    });
}
