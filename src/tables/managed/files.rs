//! Rows to Parquet files: one open file per partition, with limits on open files and on memory.

use super::ManagedTable;
use super::live_files::LiveFile;
use super::log::TableLog;
use super::schema::{Definition, Layout};
use super::stats::{FileStats, RowStats, writer_properties};
use super::{partition, sweep};
use crate::error::{Code, Error, Result};
use crate::telemetry::{failpoint, task};
use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take};
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::ScalarValue;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::arrow::AsyncArrowWriter;
use parquet::file::properties::WriterProperties;
use std::collections::HashMap;
use std::sync::Arc;

/// A file this long is closed, the next row opens another.
const FILE_BYTES_MAX: usize = 128 << 20;
/// A row group this long is closed.
const ROW_GROUP_BYTES_MAX: usize = 64 << 20;
/// Files open at the same time; rows of further partitions wait in memory.
const OPEN_FILES_MAX: usize = 32;
/// Rows that wait for a file, and rows inside open files.
const MEMORY_BYTES_MAX: usize = 256 << 20;
/// Taken by a waiting batch for each column, besides the values.
const WAITING_BATCH_BYTES: usize = 256;
/// Bytes that go to the store in one piece.
const PART_BYTES: usize = 8 << 20;

/// What rows are in files for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// They are new: where listings are the truth they stay hidden.
    New,
    /// As [`Self::New`], and soon to be merged with others: quick to write.
    Brief,
    /// They are committed already: listings may show them.
    Merged,
}

/// Files that are in no version yet. Dropped (a failed or cancelled statement), it deletes them.
#[derive(Debug)]
pub struct UnfinishedFiles {
    log: TableLog,
    paths: Vec<Path>,
}

impl UnfinishedFiles {
    pub fn new(log: TableLog, paths: Vec<Path>) -> Self {
        Self { log, paths }
    }

    /// Somebody else owns the files from here on.
    pub fn hand_over(mut self) -> Vec<Path> {
        std::mem::take(&mut self.paths)
    }
}

impl Drop for UnfinishedFiles {
    fn drop(&mut self) {
        if self.paths.is_empty() {
            return;
        }
        let (log, paths) = (self.log.clone(), std::mem::take(&mut self.paths));
        // Without a runtime the process ends, and the next start sweeps them.
        if tokio::runtime::Handle::try_current().is_ok() {
            drop(task::spawn(format!("remove unfinished files of {}", log.name), async move {
                drop(sweep::delete(&log, &paths).await);
            }));
        }
    }
}

/// The file that is being written for one partition.
struct OpenFile {
    path: Path,
    writer: AsyncArrowWriter<BufWriter>,
    seen: RowStats,
    /// The last use, to close the file that rests longest.
    used_at: u64,
}

/// One partition that got rows.
struct Partition {
    values: Vec<ScalarValue>,
    texts: Vec<Option<String>>,
    directory: String,
    open: Option<OpenFile>,
    /// Rows that wait until a file may be opened.
    waiting: Vec<RecordBatch>,
    waiting_bytes: usize,
}

/// Writes the rows of one statement into files.
pub struct FilesWriter {
    // Declared first: open files are given up before the finished ones are deleted.
    partitions: Vec<Partition>,
    log: TableLog,
    generation: i64,
    definition: Arc<Definition>,
    properties: WriterProperties,
    is_young: bool,
    keys: HashMap<OwnedRow, usize>,
    /// Partitions by the texts of their values, for rows that come from files.
    keys_of_files: HashMap<Vec<Option<String>>, usize>,
    converter: Option<RowConverter>,
    n_open: usize,
    clock: u64,
    reservation: MemoryReservation,
    finished: Vec<LiveFile>,
    unfinished: UnfinishedFiles,
}

