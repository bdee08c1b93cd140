//! A committed version of a table in memory, and what holds one still.

use super::live_files::LiveFiles;
use super::schema::Definition;
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

/// The newest version of each transaction of the log, by application id. A clone never changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txns(Arc<BTreeMap<Arc<str>, i64>>);

impl Txns {
    /// The newest version of an application id.
    pub fn get(&self, app_id: &str) -> Option<i64> {
        self.0.get(app_id).copied()
    }

    /// Replaces the version of an application id, whichever is greater: positions may move back.
    pub fn set(&mut self, app_id: &str, version: i64) {
        let txns = Arc::make_mut(&mut self.0);
        match txns.get_mut(app_id) {
            Some(known) => *known = version,
            None => drop(txns.insert(app_id.into(), version)),
        }
    }

    /// All of them, sorted by application id.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(app_id, version)| (app_id.as_ref(), *version))
    }
}

/// A committed version: what a query pins.
#[derive(Debug, Clone)]
pub struct Version {
    pub number: u64,
    pub definition: Arc<Definition>,
    pub files: LiveFiles,
    pub txns: Txns,
}

/// The newest committed version; the committer replaces it, readers clone it.
pub type Published = Arc<RwLock<Arc<Version>>>;

/// A version that is held: as long as this lives, none of its files is collected.
#[derive(Debug, Clone)]
pub struct Pin(pub(super) Arc<Version>);

impl Pin {
    /// The number of the version in the log.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// The newest version of a transaction: how far something had come when this version was committed.
    pub fn txn(&self, app_id: &str) -> Option<i64> {
        self.0.txns.get(app_id)
    }

    /// All transactions of the log, sorted by application id.
    pub fn txns(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.txns.iter()
    }

    /// Data files of the version.
    pub fn n_files(&self) -> usize {
        self.0.files.len()
    }

    /// Bytes of the data files of the version.
    pub fn n_bytes(&self) -> u64 {
        self.0.files.n_bytes()
    }
}
