//! Allocations: money set aside, spent by accepted bills, given back at the end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use serde_json::{Value, json};
use yagna_api::payment::{Allocation, AllocationChange, Expenditure, NewAllocation};
use yagna_api::time::after;
use yagna_api::{ActivityId, AgreementId, AllocationId, Glm, NodeId, Timestamp};

use super::refusal::{Form, Refusal};
use super::world::State;

const DEFAULT_PLATFORM: &str = "erc20-holesky-tglm";
const DEFAULT_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const ALLOCATIONS: &str = "/payment-api/v1/allocations";

/// The chains this daemon knows, and the token on each.
const NETWORKS: [(&str, &str); 9] = [
    ("mainnet", "glm"),
    ("rinkeby", "tglm"),
    ("goerli", "tglm"),
    ("holesky", "tglm"),
    ("hoodi", "tglm"),
    ("sepolia", "tglm"),
    ("polygon", "glm"),
    ("mumbai", "tglm"),
    ("amoy", "tglm"),
];

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

/// A chain that this daemon knows?
pub(crate) fn is_network(name: &str) -> bool {
    NETWORKS.iter().any(|(network, _)| *network == name)
}

/// `erc20-holesky-tglm` taken apart, and its token as accounts write it.
pub(crate) fn platform_parts(platform: &str) -> (String, String, String) {
    let mut parts = platform.splitn(3, '-').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let (driver, network, token) = (next(), next(), next());
    let token = if token == "tglm" { "tGLM".to_owned() } else { token.to_uppercase() };
    (driver, network, token)
}

