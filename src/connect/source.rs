//! What a source is asked for and what it delivers.

use crate::error::Error;
use crate::tables::streaming::{OFFSET_COLUMN, PARTITION_COLUMN, TIMESTAMP_COLUMN};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a record says about itself besides its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataKind {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Headers,
}

/// Where the values of a column come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Payload,
    Metadata(MetadataKind),
}

/// One declared column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceColumn {
    pub field: FieldRef,
    pub origin: Origin,
}

/// The columns that a source delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceColumns {
    /// As declared, in table order.
    pub columns: Vec<SourceColumn>,
    /// Position of the event-time column (a timestamp without zone, microseconds), when the table has a watermark.
    pub event_time: Option<usize>,
}

impl SourceColumns {
    /// The schema of delivered batches: the declared columns, then partition, offset and timestamp of the record.
    pub fn schema(&self) -> SchemaRef {
        let mut fields: Vec<FieldRef> = self.columns.iter().map(|column| Arc::clone(&column.field)).collect();
        fields.push(Arc::new(Field::new(PARTITION_COLUMN, DataType::Int32, true)));
        fields.push(Arc::new(Field::new(OFFSET_COLUMN, DataType::Int64, true)));
        fields.push(Arc::new(Field::new(TIMESTAMP_COLUMN, DataType::Timestamp(TimeUnit::Microsecond, None), true)));
        Arc::new(Schema::new(fields))
    }
}

/// Where a partition is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    /// The first record at or after this time, milliseconds since 1970; the end when there is none.
    TimestampMs(i64),
    Offset(i64),
}

/// How far a partition was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub partition: i32,
    /// The offset of the next record to read: also past offsets that hold no record (transaction markers, compaction).
    pub next_offset: i64,
    /// The greatest event time of the delivered rows of this partition, microseconds.
    pub event_time_max_us: Option<i64>,
}

/// A record that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Of the record, milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    pub key: Option<Vec<u8>>,
    /// The payload; cut when `is_truncated`.
    pub payload: Vec<u8>,
    pub is_truncated: bool,
    /// What is wrong, for people.
    pub error: String,
}

/// Rows of one fetch, of all its partitions together, in the order of the fetch.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// [`SourceColumns::schema`]; may have no rows.
    pub rows: RecordBatch,
    pub dead_letters: Vec<DeadLetter>,
    /// The partitions that moved.
    pub positions: Vec<Position>,
    /// Records without a payload: counted and passed.
    pub n_tombstones: u64,
    /// Fields that did not fit their type and became NULL (`on_type_conflict = null`).
    pub n_nulled_fields: u64,
    /// Payload bytes as received.
    pub n_bytes: u64,
    /// The newest timestamp of the records, milliseconds since 1970.
    pub timestamp_max_ms: Option<i64>,
}

/// Why a source ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// Records between the wanted offset and the first one that is there are gone (retention).
    DataLost,
    /// The topic ends before the wanted offset, or is another topic of the same name.
    TopicRecreated,
    /// The options cannot work.
    Options,
    /// A defect of ours, or of the client library: a restart may help.
    Internal,
}

/// A source that ended by itself.
#[derive(Debug, Clone)]
pub struct Failure {
    pub kind: FailureKind,
    pub error: Error,
}

/// What a source sends. After `Failed` nothing follows.
#[derive(Debug)]
pub enum SourceEvent {
    /// The partitions and where each begins: once, before the first rows, and again for each new partition.
    Assigned {
        positions: Vec<Position>,
        /// A number that another topic of the same name does not have, when the broker says it.
        topic_id: Option<i64>,
    },
    Fetched(Fetched),
    /// Records that are gone and were passed over, as the option `on_data_loss = skip` says: the partition goes on at
    /// `to_offset`.
    Skipped {
        partition: i32,
        from_offset: i64,
        to_offset: i64,
    },
    Failed(Failure),
}

/// One partition as its source sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartitionStatus {
    pub low_watermark: Option<i64>,
    pub high_watermark: Option<i64>,
    /// The next offset to decode.
    pub position: i64,
    /// True when everything up to the high watermark was read.
    pub at_end: bool,
}

/// What a source tells about itself while it runs; shared, cheap to read.
#[derive(Debug, Default)]
pub struct SourceStatus {
    inner: Mutex<SourceState>,
}

/// The contents of a [`SourceStatus`].
#[derive(Debug, Clone, Default)]
pub struct SourceState {
    pub partitions: BTreeMap<i32, PartitionStatus>,
    /// True while at least one broker answers.
    pub connected: bool,
    /// The newest error that has not gone away; no secrets.
    pub last_error: Option<String>,
    pub restarts: u64,
}

impl SourceStatus {
    /// The state now, to read or change; never held across a wait.
    pub fn lock(&self) -> MutexGuard<'_, SourceState> {
        // Each change is a few assignments: a panic of another holder leaves it usable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
