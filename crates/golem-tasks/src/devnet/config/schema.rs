//! The keys of the devnet's config file.

use crate::job::schema::Vocabulary;

pub(super) const CONFIG: Vocabulary = Vocabulary {
    file: "a devnet's config file",
    top: &["seed", "listen", "subnet", "driver", "network", "delays", "providers", "prices", "provider"],
    homes: &[
        ("[[provider]]", PROVIDER),
        ("[provider.behaviour]", BEHAVIOUR),
        ("[provider.limits]", LIMITS),
        ("a `prices` table", PRICES),
    ],
    other_words: &[
        ("address", "listen"),
        ("behavior", "behaviour"),
        ("bind", "listen"),
        ("chain", "network"),
        ("cpu", "cpu_hour"),
        ("cpus", "threads"),
        ("dies_after_tasks", "dies_after_commands"),
        ("disk", "storage_gib"),
        ("env", "env_hour"),
        ("hour", "env_hour"),
        ("invoice", "invoices"),
        ("mem", "memory_gib"),
        ("mem_gib", "memory_gib"),
        ("memory", "memory_gib"),
        ("port", "listen"),
        ("price", "prices"),
        ("ram", "memory_gib"),
        ("returns_after", "comes_back_after"),
        ("slowdown", "slow"),
        ("storage", "storage_gib"),
        ("vanishes_after", "dies_after"),
    ],
};

pub(super) const PROVIDER: &[&str] = &[
    "name",
    "count",
    "cores",
    "threads",
    "memory_gib",
    "storage_gib",
    "gpu",
    "runtime",
    "capabilities",
    "subnet",
    "prices",
    "cpu_first",
    "limits",
    "behaviour",
];
pub(super) const GPU: &[&str] = &["model", "memory_gib", "quantity"];
pub(super) const PRICES: &[&str] = &["start", "cpu_hour", "env_hour"];
pub(super) const LIMITS: &[&str] = &[
    "agreements",
    "idle",
    "min_expiration",
    "max_expiration",
    "debit_note_interval",
    "accept_timeout",
    "payment_timeout",
];
pub(super) const BEHAVIOUR: &[&str] = &[
    "approves",
    "slow",
    "bandwidth",
    "fails_commands",
    "loses_machine_on",
    "cuts_output",
    "fails_deploy",
    "dies_after",
    "dies_after_commands",
    "agent_dies_after",
    "comes_back_after",
    "terminates_after",
    "terminates_because",
    "overbills",
    "frozen_usage",
    "debit_notes_every",
    "invoices",
    "offer_flaw",
];
