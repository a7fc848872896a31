//! Allocations: money set aside, spent by accepted bills, given back at the end.

pub(crate) mod platform;
pub(crate) mod request;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use yagna_api::payment::{Allocation, Expenditure};
use yagna_api::time::after;
use yagna_api::{ActivityId, AgreementId, AllocationId, Glm, NodeId, Timestamp};

use self::platform::NamedPlatform;
use self::request::{AllocationUpdate, DepositRequest, NewAllocation};
use super::State;
use super::refusal::{Form, Refusal};

const DEFAULT_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const ALLOCATIONS: &str = "/payment-api/v1/allocations";

/// All allocations, and which accounts can pay.
#[derive(Debug, Default)]
pub(crate) struct Allocations {
    pub(crate) records: HashMap<AllocationId, AllocationRecord>,
    order: Vec<AllocationId>,
    /// Accounts that have been initialised for paying.
    pub(crate) senders: HashSet<(NodeId, String)>,
}

#[derive(Debug)]
pub(crate) struct AllocationRecord {
    pub(crate) owner: NodeId,
    pub(crate) document: Allocation,
    pub(crate) released: bool,
    spent_for: BTreeMap<(AgreementId, Option<ActivityId>), Glm>,
}

impl AllocationRecord {
    /// Given back by its owner, or by the daemon at its time-out.
    pub(crate) fn is_released(&self, now: Timestamp) -> bool {
        self.released || self.document.timeout.is_some_and(|timeout| timeout <= now)
    }
}

impl State {
    /// Sets money aside.
    pub(crate) fn create_allocation(
        &mut self,
        owner: &NodeId,
        request: &NewAllocation,
    ) -> Result<Allocation, Refusal> {
        let platform = NamedPlatform::resolve(request.payment_platform.as_ref()).map_err(|error| {
            problem(
                400,
                json!({
                    "type": format!("{ALLOCATIONS}/bad-payment-platform"),
                    "detail": "Payment platform doesn't parse",
                    "parseError": error,
                    "requestBody": request,
                    "requestedPaymentPlatform": request.payment_platform,
                }),
            )
        })?;
        let address = request.address.clone().unwrap_or_else(|| owner.to_string());
        if !address.eq_ignore_ascii_case(owner.as_str()) {
            return Err(not_ours(&address, request));
        }
        let refused = |name: &str, detail: &str, more: Value| {
            refused_request(name, detail, &platform, &address, Some(request), more)
        };
        if let Some(timeout) = request.timeout.filter(|timeout| *timeout <= self.now) {
            return Err(refused(
                "timeout-passed",
                "Requested allocation timeout is in the past",
                json!({"requestedTimeout": timeout}),
            ));
        }
        if request.deposit.as_ref().is_some_and(|deposit| !is_address(&deposit.contract)) {
            return Err(refused("malformed-deposit-contract", "Invalid deposit contract address", json!({})));
        }
        self.check_funds(owner, request.total_amount, Glm::ZERO, &platform, &address, Some(request))?;
        let deposit = request.deposit.as_ref();
        let document = Allocation {
            allocation_id: AllocationId::new(self.uuid()),
            address,
            payment_platform: platform.clone(),
            total_amount: request.total_amount,
            spent_amount: Glm::ZERO,
            remaining_amount: request.total_amount,
            timestamp: self.now,
            timeout: Some(request.timeout.unwrap_or_else(|| after(self.now, DEFAULT_LIFE))),
            created_ts: Some(self.now),
            updated_ts: Some(self.now),
            // Both mean something for deposits only, and are forgotten without one.
            make_deposit: deposit.is_some() && request.make_deposit,
            extend_timeout: deposit.and(request.extend_timeout),
            deposit: deposit.map(DepositRequest::document),
        };
        let id = document.allocation_id.clone();
        let record = AllocationRecord {
            owner: owner.clone(),
            document: document.clone(),
            released: false,
            spent_for: BTreeMap::new(),
        };
        self.allocations.records.insert(id.clone(), record);
        self.allocations.order.push(id);
        self.allocations.senders.insert((owner.clone(), platform));
        Ok(document)
    }

    /// All allocations ever made, oldest first.
    pub(crate) fn all_allocations(&self) -> impl Iterator<Item = &Allocation> {
        self.allocations.order.iter().map(|id| &self.allocations.records[id].document)
    }

