//! Local writes that survive power loss: the file is synced before it is published, then its directory.
//!
//! ```text
//! write staged file -> fsync file -> link or rename -> fsync directory (and every ancestor that is new)
//! ```
//! A failed fsync ends the process. The kernel drops the dirty pages after reporting the error once, so a
//! second fsync would answer "fine" for data that is gone; the only honest state is the one on disk at restart.
//!
//! All functions block: call them from a blocking thread, or through [`blocking`].

use crate::error::{Code, Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Whoever sees a directory while holding this lock knows that its entry is on disk: a directory that another
/// thread has made and not yet synced would otherwise let a later, "durable" file vanish with it.
static CREATING: Mutex<()> = Mutex::new(());

/// Runs blocking work on the pool for it; directly where there is no runtime.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::runtime::Handle::try_current() {
        Err(_) => work(),
        Ok(runtime) => match runtime.spawn_blocking(work).await {
            Ok(value) => value,
            Err(failure) => match failure.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going down; nobody is left to take an answer.
                Err(_) => std::future::pending().await,
            },
        },
    }
}

/// What the answer of an fsync means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sync {
    Done,
    /// The file system has no such operation for directories; it orders its metadata itself.
    Unsupported,
    Lost,
}

fn judge(answer: &io::Result<()>, is_directory: bool) -> Sync {
    match answer {
        Ok(()) => Sync::Done,
        Err(error) => match error.raw_os_error() {
            Some(libc::EINVAL | libc::ENOTSUP | libc::ENOSYS) if is_directory => Sync::Unsupported,
            _ => Sync::Lost,
        },
    }
}

fn sync(file: &File, path: &Path, is_directory: bool) {
    let answer = loop {
        match file.sync_all() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            answer => break answer,
        }
    };
    match judge(&answer, is_directory) {
        Sync::Done => {}
        Sync::Unsupported => tracing::debug!(path = %path.display(), "file system does not sync directories"),
        Sync::Lost => {
            let error = answer.err().map(|error| error.to_string()).unwrap_or_default();
            tracing::error!(path = %path.display(), error, "fsync failed, data may be lost: ending the process");
            // Also without a log subscriber.
            eprintln!("weir: fsync of {} failed ({error}): data may be lost, ending the process", path.display());
            std::process::abort();
        }
    }
}

/// Syncs an open file; on failure the process ends.
pub fn sync_file(file: &File, path: &Path) {
    sync(file, path, false);
}

/// Syncs the entries of a directory; on failure of the sync itself the process ends.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    let directory = File::open(path)?;
    sync(&directory, path, true);
    Ok(())
}

/// Syncs the directory that holds `path`.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

/// Creates a directory with its missing ancestors; each new entry is synced.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    let _creating = CREATING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if path.is_dir() {
        return Ok(());
    }
    let mut missing = Vec::new();
    let mut at = path;
    while !at.is_dir() {
        missing.push(at);
        match at.parent() {
            Some(parent) => at = parent,
            None => break,
        }
    }
    for directory in missing.into_iter().rev() {
        match std::fs::create_dir(directory) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => {}
            answer => answer?,
        }
        sync_parent(directory)?;
    }
    Ok(())
}

/// Removes a directory that holds nothing; any other stays. Never between two steps of [`create_dir_all`], which
/// would find its parent gone. Needs no sync: a directory that comes back is empty.
pub fn remove_dir_if_empty(path: &Path) {
    let _creating = CREATING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _ = std::fs::remove_dir(path);
}

/// How an existing file at the target is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// Fails with `AlreadyExists`, atomically.
    Create,
    /// Replaces it, atomically.
    Replace,
}

/// A file being written beside its target under a hidden name; dropping it removes it.
#[derive(Debug)]
pub struct StagedFile {
    file: File,
    staged: PathBuf,
    target: PathBuf,
    published: bool,
}

