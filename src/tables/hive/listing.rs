//! Which files a table has right now, and which partition each belongs to.

use super::HiveTableDef;
use super::column::{scalar, sql_type};
use super::directory::{NULL_PARTITION, partition_text, unescape};
use crate::error::{Code, Error, Result};
use crate::storage::{DirectoryPin, Location, Storage};
use datafusion::arrow::datatypes::FieldRef;
use datafusion::common::ScalarValue;
use object_store::ObjectMeta;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One file of a location.
#[derive(Debug, Clone)]
pub(super) struct FoundFile {
    pub(super) meta: ObjectMeta,
    /// As the user would write it: for messages and `_file`.
    pub(super) text: String,
    /// The names of the directories between the location and the file.
    pub(super) directories: Vec<String>,
}

/// One file of a table.
#[derive(Debug, Clone)]
pub(super) struct DataFile {
    pub(super) meta: ObjectMeta,
    pub(super) text: String,
    /// One value for each partition column.
    pub(super) values: Vec<ScalarValue>,
}

/// All files of a table, in the order of their paths.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) files: Vec<DataFile>,
    /// Each partition once: its directory text (`year=2001/month=1`) and its values, in the order of the values.
    pub(super) partitions: Vec<(String, Vec<ScalarValue>)>,
    /// Keep the files where they are while a plan reads them.
    pub(super) pins: Vec<DirectoryPin>,
}

impl Listing {
    /// Lists a table: its location and the partitions that have locations of their own.
    pub(super) async fn of(def: &HiveTableDef, storage: &Arc<Storage>) -> Result<Self> {
        let mut by_value: BTreeMap<String, Vec<ScalarValue>> = BTreeMap::new();
        let mut files = Vec::new();
        let mut elsewhere = Vec::new();
        let mut pins = Vec::new();
        for (text, location) in &def.partition_locations {
            let directories = text.split('/').map(str::to_string).collect::<Vec<_>>();
            let values = partition_values(&def.name, text, &directories, &def.partition_columns)?;
            elsewhere.push(values.clone());
            let (found_files, pin) = find_files(storage, location).await?;
            pins.push(pin);
            for found in found_files {
                files.push(DataFile { meta: found.meta, text: found.text, values: values.clone() });
            }
            by_value.insert(partition_text(&def.partition_columns, &values), values);
        }
        let (found_files, pin) = find_files(storage, &def.location).await?;
        pins.push(pin);
        for found in found_files {
            let values = partition_values(&def.name, &found.text, &found.directories, &def.partition_columns)?;
            if elsewhere.contains(&values) {
                // The partition has moved: what lies here no longer belongs to the table.
                continue;
            }
            if !values.is_empty() {
                by_value.entry(partition_text(&def.partition_columns, &values)).or_insert_with(|| values.clone());
            }
            files.push(DataFile { meta: found.meta, text: found.text, values });
        }
        let mut partitions = by_value.into_iter().collect::<Vec<_>>();
        partitions.sort_by(|(_, left), (_, right)| left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal));
        Ok(Self { files, partitions, pins })
    }
}

/// The visible files under a location, in the order of their paths. A location that does not exist has none.
///
/// The pin goes with the plan that reads the files: until it is dropped no commit deletes them.
pub(super) async fn find_files(storage: &Arc<Storage>, location: &Location) -> Result<(Vec<FoundFile>, DirectoryPin)> {
    let (mut listings, pin) = super::write::list(storage, std::slice::from_ref(location)).await?;
    let listed = listings.pop().unwrap_or_default();
    let is_one_file = !location.is_directory && location.glob.is_none();
    let base = location.glob.as_deref().and_then(|glob| location.text.strip_suffix(glob)).unwrap_or(&location.text);
    let files = listed.into_iter().map(|file| {
        let text = if is_one_file { location.text.clone() } else { format!("{}/{}", base.trim_end_matches('/'), file.relative) };
        let mut directories = file.relative.split('/').map(str::to_string).collect::<Vec<_>>();
        directories.pop();
        FoundFile { meta: file.meta, text, directories }
    });
    Ok((files.collect(), pin))
}

/// Reads the values of the declared partition columns out of directory names.
fn partition_values(table: &str, place: &str, directories: &[String], columns: &[FieldRef]) -> Result<Vec<ScalarValue>> {
    let mut values = Vec::with_capacity(columns.len());
    for (column_idx, column) in columns.iter().enumerate() {
        let pair = directories.get(column_idx).and_then(|name| name.split_once('='));
        let Some((_, text)) = pair.filter(|(key, _)| unescape(key).to_lowercase() == column.name().to_lowercase()) else {
            let shape = columns.iter().map(|column| format!("{}=..", column.name())).collect::<Vec<_>>().join("/");
            return Err(Error::new(Code::DataCorrupted, format!("\"{place}\" lies outside the partitions of table \"{table}\""))
                .detail(format!("Files of this table lie in directories \"{shape}\"."))
                .hint("Move the file, or name it with a leading \"_\" to hide it."));
        };
        values.push(partition_value(table, &directories[column_idx], text, column)?);
    }
    Ok(values)
}

fn partition_value(table: &str, directory: &str, text: &str, column: &FieldRef) -> Result<ScalarValue> {
    let null = || ScalarValue::try_from(column.data_type()).map_err(|error| Error::internal(error.to_string()));
    if text == NULL_PARTITION {
        return null();
    }
    scalar(&unescape(text), column.data_type()).ok_or_else(|| {
        Error::new(
            Code::InvalidValue,
            format!("partition directory \"{directory}\" of table \"{table}\" is not of type {}", sql_type(column.data_type())),
        )
        .hint(format!("Declare the partition column \"{}\" as STRING, or move the directory away.", column.name()))
    })
}
