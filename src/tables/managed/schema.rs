//! What a managed table can hold: Arrow types, column names and log features, and what they become.

use crate::error::{Code, Error, Result};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use deltalake_core::kernel::engine::arrow_conversion::{TryIntoArrow, TryIntoKernel};
use deltalake_core::kernel::{Metadata, Protocol, StructType};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Characters that Delta (and Parquet's schema text) refuse in a column name.
const REFUSED_IN_NAMES: &[char] = &[' ', ',', ';', '{', '}', '(', ')', '\n', '\t', '='];

/// Reader and writer features of the log that we implement.
const READER_FEATURES: &[&str] = &["timestampNtz"];
const WRITER_FEATURES: &[&str] = &["appendOnly", "invariants", "timestampNtz"];

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
        let corrupted = |error: &dyn std::fmt::Display| {
            Error::new(Code::DataCorrupted, format!("table \"{name}\": the schema in the log is unreadable: {error}"))
        };
        let logged = metadata.parse_schema().map_err(|error| corrupted(&error))?;
        for field in logged.fields() {
            if field.metadata().keys().any(|key| key == "delta.invariants" || key.starts_with("delta.generation")) {
                return Err(unusable(format!("column \"{}\" has an invariant or a generation expression", field.name())));
            }
        }
        let schema: Schema = (&logged).try_into_arrow().map_err(|error| corrupted(&error))?;
        let append_only = configuration.get("delta.appendOnly").is_some_and(|value| value == "true");
        Self::new(name, Arc::new(schema), metadata.partition_columns(), append_only)
    }

    fn new(name: &str, schema: SchemaRef, partition_columns: &[String], append_only: bool) -> Result<Self> {
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
        Ok(Self { schema, partition_indexes, file_indexes, file_schema, append_only })
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

/// Version 0 of a log: protocol and metadata of a new table.
pub fn new_table(
    name: &str,
    schema: &Schema,
    partition_columns: &[String],
    properties: Vec<(String, String)>,
) -> Result<(Protocol, Metadata)> {
    let schema = storable_schema(schema)?;
    let definition = Definition::new(name, Arc::clone(&schema), partition_columns, false)?;
    check_partition_columns(name, &definition, partition_columns)?;
    let logged: StructType = schema.as_ref().try_into_kernel().map_err(|error| Error::internal(error.to_string()))?;
    let has_timestamp_ntz = schema.fields().iter().any(|field| contains_timestamp_ntz(field.data_type()));
    let protocol = if has_timestamp_ntz {
        serde_json::json!({
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz", "appendOnly", "invariants"],
        })
    } else {
        serde_json::json!({ "minReaderVersion": 1, "minWriterVersion": 2 })
    };
    let mut configuration: HashMap<String, String> = [
        // We clean the log ourselves, after a checkpoint that was proved to be readable.
        ("delta.enableExpiredLogCleanup", "false"),
        ("delta.logRetentionDuration", "interval 1 days"),
        // At least the grace of our own collection of removed files (24 hours).
        ("delta.deletedFileRetentionDuration", "interval 2 days"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    for (key, value) in properties {
        if key.starts_with("delta.") {
            return Err(Error::new(Code::InvalidParameter, format!("table \"{name}\": property \"{key}\" cannot be set"))
                .hint("Properties that start with \"delta.\" belong to the server."));
        }
        configuration.insert(key, value);
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
