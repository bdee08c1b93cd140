//! Partition values as directory names, and the split of a batch by them.

use crate::error::{Code, Error, Result};
use crate::tables::hive::HiveTableDef;
use crate::tables::hive::directory::{NULL_PARTITION, escape, format_options, unescape};
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::arrow::util::display::ArrayFormatter;
use datafusion::common::ScalarValue;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

/// What Linux allows for one name.
const NAME_BYTES_MAX: usize = 255;

/// The partitions of a table, as far as writing needs them.
#[derive(Debug, Clone)]
pub(super) struct Partitions {
    table: String,
    columns: Vec<FieldRef>,
    /// Canonical directory -> a location of its own.
    elsewhere: BTreeMap<String, PathBuf>,
}

impl Partitions {
    pub(super) fn new(def: &HiveTableDef) -> Result<Self> {
        for column in &def.partition_columns {
            check_type(column.data_type(), column.name())?;
        }
        let mut partitions = Self { table: def.name.clone(), columns: def.partition_columns.clone(), elsewhere: BTreeMap::new() };
        for (directory, location) in &def.partition_locations {
            let canonical = partitions.canonical(directory).unwrap_or_else(|| directory.clone());
            partitions.elsewhere.insert(canonical, location.local.clone());
        }
        Ok(partitions)
    }

    /// The location of a partition that does not lie under the table's.
    pub(super) fn elsewhere(&self, directory: &str) -> Option<&PathBuf> {
        self.elsewhere.get(directory)
    }

    /// All partitions with locations of their own.
    pub(super) fn all_elsewhere(&self) -> &BTreeMap<String, PathBuf> {
        &self.elsewhere
    }

    /// The one spelling of a partition directory as found or given: `month=01` is `month=1` when month is an INT.
    /// `None` when it is no partition of this table.
    pub(super) fn canonical(&self, directory: &str) -> Option<String> {
        let names = directory.split('/').collect::<Vec<_>>();
        if names.len() < self.columns.len() {
            return None;
        }
        let mut canonical = Vec::with_capacity(self.columns.len());
        for (name, column) in names.iter().zip(&self.columns) {
            let (key, value) = name.split_once('=')?;
            if !unescape(key).eq_ignore_ascii_case(column.name()) {
                return None;
            }
            let value = (value != NULL_PARTITION).then(|| unescape(value));
            canonical.push(self.name_of(column, value.as_deref()).unwrap_or_else(|_| (*name).to_owned()));
        }
        Some(canonical.join("/"))
    }