    /// The caller's own allocation, unless it is released.
    pub(crate) fn allocation(&self, owner: &NodeId, id: &AllocationId) -> Result<&AllocationRecord, Refusal> {
        self.allocations
            .records
            .get(id)
            .filter(|record| record.owner == *owner && !record.is_released(self.now))
            .ok_or_else(|| Refusal::null(404))
    }

    /// The caller's own allocations that aren't released, the one changed first first.
    pub(crate) fn list_allocations(
        &self,
        owner: &NodeId,
        after: Option<Timestamp>,
        max: usize,
    ) -> Vec<Allocation> {
        let mut list: Vec<_> = self
            .allocations
            .order
            .iter()
            .map(|id| &self.allocations.records[id])
            .filter(|record| record.owner == *owner && !record.is_released(self.now))
            .filter(|record| {
                after.is_none_or(|after| record.document.timeout.is_some_and(|timeout| timeout > after))
            })
            .map(|record| record.document.clone())
            .collect();
        list.sort_by_key(|document| document.updated_ts);
        list.truncate(max);
        list
    }

    /// More or less money, an earlier or later end.
    pub(crate) fn amend_allocation(
        &mut self,
        owner: &NodeId,
        id: &AllocationId,
        change: &AllocationUpdate,
    ) -> Result<Allocation, Refusal> {
        let current = self.allocation(owner, id)?.document.clone();
        let mut new = current.clone();
        if let Some(total) = change.total_amount {
            if total < current.spent_amount {
                return Err(Refusal::new(
                    400,
                    "New allocation would be smaller than the already spent amount",
                ));
            }
            let rest = total.checked_sub(current.spent_amount);
            new.total_amount = total;
            new.remaining_amount = rest.ok_or_else(|| Refusal::new(400, "Amount out of range"))?;
            let (platform, address) = (&current.payment_platform, &current.address);
            self.check_funds(owner, new.remaining_amount, current.remaining_amount, platform, address, None)?;
        }
        if let Some(timeout) = change.timeout {
            if timeout <= self.now {
                return Err(Refusal::new(400, "New allocation timeout is in the past"));
            }
            new.timeout = Some(timeout);
        }
        if let Some(deposit) = &change.deposit {
            if current.deposit.is_none() {
                return Err(Refusal::new(400, "Cannot update deposit of an allocation created without one"));
            }
            new.deposit = Some(deposit.document());
        }
        // The daemon leaves the time of the last change as it is.
        if let Some(record) = self.allocations.records.get_mut(id) {
            record.document = new.clone();
        }
        Ok(new)
    }

    /// Gives back what isn't spent.
    pub(crate) fn release_allocation(&mut self, owner: &NodeId, id: &AllocationId) -> Result<(), Refusal> {
        let now = self.now;
        match self.allocations.records.get_mut(id).filter(|record| record.owner == *owner) {
            None => Err(Refusal::null(404)),
            Some(record) if record.is_released(now) => Err(already_released(id)),
            Some(record) => {
                record.released = true;
                Ok(())
            }
        }
    }

    /// Takes an accepted bill's increase out of an allocation.
    pub(crate) fn spend(
        &mut self,
        owner: &NodeId,
        id: &AllocationId,
        amount: Glm,
        agreement: &AgreementId,
        activity: Option<&ActivityId>,
    ) -> Result<(), Refusal> {
        let now = self.now;
        let record = self.allocations.records.get_mut(id);
        let record = record
            .filter(|record| record.owner == *owner && !record.is_released(now))
            .ok_or_else(|| Refusal::new(400, format!("Allocation {id} not found")))?;
        let document = &mut record.document;
        let rest = document.remaining_amount.checked_sub(amount).filter(|rest| *rest >= Glm::ZERO);
        let (Some(rest), Some(spent)) = (rest, document.spent_amount.checked_add(amount)) else {
            return Err(Refusal::new(
                400,
                format!("Not enough funds. Allocated: {} Needed: {amount}", as_kept(document)),
            ));
        };
        if amount > Glm::ZERO {
            document.remaining_amount = rest;
            document.spent_amount = spent;
            document.updated_ts = Some(now);
            let sum = record.spent_for.entry((agreement.clone(), activity.cloned())).or_default();
            *sum = sum.checked_add(amount).unwrap_or(*sum);
        }
        Ok(())
    }

