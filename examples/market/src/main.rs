//! Lists who offers what on the Golem Network, and for how much. Nothing is agreed upon, and nothing is paid.

#![expect(clippy::print_stderr, reason = "a program speaks with people")]

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use golem_examples::{CANCELLED, Failure, Flags, ended};
use golem_sdk::market::OfferTerms;
use golem_sdk::market::{Offer, Offers, Scan};
use golem_sdk::payload::Payload;
use serde_json::{Value, json};
use yagna_api::Glm;
use yagna_api::properties::name;

/// The exit code when there are no offers.
const NOTHING: u8 = 1;

/// List the offers on the Golem Network with their prices, the least expensive first
///
/// The price an hour is that at full use of all threads. Ends with 0, or with 1 when there are no offers.
#[derive(Debug, Parser)]
struct Args {
    /// One JSON document a line, each as soon as its offer is seen, in place of a table
    #[arg(long)]
    json: bool,
    /// How long to look
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Only offers of this runtime, such as vm or vm-nvidia
    #[arg(long, value_name = "NAME")]
    runtime: Option<String>,
    /// Only machines with so many threads
    #[arg(long, value_name = "N")]
    min_threads: Option<u32>,
    /// Only machines with so many GiB of memory
    #[arg(long, value_name = "GIB")]
    min_memory: Option<f64>,
    #[command(flatten)]
    flags: Flags,
}

#[tokio::main]
async fn main() -> ExitCode {
    ended(list(Args::parse()).await)
}

async fn list(args: Args) -> Result<ExitCode, Failure> {
    let golem = args.flags.open().await?;
    let subnet = golem.subnet();
    let mut scan = Scan::new().subnet(&subnet).lasting(Duration::from_secs(args.seconds));
    if let Some(runtime) = &args.runtime {
        scan = scan.payload(&Payload::runtime(runtime));
    }
    if let Some(threads) = args.min_threads {
        scan = scan.constraint(format!("({}>={threads})", name::CPU_THREADS));
    }
    if let Some(gib) = args.min_memory {
        scan = scan.constraint(format!("({}>={gib})", name::MEMORY_GIB));
    }
    let mut offers = scan.start(&golem.client()?).await?;

    let mut found = Found { json: args.json, ..Found::default() };
    let stopped = tokio::select! {
        biased; // Ctrl+C is listened for before anything is shown.
        heard = tokio::signal::ctrl_c() => heard.map(|()| true)?,
        read = found.read(&mut offers) => read.map(|()| false)?,
    };
    if !args.json {
        found.print_table()?;
    }
    if stopped {
        return Ok(ExitCode::from(CANCELLED));
    }
    if found.rows.is_empty() {
        eprintln!("no such offers in the subnet `{subnet}` within {} s", args.seconds);
        return Ok(ExitCode::from(NOTHING));
    }
    Ok(ExitCode::SUCCESS)
}

/// The offers seen so far.
#[derive(Default)]
struct Found {
    json: bool,
    rows: Vec<(OfferTerms, Offer)>,
    unreadable: usize,
}

impl Found {
    async fn read(&mut self, offers: &mut Offers) -> Result<(), Failure> {
        while let Some(offer) = offers.try_next().await? {
            match offer.terms() {
                Ok(terms) => {
                    if self.json {
                        writeln!(io::stdout(), "{}", document(&terms, &offer))?;
                    }
                    self.rows.push((terms, offer));
                }
                // Whatever a stranger offers, it spoils only its own offer.
                Err(problem) => {
                    self.unreadable += 1;
                    eprintln!("an offer of {} can't be read: {problem}", offer.provider());
                }
            }
        }
        Ok(())
    }

    /// The table on standard output, how many there are beside it.
    fn print_table(&mut self) -> io::Result<()> {
        self.rows.sort_by_cached_key(|(terms, _)| (per_hour(terms), terms.name.clone()));
        let cells = self.rows.iter().map(|(terms, offer)| cells(terms, offer));
        let table: Vec<_> = [HEAD.map(String::from)].into_iter().chain(cells).collect();
        if !self.rows.is_empty() {
            write!(io::stdout(), "{}", aligned(&table))?;
        }
        let unreadable = match self.unreadable {
            0 => String::new(),
            n => format!(", {n} more can't be read"),
        };
        eprintln!("{} offers{unreadable}", self.rows.len());
        Ok(())
    }
}

const HEAD: [&str; 8] = ["provider", "id", "GLM/h", "start", "threads", "memory", "runtime", "subnet"];
/// Columns whose numbers end below one another.
const RIGHT: [usize; 4] = [2, 3, 4, 5];

fn cells(terms: &OfferTerms, offer: &Offer) -> [String; 8] {
    let memory =
        offer.properties().number(name::MEMORY_GIB).map_or_else(String::new, |gib| format!("{gib:.1}"));
    [
        terms.name.clone(),
        // The beginning is enough to tell them apart.
        offer.provider().as_str().chars().take(10).collect(),
        per_hour(terms).to_string(),
        terms.pricing.start_price().to_string(),
        terms.threads.to_string(),
        memory,
        text(offer, name::RUNTIME_NAME),
        text(offer, name::SUBNET),
    ]
}

fn document(terms: &OfferTerms, offer: &Offer) -> Value {
    json!({
        "provider": terms.name,
        "provider_id": offer.provider(),
        "offer_id": offer.id(),
        "published": offer.published().to_string(),
        "glm_per_hour": per_hour(terms).to_string(),
        "glm_start": terms.pricing.start_price().to_string(),
        "threads": terms.threads,
        "memory_gib": offer.properties().number(name::MEMORY_GIB),
        "storage_gib": offer.properties().number(name::STORAGE_GIB),
        "runtime": text(offer, name::RUNTIME_NAME),
        "runtime_version": text(offer, name::RUNTIME_VERSION),
        "subnet": text(offer, name::SUBNET),
        "platforms": terms.platforms,
    })
}

fn per_hour(terms: &OfferTerms) -> Glm {
    terms.pricing.per_hour(terms.threads)
}

/// A text of the offer, without what could upset a terminal.
fn text(offer: &Offer, property: &str) -> String {
    let text = offer.properties().text(property).unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(24).collect()
}

/// Columns as wide as their widest cell.
fn aligned(rows: &[[String; 8]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut table = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if RIGHT.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        table.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        table.push('\n');
    }
    table
}
