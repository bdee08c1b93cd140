//! Locations, allowed roots and durable local files. Nobody else opens a data file.

use crate::error::Result;
use object_store::ObjectStore;
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
pub struct Storage {}

impl Storage {
    /// `warehouse` is always a writable root, and where relative locations lie.
    pub fn open(_warehouse: &Path, _roots: Vec<Root>) -> Result<Arc<Self>> {
        todo!()
    }

    /// Checks a location as written (`/data/x`, `x/y`, `file:///data/x`, `x/*.csv`) and resolves it.
    pub fn location(&self, _text: &str, _access: Access) -> Result<Location> {
        todo!()
    }

    /// The local store: paths are absolute paths of the machine, each checked against the roots, writes
    /// synced (file, then directory) before they are published.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        todo!()
    }

    /// The URL under which [`Storage::store`] is registered with the query engine.
    pub fn store_url(&self) -> datafusion::execution::object_store::ObjectStoreUrl {
        todo!()
    }

    /// Knows our stores and no others: there is no way to `file://` around the roots.
    pub fn registry(&self) -> Arc<dyn datafusion::execution::object_store::ObjectStoreRegistry> {
        todo!()
    }

    pub fn warehouse(&self) -> &Path {
        todo!()
    }
}
