//! JSON lines: one object for each row.

use crate::error::{Code, Error, Result};
use crate::tables::hive::JsonTimestamp;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, Float32Type, Float64Type, Int64Type, Schema, TimeUnit};
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::LineDelimited;
use std::sync::Arc;

/// True for types with a JSON form that is read back as the same value.
pub(super) fn can_hold(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => can_hold(value),
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => can_hold(field.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| can_hold(field.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                matches!(fields.first().map(|key| key.data_type()), Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View))
                    && fields.iter().all(|field| can_hold(field.data_type()))
            }
            _ => false,
        },
        DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Interval(_) | DataType::Duration(_) => false,
        other => other.is_primitive(),
    }
}

pub(super) struct JsonEncoder {
    timestamps: JsonTimestamp,
}

impl JsonEncoder {
    pub(super) fn new(timestamps: JsonTimestamp) -> Self {
        Self { timestamps }
    }

    /// The lines of a batch.
    pub(super) fn encode(&self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let mut fields = Vec::with_capacity(batch.num_columns());
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            check_numbers(column, field.name())?;
            check_dates(column, field.name())?;
            let column = self.timestamps_as_asked(column)?;
            fields.push(Field::new(field.name(), column.data_type().clone(), true));
            columns.push(column);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| failed(&error.to_string()))?;
        let builder = WriterBuilder::new()
            .with_timestamp_format("%Y-%m-%dT%H:%M:%S%.f".into())
            .with_timestamp_tz_format("%Y-%m-%dT%H:%M:%S%.f%:z".into());
        let mut writer = builder.build::<_, LineDelimited>(Vec::new());
        writer.write(&batch).and_then(|()| writer.finish()).map_err(|error| failed(&error.to_string()))?;
        Ok(writer.into_inner())
    }

    /// Numbers instead of texts for timestamps, without losing the microseconds.
    fn timestamps_as_asked(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let DataType::Timestamp(..) = column.data_type() else { return Ok(Arc::clone(column)) };
        let (per_unit, scale) = match self.timestamps {
            JsonTimestamp::Iso8601 => return Ok(Arc::clone(column)),
            JsonTimestamp::EpochMs => (1_000, 3),
            JsonTimestamp::EpochS => (1_000_000, 6),
        };
        let convert = |column: &ArrayRef, target: &DataType| cast(column, target).map_err(|error| failed(&error.to_string()));
        let micros = convert(&convert(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?, &DataType::Int64)?;
        let values = micros.as_primitive::<Int64Type>();
        match values.iter().flatten().all(|value| value % per_unit == 0) {
            true => Ok(Arc::new(values.unary::<_, Int64Type>(|value| value / per_unit))),
            // A decimal keeps every digit, and is written as a number.
            false => {
                let decimals = values.unary::<_, Decimal128Type>(i128::from).with_precision_and_scale(38, scale);
                Ok(Arc::new(decimals.map_err(|error| failed(&error.to_string()))?))
            }
        }
    }
}

/// JSON has no NaN and no infinity; the writer below would make them null without a word.
fn check_numbers(column: &ArrayRef, name: &str) -> Result<()> {
    let is_wrong = match column.data_type() {
        DataType::Float32 => column.as_primitive::<Float32Type>().iter().flatten().any(|value| !value.is_finite()),
        DataType::Float64 => column.as_primitive::<Float64Type>().iter().flatten().any(|value| !value.is_finite()),
        DataType::Struct(_) => column.as_struct().columns().iter().try_for_each(|child| check_numbers(child, name)).is_err(),
        DataType::List(_) => check_numbers(column.as_list::<i32>().values(), name).is_err(),
        DataType::LargeList(_) => check_numbers(column.as_list::<i64>().values(), name).is_err(),
        DataType::FixedSizeList(..) => check_numbers(column.as_fixed_size_list().values(), name).is_err(),
        DataType::Map(..) => check_numbers(column.as_map().values(), name).is_err(),
        _ => false,
    };
    match is_wrong {
        false => Ok(()),
        true => Err(Error::new(Code::InvalidValue, format!("column \"{name}\" has NaN or an infinite number, which JSON cannot hold"))
            .hint("Replace it with NULL, for example by nullif(value, 'NaN'::double).")),
    }
}

/// A date too far away to be printed: the writer below would put the words of an error into the file.
fn check_dates(column: &ArrayRef, name: &str) -> Result<()> {
    const DAYS_MAX: i64 = 95_000_000;
    let per_day = match column.data_type() {
        DataType::Date32 => 1,
        DataType::Date64 => 86_400_000,
        DataType::Timestamp(TimeUnit::Second, _) => 86_400,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 86_400_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 86_400_000_000,
        _ => return Ok(()),
    };
    let days = match column.data_type() {
        DataType::Date32 => cast(column, &DataType::Int32).and_then(|days| cast(&days, &DataType::Int64)),
        _ => cast(column, &DataType::Int64),
    };
    let days = days.map_err(|error| failed(&error.to_string()))?;
    match days.as_primitive::<Int64Type>().iter().flatten().all(|value| (value / per_day).abs() <= DAYS_MAX) {
        true => Ok(()),
        false => Err(Error::new(Code::InvalidValue, format!("column \"{name}\" has a date beyond the year 262000, which has no text"))),
    }
}

fn failed(message: &str) -> Error {
    Error::new(Code::InvalidValue, format!("could not write a value as JSON: {message}"))
}
