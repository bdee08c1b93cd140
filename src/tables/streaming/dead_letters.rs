//! Records that could not be decoded, kept for people: files beside the table's data, named by one manifest.
//!
//! ```text
//! epoch with dead letters: _weir/dead/<name>.dead (Parquet) -> _weir/manifest-<n> (JSON: all files) -> txn manifest = n
//! ```
//! The commit that has the good rows of a fetch has its dead letters too: the manifest becomes the table's in the same
//! log entry. The files do not end in `.parquet`: a reader of the directory shall not take them for rows.

use crate::error::{Code, Error, Result};
use crate::tables::managed::{ManagedTable, Pin};
use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use futures::TryStreamExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// The transaction that names the manifest.
pub const MANIFEST_TXN: &str = "manifest";
/// Small files above this are merged into one.
const SMALL_FILES_MAX: usize = 32;
/// A file whose rows take less in memory is small. Not its length: bad payloads are often alike, and pack well.
const SMALL_FILE_BYTES: u64 = 8 << 20;

/// The columns of `dead_letters('t')`.
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
        Arc::new(Schema::new(vec![
            Field::new("topic", DataType::Utf8, false),
            Field::new("partition", DataType::Int32, false),
            Field::new("offset", DataType::Int64, false),
            Field::new("timestamp", timestamp.clone(), true),
            Field::new("key", DataType::Binary, true),
            Field::new("payload", DataType::Binary, true),
            Field::new("is_truncated", DataType::Boolean, false),
            Field::new("error", DataType::Utf8, false),
            Field::new("seen_at", timestamp, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// One file of dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterFile {
    /// Below the directory of the table.
    pub path: String,
    pub n_rows: u64,
    /// Its length.
    pub n_bytes: u64,
    /// What its rows take in memory.
    #[serde(default)]
    pub n_bytes_in_memory: u64,
    /// The newest commit that brought a row of it.
    pub epoch: i64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    files: Vec<DeadLetterFile>,
}

/// The dead-letter files of a table, in memory as the newest manifests have them.
#[derive(Debug)]
pub struct DeadLetterFiles {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the manifest, its files, the commit that names it; newest last. Old ones serve old pins.
    manifests: Vec<(i64, Arc<Vec<DeadLetterFile>>)>,
    /// The newest number that a manifest was written with. A commit may name it, whatever became of that commit: it is
    /// not written again.
    given: i64,
}

/// Manifests that are remembered for queries that began before the newest one.
const MANIFESTS_KEPT: usize = 16;

/// Files and a manifest that were written and that no commit names yet.
#[derive(Debug, Clone)]
pub struct Prepared {
    number: i64,
    files: Arc<Vec<DeadLetterFile>>,
    /// Files that the manifest no longer names: removed when they are read by nobody.
    merged: Vec<String>,
}

impl Prepared {
    /// The transaction of the commit.
    pub fn txn(&self, table: &ManagedTable) -> (String, i64) {
        (table.txn_id(MANIFEST_TXN), self.number)
    }
}

impl DeadLetterFiles {
    /// Reads the manifest that the newest version names.
    pub fn open<'a>(table: &'a ManagedTable) -> BoxFuture<'a, Result<Self>> {
        Box::pin(async move {
            let mut manifests = Vec::new();
            let newest = newest_of(table);
            if let Some(number) = newest {
                manifests.push((number, Arc::new(load(table, number).await?)));
            }
            sweep(table, &manifests).await;
            Ok(Self { state: Mutex::new(State { manifests, given: newest.unwrap_or(0) }) })
        })
    }

    /// Reads the manifest that the newest version names, when it is not known here: that of a commit whose outcome was
    /// in doubt, and that is in the log after all.
    pub fn refresh<'a>(&'a self, table: &'a ManagedTable) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Some(number) = newest_of(table).filter(|number| *number > self.newest().0) else { return Ok(()) };
            let files = Arc::new(load(table, number).await?);
            let mut state = self.lock();
            state.manifests.push((number, files));
            state.given = state.given.max(number);
            Ok(())
        })
    }

    /// The files that a pinned version names.
    pub fn of(&self, table: &ManagedTable, pin: &Pin) -> Arc<Vec<DeadLetterFile>> {
        let Some(number) = pin.txn(&table.txn_id(MANIFEST_TXN)) else { return Arc::default() };
        let state = self.lock();
        let found = state.manifests.iter().rev().find(|(known, _)| *known <= number);
        found.map(|(_, files)| Arc::clone(files)).unwrap_or_default()
    }

    /// Rows of all files of the newest manifest.
    pub fn n_rows(&self) -> u64 {
        self.newest().1.iter().map(|file| file.n_rows).sum()
    }

    /// Writes the dead letters of an epoch, and a manifest of all files. Nothing is visible before the commit that has
    /// [`Prepared::txn`]; after it, call [`Self::committed`].
    pub fn prepare<'a>(&'a self, table: &'a ManagedTable, epoch: i64, batches: &'a [RecordBatch]) -> BoxFuture<'a, Result<Prepared>> {
        Box::pin(async move {
            let (number, files) = self.next(table.generation());
            let (small, mut kept): (Vec<_>, Vec<_>) = files.iter().cloned().partition(|file| file.n_bytes_in_memory < SMALL_FILE_BYTES);
            let mut rows = Vec::new();
            let mut merged = Vec::new();
            if small.len() >= SMALL_FILES_MAX {
                for file in small {
                    rows.extend(read(table, &file).await?);
                    merged.push(file.path);
                }
            } else {
                kept.extend(small);
            }
            rows.extend_from_slice(batches);
            let path = format!("_weir/dead/{}.dead", uuid::Uuid::now_v7());
            let bytes = encode(&rows)?;
            kept.push(DeadLetterFile {
                path: path.clone(),
                n_rows: rows.iter().map(|batch| batch.num_rows() as u64).sum(),
                n_bytes: bytes.len() as u64,
                n_bytes_in_memory: rows.iter().map(|batch| batch.get_array_memory_size() as u64).sum(),
                epoch,
            });
            let failed = |error: object_store::Error| {
                Error::new(Code::Io, format!("could not write the dead letters of table \"{}\": {error}", table.name()))
            };
            table.store().put(&Path::from(path), PutPayload::from_bytes(bytes)).await.map_err(failed)?;
            let manifest = serde_json::to_vec(&Manifest { files: kept.clone() }).map_err(|error| Error::internal(error.to_string()))?;
            table.store().put(&manifest_path(number), PutPayload::from_bytes(manifest.into())).await.map_err(failed)?;
            crate::telemetry::failpoint::reach("manifest.written");
            Ok(Prepared { number, files: Arc::new(kept), merged })
        })
    }

    /// The commit is in the log: from here on its manifest is the table's. Manifests and files that no remembered
    /// manifest names are removed, as many as can be.
    pub fn committed<'a>(&'a self, table: &'a ManagedTable, prepared: Prepared) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut gone: Vec<Path> = Vec::new();
            {
                let mut state = self.lock();
                state.manifests.push((prepared.number, prepared.files));
                while state.manifests.len() > MANIFESTS_KEPT {
                    let (number, files) = state.manifests.remove(0);
                    gone.push(manifest_path(number));
                    let named = |path: &str| state.manifests.iter().any(|(_, files)| files.iter().any(|file| file.path == path));
                    gone.extend(files.iter().filter(|file| !named(&file.path)).map(|file| Path::from(file.path.as_str())));
                }
            }
            if !prepared.merged.is_empty() {
                tracing::debug!(table = %table.name(), n_files = prepared.merged.len(), "dead letters merged");
            }
            for path in gone {
                if let Err(error) = table.store().delete(&path).await {
                    tracing::debug!(table = %table.name(), %path, %error, "old list of dead letters not removed");
                }
            }
        })
    }

    /// A number for the next manifest, and the files of the newest one that a commit has.
    fn next(&self, generation: i64) -> (i64, Arc<Vec<DeadLetterFile>>) {
        let mut state = self.lock();
        let (newest, files) = state.manifests.last().cloned().unwrap_or_default();
        state.given = next_number(newest.max(state.given), generation);
        (state.given, files)
    }

    fn newest(&self) -> (i64, Arc<Vec<DeadLetterFile>>) {
        self.lock().manifests.last().cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // One push or removal at a time: the list is whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Grows with every manifest, and is never one that an older writer of the same table may still write.
fn next_number(newest: i64, generation: i64) -> i64 {
    (newest + 1).max(generation << 32)
}

fn manifest_path(number: i64) -> Path {
    Path::from(format!("_weir/manifest-{number}"))
}

/// The manifest that the newest version names.
fn newest_of(table: &ManagedTable) -> Option<i64> {
    table.pin().txn(&table.txn_id(MANIFEST_TXN))
}

/// The files of a manifest.
fn load<'a>(table: &'a ManagedTable, number: i64) -> BoxFuture<'a, Result<Vec<DeadLetterFile>>> {
    Box::pin(async move {
        let damaged = |error: &dyn std::fmt::Display| {
            Error::new(Code::DataCorrupted, format!("the list of dead letters of table \"{}\" is unreadable: {error}", table.name()))
        };
        let found = table.store().get(&manifest_path(number)).await.map_err(|error| damaged(&error))?;
        let bytes = found.bytes().await.map_err(|error| damaged(&error))?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
        Ok(manifest.files)
    })
}

