//! A function applied to inputs: results and failures as they come, in order where asked, and an end that closes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use golem_core::event::FailureKind;
use golem_devnet::runtime::ScriptedAnswer;
use golem_sdk::executor::{EndCause, MapFailure, NotMapped, StartError};
use golem_sdk::{ExecutionEnd, Result, Script, WorkContext};

use crate::stage::{Stage, assert_all_ended, builder, devnet, honest, scripted, secs};

async fn seven(ctx: WorkContext, n: u64) -> Result<u64> {
    let done = ctx.execute(Script::new().run("work", [n.to_string()]), secs(60)).await?;
    assert_eq!(done.end, ExecutionEnd::Done);
    Ok(done.results[0].stdout.as_ref().unwrap().to_text().parse()?)
}

#[tokio::test(start_paused = true)]
async fn each_input_brings_its_result() {
    let stage = Stage::new(&["ada", "bob"]).await;
    let mut sevens = stage.executor.map(0..20, seven);
    let mut sum = 0;
    while let Some((n, result)) = sevens.try_next().await.unwrap() {
        assert_eq!(result, n * 7);
        sum += n;
    }
    assert_eq!(sum, 190);
    assert!(sevens.next().await.is_none(), "the end is the end");
    drop(sevens);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn results_come_in_the_order_of_their_inputs_where_asked() {
    let slow_first = scripted().when(|program, args| {
        let n: u64 = args.first().filter(|_| program == "late")?.parse().ok()?;
        Some(ScriptedAnswer::ok().taking(secs(60 - 5 * n)))
    });
    let stage = Stage::on(slow_first, ["ada", "bob", "eve"].map(honest), |builder| builder).await;
    let late = async |ctx: WorkContext, n: u64| {
        ctx.execute(Script::new().run("late", [n.to_string()]), secs(120)).await?;
        Ok(n)
    };
    let mut unordered = stage.executor.map(0..10, late);
    let mut came = Vec::new();
    while let Some((n, _)) = unordered.try_next().await.unwrap() {
        came.push(n);
    }
    assert!(!came.is_sorted(), "{came:?}");

    let mut ordered = stage.executor.map(0..10, late).ordered();
    for n in 0..10 {
        assert_eq!(ordered.try_next().await.unwrap(), Some((n, n)));
    }
    assert_eq!(ordered.try_next().await.unwrap(), None);
    drop((unordered, ordered));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_input_that_fails_for_good_ends_no_other() {
    let stage = Stage::with(&["ada", "bob"], |builder| builder.retries(1)).await;
    let odd = async |_: WorkContext, n: u64| {
        if n == 3 {
            "three".parse::<u64>()?;
        }
        Ok(n)
    };
    let mut items = stage.executor.map(0..6, odd).ordered();
    for n in 0..6 {
        let item = items.next().await.unwrap();
        assert_eq!(item.input, n);
        match item.result {
            Ok(result) => assert_eq!(result, n),
            Err(MapFailure::Failed(failure)) => {
                assert_eq!((n, item.attempts, failure.kind), (3, 2, FailureKind::Rejected));
                assert_eq!(failure.message, "invalid digit found in string");
                assert!(item.provider.is_some());
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(items.next().await.is_none());

    let mut results = stage.executor.map(0..6, odd);
    let mut n_done = 0;
    let error = loop {
        match results.try_next().await {
            Ok(Some(_)) => n_done += 1,
            Ok(None) => panic!("a failure is told"),
            Err(error) => break error.downcast::<NotMapped>().unwrap(),
        }
    };
    assert_eq!((n_done, error.count()), (5, 1));
    assert_eq!(
        error.to_string(),
        "1 of the inputs has no result, the first because of: invalid digit found in string"
    );
    drop((items, results));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_command_that_fails_is_an_attempt_and_leaves_its_machine() {
    let stage = Stage::on(
        scripted().when(|program, _| (program == "/bin/sh").then(|| ScriptedAnswer::exit(4))),
        ["ada"].map(honest),
        |builder| builder.max_workers(1).retries(2),
    )
    .await;
    let mut items = stage.executor.map([1_u64, 2], async |ctx, n| {
        ctx.sh("false").await?;
        Ok(n)
    });
    for _ in 0..2 {
        let item = items.next().await.unwrap();
        let Err(MapFailure::Failed(failure)) = item.result else { panic!("{:?}", item.result) };
        assert_eq!((item.attempts, failure.kind), (3, FailureKind::CommandFailed), "{failure:?}");
    }
    drop(items);
    let activities = stage.devnet.books().activities.len();
    assert_eq!(activities, 1, "one machine is enough for commands that fail");
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn inputs_that_an_early_end_leaves_say_so() {
    let stage = Stage::with(&["ada"], |builder| builder.max_workers(1).timeout(secs(400))).await;
    let mut items = stage.executor.map(0..1000, seven);
    let (mut done, mut left) = (0, 0);
    while let Some(item) = items.next().await {
        match item.result {
            Ok(_) => done += 1,
            Err(MapFailure::NotDone(EndCause::TimedOut { .. })) => left += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(done > 10, "{done}");
    assert_eq!(done + left, 1000, "each input brings an item");
    drop(items);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_closes_whatever_its_work_comes_to() {
    let devnet = devnet(scripted(), ["ada", "bob"].map(honest)).start().await.unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let count = |calls: Arc<AtomicU32>, ctx: WorkContext, n: u64| async move {
        calls.fetch_add(1, Ordering::Relaxed);
        seven(ctx, n).await
    };
    let sum = builder(&devnet)
        .run(async |golem| {
            let mut sevens = golem.map_with(Arc::clone(&calls), 1..=4, count);
            let mut sum = 0;
            while let Some((_, seven)) = sevens.try_next().await? {
                sum += seven;
            }
            Ok(sum)
        })
        .await
        .unwrap();
    assert_eq!((sum, calls.load(Ordering::Relaxed)), (70, 4));
    assert_all_ended(&devnet).await;

    let error = builder(&devnet)
        .run(async |golem| {
            let mut sevens = golem.map(1..=4, seven);
            sevens.try_next().await?;
            Ok("not a number".parse::<u32>()?)
        })
        .await
        .unwrap_err();
    assert!(error.downcast_ref::<std::num::ParseIntError>().is_some(), "{error:?}");
    assert_all_ended(&devnet).await;
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_a_number_or_text_and_a_wrong_one_is_an_error_of_the_start() {
    let devnet = devnet(scripted(), ["ada"].map(honest)).start().await.unwrap();
    for (wrong, said) in [("ten", "`ten`"), ("-1", "negative")] {
        let error = builder(&devnet).budget(wrong).start().await.unwrap_err();
        assert!(matches!(&error, StartError::Budget(why) if why.to_string().contains(said)), "{error:?}");
    }
    assert!(matches!(builder(&devnet).budget(f64::NAN).start().await, Err(StartError::Budget(_))));
    for executor in [builder(&devnet).budget(0.5), builder(&devnet).budget("0.5")] {
        let executor = executor.start().await.unwrap();
        assert_eq!(executor.budget().to_string(), "0.5");
        executor.close().await.unwrap();
    }
    let executor = builder(&devnet).budget(3).start().await.unwrap();
    assert_eq!(executor.budget().to_string(), "3");
    executor.close().await.unwrap();
}
