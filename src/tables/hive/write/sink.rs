//! The sink of INSERT and COPY: streams batches into staged files, then commits.
//!
//! ```text
//! input -- check NOT NULL, cast -- split by partition -- one open file each -- roll at 128 MiB
//!                                                              |
//!                          end of input: sync all, lock the directory, journal, rename, unlock
//! ```
//! Memory is bounded: at most [`OPEN_FILES_MAX`] files are open (the one longest unused is closed first), and
//! row groups are closed early when all together hold more than the memory pool or [`BUFFERS_BYTES_MAX`] allows.

use super::encode::{self, FileWriter};
use super::journal;
use super::partition::Partitions;
use super::transaction::Transaction;
use crate::error::{Code, Error, Result};
use crate::storage::durable::{self, AtPath};
use crate::storage::{Location, Storage};
use crate::tables::WriteMode;
use crate::tables::hive::Format;
use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::datasource::sink::DataSink;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Partitions written at the same time.
const OPEN_FILES_MAX: usize = if cfg!(test) { 8 } else { 256 };
/// Files of one statement: more is a partition column that should not be one.
const FILES_MAX: usize = 100_000;
/// A file is closed when it has about this size.
const FILE_BYTES: u64 = 128 << 20;
/// Rows waiting in memory, in all open files.
const BUFFERS_BYTES_MAX: usize = 512 << 20;

/// Where the rows go.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// The directory of a table.
    Table { location: Location, mode: WriteMode },
    /// A new directory: COPY TO.
    NewDirectory { location: Location },
    /// One file, replaced as a whole: COPY TO.
    File { location: Location },
}

/// See the module.
#[derive(Debug)]
pub(super) struct HiveSink {
    /// For messages.
    pub(super) name: String,
    pub(super) storage: Arc<Storage>,
    pub(super) target: Target,
    pub(super) format: Format,
    pub(super) partitions: Partitions,
    /// Data columns as the files have them.
    pub(super) data_schema: SchemaRef,
    /// Data columns, then partition columns: what each batch is made into, with the declared NOT NULL.
    pub(super) row_schema: SchemaRef,
    /// The columns of the input as the plan yields them, all nullable: NOT NULL is checked here, with our message.
    pub(super) input_schema: SchemaRef,
}

impl DisplayAs for HiveSink {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HiveSink(table={}, format={})", self.name, encode::ending(&self.format))
    }
}

#[async_trait]
impl DataSink for HiveSink {
    fn schema(&self) -> &SchemaRef {
        &self.input_schema
    }

    async fn write_all(&self, data: SendableRecordBatchStream, context: &Arc<TaskContext>) -> datafusion::error::Result<u64> {
        journal::recover(&self.storage).await?;
        let reservation = MemoryConsumer::new("HiveSink").register(context.memory_pool());
        match &self.target {
            Target::File { location } => self.write_file(location, data).await,
            Target::Table { location, .. } | Target::NewDirectory { location } => self.write_directory(location, data, reservation).await,
        }
    }
}

impl HiveSink {
    async fn write_directory(
        &self,
        location: &Location,
        mut data: SendableRecordBatchStream,
        reservation: MemoryReservation,
    ) -> datafusion::error::Result<u64> {
        let files = OpenFiles {
            base: location.local.clone(),
            format: self.format.clone(),
            schema: Arc::clone(&self.data_schema),
            partitions: self.partitions.clone(),
            transaction: Transaction::begin(&self.storage, vec![location.local.clone()]),
            statement: uuid::Uuid::now_v7().to_string(),
            n_files: 0,
            open: BTreeMap::new(),
            clock: 0,
            touched: BTreeSet::new(),
            reservation,
        };
        // The state travels to the blocking thread and back; when this future is dropped, it is dropped there.
        let mut files = Some(files);
        let mut n_rows = 0_u64;
        while let Some(batch) = data.next().await {
            let batch = self.conform(&batch?)?;
            n_rows += batch.num_rows() as u64;
            let Some(mut state) = files.take() else { break };
            let (state, written) = durable::blocking(move || {
                let written = state.write(&batch);
                (state, written)
            })
            .await;
            files = Some(state);
            written?;
        }
        // The source is read to its end: what it held open is let go before the commit.
        drop(data);
        let Some(state) = files.take() else { return Ok(n_rows) };
        let never_empty =
            matches!(self.target, Target::NewDirectory { .. }) && self.row_schema.fields().len() == self.data_schema.fields().len();
        let (transaction, touched) = durable::blocking(move || state.finish(never_empty)).await?;
        self.commit(location, transaction, touched).await?;
        Ok(n_rows)
    }