/// Removes what writers that died left behind: this server has fenced them. Never fails: the next start tries again.
async fn sweep(table: &ManagedTable, manifests: &[(i64, Arc<Vec<DeadLetterFile>>)]) {
    let named: HashSet<Path> = manifests
        .iter()
        .flat_map(|(number, files)| files.iter().map(|file| Path::from(file.path.as_str())).chain(std::iter::once(manifest_path(*number))))
        .collect();
    let mut found = table.store().list(Some(&Path::from("_weir")));
    while let Ok(Some(object)) = found.try_next().await {
        let name = object.location.filename().unwrap_or_default();
        let is_ours = name.starts_with("manifest-") || object.location.as_ref().starts_with("_weir/dead/");
        if is_ours && !named.contains(&object.location) {
            drop(table.store().delete(&object.location).await);
        }
    }
}

/// Batch by batch: together their payloads may be longer than one array can be.
fn encode(rows: &[RecordBatch]) -> Result<Bytes> {
    let failed = |error: parquet::errors::ParquetError| Error::internal(format!("dead letters: {error}"));
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema(), Some(properties)).map_err(failed)?;
    for batch in rows {
        writer.write(batch).map_err(failed)?;
    }
    writer.into_inner().map(Into::into).map_err(failed)
}

/// The rows of a file.
pub fn read<'a>(table: &'a ManagedTable, file: &'a DeadLetterFile) -> BoxFuture<'a, Result<Vec<RecordBatch>>> {
    Box::pin(async move {
        let damaged = |error: &dyn std::fmt::Display| {
            Error::new(
                Code::DataCorrupted,
                format!("could not read the dead letters \"{}\" of table \"{}\": {error}", file.path, table.name()),
            )
        };
        let found = table.store().get(&Path::from(file.path.as_str())).await.map_err(|error| damaged(&error))?;
        let bytes = found.bytes().await.map_err(|error| damaged(&error))?;
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|builder| builder.build()).map_err(|error| damaged(&error))?;
        reader.collect::<std::result::Result<Vec<_>, _>>().map_err(|error| damaged(&error))
    })
}
