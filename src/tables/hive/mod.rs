//! Hive tables: directories of Parquet, CSV, TEXTFILE or JSON files, partitions found at query time.

pub mod write;

use crate::error::Result;
use crate::storage::{Location, Storage};
use crate::tables::WriteMode;
use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::physical_plan::ExecutionPlan;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The file format with its options, parsed and checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    Parquet(ParquetOptions),
    /// CSV and TEXTFILE: the same reader with other defaults.
    Text(TextOptions),
    /// One JSON object a line.
    Json(JsonOptions),
}

#[derive(Debug, Clone, PartialEq)]
pub struct ParquetOptions {
    /// `parquet.compression` / `compression`: as parquet-rs prints it.
    pub compression: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TextOptions {
    pub header: bool,
    /// `skip.header.line.count` for TEXTFILE.
    pub skip_lines: usize,
    /// One or more characters.
    pub delimiter: String,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
    /// The text that stands for NULL: empty for CSV, `\N` for TEXTFILE.
    pub null_text: String,
    pub comment: Option<u8>,
    pub timestamp_format: Option<String>,
    /// `on_bad_field`: true = the field becomes NULL and is counted.
    pub bad_field_is_null: bool,
    pub compression: Compression,
}

#[derive(Debug, Clone, PartialEq)]
pub struct JsonOptions {
    /// `json.timestamp-format`.
    pub timestamp_format: JsonTimestamp,
    pub bad_field_is_null: bool,
    pub compression: Compression,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonTimestamp {
    Iso8601,
    EpochMs,
    EpochS,
}

/// How text files are written; reading goes by the ending of each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
    Bzip2,
}

/// What a Hive table is, ready to scan.
#[derive(Debug, Clone)]
pub struct HiveTableDef {
    /// `database.table`, for messages; an ad-hoc file: its text.
    pub name: String,
    pub location: Location,
    /// Data columns as declared or inferred, without partition columns and `_file`.
    pub schema: SchemaRef,
    pub partition_columns: Vec<FieldRef>,
    pub format: Format,
    /// `dt=2026-01-01` -> its own location.
    pub partition_locations: BTreeMap<String, Location>,
}

/// A table over a directory.
#[derive(Debug)]
pub struct HiveTable {}

impl HiveTable {
    /// The table; nothing is read.
    pub fn new(_def: HiveTableDef, _storage: Arc<Storage>) -> Self {
        todo!()
    }

    /// Reads the columns and the partition columns out of the files. `CREATE EXTERNAL TABLE` without columns, ad-hoc files.
    pub async fn infer(
        _state: &dyn Session,
        _storage: &Arc<Storage>,
        _name: &str,
        _location: &Location,
        _format: &Format,
    ) -> Result<(SchemaRef, Vec<FieldRef>)> {
        todo!()
    }

    /// The partitions that exist now: `year=2001/month=1`, sorted.
    pub async fn partitions(&self) -> Result<Vec<String>> {
        todo!()
    }

    /// A plan that writes `input` (columns: data columns in table order, then partition columns) and
    /// yields one row: `count` UInt64, the rows written. Nothing is visible before it is complete.
    pub fn insert_plan(&self, _input: Arc<dyn ExecutionPlan>, _mode: WriteMode) -> Result<Arc<dyn ExecutionPlan>> {
        todo!()
    }
}
