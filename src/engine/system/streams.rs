//! `system.streams`, `system.stream_partitions`, `system.stream_gaps` and SHOW STREAMS: the status board as rows.

use super::{batch, texts};
use crate::catalog::{StreamDef, Table, TableKind, User};
use crate::engine::errors;
use crate::engine::planning::Planning;
use crate::error::Result;
use crate::tables::streaming::status::{StreamGap, StreamNumbers, StreamPartition};
use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// A streaming table, and what its job tells; `None` when no job was started for it.
struct Stream {
    table: Arc<Table>,
    numbers: Option<StreamNumbers>,
}

impl Stream {
    fn definition(&self) -> Option<&StreamDef> {
        self.table.stream.as_ref()
    }

    fn state(&self) -> &'static str {
        match &self.numbers {
            Some(numbers) => numbers.state.name(),
            None if self.definition().is_some_and(|stream| stream.paused) => "paused",
            None => "starting",
        }
    }

    /// An option under one of its spellings.
    fn option(&self, spellings: &[&str]) -> Option<String> {
        let known = |key: &str| spellings.iter().any(|spelling| spelling.eq_ignore_ascii_case(key));
        self.table.options.iter().find(|(key, _)| known(key)).map(|(_, value)| value.clone())
    }

    fn topic(&self) -> Option<String> {
        self.option(&["topic", "subscribe", "kafka.topic"])
    }

    fn format(&self) -> String {
        self.option(&["format", "value.format"]).unwrap_or_else(|| "json".into())
    }
}

/// The streaming tables of the statement's catalog, by database and name.
fn streams(planning: &Planning) -> Vec<Stream> {
    let board = planning.engine().streams_board();
    let tables = planning.snapshot().tables.values().filter(|table| table.kind == TableKind::Streaming);
    tables.map(|table| Stream { table: Arc::clone(table), numbers: board.get(&table.id).map(|status| status.snapshot()) }).collect()
}

/// One value of each stream that has a job.
struct Columns<'a>(&'a [Stream]);

impl Columns<'_> {
    fn text(&self, value: impl Fn(&Stream) -> Option<String>) -> ArrayRef {
        texts(self.0.iter().map(value))
    }

    fn count(&self, value: impl Fn(&StreamNumbers) -> Option<i64>) -> ArrayRef {
        Arc::new(self.0.iter().map(|stream| stream.numbers.as_ref().and_then(&value)).collect::<Int64Array>())
    }

    fn amount(&self, value: impl Fn(&StreamNumbers) -> u64) -> ArrayRef {
        self.count(|numbers| Some(i64::try_from(value(numbers)).unwrap_or(i64::MAX)))
    }

    fn number(&self, value: impl Fn(&StreamNumbers) -> Option<f64>) -> ArrayRef {
        Arc::new(self.0.iter().map(|stream| stream.numbers.as_ref().and_then(&value)).collect::<Float64Array>())
    }
}

/// The rows of `system.streams`.
pub fn stream_rows(planning: &Planning, _user: &User) -> Result<RecordBatch> {
    let streams = streams(planning);
    let columns = Columns(&streams);
    batch(vec![
        ("database_name", columns.text(|stream| Some(stream.table.database.clone()))),
        ("table_name", columns.text(|stream| Some(stream.table.name.clone()))),
        ("state", columns.text(|stream| Some(stream.state().to_owned()))),
        ("topic", columns.text(Stream::topic)),
        ("format", columns.text(|stream| Some(stream.format()))),
        ("position", columns.count(|numbers| Some(numbers.position_total()))),
        ("lag_messages", columns.count(StreamNumbers::lag_messages)),
        ("freshness_seconds", columns.number(StreamNumbers::freshness_seconds)),
        ("rows_per_second", columns.number(|numbers| Some(numbers.rows_per_second()))),
        ("rows_total", columns.amount(|numbers| numbers.rows_total)),
        ("hot_rows", columns.amount(|numbers| numbers.hot_rows)),
        ("hot_bytes", columns.amount(|numbers| numbers.hot_bytes)),
        ("commit_age_seconds", columns.number(StreamNumbers::commit_age_seconds)),
        ("commit_seconds", columns.number(|numbers| numbers.commit_seconds)),
        ("epoch", columns.count(|numbers| Some(numbers.epoch))),
        ("dead_letters", columns.amount(|numbers| numbers.dead_letters)),
        ("tombstones", columns.amount(|numbers| numbers.tombstones)),
        ("nulled_fields", columns.amount(|numbers| numbers.nulled_fields)),
        ("restarts", columns.amount(|numbers| numbers.restarts)),
        (
            "paused",
            Arc::new(streams.iter().map(|stream| stream.definition().map(|stream| stream.paused)).collect::<BooleanArray>()) as ArrayRef,
        ),
        ("last_error", columns.text(|stream| stream.numbers.as_ref()?.last_error.clone())),
    ])
}