    /// The amounts taken from an allocation, released or not, with what they were for.
    pub(crate) fn expenditures(
        &self,
        owner: &NodeId,
        id: &AllocationId,
    ) -> Result<Vec<Expenditure>, Refusal> {
        let record = self.allocations.records.get(id).filter(|record| record.owner == *owner);
        let record = record.ok_or_else(|| Refusal::null(404))?;
        Ok(record
            .spent_for
            .iter()
            .map(|((agreement, activity), amount)| Expenditure {
                allocation_id: id.clone(),
                agreement_id: agreement.clone(),
                activity_id: activity.clone(),
                accepted_amount: *amount,
                scheduled_amount: self.scheduled_for(id, agreement, activity.as_ref()),
            })
            .collect())
    }

    /// The properties of payment that a demand needs for these allocations.
    pub(crate) fn decorations(&self, owner: &NodeId, ids: &[&str]) -> Result<Value, Refusal> {
        let mut properties = Vec::new();
        let mut constraints: Vec<String> = Vec::new();
        let mut deposit = false;
        // They come in the order of their ids; one that is named twice isn't found the second time.
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Refusal::null(404));
        }
        for id in ids {
            let document = &self.allocation(owner, &AllocationId::new(id))?.document;
            let key = format!("golem.com.payment.platform.{}.address", document.payment_platform);
            constraints.push(format!("({key}=*)"));
            properties.push(json!({"key": key, "value": document.address}));
            deposit |= document.deposit.is_some();
        }
        properties.push(json!({"key": "golem.com.payment.protocol.version", "value": "3"}));
        let platforms = match constraints.as_slice() {
            [one] => one.clone(),
            many => format!("(|\n  {}\n)", many.join("\n  ")),
        };
        let version = if deposit { 2 } else { 1 };
        Ok(json!({
            "properties": properties,
            "constraints": [platforms, format!("(golem.com.payment.protocol.version>{version})")],
        }))
    }

    fn check_funds(
        &self,
        owner: &NodeId,
        wanted: Glm,
        given_back: Glm,
        platform: &str,
        address: &str,
        request: Option<&NewAllocation>,
    ) -> Result<(), Refusal> {
        let Some(funds) = self.nodes.get(owner).and_then(|node| node.funds) else {
            return Ok(());
        };
        let reserved: Glm = self
            .allocations
            .records
            .values()
            .filter(|record| record.owner == *owner && !record.is_released(self.now))
            .map(|record| record.document.remaining_amount)
            .sum();
        let reserved = reserved.checked_sub(given_back).unwrap_or(reserved);
        let free = funds.checked_sub(reserved).unwrap_or(Glm::ZERO);
        if wanted <= free {
            return Ok(());
        }
        Err(refused_request(
            "insufficient-account-funds",
            &format!("Insufficient funds to make allocation for payment platform {platform}"),
            platform,
            address,
            request,
            json!({"requestedFunds": wanted, "availableFunds": free, "reservedFunds": reserved}),
        ))
    }
}

impl DepositRequest {
    fn document(&self) -> Value {
        json!({"id": self.id, "contract": self.contract})
    }
}

/// The refusal of a request that can be read.
fn refused_request(
    name: &str,
    detail: &str,
    platform: &str,
    address: &str,
    request: Option<&impl Serialize>,
    more: Value,
) -> Refusal {
    let mut document = json!({
        "type": format!("{ALLOCATIONS}/validation-error"),
        "instance": format!("{ALLOCATIONS}/validation-error/{name}"),
        "detail": detail,
        "paymentPlatform": platform,
        "address": address,
        "requestBody": request,
    });
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    problem(400, document)
}

/// The refusal to pay from an address that isn't the caller's.
fn not_ours(address: &str, request: &impl Serialize) -> Refusal {
    let why = if is_address(address) {
        format!("Account {} not found in active accounts", address.to_lowercase())
    } else {
        format!("Error when parsing identity key: {address} - Invalid input length")
    };
    problem(
        500,
        json!({
            "type": format!("{ALLOCATIONS}/internal-error"),
            "detail": "Unhandled internal error",
            "internalError": format!("Failed to initialize account on driver: erc20 due to error {why}"),
            "requestBody": request,
        }),
    )
}

/// The rest of an allocation as the daemon's database writes it: once something was spent, whole amounts have a point
/// too.
fn as_kept(document: &Allocation) -> String {
    let left = document.remaining_amount.to_string();
    if document.spent_amount.is_zero() || left.contains('.') { left } else { format!("{left}.0") }
}

fn is_address(text: &str) -> bool {
    text.strip_prefix("0x").is_some_and(|hex| hex.len() == 40 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn already_released(id: &AllocationId) -> Refusal {
    Refusal::new(410, format!("Allocation {id} has been already released"))
}

fn problem(status: u16, document: Value) -> Refusal {
    Refusal { status, form: Form::Problem(document) }
}
