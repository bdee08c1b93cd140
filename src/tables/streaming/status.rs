//! What a streaming table tells about itself: its job writes it, `system.streams` and SHOW STREAMS read it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Gaps that are kept for each table; older ones are dropped.
const GAPS_MAX: usize = 1_000;
/// Over how long `rows_per_second` is measured.
const RATE_SECONDS: f64 = 5.0;

/// What the job of a streaming table does now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StreamState {
    /// The table is opened, or the source has not named its partitions yet.
    #[default]
    Starting,
    /// Rows arrive, and the newest of them was read at least once.
    Running,
    /// Rows arrive, behind the end of the topic.
    CatchingUp,
    /// ALTER STREAMING TABLE .. PAUSE.
    Paused,
    /// Something that may go away by itself is wrong; it is tried again.
    Retrying,
    /// Something is wrong that needs somebody.
    Failed,
    /// The server stops, or the table was dropped.
    Stopped,
}

impl StreamState {
    /// As `system.streams` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::CatchingUp => "catching_up",
            Self::Paused => "paused",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Whether it reads, or is about to, and nothing is wrong.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::CatchingUp)
    }
}

/// One partition of a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamPartition {
    /// The first offset that the topic still has.
    pub low_watermark: Option<i64>,
    /// The offset behind the last one of the topic.
    pub high_watermark: Option<i64>,
    /// The next offset to read: everything before it is visible.
    pub position: i64,
    /// The next offset by the newest commit: everything before it is durable.
    pub committed: Option<i64>,
    /// True when everything up to the high watermark was read.
    pub at_end: bool,
    /// The watermark of the partition, microseconds since 1970.
    pub watermark_us: Option<i64>,
}

impl StreamPartition {
    /// Records that are in the topic and were not read yet; `None` until a broker has said where the topic ends.
    pub fn lag_messages(&self) -> Option<i64> {
        // At the end nothing is left, also when the last offsets hold no record (transaction markers).
        self.high_watermark.map(|high| if self.at_end { 0 } else { (high - self.position).max(0) })
    }
}

/// When each partition was last at its end. Under a steady flow some partition always has a record on its way, which is
/// no falling behind.
#[derive(Debug, Default)]
pub struct EndsSeen(BTreeMap<i32, Instant>);

impl EndsSeen {
    /// A partition that was at its end so lately keeps up.
    const LATELY: Duration = Duration::from_secs(5);

    /// Notes whether a partition is at its end; true if it is, or was lately.
    pub fn keeps_up(&mut self, partition: i32, at_end: bool, now: Instant) -> bool {
        if at_end {
            self.0.insert(partition, now);
        }
        self.0.get(&partition).is_some_and(|seen| now.duration_since(*seen) < Self::LATELY)
    }
}

/// Records that were gone when they should have been read (`on_data_loss = skip`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamGap {
    pub partition: i32,
    pub from_offset: i64,
    /// The first offset that is there again.
    pub to_offset: i64,
    /// Milliseconds since 1970.
    pub seen_ms: i64,
}

/// The numbers and texts of one streaming table.
#[derive(Debug, Clone, Default)]
pub struct StreamNumbers {
    pub state: StreamState,
    pub partitions: BTreeMap<i32, StreamPartition>,
    /// Oldest first, at most [`GAPS_MAX`].
    pub gaps: VecDeque<StreamGap>,
    /// The newest timestamp of the records that are visible, milliseconds since 1970.
    pub timestamp_max_ms: Option<i64>,
    /// Rows that arrived since the job was started.
    pub rows_total: u64,
    /// Rows that are visible and not committed yet.
    pub hot_rows: u64,
    pub hot_bytes: u64,
    /// When the newest commit was made, milliseconds since 1970.
    pub committed_ms: Option<i64>,
    /// How long the newest commit took, from the end of its epoch to the entry in the log.
    pub commit_seconds: Option<f64>,
    /// Of the newest commit.
    pub epoch: i64,
    /// Records that could not be decoded, of the whole table.
    pub dead_letters: u64,
    /// Records without a payload, since the job was started.
    pub tombstones: u64,
    /// Fields that did not fit their type and became NULL, since the job was started.
    pub nulled_fields: u64,
    /// How often the job or its source was started again.
    pub restarts: u64,
    /// Why the commit that is on its way had to be tried again.
    pub commit_error: Option<String>,
    /// The newest error that has not gone away; no secrets.
    pub last_error: Option<String>,
    rate: Rate,
}

impl StreamNumbers {
    /// Counts rows that became visible.
    pub fn add_rows(&mut self, n_rows: u64) {
        self.rows_total += n_rows;
        self.rate.add(n_rows, Instant::now());
    }

    /// Remembers records that are gone.
    pub fn add_gap(&mut self, gap: StreamGap) {
        if self.gaps.len() == GAPS_MAX {
            self.gaps.pop_front();
        }
        self.gaps.push_back(gap);
    }

    /// Rows in a second, over the last few seconds.
    pub fn rows_per_second(&self) -> f64 {
        self.rate.value(Instant::now())
    }

    /// Sum of the positions: grows with each record.
    pub fn position_total(&self) -> i64 {
        self.partitions.values().map(|partition| partition.position).sum()
    }

