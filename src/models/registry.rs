//! The models on disk and in memory.

use super::report::TrainingReport;
use super::{Online, RecommenderModel, Trained, TrainedModel, artefact};
use crate::catalog::Model;
use crate::error::{Code, Error, Result};
use crate::storage::durable::{self, AtPath};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Memory for models that no statement uses at the moment, unless told otherwise.
const CACHE_BYTES_MAX: usize = 1 << 30;

/// The models directory, and the models that were used last.
///
/// All methods block on the disk: call them from a blocking thread, or from planning.
#[derive(Debug)]
pub struct Models {
    directory: PathBuf,
    cache: Mutex<Cache>,
    /// What was folded into versions that follow their rows; it stays when the version leaves the cache.
    online: Mutex<HashMap<CacheKey, Arc<Online>>>,
}

/// Model id and version.
type CacheKey = (String, u64);

#[derive(Debug)]
struct Cache {
    bytes_max: usize,
    bytes: usize,
    /// Counts uses, to tell which entry is the oldest.
    clock: u64,
    entries: HashMap<CacheKey, CacheEntry>,
}

/// A version in memory.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub model: TrainedModel,
    pub report: Arc<TrainingReport>,
}

#[derive(Debug)]
struct CacheEntry {
    loaded: Loaded,
    bytes: usize,
    used: u64,
}

impl Cache {
    fn get(&mut self, key: &CacheKey) -> Option<Loaded> {
        self.clock += 1;
        let clock = self.clock;
        self.entries.get_mut(key).map(|entry| {
            entry.used = clock;
            entry.loaded.clone()
        })
    }

    /// Keeps a model if it fits, and lets the least recently used ones go until it does.
    fn put(&mut self, key: CacheKey, loaded: Loaded) {
        self.remove(&key);
        let bytes = loaded.model.bytes();
        if bytes > self.bytes_max {
            return;
        }
        while self.bytes + bytes > self.bytes_max {
            let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone()) else { break };
            self.remove(&oldest);
        }
        self.clock += 1;
        self.bytes += bytes;
        self.entries.insert(key, CacheEntry { loaded, bytes, used: self.clock });
    }

    fn remove(&mut self, key: &CacheKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }
}

impl Models {
    /// Opens the directory of models and creates it if it is missing.
    pub fn open(directory: &Path) -> Result<Arc<Self>> {
        Self::open_with_cache(directory, CACHE_BYTES_MAX)
    }

    /// [`Models::open`] with a bound on the memory for models that are kept loaded.
    pub fn open_with_cache(directory: &Path, cache_bytes_max: usize) -> Result<Arc<Self>> {
        durable::create_dir_all(directory).at("create", directory)?;
        let cache = Cache { bytes_max: cache_bytes_max, bytes: 0, clock: 0, entries: HashMap::new() };
        Ok(Arc::new(Self { directory: directory.to_path_buf(), cache: Mutex::new(cache), online: Mutex::default() }))
    }

    /// Writes a trained model as a version; on return it survives power loss. The catalog does not know it yet:
    /// when putting it there fails, call [`Models::remove_version`].
    ///
    /// # Errors
    /// `Conflict` when the version is there already, otherwise those of the disk.
    pub fn save(&self, trained: &Trained, id: &str, version: u64) -> Result<()> {
        artefact::write(&self.version_directory(id, version)?, &trained.model, &trained.report, &trained.parameters)?;
        let loaded = Loaded { model: trained.model.clone(), report: Arc::new(trained.report.clone()) };
        self.cache().put((id.to_owned(), version), loaded);
        Ok(())
    }

    /// A version of a model, from memory or disk.
    pub fn load(&self, model: &Model, version: u64) -> Result<Loaded> {
        let key = (model.id.clone(), version);
        let cached = self.cache().get(&key);
        if let Some(loaded) = cached {
            self.attach(&key, &loaded.model);
            return Ok(loaded);
        }
        // Outside the lock: a large model must not hold up the others. Two statements may both read it.
        let (trained, report) = artefact::read(&self.version_directory(&model.id, version)?, &model.name)?;
        let loaded = Loaded { model: trained, report: Arc::new(report) };
        self.attach(&key, &loaded.model);
        self.cache().put(key, loaded.clone());
        Ok(loaded)
    }

    /// Begins to fold new rows into a version: nothing is folded in yet. Statements see what will be, once it was loaded.
    pub fn follow(&self, id: &str, version: u64) -> Arc<Online> {
        let online = Arc::new(Online::default());
        // Another one: who followed before may still be about to write, and nobody sees it any more.
        self.online().insert((id.to_owned(), version), Arc::clone(&online));
        online
    }

    /// A version of a recommender.
    ///
    /// # Errors
    /// Those of [`Models::load`]; an internal one for a model that is no recommender.
    pub fn recommender(&self, model: &Model, version: u64) -> Result<Arc<RecommenderModel>> {
        match self.load(model, version)?.model {
            TrainedModel::Recommender(recommender) => Ok(recommender),
            TrainedModel::Predictor(_) => Err(Error::internal(format!("model \"{}\" is no recommender", model.name))),
        }
    }

