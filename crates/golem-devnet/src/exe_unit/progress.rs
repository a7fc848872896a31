//! The interval at which a long command reports its progress.

use std::time::Duration;

use tokio::time::Instant;
use yagna_api::activity::{Progress, ProgressArgs};

/// The interval of reports when a requestor names none.
const INTERVAL: Duration = Duration::from_secs(1);

/// Turns bytes moved into reports, not more often than asked for.
pub(super) struct Meter<'a> {
    tell: Option<&'a (dyn Fn(Progress) + Send + Sync)>,
    interval: Option<Duration>,
    step: Option<u64>,
    moved: u64,
    total: Option<u64>,
    last: (Instant, u64),
}

impl<'a> Meter<'a> {
    /// Reports to `tell`, if the command asks for it.
    pub(super) fn new(args: Option<&ProgressArgs>, tell: &'a (dyn Fn(Progress) + Send + Sync)) -> Self {
        let interval = args.and_then(|args| args.update_interval.as_deref()).and_then(duration);
        let step = args.and_then(|args| args.update_step).filter(|step| *step > 0);
        Self {
            tell: args.is_some().then_some(tell),
            interval: interval.or_else(|| step.is_none().then_some(INTERVAL)),
            step,
            moved: 0,
            total: None,
            last: (Instant::now(), 0),
        }
    }

    /// It is known now how much there is.
    pub(super) fn set_total(&mut self, total: Option<u64>) {
        self.total = total;
    }

    /// So many more were moved.
    pub(super) fn add(&mut self, bytes: usize) {
        self.moved += bytes as u64;
        let (when, moved) = self.last;
        let due = self.interval.is_some_and(|interval| when.elapsed() >= interval)
            || self.step.is_some_and(|step| self.moved - moved >= step);
        if due {
            self.report(0);
        }
    }

    /// All is moved.
    pub(super) fn end(&mut self) {
        self.total = Some(self.moved);
        self.report(1);
    }

    fn report(&mut self, step: u64) {
        self.last = (Instant::now(), self.moved);
        if let Some(tell) = self.tell {
            tell(Progress {
                step: (step, 1),
                message: None,
                progress: (self.moved, self.total),
                unit: Some("Bytes".to_owned()),
            });
        }
    }
}

/// Reads `300ms`, `5s`, `1m`.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "ms" => 0.001,
        "s" | "sec" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn times_are_read() {
        for (text, time) in [
            ("300ms", Some(Duration::from_millis(300))),
            ("5s", Some(Duration::from_secs(5))),
            ("1.5 m", Some(Duration::from_secs(90))),
            ("", None),
            ("5", None),
            ("5 weeks", None),
        ] {
            assert_eq!(duration(text), time, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reports_come_by_step_or_by_time_and_at_the_end() {
        let told = Mutex::new(Vec::new());
        let tell = |progress: Progress| told.lock().unwrap().push((progress.step.0, progress.progress));
        let args = ProgressArgs { update_interval: None, update_step: Some(100) };
        let mut meter = Meter::new(Some(&args), &tell);
        meter.set_total(Some(250));
        for _ in 0..5 {
            meter.add(50);
        }
        meter.end();
        assert_eq!(
            *told.lock().unwrap(),
            [(0, (100, Some(250))), (0, (200, Some(250))), (1, (250, Some(250)))]
        );

        told.lock().unwrap().clear();
        let mut meter = Meter::new(Some(&ProgressArgs::default()), &tell);
        meter.add(1);
        tokio::time::advance(Duration::from_secs(1)).await;
        meter.add(1);
        assert_eq!(*told.lock().unwrap(), [(0, (2, None))]);

        told.lock().unwrap().clear();
        let mut silent = Meter::new(None, &tell);
        silent.add(1000);
        silent.end();
        assert!(told.lock().unwrap().is_empty());
    }
}