impl StagedFile {
    /// Opens a staged file in the directory of `target`, which is created if it is missing.
    pub fn create(target: &Path) -> io::Result<Self> {
        let parent = target.parent().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "a file needs a directory"))?;
        let staged = parent.join(hidden_name());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let file = match options.open(&staged) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                create_dir_all(parent)?;
                options.open(&staged)?
            }
            opened => {
                // The directory was there, but perhaps only in the memory of the kernel.
                create_dir_all(parent)?;
                opened?
            }
        };
        Ok(Self { file, staged, target: target.to_path_buf(), published: false })
    }

    /// The staged file, for writing.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it will stand.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Syncs the file, gives it its name, syncs the directory.
    pub fn publish(mut self, publish: Publish) -> io::Result<std::fs::Metadata> {
        sync_file(&self.file, &self.staged);
        let metadata = self.file.metadata()?;
        match publish {
            Publish::Replace => std::fs::rename(&self.staged, &self.target)?,
            Publish::Create => rename_new(&self.staged, &self.target)?,
        }
        self.published = true;
        sync_parent(&self.target)?;
        Ok(metadata)
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.published {
            // A leftover is hidden from every listing; losing this race is harmless.
            let _ = std::fs::remove_file(&self.staged);
        }
    }
}

/// A name that no listing shows and nobody else uses.
pub fn hidden_name() -> String {
    format!(".weir-{}.tmp", uuid::Uuid::new_v4().simple())
}

/// True for names that [`hidden_name`] makes.
pub fn is_hidden_name(name: &str) -> bool {
    name.strip_prefix(".weir-").and_then(|rest| rest.strip_suffix(".tmp")).is_some_and(|id| uuid::Uuid::try_parse(id).is_ok())
}

/// How far [`remove_leftovers`] looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Entries of the directory itself.
    Entries,
    /// All directories below, too; links are not followed.
    Tree,
}

/// Removes what a process that was killed left under hidden names; returns how many. Only while nobody writes there.
pub fn remove_leftovers(directory: &Path, depth: Depth) -> io::Result<usize> {
    let mut n_removed = 0;
    let mut pending = vec![directory.to_path_buf()];
    while let Some(directory) = pending.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let is_directory = entry.file_type()?.is_dir();
            if entry.file_name().to_str().is_some_and(is_hidden_name) {
                if is_directory {
                    std::fs::remove_dir_all(entry.path())?
                } else {
                    std::fs::remove_file(entry.path())?
                }
                n_removed += 1;
            } else if is_directory && depth == Depth::Tree {
                pending.push(entry.path());
            }
        }
    }
    Ok(n_removed)
}

/// Renames a file only if the target does not exist; nothing is synced.
///
/// A hard link first (every Linux file system with links says EEXIST atomically, also over NFS); where links
/// are not supported, `renameat2(RENAME_NOREPLACE)`. Never "look, then rename".
pub fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(from, to) {
        Ok(()) => {
            // The published name is there; the other one is hidden and may stay.
            let _ = std::fs::remove_file(from);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        Err(error) => match error.raw_os_error() {
            Some(libc::EPERM | libc::ENOTSUP | libc::ENOSYS | libc::EMLINK) => rename_noreplace(from, to),
            _ => Err(error),
        },
    }
}

#[cfg(target_os = "linux")]
fn rename_noreplace(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(io::Error::from)
}

#[cfg(not(target_os = "linux"))]
fn rename_noreplace(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(io::Error::new(ErrorKind::Unsupported, "the file system has no hard links"))
}

/// Writes a whole file and replaces what was there; readers see the old or the new content.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = StagedFile::create(path)?;
    let mut file = staged.file();
    file.write_all(bytes)?;
    staged.publish(Publish::Replace).map(drop)
}

/// Writes a whole new file; `AlreadyExists` if there is one.
pub fn create_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let staged = StagedFile::create(path)?;
    let mut file = staged.file();
    file.write_all(bytes)?;
    staged.publish(Publish::Create).map(drop)
}

/// Renames a file or directory and syncs both directories. The content must have been synced before.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        create_dir_all(parent)?;
    }
    std::fs::rename(from, to)?;
    sync_parent(to)?;
    if from.parent() != to.parent() {
        sync_parent(from)?;
    }
    Ok(())
}

/// Removes a directory with everything in it; what does not exist is removed already.
///
/// It is renamed to a hidden name first: a crash in between leaves no half-empty directory that looks whole.
pub fn remove_dir_all(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "the root directory cannot be removed"));
    };
    let hidden = parent.join(hidden_name());
    match std::fs::rename(path, &hidden) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        answer => answer?,
    }
    sync_dir(parent)?;
    std::fs::remove_dir_all(&hidden)
}

