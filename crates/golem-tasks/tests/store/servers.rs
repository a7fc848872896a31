//! What PostgreSQL servers do to us, and what is said of it.

use std::time::Duration;

use golem_tasks::store::{Dsn, Store, StoreError};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::grounds::{Ground, admin, server};
use crate::scene::{Scene, new_run};

async fn refused(dsn: &str) -> (StoreError, String) {
    let error = Store::open(&dsn.parse::<Dsn>().unwrap()).await.unwrap_err();
    let told = format!("{error} | {}", error.advice().unwrap_or_default());
    assert!(!format!("{told} {error:?}").contains("secret"), "{told}");
    (error, told)
}

pub(crate) async fn what_is_wrong_with_a_server_is_said_with_what_to_do(ground: Ground) {
    let address = server().unwrap();
    let (_, host) = address.rsplit_once('@').unwrap();

    let (error, told) = refused(&format!("postgres://golem:secret@{host}/{}", ground.name())).await;
    assert!(matches!(error, StoreError::NotLetIn { .. }), "{error:?}");
    assert!(told.contains("doesn't let `golem` in") && told.contains("PGPASSWORD"), "{told}");

    let (error, told) = refused(&format!("{address}/nosuch")).await;
    assert!(matches!(error, StoreError::NoDatabase { .. }), "{error:?}");
    assert!(told.contains("no database `nosuch`") && told.contains("createdb nosuch"), "{told}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // It takes the connection and says nothing.
    let (error, told) =
        refused(&format!("host=127.0.0.1 port={port} password=secret connect_timeout=1")).await;
    assert!(matches!(error, StoreError::NoAnswer { .. }), "{error:?}");
    assert!(told.contains(&format!("@127.0.0.1:{port}/")) && told.contains("pg_isready"), "{told}");
    drop(listener);
    let began = Instant::now();
    let (error, told) = refused(&format!("host=127.0.0.1 port={port} password=secret")).await;
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(told.contains("can be reached") && told.contains("start the server"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(5), "it was tried for {:?}", began.elapsed());
}

pub(crate) async fn whoever_may_not_make_tables_is_told_who_can(ground: Ground) {
    let role = format!("{}_guest", ground.name());
    admin(&format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'")).await;
    let address = server().unwrap();
    let (_, host) = address.rsplit_once('@').unwrap();
    let dsn = format!("postgres://{role}:secret@{host}/{}", ground.name());

    let (error, told) = refused(&dsn).await;
    assert!(matches!(error, StoreError::NoRights { .. }), "{error:?}");
    assert!(told.contains(&format!("CREATE SCHEMA tasks AUTHORIZATION \"{role}\"")), "{told}");

    // Somebody else's tables, which this one may not even see.
    ground.store().await;
    let (error, _) = refused(&dsn).await;
    assert!(matches!(error, StoreError::NoRights { .. }), "{error:?}");

    // The advice helps.
    ground.execute(&format!("DROP SCHEMA tasks CASCADE; CREATE SCHEMA tasks AUTHORIZATION {role}")).await;
    let store = Store::open(&dsn.parse().unwrap()).await.unwrap();
    store.create_run(&new_run("r")).await.unwrap();
    assert!(!store.place().contains("secret"), "{}", store.place());
    store.close().await;
    ground.execute(&format!("DROP OWNED BY {role} CASCADE")).await;
    admin(&format!("DROP ROLE {role}")).await;
}

pub(crate) async fn nothing_weaker_than_durable_is_taken_from_the_server(ground: Ground) {
    ground.store().await.close().await;
    admin(&format!("ALTER DATABASE {} SET synchronous_commit TO off", ground.name())).await;
    ground
        .execute(
            "CREATE TABLE public.seen (setting text); \
             CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$; \
             CREATE TRIGGER look AFTER INSERT ON tasks.runs FOR EACH ROW EXECUTE FUNCTION public.look()",
        )
        .await;
    assert_eq!(ground.texts("SHOW synchronous_commit").await, ["off"]);
    ground.store().await.create_run(&new_run("r")).await.unwrap();
    assert_eq!(ground.texts("SELECT setting FROM public.seen").await, ["on"]);
}

/// Plans that were made while a table was small would read all of it each time when it has grown.
pub(crate) async fn a_big_table_is_still_written_by_its_keys(ground: Ground) {
    const TASKS: u64 = 30_000;
    let run = ground.run().await;
    let mut scene = Scene::new();
    scene.rental(1, 1).added(0..50);
    for task in 0..50 {
        // The same statements, while there is little.
        scene.started(task, 1, 1).done(task, 1, 1, "x");
        run.apply(&std::mem::take(&mut scene.events)).await.unwrap();
    }
    scene.added(50..TASKS);
    run.apply(&std::mem::take(&mut scene.events)).await.unwrap();
    let reads = "SELECT (seq_tup_read + idx_tup_fetch)::text FROM pg_stat_user_tables \
                 WHERE schemaname = 'tasks' AND relname = 'tasks'";
    let changes =
        "SELECT n_tup_ins::text FROM pg_stat_user_tables WHERE schemaname = 'tasks' AND relname = 'attempts'";
    let counted = async |wanted: &str| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while ground.texts(changes).await != [wanted] {
            assert!(Instant::now() < deadline, "the server doesn't count {wanted} attempts");
            sleep(Duration::from_millis(50)).await;
            run.apply(
                &Scene::new()
                    .wait(1)
                    .event(golem_core::event::EventKind::Trouble {
                        doing: String::new(),
                        problem: String::new(),
                    })
                    .events,
            )
            .await
            .unwrap();
        }
        ground.texts(reads).await[0].parse::<i64>().unwrap()
    };
    let before = counted("50").await;
    for task in 50..70 {
        scene.started(task, 1, 1).started(task + 100, 1, 1).done(task, 1, 1, "x");
        run.apply(&std::mem::take(&mut scene.events)).await.unwrap();
    }
    let after = counted("90").await;
    // 40 tasks were written, in 20 commits: a few rows each, checks included, not 30,000.
    assert!(after - before < 1000, "{} tasks were read", after - before);
}
