//! Statistics of one data file: made from its Parquet footer, kept as JSON in the log, used to skip files.

use crate::error::{Error, Result};
use crate::tables::streaming::{EPOCH_COLUMN, OFFSET_COLUMN, PARTITION_COLUMN, TIMESTAMP_COLUMN};
use chrono::{DateTime, NaiveDate};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::{max, min};
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde_json::Value;
use std::cmp::Ordering;

/// As Delta's default: statistics of the first columns only; besides them of the columns that every stream has, by which
/// old rows are found.
const COLUMNS_MAX: usize = 32;

/// Rows of a file and the bounds of its columns, in file order.
#[derive(Debug, Clone, PartialEq)]
pub struct FileStats {
    pub n_rows: u64,
    pub columns: Vec<ColumnStats>,
}

/// Bounds of one column in one file; `None` is not known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ColumnStats {
    pub min: Option<ScalarValue>,
    pub max: Option<ScalarValue>,
    pub n_nulls: Option<u64>,
}

/// True when bounds of this type are values of the column, not only around them (texts may be cut, floats hide NaN).
pub fn bounds_are_exact(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32)
}

/// Types that have bounds in the log.
fn has_bounds(data_type: &DataType) -> bool {
    bounds_are_exact(data_type)
        || matches!(
            data_type,
            DataType::Float32
                | DataType::Float64
                | DataType::Utf8
                | DataType::Decimal128(..)
                | DataType::Timestamp(TimeUnit::Microsecond, _)
        )
}

/// What the rows of one file say of columns without statistics in Parquet: bounds of floats, NULLs of texts.
///
/// Parquet's own bounds leave NaN out, but comparisons find NaN greater than every number: the engine would skip row
/// groups that have rows. So float columns have no statistics in our files, and only these in the log.
#[derive(Debug, Clone, Default)]
pub struct RowStats(Vec<SeenColumn>);

#[derive(Debug, Clone, Default)]
struct SeenColumn {
    min: Option<ScalarValue>,
    max: Option<ScalarValue>,
    n_nulls: u64,
    has_nan: bool,
}

impl RowStats {
    /// Takes the columns of a batch, in file order.
    pub fn observe(&mut self, columns: &[ArrayRef]) {
        self.0.resize_with(columns.len(), SeenColumn::default);
        for (seen, column) in self.0.iter_mut().zip(columns) {
            match column.data_type() {
                DataType::Float32 => {
                    let floats = column.as_primitive::<Float32Type>();
                    let (low, high) = (min(floats), max(floats));
                    seen.has_nan |= low.is_some_and(f32::is_nan) || high.is_some_and(f32::is_nan);
                    seen.widen(low.map(ScalarValue::from), high.map(ScalarValue::from));
                }
                DataType::Float64 => {
                    let floats = column.as_primitive::<Float64Type>();
                    let (low, high) = (min(floats), max(floats));
                    seen.has_nan |= low.is_some_and(f64::is_nan) || high.is_some_and(f64::is_nan);
                    seen.widen(low.map(ScalarValue::from), high.map(ScalarValue::from));
                }
                _ => {}
            }
            seen.n_nulls += column.null_count() as u64;
        }
    }

    fn stats(&self, index: usize) -> ColumnStats {
        match self.0.get(index) {
            None => ColumnStats::default(),
            Some(column) if column.has_nan => ColumnStats { n_nulls: Some(column.n_nulls), ..ColumnStats::default() },
            Some(column) => ColumnStats { min: column.min.clone(), max: column.max.clone(), n_nulls: Some(column.n_nulls) },
        }
    }
}

impl SeenColumn {
    fn widen(&mut self, low: Option<ScalarValue>, high: Option<ScalarValue>) {
        let is = |new: &ScalarValue, old: &Option<ScalarValue>, wanted| old.as_ref().is_none_or(|old| new.partial_cmp(old) == Some(wanted));
        if let Some(low) = low.filter(|low| is(low, &self.min, Ordering::Less)) {
            self.min = Some(low);
        }
        if let Some(high) = high.filter(|high| is(high, &self.max, Ordering::Greater)) {
            self.max = Some(high);
        }
    }
}

