//! One `[[provider]]` of the config file.

use std::ops::Range;
use std::time::Duration;

use golem_devnet::provider::{
    ApprovalManner, Behaviour, Hardware, InvoiceManner, Limits, OfferFlaw, OfferedGpu, ProviderConfig,
    Vanishing,
};
use yagna_api::market::Reason;

use super::{Described, Reported, choice, optional, prices, schema, unknown_word, up_to, word};
use crate::devnet::MOST_PROVIDERS;
use crate::job::document::{Diagnostics, Entry, Section};

/// The reason of a provider that ends an agreement without giving its own.
const TERMINATES_BECAUSE: &str = "The provider feels like it.";

/// The content of one section: one provider, or several alike.
pub(super) struct Read {
    pub(super) providers: Vec<Described>,
    /// The position of the name, for messages about it.
    pub(super) name_span: Range<usize>,
}

pub(super) fn read(item: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Read> {
    let table = item.value.get_ref().as_table()?;
    let section = Section::open(table, item.span(), "[[provider]]".to_owned(), schema::PROVIDER, diagnostics);
    if section.lacks("name") {
        let help = "add for example name = \"adalbert\"";
        diagnostics.report_with_help(item.span(), "this provider has no name", help);
    }
    let name = section.get("name").and_then(|entry| Some((word(&entry, diagnostics)?, entry.span())));
    let count = optional(&section, "count", diagnostics, |entry, diagnostics| {
        up_to(entry, 1, MOST_PROVIDERS, diagnostics)
    });
    let hardware = hardware(&section, diagnostics);
    let gpu = optional(&section, "gpu", diagnostics, gpu);
    let runtime = optional(&section, "runtime", diagnostics, word);
    let capabilities = optional(&section, "capabilities", diagnostics, words);
    let subnet = optional(&section, "subnet", diagnostics, word);
    let prices = optional(&section, "prices", diagnostics, prices);
    let cpu_first = section.value_or("cpu_first", false, diagnostics, Entry::boolean);
    let limits = section.value_or("limits", Limits::default(), diagnostics, limits);
    let behaviour = section.value_or("behaviour", Behaviour::default(), diagnostics, behaviour);

    let (name, name_span) = name?;
    let usual = ProviderConfig::new(name.as_str());
    let usual = match gpu.ok()? {
        Some(gpu) => usual.with_gpu(gpu),
        None => usual,
    };
    let prices = prices.ok()?;
    let one = ProviderConfig {
        hardware: hardware?,
        gpu: usual.gpu,
        runtime_name: runtime.ok()?.unwrap_or(usual.runtime_name),
        capabilities: capabilities.ok()?.unwrap_or(usual.capabilities),
        subnet: subnet.ok()?,
        prices: prices.unwrap_or(usual.prices),
        cpu_first: cpu_first?,
        limits: limits?,
        behaviour: behaviour?,
        ..ProviderConfig::new(name.as_str())
    };
    let describe = |config| Described { config, has_prices: prices.is_some() };
    let providers = match count.ok()? {
        None => vec![describe(one)],
        Some(count) => (1..=count)
            .map(|number| describe(ProviderConfig { name: format!("{name}-{number}"), ..one.clone() }))
            .collect(),
    };
    Some(Read { providers, name_span })
}

/// Cores and threads follow from each other where one of them is left out: two threads a core.
fn hardware(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Hardware> {
    let usual = Hardware::default();
    let count = |entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>| entry.count(1, diagnostics);
    let cores = optional(section, "cores", diagnostics, count);
    let threads = optional(section, "threads", diagnostics, count);
    let memory_gib = section.value_or("memory_gib", usual.memory_gib, diagnostics, Entry::amount);
    let storage_gib = section.value_or("storage_gib", usual.storage_gib, diagnostics, Entry::amount);
    let (cores, threads) = match (cores.ok()?, threads.ok()?) {
        (None, None) => (usual.cores, usual.threads),
        (Some(cores), None) => (cores, cores.saturating_mul(2)),
        (None, Some(threads)) => (threads.div_ceil(2), threads),
        (Some(cores), Some(threads)) => (cores, threads),
    };
    Some(Hardware { cores, threads, memory_gib: memory_gib?, storage_gib: storage_gib? })
}

/// GPUs that the provider says it has.
fn gpu(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<OfferedGpu> {
    let example = "{ model = \"NVIDIA GeForce RTX 4090\", memory_gib = 24 }";
    let section = entry.table(schema::GPU, example, diagnostics)?;
    if section.lacks("model") {
        diagnostics.report_with_help(entry.span(), "`gpu` has no `model`", format!("for example {example}"));
        return None;
    }
    let model = section.get("model").and_then(|entry| entry.text(diagnostics).map(str::to_owned));
    let memory_gib = section.value_or("memory_gib", 24.0, diagnostics, Entry::amount);
    let quantity =
        section.value_or("quantity", 1, diagnostics, |entry, diagnostics| entry.count(1, diagnostics));
    Some(OfferedGpu { model: model?, memory_gib: memory_gib?, quantity: quantity? })
}

fn words(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Vec<String>> {
    let items = entry.list("a list of strings", diagnostics)?;
    let words: Vec<_> = items.iter().map(|item| word(item, diagnostics)).collect();
    words.into_iter().collect()
}

fn limits(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Limits> {
    let section = entry.table(schema::LIMITS, "{ agreements = 2, idle = \"5m\" }", diagnostics)?;
    let usual = Limits::default();
    let agreements =
        optional(&section, "agreements", diagnostics, |entry, diagnostics| entry.count(1, diagnostics));
    let mut time = |key, usual| section.value_or(key, usual, diagnostics, Entry::duration);
    let idle = time("idle", usual.idle);
    let min_expiration = time("min_expiration", usual.min_expiration);
    let max_expiration = time("max_expiration", usual.max_expiration);
    let debit_note_interval = time("debit_note_interval", usual.debit_note_interval);
    let accept_timeout = time("accept_timeout", usual.accept_timeout);
    let payment_timeout = time("payment_timeout", usual.payment_timeout);
    Some(Limits {
        agreements: agreements.ok()?.map_or(usual.agreements, |count| count as usize),
        idle: idle?,
        min_expiration: min_expiration?,
        max_expiration: max_expiration?,
        debit_note_interval: debit_note_interval?,
        accept_timeout: accept_timeout?,
        payment_timeout: payment_timeout?,
        ..usual
    })
}

fn behaviour(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<Behaviour> {
    let section = entry.table(schema::BEHAVIOUR, "{ slow = 3.0 }", diagnostics)?;
    let approval = section.value_or("approves", ApprovalManner::AtOnce, diagnostics, approves);
    let slowdown = section.value_or("slow", 1.0, diagnostics, slower);
    let bandwidth =
        optional(&section, "bandwidth", diagnostics, |entry, diagnostics| entry.count(1, diagnostics));
    let fails_commands = optional(&section, "fails_commands", diagnostics, exit_code);
    let loses_machine_on = optional(&section, "loses_machine_on", diagnostics, Entry::text);
    let cuts_output =
        optional(&section, "cuts_output", diagnostics, |entry, diagnostics| entry.count(1, diagnostics));
    let fails_deploy = section.value_or("fails_deploy", false, diagnostics, Entry::boolean);
    let vanishes = vanishes(&section, diagnostics);
    let returns_after = optional(&section, "comes_back_after", diagnostics, Entry::duration);
    let terminates = terminates(&section, diagnostics);
    let bill_factor = section.value_or("overbills", 1.0, diagnostics, Entry::amount);
    let frozen_usage = section.value_or("frozen_usage", false, diagnostics, Entry::boolean);
    let debit_notes_every = optional(&section, "debit_notes_every", diagnostics, Entry::duration);
    let invoicing = section.value_or("invoices", InvoiceManner::Once, diagnostics, invoices);
    let offer_flaw =
        optional(&section, "offer_flaw", diagnostics, |entry, diagnostics| choice(entry, FLAWS, diagnostics));
    if let (Some(back), Ok(None)) = (section.get("comes_back_after"), &vanishes) {
        let help = "add `dies_after`, `dies_after_commands` or `agent_dies_after`";
        diagnostics.report_with_help(back.key_span, "this provider comes back but never dies", help);
    }
    Some(Behaviour {
        approval: approval?,
        vanishes: vanishes.ok()?,
        returns_after: returns_after.ok()?,
        fails_commands: fails_commands.ok()?,
        loses_machine_on: loses_machine_on.ok()?.map(str::to_owned),
        cuts_output: cuts_output.ok()?.map(u64::from),
        fails_deploy: fails_deploy?,
        slowdown: slowdown?,
        bandwidth: bandwidth.ok()?.map(u64::from),
        bill_factor: bill_factor?,
        frozen_usage: frozen_usage?,
        invoicing: invoicing?,
        terminates: terminates.ok()?,
        debit_notes_every: debit_notes_every.ok()?,
        offer_flaw: offer_flaw.ok()?,
    })
}

fn approves(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<ApprovalManner> {
    let words = [
        ("at once", ApprovalManner::AtOnce),
        ("never", ApprovalManner::Never),
        ("rejects", ApprovalManner::Rejects),
    ];
    word_or_after(entry, &words, ApprovalManner::After, diagnostics)
}

fn invoices(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<InvoiceManner> {
    let words =
        [("once", InvoiceManner::Once), ("never", InvoiceManner::Never), ("twice", InvoiceManner::Twice)];
    word_or_after(entry, &words, InvoiceManner::After, diagnostics)
}

/// One of a few words, or `after 5s`.
fn word_or_after<T: Clone>(
    entry: &Entry<'_>,
    choices: &[(&str, T)],
    after: impl FnOnce(Duration) -> T,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<T> {
    let text = entry.string(diagnostics)?;
    if let Some((_, meant)) = choices.iter().find(|(word, _)| *word == text.trim()) {
        return Some(meant.clone());
    }
    let time = text.trim().strip_prefix("after ").and_then(|time| {
        let time: jiff::SignedDuration = time.trim().parse().ok()?;
        Duration::try_from(time).ok()
    });
    if time.is_none() {
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).chain(["after 5s"]).collect();
        unknown_word(entry, text, &words, diagnostics);
    }
    time.map(after)
}

fn vanishes(section: &Section<'_>, diagnostics: &mut Diagnostics<'_>) -> Result<Option<Vanishing>, Reported> {
    let time = optional(section, "dies_after", diagnostics, Entry::duration);
    let commands = optional(section, "dies_after_commands", diagnostics, |entry, diagnostics| {
        entry.count(0, diagnostics)
    });
    let agent = optional(section, "agent_dies_after", diagnostics, Entry::duration);
    let ways = ["dies_after", "dies_after_commands", "agent_dies_after"];
    let mut given = ways.into_iter().filter_map(|key| Some((key, section.get(key)?.key_span)));
    if let (Some((one, place)), Some((other, _))) = (given.next(), given.next()) {
        let message = format!("`{one}` and `{other}` can't both be given");
        diagnostics.report_with_help(place, message, "leave one of them out");
        return Err(Reported);
    }
    let commands = commands?.map(|commands| Vanishing::AfterCommands(commands.into()));
    Ok(time?.map(Vanishing::After).or(commands).or(agent?.map(Vanishing::AgentAfter)))
}

fn terminates(
    section: &Section<'_>,
    diagnostics: &mut Diagnostics<'_>,
) -> Result<Option<(Duration, Reason)>, Reported> {
    let time = optional(section, "terminates_after", diagnostics, Entry::duration);
    let because = optional(section, "terminates_because", diagnostics, word);
    if let (Some(because), None) = (section.get("terminates_because"), section.get("terminates_after"))
        && section.lacks("terminates_after")
    {
        let help = "add for example terminates_after = \"1m\"";
        diagnostics.report_with_help(because.key_span, "`terminates_because` says why, but not when", help);
    }
    let because = because?;
    Ok(time?.map(|time| (time, Reason::new(because.unwrap_or_else(|| TERMINATES_BECAUSE.to_owned())))))
}

/// Reads the factor by which commands are slower.
fn slower(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<f64> {
    let factor = entry.amount(diagnostics)?;
    if factor < 1.0 {
        let message = format!("`{}` must be 1 or more: nothing can be made faster", entry.name);
        diagnostics.report(entry.span(), message);
        return None;
    }
    Some(factor)
}

fn exit_code(entry: &Entry<'_>, diagnostics: &mut Diagnostics<'_>) -> Option<i32> {
    let number = entry.integer(diagnostics)?;
    let code = i32::try_from(number).ok().filter(|code| (1..=255).contains(code));
    if code.is_none() {
        let message = format!("`{}` must be an exit code from 1 to 255, found {number}", entry.name);
        diagnostics.report(entry.span(), message);
    }
    code
}

const FLAWS: &[(&str, OfferFlaw)] = &[
    ("prices as text", OfferFlaw::PricesAsText),
    ("price not a number", OfferFlaw::PriceNotANumber),
    ("price null", OfferFlaw::PriceNull),
    ("price negative", OfferFlaw::PriceNegative),
    ("too few prices", OfferFlaw::TooFewPrices),
    ("no prices", OfferFlaw::NoPrices),
    ("whole prices", OfferFlaw::WholePrices),
    ("no usage vector", OfferFlaw::NoUsageVector),
    ("no pricing model", OfferFlaw::NoPricingModel),
    ("memory as text", OfferFlaw::MemoryAsText),
    ("name as number", OfferFlaw::NameAsNumber),
];