impl FilesWriter {
    /// `purpose` names the work where memory is short: `INSERT into`.
    pub fn new(table: &ManagedTable, definition: Arc<Definition>, place: Place, purpose: &str, pool: &Arc<dyn MemoryPool>) -> Self {
        let log = table.log().clone();
        let reservation = MemoryConsumer::new(format!("{purpose} {}", log.name)).register(pool);
        let properties = writer_properties(&definition.file_schema, place == Place::Brief);
        Self {
            partitions: Vec::new(),
            generation: table.generation(),
            unfinished: UnfinishedFiles::new(log.clone(), Vec::new()),
            log,
            is_young: place != Place::Merged && definition.layout == Layout::Parquet,
            definition,
            properties,
            keys: HashMap::new(),
            keys_of_files: HashMap::new(),
            converter: None,
            n_open: 0,
            clock: 0,
            reservation,
            finished: Vec::new(),
        }
    }

    /// Takes columns in table order.
    pub async fn write(&mut self, columns: &[ArrayRef]) -> Result<()> {
        if columns.first().is_none_or(|column| column.is_empty()) {
            return Ok(());
        }
        let in_file: Vec<ArrayRef> = self.definition.file_indexes.iter().map(|&index| Arc::clone(&columns[index])).collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.definition.file_schema), in_file).map_err(|error| internal(&error))?;
        for (index, rows) in self.split(columns, rows)? {
            self.write_partition(index, rows).await?;
        }
        self.keep_within_memory().await
    }

    /// Takes rows, in file order, of the partition of a file.
    pub async fn write_to(&mut self, partition_of: &LiveFile, rows: RecordBatch) -> Result<()> {
        let index = match self.keys_of_files.get(&partition_of.partition_texts) {
            Some(&index) => index,
            None => {
                let (values, texts) = (partition_of.partition.clone(), partition_of.partition_texts.clone());
                self.partitions.push(self.partition_with(values, texts.clone()));
                self.keys_of_files.insert(texts, self.partitions.len() - 1);
                self.partitions.len() - 1
            }
        };
        self.write_partition(index, rows).await?;
        self.keep_within_memory().await
    }

    /// Sorts rows into partitions.
    fn split(&mut self, columns: &[ArrayRef], rows: RecordBatch) -> Result<Vec<(usize, RecordBatch)>> {
        let keys: Vec<ArrayRef> = self.definition.partition_indexes.iter().map(|&index| Arc::clone(&columns[index])).collect();
        if keys.is_empty() {
            if self.partitions.is_empty() {
                self.partitions.push(self.partition(&[], 0)?);
            }
            return Ok(vec![(0, rows)]);
        }
        if self.converter.is_none() {
            let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
            self.converter = Some(RowConverter::new(fields).map_err(|error| internal(&error))?);
        }
        let Some(converter) = &self.converter else { return Err(Error::internal("no converter of partition keys")) };
        let key_rows = converter.convert_columns(&keys).map_err(|error| internal(&error))?;
        let mut rows_of: HashMap<usize, Vec<u32>> = HashMap::new();
        let mut previous: Option<(usize, usize)> = None;
        for row_idx in 0..rows.num_rows() {
            let partition = match previous {
                // Rows of one partition mostly follow each other.
                Some((before, partition)) if key_rows.row(before) == key_rows.row(row_idx) => partition,
                _ => {
                    let key = key_rows.row(row_idx).owned();
                    match self.keys.get(&key) {
                        Some(&partition) => partition,
                        None => {
                            self.partitions.push(self.partition(&keys, row_idx)?);
                            self.keys.insert(key, self.partitions.len() - 1);
                            self.partitions.len() - 1
                        }
                    }
                }
            };
            previous = Some((row_idx, partition));
            rows_of.entry(partition).or_default().push(u32::try_from(row_idx).map_err(|error| internal(&error))?);
        }
        if rows_of.len() == 1 {
            return Ok(rows_of.into_keys().map(|partition| (partition, rows.clone())).collect());
        }
        rows_of
            .into_iter()
            .map(|(partition, indexes)| {
                let indexes = UInt32Array::from(indexes);
                let columns = rows.columns().iter().map(|column| take(column, &indexes, None)).collect::<Result<Vec<_>, _>>();
                let columns = columns.map_err(|error| internal(&error))?;
                Ok((partition, RecordBatch::try_new(rows.schema(), columns).map_err(|error| internal(&error))?))
            })
            .collect()
    }

    fn partition(&self, keys: &[ArrayRef], row_idx: usize) -> Result<Partition> {
        let values = keys
            .iter()
            .map(|key| ScalarValue::try_from_array(key, row_idx).map_err(|error| internal(&error)))
            .collect::<Result<Vec<_>>>()?;
        let texts = values.iter().map(partition::value_text).collect::<Result<Vec<_>>>()?;
        Ok(self.partition_with(values, texts))
    }

    fn partition_with(&self, values: Vec<ScalarValue>, texts: Vec<Option<String>>) -> Partition {
        let directory = partition::directory(&self.definition.partition_fields(), &texts);
        Partition { values, texts, directory, open: None, waiting: Vec::new(), waiting_bytes: 0 }
    }

    async fn write_partition(&mut self, index: usize, rows: RecordBatch) -> Result<()> {
        let may_write = self.partitions[index].open.is_some() || self.n_open < OPEN_FILES_MAX;
        if may_write {
            return self.encode(index, &rows).await;
        }
        let partition = &mut self.partitions[index];
        // Few rows of many partitions: what is around the values counts too.
        partition.waiting_bytes += rows.get_array_memory_size() + WAITING_BATCH_BYTES * (rows.num_columns() + 1);
        partition.waiting.push(rows);
        Ok(())
    }

    /// Writes rows into the file of a partition, opens it before and closes it after, as needed.
    async fn encode(&mut self, index: usize, rows: &RecordBatch) -> Result<()> {
        self.clock += 1;
        if self.partitions[index].open.is_none() {
            let path = sweep::file_path(self.generation, &self.partitions[index].directory, self.is_young);
            let path = self.log.data_path(&path)?;
            self.unfinished.paths.push(path.clone());
            let buffer = BufWriter::with_capacity(Arc::clone(&self.log.store), path.clone(), PART_BYTES).with_max_concurrency(2);
            let writer = AsyncArrowWriter::try_new(buffer, Arc::clone(&self.definition.file_schema), Some(self.properties.clone()))
                .map_err(|error| self.failed(&error))?;
            self.partitions[index].open = Some(OpenFile { path, writer, seen: RowStats::default(), used_at: self.clock });
            self.n_open += 1;
        }
        let clock = self.clock;
        let Some(open) = &mut self.partitions[index].open else { return Err(Error::internal("no open file")) };
        open.used_at = clock;
        open.seen.observe(rows.columns());
        failpoint::reach("data.before");
        let mut result = open.writer.write(rows).await;
        failpoint::reach("data.after");
        if result.is_ok() && open.writer.in_progress_size() >= ROW_GROUP_BYTES_MAX {
            result = open.writer.flush().await;
        }
        let is_full = open.writer.bytes_written() + open.writer.in_progress_size() >= FILE_BYTES_MAX;
        result.map_err(|error| self.failed(&error))?;
        if is_full { self.close(index).await } else { Ok(()) }
    }

    /// Finishes the file of a partition.
    async fn close(&mut self, index: usize) -> Result<()> {
        let Some(mut open) = self.partitions[index].open.take() else { return Ok(()) };
        self.n_open -= 1;
        if self.definition.layout == Layout::Parquet && !self.is_young {
            failpoint::reach("mature.before");
        }
        let metadata = open.writer.finish().await.map_err(|error| self.failed(&error))?;
        failpoint::reach("data.closed");
        let partition = &self.partitions[index];
        self.finished.push(LiveFile {
            path: open.path,
            size_bytes: open.writer.bytes_written() as u64,
            modified_ms: chrono::Utc::now().timestamp_millis(),
            partition: partition.values.clone(),
            partition_texts: partition.texts.clone(),
            stats: Some(FileStats::of_file(&self.definition.file_schema, &metadata, &open.seen)?),
        });
        Ok(())
    }

    /// Bytes held: rows that wait and row groups that are open.
    fn memory_bytes(&self) -> usize {
        let held = |partition: &Partition| partition.waiting_bytes + partition.open.as_ref().map_or(0, |open| open.writer.memory_size());
        self.partitions.iter().map(held).sum()
    }

    /// Moves rows out of memory until our limit and the engine's memory pool agree.
    async fn keep_within_memory(&mut self) -> Result<()> {
        loop {
            let bytes = self.memory_bytes();
            let granted = self.reservation.try_resize(bytes);
            if granted.is_ok() && bytes <= MEMORY_BYTES_MAX {
                return Ok(());
            }
            if self.shrink().await? {
                continue;
            }
            return granted.map_err(|error| {
                Error::new(Code::LimitExceeded, format!("not enough memory to write to table \"{}\"", self.log.name))
                    .detail(error.strip_backtrace())
                    .hint("Raise the memory limit, or insert fewer partitions at once.")
            });
        }
    }

    /// Writes out what holds most memory; false when nothing is left to write.
    async fn shrink(&mut self) -> Result<bool> {
        if let Some(index) = self.most_by(|partition| partition.waiting_bytes as u64) {
            self.write_waiting(index).await?;
            return Ok(true);
        }
        let in_progress = |partition: &Partition| partition.open.as_ref().map_or(0, |open| open.writer.in_progress_size() as u64);
        let Some(index) = self.most_by(in_progress) else { return Ok(false) };
        let Some(open) = &mut self.partitions[index].open else { return Ok(false) };
        let flushed = open.writer.flush().await;
        flushed.map_err(|error| self.failed(&error))?;
        Ok(true)
    }

    async fn write_waiting(&mut self, index: usize) -> Result<()> {
        if self.partitions[index].open.is_none() && self.n_open >= OPEN_FILES_MAX {
            let clock = self.clock;
            let rested = |partition: &Partition| partition.open.as_ref().map_or(0, |open| clock + 1 - open.used_at);
            if let Some(resting) = self.most_by(rested) {
                self.close(resting).await?;
            }
        }
        let waiting = std::mem::take(&mut self.partitions[index].waiting);
        self.partitions[index].waiting_bytes = 0;
        let rows = concat_batches(&self.definition.file_schema, &waiting).map_err(|error| internal(&error))?;
        self.encode(index, &rows).await
    }

    /// The partition with most of something; `None` when none has any.
    fn most_by(&self, amount: impl Fn(&Partition) -> u64) -> Option<usize> {
        (0..self.partitions.len()).max_by_key(|&index| amount(&self.partitions[index])).filter(|&index| amount(&self.partitions[index]) > 0)
    }

    /// Closes all files: further rows go to new ones.
    pub async fn close_all(&mut self) -> Result<()> {
        for index in 0..self.partitions.len() {
            self.close(index).await?;
        }
        for index in 0..self.partitions.len() {
            if !self.partitions[index].waiting.is_empty() {
                self.write_waiting(index).await?;
                self.close(index).await?;
            }
        }
        Ok(())
    }

    /// Closes all files. The second part keeps them deletable until the committer has them.
    pub async fn finish(mut self) -> Result<(Vec<LiveFile>, UnfinishedFiles)> {
        self.close_all().await?;
        Ok(self.closed())
    }

    /// The files, when all of them are closed.
    pub fn closed(mut self) -> (Vec<LiveFile>, UnfinishedFiles) {
        (std::mem::take(&mut self.finished), self.unfinished)
    }

    /// Ends without files; the caller deletes what may be there of them.
    pub fn give_up(mut self) -> Vec<Path> {
        self.partitions.clear();
        self.unfinished.hand_over()
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> Error {
        Error::new(Code::Io, format!("could not write a data file of table \"{}\": {error}", self.log.name))
    }
}

fn internal(error: &dyn std::fmt::Display) -> Error {
    Error::internal(format!("rows of a managed table: {error}"))
}