    async fn commit(&self, location: &Location, mut transaction: Transaction, touched: BTreeSet<String>) -> Result<()> {
        for directory in self.partitions.all_elsewhere().values() {
            transaction.include(directory);
        }
        let (storage, location, partitions) = (Arc::clone(&self.storage), location.clone(), self.partitions.clone());
        let removals: Box<dyn FnOnce() -> Result<BTreeSet<PathBuf>> + Send> = match &self.target {
            Target::Table { mode: WriteMode::Append, .. } | Target::File { .. } => Box::new(|| Ok(BTreeSet::new())),
            Target::Table { mode: WriteMode::OverwriteTable, .. } => {
                Box::new(move || table_files(&storage, &location, &partitions, |_| true))
            }
            Target::Table { mode: WriteMode::OverwritePartitions { fixed }, .. } => {
                let mut replaced = touched;
                replaced.extend(self.partitions.fixed(fixed)?);
                Box::new(move || table_files(&storage, &location, &partitions, |partition| replaced.contains(partition)))
            }
            Target::NewDirectory { .. } => Box::new(move || {
                refuse_used_directory(&location)?;
                // An empty result still makes the directory: the COPY was asked for it.
                durable::create_dir_all(&location.local).at("create directory", &location.local)?;
                Ok(BTreeSet::new())
            }),
        };
        transaction.commit(removals).await
    }

    async fn write_file(&self, location: &Location, mut data: SendableRecordBatchStream) -> datafusion::error::Result<u64> {
        let (target, format, schema) = (location.local.clone(), self.format.clone(), Arc::clone(&self.data_schema));
        // Staged and recorded as the files of a table are: what a crash leaves beside the target is known.
        let mut transaction = Transaction::begin(&self.storage, vec![target.clone()]);
        let started = durable::blocking(move || -> Result<_> {
            let parent = target.parent().unwrap_or(&target).to_path_buf();
            let staged = transaction.stage(&parent, target.clone())?;
            let file = File::create_new(&staged).at("create", &staged)?;
            let writer = FileWriter::over(file, &target, &format, &schema)?;
            Ok((transaction, writer))
        });
        let (transaction, writer) = started.await?;
        let mut state = Some((writer, transaction));
        let mut n_rows = 0_u64;
        while let Some(batch) = data.next().await {
            let batch = self.conform(&batch?)?;
            n_rows += batch.num_rows() as u64;
            let Some((mut writer, transaction)) = state.take() else { break };
            let (back, written) = durable::blocking(move || {
                let written = writer.write(&batch);
                ((writer, transaction), written)
            })
            .await;
            state = Some(back);
            written?;
        }
        drop(data);
        if let Some((writer, transaction)) = state {
            durable::blocking(move || writer.finish_durably()).await?;
            self.commit(location, transaction, BTreeSet::new()).await?;
        }
        Ok(n_rows)
    }

    /// Casts a batch to the columns of the table, by position, and refuses NULL where the table forbids it.
    fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (column, field) in batch.columns().iter().zip(self.row_schema.fields()) {
            if !field.is_nullable() && column.logical_null_count() > 0 {
                return Err(Error::new(Code::NotNull, format!("column \"{}\" of table \"{}\" is NOT NULL", field.name(), self.name))
                    .detail(format!("{} rows of the input have NULL there.", column.logical_null_count()))
                    .hint("Nothing was written. Filter these rows out, or give them a value with coalesce."));
            }
            columns.push(convert(column, field.data_type(), field.name())?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.row_schema), columns, &options).map_err(|error| {
            Error::new(Code::NotNull, format!("rows do not fit the columns of table \"{}\"", self.name)).detail(format!("{error}."))
        })
    }
}

fn convert(column: &ArrayRef, target: &DataType, name: &str) -> Result<ArrayRef> {
    if column.data_type() == target {
        return Ok(Arc::clone(column));
    }
    // Not "safe": a value that does not fit is an error, not NULL.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, target, &options)
        .map_err(|error| Error::new(Code::InvalidValue, format!("value does not fit column \"{name}\"")).detail(format!("{error}.")))
}

/// The visible files of the partitions that are asked for.
fn table_files(
    storage: &Storage,
    location: &Location,
    partitions: &Partitions,
    is_asked: impl Fn(&str) -> bool,
) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for file in storage.list_blocking(location)? {
        let partition = partitions.canonical(&file.relative);
        if is_asked(partition.as_deref().unwrap_or_default()) {
            files.insert(file.local);
        }
    }
    for (partition, directory) in partitions.all_elsewhere() {
        if is_asked(partition) {
            let elsewhere = Location { local: directory.clone(), glob: None, is_directory: true, ..location.clone() };
            files.extend(storage.list_blocking(&elsewhere)?.into_iter().map(|file| file.local));
        }
    }
    Ok(files)
}

