//! What a managed table can hold: Arrow types, column names and log features, and what they become.

use crate::error::{Code, Error, Result};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use deltalake_core::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake_core::kernel::{Metadata, Protocol, StructType};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Characters that Delta (and Parquet's schema text) refuse in a column name.
const REFUSED_IN_NAMES: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];

/// Reader and writer features of the log that we implement.
const READER_FEATURES: &[&str] = &["timestampNtz", "v2Checkpoint"];
const WRITER_FEATURES: &[&str] = &["appendOnly", "invariants", "timestampNtz", "v2Checkpoint"];

/// Removed files are remembered this long: at least the grace of our own collection of them (24 hours).
pub const REMOVED_RETENTION: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// Log entries behind a checkpoint are kept this long, unless the table says otherwise.
const LOG_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// The same for streams, which commit all the time.
const LOG_RETENTION_STREAM: Duration = Duration::from_secs(2 * 60);

/// The property that names the layout.
const LAYOUT: &str = "weir.layout";
const PARQUET_LAYOUT: &str = "parquet";

/// What a directory listing of a table tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Nothing certain: the log says which files are in the table.
    Delta,
    /// The truth: every `*.parquet` file is in the table. New files are hidden until they are merged into a large one.
    Parquet,
}

/// A table that is to be created.
#[derive(Debug, Clone)]
pub struct NewTable {
    pub schema: SchemaRef,
    pub partition_columns: Vec<String>,
    pub properties: Vec<(String, String)>,
    /// Log entries behind a checkpoint are kept this long.
    pub log_retention: Duration,
    pub layout: Layout,
}

impl NewTable {
    /// A table that statements write.
    pub fn of(schema: SchemaRef) -> Self {
        Self { schema, partition_columns: Vec::new(), properties: Vec::new(), log_retention: LOG_RETENTION, layout: Layout::Delta }
    }

    /// A table that a stream writes.
    pub fn streaming(schema: SchemaRef) -> Self {
        Self { log_retention: LOG_RETENTION_STREAM, ..Self::of(schema) }
    }
}

/// Reader features that other programs' tables may have: column mapping only where it is not used.
const FOREIGN_FEATURES: &[&str] = &["timestampNtz", "columnMapping", "vacuumProtocolCheck", "v2Checkpoint"];

/// The columns of a table and where they lie: in the files, or in the names of the partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// All columns, in table order.
    pub schema: SchemaRef,
    /// Positions of the partition columns in `schema`, in partition order.
    pub partition_indexes: Vec<usize>,
    /// Positions of the columns that are in the files, in table order.
    pub file_indexes: Vec<usize>,
    /// The columns that are in the files.
    pub file_schema: SchemaRef,
    /// `delta.appendOnly`: rows are never removed.
    pub append_only: bool,
    /// `delta.logRetentionDuration`: how long entries behind a checkpoint are kept.
    pub log_retention: Duration,
    pub layout: Layout,
    /// Written by another program, and only read by us.
    pub is_foreign: bool,
}

impl Definition {
    /// Reads a definition out of the log's protocol and metadata; refuses what we cannot honour.
    pub fn of(name: &str, protocol: &Protocol, metadata: &Metadata) -> Result<Self> {
        check_features(name, protocol)?;
        let configuration = metadata.configuration();
        let unusable = |reason: String| Error::new(Code::NotSupported, format!("cannot use table \"{name}\": {reason}"));
        for key in configuration.keys() {
            if key.starts_with("delta.constraints.") || (key == "delta.columnMapping.mode" && configuration[key] != "none") {
                return Err(unusable(format!("its log sets \"{key}\"")));
            }
        }
        let logged = metadata.parse_schema().map_err(|error| corrupted(name, &error))?;
        for field in logged.fields() {
            if field.metadata().keys().any(|key| key == "delta.invariants" || key.starts_with("delta.generation")) {
                return Err(unusable(format!("column \"{}\" has an invariant or a generation expression", field.name())));
            }
        }
        let schema: Schema = (&logged).try_into_arrow().map_err(|error| corrupted(name, &error))?;
        let mut definition = Self::new(name, Arc::new(schema), metadata.partition_columns())?;
        definition.append_only = configuration.get("delta.appendOnly").is_some_and(|value| value == "true");
        if let Some(retention) = configuration.get("delta.logRetentionDuration").and_then(|text| interval(text)) {
            definition.log_retention = retention;
        }
        if configuration.get(LAYOUT).is_some_and(|value| value == PARQUET_LAYOUT) {
            definition.layout = Layout::Parquet;
        }
        Ok(definition)
    }

