//! Lists of providers that are wanted, or not wanted.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use yagna_api::NodeId;

use super::{Candidate, Score, Strategy};
use crate::caps::Refusal;
use crate::offer::plain;

/// Digits of a node id.
const ID_DIGITS: usize = 40;

/// Providers by node id, by the beginning of one such as `0x28e5dcff`, or by name.
///
/// A clone is the same list: it can be kept and changed while a run goes by it, and counts as it is whenever an
/// offer is decided about. An agreement that exists already isn't touched.
///
/// # Example
/// ```
/// use golem_core::strategy::ProviderList;
/// let list = ProviderList::from(["mighty-badger", "0xABCDEF0123456789abcdef0123456789abcdef01"]);
/// assert!(list.has("0xabcdef0123456789abcdef0123456789abcdef01"), "ids are ids in whatever letters");
/// let id = "0xabcdef0123456789abcdef0123456789abcdef01".parse()?;
/// assert!(ProviderList::from(["0xABCD"]).lists(&id, "ada") && !ProviderList::from(["0xabce"]).lists(&id, "ada"));
/// assert!(list.clone().remove("mighty-badger"));
/// assert!(!list.has("mighty-badger"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "ProviderFilter")]
#[derive(Debug, Clone, Default)]
pub struct ProviderList(Arc<RwLock<Entries>>);

type Entries = BTreeMap<Entry, Listed>;

/// The ways in which an entry names a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Listed {
    /// By a program.
    Plainly,
    /// By somebody's hand, who may have said why.
    ByHand(Option<String>),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Id(String),
    /// The beginning of an id.
    Beginning(String),
    Name(String),
}

impl Entry {
    /// Reads an entry: a node id, the beginning of one (`0x` with fewer digits), or else a name, as it would be shown.
    fn of(text: &str) -> Self {
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.strip_prefix("0x").filter(|digits| !digits.is_empty() && digits.len() < ID_DIGITS);
        if digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit())) {
            return Self::Beginning(lower);
        }
        match lower.parse::<NodeId>() {
            Ok(id) => Self::Id(id.as_str().to_owned()),
            Err(_) => Self::Name(plain(text)),
        }
    }

    fn into_text(self) -> String {
        match self {
            Self::Id(text) | Self::Beginning(text) | Self::Name(text) => text,
        }
    }
}

impl ProviderList {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a provider by its id or its name; `false` where it was there already.
    pub fn add(&self, provider: impl AsRef<str>) -> bool {
        let entry = Entry::of(provider.as_ref());
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = !entries.contains_key(&entry);
        entries.entry(entry).or_insert(Listed::Plainly);
        is_new
    }

    /// Makes the list one of providers that somebody blocked by hand, each by its id with why, if that was said.
    /// Refusals say so.
    pub fn set_by_hand(&self, blocked: impl IntoIterator<Item = (NodeId, Option<String>)>) {
        let entries: Entries = blocked
            .into_iter()
            .map(|(id, reason)| (Entry::of(id.as_str()), Listed::ByHand(reason)))
            .collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = entries;
    }

    /// Takes an entry off; `false` where there was none.
    pub fn remove(&self, provider: impl AsRef<str>) -> bool {
        let entry = Entry::of(provider.as_ref());
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&entry).is_some()
    }

    /// True if there is such an entry.
    pub fn has(&self, provider: impl AsRef<str>) -> bool {
        let entry = Entry::of(provider.as_ref());
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(&entry)
    }

    /// True if a provider with this id and this name is on the list, by either.
    pub fn lists(&self, id: &NodeId, name: &str) -> bool {
        self.entry(id, name).is_some()
    }

    fn entry(&self, id: &NodeId, name: &str) -> Option<Listed> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let by_id = entries.get(&Entry::Id(id.as_str().to_owned()));
        let by_beginning = || {
            entries.iter().find_map(|(entry, listed)| match entry {
                Entry::Beginning(beginning) if id.as_str().starts_with(beginning) => Some(listed),
                _ => None,
            })
        };
        by_id.or_else(|| entries.get(&Entry::Name(name.to_owned()))).or_else(by_beginning).cloned()
    }

    /// All entries at this moment: ids first, each kind sorted.
    pub fn entries(&self) -> Vec<String> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        entries.keys().cloned().map(Entry::into_text).collect()
    }
}

impl<T: AsRef<str>> FromIterator<T> for ProviderList {
    fn from_iter<I: IntoIterator<Item = T>>(providers: I) -> Self {
        let entries =
            providers.into_iter().map(|provider| (Entry::of(provider.as_ref()), Listed::Plainly)).collect();
        Self(Arc::new(RwLock::new(entries)))
    }
}

impl<T: AsRef<str>, const N: usize> From<[T; N]> for ProviderList {
    fn from(providers: [T; N]) -> Self {
        providers.into_iter().collect()
    }
}

impl<T: AsRef<str>> From<Vec<T>> for ProviderList {
    fn from(providers: Vec<T>) -> Self {
        providers.into_iter().collect()
    }
}

impl From<&ProviderList> for ProviderList {
    /// Copies the list.
    fn from(list: &ProviderList) -> Self {
        list.clone()
    }
}

/// A strategy that takes providers of a list only.
#[derive(Debug, Clone)]
pub struct Only<S> {
    strategy: S,
    list: ProviderList,
}

impl<S> Only<S> {
    pub(super) fn new(strategy: S, list: ProviderList) -> Self {
        Self { strategy, list }
    }
}

impl<S: Strategy> Strategy for Only<S> {
    fn appraise(&self, candidate: &Candidate<'_>) -> Result<Score, Refusal> {
        if self.list.lists(candidate.id(), candidate.name()) {
            self.strategy.appraise(candidate)
        } else {
            Err(Refusal::because("it isn't on the list of providers to work with"))
        }
    }
}

/// A strategy that takes no provider of a list.
#[derive(Debug, Clone)]
pub struct Except<S> {
    strategy: S,
    list: ProviderList,
}

impl<S> Except<S> {
    pub(super) fn new(strategy: S, list: ProviderList) -> Self {
        Self { strategy, list }
    }
}

impl<S: Strategy> Strategy for Except<S> {
    fn appraise(&self, candidate: &Candidate<'_>) -> Result<Score, Refusal> {
        match self.list.entry(candidate.id(), candidate.name()) {
            None => self.strategy.appraise(candidate),
            Some(Listed::Plainly) => Err(Refusal::because("it is on the list of blocked providers")),
            Some(Listed::ByHand(reason)) => Err(Refusal::Blocked(reason)),
        }
    }
}
