//! `market`: a row for each offer, the least expensive first.

use golem_core::offer::Gpu;
use serde::Serialize;
use yagna_api::{Glm, NodeId, Timestamp};

use super::json::{VERSION, line};
use super::kept::Room;
use super::table::{Column, Table};
use super::text::{clean, money, money_places, plural};

/// Characters of a name that are always shown.
const NAME: usize = 24;

/// The offers that were seen.
#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) subnet: String,
    pub(crate) offers: Vec<Offered>,
    /// Offers that can't be read.
    pub(crate) unreadable: u64,
}

/// One offer.
#[derive(Debug, Serialize)]
pub(crate) struct Offered {
    pub(crate) name: String,
    pub(crate) provider: NodeId,
    pub(crate) offer: String,
    pub(crate) published: Timestamp,
    /// GLM for an hour at full use.
    pub(crate) per_hour: Glm,
    /// GLM for the start.
    pub(crate) start: Glm,
    pub(crate) threads: u32,
    pub(crate) mem_gib: Option<f64>,
    pub(crate) storage_gib: Option<f64>,
    pub(crate) runtime: Option<String>,
    pub(crate) runtime_version: Option<String>,
    pub(crate) gpu: Option<Gpu>,
}

#[derive(Serialize)]
struct MarketJson<'a> {
    #[serde(rename = "type")]
    of: &'static str,
    version: u32,
    subnet: &'a str,
    unreadable: u64,
    per_hour: Option<Percentiles>,
    offers: &'a [Offered],
}

/// Prices of an hour: so many in a hundred offers ask for no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Percentiles {
    p10: Glm,
    p50: Glm,
    p90: Glm,
}

impl Market {
    /// The spread of the prices; the offers are in their order.
    fn percentiles(&self) -> Option<Percentiles> {
        let at = |percent: usize| {
            let place = (self.offers.len() * percent).div_ceil(100).saturating_sub(1);
            self.offers.get(place).map(|offer| offer.per_hour)
        };
        Some(Percentiles { p10: at(10)?, p50: at(50)?, p90: at(90)? })
    }

    /// The table.
    pub(crate) fn text(&self, room: Room) -> String {
        if self.offers.is_empty() {
            return String::new();
        }
        let places = money_places(self.offers.iter().map(|offer| offer.per_hour));
        let starts = money_places(self.offers.iter().map(|offer| offer.start));
        let has_gpus = self.offers.iter().any(|offer| offer.gpu.is_some());
        let mut columns = vec![
            Column::text("provider").at_least(NAME),
            Column::number("GLM/hour"),
            Column::number("GLM at start").rank(2),
            Column::number("threads").rank(1),
            Column::number("GiB memory").rank(3),
            Column::number("GiB storage").rank(5),
            Column::text("runtime").rank(4),
        ];
        if has_gpus {
            columns.push(Column::text("GPU").rank(2));
        }
        columns.push(Column::text("id").rank(6));
        let mut table = Table::new(columns);
        let gib = |gib: Option<f64>| gib.map(|gib| format!("{gib:.0}")).unwrap_or_default();
        for offer in &self.offers {
            let mut cells = vec![
                clean(&offer.name),
                money(offer.per_hour, places),
                money(offer.start, starts),
                offer.threads.to_string(),
                gib(offer.mem_gib),
                gib(offer.storage_gib),
                offer.runtime.clone().unwrap_or_default(),
            ];
            if has_gpus {
                cells.push(offer.gpu.as_ref().map(ToString::to_string).unwrap_or_default());
            }
            cells.push(offer.provider.to_string());
            table.row(cells);
        }
        table.text(room.width)
    }

    /// The number of offers and the spread of their prices, for standard error.
    pub(crate) fn note(&self) -> String {
        let unreadable = match self.unreadable {
            0 => String::new(),
            n => format!("; {} can't be read", plural(n, "more offer")),
        };
        let Some(Percentiles { p10, p50, p90 }) = self.percentiles() else {
            return format!(
                "no such offers are known in the subnet `{}`{unreadable}\n  try: a daemon that was just started hears of \
                 offers within minutes: look longer with --for 1m\n",
                self.subnet
            );
        };
        let places = money_places([p10, p50, p90]);
        format!(
            "{} in the subnet `{}`{unreadable}; GLM for an hour: {} (p10), {} (p50), {} (p90)\n",
            plural(self.offers.len() as u64, "offer"),
            self.subnet,
            money(p10, places),
            money(p50, places),
            money(p90, places),
        )
    }

    /// The offers as one JSON object.
    pub(crate) fn json(&self) -> String {
        line(&MarketJson {
            of: "market",
            version: VERSION,
            subnet: &self.subnet,
            unreadable: self.unreadable,
            per_hour: self.percentiles(),
            offers: &self.offers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_prices_that_so_many_offers_do_not_pass() {
        let offer = |price: usize| Offered {
            name: format!("p{price}"),
            provider: format!("0x{price:040x}").parse().unwrap(),
            offer: String::new(),
            published: Timestamp::UNIX_EPOCH,
            per_hour: price.to_string().parse().unwrap(),
            start: Glm::ZERO,
            threads: 4,
            mem_gib: Some(8.0),
            storage_gib: None,
            runtime: None,
            runtime_version: None,
            gpu: None,
        };
        let market = |n: usize| Market {
            subnet: "public".into(),
            offers: (1..=n).map(offer).collect(),
            unreadable: 0,
        };
        let glm = |text: &str| text.parse::<Glm>().unwrap();
        let of = |n| market(n).percentiles();
        assert_eq!(of(0), None);
        assert_eq!(of(1), Some(Percentiles { p10: glm("1"), p50: glm("1"), p90: glm("1") }));
        assert_eq!(of(10), Some(Percentiles { p10: glm("1"), p50: glm("5"), p90: glm("9") }));
        assert_eq!(of(200), Some(Percentiles { p10: glm("20"), p50: glm("100"), p90: glm("180") }));
        assert!(market(0).note().contains("no such offers are known in the subnet `public`"));
    }
}