    /// Reads the definition of a table that we only read: what its writers must keep is not our concern.
    pub fn foreign(name: &str, protocol: &Protocol, metadata: &Metadata) -> Result<Self> {
        check_readable(name, protocol, metadata)?;
        let logged = metadata.parse_schema().map_err(|error| corrupted(name, &error))?;
        let schema: Schema = (&logged).try_into_arrow().map_err(|error| corrupted(name, &error))?;
        // Files of others do not keep our promises.
        let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
        let definition = Self::new(name, Arc::new(Schema::new(fields)), metadata.partition_columns())?;
        Ok(Self { is_foreign: true, ..definition })
    }

    fn new(name: &str, schema: SchemaRef, partition_columns: &[String]) -> Result<Self> {
        let partition_indexes = partition_columns
            .iter()
            .map(|column| {
                schema.index_of(column).map_err(|_| {
                    let known = schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
                    let what = format!("table \"{name}\" has no column \"{column}\" to partition by");
                    Error::unknown(Code::UndefinedColumn, what, column, known)
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let file_indexes: Vec<usize> = (0..schema.fields().len()).filter(|index| !partition_indexes.contains(index)).collect();
        let file_schema = Arc::new(schema.project(&file_indexes).map_err(|error| Error::internal(error.to_string()))?);
        let (log_retention, layout) = (LOG_RETENTION, Layout::Delta);
        Ok(Self { schema, partition_indexes, file_indexes, file_schema, append_only: false, log_retention, layout, is_foreign: false })
    }

    /// Names of the partition columns, in partition order.
    pub fn partition_columns(&self) -> Vec<String> {
        self.partition_indexes.iter().map(|&index| self.schema.field(index).name().clone()).collect()
    }

    /// The partition columns, in partition order.
    pub fn partition_fields(&self) -> Vec<FieldRef> {
        self.partition_indexes.iter().map(|&index| Arc::clone(&self.schema.fields()[index])).collect()
    }
}

fn corrupted(name: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new(Code::DataCorrupted, format!("table \"{name}\": the schema in the log is unreadable: {error}"))
}

/// Refuses what would make us read wrong rows.
fn check_readable(name: &str, protocol: &Protocol, metadata: &Metadata) -> Result<()> {
    let refuse = |what: String| {
        Err(Error::new(Code::NotSupported, format!("cannot read table \"{name}\": its log needs {what}"))
            .hint("Turn it off with the program that writes the table, or let that program write a copy."))
    };
    // Since reader version 2 columns may have other names in the files; the property says whether they do.
    let maps_columns = metadata.configuration().get("delta.columnMapping.mode").is_some_and(|mode| mode != "none");
    if maps_columns {
        return refuse("column mapping".into());
    }
    match protocol.min_reader_version() {
        ..=2 => Ok(()),
        3 => {
            let features: Vec<String> = protocol.reader_features().unwrap_or_default().iter().map(ToString::to_string).collect();
            // The one that users know, before those that come with it.
            if features.iter().any(|feature| feature == "deletionVectors") {
                return refuse("deletion vectors".into());
            }
            match features.iter().find(|feature| !FOREIGN_FEATURES.contains(&feature.as_str())) {
                None => Ok(()),
                Some(feature) => refuse(format!("the reader feature \"{feature}\"")),
            }
        }
        version => refuse(format!("reader version {version}")),
    }
}

fn check_features(name: &str, protocol: &Protocol) -> Result<()> {
    let refuse = |what: String| {
        Err(Error::new(Code::NotSupported, format!("cannot use table \"{name}\": its log needs {what}"))
            .hint("Another program changed the protocol of this table; remove the feature with that program."))
    };
    let unknown = |features: Vec<String>, known: &[&str]| features.into_iter().find(|feature| !known.contains(&feature.as_str()));
    match protocol.min_reader_version() {
        ..=1 => {}
        3 => {
            let features = protocol.reader_features().unwrap_or_default().iter().map(ToString::to_string).collect();
            if let Some(feature) = unknown(features, READER_FEATURES) {
                return refuse(format!("the reader feature \"{feature}\""));
            }
        }
        version => return refuse(format!("reader version {version}")),
    }
    match protocol.min_writer_version() {
        ..=2 => Ok(()),
        7 => {
            let features = protocol.writer_features().unwrap_or_default().iter().map(ToString::to_string).collect();
            match unknown(features, WRITER_FEATURES) {
                Some(feature) => refuse(format!("the writer feature \"{feature}\"")),
                None => Ok(()),
            }
        }
        version => refuse(format!("writer version {version}")),
    }
}

/// `interval 2 minutes`, as the log writes durations.
fn interval(text: &str) -> Option<Duration> {
    let mut words = text.split_whitespace();
    let (Some("interval"), Some(count), Some(unit), None) = (words.next(), words.next(), words.next(), words.next()) else { return None };
    let seconds = match unit.trim_end_matches('s') {
        "second" => 1,
        "minute" => 60,
        "hour" => 60 * 60,
        "day" => 24 * 60 * 60,
        "week" => 7 * 24 * 60 * 60,
        _ => return None,
    };
    Some(Duration::from_secs(count.parse::<u64>().ok()?.checked_mul(seconds)?))
}

/// Version 0 of a log: protocol and metadata of a new table.
pub fn new_table(name: &str, table: NewTable) -> Result<(Protocol, Metadata)> {
    let NewTable { schema, partition_columns, properties, log_retention, layout } = table;
    let partition_columns = partition_columns.as_slice();
    let schema = storable_schema(&schema)?;
    let definition = Definition::new(name, Arc::clone(&schema), partition_columns)?;
    check_partition_columns(name, &definition, partition_columns)?;
    let logged: StructType = schema.as_ref().try_into_kernel().map_err(|error| Error::internal(error.to_string()))?;
    let has_timestamp_ntz = schema.fields().iter().any(|field| contains_timestamp_ntz(field.data_type()));
    let mut features = Vec::new();
    features.extend(has_timestamp_ntz.then_some("timestampNtz"));
    // Its checkpoints are JSON: see `json_checkpoint`.
    features.extend((layout == Layout::Parquet).then_some("v2Checkpoint"));
    let protocol = if features.is_empty() {
        serde_json::json!({ "minReaderVersion": 1, "minWriterVersion": 2 })
    } else {
        let writer_features: Vec<&str> = features.iter().copied().chain(["appendOnly", "invariants"]).collect();
        serde_json::json!({
            "minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": writer_features,
        })
    };
    let mut configuration: HashMap<String, String> = [
        // We clean the log ourselves, after a checkpoint that was proved to be readable.
        ("delta.enableExpiredLogCleanup", "false".to_owned()),
        ("delta.logRetentionDuration", format!("interval {} seconds", log_retention.as_secs())),
        ("delta.deletedFileRetentionDuration", format!("interval {} seconds", REMOVED_RETENTION.as_secs())),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    for (key, value) in properties {
        if key.starts_with("delta.") || key.starts_with("weir.") {
            return Err(Error::new(Code::InvalidParameter, format!("table \"{name}\": property \"{key}\" cannot be set"))
                .hint("Properties that start with \"delta.\" or \"weir.\" belong to the server."));
        }
        configuration.insert(key, value);
    }
    if layout == Layout::Parquet {
        configuration.insert(LAYOUT.to_owned(), PARQUET_LAYOUT.to_owned());
    }
    let metadata = serde_json::json!({
        "id": uuid::Uuid::new_v4().to_string(),
        "name": name,
        "format": { "provider": "parquet", "options": {} },
        "schemaString": serde_json::to_string(&logged).map_err(|error| Error::internal(error.to_string()))?,
        "partitionColumns": partition_columns,
        "configuration": configuration,
        "createdTime": chrono::Utc::now().timestamp_millis(),
    });
    let internal = |error: serde_json::Error| Error::internal(format!("new table \"{name}\": {error}"));
    Ok((serde_json::from_value(protocol).map_err(internal)?, serde_json::from_value(metadata).map_err(internal)?))
}

fn check_partition_columns(name: &str, definition: &Definition, partition_columns: &[String]) -> Result<()> {
    if let Some(twice) = partition_columns.iter().enumerate().find(|(index, column)| partition_columns[..*index].contains(column)) {
        return Err(Error::new(Code::DuplicateColumn, format!("table \"{name}\" is partitioned twice by column \"{}\"", twice.1)));
    }
    for field in definition.partition_fields() {
        if field.data_type().is_nested() || matches!(field.data_type(), DataType::Binary) {
            return Err(Error::new(
                Code::NotSupported,
                format!("table \"{name}\" cannot be partitioned by column \"{}\" of type {}", field.name(), field.data_type()),
            )
            .hint("Partition by a number, a string, a date or a timestamp."));
        }
    }
    if definition.file_indexes.is_empty() {
        return Err(Error::new(Code::InvalidStatement, format!("table \"{name}\" has only partition columns"))
            .hint("Add a column that is not a partition column."));
    }
    Ok(())
}

fn contains_timestamp_ntz(data_type: &DataType) -> bool {
    match data_type {
        DataType::Timestamp(_, None) => true,
        DataType::List(item) => contains_timestamp_ntz(item.data_type()),
        DataType::Map(entries, _) => contains_timestamp_ntz(entries.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| contains_timestamp_ntz(field.data_type())),
        _ => false,
    }
}

/// The schema under which a managed table keeps columns of `schema`: every type is one that Delta has.
///
/// Rows are cast to it when they are inserted. Names stay; unsigned integers become the next wider
/// signed type, timestamps microseconds, views and dictionaries their plain type.
///
/// # Errors
/// `NotSupported` for a type or a name that Delta cannot hold; `DuplicateColumn` for names that differ by case only.
pub fn storable_schema(schema: &Schema) -> Result<SchemaRef> {
    let fields = storable_fields(schema.fields(), "")?;
    if fields.is_empty() {
        return Err(Error::new(Code::InvalidStatement, "a table needs at least one column"));
    }
    // Through the log's own types and back, so that a new table and a reopened one are the same to the last nested name.
    let internal = |error: &dyn std::fmt::Display| Error::internal(format!("schema of a managed table: {error}"));
    let logged: StructType = (&Schema::new(fields)).try_into_kernel().map_err(|error| internal(&error))?;
    let schema: Schema = (&logged).try_into_arrow().map_err(|error| internal(&error))?;
    Ok(Arc::new(schema))
}

fn storable_fields(fields: &Fields, parent: &str) -> Result<Fields> {
    let mut seen = BTreeSet::new();
    fields
        .iter()
        .map(|field| {
            let name = format!("{parent}{}", field.name());
            if field.name().is_empty() {
                return Err(Error::new(Code::InvalidStatement, "a column of a managed table needs a name"));
            }
            if let Some(character) = field.name().chars().find(|character| REFUSED_IN_NAMES.contains(character)) {
                return Err(Error::new(
                    Code::NotSupported,
                    format!("column \"{name}\" has the character '{}' in its name", character.escape_default()),
                )
                .detail("A managed table refuses space, comma, semicolon, braces, parentheses, line break, tab and = in names.")
                .hint("Give the column another name with AS."));
            }
            if !seen.insert(field.name().to_lowercase()) {
                return Err(Error::new(Code::DuplicateColumn, format!("column \"{name}\" is there twice"))
                    .detail("Names of a managed table that differ only by case are the same."));
            }
            Ok(Arc::new(Field::new(field.name(), storable_type(field.data_type(), &name)?, field.is_nullable())))
        })
        .collect()
}

fn storable_type(data_type: &DataType, column: &str) -> Result<DataType> {
    let refuse = || {
        Err(Error::new(
            Code::NotSupported,
            format!("column \"{column}\" of type {} cannot be kept in a managed table", crate::tables::hive::sql_type(data_type)),
        )
        .hint(format!("CAST the column \"{column}\" to STRING or to another type.")))
    };
    let item = |field: &FieldRef| -> Result<FieldRef> {
        Ok(Arc::new(Field::new("element", storable_type(field.data_type(), column)?, field.is_nullable())))
    };
    Ok(match data_type {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32
        | DataType::Utf8
        | DataType::Binary => data_type.clone(),
        DataType::Null | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale)
            if *precision <= 38 && *scale >= 0 =>
        {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Dictionary(_, value) => storable_type(value, column)?,
        DataType::RunEndEncoded(_, value) => storable_type(value.data_type(), column)?,
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _) => DataType::List(item(field)?),
        DataType::Struct(fields) if !fields.is_empty() => DataType::Struct(storable_fields(fields, &format!("{column}."))?),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                let key = Field::new("key", storable_type(pair[0].data_type(), column)?, false);
                let value = Field::new("value", storable_type(pair[1].data_type(), column)?, pair[1].is_nullable());
                DataType::Map(Arc::new(Field::new(entries.name(), DataType::Struct(vec![key, value].into()), false)), *sorted)
            }
            _ => return refuse(),
        },
        _ => return refuse(),
    })
}