    /// Records that were not read yet; `None` until every partition knows.
    pub fn lag_messages(&self) -> Option<i64> {
        if self.partitions.is_empty() { None } else { self.partitions.values().map(StreamPartition::lag_messages).sum() }
    }

    /// How old the newest visible record is.
    pub fn freshness_seconds(&self) -> Option<f64> {
        self.timestamp_max_ms.map(seconds_since)
    }

    /// How long ago the newest commit was made.
    pub fn commit_age_seconds(&self) -> Option<f64> {
        self.committed_ms.map(seconds_since)
    }
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Never negative: clocks of other machines may be ahead of ours.
fn seconds_since(ms: i64) -> f64 {
    now_ms().saturating_sub(ms).max(0) as f64 / 1000.0
}

/// Rows over two half windows: the last whole one, and the one that is filled.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    begun: Option<Instant>,
    n_rows: u64,
    last: Option<f64>,
}

impl Rate {
    fn add(&mut self, n_rows: u64, now: Instant) {
        self.turn(now);
        self.n_rows += n_rows;
    }

    fn turn(&mut self, now: Instant) {
        let Some(begun) = self.begun else {
            self.begun = Some(now);
            return;
        };
        let seconds = now.duration_since(begun).as_secs_f64();
        if seconds >= RATE_SECONDS {
            self.last = Some(self.n_rows as f64 / seconds);
            self.begun = Some(now);
            self.n_rows = 0;
        }
    }

    fn value(&self, now: Instant) -> f64 {
        let Some(begun) = self.begun else { return 0.0 };
        let seconds = now.duration_since(begun).as_secs_f64();
        match self.last {
            // Too little of this window has passed to say anything else.
            Some(last) if seconds < RATE_SECONDS => last,
            _ if seconds > 0.0 => self.n_rows as f64 / seconds.max(1.0),
            _ => 0.0,
        }
    }
}

/// The status of one streaming table, shared between its job and who asks.
#[derive(Debug, Default)]
pub struct StreamStatus {
    numbers: Mutex<StreamNumbers>,
}

impl StreamStatus {
    /// The numbers now, to read or change; never held across a wait.
    pub fn lock(&self) -> MutexGuard<'_, StreamNumbers> {
        // Each change is a few assignments: a panic of another holder leaves it usable.
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the numbers.
    pub fn snapshot(&self) -> StreamNumbers {
        self.lock().clone()
    }
}

/// The status of every streaming table of the server, by table id.
#[derive(Debug, Default)]
pub struct StreamBoard {
    streams: Mutex<BTreeMap<String, Arc<StreamStatus>>>,
}

impl StreamBoard {
    /// The status of a table, made when there is none.
    pub fn of(&self, table_id: &str) -> Arc<StreamStatus> {
        Arc::clone(self.lock().entry(table_id.to_owned()).or_default())
    }

    /// The status of a table whose job was started once.
    pub fn get(&self, table_id: &str) -> Option<Arc<StreamStatus>> {
        self.lock().get(table_id).cloned()
    }

    /// Forgets a table that was dropped.
    pub fn remove(&self, table_id: &str) {
        self.lock().remove(table_id);
    }

    /// Every status, by table id.
    pub fn all(&self) -> Vec<(String, Arc<StreamStatus>)> {
        self.lock().iter().map(|(id, status)| (id.clone(), Arc::clone(status))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<StreamStatus>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_keeps_up_that_was_at_its_end_lately() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut ends = EndsSeen::default();
        assert!(!ends.keeps_up(0, false, start), "it never was");
        assert!(ends.keeps_up(0, true, at(1)) && ends.keeps_up(0, false, at(5)));
        assert!(!ends.keeps_up(1, false, at(5)), "another one was not");
        assert!(!ends.keeps_up(0, false, at(6)) && ends.keeps_up(0, true, at(9)));
    }

    #[test]
    fn lag_is_unknown_until_every_partition_knows_it() {
        let mut numbers = StreamNumbers::default();
        assert_eq!(numbers.lag_messages(), None);
        let partition = |position, high_watermark, at_end| StreamPartition { position, high_watermark, at_end, ..Default::default() };
        numbers.partitions.insert(0, partition(3, Some(10), false));
        numbers.partitions.insert(1, partition(3, None, false));
        assert_eq!(numbers.lag_messages(), None);
        // The last offset is a transaction's marker: nothing is behind.
        numbers.partitions.insert(1, partition(8, Some(9), true));
        assert_eq!((numbers.lag_messages(), numbers.position_total()), (Some(7), 11));
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let mut rate = Rate::default();
        for second in 0..20 {
            rate.add(100, start + Duration::from_secs(second));
        }
        let value = rate.value(start + Duration::from_secs(20));
        assert!((90.0..=110.0).contains(&value), "{value}");
        assert!(rate.value(start + Duration::from_secs(2_000)) < 1.0, "a stream that stands still has no rate");
    }

    #[test]
    fn only_the_newest_gaps_are_kept() {
        let mut numbers = StreamNumbers::default();
        for n in 0..GAPS_MAX as i64 + 5 {
            numbers.add_gap(StreamGap { partition: 0, from_offset: n, to_offset: n + 1, seen_ms: 0 });
        }
        assert_eq!((numbers.gaps.len(), numbers.gaps[0].from_offset), (GAPS_MAX, 5));
    }
}