/// True for the columns of a stream that are nearly sorted: differences are shorter than any dictionary.
fn counts_up(field: &Field) -> bool {
    [PARTITION_COLUMN, OFFSET_COLUMN, TIMESTAMP_COLUMN, EPOCH_COLUMN].contains(&field.name().as_str())
        && matches!(field.data_type(), DataType::Int32 | DataType::Int64 | DataType::Timestamp(..))
}

/// True for whole numbers in Parquet: there differences are cheaper to write than a dictionary.
fn is_whole(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Date32 | DataType::Timestamp(..))
}

/// How data files are written. `is_brief`: files of a stream's commit: nearly all are small and merged soon, so time counts more
/// than space. To look every number up in a dictionary took more than half of the time to write them; of the rest zstd took a quarter,
/// dictionaries and bounds of texts a tenth each.
pub fn writer_properties(schema: &Schema, is_brief: bool) -> WriterProperties {
    let compression = if is_brief { Compression::SNAPPY } else { Compression::ZSTD(ZstdLevel::default()) };
    let mut properties =
        WriterProperties::builder().set_compression(compression).set_created_by(concat!("weir ", env!("CARGO_PKG_VERSION")).to_owned());
    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        if field.data_type().is_floating() {
            properties = properties.set_column_statistics_enabled(column.clone(), EnabledStatistics::None);
            if is_brief {
                properties = properties.set_column_dictionary_enabled(column, false);
            }
        } else if is_brief && field.data_type() == &DataType::Utf8 {
            properties = properties
                .set_column_statistics_enabled(column.clone(), EnabledStatistics::None)
                .set_column_dictionary_enabled(column, false);
        } else if counts_up(field) || (is_brief && is_whole(field.data_type())) {
            properties =
                properties.set_column_dictionary_enabled(column.clone(), false).set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
        }
    }
    properties.build()
}

impl FileStats {
    /// Reads the statistics out of the footer of a file just written; what is not there, `rows` knows.
    pub fn of_file(schema: &Schema, metadata: &ParquetMetaData, rows: &RowStats) -> Result<Self> {
        let internal = |error: &dyn std::fmt::Display| Error::internal(format!("statistics of a written file: {error}"));
        let n_rows = u64::try_from(metadata.file_metadata().num_rows()).map_err(|error| internal(&error))?;
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (index, field) in schema.fields().iter().enumerate() {
            if (index >= COLUMNS_MAX && !counts_up(field)) || field.data_type().is_nested() {
                columns.push(ColumnStats::default());
                continue;
            }
            if field.data_type().is_floating() {
                columns.push(rows.stats(index));
                continue;
            }
            let parquet_schema = metadata.file_metadata().schema_descr();
            let converter = StatisticsConverter::try_new(field.name(), schema, parquet_schema).map_err(|error| internal(&error))?;
            let groups = metadata.row_groups();
            let nulls = converter.row_group_null_counts(groups).map_err(|error| internal(&error))?;
            if nulls.null_count() > 0 {
                columns.push(rows.stats(index));
                continue;
            }
            let mut column = ColumnStats { n_nulls: Some(nulls.iter().flatten().sum()), ..ColumnStats::default() };
            if has_bounds(field.data_type()) {
                let mins = converter.row_group_mins(groups).map_err(|error| internal(&error))?;
                let maxes = converter.row_group_maxes(groups).map_err(|error| internal(&error))?;
                column.min = extreme(&mins, Ordering::Less)?;
                column.max = extreme(&maxes, Ordering::Greater)?;
            }
            columns.push(column);
        }
        Ok(Self { n_rows, columns })
    }

    /// The text for the log's `add.stats`.
    pub fn to_json(&self, schema: &Schema) -> String {
        let part = |text_of: &dyn Fn(&ColumnStats) -> Option<String>| {
            let entries = schema
                .fields()
                .iter()
                .zip(&self.columns)
                .filter_map(|(field, column)| Some(format!("{}:{}", Value::from(field.name().as_str()), text_of(column)?)));
            entries.collect::<Vec<_>>().join(",")
        };
        format!(
            "{{\"numRecords\":{},\"minValues\":{{{}}},\"maxValues\":{{{}}},\"nullCount\":{{{}}}}}",
            self.n_rows,
            part(&|column| column.min.as_ref().and_then(to_text)),
            part(&|column| column.max.as_ref().and_then(to_text)),
            part(&|column| column.n_nulls.map(|n_nulls| n_nulls.to_string())),
        )
    }

