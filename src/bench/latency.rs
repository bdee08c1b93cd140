//! How long many answers took, as percentiles.

use std::fmt;
use std::time::Duration;

/// The shares that are printed: median, 90 %, 99 %, 99.9 %, all.
const SHARES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 1.0];

/// Durations in ascending order.
#[derive(Debug, Clone)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Sorts.
    pub fn new(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    /// The smallest duration, in milliseconds, that at least `share` (0 to 1) of all do not exceed; NaN of none.
    pub fn ms(&self, share: f64) -> f64 {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1000.0)
    }
}

/// p50, p90, p99, p99.9 and the longest, in milliseconds.
impl fmt::Display for Latencies {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        SHARES.iter().try_for_each(|share| write!(out, "{:>9.2}", self.ms(*share)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_duration_that_was_seen() {
        let latencies = Latencies::new((1..=200).rev().map(Duration::from_millis).collect());
        for (share, expected) in [(0.0, 1.0), (0.5, 100.0), (0.99, 198.0), (0.999, 200.0), (1.0, 200.0)] {
            assert_eq!(latencies.ms(share), expected, "{share}");
        }
        assert_eq!(latencies.to_string(), "   100.00   180.00   198.00   200.00   200.00");
        assert!(Latencies::new(Vec::new()).ms(0.5).is_nan());
    }
}
