//! Streaming tables: a hot tail in memory above a managed table.
//!
//! ```text
//!               append                       flush, after the commit is published
//! stream::job ----------> HotTail ---------------------------------+
//!      | commit_epoch        |                                      |
//!      +-----> ManagedTable  |                                      v
//!                  |         |         a query pins the hot batches first, then the version; batches whose
//!                  v         v         epoch the version has are left out: no row twice, no row missing
//!               Pin   +   HotBatches = StreamSnapshot
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `hot`, `hot_source` | the rows that are in no commit yet, and their scan |
//! | `snapshot` | a streaming table as a query sees it |
//! | `cursor` | how far a reader has come, and the rows that he has not had |
//! | `dead_letters`, `dead_letter_table` | records that could not be decoded: their files, and `dead_letters('t')` |
//! | `status` | what a streaming table tells about itself |
//!
//! This module knows no Kafka and no SQL; who feeds a table is above.

pub mod dead_letters;
mod cursor;
mod dead_letter_table;
mod hot;
mod hot_source;
mod snapshot;
pub mod status;
#[cfg(test)]
mod tests;

pub use cursor::{Cursor, NewRows};
pub use dead_letter_table::DeadLetterTable;
pub use hot::{HotBatch, HotSize, HotTail, batch_bytes};
pub use snapshot::StreamSnapshot;

use self::dead_letters::DeadLetterFiles;
use self::status::{StreamBoard, StreamStatus};
use crate::error::{Code, Error, Result};
use crate::tables::managed::ManagedTable;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use futures::future::BoxFuture;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, watch};

/// Physical column: the partition that a row came from.
pub const PARTITION_COLUMN: &str = "_kafka_partition";
/// Physical column: the offset of the row's record.
pub const OFFSET_COLUMN: &str = "_kafka_offset";
/// Physical column: the timestamp of the row's record.
pub const TIMESTAMP_COLUMN: &str = "_kafka_timestamp";
/// Physical column: the number of the commit that brought the row. It survives compaction.
pub const EPOCH_COLUMN: &str = "_weir_epoch";

/// How the transactions begin that say which commit carried a SEEK out: `seek_epoch:<number>` one of all partitions,
/// `seek_epoch:<number>:<partition>` one of this partition.
pub const SEEK_EPOCH_TXN: &str = "seek_epoch:";

