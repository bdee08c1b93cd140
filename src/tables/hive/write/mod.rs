//! Writing: INSERT INTO, INSERT OVERWRITE and COPY TO, each one step for every reader through weir.
//!
//! ```text
//! sink (batches -> staged files, encode/*) -> transaction (lock, commit) -> journal (redo, recovery)
//! ```
//! A foreign program that lists the directory may see a mix for a moment; it never sees a half-written file.

mod encode;
mod journal;
mod partition;
mod sink;
#[cfg(test)]
mod tests;
mod transaction;

pub use journal::recover;

use super::{Compression, Format, HiveTableDef};
use crate::error::{Code, Error, Result};
use crate::storage::{DirectoryPin, ListedFile, Location, Storage, durable};
use crate::tables::WriteMode;
use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use partition::Partitions;
use sink::{HiveSink, Target};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Lists the files of several locations as one moment: no commit falls between them, and none of the files is
/// deleted by weir while the pin lives. The scan keeps the pin as long as it reads.
///
/// Completes unfinished commits of an earlier process first.
pub async fn list(storage: &Arc<Storage>, locations: &[Location]) -> Result<(Vec<Vec<ListedFile>>, DirectoryPin)> {
    recover(storage).await?;
    let directories = locations.iter().map(|location| location.local.clone()).collect::<Vec<PathBuf>>();
    if journal::has_unfinished(storage) {
        let guard = storage.apply(&directories).await;
        let (storage, directories) = (Arc::clone(storage), directories.clone());
        durable::blocking(move || journal::retry(&storage, &directories)).await?;
        drop(guard);
    }
    let pin = storage.pin(&directories).await;
    let mut listings = Vec::with_capacity(locations.len());
    for location in locations {
        let mut files = storage.list(location).await?;
        files.retain(|file| !pin.is_removed(&file.local));
        listings.push(files);
    }
    pin.listed();
    Ok((listings, pin))
}

/// A plan that writes `input` (data columns in table order, then partition columns, matched by position) into a
/// table and yields one row: `count` UInt64. Nothing is visible before all of it is; dropping it leaves nothing.
///
/// # Errors
/// At once, before anything is written: another number of columns, a type that the format cannot hold, a location
/// that is read-only, a pattern or a single file.
pub fn insert_plan(
    def: &HiveTableDef,
    storage: &Arc<Storage>,
    input: Arc<dyn ExecutionPlan>,
    mode: WriteMode,
) -> Result<Arc<dyn ExecutionPlan>> {
    if def.location.glob.is_some() || (!def.location.is_directory && def.location.local.exists()) {
        let what = if def.location.glob.is_some() { "a pattern" } else { "a single file" };
        return Err(Error::new(Code::WrongObject, format!("table \"{}\" cannot be written, its location is {what}", def.name))
            .hint("Create a table over a directory."));
    }
    for location in std::iter::once(&def.location).chain(def.partition_locations.values()) {
        storage.check_writable(location)?;
    }
    let fields = def.schema.fields().iter().chain(&def.partition_columns).cloned().collect::<Vec<FieldRef>>();
    if input.schema().fields().len() != fields.len() {
        return Err(Error::new(
            Code::InvalidStatement,
            format!("table \"{}\" has {} columns, the query yields {}", def.name, fields.len(), input.schema().fields().len()),
        )
        .hint("Name the columns: INSERT INTO t (a, b) SELECT .., or select all of them in the order of the table."));
    }
    encode::check_schema(&def.format, &def.schema)?;
    let partitions = Partitions::new(def)?;
    if let WriteMode::OverwritePartitions { fixed } = &mode {
        partitions.fixed(fixed)?;
    }
    Ok(plan(
        HiveSink {
            name: def.name.clone(),
            storage: Arc::clone(storage),
            target: Target::Table { location: def.location.clone(), mode },
            format: def.format.clone(),
            partitions,
            data_schema: Arc::clone(&def.schema),
            row_schema: Arc::new(Schema::new(fields)),
            input_schema: nullable(&input.schema()),
        },
        input,
    ))
}

