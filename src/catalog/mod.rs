//! Databases, tables, views, models, users and secrets: durable definitions.
//!
//! One SQLite file, one writer thread; readers take an in-memory [`Snapshot`] that is swapped when a
//! change is on disk. Nobody else changes definitions.

pub mod objects;

pub use objects::*;

use crate::error::Result;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The catalog at one version: immutable, cheap to share.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub version: u64,
    /// By lower-case name.
    pub databases: BTreeMap<String, Arc<Database>>,
    pub tables: BTreeMap<ObjectKey, Arc<Table>>,
    pub views: BTreeMap<ObjectKey, Arc<View>>,
    pub models: BTreeMap<ObjectKey, Arc<Model>>,
    /// By name; user names are case-sensitive.
    pub users: BTreeMap<String, Arc<User>>,
    pub secrets: BTreeMap<String, Arc<Secret>>,
}

/// One definition to write or remove. A [`Catalog::apply`] takes several, all or nothing.
#[derive(Debug, Clone)]
pub enum Change {
    PutDatabase(Database),
    DropDatabase(String),
    PutTable(Table),
    DropTable(ObjectKey),
    PutView(View),
    DropView(ObjectKey),
    PutModel(Model),
    DropModel(ObjectKey),
    PutUser(User),
    DropUser(String),
    PutSecret(Secret),
    DropSecret(String),
}

/// The durable catalog.
#[derive(Debug)]
pub struct Catalog {}

impl Catalog {
    /// Opens or creates the catalog file and upgrades its schema.
    pub fn open(_path: &Path) -> Result<Arc<Self>> {
        todo!()
    }

    /// The newest committed state.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        todo!()
    }

    /// Makes changes durable, all or nothing, then visible; returns the new version.
    ///
    /// `base`: the snapshot version on which the caller checked its conditions. When another change
    /// came between, nothing is written and `Code::Conflict` is returned; callers check again.
    /// Use [`Catalog::update`] for the loop.
    pub async fn apply(&self, _base: u64, _changes: Vec<Change>) -> Result<u64> {
        todo!()
    }

    /// Reads, decides and applies: `decide` is called again when another change came between.
    pub async fn update<T>(&self, _decide: impl FnMut(&Snapshot) -> Result<(Vec<Change>, T)> + Send) -> Result<T> {
        todo!()
    }

    /// The change feed: yields the newest version number after each change (watch semantics).
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        todo!()
    }
}
