//! Providers that somebody blocked by hand: no run of the database signs with them any more.
//!
//! A block is of a node id. Names are only a way to say which: anyone may take any name.

use golem_core::event::Provider;
use yagna_api::{NodeId, Timestamp};

use crate::store::database::{Row, Statement};
use crate::store::{Store, StoreError};

/// A decision that a provider gets no more agreements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The provider; the name is empty where it was never known.
    pub provider: Provider,
    /// The reason, if one was given.
    pub reason: Option<String>,
    /// Since when.
    pub at: Timestamp,
}

impl Block {
    /// The statement that reads all of them.
    pub(super) fn all() -> Statement<'static> {
        Statement::new(
            "SELECT provider_id, provider_name, reason, blocked_at FROM blocked_providers \
             ORDER BY blocked_at, provider_id",
        )
    }
}

impl Store {
    /// All providers that are blocked, in the order in which they were.
    pub async fn blocked_providers(&self) -> Result<Vec<Block>, StoreError> {
        let rows = self.database.rows(Block::all()).await;
        blocks(&rows.map_err(|source| self.failed("read which providers are blocked", source))?)
    }

    /// Blocks all of these; those that are blocked already get this reason. It counts for every run of the database, also
    /// for one that goes on, for agreements that aren't made yet.
    pub async fn block_providers(
        &self,
        providers: &[Provider],
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let failed = |source| self.failed("block a provider", source);
        let mut transaction = self.database.write().await.map_err(failed)?;
        for provider in providers {
            let blocked = Statement::new(
                "INSERT INTO blocked_providers (provider_id, provider_name, reason, blocked_at) \
                 VALUES ($1, $2, $3, $4) ON CONFLICT (provider_id) DO UPDATE SET reason = excluded.reason, \
                 provider_name = excluded.provider_name",
            )
            .text(provider.id.as_str())
            .text(provider.name.as_str())
            .text(reason)
            .time(now);
            transaction.execute(blocked).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    /// Lets runs deal with all of these again.
    pub async fn unblock_providers(&self, providers: &[Provider]) -> Result<(), StoreError> {
        let failed = |source| self.failed("unblock a provider", source);
        let mut transaction = self.database.write().await.map_err(failed)?;
        for provider in providers {
            let unblocked = Statement::new("DELETE FROM blocked_providers WHERE provider_id = $1");
            transaction.execute(unblocked.text(provider.id.as_str())).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    /// The provider that is meant by its id or by a name that any run has heard of, or by the beginning of either where it
    /// is that of one provider only.
    ///
    /// # Errors
    /// [`StoreError::NoSuchProvider`] with the names that look like this one; [`StoreError::SeveralProviders`] where a name
    /// or a beginning is that of more than one.
    pub async fn find_provider(&self, id_or_name: &str) -> Result<Provider, StoreError> {
        let failed = |source| self.failed("look for the provider", source);
        let wanted = id_or_name.trim();
        let id = as_id(wanted);
        let found = Statement::new(match id {
            Some(_) => {
                "SELECT provider_id, provider_name FROM (SELECT provider_id, provider_name, intended_at AS at \
                 FROM rentals WHERE provider_id = $1 UNION ALL SELECT provider_id, provider_name, at FROM notes \
                 WHERE provider_id = $1) AS k ORDER BY at DESC LIMIT 1"
            }
            None => {
                "SELECT provider_id, provider_name FROM rentals WHERE provider_name = $1 \
                 UNION SELECT provider_id, provider_name FROM notes WHERE provider_name = $1 \
                 UNION SELECT provider_id, provider_name FROM blocked_providers WHERE provider_name = $1 \
                 ORDER BY provider_id"
            }
        })
        .text(id.as_ref().map_or(wanted, NodeId::as_str));
        let rows = self.database.rows(found).await.map_err(failed)?;
        let mut found = rows.iter().map(provider).collect::<Result<Vec<_>, _>>()?;
        match (found.pop(), id) {
            (Some(one), _) if found.is_empty() => Ok(one),
            // A node is a node, also before anybody has dealt with it.
            (None, Some(id)) => Ok(Provider { id, name: String::new() }),
            (None, None) => {
                let known = Statement::new(
                    "SELECT provider_id, provider_name FROM rentals UNION SELECT provider_id, provider_name FROM notes \
                     WHERE provider_id IS NOT NULL AND provider_name IS NOT NULL \
                     UNION SELECT provider_id, provider_name FROM blocked_providers",
                );
                let rows = self.database.rows(known).await.map_err(failed)?;
                let known = rows.iter().map(provider).collect::<Result<Vec<_>, _>>()?;
                self.by_beginning(wanted, known, false)
            }
            (Some(one), _) => {
                found.push(one);
                Err(self.several(wanted, found))
            }
        }
    }

    /// The blocked provider that is meant by its id or its name, or by the beginning of either.
    ///
    /// # Errors
    /// As [`find_provider`](Self::find_provider), for blocked ones alone.
    pub async fn find_blocked(&self, id_or_name: &str) -> Result<Provider, StoreError> {
        let wanted = id_or_name.trim();
        let id = as_id(wanted);
        let blocked: Vec<_> =
            self.blocked_providers().await?.into_iter().map(|block| block.provider).collect();
        let is_it = |provider: &&Provider| match &id {
            Some(id) => provider.id == *id,
            None => provider.name == wanted,
        };
        let mut found: Vec<_> = blocked.iter().filter(is_it).cloned().collect();
        match found.pop() {
            Some(one) if found.is_empty() => Ok(one),
            Some(one) => {
                found.push(one);
                Err(self.several(wanted, found))
            }
            None => self.by_beginning(wanted, blocked, true),
        }
    }

    /// The only one of these providers whose id or name begins like this.
    fn by_beginning(
        &self,
        wanted: &str,
        known: Vec<Provider>,
        blocked: bool,
    ) -> Result<Provider, StoreError> {
        let id = wanted.to_ascii_lowercase();
        let begins_like_it = |provider: &&Provider| {
            !wanted.is_empty()
                && (provider.name.starts_with(wanted)
                    // `0x` alone begins every id.
                    || (id.len() > 2 && provider.id.as_str().starts_with(&id)))
        };
        let mut found: Vec<Provider> = known.iter().filter(begins_like_it).cloned().collect();
        // One provider may have had several names.
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found.dedup_by(|a, b| a.id == b.id);
        match found.pop() {
            Some(one) if found.is_empty() => Ok(one),
            Some(one) => {
                found.push(one);
                Err(self.several(wanted, found))
            }
            None => {
                Err(self.no_such_provider(wanted, known.into_iter().map(|one| one.name).collect(), blocked))
            }
        }
    }

    fn no_such_provider(&self, wanted: &str, names: Vec<String>, blocked: bool) -> StoreError {
        StoreError::NoSuchProvider {
            provider: wanted.to_owned(),
            place: self.place.clone(),
            nearest: super::most_alike(wanted, names),
            blocked,
        }
    }

    fn several(&self, wanted: &str, found: Vec<Provider>) -> StoreError {
        let mut providers = found;
        providers.sort_by(|a, b| a.id.cmp(&b.id));
        StoreError::SeveralProviders { name: wanted.to_owned(), place: self.place.clone(), providers }
    }
}

/// These rows as blocks.
pub(super) fn blocks(rows: &[Row]) -> Result<Vec<Block>, StoreError> {
    rows.iter()
        .map(|row| {
            Ok(Block {
                provider: provider(row)?,
                reason: row.optional_text("reason")?,
                at: row.time("blocked_at")?,
            })
        })
        .collect()
}

/// Reads a node id, in whatever letters.
fn as_id(text: &str) -> Option<NodeId> {
    text.to_ascii_lowercase().parse().ok()
}

fn provider(row: &Row) -> Result<Provider, StoreError> {
    Ok(Provider { id: row.parsed("provider_id")?, name: row.text("provider_name")? })
}
