//! The redo journal: what makes a write of many files one step.
//!
//! ```text
//! <warehouse>/_weir_journal/<id>.begun     where the staged files lie: they are garbage unless ..
//! <warehouse>/_weir_journal/<id>.journal   .. this exists: renames and removals. Its name appearing is the commit.
//! <warehouse>/_weir_journal/<id>.published the same, renamed when the new files are in place: only removals are left.
//! ```
//! All journals lie in one directory of the warehouse, not in the tables: so that a start finds every
//! unfinished commit without knowing the tables, also of ad-hoc COPY targets and of tables dropped since.
//! Applying is idempotent; a crash in the middle is followed by applying it again from the start. Removals may wait
//! for readers while later writes replace what was published: therefore the second name, after which nobody looks
//! for the new files any more.

use crate::error::{Code, Error, Result};
use crate::storage::durable::{self, AtPath};
use crate::storage::{Access, Storage};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

const DIRECTORY: &str = "_weir_journal";
const MAGIC: &str = "weir-journal-1";

/// A commit: all paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    /// The directories whose listings change.
    pub(super) directories: Vec<PathBuf>,
    /// Staged file -> its name in the table.
    pub(super) renames: Vec<(PathBuf, PathBuf)>,
    pub(super) removals: Vec<PathBuf>,
    /// Removed at the end, or when there is no journal.
    pub(super) staging: Vec<PathBuf>,
}

/// Where the files of one write are recorded.
#[derive(Debug, Clone)]
pub(super) struct JournalPaths {
    pub(super) begun: PathBuf,
    pub(super) journal: PathBuf,
    published: PathBuf,
}

impl JournalPaths {
    pub(super) fn new(storage: &Storage, id: &str) -> Self {
        Self::of(&storage.warehouse().join(DIRECTORY).join(format!("{id}.begun")))
    }

    /// The names of a write, by one of them.
    fn of(path: &Path) -> Self {
        Self { begun: path.with_extension("begun"), journal: path.with_extension("journal"), published: path.with_extension("published") }
    }

    /// The new files are in place. Not synced: a power cut that loses the rename has lost no later one either.
    pub(super) fn mark_published(&self) -> std::io::Result<()> {
        std::fs::rename(&self.journal, &self.published)
    }

    /// Forgets a write that is complete or was given up. The journal goes first: alone, `.begun` is harmless.
    pub(super) fn forget(&self) -> Result<()> {
        for path in [&self.journal, &self.published, &self.begun] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(durable::io_error("remove", path, &error)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// `weir-journal-1 <sha256 of the rest>`, line feed, JSON.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let body = serde_json::to_vec(value).map_err(|error| Error::new(Code::Io, format!("a file name is not valid UTF-8: {error}")))?;
    let mut bytes = format!("{MAGIC} {}\n", hex(&body)).into_bytes();
    bytes.extend(body);
    Ok(bytes)
}

/// `None` when the bytes are not whole: then the commit never was.
pub(super) fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Option<T> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (head, body) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]);
    (head.strip_prefix(MAGIC)?.strip_prefix(' ')? == hex(body)).then(|| serde_json::from_slice(body).ok()).flatten()
}

fn hex(body: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(body).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Journal {
    /// Every path must lie in a writable root: the file may have been changed by somebody else.
    fn check(&self, storage: &Storage) -> Result<()> {
        let renames = self.renames.iter().flat_map(|(from, to)| [from, to]);
        for path in renames.chain(&self.removals).chain(&self.staging) {
            let parent = path.parent().unwrap_or(path);
            storage.check(parent, Access::Write)?;
        }
        Ok(())
    }

    /// Gives the staged files their names.
    pub(super) fn publish(&self) -> Result<()> {
        let mut changed = BTreeSet::new();
        for (from, to) in &self.renames {
            if let Some(parent) = to.parent() {
                durable::create_dir_all(parent).at("create directory", parent)?;
                changed.insert(parent);
            }
            match std::fs::rename(from, to) {
                // Renamed before the crash.
                Err(error) if error.kind() == ErrorKind::NotFound && to.exists() => {}
                answer => answer.at("publish", to)?,
            }
        }
        changed.into_iter().try_for_each(|directory| durable::sync_dir(directory).at("sync directory", directory))
    }

    /// Deletes what the commit has removed, and the staging directories.
    pub(super) fn remove(&self) -> Result<()> {
        let mut changed = BTreeSet::new();
        for path in &self.removals {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                answer => answer.at("remove", path)?,
            }
            changed.extend(path.parent());
        }
        // Before the journal goes: a power cut must not bring old rows back with nobody left to remove them.
        for directory in changed {
            match durable::sync_dir(directory) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                answer => answer.at("sync directory", directory)?,
            }
        }
        remove_staging(&self.staging)
    }
}

/// Removes staging directories, and the directory that holds them when it is empty.
pub(super) fn remove_staging(staging: &[PathBuf]) -> Result<()> {
    for directory in staging {
        match std::fs::remove_dir_all(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            answer => answer.at("remove", directory)?,
        }
        if let Some(parent) = directory.parent() {
            // Another write may be using it, or about to.
            durable::remove_dir_if_empty(parent);
        }
    }
    Ok(())
}

