//! The decision about what follows when an instance ends: nothing, another start on its machine, or another machine.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The pause before the first restart; it doubles with each further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// An instance that was ready for so long has shown that it works: earlier failures no longer count.
const PROVEN: Duration = Duration::from_secs(60);
/// The number of failures on one machine after which another one is tried.
const MOST_HERE: u32 = 3;

/// The reaction to the end of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restart {
    /// It isn't started again, whatever the reason.
    No,
    /// It is started again unless it ended by itself with exit code 0.
    OnFailure {
        /// The number of failures in a row after which it isn't started again; any number where this says nothing.
        most: Option<u32>,
    },
    /// It is started again, whatever the reason.
    Always,
}

/// The ways in which an instance can end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its process ended with exit code 0.
    Well,
    /// Its process failed, after it was ready for so long.
    Badly { ready_for: Option<Duration> },
    /// The machine is of no use, or lost.
    Machine,
}

/// The consequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It stays down.
    End,
    /// It is started again on its machine, after this pause.
    Here(Duration),
    /// It is started on another machine, after this pause.
    Elsewhere(Duration),
}

/// The failures of an instance so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Failures {
    /// In a row, on all its machines.
    pub(super) in_a_row: u32,
    /// In a row, on this machine.
    pub(super) here: u32,
}

impl Restart {
    /// Decides what follows, and counts.
    pub(super) fn next(self, ended: Ended, failures: &mut Failures) -> Next {
        match (self, ended) {
            (Self::No, _) | (Self::OnFailure { .. }, Ended::Well) => return Next::End,
            (_, Ended::Well) => {
                *failures = Failures::default();
                return Next::Here(FIRST_PAUSE);
            }
            (_, Ended::Badly { ready_for: Some(ready) }) if ready >= PROVEN => {
                *failures = Failures::default();
            }
            _ => {}
        }
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        failures.here = failures.here.saturating_add(1);
        if matches!(self, Self::OnFailure { most: Some(most) } if failures.in_a_row > most) {
            return Next::End;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << (failures.in_a_row - 1).min(16)).min(LONGEST_PAUSE);
        if ended == Ended::Machine || failures.here >= MOST_HERE {
            failures.here = 0;
            // The first machine that is lost is replaced at once: nobody else is to blame.
            let pause = if failures.in_a_row == 1 { Duration::ZERO } else { pause };
            return Next::Elsewhere(pause);
        }
        Next::Here(pause)
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self::OnFailure { most: None }
    }
}

/// The text is not a valid reaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid restart policy: expected no, on-failure, on-failure:5 or always")]
pub struct RestartError(String);

impl FromStr for Restart {
    type Err = RestartError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "no" => Ok(Self::No),
            "always" => Ok(Self::Always),
            "on-failure" => Ok(Self::OnFailure { most: None }),
            _ => {
                let most = text.strip_prefix("on-failure:").and_then(|most| most.parse().ok());
                let most = most.filter(|most: &u32| *most > 0);
                most.map(|most| Self::OnFailure { most: Some(most) })
                    .ok_or_else(|| RestartError(text.to_owned()))
            }
        }
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::OnFailure { most: None } => f.write_str("on-failure"),
            Self::OnFailure { most: Some(most) } => write!(f, "on-failure:{most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: Ended = Ended::Badly { ready_for: None };

    #[test]
    fn an_instance_that_fails_is_started_again_on_its_machine_and_then_on_another_one() {
        let mut failures = Failures::default();
        let policy = Restart::default();
        let next: Vec<_> = (0..7).map(|_| policy.next(BAD, &mut failures)).collect();
        let s = Duration::from_secs;
        assert_eq!(
            next,
            [
                Next::Here(s(1)),
                Next::Here(s(2)),
                Next::Elsewhere(s(4)),
                Next::Here(s(8)),
                Next::Here(s(16)),
                Next::Elsewhere(s(32)),
                Next::Here(s(60)),
            ]
        );
        // One that has worked for a while begins anew.
        assert_eq!(policy.next(Ended::Badly { ready_for: Some(s(61)) }, &mut failures), Next::Here(s(1)));
    }

    #[test]
    fn a_machine_that_is_lost_is_replaced_at_once() {
        let mut failures = Failures::default();
        assert_eq!(Restart::Always.next(Ended::Machine, &mut failures), Next::Elsewhere(Duration::ZERO));
        assert_eq!(
            Restart::Always.next(Ended::Machine, &mut failures),
            Next::Elsewhere(Duration::from_secs(2))
        );
    }

    #[test]
    fn a_policy_says_which_ends_are_final() {
        let mut none = Failures::default();
        for ended in [Ended::Well, BAD, Ended::Machine] {
            assert_eq!(Restart::No.next(ended, &mut none), Next::End);
        }
        assert_eq!(Restart::default().next(Ended::Well, &mut none), Next::End);
        assert_eq!(Restart::Always.next(Ended::Well, &mut none), Next::Here(FIRST_PAUSE));
        let twice = Restart::OnFailure { most: Some(2) };
        let mut failures = Failures::default();
        let next: Vec<_> = (0..3).map(|_| twice.next(BAD, &mut failures)).collect();
        assert_eq!(next[2], Next::End);
        assert!(!next[..2].contains(&Next::End));
    }

    #[test]
    fn policies_are_read_as_they_are_written() {
        for text in ["no", "always", "on-failure", "on-failure:5"] {
            assert_eq!(text.parse::<Restart>().unwrap().to_string(), text);
        }
        for text in ["", "never", "on-failure:", "on-failure:0", "on-failure:-1", "Always"] {
            assert!(text.parse::<Restart>().is_err(), "{text}");
        }
    }
}
