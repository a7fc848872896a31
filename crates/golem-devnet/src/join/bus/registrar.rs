//! Keeps the daemon's list of our services as it should be, one request at a time.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, warn};

use super::SessionError;
use super::{Registration, Shared};
use crate::join::wire::{Body, OK, Outcome, ServiceName};

/// The time that the daemon's router may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause before an address that was refused is asked for again: another connection may have to be given up first.
const AGAIN: Duration = Duration::from_secs(1);
/// The address belongs to another connection.
const TAKEN: i32 = 409;

enum Step {
    Register(String),
    Unregister(String),
    Wait(Option<Instant>),
}

/// Registers and unregisters as services come and go, until the connection is lost.
pub(super) async fn keep(
    shared: &Shared,
    out: &mpsc::Sender<Body>,
    replies: &mut mpsc::Receiver<Outcome>,
) -> Result<Infallible, SessionError> {
    let mut registered = HashSet::new();
    let mut refused = HashMap::new();
    loop {
        match next(shared, &registered, &refused) {
            Step::Register(service) => {
                let outcome =
                    ask(out, replies, Body::Register(ServiceName { service: service.clone() })).await?;
                if outcome.code == OK {
                    debug!(service, "served on the daemon's bus");
                    refused.remove(&service);
                    registered.insert(service);
                } else {
                    let why = words(&outcome);
                    warn!(service, why, "the daemon's bus doesn't let us serve it");
                    if let Some(wanted) = shared.services().get(&service) {
                        wanted.registration.send_replace(Registration::Refused(why));
                    }
                    refused.insert(service, Instant::now() + AGAIN);
                }
            }
            Step::Unregister(service) => {
                let outcome =
                    ask(out, replies, Body::Unregister(ServiceName { service: service.clone() })).await?;
                if outcome.code != OK {
                    debug!(service, code = outcome.code, "it wasn't served any more");
                }
                registered.remove(&service);
            }
            Step::Wait(None) => shared.changed.notified().await,
            Step::Wait(Some(until)) => tokio::select! {
                () = shared.changed.notified() => {}
                () = sleep_until(until) => {}
            },
        }
    }
}

fn next(shared: &Shared, registered: &HashSet<String>, refused: &HashMap<String, Instant>) -> Step {
    let services = shared.services();
    let now = Instant::now();
    let mut later: Option<Instant> = None;
    for (address, service) in services.iter() {
        if registered.contains(address) {
            service.registration.send_if_modified(|state| {
                let news = *state != Registration::Done;
                *state = Registration::Done;
                news
            });
            continue;
        }
        match refused.get(address) {
            Some(again) if *again > now => later = Some(later.map_or(*again, |at| at.min(*again))),
            _ => return Step::Register(address.clone()),
        }
    }
    match registered.iter().find(|address| !services.contains_key(*address)) {
        Some(surplus) => Step::Unregister(surplus.clone()),
        None => Step::Wait(later),
    }
}

async fn ask(
    out: &mpsc::Sender<Body>,
    replies: &mut mpsc::Receiver<Outcome>,
    request: Body,
) -> Result<Outcome, SessionError> {
    out.send(request).await.map_err(|_| SessionError::Silent)?;
    match timeout(PATIENCE, replies.recv()).await {
        Ok(Some(outcome)) => Ok(outcome),
        Ok(None) => {
            // The session is about to say why.
            sleep(PATIENCE).await;
            Err(SessionError::Silent)
        }
        Err(_) => Err(SessionError::Silent),
    }
}

fn words(outcome: &Outcome) -> String {
    match (outcome.code, outcome.message.as_str()) {
        (TAKEN, "") => "the address is taken by another connection".to_owned(),
        (code, "") => format!("code {code}"),
        (_, message) => message.to_owned(),
    }
}
