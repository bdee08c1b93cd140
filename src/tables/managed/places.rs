//! DELETE and UPDATE: rows are named by their places, and the files that hold them are written again without them.
//!
//! ```text
//! SELECT [new values,] _weir_file, _weir_row FROM rows_with_places(pin) WHERE p
//!      new values --> new files; places --> a set of rows; at their end:
//!      the files of the set --rows that are not in it--> new files --> one commit: adds, removes
//! ```
//! So WHERE means what it means in any query: no second condition has to say which rows stay, where NULL and
//! sub-queries would have to be turned around. The commit is refused with `Conflict` when one of the files is not in
//! the table any more: then again, from the pin.

use super::ManagedTable;
use super::commit::{Commit, Replace};
use super::files::{FilesWriter, Place};
use super::live_files::LiveFile;
use super::snapshot::Snapshot;
use super::version::{Pin, Version};
use super::write::conform;
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::sink::{DataSink, DataSinkExec};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, execute_stream};
use futures::StreamExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The column of [`ManagedTable::rows_with_places`] that numbers the files of a pin.
pub const FILE_COLUMN: &str = "_weir_file";

/// The column of [`ManagedTable::rows_with_places`] that numbers the rows of a file, behind [`FILE_COLUMN`].
pub const ROW_COLUMN: &str = "_weir_row";

impl ManagedTable {
    /// The rows of a pin with two more columns (BIGINT), [`FILE_COLUMN`] and [`ROW_COLUMN`]: where each row is.
    ///
    /// # Errors
    /// `NotSupported` when a column of the table has one of these names.
    pub fn rows_with_places(&self, pin: &Pin) -> Result<Arc<dyn TableProvider>> {
        let fields = pin.0.definition.schema.fields();
        if let Some(field) = fields.iter().find(|field| [FILE_COLUMN, ROW_COLUMN].contains(&field.name().as_str())) {
            let message =
                format!("rows of table \"{}\" cannot be changed: its column \"{}\" has a name of the server", self.name(), field.name());
            return Err(Error::new(Code::NotSupported, message).hint("CREATE TABLE .. AS SELECT gives the column another name."));
        }
        Ok(Arc::new(Snapshot::with_places(self.log().clone(), Arc::clone(&pin.0), None)))
    }

    /// The plan of a DELETE or an UPDATE of a pin; it counts the rows that changed, after the commit.
    ///
    /// `input` names rows by their places. Before these it has nothing (the rows go), or all columns of the table in
    /// table order (the new values of the rows). `operation` is what the log calls it.
    pub fn change_plan(
        self: &Arc<Self>,
        pin: &Pin,
        operation: &'static str,
        input: Arc<dyn ExecutionPlan>,
        state: &SessionState,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let definition = &pin.0.definition;
        if definition.append_only {
            return Err(Error::new(Code::NotSupported, format!("table \"{}\" is append-only: its rows cannot change", self.name())));
        }
        let n_columns = input.schema().fields().len();
        if n_columns != 2 && n_columns != definition.schema.fields().len() + 2 {
            return Err(Error::internal(format!("{operation} of table \"{}\" with {n_columns} columns", self.name())));
        }
        // As for INSERT: the engine shall leave NOT NULL to us.
        let nullable =
            input.schema().fields().iter().map(|field| Field::new(field.name(), field.data_type().clone(), true)).collect::<Vec<_>>();
        let input: Arc<dyn ExecutionPlan> = match input.output_partitioning().partition_count() {
            1 => input,
            _ => Arc::new(CoalescePartitionsExec::new(input)),
        };
        let sink = ChangeSink {
            table: Arc::clone(self),
            version: Arc::clone(&pin.0),
            operation,
            schema: Arc::new(Schema::new(nullable)),
            state: state.clone(),
        };
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), None)))
    }
}

#[derive(Debug)]
struct ChangeSink {
    table: Arc<ManagedTable>,
    version: Arc<Version>,
    operation: &'static str,
    schema: SchemaRef,
    state: SessionState,
}

