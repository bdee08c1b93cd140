//! Finds out the columns of a directory of files.

mod guess;
mod json;
mod parquet;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use json::JsonSample;

use super::directory::{NULL_PARTITION, unescape};
use super::format::Format;
use super::listing::{FoundFile, find_files};
use super::scan::FileText;
use super::value;
use crate::error::{Code, Error, Result};
use crate::storage::{Location, Storage};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::datasource::listing::PartitionedFile;
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;

/// Files that are sampled at most; of Parquet every footer is read.
const FILES_MAX: usize = 10;
/// Rows of each file that are looked at.
const ROWS_MAX: usize = 10_000;
/// Footers that are read at the same time.
const FOOTERS_AT_ONCE: usize = 8;

/// The data columns and the partition columns of a location.
pub(super) async fn infer(storage: &Arc<Storage>, name: &str, location: &Location, format: &Format) -> Result<(SchemaRef, Vec<FieldRef>)> {
    let (files, _pin) = find_files(storage, location).await?;
    if files.is_empty() {
        let what = if location.is_directory || location.glob.is_some() { "has no files" } else { "does not exist" };
        return Err(Error::new(Code::Io, format!("location \"{}\" of table \"{name}\" {what}", location.text))
            .detail("The columns of a table that declares none are found in its files.")
            .hint("Declare the columns, or check the location."));
    }
    let partition_columns = partition_columns(&files);
    let store = storage.store();
    let fields = match format {
        Format::Parquet(_) => {
            let schemas = futures::stream::iter(files.into_iter().map(|file| {
                let store = Arc::clone(&store);
                async move {
                    let text = file.text.clone();
                    let file = PartitionedFile::new_from_meta(file.meta).with_extension(FileText(file.text));
                    let schema = super::parquet::file_schema(&store, file.clone()).await;
                    schema.map(|schema| (text, schema)).map_err(|error| super::parquet::named(error, &file))
                }
            }));
            let schemas = schemas.buffered(FOOTERS_AT_ONCE).try_collect::<Vec<_>>().await?;
            parquet::union(&schemas)?
        }
        Format::Text(options) => text::infer(&store, &files[..files.len().min(FILES_MAX)], options).await?,
        Format::Json(options) => json::infer(&store, &files[..files.len().min(FILES_MAX)], options).await?,
    };
    // A column that is also a directory: the directory counts.
    let is_partition =
        |field: &Field| partition_columns.iter().any(|column: &FieldRef| column.name().to_lowercase() == field.name().to_lowercase());
    let fields = fields.into_iter().filter(|field| !is_partition(field)).collect::<Vec<_>>();
    if fields.is_empty() {
        return Err(Error::new(Code::InvalidStatement, format!("the files of table \"{name}\" have no columns"))
            .hint("Declare the columns, or check the location."));
    }
    if let Some(twice) = first_duplicate(&fields) {
        return Err(Error::new(Code::DuplicateColumn, format!("the files of table \"{name}\" have several columns \"{twice}\""))
            .hint("Declare the columns in the exact case of the files."));
    }
    Ok((Arc::new(Schema::new(fields)), partition_columns))
}

fn first_duplicate(fields: &[Field]) -> Option<&str> {
    let mut seen = std::collections::BTreeSet::new();
    fields.iter().map(|field| field.name().as_str()).find(|name| !seen.insert(name.to_lowercase()))
}

/// The `k=v` directories that all files have in common from the top, typed by their values as Spark does:
/// BIGINT, DATE or STRING.
fn partition_columns(files: &[FoundFile]) -> Vec<FieldRef> {
    let Some(first) = files.first() else { return Vec::new() };
    let mut columns = Vec::new();
    for (depth, directory) in first.directories.iter().enumerate() {
        let Some((name, _)) = directory.split_once('=') else { break };
        let values = files.iter().map(|file| {
            let (key, value) = file.directories.get(depth)?.split_once('=')?;
            key.eq_ignore_ascii_case(name).then(|| unescape(value))
        });
        let Some(values) = values.collect::<Option<Vec<_>>>() else { break };
        let values = values.iter().filter(|value| *value != NULL_PARTITION).map(String::as_bytes).collect::<Vec<_>>();
        let data_type = if values.is_empty() {
            DataType::Utf8
        } else if values.iter().all(|text| value::integer(text).is_some()) {
            DataType::Int64
        } else if values.iter().all(|text| text.len() == 10 && value::date(text).is_some()) {
            DataType::Date32
        } else {
            DataType::Utf8
        };
        columns.push(Arc::new(Field::new(unescape(name), data_type, true)));
    }
    columns
}