/// The columns of SHOW STREAMS.
pub fn listing_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let count = |name: &str| Field::new(name, DataType::Int64, true);
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    Arc::new(Schema::new(vec![
        text("database_name"),
        text("table_name"),
        text("state"),
        text("topic"),
        count("lag_messages"),
        number("freshness_seconds"),
        number("rows_per_second"),
        count("dead_letters"),
        text("last_error"),
    ]))
}

/// The rows of SHOW STREAMS, of the tables whose name is wanted.
pub fn listing(planning: &Planning, is_wanted: impl Fn(&str) -> bool) -> Result<RecordBatch> {
    let streams: Vec<Stream> = streams(planning).into_iter().filter(|stream| is_wanted(&stream.table.name)).collect();
    let columns = Columns(&streams);
    let columns = vec![
        columns.text(|stream| Some(stream.table.database.clone())),
        columns.text(|stream| Some(stream.table.name.clone())),
        columns.text(|stream| Some(stream.state().to_owned())),
        columns.text(Stream::topic),
        columns.count(StreamNumbers::lag_messages),
        columns.number(StreamNumbers::freshness_seconds),
        columns.number(|numbers| Some(numbers.rows_per_second())),
        columns.amount(|numbers| numbers.dead_letters),
        columns.text(|stream| stream.numbers.as_ref()?.last_error.clone()),
    ];
    RecordBatch::try_new(listing_schema(), columns).map_err(errors::from_arrow)
}

/// The rows of `system.stream_partitions`.
pub fn partition_rows(planning: &Planning, _user: &User) -> Result<RecordBatch> {
    let streams = streams(planning);
    let rows: Vec<(&Stream, i32, StreamPartition)> = streams
        .iter()
        .flat_map(|stream| {
            let partitions = stream.numbers.iter().flat_map(|numbers| &numbers.partitions);
            partitions.map(move |(partition, numbers)| (stream, *partition, *numbers))
        })
        .collect();
    let count =
        |value: fn(&StreamPartition) -> Option<i64>| Arc::new(rows.iter().map(|(.., row)| value(row)).collect::<Int64Array>()) as ArrayRef;
    batch(vec![
        ("database_name", texts(rows.iter().map(|(stream, ..)| Some(stream.table.database.clone())))),
        ("table_name", texts(rows.iter().map(|(stream, ..)| Some(stream.table.name.clone())))),
        ("topic", texts(rows.iter().map(|(stream, ..)| stream.topic()))),
        ("partition", Arc::new(rows.iter().map(|(_, partition, _)| Some(*partition)).collect::<Int32Array>()) as ArrayRef),
        ("low_watermark", count(|row| row.low_watermark)),
        ("high_watermark", count(|row| row.high_watermark)),
        ("position", count(|row| Some(row.position))),
        ("committed", count(|row| row.committed)),
        ("lag_messages", count(StreamPartition::lag_messages)),
        ("at_end", Arc::new(rows.iter().map(|(.., row)| Some(row.at_end)).collect::<BooleanArray>()) as ArrayRef),
        ("watermark", Arc::new(rows.iter().map(|(.., row)| row.watermark_us).collect::<TimestampMicrosecondArray>()) as ArrayRef),
    ])
}

/// The rows of `system.stream_gaps`.
pub fn gap_rows(planning: &Planning, _user: &User) -> Result<RecordBatch> {
    let streams = streams(planning);
    let rows: Vec<(&Stream, StreamGap)> =
        streams.iter().flat_map(|stream| stream.numbers.iter().flat_map(|numbers| &numbers.gaps).map(move |gap| (stream, *gap))).collect();
    let count = |value: fn(&StreamGap) -> i64| Arc::new(rows.iter().map(|(_, gap)| Some(value(gap))).collect::<Int64Array>()) as ArrayRef;
    batch(vec![
        ("database_name", texts(rows.iter().map(|(stream, _)| Some(stream.table.database.clone())))),
        ("table_name", texts(rows.iter().map(|(stream, _)| Some(stream.table.name.clone())))),
        ("topic", texts(rows.iter().map(|(stream, _)| stream.topic()))),
        ("partition", Arc::new(rows.iter().map(|(_, gap)| Some(gap.partition)).collect::<Int32Array>()) as ArrayRef),
        ("from_offset", count(|gap| gap.from_offset)),
        ("to_offset", count(|gap| gap.to_offset)),
        ("seen_at", Arc::new(rows.iter().map(|(_, gap)| Some(gap.seen_ms * 1000)).collect::<TimestampMicrosecondArray>()) as ArrayRef),
    ])
}
