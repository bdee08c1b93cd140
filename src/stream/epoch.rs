//! The rows of one commit: from the first that arrives to the log entry that has them with their offsets.

use super::progress::{self, WATERMARK_TXN};
use crate::error::{Code, Error, Result};
use crate::tables::managed::EpochFiles;
use crate::tables::streaming::StreamTable;
use crate::tables::streaming::status::StreamState;
use crate::telemetry::{failpoint, metrics};
use datafusion::arrow::array::RecordBatch;
use datafusion::execution::memory_pool::MemoryPool;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The first wait before a commit is tried again; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// The epoch that grows: its rows are visible in the hot tail already.
#[derive(Debug)]
pub struct OpenEpoch {
    pub number: i64,
    pub n_rows: usize,
    pub n_bytes: usize,
    /// When its first row or position arrived.
    pub begun: Option<Instant>,
    batches: Vec<RecordBatch>,
    dead_letters: Vec<RecordBatch>,
}

impl OpenEpoch {
    /// Nothing yet.
    pub fn new(number: i64) -> Self {
        Self { number, n_rows: 0, n_bytes: 0, begun: None, batches: Vec::new(), dead_letters: Vec::new() }
    }

    /// Rows that were made visible; also none, when only positions moved.
    pub fn add(&mut self, rows: &RecordBatch, dead_letters: Option<&RecordBatch>, n_bytes: usize) {
        self.begun.get_or_insert_with(Instant::now);
        self.n_bytes += n_bytes;
        if rows.num_rows() > 0 {
            self.n_rows += rows.num_rows();
            self.batches.push(rows.clone());
        }
        self.dead_letters.extend(dead_letters.cloned());
    }

    /// Something to commit later, without a row.
    pub fn touch(&mut self) {
        self.begun.get_or_insert_with(Instant::now);
    }

    /// Closes the epoch, and opens the next one.
    pub fn cut(&mut self, offsets: BTreeMap<i32, i64>, watermark_us: Option<i64>, topic_id: Option<i64>) -> Cut {
        failpoint::reach("epoch.cut");
        let cut = std::mem::replace(self, Self::new(self.number + 1));
        Cut { number: cut.number, batches: cut.batches, dead_letters: cut.dead_letters, offsets, watermark_us, topic_id }
    }
}

/// A closed epoch, on its way into the log.
#[derive(Debug)]
pub struct Cut {
    pub number: i64,
    batches: Vec<RecordBatch>,
    dead_letters: Vec<RecordBatch>,
    /// The next offset of each partition, after the rows.
    pub offsets: BTreeMap<i32, i64>,
    watermark_us: Option<i64>,
    topic_id: Option<i64>,
}

/// Writes a closed epoch: data files, dead letters, one log entry. What can go away by itself is tried again until it
/// works or `give_up` fires; the rows stay visible meanwhile.
///
/// # Errors
/// `Conflict` when another server took the table over, the table was dropped, or the log has the epoch with other rows;
/// `Unavailable` when it was given up: the rows are read again at the next start. After an error nothing of a later epoch
/// may be committed: the rows of this one would be missing before it.
pub fn commit<'a>(
    table: &'a StreamTable,
    topic: &'a str,
    pool: &'a Arc<dyn MemoryPool>,
    cut: &'a Cut,
    give_up: &'a CancellationToken,
) -> BoxFuture<'a, Result<u64>> {
    Box::pin(async move {
        let started = Instant::now();
        let managed = table.managed();
        let mut txns = progress::offset_txns(managed, topic, &cut.offsets);
        txns.extend(cut.watermark_us.map(|watermark| (managed.txn_id(WATERMARK_TXN), watermark)));
        txns.extend(cut.topic_id.map(|id| (managed.txn_id(&progress::topic_id_txn(topic)), id)));
        let mut retry = Retry { table, give_up, wait: RETRY_MIN };

        let mut files = loop {
            match encode(table, pool, cut).await {
                Ok(files) => break files,
                Err(error) => retry.after(error).await?,
            }
        };
        let dead_letters = loop {
            if cut.dead_letters.is_empty() {
                break None;
            }
            match table.dead_letters().prepare(managed, cut.number, &cut.dead_letters).await {
                Ok(prepared) => break Some(prepared),
                Err(error) => retry.after(error).await?,
            }
        };
        txns.extend(dead_letters.as_ref().map(|prepared| prepared.txn(managed)));
        // The same files and the same entry each time: a commit whose outcome was unknown is found, not repeated.
        let version = loop {
            match managed.commit_epoch(cut.number, &mut files, txns.clone()).await {
                Ok(version) => break version,
                Err(error) => retry.after(error).await?,
            }
        };
        if let Some(prepared) = dead_letters {
            table.dead_letters().committed(managed, prepared).await;
        }
        // Published already: the rows are in the version before they leave the hot tail.
        table.hot().flush(cut.number);
        metrics::STREAM_COMMITS_TOTAL.increment();
        let took = started.elapsed();
        metrics::STREAM_COMMIT_SECONDS.observe(took);
        let mut numbers = table.status().lock();
        numbers.commit_seconds = Some(took.as_secs_f64());
        numbers.epoch = cut.number;
        numbers.commit_error = None;
        numbers.committed_ms = Some(chrono::Utc::now().timestamp_millis());
        for (partition, offset) in &cut.offsets {
            numbers.partitions.entry(*partition).or_default().committed = Some(*offset);
        }
        Ok(version)
    })
}

fn encode<'a>(table: &'a StreamTable, pool: &'a Arc<dyn MemoryPool>, cut: &'a Cut) -> BoxFuture<'a, Result<EpochFiles>> {
    Box::pin(async move {
        let mut writer = table.managed().epoch_writer(pool);
        for batch in &cut.batches {
            writer.write(batch).await?;
        }
        writer.finish().await
    })
}

/// Waits between tries, longer each time.
struct Retry<'a> {
    table: &'a StreamTable,
    give_up: &'a CancellationToken,
    wait: Duration,
}

impl Retry<'_> {
    async fn after(&mut self, error: Error) -> Result<()> {
        // Somebody else writes the table, or our own code is wrong: trying again would change nothing.
        if matches!(error.code, Code::Conflict | Code::Internal | Code::NotNull | Code::InvalidValue | Code::NotSupported) {
            return Err(error);
        }
        tracing::warn!(table = %self.table.managed().name(), %error, retry_in_ms = self.wait.as_millis(), "stream commit failed");
        {
            let mut numbers = self.table.status().lock();
            numbers.state = StreamState::Retrying;
            numbers.last_error = Some(error.message.clone());
            // It stays until a commit works, whatever the source says meanwhile.
            numbers.commit_error = Some(error.message.clone());
        }
        tokio::select! {
            () = self.give_up.cancelled() => return Err(error),
            () = tokio::time::sleep(self.wait) => {}
        }
        self.wait = (self.wait * 2).min(RETRY_MAX);
        Ok(())
    }
}