/// COPY TO never mixes its files with others.
pub(super) fn refuse_used_directory(location: &Location) -> Result<()> {
    let entries = match std::fs::read_dir(&location.local) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.at("read directory", &location.local)?,
    };
    for entry in entries {
        let entry = entry.at("read directory", &location.local)?;
        if entry.file_name() != super::transaction::STAGING {
            return Err(Error::new(Code::DuplicateObject, format!("directory \"{}\" is not empty", location.text))
                .hint("Name a new directory, or use INSERT INTO a table there."));
        }
    }
    Ok(())
}

struct OpenFile {
    writer: FileWriter,
    last_used: u64,
}

/// The files of one statement.
struct OpenFiles {
    base: PathBuf,
    format: Format,
    schema: SchemaRef,
    partitions: Partitions,
    transaction: Transaction,
    /// In the names of its files.
    statement: String,
    n_files: usize,
    /// By partition directory.
    open: BTreeMap<String, OpenFile>,
    clock: u64,
    /// The partitions that got rows.
    touched: BTreeSet<String>,
    reservation: MemoryReservation,
}

impl OpenFiles {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        for (directory, part) in self.partitions.split(batch)? {
            self.clock += 1;
            if !self.open.contains_key(&directory) {
                self.make_room()?;
                let writer = self.create(&directory)?;
                self.touched.insert(directory.clone());
                self.open.insert(directory.clone(), OpenFile { writer, last_used: 0 });
            }
            let Some(file) = self.open.get_mut(&directory) else { continue };
            file.last_used = self.clock;
            file.writer.write(&part)?;
            if file.writer.size_bytes() >= FILE_BYTES {
                self.close(&directory)?;
            }
        }
        self.limit_memory()
    }

    fn create(&mut self, directory: &str) -> Result<FileWriter> {
        if self.n_files >= FILES_MAX {
            return Err(Error::new(Code::LimitExceeded, format!("statement would write more than {FILES_MAX} files"))
                .detail(format!("It has written to {} partitions.", self.touched.len()))
                .hint("Sort the rows by the partition columns, or partition by a column with fewer values."));
        }
        let name = format!("part-{}-{}.{}", self.statement, self.n_files, encode::ending(&self.format));
        self.n_files += 1;
        let base = self.partitions.elsewhere(directory).cloned();
        let target = match &base {
            Some(elsewhere) => elsewhere.join(&name),
            None => self.base.join(directory).join(&name),
        };
        let base = base.unwrap_or_else(|| self.base.clone());
        self.transaction.include(&base);
        let staged = self.transaction.stage(&base, target)?;
        FileWriter::create(&staged, &self.format, &self.schema)
    }

    /// Closes the file that was not used for the longest time when too many are open.
    fn make_room(&mut self) -> Result<()> {
        if self.open.len() < OPEN_FILES_MAX {
            return Ok(());
        }
        match self.open.iter().min_by_key(|(_, file)| file.last_used).map(|(directory, _)| directory.clone()) {
            Some(oldest) => self.close(&oldest),
            None => Ok(()),
        }
    }

    fn close(&mut self, directory: &str) -> Result<()> {
        match self.open.remove(directory) {
            Some(file) => file.writer.finish_durably(),
            None => Ok(()),
        }
    }

    fn limit_memory(&mut self) -> Result<()> {
        let held = self.open.values().map(|file| file.writer.memory_bytes()).sum::<usize>();
        if held <= BUFFERS_BYTES_MAX && self.reservation.try_resize(held).is_ok() {
            return Ok(());
        }
        for file in self.open.values_mut() {
            file.writer.relieve()?;
        }
        let held = self.open.values().map(|file| file.writer.memory_bytes()).sum::<usize>();
        if self.reservation.try_resize(held).is_err() {
            // Row groups are closed; what is left are the buffers of open files.
            while let Some(directory) = self.open.keys().next().cloned() {
                self.close(&directory)?;
            }
            self.reservation.free();
        }
        Ok(())
    }

    /// Ends and syncs all files. `never_empty`: a result without rows leaves a file that tells its columns.
    fn finish(mut self, never_empty: bool) -> Result<(Transaction, BTreeSet<String>)> {
        if never_empty && self.n_files == 0 {
            self.create("")?.finish_durably()?;
        }
        while let Some(directory) = self.open.keys().next().cloned() {
            self.close(&directory)?;
        }
        Ok((self.transaction, self.touched))
    }
}

/// For a COPY into one file: the compression that its ending asks for.
pub(super) fn is_file_name(path: &Path) -> bool {
    const ENDINGS: &[&str] = &["csv", "tsv", "txt", "json", "jsonl", "ndjson", "parquet"];
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = [".gz", ".zst", ".bz2"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    name.rsplit_once('.').is_some_and(|(stem, ending)| !stem.is_empty() && ENDINGS.contains(&ending))
}
