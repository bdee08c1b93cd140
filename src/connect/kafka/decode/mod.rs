//! Rows out of records: payload and metadata columns; what does not fit is a dead letter.
//!
//! ```text
//! record --payload (json, csv, raw, avro)--> a row, a row without meaning, or nothing
//!        --metadata columns----------------> appended when a row was
//! finish: rows without meaning are filtered out
//! ```

mod avro;
mod metadata;
mod raw;
#[cfg(test)]
mod tests;

use super::options::{KafkaOptions, PayloadFormat};
use super::registry::Patience;
use crate::connect::{DeadLetter, MetadataKind, Origin, SourceColumns};
use crate::error::{Code, Error, Result};
use crate::tables::hive::{JsonRows, Numbers, RowMisfit, TextRows};
use avro::AvroRows;
pub(in crate::connect::kafka) use avro::arrow_schema as avro_schema;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::filter;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int32Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType};
use datafusion::arrow::error::ArrowError;
use metadata::MetadataColumn;
use raw::RawRows;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of one batch at most: so many records are decoded together.
pub(super) const BATCH_ROWS_MAX: usize = 4096;
/// A batch ends early at so many payload bytes: offsets of strings have 31 bits.
pub(super) const BATCH_BYTES_MAX: u64 = 64 << 20;

/// One record, borrowed from the client library.
#[derive(Debug, Clone, Default)]
pub(super) struct Record<'a> {
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// Milliseconds since 1970.
    pub(super) timestamp_ms: Option<i64>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) payload: Option<&'a [u8]>,
    /// Filled only when [`Rows::wants_headers`].
    pub(super) headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

/// What records became.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) rows: RecordBatch,
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) n_tombstones: u64,
    pub(super) n_nulled_fields: u64,
    pub(super) n_bytes: u64,
    pub(super) timestamp_max_ms: Option<i64>,
    /// The greatest event time of each partition with rows, microseconds.
    pub(super) event_time_max_us: BTreeMap<i32, i64>,
}

/// Columns of payloads, by format. Each appends a row or nothing, or says that it appended a row without meaning.
enum Payload {
    Json(Box<JsonRows>),
    Csv(Box<TextRows>),
    Raw(Box<RawRows>),
    Avro(Box<AvroRows>),
}

/// Where a declared column is found.
#[derive(Debug, Clone, Copy)]
enum Place {
    Payload(usize),
    Metadata(usize),
}

/// The rows of a batch so far.
pub(super) struct Rows {
    topic: String,
    schema: SchemaRef,
    places: Vec<Place>,
    payload: Payload,
    metadata: Vec<MetadataColumn>,
    partitions: Numbers<Int32Type>,
    offsets: Numbers<Int64Type>,
    timestamps: Numbers<TimestampMicrosecondType>,
    event_time: Option<usize>,
    record_bytes_max: usize,
    conflict_is_null: bool,
    /// Whether each row has a meaning.
    keep: Vec<bool>,
    n_meaningless: usize,
    dead_letters: Vec<DeadLetter>,
    n_tombstones: u64,
    n_nulled_fields: u64,
    n_bytes: u64,
    timestamp_max_ms: Option<i64>,
}