/// A plan that writes `input` to a new directory or one file, for COPY TO.
///
/// One file: when the name ends in that of a format (`f.csv`, `f.parquet`, `f.csv.gz`, whose ending then decides
/// the compression), or a file is there, which is replaced in one step. Else a directory, which must be empty or
/// missing. `partition_columns` are columns of the input by name; they become directories.
pub fn copy_plan(
    storage: &Arc<Storage>,
    location: &Location,
    format: &Format,
    partition_columns: &[String],
    input: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    if location.glob.is_some() {
        return Err(Error::new(Code::InvalidParameter, format!("location \"{}\" is a pattern, it cannot be written to", location.text)));
    }
    storage.check_writable(location)?;
    let input = partition_columns_last(input, partition_columns)?;
    let schema = input.schema();
    let n_data = schema.fields().len() - partition_columns.len();
    let data_schema = Arc::new(Schema::new(schema.fields()[..n_data].to_vec()));
    encode::check_schema(format, &data_schema)?;
    let exists = location.local.exists();
    let is_file = if exists { !location.is_directory } else { !location.text.ends_with('/') && sink::is_file_name(&location.local) };
    if is_file && !partition_columns.is_empty() {
        return Err(Error::new(Code::InvalidStatement, format!("file \"{}\" cannot have partitions", location.text))
            .hint("Name a directory: end the name with '/'."));
    }
    let (target, format) = match is_file {
        true => (Target::File { location: location.clone() }, by_ending(format, &location.text)),
        false => {
            sink::refuse_used_directory(location)?;
            (Target::NewDirectory { location: location.clone() }, format.clone())
        }
    };
    let def = HiveTableDef {
        name: location.text.clone(),
        location: location.clone(),
        schema: Arc::clone(&data_schema),
        partition_columns: schema.fields()[n_data..].to_vec(),
        format: format.clone(),
        partition_locations: BTreeMap::new(),
    };
    Ok(plan(
        HiveSink {
            name: location.text.clone(),
            storage: Arc::clone(storage),
            target,
            format,
            partitions: Partitions::new(&def)?,
            data_schema,
            row_schema: Arc::clone(&schema),
            input_schema: nullable(&schema),
        },
        input,
    ))
}

/// Moves the partition columns of a COPY to the end.
fn partition_columns_last(input: Arc<dyn ExecutionPlan>, partition_columns: &[String]) -> Result<Arc<dyn ExecutionPlan>> {
    use datafusion::physical_expr::expressions::Column;
    use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
    if partition_columns.is_empty() {
        return Ok(input);
    }
    let schema = input.schema();
    let mut last = Vec::with_capacity(partition_columns.len());
    for name in partition_columns {
        let found = schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
        let Some(column_idx) = found.filter(|column_idx| !last.contains(column_idx)) else {
            let known = schema.fields().iter().map(|field| field.name().as_str());
            return Err(Error::unknown(Code::UndefinedColumn, format!("query has no column \"{name}\" to partition by"), name, known));
        };
        last.push(column_idx);
    }
    let first = (0..schema.fields().len()).filter(|column_idx| !last.contains(column_idx));
    let columns = first.chain(last.clone()).map(|column_idx| {
        let name = schema.field(column_idx).name();
        ProjectionExpr { expr: Arc::new(Column::new(name, column_idx)), alias: name.clone() }
    });
    let projection = ProjectionExec::try_new(columns.collect::<Vec<_>>(), input)
        .map_err(|error| Error::internal(format!("projection of COPY: {error}")))?;
    Ok(Arc::new(projection))
}

/// The ending of a file decides its compression, as it does for reading.
fn by_ending(format: &Format, text: &str) -> Format {
    let text = text.to_lowercase();
    let endings = [(".gz", Compression::Gzip), (".zst", Compression::Zstd), (".bz2", Compression::Bzip2)];
    let compression = endings.iter().find(|(ending, _)| text.ends_with(ending)).map_or(Compression::None, |(_, compression)| *compression);
    let mut format = format.clone();
    match &mut format {
        Format::Parquet(_) => {}
        Format::Text(options) => options.compression = compression,
        Format::Json(options) => options.compression = compression,
    }
    format
}

fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<Field>>();
    Arc::new(Schema::new(fields))
}

/// The sink takes one stream; an order that the query asked for is kept.
fn plan(sink: HiveSink, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let input: Arc<dyn ExecutionPlan> = match (input.output_partitioning().partition_count(), input.output_ordering().cloned()) {
        (1, _) => input,
        (_, Some(ordering)) => Arc::new(SortPreservingMergeExec::new(ordering, input)),
        (_, None) => Arc::new(CoalescePartitionsExec::new(input)),
    };
    Arc::new(DataSinkExec::new(input, Arc::new(sink), None))
}