    /// The directory of the partition that static values name, when they name one entirely.
    pub(super) fn fixed(&self, values: &[(String, Option<String>)]) -> Result<Option<String>> {
        let find = |name: &str| values.iter().find(|(column, _)| column.eq_ignore_ascii_case(name));
        for (name, _) in values {
            if !self.columns.iter().any(|column| column.name().eq_ignore_ascii_case(name)) {
                let known = self.columns.iter().map(|column| column.name().as_str());
                return Err(Error::unknown(
                    Code::UndefinedColumn,
                    format!("table \"{}\" has no partition column \"{name}\"", self.table),
                    name,
                    known,
                ));
            }
        }
        let mut directory = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let Some((_, value)) = find(column.name()) else { return Ok(None) };
            directory.push(self.name_of(column, value.as_deref())?);
        }
        Ok((!directory.is_empty()).then(|| directory.join("/")))
    }

    /// `column=value` from the text of a value, through the column's type.
    fn name_of(&self, column: &FieldRef, value: Option<&str>) -> Result<String> {
        let wrong = || {
            let value = value.unwrap_or_default();
            Error::new(Code::InvalidValue, format!("partition value \"{value}\" does not fit column \"{}\"", column.name()))
        };
        let scalar = ScalarValue::Utf8(value.map(str::to_owned));
        let array = scalar.cast_to(column.data_type()).and_then(|value| value.to_array()).map_err(|_| wrong())?;
        self.directory_names(column, &array)?.pop().ok_or_else(wrong)
    }

    /// `column=value` for each row of one partition column.
    fn directory_names(&self, column: &FieldRef, array: &ArrayRef) -> Result<Vec<String>> {
        let array = match array.data_type() {
            DataType::Dictionary(_, value) => cast(array, value).map_err(|error| conversion(&error.to_string()))?,
            _ => Arc::clone(array),
        };
        let options = format_options();
        let formatter = ArrayFormatter::try_new(&array, &options).map_err(|error| conversion(&error.to_string()))?;
        let key = escape(column.name());
        let mut names = Vec::with_capacity(array.len());
        for row in 0..array.len() {
            let value = match array.is_null(row) {
                true => String::new(),
                false => formatter.value(row).try_to_string().map_err(|error| conversion(&error.to_string()))?,
            };
            if value == NULL_PARTITION {
                return Err(Error::new(
                    Code::InvalidValue,
                    format!("partition value \"{value}\" of column \"{}\" stands for NULL", column.name()),
                )
                .hint("Write NULL, or another text."));
            }
            // Hive knows no empty partition value: it is NULL.
            let value = if value.is_empty() { NULL_PARTITION.to_owned() } else { escape(&value) };
            let name = format!("{key}={value}");
            if name.len() > NAME_BYTES_MAX {
                return Err(Error::new(Code::InvalidValue, format!("value of partition column \"{}\" is too long", column.name()))
                    .detail(format!("The directory name would have {} bytes; a name may have {NAME_BYTES_MAX}.", name.len())));
            }
            names.push(name);
        }
        Ok(names)
    }

    /// Splits a batch (data columns, then partition columns) into one batch of data columns for each directory,
    /// in the order in which they appear. A table without partitions has one directory, "".
    pub(super) fn split(&self, batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
        let n_data = batch.num_columns() - self.columns.len();
        let data = batch.project(&(0..n_data).collect::<Vec<_>>()).map_err(|error| conversion(&error.to_string()))?;
        if self.columns.is_empty() || batch.num_rows() == 0 {
            return Ok(vec![(String::new(), data)]);
        }
        let mut names = Vec::with_capacity(self.columns.len());
        for (column_idx, column) in self.columns.iter().enumerate() {
            names.push(self.directory_names(column, batch.column(n_data + column_idx))?);
        }
        let mut order = Vec::new();
        let mut rows_of: HashMap<String, Vec<u32>> = HashMap::new();
        for row in 0..batch.num_rows() {
            let directory = names.iter().map(|column| column[row].as_str()).collect::<Vec<_>>().join("/");
            let rows = rows_of.entry(directory).or_insert_with_key(|directory| {
                order.push(directory.clone());
                Vec::new()
            });
            rows.push(row as u32);
        }
        let mut split = Vec::with_capacity(order.len());
        for directory in order {
            let rows = UInt32Array::from(rows_of.remove(&directory).unwrap_or_default());
            if rows.len() == data.num_rows() {
                split.push((directory, data.clone()));
                continue;
            }
            let columns = data.columns().iter().map(|column| take(column, &rows, None)).collect::<Result<Vec<_>, _>>();
            let columns = columns.map_err(|error| conversion(&error.to_string()))?;
            let part = RecordBatch::try_new(data.schema(), columns).map_err(|error| conversion(&error.to_string()))?;
            split.push((directory, part));
        }
        Ok(split)
    }
}

fn check_type(data_type: &DataType, column: &str) -> Result<()> {
    let is_fine = data_type.is_primitive() && !matches!(data_type, DataType::Interval(_) | DataType::Duration(_))
        || matches!(data_type, DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match data_type {
        DataType::Dictionary(_, value) => check_type(value, column),
        _ if is_fine => Ok(()),
        _ => Err(Error::new(Code::NotSupported, format!("column \"{column}\" cannot be a partition column"))
            .detail(format!("Its type is {data_type}; directories are named after texts, numbers, dates and times."))),
    }
}

fn conversion(message: &str) -> Error {
    Error::new(Code::InvalidValue, format!("could not convert a value for writing: {message}"))
}