impl Rows {
    /// Rows of a topic; an error says which column cannot be fed from it.
    pub(super) fn new(options: &KafkaOptions, columns: &SourceColumns) -> Result<Self> {
        let mut places = Vec::with_capacity(columns.columns.len());
        let mut payload_fields: Vec<FieldRef> = Vec::new();
        let mut metadata = Vec::new();
        for column in &columns.columns {
            match column.origin {
                Origin::Payload => {
                    places.push(Place::Payload(payload_fields.len()));
                    payload_fields.push(Arc::clone(&column.field));
                }
                Origin::Metadata(kind) => {
                    places.push(Place::Metadata(metadata.len()));
                    metadata.push(MetadataColumn::new(kind, &column.field)?);
                }
            }
        }
        let payload = match &options.format {
            PayloadFormat::Json(timestamps) => {
                Payload::Json(Box::new(JsonRows::new(payload_fields, *timestamps, options.conflict_is_null)?))
            }
            PayloadFormat::Csv(text) => Payload::Csv(Box::new(TextRows::new(payload_fields, text)?)),
            PayloadFormat::Raw => Payload::Raw(Box::new(RawRows::new(&payload_fields, options.conflict_is_null)?)),
            PayloadFormat::Avro(registry) => Payload::Avro(Box::new(AvroRows::new(payload_fields, registry, options.conflict_is_null)?)),
        };
        Ok(Self {
            topic: options.topic.clone(),
            schema: columns.schema(),
            places,
            payload,
            metadata,
            partitions: Numbers::new(&DataType::Int32),
            offsets: Numbers::new(&DataType::Int64),
            timestamps: Numbers::new(&DataType::Timestamp(TimeUnit::Microsecond, None)),
            event_time: columns.event_time,
            record_bytes_max: usize::try_from(options.record_bytes_max).unwrap_or(usize::MAX),
            conflict_is_null: options.conflict_is_null,
            keep: Vec::new(),
            n_meaningless: 0,
            dead_letters: Vec::new(),
            n_tombstones: 0,
            n_nulled_fields: 0,
            n_bytes: 0,
            timestamp_max_ms: None,
        })
    }

    /// Sets what is asked when a schema registry is away.
    pub(super) fn set_patience(&mut self, patience: Patience) {
        if let Payload::Avro(rows) = &mut self.payload {
            rows.set_patience(patience);
        }
    }

    /// Whether a column takes the headers of records.
    pub(super) fn wants_headers(&self) -> bool {
        self.metadata.iter().any(|column| column.kind() == MetadataKind::Headers)
    }

    /// Whether the batch should end here.
    pub(super) fn is_full(&self) -> bool {
        self.keep.len() >= BATCH_ROWS_MAX || self.n_bytes >= BATCH_BYTES_MAX
    }

    /// Takes one record.
    pub(super) fn push(&mut self, record: &Record<'_>) {
        self.timestamp_max_ms = self.timestamp_max_ms.max(record.timestamp_ms);
        let Some(payload) = record.payload else {
            self.n_tombstones += 1;
            return;
        };
        self.n_bytes += payload.len() as u64;
        if payload.len() > self.record_bytes_max {
            let error = format!("the record has {} bytes, more than record_bytes_max ({})", payload.len(), self.record_bytes_max);
            self.bury(record, payload, error);
            return;
        }
        let pushed = match &mut self.payload {
            // Whole, because a text in a field that is no column is not looked at.
            Payload::Json(rows) => match simdutf8::basic::from_utf8(payload) {
                Ok(text) => rows.push(text),
                Err(_) => Err(RowMisfit::Broken("the record is not valid UTF-8".to_string())),
            },
            Payload::Csv(rows) => rows.push(payload),
            Payload::Raw(rows) => rows.push(payload),
            Payload::Avro(rows) => rows.push(payload),
        };
        match pushed {
            Ok(()) => {
                let appended = self.append_metadata(record);
                self.append_origin(record, appended.is_ok());
                if let Err(error) = appended {
                    self.bury(record, payload, error);
                }
            }
            Err(RowMisfit::Broken(error)) => self.bury(record, payload, error),
            Err(RowMisfit::Value(error)) => {
                self.metadata.iter_mut().for_each(MetadataColumn::append_null);
                self.append_origin(record, false);
                self.bury(record, payload, error);
            }
        }
    }

    /// Appends one value to every metadata column, in an error too.
    fn append_metadata(&mut self, record: &Record<'_>) -> Result<(), String> {
        let mut appended = Ok(());
        for column in &mut self.metadata {
            match column.append(&self.topic, record) {
                Ok(()) => {}
                Err(_) if self.conflict_is_null && column.is_nullable() => {
                    self.n_nulled_fields += 1;
                    column.append_null();
                }
                Err(error) => {
                    column.append_null();
                    appended = appended.and(Err(error));
                }
            }
        }
        appended
    }

