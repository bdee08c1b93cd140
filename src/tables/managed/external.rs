//! Delta tables of other programs: read only, always the newest version, kept in memory between statements.
//!
//! ```text
//! statement -> the newest entry known is still the same? + is there a next one? --no--> the version in memory
//!                                                              | yes
//!                                                   few entries: applied; many, or a new schema: loaded again
//! ```

use super::live_files::LiveFilesEditor;
use super::log::{Loaded, TableLog};
use super::snapshot::Snapshot;
use super::version::{Txns, Version};
use crate::error::{Code, Error, Result};
use crate::storage::{Access, Place, Storage};
use bytes::Bytes;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use deltalake_core::kernel::Action;
use deltalake_core::logstore::get_actions;
use futures::future::BoxFuture;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// More new entries than this are left to a load, which starts from a checkpoint.
const ENTRIES_MAX: usize = 50;

/// The newest version that a statement saw.
#[derive(Debug, Clone)]
struct Known {
    version: Arc<Version>,
    /// Of the entry of that version: another one means that the table was made again.
    tag: Option<String>,
}

/// All Delta tables of other programs that were read, by table id.
#[derive(Debug)]
pub struct DeltaTables {
    storage: Arc<Storage>,
    known: Mutex<HashMap<String, Known>>,
}

/// A version of such a table: its columns, partitions and rows.
#[derive(Debug)]
pub struct DeltaVersion {
    log: TableLog,
    version: Arc<Version>,
}

impl DeltaVersion {
    /// The rows: a provider whose scans all see the same files.
    pub fn snapshot(&self) -> Arc<dyn TableProvider> {
        Arc::new(Snapshot::new(self.log.clone(), Arc::clone(&self.version)))
    }

    /// The number of the version in the log.
    pub fn number(&self) -> u64 {
        self.version.number
    }

    /// All columns, in table order.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.version.definition.schema)
    }

    /// Names of the partition columns, in partition order.
    pub fn partition_columns(&self) -> Vec<String> {
        self.version.definition.partition_columns()
    }

    /// The partitions that hold rows: `year=2001/month=1`, sorted.
    pub fn partitions(&self) -> Vec<String> {
        super::partitions(&self.version)
    }
}

impl DeltaTables {
    pub fn new(storage: Arc<Storage>) -> Arc<Self> {
        Arc::new(Self { storage, known: Mutex::default() })
    }

    /// The newest version of the table at a location.
    pub fn newest<'a>(&'a self, id: &'a str, name: &'a str, location: &'a str) -> BoxFuture<'a, Result<DeltaVersion>> {
        Box::pin(async move {
            let log = match self.storage.place(location, Access::Read)? {
                Place::Local(directory) => TableLog::new(id, name, &directory, self.storage.store(), self.storage.store_url())?,
                Place::Bucket(place) => TableLog::in_bucket(id, name, &place)?,
            };
            let known = self.known().get(id).cloned();
            let newest = match known {
                Some(known) => refresh(&log, known).await,
                None => load(&log).await,
            };
            let newest = match newest {
                Ok(newest) => newest,
                Err(error) => {
                    self.forget(id);
                    return match log.exists().await {
                        Ok(false) => Err(Error::new(Code::Io, format!("there is no Delta table at \"{location}\""))
                            .detail("The directory has no \"_delta_log\".")),
                        Ok(true) | Err(_) => Err(error),
                    };
                }
            };
            let version = Arc::clone(&newest.version);
            self.known().insert(id.to_owned(), newest);
            Ok(DeltaVersion { log, version })
        })
    }

    /// The table left the catalog.
    pub fn forget(&self, id: &str) {
        self.known().remove(id);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        // Each change is one call of the map: a panic of another holder leaves it whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn load(log: &TableLog) -> Result<Known> {
    let Loaded { version, definition, files, .. } = log.load_foreign().await?;
    let tag = log.entry_tag(version).await?;
    Ok(Known { version: Arc::new(Version { number: version, definition, files: files.pin(), txns: Txns::default() }), tag })
}

/// Two small requests when nothing is new.
async fn refresh(log: &TableLog, known: Known) -> Result<Known> {
    let number = known.version.number;
    let (tag, next) = futures::try_join!(log.entry_tag(number), log.read(number + 1))?;
    if tag != known.tag {
        return load(log).await;
    }
    let Some(mut next) = next else { return Ok(known) };
    let mut newest = Newest::of(&known.version);
    for _ in 0..ENTRIES_MAX {
        if !newest.apply(log, &next)? {
            return load(log).await;
        }
        match log.read(newest.number + 1).await? {
            Some(entry) => next = entry,
            None => {
                let tag = log.entry_tag(newest.number).await?;
                let version = Version { number: newest.number, files: newest.files.pin(), ..(*known.version).clone() };
                return Ok(Known { version: Arc::new(version), tag });
            }
        }
    }
    load(log).await
}

/// A version on its way to a newer one.
struct Newest<'a> {
    from: &'a Version,
    number: u64,
    files: LiveFilesEditor,
}

impl<'a> Newest<'a> {
    fn of(from: &'a Version) -> Self {
        let mut files = LiveFilesEditor::default();
        from.files.iter().for_each(|file| files.add(Arc::clone(file)));
        Self { from, number: from.number, files }
    }

    /// Applies the next entry; false when the table must be loaded again.
    fn apply(&mut self, log: &TableLog, entry: &Bytes) -> Result<bool> {
        let Ok(actions) = get_actions(self.number + 1, entry) else { return Ok(false) };
        if actions.iter().any(|action| matches!(action, Action::Protocol(_) | Action::Metadata(_))) {
            return Ok(false);
        }
        for action in &actions {
            if let Action::Remove(remove) = action {
                self.files.remove(&log.data_path(&remove.path)?);
            }
        }
        for action in &actions {
            if let Action::Add(add) = action {
                self.files.add(Arc::new(log.live_file(add, &self.from.definition)?));
            }
        }
        self.number += 1;
        Ok(true)
    }
}