impl ChangeSink {
    fn write<'a>(
        &'a self,
        mut rows: SendableRecordBatchStream,
        context: &'a Arc<TaskContext>,
    ) -> BoxFuture<'a, datafusion::common::Result<u64>> {
        Box::pin(async move {
            let (name, definition, pool) = (self.table.name(), &self.version.definition, context.memory_pool());
            let n_values = self.schema.fields().len() - 2;
            let (mut changed, mut n_given) = (Places::new(&format!("{} {name}", self.operation), pool), 0);
            let mut files = FilesWriter::new(&self.table, Arc::clone(definition), Place::New, self.operation, pool);
            while let Some(batch) = rows.next().await {
                let batch = batch?;
                changed.add(batch.column(n_values), batch.column(n_values + 1))?;
                n_given += batch.num_rows() as u64;
                if n_values > 0 {
                    // Such as by unnest: which of them is meant?
                    if n_given != changed.n_rows {
                        let error = Error::new(Code::InvalidStatement, format!("{} gives a row of \"{name}\" two values", self.operation));
                        return Err(error.hint("Write expressions that give one value for each row.").into());
                    }
                    let values = batch.project(&(0..n_values).collect::<Vec<_>>())?;
                    files.write(&conform(name, definition, &values)?).await?;
                }
            }
            if changed.n_rows == 0 {
                return Ok(0);
            }
            let all: Vec<&Arc<LiveFile>> = self.version.files.iter().collect();
            let mut removed = Vec::with_capacity(changed.files.len());
            for (number, gone) in &changed.files {
                let Some(file) = all.get(*number).copied() else {
                    return Err(Error::internal(format!("a row of file {number}, which the version does not have")).into());
                };
                removed.push(Arc::clone(file));
                if file.stats.as_ref().is_none_or(|stats| stats.n_rows != gone.n_rows) {
                    self.keep(file, gone, &mut files, context).await?;
                }
            }
            let (written, unfinished) = files.finish().await?;
            let commit = Commit { replace: Replace::Rows(removed), ..Commit::append(self.operation, Arc::clone(definition), written) };
            self.table.commit(commit, unfinished).await?;
            self.table.compact_in_background(pool);
            Ok(changed.n_rows)
        })
    }

    /// Writes the rows of a file that stay.
    async fn keep(
        &self,
        file: &Arc<LiveFile>,
        gone: &RowSet,
        files: &mut FilesWriter,
        context: &Arc<TaskContext>,
    ) -> datafusion::common::Result<()> {
        let definition = &self.version.definition;
        let n_columns = definition.schema.fields().len();
        let columns: Vec<usize> = (0..n_columns).collect();
        let chosen = Some(vec![Arc::clone(file)]);
        let snapshot = Snapshot::with_places(self.table.log().clone(), Arc::clone(&self.version), chosen);
        let scan = snapshot.scan(&self.state, None, &[], None).await?;
        let mut rows = execute_stream(scan, Arc::clone(context))?;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let numbers = batch.column(n_columns + 1).as_primitive::<Int64Type>();
            let stays: BooleanArray = numbers.values().iter().map(|row| Some(!gone.contains(*row))).collect();
            if stays.true_count() > 0 {
                let kept = filter_record_batch(&batch.project(&columns)?, &stays)?;
                files.write(&conform(self.table.name(), definition, &kept)?).await?;
            }
        }
        Ok(())
    }
}

impl DisplayAs for ChangeSink {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "managed table {}, {}", self.table.name(), self.operation)
    }
}

impl DataSink for ChangeSink {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    // Without `async_trait`: its clauses keep the compiler from remembering what it proved of the fields (ARCHITECTURE.md).
    fn write_all<'life0, 'life1, 'async_trait>(
        &'life0 self,
        rows: SendableRecordBatchStream,
        context: &'life1 Arc<TaskContext>,
    ) -> BoxFuture<'async_trait, datafusion::common::Result<u64>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        self.write(rows, context)
    }
}

/// Rows by file: one bit a row, up to the last one of each file.
struct Places {
    files: BTreeMap<usize, RowSet>,
    n_rows: u64,
    reservation: MemoryReservation,
}

impl Places {
    fn new(purpose: &str, pool: &Arc<dyn MemoryPool>) -> Self {
        Self { files: BTreeMap::new(), n_rows: 0, reservation: MemoryConsumer::new(purpose).register(pool) }
    }

    fn add(&mut self, files: &ArrayRef, rows: &ArrayRef) -> datafusion::common::Result<()> {
        let (files, rows) = (files.as_primitive::<Int64Type>(), rows.as_primitive::<Int64Type>());
        for (file, row) in files.values().iter().zip(rows.values()) {
            let (Ok(file), Ok(row)) = (usize::try_from(*file), usize::try_from(*row)) else {
                return Err(Error::internal("the place of a row is negative").into());
            };
            let set = self.files.entry(file).or_default();
            self.reservation.try_grow(set.make_room(row))?;
            self.n_rows += set.insert(row);
        }
        Ok(())
    }
}

/// Some rows of a file.
#[derive(Debug, Default)]
struct RowSet {
    words: Vec<u64>,
    n_rows: u64,
}

impl RowSet {
    /// Makes room for a row; returns the bytes that this took.
    fn make_room(&mut self, row: usize) -> usize {
        let old = self.words.capacity();
        if row / 64 >= self.words.len() {
            self.words.resize(row / 64 + 1, 0);
        }
        (self.words.capacity() - old) * size_of::<u64>()
    }

    /// Adds a row for which there is room; returns 1 when it was not in, else 0.
    fn insert(&mut self, row: usize) -> u64 {
        let bit = 1_u64 << (row % 64);
        let word = &mut self.words[row / 64];
        let is_new = u64::from(*word & bit == 0);
        *word |= bit;
        self.n_rows += is_new;
        is_new
    }

    fn contains(&self, row: i64) -> bool {
        let Ok(row) = usize::try_from(row) else { return false };
        self.words.get(row / 64).is_some_and(|word| word & (1 << (row % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_once() {
        let mut set = RowSet::default();
        for (row, expected) in [(0, 1), (63, 1), (64, 1), (1_000, 1), (63, 0)] {
            set.make_room(row);
            assert_eq!(set.insert(row), expected, "{row}");
        }
        assert_eq!(set.n_rows, 4);
        let held: Vec<i64> = (-1..2_000).filter(|row| set.contains(*row)).collect();
        assert_eq!(held, [0, 63, 64, 1_000]);
    }
}
