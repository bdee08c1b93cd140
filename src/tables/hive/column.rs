//! Builds one Arrow column out of texts: what CSV fields, JSON scalars and partition values share.

use super::numbers::Numbers;
use super::value;
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::builder::{BinaryBuilder, BooleanBuilder, LargeStringBuilder, StringBuilder, StringViewBuilder};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::common::ScalarValue;
use std::sync::Arc;

/// Why a text is not a value of the column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadText {
    /// The text means no value of this type.
    Value,
    /// The bytes are not UTF-8.
    Utf8,
}

/// Why a record that came by itself made no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowMisfit {
    /// It is not one record as the format asks: nothing was appended.
    Broken(String),
    /// A value does not fit its column: a row without meaning was appended, which the caller filters out.
    Value(String),
}

/// How timestamps are written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TimestampText {
    Iso,
    /// A chrono pattern.
    Pattern(String),
    /// Numbers, each so many microseconds.
    Epoch(i64),
}

impl TimestampText {
    fn parse(&self, text: &[u8]) -> Option<i64> {
        match self {
            Self::Iso => value::timestamp(text),
            Self::Pattern(pattern) => value::timestamp_by(text, pattern),
            // A fraction of a second is kept; it is exact down to the microsecond.
            Self::Epoch(unit) => match value::integer(text) {
                Some(count) => count.checked_mul(*unit),
                None => {
                    let scale = if *unit == 1_000_000 { 6 } else { 3 };
                    i64::try_from(value::decimal(text, 38, scale)?).ok()
                }
            },
        }
    }
}

/// The values of one column so far.
#[derive(Debug)]
pub(crate) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Int8(Numbers<Int8Type>),
    Int16(Numbers<Int16Type>),
    Int32(Numbers<Int32Type>),
    Int64(Numbers<Int64Type>),
    UInt8(Numbers<UInt8Type>),
    UInt16(Numbers<UInt16Type>),
    UInt32(Numbers<UInt32Type>),
    UInt64(Numbers<UInt64Type>),
    Float32(Numbers<Float32Type>),
    Float64(Numbers<Float64Type>),
    Decimal(Numbers<Decimal128Type>, u8, i8),
    Date(Numbers<Date32Type>),
    Timestamp(Numbers<TimestampMicrosecondType>, TimestampText),
    Utf8(StringBuilder),
    LargeUtf8(LargeStringBuilder),
    Utf8View(StringViewBuilder),
    Binary(BinaryBuilder),
}

/// Runs one expression on whichever builder it is.
macro_rules! each {
    ($column:expr, $builder:ident => $run:expr) => {
        match $column {
            ColumnBuilder::Boolean($builder) => $run,
            ColumnBuilder::Int8($builder) => $run,
            ColumnBuilder::Int16($builder) => $run,
            ColumnBuilder::Int32($builder) => $run,
            ColumnBuilder::Int64($builder) => $run,
            ColumnBuilder::UInt8($builder) => $run,
            ColumnBuilder::UInt16($builder) => $run,
            ColumnBuilder::UInt32($builder) => $run,
            ColumnBuilder::UInt64($builder) => $run,
            ColumnBuilder::Float32($builder) => $run,
            ColumnBuilder::Float64($builder) => $run,
            ColumnBuilder::Decimal($builder, ..) => $run,
            ColumnBuilder::Date($builder) => $run,
            ColumnBuilder::Timestamp($builder, _) => $run,
            ColumnBuilder::Utf8($builder) => $run,
            ColumnBuilder::LargeUtf8($builder) => $run,
            ColumnBuilder::Utf8View($builder) => $run,
            ColumnBuilder::Binary($builder) => $run,
        }
    };
}