impl State {
    /// Sets money aside.
    pub(crate) fn create_allocation(
        &mut self,
        owner: &NodeId,
        new: NewAllocation,
        request: &Value,
    ) -> Result<Allocation, Refusal> {
        let platform = read_platform(new.payment_platform.as_ref(), request)?;
        let address = new.address.filter(|address| !address.is_empty()).unwrap_or_else(|| owner.to_string());
        if !address.eq_ignore_ascii_case(owner.as_str()) {
            return Err(problem(
                500,
                json!({
                    "type": format!("{ALLOCATIONS}/internal-error"),
                    "instance": format!("{ALLOCATIONS}/internal-error"),
                    "detail": format!("Account not registered: {address}"),
                }),
            ));
        }
        if let Some(timeout) = new.timeout.filter(|timeout| *timeout <= self.now) {
            return Err(problem(
                400,
                json!({
                    "type": format!("{ALLOCATIONS}/validation-error"),
                    "instance": format!("{ALLOCATIONS}/validation-error/timeout-passed"),
                    "detail": "Requested allocation timeout is in the past",
                    "requestedTimeout": timeout.to_string(),
                    "paymentPlatform": platform,
                    "address": address,
                    "requestBody": request,
                }),
            ));
        }
        self.check_funds(owner, new.total_amount, Glm::ZERO, &platform, &address, request)?;
        let document = Allocation {
            allocation_id: AllocationId::new(self.uuid()),
            address,
            payment_platform: platform.clone(),
            total_amount: new.total_amount,
            spent_amount: Glm::ZERO,
            remaining_amount: new.total_amount,
            timestamp: self.now,
            timeout: Some(new.timeout.unwrap_or_else(|| after(self.now, DEFAULT_LIFE))),
            created_ts: Some(self.now),
            updated_ts: Some(self.now),
            make_deposit: new.make_deposit,
            deposit: new.deposit,
            extend_timeout: new.extend_timeout,
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
        change: AllocationChange,
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
            self.check_funds(
                owner,
                new.remaining_amount,
                current.remaining_amount,
                platform,
                address,
                &Value::Null,
            )?;
        }
        if let Some(timeout) = change.timeout {
            if timeout <= self.now {
                return Err(Refusal::new(400, "Requested allocation timeout is in the past"));
            }
            new.timeout = Some(timeout);
        }
        if change.deposit.is_some() {
            if current.deposit.is_none() {
                return Err(Refusal::new(400, "Allocation has no deposit to change"));
            }
            new.deposit = change.deposit;
        }
        new.updated_ts = Some(self.now);
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
        let record = self.allocations.records.get_mut(id).filter(|record| record.owner == *owner);
        let record = record.ok_or_else(|| Refusal::new(400, format!("Allocation {id} not found")))?;
        if record.is_released(now) {
            return Err(already_released(id));
        }
        let document = &mut record.document;
        let rest = document.remaining_amount.checked_sub(amount).filter(|rest| *rest >= Glm::ZERO);
        let (Some(rest), Some(spent)) = (rest, document.spent_amount.checked_add(amount)) else {
            return Err(Refusal::new(
                400,
                format!("Not enough funds. Allocated: {} Needed: {amount}", document.remaining_amount),
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

    /// What was taken from an allocation, and for whom.
    pub(crate) fn expenditures(
        &self,
        owner: &NodeId,
        id: &AllocationId,
    ) -> Result<Vec<Expenditure>, Refusal> {
        let record = self.allocation(owner, id)?;
        Ok(record
            .spent_for
            .iter()
            .map(|((agreement, activity), amount)| Expenditure {
                allocation_id: id.clone(),
                agreement_id: agreement.clone(),
                activity_id: activity.clone(),
                accepted_amount: *amount,
                scheduled_amount: *amount,
            })
            .collect())
    }

    /// What a demand must say of payment for these allocations.
    pub(crate) fn decorations(&self, owner: &NodeId, ids: &[&str]) -> Result<Value, Refusal> {
        let mut properties = Vec::new();
        let mut constraints: Vec<String> = Vec::new();
        let mut deposit = false;
        for id in ids {
            let document = &self.allocation(owner, &AllocationId::new(id))?.document;
            let key = format!("golem.com.payment.platform.{}.address", document.payment_platform);
            let filter = format!("({key}=*)");
            if !constraints.contains(&filter) {
                properties.push(json!({"key": key, "value": document.address}));
                constraints.push(filter);
            }
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
        request: &Value,
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
        Err(problem(
            400,
            json!({
                "type": format!("{ALLOCATIONS}/validation-error"),
                "instance": format!("{ALLOCATIONS}/validation-error/insufficient-account-funds"),
                "detail": format!("Insufficient funds to make allocation for payment platform {platform}"),
                "requestedFunds": wanted,
                "availableFunds": free,
                "reservedFunds": reserved,
                "paymentPlatform": platform,
                "address": address,
                "requestBody": request,
            }),
        ))
    }
}

fn already_released(id: &AllocationId) -> Refusal {
    Refusal::new(410, format!("Allocation {id} has been already released"))
}

fn problem(status: u16, document: Value) -> Refusal {
    Refusal { status, form: Form::Problem(document) }
}

fn read_platform(given: Option<&Value>, request: &Value) -> Result<String, Refusal> {
    let bad = |error: String| {
        problem(
            400,
            json!({
                "type": format!("{ALLOCATIONS}/bad-payment-platform"),
                "detail": "Payment platform doesn't parse",
                "parseError": error,
                "requestBody": request,
                "requestedPaymentPlatform": given,
            }),
        )
    };
    let token_of =
        |network: &str| NETWORKS.iter().find(|(name, _)| *name == network).map(|(_, token)| *token);
    match given {
        None | Some(Value::Null) => Ok(DEFAULT_PLATFORM.to_owned()),
        Some(Value::String(text)) if text.is_empty() => Ok(DEFAULT_PLATFORM.to_owned()),
        Some(Value::String(text)) => {
            let parts: Vec<_> = text.split('-').collect();
            let [driver, network, token] = parts[..] else {
                return Err(bad(format!("{text}: expected driver-network-token")));
            };
            if driver != "erc20" {
                return Err(bad(format!("Driver {driver} not found")));
            }
            match token_of(network) {
                None => Err(bad(format!("Network {network} not found"))),
                Some(known) if known != token => Err(bad(format!("Token {token} not found on {network}"))),
                Some(_) => Ok(text.clone()),
            }
        }
        Some(Value::Object(fields)) => {
            let field = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_lowercase);
            let driver = field("driver").unwrap_or_else(|| "erc20".to_owned());
            let token = field("token");
            let network = field("network").unwrap_or_else(|| {
                if token.as_deref() == Some("glm") { "polygon".to_owned() } else { "holesky".to_owned() }
            });
            let known = token_of(&network).ok_or_else(|| bad(format!("Network {network} not found")))?;
            if driver != "erc20" {
                return Err(bad(format!("Driver {driver} not found")));
            }
            if let Some(token) = token.filter(|token| token != known) {
                return Err(bad(format!("Token {token} not found on {network}")));
            }
            Ok(format!("{driver}-{network}-{known}"))
        }
        Some(other) => Err(bad(format!("{other}: expected a string or an object"))),
    }
}
