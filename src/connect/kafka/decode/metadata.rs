//! Columns out of what a record says besides its payload.

use super::Record;
use crate::connect::MetadataKind;
use crate::error::{Code, Error, Result};
use crate::tables::hive::{ColumnBuilder, TimestampText, sql_type};
use datafusion::arrow::array::builder::StringBuilder;
use datafusion::arrow::array::{ArrayRef, MapArray, NullBufferBuilder, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::arrow::error::ArrowError;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// One METADATA column.
pub(super) struct MetadataColumn {
    kind: MetadataKind,
    field: FieldRef,
    values: Values,
    scratch: String,
}

enum Values {
    Scalar(Box<ColumnBuilder>),
    /// Headers as a map.
    Map(Box<HeaderMap>),
}

struct HeaderMap {
    entries: FieldRef,
    is_sorted: bool,
    keys: StringBuilder,
    values: ColumnBuilder,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl MetadataColumn {
    pub(super) fn new(kind: MetadataKind, field: &FieldRef) -> Result<Self> {
        // Times are fed as milliseconds: a number stays one, a TIMESTAMP is made out of it.
        let timestamps = TimestampText::Epoch(1_000);
        let values = match (kind, field.data_type()) {
            (MetadataKind::Headers, DataType::Map(entries, is_sorted)) => {
                let pair = match entries.data_type() {
                    DataType::Struct(pair) if pair.len() == 2 && pair[0].data_type() == &DataType::Utf8 => pair,
                    _ => return Err(unfit(field)),
                };
                let values = match pair[1].data_type() {
                    DataType::Utf8 | DataType::Binary => ColumnBuilder::new(&pair[1], &timestamps, "Kafka")?,
                    _ => return Err(unfit(field)),
                };
                Values::Map(Box::new(HeaderMap {
                    entries: FieldRef::clone(entries),
                    is_sorted: *is_sorted,
                    keys: StringBuilder::new(),
                    values,
                    offsets: vec![0],
                    nulls: NullBufferBuilder::new(0),
                }))
            }
            (MetadataKind::Headers, DataType::Utf8) => Values::Scalar(Box::new(ColumnBuilder::new(field, &timestamps, "Kafka")?)),
            (MetadataKind::Headers, _) => return Err(unfit(field)),
            (kind, data_type) => {
                let fits = match kind {
                    MetadataKind::Partition | MetadataKind::Offset => data_type.is_integer() || data_type == &DataType::Utf8,
                    MetadataKind::Timestamp => {
                        matches!(data_type, DataType::Timestamp(..) | DataType::Int64 | DataType::UInt64 | DataType::Utf8)
                    }
                    MetadataKind::Topic => matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
                    MetadataKind::Key | MetadataKind::Headers => true,
                };
                if !fits {
                    return Err(unfit(field));
                }
                Values::Scalar(Box::new(ColumnBuilder::new(field, &timestamps, "Kafka")?))
            }
        };
        Ok(Self { kind, field: FieldRef::clone(field), values, scratch: String::new() })
    }

    pub(super) fn kind(&self) -> MetadataKind {
        self.kind
    }

    pub(super) fn is_nullable(&self) -> bool {
        self.field.is_nullable()
    }

    /// Appends the value of a record, or nothing and says why.
    pub(super) fn append(&mut self, topic: &str, record: &Record<'_>) -> Result<(), String> {
        let scratch = &mut self.scratch;
        scratch.clear();
        let column = match &mut self.values {
            Values::Map(map) => {
                map.append(&record.headers);
                return Ok(());
            }
            Values::Scalar(column) => column,
        };
        let known = match self.kind {
            MetadataKind::Partition => Some(i64::from(record.partition)),
            MetadataKind::Offset => Some(record.offset),
            MetadataKind::Timestamp => record.timestamp_ms,
            MetadataKind::Topic | MetadataKind::Key | MetadataKind::Headers => None,
        };
        if known.is_some_and(|known| column.append_number(known, 0)) {
            return Ok(());
        }
        // Other types by their texts.
        let text: Option<&[u8]> = match self.kind {
            MetadataKind::Topic => Some(topic.as_bytes()),
            MetadataKind::Partition => number(scratch, i64::from(record.partition)),
            MetadataKind::Offset => number(scratch, record.offset),
            MetadataKind::Timestamp => record.timestamp_ms.and_then(|ms| number(scratch, ms)),
            MetadataKind::Key => record.key,
            MetadataKind::Headers => {
                *scratch = headers_as_json(&record.headers);
                Some(scratch.as_bytes())
            }
        };
        let Some(text) = text else {
            if !self.field.is_nullable() {
                return Err(format!("column \"{}\" is NOT NULL and has no value", self.field.name()));
            }
            column.append_null();
            return Ok(());
        };
        if column.append(text).is_ok() || (self.kind == MetadataKind::Key && append_big_endian(column, text)) {
            return Ok(());
        }
        let what = if self.kind == MetadataKind::Key { "the key" } else { "the record's metadata" };
        Err(format!("column \"{}\": {what} is not of type {}", self.field.name(), sql_type(self.field.data_type())))
    }

    pub(super) fn append_null(&mut self) {
        match &mut self.values {
            Values::Scalar(column) => column.append_null(),
            Values::Map(map) => {
                map.offsets.push(map.offsets.last().copied().unwrap_or_default());
                map.nulls.append_null();
            }
        }
    }

    pub(super) fn finish(&mut self) -> Result<ArrayRef> {
        match &mut self.values {
            Values::Scalar(column) => Ok(column.finish()),
            Values::Map(map) => map.finish(),
        }
    }
}

impl HeaderMap {
    /// Of equal names the last counts. A value that is no text is NULL in a map of texts.
    fn append(&mut self, headers: &[(&str, Option<&[u8]>)]) {
        let headers = headers.iter().copied().collect::<BTreeMap<_, _>>();
        for (name, value) in &headers {
            self.keys.append_value(name);
            match value {
                Some(value) if self.values.append(value).is_ok() => {}
                _ => self.values.append_null(),
            }
        }
        let count = i32::try_from(headers.len()).unwrap_or_default();
        self.offsets.push(self.offsets.last().copied().unwrap_or_default() + count);
        self.nulls.append_non_null();
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let wrong = |error: ArrowError| Error::internal(error.to_string());
        let DataType::Struct(pair) = self.entries.data_type() else { return Err(Error::internal("a map without entries")) };
        let arrays: Vec<ArrayRef> = vec![Arc::new(self.keys.finish()), self.values.finish()];
        let pairs = StructArray::try_new(pair.clone(), arrays, None).map_err(wrong)?;
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        let map = MapArray::try_new(FieldRef::clone(&self.entries), offsets, pairs, self.nulls.finish(), self.is_sorted);
        Ok(Arc::new(map.map_err(wrong)?))
    }
}

fn number(scratch: &mut String, value: i64) -> Option<&[u8]> {
    write!(scratch, "{value}").ok()?;
    Some(scratch.as_bytes())
}

/// A key that is no text may be what Java's serializers of numbers write.
fn append_big_endian(column: &mut ColumnBuilder, key: &[u8]) -> bool {
    match column {
        ColumnBuilder::Int64(builder) => <[u8; 8]>::try_from(key).map(|bytes| builder.append_value(i64::from_be_bytes(bytes))).is_ok(),
        ColumnBuilder::Int32(builder) => <[u8; 4]>::try_from(key).map(|bytes| builder.append_value(i32::from_be_bytes(bytes))).is_ok(),
        _ => false,
    }
}

fn headers_as_json(headers: &[(&str, Option<&[u8]>)]) -> String {
    let members = headers.iter().map(|(name, value)| {
        let value = value.map_or(serde_json::Value::Null, |value| String::from_utf8_lossy(value).into_owned().into());
        ((*name).to_string(), value)
    });
    serde_json::Value::Object(members.collect()).to_string()
}

fn unfit(field: &Field) -> Error {
    let what = format!("column \"{}\" of type {} cannot be fed from this metadata", field.name(), sql_type(field.data_type()));
    Error::new(Code::InvalidParameter, what).hint(
        "Use STRING for topic; INT or BIGINT for partition and offset; TIMESTAMP or BIGINT for timestamp; \
         STRING, BINARY or a number for key; MAP<STRING, STRING>, MAP<STRING, BINARY> or STRING for headers.",
    )
}