impl ColumnBuilder {
    /// A builder for a field; `format` is for the message about a type that this format cannot hold.
    pub(crate) fn new(field: &Field, timestamps: &TimestampText, format: &str) -> Result<Self> {
        Ok(match field.data_type() {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int8 => Self::Int8(Numbers::new(field.data_type())),
            DataType::Int16 => Self::Int16(Numbers::new(field.data_type())),
            DataType::Int32 => Self::Int32(Numbers::new(field.data_type())),
            DataType::Int64 => Self::Int64(Numbers::new(field.data_type())),
            DataType::UInt8 => Self::UInt8(Numbers::new(field.data_type())),
            DataType::UInt16 => Self::UInt16(Numbers::new(field.data_type())),
            DataType::UInt32 => Self::UInt32(Numbers::new(field.data_type())),
            DataType::UInt64 => Self::UInt64(Numbers::new(field.data_type())),
            DataType::Float32 => Self::Float32(Numbers::new(field.data_type())),
            DataType::Float64 => Self::Float64(Numbers::new(field.data_type())),
            DataType::Decimal128(precision, scale) => Self::Decimal(Numbers::new(field.data_type()), *precision, *scale),
            DataType::Date32 => Self::Date(Numbers::new(field.data_type())),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Timestamp(Numbers::new(field.data_type()), timestamps.clone()),
            DataType::Utf8 => Self::Utf8(StringBuilder::new()),
            DataType::LargeUtf8 => Self::LargeUtf8(LargeStringBuilder::new()),
            DataType::Utf8View => Self::Utf8View(StringViewBuilder::new()),
            DataType::Binary => Self::Binary(BinaryBuilder::new()),
            other => {
                return Err(Error::new(
                    Code::NotSupported,
                    format!("column \"{}\" has type {}, which {format} files cannot hold", field.name(), sql_type(other)),
                )
                .hint("Declare the column as STRING."));
            }
        })
    }

    /// Appends the value that `text` means, or nothing at all.
    pub(crate) fn append(&mut self, text: &[u8]) -> Result<(), BadText> {
        /// Appends a number that must fit a narrower type.
        macro_rules! narrow {
            ($builder:expr, $number:expr) => {
                $builder.append_value($number.and_then(|wide| wide.try_into().ok()).ok_or(BadText::Value)?)
            };
        }
        match self {
            Self::Utf8(builder) => builder.append_value(utf8(text)?),
            Self::Int64(builder) => builder.append_value(value::integer(text).ok_or(BadText::Value)?),
            Self::Float64(builder) => builder.append_value(value::double(text).ok_or(BadText::Value)?),
            Self::Int32(builder) => narrow!(builder, value::integer(text)),
            Self::Int16(builder) => narrow!(builder, value::integer(text)),
            Self::Int8(builder) => narrow!(builder, value::integer(text)),
            Self::UInt64(builder) => builder.append_value(value::unsigned(text).ok_or(BadText::Value)?),
            Self::UInt32(builder) => narrow!(builder, value::unsigned(text)),
            Self::UInt16(builder) => narrow!(builder, value::unsigned(text)),
            Self::UInt8(builder) => narrow!(builder, value::unsigned(text)),
            Self::Float32(builder) => builder.append_value(value::float(text).ok_or(BadText::Value)?),
            Self::Boolean(builder) => builder.append_value(value::boolean(text).ok_or(BadText::Value)?),
            Self::Decimal(builder, precision, scale) => {
                builder.append_value(value::decimal(text, *precision, *scale).ok_or(BadText::Value)?);
            }
            Self::Date(builder) => builder.append_value(value::date(text).ok_or(BadText::Value)?),
            Self::Timestamp(builder, timestamps) => builder.append_value(timestamps.parse(text).ok_or(BadText::Value)?),
            Self::LargeUtf8(builder) => builder.append_value(utf8(text)?),
            Self::Utf8View(builder) => builder.append_value(utf8(text)?),
            Self::Binary(builder) => builder.append_value(text),
        }
        Ok(())
    }

