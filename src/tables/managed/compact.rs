//! OPTIMIZE: many small files become few large ones, with the same rows. Queries and commits go on meanwhile.
//!
//! ```text
//! pin --> plan (which files together) --> read, encode on a blocking thread --> one commit {remove inputs, add outputs}
//! ```
//! The commit is refused when somebody removed an input meanwhile (DELETE, retention): then the work is thrown away.
//!
//! In a table whose listing is the truth ([`Layout::Parquet`]) the small files are young ones, hidden from listings; what
//! they become is mature, visible, and never merged again.

use super::ManagedTable;
use super::commit::{Commit, Owner, Replace};
use super::files::{FilesWriter, Place, UnfinishedFiles};
use super::live_files::LiveFile;
use super::schema::{Definition, Layout};
use super::sweep;
use super::version::Pin;
use crate::error::{Code, Error, Result};
use crate::telemetry::{failpoint, task};
use datafusion::arrow::array::{ArrayRef, RecordBatch, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::future::BoxFuture;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Files shorter than this are merged.
const SMALL_BYTES: u64 = 32 << 20;
/// Inputs of one merge: a file as long as files become.
const MERGE_BYTES_MAX: u64 = 128 << 20;
/// Small files in a partition that make it worth merging without being asked.
const SMALL_FILES_MAX: usize = 32;
/// With this many small ones all are merged, whatever their sizes.
const SMALL_FILES_TOO_MANY: usize = 64;
/// Versions between two looks at the files.
const CHECK_EVERY_VERSIONS: u64 = 16;
/// Young files older than this become mature, however few they are.
const YOUNG_AGE_MAX: Duration = Duration::from_secs(15 * 60);
/// Merges that lose a race before OPTIMIZE gives up; the next one tries again.
const ATTEMPTS_MAX: u32 = 5;
/// Merges of one commit: one that loses a race shall not lose too much.
const COMMIT_BYTES_MAX: u64 = 512 << 20;

/// What a compaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OptimizeReport {
    pub n_files_before: usize,
    pub n_files_after: usize,
    pub n_bytes_before: u64,
    pub n_bytes_after: u64,
}

/// Files of one partition that become one.
#[derive(Debug, Clone)]
struct Merge {
    files: Vec<Arc<LiveFile>>,
}

impl Merge {
    fn n_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }
}

/// A merge whose outputs are durable.
#[derive(Debug, Clone)]
pub struct Merged {
    definition: Arc<Definition>,
    inputs: Vec<Arc<LiveFile>>,
    outputs: Vec<Arc<LiveFile>>,
}

impl ManagedTable {
    /// Merges all small files, as far as the memory of the pool and other writers allow.
    pub fn optimize<'a>(self: &'a Arc<Self>, pool: &'a Arc<dyn MemoryPool>) -> BoxFuture<'a, Result<OptimizeReport>> {
        Box::pin(async move { self.compact(pool, When::Asked).await })
    }

    /// Merges where it is worth it: called after commits, cheap when nothing is to be done. A lost race is no error.
    pub fn maybe_compact<'a>(self: &'a Arc<Self>, pool: &'a Arc<dyn MemoryPool>) -> BoxFuture<'a, Result<OptimizeReport>> {
        Box::pin(async move {
            let (version, checked) = (self.version(), self.checked_at.load(Ordering::Relaxed));
            let is_young_table = self.definition().layout == Layout::Parquet;
            if version < checked.saturating_add(CHECK_EVERY_VERSIONS) && !is_young_table {
                return Ok(OptimizeReport::default());
            }
            self.checked_at.store(version, Ordering::Relaxed);
            let plan = plan(&self.pin(), When::Due, chrono::Utc::now().timestamp_millis());
            if plan.is_empty() {
                return Ok(OptimizeReport::default());
            }
            self.compact(pool, When::Due).await
        })
    }

    /// Makes young files of a table mature: those that are many or old, or all of them (`force`: at a clean stop).
    pub fn mature<'a>(self: &'a Arc<Self>, pool: &'a Arc<dyn MemoryPool>, force: bool) -> BoxFuture<'a, Result<OptimizeReport>> {
        Box::pin(async move {
            if self.definition().layout != Layout::Parquet {
                return Ok(OptimizeReport::default());
            }
            self.compact(pool, if force { When::Asked } else { When::Due }).await
        })
    }