    /// Reads `add.stats`, of ours or of another writer; what cannot be read is not known.
    pub fn from_json(text: &str, schema: &Schema) -> Option<Self> {
        let stats: Value = serde_json::from_str(text).ok()?;
        let n_rows = stats.get("numRecords")?.as_u64()?;
        // After a delete by deletion vector bounds are only around the values; we refuse such tables, but be exact.
        let columns = schema
            .fields()
            .iter()
            .map(|field| {
                let bound = |part: &str| stats.get(part).and_then(|values| values.get(field.name()));
                ColumnStats {
                    min: bound("minValues").and_then(|value| from_value(value, field.data_type(), false)),
                    max: bound("maxValues").and_then(|value| from_value(value, field.data_type(), true)),
                    n_nulls: bound("nullCount").and_then(Value::as_u64),
                }
            })
            .collect();
        Some(Self { n_rows, columns })
    }

    /// Without the bounds of floats: other writers leave NaN out of them.
    pub fn without_floats(mut self, schema: &Schema) -> Self {
        for (column, _) in self.columns.iter_mut().zip(schema.fields()).filter(|(_, field)| field.data_type().is_floating()) {
            (column.min, column.max) = (None, None);
        }
        self
    }
}

/// The smallest or greatest of the bounds of all row groups; `None` as soon as one row group has none.
fn extreme(bounds: &ArrayRef, wanted: Ordering) -> Result<Option<ScalarValue>> {
    let mut best: Option<ScalarValue> = None;
    for index in 0..bounds.len() {
        if bounds.is_null(index) {
            return Ok(None);
        }
        let value = ScalarValue::try_from_array(bounds, index).map_err(|error| Error::internal(error.to_string()))?;
        match &best {
            Some(known) if value.partial_cmp(known) != Some(wanted) => {}
            _ => best = Some(value),
        }
    }
    Ok(best)
}

fn to_text(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Int8(value) => value.map(|value| value.to_string()),
        ScalarValue::Int16(value) => value.map(|value| value.to_string()),
        ScalarValue::Int32(value) => value.map(|value| value.to_string()),
        ScalarValue::Int64(value) => value.map(|value| value.to_string()),
        ScalarValue::Float32(value) => value.filter(|value| value.is_finite()).map(|value| Value::from(f64::from(value)).to_string()),
        ScalarValue::Float64(value) => value.filter(|value| value.is_finite()).map(|value| Value::from(value).to_string()),
        ScalarValue::Utf8(value) => value.as_deref().map(|value| Value::from(value).to_string()),
        ScalarValue::Decimal128(Some(_), ..) => match value.cast_to(&DataType::Utf8) {
            Ok(ScalarValue::Utf8(text)) => text,
            _ => None,
        },
        ScalarValue::Date32(Some(days)) => {
            let date = NaiveDate::default().checked_add_signed(chrono::TimeDelta::days(i64::from(*days)))?;
            Some(format!("\"{}\"", date.format("%Y-%m-%d")))
        }
        ScalarValue::TimestampMicrosecond(Some(micros), zone) => {
            let time = DateTime::from_timestamp_micros(*micros)?;
            Some(format!("\"{}{}\"", time.format("%Y-%m-%dT%H:%M:%S%.6f"), if zone.is_some() { "Z" } else { "" }))
        }
        _ => None,
    }
}

