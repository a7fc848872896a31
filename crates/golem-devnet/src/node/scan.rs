//! Scans: offers or demands that a caller hasn't been shown yet.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use yagna_api::market::ScanKind;
use yagna_api::time::after;
use yagna_api::{NodeId, Properties, Timestamp};

use super::State;
use super::market::Listing;
use super::matching::{Filter, SyntaxError, Verdict};
use super::refusal::Refusal;

/// All scans.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    records: BTreeMap<u64, ScanRecord>,
    next: u64,
    pub(crate) wake: Arc<Notify>,
}

#[derive(Debug)]
struct ScanRecord {
    owner: NodeId,
    kind: ScanKind,
    filter: Option<Filter>,
    idle: Duration,
    dies: Timestamp,
    shown: HashSet<Arc<str>>,
}

impl State {
    /// Begins a scan.
    pub(crate) fn start_scan(
        &mut self,
        owner: &NodeId,
        kind: ScanKind,
        idle: Duration,
        constraints: Option<&str>,
    ) -> Result<u64, Refusal> {
        let filter = constraints
            .map(Filter::read)
            .transpose()
            .map_err(|error: SyntaxError| Refusal::new(400, format!("Invalid constraint. {error}")))?;
        let id = self.scans.next;
        self.scans.next += 1;
        let dies = after(self.now, idle);
        let shown = HashSet::new();
        self.scans.records.insert(id, ScanRecord { owner: owner.clone(), kind, filter, idle, dies, shown });
        Ok(id)
    }

    /// The offers or demands that a scan hasn't shown yet. Asking keeps it alive.
    pub(crate) fn scan_more(
        &mut self,
        caller: &NodeId,
        id: &str,
        max: usize,
        peer: Option<&NodeId>,
    ) -> Result<Vec<Listing>, Refusal> {
        let number = self.check_scan(caller, id)?;
        let mut record = self.scans.records.remove(&number).ok_or_else(|| not_found(id))?;
        record.dies = after(self.now, record.idle);
        let suits = |properties: &Properties| {
            record.filter.as_ref().is_none_or(|filter| filter.judge(properties) == Verdict::True)
        };
        let fresh = |listing: &Listing| {
            !record.shown.contains(&listing.id)
                && peer.is_none_or(|peer| listing.owner == *peer)
                && suits(&listing.sheet.properties)
        };
        let found: Vec<_> = match record.kind {
            ScanKind::Offer => self.live_offers().filter(fresh).take(max).collect(),
            // It can be asked for demands, but never finds any.
            ScanKind::Demand => Vec::new(),
        };
        record.shown.extend(found.iter().map(|listing| Arc::clone(&listing.id)));
        self.scans.records.insert(number, record);
        Ok(found)
    }

    /// Ends a scan.
    pub(crate) fn end_scan(&mut self, caller: &NodeId, id: &str) -> Result<(), Refusal> {
        let number = self.check_scan(caller, id)?;
        self.scans.records.remove(&number);
        self.scans.wake.notify_waiters();
        Ok(())
    }

    /// Forgets all scans, as a daemon does that is started again.
    pub(crate) fn forget_scans(&mut self) {
        self.scans.records.clear();
        self.scans.wake.notify_waiters();
    }

    fn check_scan(&mut self, caller: &NodeId, id: &str) -> Result<u64, Refusal> {
        let now = self.now;
        self.scans.records.retain(|_, scan| scan.dies > now);
        let number = id.parse().map_err(|_| not_found(id))?;
        match self.scans.records.get(&number) {
            None => Err(not_found(id)),
            Some(scan) if scan.owner != *caller => Err(Refusal::new(403, "Access denied")),
            Some(_) => Ok(number),
        }
    }
}

fn not_found(id: &str) -> Refusal {
    Refusal::new(404, format!("Iterator with id \"{id}\" not found"))
}