    /// Starts [`Self::maybe_compact`] behind the back of a statement; one at a time.
    pub fn compact_in_background(self: &Arc<Self>, pool: &Arc<dyn MemoryPool>) {
        let mut running = self.compaction.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if running.as_ref().is_some_and(|task| !task.is_finished()) || self.closing.is_cancelled() {
            return;
        }
        let (table, pool) = (Arc::downgrade(self), Arc::clone(pool));
        *running = Some(task::spawn(format!("compaction {}", self.name()), async move {
            let Some(table) = table.upgrade() else { return };
            if let Err(error) = table.maybe_compact(&pool).await {
                tracing::warn!(table = table.name(), %error, "compaction failed");
            }
        }));
    }

    /// In a task of its own: a caller that is cancelled does not leave half of it behind.
    async fn compact(self: &Arc<Self>, pool: &Arc<dyn MemoryPool>, when: When) -> Result<OptimizeReport> {
        let (table, pool) = (Arc::clone(self), Arc::clone(pool));
        let work = task::spawn(format!("merge files of {}", self.name()), async move { table.compact_now(&pool, when).await });
        work.await.map_err(|error| Error::internal(format!("compaction: {error}")))?
    }

    async fn compact_now(self: &Arc<Self>, pool: &Arc<dyn MemoryPool>, when: When) -> Result<OptimizeReport> {
        let turn = tokio::select! {
            turn = Arc::clone(&self.turns).acquire_owned() => turn.map_err(|error| Error::internal(error.to_string()))?,
            // Whoever closes the table waits for this, and shall not wait for the work of other tables.
            () = self.closing.cancelled() => return Err(super::closed(self.name())),
        };
        let mut report = OptimizeReport::default();
        self.commit_pending().await?;
        self.remove_unwanted(Vec::new()).await?;
        let mut n_attempts = 0;
        loop {
            let pin = self.pin();
            let mut jobs = plan(&pin, when, chrono::Utc::now().timestamp_millis());
            let mut is_lost = false;
            while let Some(job) = next_job(&mut jobs) {
                match self.merge(&pin, job, pool, &mut report).await {
                    Err(error) if error.code == Code::Conflict && n_attempts < ATTEMPTS_MAX && self.may_go_on() => is_lost = true,
                    result => result?,
                }
            }
            if !is_lost {
                break;
            }
            n_attempts += 1;
        }
        drop(turn);
        if report.n_files_before > 0 {
            tracing::info!(table = self.name(), before = report.n_files_before, after = report.n_files_after, "files merged");
        }
        Ok(report)
    }

    /// Reads, encodes and commits some merges.
    async fn merge(self: &Arc<Self>, pin: &Pin, job: Vec<Merge>, pool: &Arc<dyn MemoryPool>, report: &mut OptimizeReport) -> Result<()> {
        let inputs: Vec<Arc<LiveFile>> = job.iter().flat_map(|merge| merge.files.iter().cloned()).collect();
        let definition = Arc::clone(&pin.0.definition);
        let (outputs, unfinished) = {
            // Encoding is work for a thread that may block; the pin keeps the inputs.
            let (table, pin, pool, runtime) = (Arc::clone(self), pin.clone(), Arc::clone(pool), tokio::runtime::Handle::current());
            let work = tokio::task::spawn_blocking(move || runtime.block_on(encode(&table, &pin, &job, &pool)));
            match work.await.map_err(|error| Error::internal(format!("compaction: {error}")))? {
                Ok(written) => written,
                Err((error, paths)) => {
                    self.remove_unwanted(paths).await?;
                    return Err(error);
                }
            }
        };
        failpoint::reach("compaction.before");
        let outputs = outputs.into_iter().map(Arc::new).collect();
        let merged = Merged { definition, inputs, outputs };
        let counts = OptimizeReport {
            n_files_before: report.n_files_before + merged.inputs.len(),
            n_files_after: report.n_files_after + merged.outputs.len(),
            n_bytes_before: report.n_bytes_before + merged.inputs.iter().map(|file| file.size_bytes).sum::<u64>(),
            n_bytes_after: report.n_bytes_after + merged.outputs.iter().map(|file| file.size_bytes).sum::<u64>(),
        };
        // From here on the entry may name them.
        drop(unfinished.hand_over());
        self.commit_merged(merged, false).await?;
        failpoint::reach("compaction.after");
        *report = counts;
        Ok(())
    }

