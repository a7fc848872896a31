//! The time that a script may go on: until a moment, or until one of its parts has taken too long.

use std::time::Duration;

use tokio::time::Instant;
use yagna_api::activity::CommandResult;

/// The time that a script has, and its results so far.
#[derive(Debug)]
pub(super) struct Watch {
    deadline: Instant,
    parts: Option<Parts>,
    /// The results of its commands, in order, as far as they are known. They stay when the machine is lost.
    pub(super) seen: Vec<CommandResult>,
}

/// Parts of a script that have a time limit each.
#[derive(Debug)]
struct Parts {
    /// The numbers of commands after which one part ends and the next begins, in order.
    ends: Vec<usize>,
    /// The time that each of them has.
    each: Duration,
    /// The number of parts that are known to be over.
    over: usize,
    /// The moment when that was learnt of the last of them.
    since: Instant,
    /// The moment when the script was sent.
    begun: Instant,
}

impl Watch {
    /// The whole script has until then.
    pub(super) fn until(deadline: Instant) -> Self {
        Self { deadline, parts: None, seen: Vec::new() }
    }

    /// Each part has so long, from the moment when the one before it is known to be over. Parts end after so many commands.
    pub(super) fn of_parts(ends: Vec<usize>, each: Duration) -> Self {
        let now = Instant::now();
        let parts = Parts { ends, each, over: 0, since: now, begun: now };
        Self { deadline: now + each, parts: Some(parts), seen: Vec::new() }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The moment by which all of it must be over, where nothing is known of its parts in between.
    pub(super) fn last_deadline(&self) -> Instant {
        match &self.parts {
            Some(parts) => {
                let more = parts.ends.len().saturating_sub(parts.over + 1);
                self.deadline + parts.each.saturating_mul(u32::try_from(more).unwrap_or(u32::MAX))
            }
            None => self.deadline,
        }
    }

    /// The script is on its way: the time of its first part begins.
    pub(super) fn begins(&mut self) {
        if let Some(parts) = &mut self.parts {
            parts.begun = Instant::now();
            parts.since = parts.begun;
            self.deadline = parts.since + parts.each;
        }
    }

    /// These results are there. The part that runs now has its whole time from here on.
    pub(super) fn saw(&mut self, results: Vec<CommandResult>) {
        // A time-out says nothing, and takes nothing back.
        if results.len() <= self.seen.len() {
            return;
        }
        self.seen = results;
        let Some(parts) = &mut self.parts else { return };
        let over = parts.ends.partition_point(|end| *end <= self.seen.len());
        if over > parts.over {
            (parts.over, parts.since) = (over, Instant::now());
            self.deadline = parts.since + parts.each;
        }
    }

    /// The longest time that one poll may wait: a part that takes too long must be noticed soon after.
    pub(super) fn longest_poll(&self) -> Duration {
        self.parts.as_ref().map_or(Duration::MAX, |parts| parts.each / 2)
    }

    /// The moment when the script was sent, where its parts are watched.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.parts.as_ref().map(|parts| parts.begun)
    }

    /// The moment when the last part that is known to be over was known to be.
    pub(super) fn since(&self) -> Option<Instant> {
        self.parts.as_ref().map(|parts| parts.since)
    }
}

#[cfg(test)]
mod tests {
    use yagna_api::Timestamp;
    use yagna_api::activity::Outcome;

    use super::*;

    fn results(n: u32) -> Vec<CommandResult> {
        let result = |index| CommandResult {
            index,
            result: Outcome::Ok,
            stdout: None,
            stderr: None,
            message: None,
            is_batch_finished: false,
            event_date: Timestamp::UNIX_EPOCH,
        };
        (0..n).map(result).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_has_its_whole_time_from_the_end_of_the_one_before() {
        let each = Duration::from_secs(3);
        let begun = Instant::now();
        let mut watch = Watch::of_parts(vec![2, 4, 5], each);
        assert_eq!((watch.deadline() - begun, watch.last_deadline() - begun), (each, 3 * each));
        tokio::time::advance(Duration::from_secs(2)).await;
        watch.saw(results(1));
        assert_eq!(watch.deadline() - begun, each, "the first part isn't over");
        watch.saw(results(2));
        assert_eq!(watch.deadline() - begun, Duration::from_secs(5));
        tokio::time::advance(Duration::from_secs(1)).await;
        watch.saw(results(2));
        watch.saw(results(0));
        assert_eq!((watch.deadline() - begun, watch.seen.len()), (Duration::from_secs(5), 2), "nothing new");
        watch.saw(results(4));
        assert_eq!(watch.deadline() - begun, Duration::from_secs(6));
        assert_eq!(watch.last_deadline() - begun, Duration::from_secs(6), "the last part runs");
    }
}
