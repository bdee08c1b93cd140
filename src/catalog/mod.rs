//! Databases, tables, views, models, users and secrets: durable definitions.
//!
//! ```text
//!   readers ── snapshot() ──► Arc<Snapshot>  (in memory, immutable)
//!                                  ▲ swapped after the commit is on disk
//!   writers ── apply(base, changes) ──► channel ──► one writer thread ──► SQLite (WAL, fsync)
//!                                  │
//!                                  └► changes(): the newest version, for whoever converges on it
//! ```
//! Nobody else changes definitions. This module knows no SQL text and no query engine: plain values
//! that serialise.

mod changes;
mod names;
pub mod objects;
mod snapshot;
mod store;
mod writer;

#[cfg(test)]
mod tests;

pub use changes::Change;
pub use names::{CATALOG, DEFAULT_DATABASE, RESERVED_DATABASES, check_name, resolve_database_name};
pub use objects::*;
pub use snapshot::{Relation, Snapshot};

use crate::error::{Code, Error, Result};
use crate::telemetry::metrics::CATALOG_VERSION;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{mpsc, oneshot, watch};

/// How many `apply` calls wait for the writer before a caller is made to wait for a place.
const QUEUE_CHANGES_MAX: usize = 64;

/// How often [`Catalog::update`] decides anew before it gives up. Updates take turns, so that only
/// a direct `apply` can come between; more than a few rounds mean that something is badly wrong.
const UPDATE_ROUNDS_MAX: usize = 100;

/// What readers see, shared with the writer thread that replaces it.
#[derive(Debug)]
struct Published {
    snapshot: RwLock<Arc<Snapshot>>,
    version: watch::Sender<u64>,
}

impl Published {
    fn snapshot(&self) -> Arc<Snapshot> {
        // The lock guards one pointer: a panic cannot leave it half-written.
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, snapshot: Snapshot) {
        let version = snapshot.version;
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        CATALOG_VERSION.set(version.cast_signed());
        self.version.send_replace(version);
    }
}

/// One call of `apply` on its way to the writer thread.
#[derive(Debug)]
struct Request {
    base: u64,
    changes: Vec<Change>,
    answer: oneshot::Sender<Result<u64>>,
}

/// The durable catalog.
#[derive(Debug)]
pub struct Catalog {
    id: String,
    published: Arc<Published>,
    /// `None` only while dropping: closing the channel ends the writer.
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<std::thread::JoinHandle<()>>,
    /// Whose turn it is to [`Catalog::update`]; first come, first served.
    turn: tokio::sync::Semaphore,
}

impl Catalog {
    /// Opens or creates the catalog file and upgrades its schema.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when another server holds the file, [`Code::DataCorrupted`] when it is
    /// damaged or not a catalog, [`Code::NotSupported`] when a newer weir wrote it.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        let (store, snapshot) = store::Store::open(path, store::STEPS)?;
        let id = store.id()?;
        let published = Arc::new(Published { version: watch::Sender::new(snapshot.version), snapshot: RwLock::new(Arc::new(snapshot)) });
        let (requests, queue) = mpsc::channel(QUEUE_CHANGES_MAX);
        let writer = std::thread::Builder::new()
            .name("catalog writer".into())
            .spawn({
                let published = Arc::clone(&published);
                move || writer::run(store, &published, queue)
            })
            .map_err(|error| Error::new(Code::Unavailable, format!("could not start the catalog writer: {error}")))?;
        Ok(Arc::new(Self { id, published, requests: Some(requests), writer: Some(writer), turn: tokio::sync::Semaphore::new(1) }))
    }

    /// What no other catalog has, except copies of this one (a backup that is restored).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The newest committed state.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.published.snapshot()
    }

    /// Makes changes durable, all or nothing, then visible; returns the new version.
    ///
    /// `base`: the snapshot version on which the caller checked its conditions. When another change
    /// came between, nothing is written and `Code::Conflict` is returned; callers check again.
    /// Use [`Catalog::update`] for the loop. Changes take effect in order: one list may drop the
    /// tables of a database and then the database. An empty list writes nothing.
    ///
    /// Dropping the future does not take the change back: it is applied whole or not at all.
    pub async fn apply(&self, base: u64, changes: Vec<Change>) -> Result<u64> {
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(writer::gone)?;
        requests.send(Request { base, changes, answer }).await.map_err(|_| writer::gone())?;
        answered.await.map_err(|_| writer::gone())?
    }

    /// Reads, decides and applies: `decide` is called again when another change came between.
    pub async fn update<T>(&self, mut decide: impl FnMut(&Snapshot) -> Result<(Vec<Change>, T)> + Send) -> Result<T> {
        // Without turns, a slow decision could lose against quick ones for ever.
        let _turn = self.turn.acquire().await.map_err(|_| writer::gone())?;
        for _ in 0..UPDATE_ROUNDS_MAX {
            let snapshot = self.snapshot();
            let (changes, output) = decide(&snapshot)?;
            if changes.is_empty() {
                return Ok(output);
            }
            match self.apply(snapshot.version, changes).await {
                Ok(_) => return Ok(output),
                Err(error) if error.code == Code::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(Code::Conflict, "the catalog changed too often meanwhile")
            .detail(format!("The change was decided {UPDATE_ROUNDS_MAX} times, and each time another one came first."))
            .hint("Try again."))
    }

    /// The change feed: yields the newest version number after each change (watch semantics).
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.published.version.subscribe()
    }
}

impl Drop for Catalog {
    /// Waits for what is already queued, so that the file can be opened again at once.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the catalog writer had panicked");
        }
    }
}