/// The columns that every streaming table has behind the declared ones; SELECT does not show them.
pub fn system_fields() -> [Field; 4] {
    [
        Field::new(PARTITION_COLUMN, DataType::Int32, true),
        Field::new(OFFSET_COLUMN, DataType::Int64, true),
        Field::new(TIMESTAMP_COLUMN, DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new(EPOCH_COLUMN, DataType::Int64, true),
    ]
}

/// Declared columns and the system columns behind them: what the files have.
pub fn physical_schema(declared: &Schema) -> SchemaRef {
    let fields = declared.fields().iter().map(|field| field.as_ref().clone()).chain(system_fields());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// What a query of a streaming table sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StreamRead {
    /// Committed files and the rows that arrived since.
    #[default]
    Hot,
    /// Committed files only.
    Committed,
    /// As `Hot`, after everything that the topic held when the statement began has arrived.
    Latest,
}

/// Asks the source where its partitions end now. May wait for the network: not for the threads of a runtime.
pub trait Ends: std::fmt::Debug + Send + Sync {
    /// The offset behind the last record, by partition.
    fn ends(&self, timeout: Duration) -> Result<BTreeMap<i32, i64>>;
}

/// An open streaming table.
#[derive(Debug)]
pub struct StreamTable {
    managed: Arc<ManagedTable>,
    /// The columns that SELECT shows: the first ones of the physical schema.
    declared: SchemaRef,
    hot: HotTail,
    dead_letters: DeadLetterFiles,
    status: Arc<StreamStatus>,
    /// The next offset of each partition: everything before it is visible.
    positions: watch::Sender<BTreeMap<i32, i64>>,
    ends: Mutex<Option<Arc<dyn Ends>>>,
}

impl StreamTable {
    /// Over an open managed table whose last columns are the [`system_fields`]; reads which dead letters there are.
    pub fn open(managed: Arc<ManagedTable>, status: Arc<StreamStatus>) -> BoxFuture<'static, Result<Arc<Self>>> {
        Box::pin(async move {
            let physical = managed.schema();
            let n_system = system_fields().len();
            let n_declared = physical.fields().len().checked_sub(n_system).filter(|&n| physical.fields()[n].name() == PARTITION_COLUMN);
            let Some(n_declared) = n_declared else {
                return Err(Error::new(Code::DataCorrupted, "the log of a streaming table lacks the columns of its source"));
            };
            let declared = Arc::new(Schema::new(physical.fields()[..n_declared].to_vec()));
            let dead_letters = DeadLetterFiles::open(&managed).await?;
            status.lock().dead_letters = dead_letters.n_rows();
            let positions = watch::Sender::new(BTreeMap::new());
            Ok(Arc::new(Self { managed, declared, hot: HotTail::default(), dead_letters, status, positions, ends: Mutex::default() }))
        })
    }

    /// The files and the log below.
    pub fn managed(&self) -> &Arc<ManagedTable> {
        &self.managed
    }

    /// The columns that SELECT shows.
    pub fn declared(&self) -> &SchemaRef {
        &self.declared
    }

    /// All columns of the files.
    pub fn physical(&self) -> SchemaRef {
        self.managed.schema()
    }

    /// The rows that are in no commit yet.
    pub fn hot(&self) -> &HotTail {
        &self.hot
    }

    /// The records that could not be decoded.
    pub fn dead_letters(&self) -> &DeadLetterFiles {
        &self.dead_letters
    }

    /// What the table tells about itself.
    pub fn status(&self) -> &Arc<StreamStatus> {
        &self.status
    }

    /// The table as a query sees it now; every scan of the snapshot sees the same rows.
    ///
    /// # Errors
    /// For [`StreamRead::Latest`], `Timeout` when the topic's rows do not arrive in time, `Unavailable` when nobody
    /// knows where the topic ends.
    pub fn snapshot<'a>(self: &'a Arc<Self>, read: StreamRead, timeout: Duration) -> BoxFuture<'a, Result<Arc<StreamSnapshot>>> {
        Box::pin(async move {
            if read == StreamRead::Latest {
                self.wait_for_latest(timeout).await?;
            }
            // The order matters: a batch that is missing in the hot tail is in the version, because it was flushed after
            // that version was published; a batch that is in both is recognised by its epoch.
            let hot = if read == StreamRead::Committed { Arc::default() } else { self.hot.pin() };
            let pin = self.managed.pin();
            let epoch = pin.txn(&self.managed.txn_id("epoch")).unwrap_or(0);
            let hot = hot.iter().filter(|batch| batch.epoch > epoch).cloned().collect();
            Ok(Arc::new(StreamSnapshot::new(Arc::clone(self), pin, epoch, hot)))
        })
    }

    /// Says how far the hot tail has come, after the rows before it were appended.
    pub fn set_positions(&self, positions: impl FnOnce(&mut BTreeMap<i32, i64>)) {
        self.positions.send_modify(positions);
    }

    /// Is told whenever rows have become visible: the next offset of each partition.
    pub fn arrivals(&self) -> watch::Receiver<BTreeMap<i32, i64>> {
        self.positions.subscribe()
    }

    /// Who knows where the topic ends; `None` while no source runs.
    pub fn set_ends(&self, ends: Option<Arc<dyn Ends>>) {
        *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = ends;
    }

    async fn wait_for_latest(&self, timeout: Duration) -> Result<()> {
        let name = self.managed.name();
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(ends) = ends else {
            return Err(Error::new(Code::Unavailable, format!("the stream of table \"{name}\" does not run"))
                .detail("With stream_read = 'latest' a query waits for the newest rows of the topic.")
                .hint("SHOW STREAMS says why it does not run; SET stream_read = 'hot' reads what is there."));
        };
        let begun = tokio::time::Instant::now();
        let asked = tokio::task::spawn_blocking(move || ends.ends(timeout)).await;
        let ends = asked.map_err(|error| Error::internal(format!("end of a topic: {error}")))??;
        let mut positions = self.positions.subscribe();
        let arrived = positions
            .wait_for(|positions| ends.iter().all(|(partition, end)| positions.get(partition).is_some_and(|position| position >= end)));
        match tokio::time::timeout_at(begun + timeout, arrived).await {
            Ok(_) => Ok(()),
            Err(_) => {
                Err(Error::new(Code::Timeout, format!("the newest rows of table \"{name}\" did not arrive in {} s", timeout.as_secs_f64()))
                    .hint("Raise stream_read_timeout, or SET stream_read = 'hot'."))
            }
        }
    }
}

type OpenStreams = HashMap<String, Arc<OnceCell<Arc<StreamTable>>>>;

/// All streaming tables that are open, by table id.
#[derive(Debug, Default)]
pub struct StreamTables {
    tables: Mutex<OpenStreams>,
    board: StreamBoard,
}

impl StreamTables {
    /// The open table; the first call opens it over what `managed` gives.
    pub fn open<'a>(&'a self, id: &'a str, managed: BoxFuture<'a, Result<Arc<ManagedTable>>>) -> BoxFuture<'a, Result<Arc<StreamTable>>> {
        Box::pin(async move {
            let cell = Arc::clone(self.lock().entry(id.to_owned()).or_default());
            let status = self.board.of(id);
            cell.get_or_try_init(|| async move { StreamTable::open(managed.await?, status).await }).await.cloned()
        })
    }

    /// Forgets a table: the next call opens it again.
    pub fn close(&self, id: &str) {
        self.lock().remove(id);
    }

    /// What every streaming table tells about itself.
    pub fn board(&self) -> &StreamBoard {
        &self.board
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, OpenStreams> {
        // Each change is one call of the map.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