    fn append_origin(&mut self, record: &Record<'_>, has_meaning: bool) {
        self.partitions.append_value(record.partition);
        self.offsets.append_value(record.offset);
        self.timestamps.append_option(record.timestamp_ms.and_then(|ms| ms.checked_mul(1_000)));
        self.keep.push(has_meaning);
        self.n_meaningless += usize::from(!has_meaning);
    }

    fn bury(&mut self, record: &Record<'_>, payload: &[u8], error: String) {
        let kept = payload.len().min(self.record_bytes_max);
        self.dead_letters.push(DeadLetter {
            topic: self.topic.clone(),
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(|key| key[..key.len().min(self.record_bytes_max)].to_vec()),
            payload: payload[..kept].to_vec(),
            is_truncated: kept < payload.len(),
            error,
        });
    }

    /// What the records became since the last call.
    pub(super) fn finish(&mut self) -> Result<Decoded> {
        let n_rows = self.keep.len();
        let (mut payload, nulled) = match &mut self.payload {
            Payload::Json(rows) => (rows.finish()?, rows.take_nulled()),
            Payload::Csv(rows) => (rows.finish()?, rows.take_nulled()),
            Payload::Raw(rows) => (rows.finish(), rows.take_nulled()),
            Payload::Avro(rows) => (rows.finish()?, rows.take_nulled()),
        };
        let mut metadata = self.metadata.iter_mut().map(MetadataColumn::finish).collect::<Result<Vec<_>>>()?;
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.places.len() + 3);
        for place in &self.places {
            arrays.push(match place {
                Place::Payload(idx) => Arc::clone(&payload[*idx]),
                Place::Metadata(idx) => Arc::clone(&metadata[*idx]),
            });
        }
        payload.clear();
        metadata.clear();
        arrays.push(Arc::new(self.partitions.finish()));
        arrays.push(Arc::new(self.offsets.finish()));
        arrays.push(Arc::new(self.timestamps.finish()));
        let keep = std::mem::take(&mut self.keep);
        if let Some(wrong) = arrays.iter().find(|array| array.len() != n_rows) {
            return Err(Error::internal(format!("a column has {} values for {n_rows} records", wrong.len())));
        }
        let unreadable = |error: ArrowError| Error::new(Code::DataCorrupted, error.to_string());
        if self.n_meaningless > 0 {
            let mask = BooleanArray::from(keep);
            arrays = arrays.iter().map(|array| filter(array, &mask)).collect::<Result<_, _>>().map_err(unreadable)?;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows - self.n_meaningless));
        self.n_meaningless = 0;
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options).map_err(unreadable)?;
        Ok(Decoded {
            event_time_max_us: self.event_time.map(|idx| event_times(&rows, idx)).unwrap_or_default(),
            rows,
            dead_letters: std::mem::take(&mut self.dead_letters),
            n_tombstones: std::mem::take(&mut self.n_tombstones),
            n_nulled_fields: std::mem::take(&mut self.n_nulled_fields) + nulled as u64,
            n_bytes: std::mem::take(&mut self.n_bytes),
            timestamp_max_ms: self.timestamp_max_ms.take(),
        })
    }
}

/// The greatest event time of each partition.
fn event_times(rows: &RecordBatch, column_idx: usize) -> BTreeMap<i32, i64> {
    let mut greatest = BTreeMap::new();
    let partitions = rows.column(rows.num_columns() - 3).as_primitive::<Int32Type>().values();
    let Some(times) = rows.column(column_idx).as_primitive_opt::<TimestampMicrosecondType>() else { return greatest };
    // Records of a partition come in runs: one look-up a run.
    let mut run: Option<(i32, i64)> = None;
    let mut close = |run: Option<(i32, i64)>| {
        if let Some((partition, time)) = run {
            let known = greatest.entry(partition).or_insert(time);
            *known = time.max(*known);
        }
    };
    for (row, partition) in partitions.iter().enumerate() {
        if !times.is_valid(row) {
            continue;
        }
        let time = times.value(row);
        run = match run {
            Some((current, greatest)) if current == *partition => Some((current, greatest.max(time))),
            other => {
                close(other);
                Some((*partition, time))
            }
        };
    }
    close(run);
    greatest
}
