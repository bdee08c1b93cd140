//! The one module that decides which types leave the server.
//!
//! The query engine emits types that clients misread or refuse (`Utf8View`, `UInt64`, `Null`, intervals ..).
//! Everything that crosses a door has the types of [`edge_type`]; the schema announced at prepare time and
//! the schema of every batch come from [`edge_schema`], so they are equal, nullability and metadata too.
//!
//! ```text
//! plan schema ── edge_schema ──► announced schema ─┐
//!                                                  ├─ equal
//! engine stream ─ edge_stream ─► batches ──────────┘
//! ```

mod convert;
mod size;
#[cfg(test)]
mod tests;
mod text;

use super::types;
use crate::error::{Error, Result};
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::sync::Arc;

/// The most bytes of data in one outgoing batch, unless a single row is larger.
pub const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The type that clients see for an engine type.
///
/// | engine | edge |
/// | --- | --- |
/// | Boolean, Int8..Int64, Float32, Float64, Utf8, Binary, Decimal128, Date32, Timestamp | the same |
/// | UInt8, UInt16, UInt32 | Int16, Int32, Int64 |
/// | UInt64 | Int64; a larger value is an error |
/// | Float16 | Float32 |
/// | Utf8View, LargeUtf8; LargeBinary, BinaryView, FixedSizeBinary | Utf8; Binary |
/// | Decimal32, Decimal64; Decimal256(_, s) | Decimal128; Decimal128(38, s), a value that does not fit is an error |
/// | Date64; Time32, Time64 | Date32; Time64(ns) |
/// | Interval, Duration | Utf8, ISO 8601 text (`P1Y2M`, `PT1H30M`) |
/// | Null | Utf8 |
/// | Dictionary, RunEndEncoded | the type of the values |
/// | List, LargeList, FixedSizeList, Struct, Map | the same over edge types |
/// | ListView, LargeListView | List, LargeList |
/// | Union | Utf8: the value as JSON |
pub fn edge_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Utf8View
        | DataType::LargeUtf8
        | DataType::Null
        | DataType::Interval(_)
        | DataType::Duration(_)
        | DataType::Union(_, _) => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => DataType::Decimal128(*precision, *scale),
        DataType::Decimal256(precision, scale) => DataType::Decimal128((*precision).min(38), (*scale).min(38)),
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Nanosecond),
        DataType::Dictionary(_, value) => edge_type(value),
        DataType::RunEndEncoded(_, values) => edge_type(values.data_type()),
        DataType::List(field) | DataType::ListView(field) => DataType::List(inner_field(field)),
        DataType::LargeList(field) | DataType::LargeListView(field) => DataType::LargeList(inner_field(field)),
        DataType::FixedSizeList(field, size) => DataType::FixedSizeList(inner_field(field), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(map_entries(entries), *sorted),
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::Binary
        | DataType::Decimal128(_, _)
        | DataType::Date32
        | DataType::Timestamp(_, _) => data_type.clone(),
    }
}

/// A field inside a nested type: its name stays, it may be null, and its metadata is left behind.
fn inner_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), edge_type(field.data_type()), true))
}

/// The entries of a map: Arrow demands that the entries and the keys are never null.
fn map_entries(entries: &FieldRef) -> FieldRef {
    let fields: Fields = match entries.data_type() {
        DataType::Struct(fields) => fields
            .iter()
            .enumerate()
            .map(|(index, field)| Arc::new(Field::new(field.name(), edge_type(field.data_type()), index != 0)))
            .collect(),
        // Not a map that Arrow would build; leave it for the conversion to refuse.
        _ => return Arc::clone(entries),
    };
    Arc::new(Field::new(entries.name(), DataType::Struct(fields), false))
}

/// The schema that clients see: edge types, every field nullable, metadata made from the type alone.
pub fn edge_schema(schema: &Schema) -> SchemaRef {
    let fields: Fields = schema.fields().iter().map(|field| edge_field(field.name(), field.data_type())).collect();
    Arc::new(Schema::new(fields))
}

/// One column as clients see it. ODBC crashes on a field without metadata, so there is always some.
pub fn edge_field(name: &str, data_type: &DataType) -> FieldRef {
    let data_type = edge_type(data_type);
    let metadata = field_metadata(&data_type);
    Arc::new(Field::new(name, data_type, true).with_metadata(metadata))
}

/// The Flight SQL column metadata of an edge type.
fn field_metadata(data_type: &DataType) -> HashMap<String, String> {
    let case_sensitive = matches!(data_type, DataType::Utf8);
    let mut pairs = vec![
        ("TYPE_NAME", types::client_name(data_type).to_owned()),
        ("IS_CASE_SENSITIVE", if case_sensitive { "1" } else { "0" }.to_owned()),
        ("IS_SEARCHABLE", if data_type.is_nested() { "0" } else { "1" }.to_owned()),
        ("IS_AUTO_INCREMENT", "0".to_owned()),
        ("IS_READ_ONLY", "1".to_owned()),
    ];
    if let Some(precision) = types::precision(data_type) {
        pairs.push(("PRECISION", precision.to_string()));
    }
    if let Some(scale) = types::scale(data_type) {
        pairs.push(("SCALE", scale.to_string()));
    }
    pairs.into_iter().map(|(key, value)| (format!("ARROW:FLIGHT:SQL:{key}"), value)).collect()
}

/// A batch with the edge types of `schema`, columns by position; columns that have them already are shared, not copied.
///
/// # Errors
/// `InvalidValue` for a value without a place in the edge type (`UInt64` above 2^63-1, `Decimal256` above 38 digits).
pub fn edge_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.num_columns() != schema.fields().len() {
        let (found, announced) = (batch.num_columns(), schema.fields().len());
        return Err(Error::internal(format!("a batch has {found} columns, {announced} were announced")));
    }
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(array, field)| convert::edge_array(array, field.data_type()).map_err(|error| error.of_column(field.name())))
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| Error::internal(format!("a batch does not have the announced schema: {error}")))
}

/// A stream of edge batches, each at most [`BATCH_BYTES_MAX`] unless one row alone is larger; empty batches are left out.
pub fn edge_stream(stream: SendableRecordBatchStream, schema: SchemaRef) -> SendableRecordBatchStream {
    let edge = Arc::clone(&schema);
    let batches = stream
        .map(move |batch| {
            let batch = edge_batch(&batch?, &edge).map_err(DataFusionError::from)?;
            let slices = size::slices(&batch, BATCH_BYTES_MAX).into_iter().map(Ok::<_, DataFusionError>);
            Ok::<_, DataFusionError>(futures::stream::iter(slices))
        })
        .try_flatten();
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}