    /// As [`Self::append`], of a text that is known to be UTF-8. `false`: it has no such value, and nothing was appended.
    // Inlined by force, as the next one: streams call them for each value, and what they do is less than a call.
    #[inline(always)]
    pub(super) fn append_text(&mut self, text: &str) -> bool {
        match self {
            Self::Utf8(builder) => builder.append_value(text),
            Self::Timestamp(builder, TimestampText::Iso) => match value::timestamp(text.as_bytes()) {
                Some(micros) => builder.append_value(micros),
                None => return false,
            },
            other => return other.append(text.as_bytes()).is_ok(),
        }
        true
    }

    /// Appends `mantissa / 10^n_decimals` where that is the value exactly. `false`: it may have one all the same, which
    /// its text tells, and nothing was appended.
    #[inline(always)]
    pub(crate) fn append_number(&mut self, mantissa: i64, n_decimals: u8) -> bool {
        match self {
            Self::Int64(builder) if n_decimals == 0 => builder.append_value(mantissa),
            Self::Float64(builder) => match exact_double(mantissa, n_decimals) {
                Some(number) => builder.append_value(number),
                None => return false,
            },
            _ if n_decimals > 0 => return false,
            Self::Int32(builder) => match mantissa.try_into() {
                Ok(number) => builder.append_value(number),
                Err(_) => return false,
            },
            Self::Timestamp(builder, TimestampText::Epoch(unit)) => match mantissa.checked_mul(*unit) {
                Some(micros) => builder.append_value(micros),
                None => return false,
            },
            _ => return false,
        }
        true
    }

    pub(crate) fn append_null(&mut self) {
        each!(self, builder => builder.append_null());
    }

    /// The column; the builder is empty again.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        let array = each!(self, builder => Arc::new(builder.finish()) as ArrayRef);
        if let Self::Utf8(builder) = self {
            // As much room as was needed: see `Numbers::finish`.
            *builder = StringBuilder::with_capacity(array.len(), array.as_string::<i32>().value_data().len());
        }
        array
    }

    /// Whether the column holds text: then a number or an object of JSON is taken as it is written.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Utf8(_) | Self::LargeUtf8(_) | Self::Utf8View(_) | Self::Binary(_))
    }
}

/// The double next to `mantissa / 10^n_decimals`, when one division gives it: both sides are doubles without rounding.
/// (William D. Clinger, "How to read floating point numbers accurately", 1990.)
fn exact_double(mantissa: i64, n_decimals: u8) -> Option<f64> {
    const POWERS: [f64; 19] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18];
    let power = POWERS.get(usize::from(n_decimals))?;
    (mantissa.unsigned_abs() <= 1 << 53).then(|| mantissa as f64 / power)
}

fn utf8(text: &[u8]) -> Result<&str, BadText> {
    std::str::from_utf8(text).map_err(|_| BadText::Utf8)
}

/// One value of a type out of a text; `None` when the text means none.
pub(super) fn scalar(text: &str, data_type: &DataType) -> Option<ScalarValue> {
    let field = Field::new("value", data_type.clone(), true);
    let mut builder = ColumnBuilder::new(&field, &TimestampText::Iso, "partition").ok()?;
    builder.append(text.as_bytes()).ok()?;
    let array = builder.finish();
    debug_assert_eq!(array.len(), 1);
    ScalarValue::try_from_array(&array, 0).ok()
}

/// The SQL name of a type, for messages.
pub(crate) fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => format!("DECIMAL({precision},{scale})"),
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "BINARY".into(),
        DataType::Dictionary(_, value) => sql_type(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("ARRAY<{}>", sql_type(item.data_type()))
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| format!("{}: {}", field.name(), sql_type(field.data_type()))).collect::<Vec<_>>();
            format!("STRUCT<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("MAP<{}, {}>", sql_type(pair[0].data_type()), sql_type(pair[1].data_type()))
            }
            _ => "MAP".into(),
        },
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        other => other.to_string().to_uppercase(),
    }
}

/// A text for a message: one line, at most 60 characters.
pub(super) fn shorten(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut short = text.chars().take(60).map(|letter| if letter.is_control() { ' ' } else { letter }).collect::<String>();
    if text.chars().nth(60).is_some() {
        short.push_str("..");
    }
    short
}
