use std::pin::pin;

use futures_util::poll;
use golem_core::event::{ActivityNo, Attempt, JobId, RentalId};
use golem_core::run::Input;
use golem_core::tasks::AssignedTask;

use super::*;
use crate::context::Scripts;

fn ada() -> Provider {
    let id = "0x0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    Provider { id, name: "ada".into() }
}

/// One task in a worker's hands, and the engine's end, which is full.
async fn handed() -> (Task<&'static str, u64>, Dropped, mpsc::Receiver<Input>) {
    let table = Arc::new(Table::new(Box::new(|_: &&'static str| None)));
    let data = Arc::new(table.enter("data"));
    // There is room for one input, and the worker's question takes it.
    let (inputs, asked) = mpsc::channel(1);
    let (assign, assigned) = mpsc::channel(1);
    let attempt = Attempt { task: TaskId(0), number: 1 };
    assign.send(vec![AssignedTask { attempt, data }]).await.unwrap();
    let (rental, no, job) = (RentalId(1), ActivityNo(1), JobId::FIRST);
    let scripts = Arc::new(Scripts::new(rental, no, inputs.clone(), None));
    let inner = worker::Tasks { rental, no, job, assigned, inputs, again: Vec::new(), scripts };
    let dropped = Dropped::default();
    let mut tasks = Tasks { inner, table, provider: ada(), dropped: dropped.clone() };
    (tasks.next().await.unwrap(), dropped, asked)
}

fn n_dropped(dropped: &Dropped) -> usize {
    dropped.0.lock().unwrap().len()
}

#[tokio::test]
async fn an_answer_that_is_dropped_on_its_way_counts_as_a_dropped_task() {
    let (task, dropped, mut engine) = handed().await;
    let mut answer = Box::pin(task.accept_result(7));
    assert!(poll!(&mut answer).is_pending(), "the engine has no time for it");
    drop(answer);
    assert_eq!(n_dropped(&dropped), 1);
    assert!(matches!(engine.recv().await, Some(Input::WorkerReady { .. })));
    dropped.answer().await;
    let said = engine.recv().await;
    assert!(
        matches!(&said, Some(Input::AttemptFailed { failure, retry: true, .. })
        if failure.message.contains("without an answer")),
        "{said:?}"
    );

    let (task, dropped, _engine) = handed().await;
    let mut answer = Box::pin(task.reject_result("blurred", false));
    assert!(poll!(&mut answer).is_pending());
    drop(answer);
    assert_eq!(n_dropped(&dropped), 1);
}

#[tokio::test]
async fn an_answer_that_had_to_wait_is_given_once() {
    let (task, dropped, mut engine) = handed().await;
    let mut answer = pin!(task.accept_result(7));
    assert!(poll!(&mut answer).is_pending());
    assert!(matches!(engine.recv().await, Some(Input::WorkerReady { .. })));
    answer.await;
    assert!(matches!(engine.recv().await, Some(Input::AttemptDone { .. })));
    assert_eq!(n_dropped(&dropped), 0);
}

#[tokio::test]
async fn an_answer_that_nobody_wants_any_more_waits_for_nobody() {
    let (task, dropped, engine) = handed().await;
    drop(engine);
    task.accept_result(7).await;
    assert_eq!(n_dropped(&dropped), 0);
}
