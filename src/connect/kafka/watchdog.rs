//! Whether records are there for long and do not come: then the client is stuck, and another one may do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Records of a partition wait so long while nothing at all is read.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// The same while other partitions go on: their records may only be before these in the queue.
const STARVED_AFTER: Duration = Duration::from_secs(120);

/// Questions are not answered for so long, and the client does not say why: longer than its own patience with a broker.
const SILENT_AFTER: Duration = Duration::from_secs(120);

/// What was seen of the partitions that are behind.
#[derive(Debug)]
pub(super) struct Watchdog {
    progress_at: Instant,
    /// Partitions in which records wait: at which position, and since when.
    waiting: BTreeMap<i32, (i64, Instant)>,
    /// Since when there are no answers, nor records.
    silent_since: Option<Instant>,
}

impl Watchdog {
    pub(super) fn new(now: Instant) -> Self {
        Self { progress_at: now, waiting: BTreeMap::new(), silent_since: None }
    }

    /// Something was read.
    pub(super) fn progress(&mut self, now: Instant) {
        self.progress_at = now;
        self.heard();
    }

    /// The client, or a broker, has said something.
    pub(super) fn heard(&mut self) {
        self.silent_since = None;
    }

    /// A question was not answered: whether all is silent for long.
    pub(super) fn is_silent(&mut self, now: Instant) -> bool {
        now.saturating_duration_since(*self.silent_since.get_or_insert(now)) > SILENT_AFTER
    }

    /// What was seen does not count any more: the source reads anew, or was held back itself.
    pub(super) fn reset(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// Whether a partition has stayed where it was when it was seen behind.
    pub(super) fn suspects(&mut self, positions: &BTreeMap<i32, i64>) -> bool {
        self.waiting.retain(|partition, (known, _)| positions.get(partition) == Some(known));
        !self.waiting.is_empty()
    }

    /// Looks at the ends of the partitions. A record that came this very moment is not late: what counts is that a
    /// partition was seen behind, and is still at the same position.
    pub(super) fn is_stuck(&mut self, positions: &BTreeMap<i32, i64>, ends: &BTreeMap<i32, i64>, now: Instant) -> bool {
        let mut waiting = BTreeMap::new();
        for (partition, end) in ends {
            let Some(next) = positions.get(partition).copied().filter(|next| next < end) else { continue };
            let since = match self.waiting.get(partition) {
                Some((known, since)) if *known == next => *since,
                _ => now,
            };
            waiting.insert(*partition, (next, since));
        }
        self.waiting = waiting;
        self.waiting.values().any(|(_, since)| {
            let patience = if self.progress_at > *since { STARVED_AFTER } else { STUCK_AFTER };
            now.saturating_duration_since(*since) > patience
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_says_nothing_for_long_hangs() {
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut watchdog = Watchdog::new(begun);
        assert!(!watchdog.is_silent(at(1_000)), "the first question");
        assert!(!watchdog.is_silent(at(1_120)));
        watchdog.heard();
        assert!(!watchdog.is_silent(at(1_130)), "it has said why");
        watchdog.progress(at(1_200));
        assert!(!watchdog.is_silent(at(1_251)), "a record came");
        assert!(!watchdog.is_silent(at(1_371)));
        assert!(watchdog.is_silent(at(1_372)));
        watchdog.reset(at(1_372));
        assert!(!watchdog.is_silent(at(1_373)), "another client");
    }

    #[test]
    fn only_records_that_were_seen_to_wait_are_late() {
        let begun = Instant::now();
        let at = |seconds: u64| begun + Duration::from_secs(seconds);
        let (ends, mut positions) = (BTreeMap::from([(0, 5), (1, 7)]), BTreeMap::from([(0, 5), (1, 7)]));
        let mut watchdog = Watchdog::new(begun);
        assert!(!watchdog.is_stuck(&positions, &ends, at(3_600)), "nothing waits");
        positions.insert(1, 6);
        assert!(!watchdog.is_stuck(&positions, &ends, at(3_630)), "after an hour of silence a record has come");
        assert!(watchdog.suspects(&positions));
        assert!(!watchdog.is_stuck(&positions, &ends, at(3_660)));
        assert!(watchdog.is_stuck(&positions, &ends, at(3_661)));

        positions.insert(1, 7);
        assert!(!watchdog.suspects(&positions), "it moved");
        positions.insert(1, 6);
        assert!(!watchdog.is_stuck(&positions, &ends, at(3_700)));
        watchdog.progress(at(3_710));
        assert!(!watchdog.is_stuck(&positions, &ends, at(3_740)), "another partition goes on");
        assert!(watchdog.is_stuck(&positions, &ends, at(3_821)));
        watchdog.reset(at(3_821));
        assert!(!watchdog.is_stuck(&positions, &ends, at(3_860)), "held back");
    }
}
