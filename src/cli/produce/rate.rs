//! How fast records are sent.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A waiting producer looks this often whether it should stop.
const NAP: Duration = Duration::from_millis(50);
const UNITS: &[(&str, u64)] = &[("s", 1), ("second", 1), ("min", 60), ("minute", 60), ("h", 3_600), ("hour", 3_600)];

/// So many records in a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    pub per_second: f64,
}

impl FromStr for Rate {
    type Err = String;

    /// `1000`, `1000/s`, `90/min`, `10/h`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
        let n_records = number.trim().replace('_', "").parse::<u64>().ok().filter(|n_records| *n_records > 0);
        let unit = UNITS.iter().find(|(name, _)| *name == unit.trim());
        match (n_records, unit) {
            (Some(n_records), Some((_, seconds))) => Ok(Self { per_second: n_records as f64 / *seconds as f64 }),
            _ => Err("write a number of records and a unit: 1000/s, 90/min, 10/h".to_owned()),
        }
    }
}

/// When the next record is due.
pub struct Pace {
    rate: Option<Rate>,
    started: Instant,
    n_records: u64,
}

impl Pace {
    pub fn new(rate: Option<Rate>, started: Instant) -> Self {
        Self { rate, started, n_records: 0 }
    }

    /// When the record after the ones so far is due; the first one at once.
    pub fn due(&self) -> Instant {
        let rate = self.rate.map_or(f64::INFINITY, |rate| rate.per_second);
        self.started + Duration::from_secs_f64(self.n_records as f64 / rate)
    }

    /// Waits until the next record is due; false when the producer should stop.
    pub fn wait(&mut self, is_stopped: &AtomicBool) -> bool {
        let due = self.due();
        self.n_records += 1;
        loop {
            if is_stopped.load(Ordering::Relaxed) {
                return false;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}