fn from_value(value: &Value, data_type: &DataType, is_max: bool) -> Option<ScalarValue> {
    if !has_bounds(data_type) {
        return None;
    }
    let text = match (value, data_type) {
        (Value::String(text), DataType::Utf8) => return Some(ScalarValue::from(text.as_str())),
        (Value::String(text), DataType::Date32 | DataType::Timestamp(..)) => text.clone(),
        (Value::Number(number), DataType::Decimal128(precision, _)) => {
            // A JSON number came through a double: more than 15 digits are not to be trusted.
            if *precision > 15 {
                return None;
            }
            number.to_string()
        }
        (Value::Number(number), _) if !matches!(data_type, DataType::Utf8 | DataType::Date32 | DataType::Timestamp(..)) => {
            number.to_string()
        }
        _ => return None,
    };
    let bound = ScalarValue::try_from_string(text.clone(), data_type).ok().filter(|bound| !bound.is_null())?;
    match bound {
        // Other writers cut bounds to milliseconds: the greatest value may be up to 999 microseconds later.
        ScalarValue::TimestampMicrosecond(Some(micros), zone) if is_max && fraction_digits(&text) <= 3 => {
            Some(ScalarValue::TimestampMicrosecond(micros.checked_add(999), zone))
        }
        bound => Some(bound),
    }
}

fn fraction_digits(text: &str) -> usize {
    text.split_once('.').map_or(0, |(_, rest)| rest.bytes().take_while(u8::is_ascii_digit).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{BooleanArray, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use std::sync::Arc;

    #[track_caller]
    fn check(min: ScalarValue, text: &str) {
        let schema = Schema::new(vec![Field::new("a \"b\"", min.data_type(), true)]);
        let column = ColumnStats { min: Some(min.clone()), max: Some(min), n_nulls: Some(3) };
        let stats = FileStats { n_rows: 7, columns: vec![column] };
        let json = stats.to_json(&schema);
        assert!(json.contains(&format!("\"minValues\":{{\"a \\\"b\\\"\":{text}}}")), "{json}");
        assert_eq!(FileStats::from_json(&json, &schema), Some(stats), "{json}");
    }

    #[test]
    fn texts_without_bounds_have_their_nulls_all_the_same() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true), Field::new("b", DataType::Boolean, true)]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, Some("y")]));
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![None, None, Some(true)]));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![texts, flags]).unwrap();
        for (is_brief, min) in [(true, None), (false, Some(ScalarValue::from("x")))] {
            let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(writer_properties(&schema, is_brief))).unwrap();
            let mut seen = RowStats::default();
            for _ in 0..2 {
                writer.write(&rows).unwrap();
                seen.observe(rows.columns());
            }
            let stats = FileStats::of_file(&schema, &writer.close().unwrap(), &seen).unwrap();
            let found = stats.columns.iter().map(|column| (column.min.clone(), column.n_nulls)).collect::<Vec<_>>();
            assert_eq!(found, [(min, Some(2)), (None, Some(4))], "is_brief: {is_brief}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int32, true)]);
        assert_eq!(FileStats::from_json("nonsense", &schema), None);
        assert_eq!(FileStats::from_json("{}", &schema), None);
        let stats = FileStats::from_json(r#"{"numRecords":1,"minValues":{"a":"x"},"maxValues":{"a":[1]}}"#, &schema).unwrap();
        assert_eq!(stats.columns, vec![ColumnStats::default()]);
    }

    #[test]
    fn every_bound_reads_back_as_written() {
        check(ScalarValue::Int8(Some(-1)), "-1");
        check(ScalarValue::Int64(Some(i64::MAX)), "9223372036854775807");
        check(ScalarValue::Float64(Some(-0.1)), "-0.1");
        check(ScalarValue::Float32(Some(1.5)), "1.5");
        check(ScalarValue::from("é\"\n"), r#""é\"\n""#);
        check(ScalarValue::Date32(Some(-1)), "\"1969-12-31\"");
        check(ScalarValue::Decimal128(Some(-105), 10, 2), "-1.05");
        check(ScalarValue::TimestampMicrosecond(Some(1), None), "\"1970-01-01T00:00:00.000001\"");
        check(ScalarValue::TimestampMicrosecond(Some(-1), Some("UTC".into())), "\"1969-12-31T23:59:59.999999Z\"");
    }

    #[test]
    fn a_bound_cut_to_milliseconds_is_widened() {
        let value = Value::from("1970-01-01T00:00:00.001Z");
        let data_type = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let zone = Some("UTC".into());
        assert_eq!(from_value(&value, &data_type, true), Some(ScalarValue::TimestampMicrosecond(Some(1_999), zone)));
    }
}