/// An IO failure as a user sees it: `could not <action> "<path>"`, with the system's own words.
pub fn io_error(action: &str, path: &Path, error: &io::Error) -> Error {
    let code = match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => Code::LimitExceeded,
        _ => Code::Io,
    };
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => Some("Give the server's user access to it."),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some("Free some space on the disk."),
        _ => None,
    };
    let error = Error::new(code, format!("could not {action} \"{}\": {}", path.display(), words(error)));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The system's words for a failure, without its number, in lower case.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().collect::<String>() + letters.as_str()).unwrap_or_default()
}

/// `?` with a path: turns an IO result into the one error type.
pub trait AtPath<T> {
    /// The failure becomes `could not <action> "<path>"`.
    fn at(self, action: &str, path: &Path) -> Result<T>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, action: &str, path: &Path) -> Result<T> {
        self.map_err(|error| io_error(action, path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_never_taken_away_from_under_one_that_is_created_in_it() {
        let base = tempfile::tempdir().unwrap();
        let parent = base.path().join("shared");
        std::thread::scope(|scope| {
            for worker in 0..2 {
                let own = parent.join(format!("{worker}/deep"));
                let parent = parent.clone();
                scope.spawn(move || {
                    for _ in 0..200 {
                        create_dir_all(&own).unwrap();
                        std::fs::remove_dir_all(own.parent().unwrap()).unwrap();
                        remove_dir_if_empty(&parent);
                    }
                });
            }
        });
        create_dir_all(&parent.join("kept")).unwrap();
        remove_dir_if_empty(&parent);
        assert!(parent.join("kept").is_dir(), "what holds something stays");
    }

    #[test]
    fn only_a_directory_that_cannot_be_synced_is_forgiven() {
        let os = |number| Err(io::Error::from_raw_os_error(number));
        assert_eq!(judge(&Ok(()), false), Sync::Done);
        assert_eq!(judge(&os(libc::EIO), false), Sync::Lost);
        assert_eq!(judge(&os(libc::EIO), true), Sync::Lost);
        assert_eq!(judge(&os(libc::ENOSPC), false), Sync::Lost);
        assert_eq!(judge(&os(libc::EINVAL), false), Sync::Lost);
        assert_eq!(judge(&os(libc::EINVAL), true), Sync::Unsupported);
    }

    #[test]
    fn a_new_file_does_not_replace_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/c.bin");
        create_file(&path, b"one").unwrap();
        assert_eq!(create_file(&path, b"two").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        write_file(&path, b"three").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "a staged file was left");
    }

    #[test]
    fn renaming_to_a_new_name_refuses_an_old_one_on_both_ways() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (directory.path().join("a"), directory.path().join("b"));
        for way in [rename_new, rename_noreplace] {
            std::fs::write(&a, "a").unwrap();
            std::fs::write(&b, "b").unwrap();
            assert_eq!(way(&a, &b).unwrap_err().kind(), ErrorKind::AlreadyExists);
            std::fs::remove_file(&b).unwrap();
            way(&a, &b).unwrap();
            assert_eq!(std::fs::read(&b).unwrap(), b"a");
            assert!(!a.exists());
        }
    }

    #[test]
    fn leftovers_go_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        let (file, tree) = (hidden_name(), hidden_name());
        for path in ["a.parquet", ".weir-mine.tmp", "p=1/b.parquet", &file, &format!("p=1/{file}"), &format!("{tree}/x/y")] {
            create_file(&at(path), b"1").unwrap();
        }
        assert_eq!(remove_leftovers(directory.path(), Depth::Entries).unwrap(), 2);
        assert!(at("p=1").join(&file).exists(), "not asked to look there");
        assert_eq!(remove_leftovers(directory.path(), Depth::Tree).unwrap(), 1);
        assert_eq!(remove_leftovers(&at("missing"), Depth::Tree).unwrap(), 0);
        assert!(at("a.parquet").exists() && at("p=1/b.parquet").exists() && at(".weir-mine.tmp").exists());
    }

    #[test]
    fn removing_a_directory_twice_is_fine() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t");
        create_file(&path.join("x/y"), b"1").unwrap();
        remove_dir_all(&path).unwrap();
        remove_dir_all(&path).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_io_error_names_the_path_and_a_way_out() {
        let error = io_error("write", Path::new("/data/x"), &io::Error::from_raw_os_error(libc::ENOSPC));
        assert_eq!(error.message, "could not write \"/data/x\": no space left on device");
        assert_eq!(error.hint.as_deref(), Some("Free some space on the disk."));
    }
}