    /// Ends it, unless somebody else has begun meanwhile: the version is as it was trained.
    pub fn unfollow(&self, id: &str, version: u64, online: &Arc<Online>) {
        let key = (id.to_owned(), version);
        let mut all = self.online();
        if all.get(&key).is_some_and(|known| Arc::ptr_eq(known, online)) {
            all.remove(&key);
        }
        drop(all);
        online.close();
    }

    /// What was folded into a version; `None` when nobody follows it.
    pub fn folded_in(&self, id: &str, version: u64) -> Option<Arc<Online>> {
        self.online().get(&(id.to_owned(), version)).cloned()
    }

    fn attach(&self, key: &CacheKey, model: &TrainedModel) {
        if let TrainedModel::Recommender(recommender) = model {
            recommender.attach(self.online().get(key).cloned());
        }
    }

    fn online(&self) -> MutexGuard<'_, HashMap<CacheKey, Arc<Online>>> {
        self.online.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies the files of a version to a directory that does not exist yet or is empty; it appears whole or not at all.
    /// `written` is the directory as the user wrote it.
    ///
    /// # Errors
    /// `DuplicateObject` when there is something already, `DataCorrupted`, and those of the disk.
    pub fn export(&self, model: &Model, version: u64, target: &Path, written: &str) -> Result<()> {
        if target.read_dir().is_ok_and(|mut entries| entries.next().is_some()) || target.is_file() {
            return Err(Error::new(Code::DuplicateObject, format!("\"{written}\" is not empty"))
                .hint("Export the model to a directory that does not exist yet."));
        }
        let Some(parent) = target.parent() else {
            return Err(Error::new(Code::InvalidStatement, format!("\"{written}\" is not a directory to export a model to")));
        };
        let files = artefact::files(&self.version_directory(&model.id, version)?, &model.name)?;
        durable::create_dir_all(parent).at("create", parent)?;
        let staged = parent.join(durable::hidden_name());
        let copied = artefact::write_staged(&staged, &files).and_then(|()| durable::rename(&staged, target).at("write", target));
        if copied.is_err() {
            let _ = std::fs::remove_dir_all(&staged);
        }
        copied
    }

    /// Removes all versions of a model that is no longer in the catalog. Statements that hold it go on.
    pub fn remove(&self, id: &str) -> Result<()> {
        let directory = self.model_directory(id)?;
        let mut cache = self.cache();
        let keys: Vec<CacheKey> = cache.entries.keys().filter(|(cached, _)| cached == id).cloned().collect();
        keys.iter().for_each(|key| cache.remove(key));
        drop(cache);
        self.online().retain(|(followed, _), _| followed != id);
        durable::remove_dir_all(&directory).at("remove", &directory)
    }

    /// Removes one version that is no longer in the catalog, or never came there.
    pub fn remove_version(&self, id: &str, version: u64) -> Result<()> {
        let directory = self.version_directory(id, version)?;
        self.cache().remove(&(id.to_owned(), version));
        self.online().remove(&(id.to_owned(), version));
        durable::remove_dir_all(&directory).at("remove", &directory)
    }

    /// Removes what a crash left behind: directories of no live version. Only at startup, before anyone trains.
    /// Returns how many were removed.
    pub fn sweep(&self, live: &BTreeSet<(String, u64)>) -> Result<usize> {
        let mut removed = 0;
        for (id, path) in directories(&self.directory)? {
            let is_live_model = live.iter().any(|(live_id, _)| *live_id == id);
            let orphans: Vec<PathBuf> = if is_live_model {
                let is_live = |version: &str| version.parse().is_ok_and(|version| live.contains(&(id.clone(), version)));
                directories(&path)?.into_iter().filter(|(version, _)| !is_live(version)).map(|(_, path)| path).collect()
            } else {
                vec![path]
            };
            for orphan in orphans {
                durable::remove_dir_all(&orphan).at("remove", &orphan)?;
                tracing::info!(path = %orphan.display(), "removed the files of a model version that is not in the catalog");
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn model_directory(&self, id: &str) -> Result<PathBuf> {
        // Ids are ours (UUIDs); a path made of anything else would be a bug, and could lead outside.
        let is_plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if is_plain { Ok(self.directory.join(id)) } else { Err(Error::internal(format!("\"{id}\" is no id of a model"))) }
    }

    fn version_directory(&self, id: &str, version: u64) -> Result<PathBuf> {
        Ok(self.model_directory(id)?.join(version.to_string()))
    }
}

/// The directories in a directory, with their names.
fn directories(path: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).at("list", path)? {
        let entry = entry.at("list", path)?;
        if entry.file_type().at("list", path)?.is_dir() {
            found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    found.sort();
    Ok(found)
}
