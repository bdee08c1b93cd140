//! Event time over the partitions of a topic: no row older than the watermark is expected any more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The least of the partitions' greatest event times, less the delay; never goes back.
///
/// A partition that is read to its end and has had no record for a while is idle: it holds nobody up. A busy partition is
/// never idle, however slow its rows come.
#[derive(Debug)]
pub struct Watermark {
    delay_us: i64,
    idle_timeout: Duration,
    partitions: BTreeMap<i32, Partition>,
    value: Option<i64>,
}

#[derive(Debug)]
struct Partition {
    event_time_max_us: Option<i64>,
    /// When a record was last read, or the partition was seen first.
    moved: Instant,
    at_end: bool,
}

impl Watermark {
    /// `value` is what the newest commit says.
    pub fn new(delay: Duration, idle_timeout: Duration, value: Option<i64>) -> Self {
        let delay_us = i64::try_from(delay.as_micros()).unwrap_or(i64::MAX);
        Self { delay_us, idle_timeout, partitions: BTreeMap::new(), value }
    }

    /// A partition moved; `event_time_us` is the greatest of its new rows, if it has one.
    pub fn moved(&mut self, partition: i32, event_time_us: Option<i64>, now: Instant) {
        let entry = self.partitions.entry(partition).or_insert(Partition { event_time_max_us: None, moved: now, at_end: false });
        entry.event_time_max_us = entry.event_time_max_us.max(event_time_us);
        entry.moved = now;
    }

    /// Whether everything of a partition was read.
    pub fn at_end(&mut self, partition: i32, at_end: bool) {
        if let Some(entry) = self.partitions.get_mut(&partition) {
            entry.at_end = at_end;
        }
    }

    /// A partition's own watermark, microseconds.
    pub fn of(&self, partition: i32) -> Option<i64> {
        Some(self.partitions.get(&partition)?.event_time_max_us?.saturating_sub(self.delay_us))
    }

    /// The watermark now, microseconds since 1970.
    pub fn value(&mut self, now: Instant) -> Option<i64> {
        let active =
            self.partitions.values().filter(|partition| !(partition.at_end && now.duration_since(partition.moved) >= self.idle_timeout));
        // A partition without a row yet holds the others up until it is idle.
        let least = active.map(|partition| partition.event_time_max_us).min().flatten();
        self.value = self.value.max(least.map(|time| time.saturating_sub(self.delay_us)));
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    fn watermark() -> (Watermark, Instant) {
        let start = Instant::now();
        let mut watermark = Watermark::new(Duration::from_micros(10), IDLE, None);
        watermark.moved(0, None, start);
        watermark.moved(1, None, start);
        (watermark, start)
    }

    #[test]
    fn the_slowest_partition_decides_and_time_never_goes_back() {
        let (mut watermark, start) = watermark();
        watermark.moved(0, Some(500), start);
        assert_eq!(watermark.value(start), None, "partition 1 may still have older rows");
        watermark.moved(1, Some(300), start);
        assert_eq!(watermark.value(start), Some(290));
        watermark.moved(1, Some(200), start);
        assert_eq!(watermark.value(start), Some(290));
        watermark.moved(1, Some(700), start);
        assert_eq!((watermark.value(start), watermark.of(1)), (Some(490), Some(690)));
    }

    #[test]
    fn only_a_partition_that_was_read_to_its_end_becomes_idle() {
        let (mut watermark, start) = watermark();
        watermark.moved(0, Some(500), start);
        let later = start + IDLE;
        watermark.moved(0, Some(600), later);
        assert_eq!(watermark.value(later), None, "partition 1 is behind, not idle");
        watermark.at_end(1, true);
        assert_eq!(watermark.value(later), Some(590));
    }

    #[test]
    fn a_restart_goes_on_from_the_committed_value() {
        let mut watermark = Watermark::new(Duration::ZERO, IDLE, Some(1_000));
        watermark.moved(0, Some(400), Instant::now());
        assert_eq!(watermark.value(Instant::now()), Some(1_000));
    }
}
