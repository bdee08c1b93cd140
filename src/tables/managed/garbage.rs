//! Files that were removed from a table: kept for readers, then deleted.
//!
//! A removed file goes when it is old enough for readers outside of this server and no pinned version of this server
//! has it still.

use super::live_files::{LiveFile, LiveFilesEditor};
use super::schema::Layout;
use super::sweep;
use super::version::Version;
use object_store::path::Path;
use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Readers outside of this server may still read files that were removed from the table less than this ago.
pub const GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// What VACUUM deleted, or would delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VacuumReport {
    /// Below the directory of the table.
    pub files: Vec<String>,
    pub n_bytes: u64,
}

/// A removed file that is still on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Tombstone {
    pub path: Path,
    pub size_bytes: u64,
    pub removed_ms: i64,
    /// The version that removed it: versions before may have it.
    pub removed_at: u64,
}

/// All removed files of a table, and the versions that somebody may hold.
#[derive(Debug, Default)]
pub struct Garbage {
    tombstones: Vec<Tombstone>,
    versions: Vec<(u64, Weak<Version>)>,
}

impl Garbage {
    /// Takes what a start found on disk.
    pub fn keep(&mut self, tombstones: Vec<Tombstone>) {
        self.tombstones.extend(tombstones);
    }

    /// A version that readers can pin from now on.
    pub fn published(&mut self, version: &Arc<Version>) {
        self.versions.retain(|(_, version)| version.strong_count() > 0);
        self.versions.push((version.number, Arc::downgrade(version)));
    }

    /// A file that a version removed; versions before may have it.
    pub fn removed(&mut self, file: &LiveFile, removed_at: u64) {
        let removed_ms = chrono::Utc::now().timestamp_millis();
        self.tombstones.push(Tombstone { path: file.path.clone(), size_bytes: file.size_bytes, removed_ms, removed_at });
    }

    /// Forgets the files that the table has again.
    pub fn restored(&mut self, live: &LiveFilesEditor) {
        self.tombstones.retain(|tombstone| !live.contains(&tombstone.path));
    }

    /// The removed files that may go: removed before `retain` ago and in no version that is held. A file that listings
    /// show goes without waiting.
    pub fn expired(&self, retain: Duration, layout: Layout) -> Vec<Tombstone> {
        let retain_ms = i64::try_from(retain.as_millis()).unwrap_or(i64::MAX);
        let cutoff_ms = chrono::Utc::now().timestamp_millis().saturating_sub(retain_ms);
        let held = self.versions.iter().filter(|(_, version)| version.strong_count() > 0).map(|(number, _)| *number).min();
        let may_go = |tombstone: &&Tombstone| {
            let is_old = tombstone.removed_ms <= cutoff_ms || is_listed(&tombstone.path, layout);
            is_old && held.is_none_or(|held| tombstone.removed_at <= held)
        };
        self.tombstones.iter().filter(may_go).cloned().collect()
    }

    /// True when a removed file is still in listings that shall tell the truth.
    pub fn has_listed(&self, layout: Layout) -> bool {
        self.tombstones.iter().any(|tombstone| is_listed(&tombstone.path, layout))
    }

    /// Forgets files that are being deleted.
    pub fn forget(&mut self, gone: &[Tombstone]) {
        let gone: HashSet<&Path> = gone.iter().map(|tombstone| &tombstone.path).collect();
        self.tombstones.retain(|tombstone| !gone.contains(&tombstone.path));
    }

    /// The removed files that are still on disk.
    pub fn paths(&self) -> HashSet<Path> {
        self.tombstones.iter().map(|tombstone| tombstone.path.clone()).collect()
    }
}

fn is_listed(path: &Path, layout: Layout) -> bool {
    layout == Layout::Parquet && !sweep::is_young(path)
}
