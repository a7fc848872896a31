//! Runs on emulated networks are kept in a database of their own: where something is looked for in the wrong one of the
//! two, the failure says where it is.

use crate::exit::Failure;
use crate::store::{Dsn, Store, StoreError};

/// The failure, with advice where the run that is meant is in the other of the two default databases.
pub(in crate::cli) async fn hinted(failure: Failure, run_id: Option<&str>, asked: &Dsn) -> Failure {
    let is_missing = matches!(
        failure.error().downcast_ref(),
        Some(StoreError::NoSuchRun { .. } | StoreError::NothingYet { .. })
    );
    match hint(run_id, asked).await {
        Some(hint) if is_missing => failure.advise(hint),
        _ => failure,
    }
}

/// Hints at the run that is meant, if it is in the other of the two default databases.
pub(in crate::cli) async fn hint(run_id: Option<&str>, asked: &Dsn) -> Option<String> {
    let (own, devnet) = (Dsn::user_default().ok()?, Dsn::devnet_default().ok()?);
    let (other, flag) = match asked {
        asked if *asked == own => (devnet, "add --devnet"),
        asked if *asked == devnet => (own, "leave --devnet out"),
        _ => return None,
    };
    // A database that can't be read gives no hint.
    let store = Store::open_to_read(&other).await.ok()?;
    let found = store.choose_run(run_id).await;
    store.close().await;
    let is_there = matches!(found, Ok(_) | Err(StoreError::SeveralRuns { .. }));
    is_there.then(|| match run_id {
        Some(run_id) => format!("{flag}: run `{run_id}` is kept in {other}"),
        None => format!("{flag}: there are runs in {other}"),
    })
}
