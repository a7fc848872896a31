//! The times of this process's requests to the daemon, and the requests that brought no answer.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use yagna_client::{Observer, Outcome};

/// What a request was for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    endpoint: &'static str,
}

/// What a request was for, and how it failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    endpoint: &'static str,
    kind: &'static str,
}

/// Counts requests as they are made.
#[derive(Debug)]
pub(crate) struct Requests {
    times: Family<Of, Histogram>,
    errors: Family<Failed, Counter>,
}

impl Requests {
    pub(crate) fn new() -> Self {
        // From 1 ms to half a minute, which long polls take.
        let times = Family::new_with_constructor(
            (|| Histogram::new(exponential_buckets(0.001, 2.0, 16))) as fn() -> _,
        );
        Self { times, errors: Family::default() }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Times of requests to the daemon, long polls among them";
        registry.register_with_unit("request", help, Unit::Seconds, self.times.clone());
        registry.register("request_errors", "Requests that brought no value", self.errors.clone());
    }
}

impl Observer for Requests {
    fn asked(&self, operation: &'static str, took: Duration, outcome: Outcome) {
        self.times.get_or_create(&Of { endpoint: operation }).observe(took.as_secs_f64());
        let kind = match outcome {
            Outcome::Answered => return,
            Outcome::Refused => "refused",
            Outcome::TimedOut => "timeout",
            Outcome::Lost => "lost",
            _ => "other",
        };
        self.errors.get_or_create(&Failed { endpoint: operation, kind }).inc();
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn requests_are_counted_by_what_they_are_for_and_how_they_fail() {
        let requests = Requests::new();
        requests.asked("create an agreement", Duration::from_millis(3), Outcome::Answered);
        requests.asked("create an agreement", Duration::from_secs(90), Outcome::TimedOut);
        let mut registry = Registry::with_prefix("golem_tasks");
        requests.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "golem_tasks_request_seconds_count{endpoint=\"create an agreement\"} 2",
            "golem_tasks_request_seconds_bucket{le=\"0.004\",endpoint=\"create an agreement\"} 1",
            "golem_tasks_request_errors_total{endpoint=\"create an agreement\",kind=\"timeout\"} 1",
        ] {
            assert!(text.contains(line), "`{line}` isn't in\n{text}");
        }
    }
}
