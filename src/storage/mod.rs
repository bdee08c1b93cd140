//! Locations, allowed roots and durable local files. Nobody else opens a data file.
//!
//! ```text
//! text of a location --Location::parse--> checked Location --list--> ListedFile --store--> bytes
//!                                 |                                        |
//!                               Roots: the one check, on the resolved path, again at every access
//! text of a table's place --place--> Place: a local directory, or one below a prefix of a configured bucket
//! ```

mod bucket;
pub mod durable;
mod gate;
mod listing;
mod location;
mod pattern;
mod place;
mod registry;
mod roots;
mod store;
#[cfg(test)]
mod place_tests;
#[cfg(test)]
mod tests;

pub use gate::{ApplyGuard, DirectoryPin};
pub use listing::{ListedFile, is_hidden};
pub use location::store_path;
pub use place::{BucketPlace, Place, is_bucket_text};
pub use store::DurableLocal;

use crate::config::BucketConfig;
use crate::error::Result;
use bucket::BucketStore;
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use gate::Gate;
use object_store::ObjectStore;
use place::Buckets;
use roots::Roots;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory that SQL may reach.
#[derive(Debug, Clone)]
pub struct Root {
    /// The absolute prefix as users write it (`/data`); often equal to `path`.
    pub prefix: String,
    /// The directory on this machine.
    pub path: PathBuf,
    pub writable: bool,
}

/// What is meant to be done at a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// A checked place of data: inside a root, symbolic links resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// As the user wrote it.
    pub text: String,
    /// The absolute path on this machine, resolved, without the glob part.
    pub local: PathBuf,
    /// The same as a path of [`Storage::store`].
    pub path: object_store::path::Path,
    /// `*.csv`, `dt=*/x.parquet`: the pattern below `path`.
    pub glob: Option<String>,
    /// Written with a final `/` or found to be a directory; a location that does not exist yet is one.
    pub is_directory: bool,
}

/// The one way to data: roots, stores, durable writes.
#[derive(Debug)]
pub struct Storage {
    roots: Arc<Roots>,
    store: Arc<DurableLocal>,
    buckets: Arc<Buckets>,
    gate: Arc<Gate>,
    unfinished: Unfinished,
}

/// See [`Storage::unfinished`].
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    /// Set when the journals of earlier processes have been looked at.
    pub(crate) looked: tokio::sync::OnceCell<()>,
    /// Journals that could not be completed, with the directories whose files they are about.
    pub(crate) journals: std::sync::Mutex<Vec<(PathBuf, Vec<PathBuf>)>>,
}

impl Storage {
    /// `warehouse` is always a writable root, and where relative locations lie.
    pub fn open(warehouse: &Path, roots: Vec<Root>) -> Result<Arc<Self>> {
        Self::open_with_buckets(warehouse, roots, &[])
    }

    /// As [`Storage::open`], with the buckets that SQL may reach. They are not asked for anything yet.
    pub fn open_with_buckets(warehouse: &Path, roots: Vec<Root>, buckets: &[BucketConfig]) -> Result<Arc<Self>> {
        let stores = buckets.iter().map(|config| Ok((config.bucket.clone(), Arc::new(BucketStore::connect(config)?))));
        let buckets = Buckets(stores.collect::<Result<_>>()?);
        Self::with_buckets(warehouse, roots, buckets)
    }

    /// Buckets in memory, for tests of what lies above.
    #[cfg(test)]
    pub(crate) fn open_in_memory(warehouse: &Path, buckets: &[BucketConfig]) -> Result<Arc<Self>> {
        let stores = buckets.iter().map(|config| {
            let memory = Arc::new(object_store::memory::InMemory::new());
            Ok((config.bucket.clone(), Arc::new(BucketStore::over(memory, config)?)))
        });
        Self::with_buckets(warehouse, Vec::new(), Buckets(stores.collect::<Result<_>>()?))
    }

    fn with_buckets(warehouse: &Path, roots: Vec<Root>, buckets: Buckets) -> Result<Arc<Self>> {
        let roots = Arc::new(Roots::open(warehouse, roots)?);
        let store = Arc::new(DurableLocal::new(Arc::clone(&roots)));
        let (gate, unfinished) = (Arc::default(), Unfinished::default());
        Ok(Arc::new(Self { roots, store, buckets: Arc::new(buckets), gate, unfinished }))
    }

    /// Checks a location as written (`/data/x`, `x/y`, `file:///data/x`, `x/*.csv`) and resolves it.
    pub fn location(&self, text: &str, access: Access) -> Result<Location> {
        Location::parse(&self.roots, text, access)
    }

    /// Checks an absolute path of this machine and resolves it: for paths that weir made itself, or reads
    /// back from a file that anybody may have changed.
    pub fn check(&self, path: &Path, access: Access) -> Result<PathBuf> {
        self.roots.check(path, access, &path.display().to_string())
    }

    /// Checks that a location, perhaps opened for reading, can be written: in a writable root, not the warehouse itself.
    pub fn check_writable(&self, location: &Location) -> Result<()> {
        location::refuse_warehouse(&self.roots, &location.local)?;
        self.roots.check(&location.local, Access::Write, &location.text).map(drop)
    }

    /// The data files under a location, sorted by path; hidden names are skipped. No lock is taken: tables use
    /// `tables::hive::write::list`, which sees all or nothing of an INSERT.
    pub async fn list(self: &Arc<Self>, location: &Location) -> Result<Vec<ListedFile>> {
        listing::list_async(Arc::clone(self), location.clone()).await
    }

    /// Keeps directories, with everything below and above them, from being changed by a commit while their files
    /// are listed; later keeps those files from being deleted until the pin is dropped.
    pub async fn pin(&self, directories: &[PathBuf]) -> DirectoryPin {
        self.gate.pin(directories).await
    }

    /// The exclusive right to change the files of directories: no listing of them runs while it is held.
    pub async fn apply(&self, directories: &[PathBuf]) -> ApplyGuard {
        self.gate.apply(directories).await
    }

    /// Commits of an earlier process that wait for being completed: looked for once, before the first listing.
    pub(crate) fn unfinished(&self) -> &Unfinished {
        &self.unfinished
    }

    /// As [`Storage::list`], on this thread.
    pub(crate) fn list_blocking(&self, location: &Location) -> Result<Vec<ListedFile>> {
        listing::list(&self.roots, location)
    }

    /// The local store: paths are absolute paths of the machine, each checked against the roots, writes
    /// synced (file, then directory) before they are published.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store) as Arc<dyn ObjectStore>
    }

    /// The URL under which [`Storage::store`] is registered with the query engine.
    pub fn store_url(&self) -> ObjectStoreUrl {
        ObjectStoreUrl::parse(registry::URL).expect("a constant; a test parses it")
    }

    /// Knows our stores and no others: there is no way to `file://` around the roots.
    pub fn registry(&self) -> Arc<dyn ObjectStoreRegistry> {
        Arc::new(registry::Registry { store: Arc::clone(&self.store), buckets: Arc::clone(&self.buckets) })
    }

    /// The resolved directory of the warehouse.
    pub fn warehouse(&self) -> &Path {
        self.roots.warehouse()
    }
}