    /// A visible file must not be made a second time while the commit of the first is in doubt: it is kept to ask again.
    ///
    /// `was_in_doubt`: this is that question. Then only the committer's own refusal says that the files are in no
    /// version; another server that took the table over may have found them in the log, and sweeps them if it did not.
    async fn commit_merged(&self, merged: Merged, was_in_doubt: bool) -> Result<()> {
        let commit = Commit {
            operation: "OPTIMIZE",
            definition: Arc::clone(&merged.definition),
            files: merged.outputs.clone(),
            replace: Replace::SameRows(merged.inputs.clone()),
            txns: Vec::new(),
            owner: Owner::Caller,
        };
        match self.send(commit).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let is_in_doubt = match error.code {
                    Code::Unavailable | Code::Internal => true,
                    Code::Conflict => was_in_doubt && !self.may_go_on(),
                    _ => was_in_doubt,
                };
                if is_in_doubt {
                    *self.pending.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(merged);
                } else {
                    self.remove_unwanted(merged.outputs.iter().map(|file| file.path.clone()).collect()).await?;
                }
                Err(error)
            }
        }
    }

    /// Deletes merged files that will not be committed. Mature ones must be gone before their rows are written again.
    async fn remove_unwanted(&self, paths: Vec<Path>) -> Result<()> {
        let unwanted = || self.unwanted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut paths = paths;
        paths.append(&mut unwanted());
        let left = sweep::delete(self.log(), &paths).await;
        let Some(path) = left.first().cloned() else { return Ok(()) };
        unwanted().extend(left);
        Err(Error::new(Code::Io, format!("could not remove file \"{path}\" of table \"{}\"", self.name())))
    }

    fn may_go_on(&self) -> bool {
        self.fenced().is_none() && !self.closing.is_cancelled()
    }

    async fn commit_pending(&self) -> Result<()> {
        let pending = self.pending.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(merged) = pending else { return Ok(()) };
        match self.commit_merged(merged, true).await {
            Err(error) if error.code == Code::Conflict && self.may_go_on() => Ok(()),
            result => result,
        }
    }
}

/// Why files are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// OPTIMIZE, or a clean stop: whatever is small.
    Asked,
    /// Nobody asked: only what is worth it.
    Due,
}

/// Which files become one, partition by partition, in the order of their commits.
fn plan(pin: &Pin, when: When, now_ms: i64) -> Vec<Merge> {
    let layout = pin.0.definition.layout;
    let mut partitions: Vec<Vec<Arc<LiveFile>>> = Vec::new();
    let mut index_of: HashMap<&[Option<String>], usize> = HashMap::new();
    for file in pin.0.files.iter() {
        let is_candidate = match layout {
            Layout::Delta => file.size_bytes < SMALL_BYTES,
            Layout::Parquet => sweep::is_young(&file.path),
        };
        if is_candidate {
            let index = *index_of.entry(&file.partition_texts).or_insert(partitions.len());
            if index == partitions.len() {
                partitions.push(Vec::new());
            }
            partitions[index].push(Arc::clone(file));
        }
    }
    let mut merges = Vec::new();
    for files in partitions {
        let files = match (layout, when) {
            (_, When::Asked) => files,
            (Layout::Parquet, When::Due) if is_ripe(&files, now_ms) => files,
            (Layout::Delta, When::Due) if files.len() >= SMALL_FILES_MAX => of_like_size(files),
            _ => continue,
        };
        let mut group = Merge { files: Vec::new() };
        for file in files {
            if group.n_bytes() + file.size_bytes > MERGE_BYTES_MAX && !group.files.is_empty() {
                merges.push(std::mem::replace(&mut group, Merge { files: Vec::new() }));
            }
            group.files.push(file);
        }
        merges.push(group);
    }
    // One file alone is worth it only to be seen.
    merges.retain(|merge| merge.files.len() > 1 || (layout == Layout::Parquet && !merge.files.is_empty()));
    merges
}

fn is_ripe(files: &[Arc<LiveFile>], now_ms: i64) -> bool {
    let n_bytes: u64 = files.iter().map(|file| file.size_bytes).sum();
    let oldest_ms = files.iter().map(|file| file.modified_ms).min().unwrap_or(now_ms);
    n_bytes >= MERGE_BYTES_MAX || now_ms.saturating_sub(oldest_ms) >= i64::try_from(YOUNG_AGE_MAX.as_millis()).unwrap_or(i64::MAX)
}

