//! Answers that are kept while nothing has changed, and for a while although something has.
//!
//! Reading a large run takes the database some time, so after each reading there is a rest that is many times as long. So
//! the page takes a small, fixed share of one processor however large the run is and however many people look.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

use crate::store::{Pulse, StoreError};

/// The rest after a reading, as many times as long: a share of 2 % of the time.
const RESTS: u32 = 50;
/// The shortest rest.
const SHORTEST: Duration = Duration::from_millis(800);
/// The longest rest.
const LONGEST: Duration = Duration::from_secs(10);
/// Answers kept at most.
const KEPT: usize = 128;

/// Answers by what was asked.
#[derive(Debug)]
pub(super) struct Cache<K, T> {
    kept: Mutex<HashMap<K, Place<T>>>,
}

/// The place of one answer, for one reader at a time.
type Place<T> = Arc<Turn<Option<Kept<T>>>>;

#[derive(Debug, Clone)]
struct Kept<T> {
    answer: T,
    /// The run's pulse just before it was read.
    pulse: Option<Pulse>,
    read: Instant,
    took: Duration,
}

impl<K: Eq + Hash + Clone, T: Clone> Cache<K, T> {
    pub(super) fn new() -> Self {
        Self { kept: Mutex::default() }
    }

    /// The answer that is kept, unless the run has changed since and the rest is over: then it is read anew. Whoever asks
    /// for the same meanwhile waits for that reading.
    ///
    /// Without a pulse nothing tells that something has changed; it may always have.
    pub(super) async fn get(
        &self,
        key: K,
        pulse: Option<&Pulse>,
        read: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let place = self.place(key);
        let mut kept = place.lock().await;
        if let Some(kept) = &*kept {
            let is_same = kept.pulse.as_ref().zip(pulse).is_some_and(|(before, now)| before.is_same(now));
            if is_same || kept.read.elapsed() < rest(kept.took) {
                return Ok(kept.answer.clone());
            }
        }
        let began = Instant::now();
        let answer = read.await?;
        *kept = Some(Kept {
            answer: answer.clone(),
            pulse: pulse.cloned(),
            read: Instant::now(),
            took: began.elapsed(),
        });
        Ok(answer)
    }

    fn place(&self, key: K) -> Place<T> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT && !kept.contains_key(&key) {
            // What is still looked at is read again.
            kept.clear();
        }
        Arc::clone(kept.entry(key).or_default())
    }
}

fn rest(took: Duration) -> Duration {
    (took * RESTS).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::store::RunStatus;

    fn pulse(commits: u64) -> Pulse {
        Pulse {
            commits,
            status: RunStatus::Interrupted(None),
            all_known: true,
            now: yagna_api::Timestamp::UNIX_EPOCH,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_read_again_once_the_run_has_changed_and_the_rest_is_over() {
        let cache = Cache::new();
        let n_read = AtomicU32::new(0);
        let ask = async |commits: u64| {
            let read = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok(n_read.fetch_add(1, Ordering::SeqCst))
            };
            cache.get("key", Some(&pulse(commits)), read).await.unwrap()
        };
        assert_eq!(ask(1).await, 0);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(ask(1).await, 0, "nothing has changed");
        assert_eq!(ask(2).await, 1);
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(ask(3).await, 1, "it rests for 5 s");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(ask(3).await, 2);
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let cache = Cache::new();
        for key in 0..1000 {
            cache.get(key, None, async { Ok(()) }).await.unwrap();
        }
        assert!(cache.kept.lock().unwrap().len() <= KEPT);
    }
}
