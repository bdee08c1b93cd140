//! INSERT: rows of a plan become data files, and the files one commit.

use super::ManagedTable;
use super::commit::{Commit, Replace};
use super::files::{FilesWriter, Place};
use super::partition;
use super::schema::Definition;
use crate::error::{Code, Error, Result};
use crate::tables::WriteMode;
use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::cast::as_string_array;
use datafusion::datasource::sink::{DataSink, DataSinkExec};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;
use std::fmt;
use std::sync::Arc;

/// What the log calls an INSERT.
const OPERATION: &str = "WRITE";

/// The plan of an INSERT: one row with the count of rows written, after the commit.
pub fn insert_plan(table: &Arc<ManagedTable>, input: Arc<dyn ExecutionPlan>, mode: WriteMode) -> Result<Arc<dyn ExecutionPlan>> {
    let definition = table.definition();
    let replace = replaced(table.name(), &definition, mode)?;
    let (wanted, given) = (definition.schema.fields().len(), input.schema().fields().len());
    if wanted != given {
        return Err(Error::new(Code::InvalidStatement, format!("INSERT into table \"{}\" gives {given} columns", table.name()))
            .detail(format!("The table has {wanted} columns.")));
    }
    // The engine checks NOT NULL without naming the table: it shall see a sink that takes everything, we check.
    let nullable = definition.schema.fields().iter().map(|field| Field::new(field.name(), field.data_type().clone(), true));
    let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let input: Arc<dyn ExecutionPlan> = match input.output_partitioning().partition_count() {
        1 => input,
        _ => Arc::new(CoalescePartitionsExec::new(input)),
    };
    let sink = InsertSink { table: Arc::clone(table), definition, replace, schema };
    Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), None)))
}

fn replaced(name: &str, definition: &Definition, mode: WriteMode) -> Result<Replace> {
    let fixed = match mode {
        WriteMode::Append => return Ok(Replace::Nothing),
        WriteMode::OverwriteTable => return Ok(Replace::Table),
        WriteMode::OverwritePartitions { fixed } => fixed,
    };
    let fields = definition.partition_fields();
    for (column, _) in &fixed {
        if !fields.iter().any(|field| field.name().eq_ignore_ascii_case(column)) {
            let what = format!("table \"{name}\" has no partition column \"{column}\"");
            return Err(Error::unknown(Code::UndefinedColumn, what, column, fields.iter().map(|field| field.name().as_str())));
        }
    }
    // Only a partition that is named by all its columns is replaced even when no row comes.
    let named = fields.iter().map(|field| {
        let (_, text) = fixed.iter().find(|(column, _)| field.name().eq_ignore_ascii_case(column))?;
        Some(partition::parse_value(text.as_deref(), field))
    });
    let always = match named.collect::<Option<Vec<Result<ScalarValue>>>>() {
        Some(values) if !values.is_empty() => vec![values.into_iter().collect::<Result<Vec<_>>>()?],
        _ => Vec::new(),
    };
    Ok(Replace::Partitions(always))
}

#[derive(Debug)]
struct InsertSink {
    table: Arc<ManagedTable>,
    definition: Arc<Definition>,
    replace: Replace,
    /// The columns of the table, all of them nullable.
    schema: SchemaRef,
}

/// Rows as a table keeps them: its types, its NOT NULL, and no empty text where a partition has NULL.
pub fn conform(name: &str, definition: &Definition, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let schema = &definition.schema;
    if batch.num_columns() != schema.fields().len() {
        return Err(Error::internal(format!("{} columns for the {} of table \"{name}\"", batch.num_columns(), schema.fields().len())));
    }
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (index, (column, field)) in batch.columns().iter().zip(schema.fields()).enumerate() {
        let mut column = if column.data_type() == field.data_type() {
            Arc::clone(column)
        } else {
            // Strict: a value that does not fit is an error, not a NULL.
            let options = CastOptions { safe: false, ..Default::default() };
            cast_with_options(column, field.data_type(), &options)
                .map_err(|error| Error::new(Code::InvalidValue, format!("column \"{}\" of table \"{name}\": {error}", field.name())))?
        };
        if definition.partition_indexes.contains(&index) {
            column = empty_as_null(column)?;
        }
        if !field.is_nullable() && column.logical_null_count() > 0 {
            return Err(Error::new(Code::NotNull, format!("column \"{}\" of table \"{name}\" must not be NULL", field.name())));
        }
        columns.push(column);
    }
    Ok(columns)
}

impl InsertSink {
    async fn write(&self, mut rows: SendableRecordBatchStream, context: &Arc<TaskContext>) -> datafusion::common::Result<u64> {
        let mut files = FilesWriter::new(&self.table, Arc::clone(&self.definition), Place::New, "INSERT into", context.memory_pool());
        let mut n_rows = 0;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            n_rows += batch.num_rows() as u64;
            let columns = conform(self.table.name(), &self.definition, &batch)?;
            files.write(&columns).await?;
        }
        let (written, unfinished) = files.finish().await?;
        let commit = Commit { replace: self.replace.clone(), ..Commit::append(OPERATION, Arc::clone(&self.definition), written) };
        self.table.commit(commit, unfinished).await?;
        self.table.compact_in_background(context.memory_pool());
        Ok(n_rows)
    }
}

/// Delta has no text for the empty string as a partition value: like Hive and Spark we keep it as NULL.
fn empty_as_null(column: ArrayRef) -> Result<ArrayRef> {
    let Ok(texts) = as_string_array(&column) else { return Ok(column) };
    if !texts.iter().any(|text| text == Some("")) {
        return Ok(column);
    }
    let texts = texts.iter().map(|text| text.filter(|text| !text.is_empty()));
    Ok(Arc::new(texts.collect::<StringArray>()))
}

impl DisplayAs for InsertSink {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "managed table {}, replaces {}", self.table.name(), self.replace)
    }
}

#[async_trait]
impl DataSink for InsertSink {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn write_all(&self, rows: SendableRecordBatchStream, context: &Arc<TaskContext>) -> datafusion::common::Result<u64> {
        self.write(rows, context).await
    }
}