/// Completes the commits of earlier processes and removes what they left without a commit. The first call does
/// it, before any write of this process; every listing and every write calls it.
///
/// A journal that cannot be completed (a disk that is not mounted) stays: its directories are not readable
/// until it can, all others are.
pub async fn recover(storage: &Arc<Storage>) -> Result<()> {
    let looked = &storage.unfinished().looked;
    let for_task = Arc::clone(storage);
    looked.get_or_try_init(|| durable::blocking(move || look(&for_task))).await.copied()
}

fn look(storage: &Storage) -> Result<()> {
    let directory = storage.warehouse().join(DIRECTORY);
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.at("read directory", &directory)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.at("read directory", &directory)?.path());
    }
    names.sort();
    for path in &names {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("journal") => recover_journal(storage, path)?,
            Some("published") => recover_published(storage, path)?,
            Some("begun") => {
                let paths = JournalPaths::of(path);
                if !paths.journal.exists() && !paths.published.exists() {
                    recover_begun(storage, path)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn recover_journal(storage: &Storage, path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).at("read", path)?;
    let Some(journal) = decode::<Journal>(&bytes) else {
        // It is renamed into place whole and synced, so this is damage or foreign: nobody was told that it was committed.
        tracing::error!(path = %path.display(), "journal is not whole, set aside");
        return durable::rename(path, &path.with_extension("damaged")).at("set aside", path);
    };
    match complete(storage, path, &journal) {
        Ok(()) => tracing::info!(path = %path.display(), n_files = journal.renames.len(), "unfinished write completed"),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "unfinished write cannot be completed yet");
            remember(storage, path, journal.directories);
        }
    }
    Ok(())
}

/// What is removed is visible again until it is: a failure leaves the directories closed, as that of a journal.
fn recover_published(storage: &Storage, path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).at("read", path)?;
    let Some(journal) = decode::<Journal>(&bytes) else {
        tracing::error!(path = %path.display(), "journal is not whole, set aside");
        return durable::rename(path, &path.with_extension("damaged")).at("set aside", path);
    };
    if let Err(error) = complete(storage, path, &journal) {
        tracing::error!(path = %path.display(), %error, "files of a completed write cannot be removed yet");
        remember(storage, path, journal.directories);
    }
    Ok(())
}

fn recover_begun(storage: &Storage, path: &Path) -> Result<()> {
    let staging = std::fs::read(path).ok().and_then(|bytes| decode::<Vec<PathBuf>>(&bytes)).unwrap_or_default();
    for directory in &staging {
        let is_ours = directory.parent().and_then(Path::file_name).is_some_and(|name| name == super::transaction::STAGING);
        if is_ours
            && storage.check(directory, Access::Write).is_ok()
            && let Err(error) = remove_staging(std::slice::from_ref(directory))
        {
            tracing::warn!(%error, "staged files of an unfinished write could not be removed");
            return Ok(());
        }
    }
    std::fs::remove_file(path).at("remove", path)
}

/// Applies a journal from the start.
fn complete(storage: &Storage, path: &Path, journal: &Journal) -> Result<()> {
    let paths = JournalPaths::of(path);
    journal.check(storage)?;
    if path != paths.published {
        journal.publish()?;
    }
    journal.remove()?;
    paths.forget()
}

/// A committed write whose files could not be put in place: its directories stay closed until they can.
pub(super) fn remember(storage: &Storage, path: &Path, directories: Vec<PathBuf>) {
    let mut journals = storage.unfinished().journals.lock().unwrap_or_else(PoisonError::into_inner);
    journals.push((path.to_path_buf(), directories));
}

/// Tries again to complete the writes about these directories; an error while one is open. Blocks, and is called
/// while no listing of the directories runs.
pub(super) fn retry(storage: &Storage, directories: &[PathBuf]) -> Result<()> {
    let concerns = |others: &[PathBuf]| others.iter().any(|a| directories.iter().any(|b| a.starts_with(b) || b.starts_with(a)));
    let mut journals = storage.unfinished().journals.lock().unwrap_or_else(PoisonError::into_inner);
    let mut failure = None;
    journals.retain(|(path, others)| {
        if !concerns(others) {
            return true;
        }
        let done = match std::fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(durable::io_error("read", path, &error)),
            Ok(bytes) => match decode::<Journal>(&bytes) {
                Some(journal) => complete(storage, path, &journal),
                None => Err(Error::new(Code::DataCorrupted, format!("journal \"{}\" is damaged", path.display()))),
            },
        };
        match done {
            Ok(()) => false,
            Err(error) => {
                failure = Some(error);
                true
            }
        }
    });
    match failure {
        None => Ok(()),
        Some(error) => Err(Error::new(Code::Unavailable, "directory has a committed write that cannot be completed yet")
            .detail(format!("{}.", error.one_line()))
            .hint("Remove the cause; the next query tries again.")),
    }
}

/// True when [`retry`] has something to do.
pub(super) fn has_unfinished(storage: &Storage) -> bool {
    !storage.unfinished().journals.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
}