/// Leaves out files that are longer than twice all shorter ones together: a row is written again only when the files
/// around it have grown, a logarithmic number of times.
fn of_like_size(files: Vec<Arc<LiveFile>>) -> Vec<Arc<LiveFile>> {
    if files.len() >= SMALL_FILES_TOO_MANY {
        return files;
    }
    let mut sizes: Vec<u64> = files.iter().map(|file| file.size_bytes).collect();
    sizes.sort_unstable();
    let (mut longest, mut sum) = (sizes[0], sizes[0]);
    for size in sizes.into_iter().skip(1) {
        if size > 2 * sum {
            break;
        }
        (longest, sum) = (size, sum + size);
    }
    files.into_iter().filter(|file| file.size_bytes <= longest).collect()
}

/// The next merges that are committed together.
fn next_job(merges: &mut Vec<Merge>) -> Option<Vec<Merge>> {
    let mut n_bytes = 0;
    let n_merges = merges.iter().take_while(|merge| {
        n_bytes += merge.n_bytes();
        n_bytes <= COMMIT_BYTES_MAX
    });
    let n_merges = n_merges.count().max(1).min(merges.len());
    (n_merges > 0).then(|| merges.drain(..n_merges).collect())
}

/// The merged files; on an error also what has to be deleted.
async fn encode(
    table: &ManagedTable,
    pin: &Pin,
    merges: &[Merge],
    pool: &Arc<dyn MemoryPool>,
) -> Result<(Vec<LiveFile>, UnfinishedFiles), (Error, Vec<Path>)> {
    let definition = Arc::clone(&pin.0.definition);
    let mut writer = FilesWriter::new(table, Arc::clone(&definition), Place::Merged, "merge files of", pool);
    let reservation = MemoryConsumer::new(format!("merge files of {}", table.name())).register(pool);
    for merge in merges {
        let mut copied = Ok(());
        for file in &merge.files {
            copied = copy(table, &definition, file, &mut writer, &reservation).await;
            if copied.is_err() {
                break;
            }
        }
        // The next merge is of another partition, or of a file that is long enough already.
        let closed = match copied {
            Ok(()) => writer.close_all().await,
            failed => failed,
        };
        if let Err(error) = closed {
            return Err((error, writer.give_up()));
        }
    }
    if definition.layout == Layout::Parquet {
        failpoint::reach("mature.published");
    }
    Ok(writer.closed())
}

/// Writes the rows of a file into another.
async fn copy(
    table: &ManagedTable,
    definition: &Definition,
    file: &LiveFile,
    writer: &mut FilesWriter,
    reservation: &MemoryReservation,
) -> Result<()> {
    reservation.try_resize(usize::try_from(file.size_bytes).unwrap_or(usize::MAX)).map_err(|error| {
        Error::new(Code::LimitExceeded, format!("not enough memory to merge files of table \"{}\"", table.name()))
            .detail(error.strip_backtrace())
    })?;
    let unreadable = |error: &dyn std::fmt::Display| {
        Error::new(Code::Io, format!("could not read file \"{}\" of table \"{}\": {error}", file.path, table.name()))
    };
    let bytes = table.log().store.get(&file.path).await.map_err(|error| unreadable(&error))?;
    let bytes = bytes.bytes().await.map_err(|error| unreadable(&error))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| unreadable(&error))?;
    for batch in reader.build().map_err(|error| unreadable(&error))? {
        if table.closing.is_cancelled() {
            return Err(super::closed(table.name()));
        }
        let rows = adapt(definition, &batch.map_err(|error| unreadable(&error))?).map_err(|error| unreadable(&error))?;
        writer.write_to(file, rows).await?;
    }
    Ok(())
}

/// The rows of a file as the table has them now: a column that came later is NULL, types are the table's.
fn adapt(definition: &Definition, batch: &RecordBatch) -> datafusion::common::Result<RecordBatch> {
    let columns = definition.file_schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
        Some(column) => Ok(cast(column, field.data_type())?),
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
    });
    let columns = columns.collect::<datafusion::common::Result<Vec<ArrayRef>>>()?;
    Ok(RecordBatch::try_new(Arc::clone(&definition.file_schema), columns)?)
}
