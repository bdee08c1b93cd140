//! Deletes removed files in the background, and on VACUUM.

use super::Committer;
use crate::error::Result;
use crate::tables::managed::garbage::{GRACE, Tombstone, VacuumReport};
use crate::tables::managed::log::TableLog;
use crate::tables::managed::sweep;
use crate::telemetry::{failpoint, task};
use object_store::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;

/// VACUUM.
#[derive(Debug, Clone, Copy)]
pub struct Vacuum {
    /// Files removed less than this ago stay.
    pub retain: Duration,
    /// Only says what would go.
    pub dry_run: bool,
}

impl Committer {
    /// After a checkpoint, or when a listing still shows a removed file.
    pub(super) async fn collect_if_due(&mut self, has_checkpoint: bool) {
        let layout = self.definition.layout;
        let is_running = self.collection.as_ref().is_some_and(|collection| !collection.is_finished());
        if is_running || self.fenced.get().is_some() {
            return;
        }
        self.finish_collection().await;
        if !has_checkpoint && !self.garbage.has_listed(layout) {
            return;
        }
        let expired = self.garbage.expired(GRACE, layout);
        if !expired.is_empty() {
            self.garbage.forget(&expired);
            let log = self.log.clone();
            self.collection = Some(task::spawn(format!("collection {}", log.name), async move { collect(&log, expired).await }));
        }
    }

    /// Waits for the files that are being deleted; those that could not be are tried again.
    pub(super) async fn finish_collection(&mut self) {
        if let Some(collection) = self.collection.take() {
            self.garbage.keep(collection.await.unwrap_or_default());
        }
    }

    /// Decides here, works in the background: commits go on.
    pub(super) async fn vacuum(&mut self, vacuum: Vacuum, reply: oneshot::Sender<Result<VacuumReport>>) {
        // Another program may have restored an older version: its files are in the table again.
        let caught_up = self.catch_up().await.and_then(|()| self.fenced.get().cloned().map_or(Ok(()), Err));
        if let Err(error) = caught_up {
            drop(reply.send(Err(error)));
            return;
        }
        self.finish_collection().await;
        let mut known = self.garbage.paths();
        let expired = self.garbage.expired(vacuum.retain, self.definition.layout);
        let forgotten = if vacuum.dry_run { Vec::new() } else { expired.clone() };
        self.garbage.forget(&forgotten);
        let (log, older, live) = (self.log.clone(), self.generation - 1, self.files.pin());
        self.collection = Some(task::spawn(format!("vacuum {}", log.name), async move {
            let result: Result<(VacuumReport, Vec<Tombstone>)> = async {
                let mut found = expired;
                // What older writers left behind since the start: a commit of theirs that was refused.
                known.extend(found.iter().map(|tombstone| tombstone.path.clone()));
                let orphans = sweep::files_of(&log, older, &live).await?.into_iter().filter(|object| !known.contains(&object.location));
                found.extend(orphans.map(|object| Tombstone {
                    path: object.location,
                    size_bytes: object.size,
                    removed_ms: 0,
                    removed_at: 0,
                }));
                let files = found.iter().map(|tombstone| tombstone.path.to_string()).collect();
                let report = VacuumReport { files, n_bytes: found.iter().map(|tombstone| tombstone.size_bytes).sum() };
                let left = if vacuum.dry_run { Vec::new() } else { collect(&log, found).await };
                Ok((report, left))
            }
            .await;
            let (answer, left) = match result {
                Ok((report, left)) => (Ok(report), left),
                Err(error) => (Err(error), forgotten),
            };
            drop(reply.send(answer));
            left
        }));
    }
}

/// Deletes files; returns those that are still there.
async fn collect(log: &TableLog, garbage: Vec<Tombstone>) -> Vec<Tombstone> {
    failpoint::reach("garbage.before");
    let paths: Vec<Path> = garbage.iter().map(|tombstone| tombstone.path.clone()).collect();
    let left = sweep::delete(log, &paths).await;
    failpoint::reach("garbage.after");
    tracing::debug!(table = %log.name, n_files = paths.len(), n_left = left.len(), "removed files deleted");
    garbage.into_iter().filter(|tombstone| left.contains(&tombstone.path)).collect()
}
