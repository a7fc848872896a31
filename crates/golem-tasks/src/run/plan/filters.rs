//! The requirements of a payload one by one, to say by which of them an offer is left out.
//!
//! The market itself decides which offers match; this only finds words for those that didn't.

use golem_core::payload::Payload;
use serde_json::Value;
use yagna_api::Properties;
use yagna_api::constraints::{Constraints, Operator};
use yagna_api::properties::name;

/// The requirements of a payload.
pub(super) struct Filters(Vec<Constraints>);

impl Filters {
    /// Those of this payload.
    pub(super) fn of(payload: &Payload) -> Self {
        match payload.constraints() {
            Constraints::All(parts) => Self(parts),
            Constraints::Anything => Self(Vec::new()),
            other => Self(vec![other]),
        }
    }

    /// The first requirement that an offer doesn't meet, in words.
    pub(super) fn refusal(&self, offer: &Properties) -> String {
        let unmet = self.0.iter().find(|filter| holds(filter, offer) == Some(false));
        unmet.map_or_else(|| "doesn't match the payload's constraints".to_owned(), in_words)
    }
}

/// True or false where that is known.
fn holds(filter: &Constraints, offer: &Properties) -> Option<bool> {
    match filter {
        Constraints::Anything => Some(true),
        Constraints::All(parts) => {
            let all: Vec<_> = parts.iter().map(|part| holds(part, offer)).collect();
            if all.contains(&Some(false)) {
                Some(false)
            } else {
                all.into_iter().collect::<Option<Vec<_>>>().map(|_| true)
            }
        }
        Constraints::Any(parts) => {
            let all: Vec<_> = parts.iter().map(|part| holds(part, offer)).collect();
            if all.contains(&Some(true)) {
                Some(true)
            } else {
                all.into_iter().collect::<Option<Vec<_>>>().map(|_| false)
            }
        }
        Constraints::Not(part) => holds(part, offer).map(|is| !is),
        Constraints::Present(name) => Some(offer.get(name).is_some()),
        Constraints::Compare { name, operator, value } => {
            let name = name.split_once('$').map_or(name.as_str(), |(name, _)| name);
            match offer.get(name) {
                None => Some(false),
                Some(Value::Array(items)) => Some(items.iter().any(|item| compares(item, *operator, value))),
                Some(offered) => Some(compares(offered, *operator, value)),
            }
        }
    }
}

fn compares(offered: &Value, operator: Operator, wanted: &str) -> bool {
    let order = match (offered, wanted.parse::<f64>()) {
        (Value::Number(number), Ok(wanted)) => number.as_f64().and_then(|number| number.partial_cmp(&wanted)),
        (Value::String(text), _) => Some(match (numbers(text), numbers(wanted)) {
            (Some(text), Some(wanted)) => text.cmp(&wanted),
            _ => text.as_str().cmp(wanted),
        }),
        (other, _) => Some(other.to_string().as_str().cmp(wanted)),
    };
    let Some(order) = order else { return false };
    match operator {
        Operator::Equal => order.is_eq(),
        Operator::Less => order.is_lt(),
        Operator::AtMost => order.is_le(),
        Operator::Greater => order.is_gt(),
        Operator::AtLeast => order.is_ge(),
    }
}

/// The numbers of a version.
fn numbers(version: &str) -> Option<Vec<u64>> {
    version.split('.').map(|number| number.parse().ok()).collect()
}

/// The reason for which an offer is left out by a requirement.
fn in_words(filter: &Constraints) -> String {
    match filter {
        Constraints::Compare { name, operator: Operator::AtLeast, value } if name == name::MEMORY_GIB => {
            format!("less than {value} GiB of memory")
        }
        Constraints::Compare { name, operator: Operator::AtLeast, value } if name == name::STORAGE_GIB => {
            format!("less than {value} GiB of storage")
        }
        Constraints::Compare { name, operator: Operator::AtLeast, value } if name == name::CPU_THREADS => {
            format!("fewer than {value} CPU threads")
        }
        Constraints::Compare { name, operator: Operator::AtLeast, value } if name == name::CPU_CORES => {
            format!("fewer than {value} CPU cores")
        }
        Constraints::Compare { name, operator: Operator::Equal, value } if name == name::RUNTIME_NAME => {
            format!("another runtime than `{value}`")
        }
        Constraints::Compare { name, operator: Operator::Equal, value }
            if name == name::RUNTIME_CAPABILITIES =>
        {
            format!("without the capability `{value}`")
        }
        other => format!("doesn't meet `{other}`"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_offer_is_left_out_by_the_first_requirement_that_it_does_not_meet() {
        let offer = Properties::new()
            .with(name::MEMORY_GIB, 4.0)
            .with(name::CPU_THREADS, 8)
            .with(name::RUNTIME_NAME, "vm")
            .with(name::RUNTIME_CAPABILITIES, json!(["vpn", "inet"]))
            .with("golem.runtime.version", "0.3.10");
        let of = |text: &str| Filters(vec![text.parse().unwrap()]).refusal(&offer);
        let unknown = "doesn't match the payload's constraints";
        for (filter, reason) in [
            ("(golem.inf.mem.gib>=8)", "less than 8 GiB of memory"),
            ("(golem.inf.mem.gib>=4)", unknown),
            ("(golem.inf.cpu.threads>=16)", "fewer than 16 CPU threads"),
            ("(golem.runtime.name=vm-nvidia)", "another runtime than `vm-nvidia`"),
            ("(golem.runtime.capabilities=inet)", unknown),
            ("(golem.runtime.capabilities=gpu)", "without the capability `gpu`"),
            ("(golem.runtime.version$v>=0.3.9)", unknown),
            ("(golem.runtime.version$v<0.3.9)", "doesn't meet `(golem.runtime.version$v<0.3.9)`"),
            ("(!(golem.runtime.name=vm))", "doesn't meet `(!(golem.runtime.name=vm))`"),
            ("(golem.inf.gpu.model=*)", "doesn't meet `(golem.inf.gpu.model=*)`"),
            ("(|(a=1)(golem.inf.mem.gib>2))", unknown),
        ] {
            assert_eq!(of(filter), reason, "{filter}");
        }
    }
}
