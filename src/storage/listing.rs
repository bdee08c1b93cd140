//! The files under a location: hidden ones skipped, pattern applied, every symbolic link checked, sorted.

use super::durable::{self, AtPath};
use super::location::store_path;
use super::pattern::Pattern;
use super::roots::Roots;
use super::{Access, Location, store};
use crate::error::{Code, Error, Result};
use object_store::ObjectMeta;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

/// A listing longer than this is refused: it would not fit into memory and plans.
const FILES_MAX: usize = 1_000_000;
/// Deeper directories than this are a circle or an attack.
const DEPTH_MAX: usize = 64;

/// One data file under a location.
#[derive(Debug, Clone)]
pub struct ListedFile {
    /// Path in the store, size, time, tag: what the query engine needs.
    pub meta: ObjectMeta,
    /// The path on this machine.
    pub local: PathBuf,
    /// The names below the location's directory, with `/`: `dt=2026-01-01/part-0.parquet`.
    pub relative: String,
}

/// True for names that are nobody's data: `_SUCCESS`, `.part.crc`, `_weir_staging`; not for a partition `_day=1`.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
}

/// Lists the files of a location, sorted by path. A location that does not exist has none.
pub(super) fn list(roots: &Roots, location: &Location) -> Result<Vec<ListedFile>> {
    let pattern = location.glob.as_deref().map(Pattern::parse).transpose()?;
    let metadata = match std::fs::metadata(&location.local) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        answer => answer.at("read", &location.local)?,
    };
    if metadata.is_file() {
        let relative = location.local.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![listed(location.local.clone(), relative, &metadata)?]);
    }
    let mut walk = Walk { roots, pattern, files: Vec::new(), above: Vec::new() };
    walk.directory(&location.local, "")?;
    walk.files.sort_by(|a, b| a.relative.cmp(&b.relative));
    Ok(walk.files)
}

fn listed(local: PathBuf, relative: String, metadata: &Metadata) -> Result<ListedFile> {
    Ok(ListedFile { meta: store::object_meta(store_path(&local)?, metadata), local, relative })
}

struct Walk<'a> {
    roots: &'a Roots,
    pattern: Option<Pattern>,
    files: Vec<ListedFile>,
    /// The resolved directories from the location down to here: a link to one of them is a circle.
    above: Vec<PathBuf>,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Path, relative: &str) -> Result<()> {
        if self.above.len() >= DEPTH_MAX {
            return Err(Error::new(Code::LimitExceeded, format!("directory \"{}\" is too deep", directory.display()))
                .detail(format!("A location may have {DEPTH_MAX} levels of directories.")));
        }
        self.above.push(directory.canonicalize().at("read directory", directory)?);
        for entry in std::fs::read_dir(directory).at("read directory", directory)? {
            let entry = entry.at("read directory", directory)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(
                    Error::new(Code::Io, format!("the name of \"{}\" is not valid UTF-8", entry.path().display())).hint("Rename it.")
                );
            };
            if is_hidden(name) {
                continue;
            }
            let below = if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") };
            self.entry(entry.path(), below, &entry)?;
        }
        self.above.pop();
        Ok(())
    }

    fn entry(&mut self, path: PathBuf, relative: String, entry: &std::fs::DirEntry) -> Result<()> {
        let is_link = entry.file_type().at("read", &path)?.is_symlink();
        let metadata = match std::fs::metadata(&path) {
            // Removed since the directory was read; a dangling link is refused below.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_link => return Ok(()),
            Err(_) if is_link => None,
            answer => Some(answer.at("read", &path)?),
        };
        let is_directory = metadata.as_ref().is_some_and(Metadata::is_dir);
        let is_wanted = match &self.pattern {
            None => true,
            Some(pattern) if is_directory => pattern.may_hold(&relative),
            Some(pattern) => pattern.matches(&relative),
        };
        if !is_wanted {
            return Ok(());
        }
        if is_link {
            let resolved = self.roots.check(&path, Access::Read, &path.display().to_string())?;
            if self.above.contains(&resolved) {
                return Ok(());
            }
        }
        let Some(metadata) = metadata else { return Err(self.roots.refuse(&path.display().to_string())) };
        if is_directory {
            return self.directory(&path, &relative);
        }
        if !metadata.is_file() {
            tracing::warn!(path = %path.display(), "not a regular file, left out of the listing");
            return Ok(());
        }
        if self.files.len() >= FILES_MAX {
            return Err(Error::new(Code::LimitExceeded, format!("location has more than {FILES_MAX} files"))
                .hint("Name a part of it, or write it again with larger files."));
        }
        self.files.push(listed(path, relative, &metadata)?);
        Ok(())
    }
}

/// Lists on a blocking thread.
pub(super) async fn list_async(storage: std::sync::Arc<super::Storage>, location: Location) -> Result<Vec<ListedFile>> {
    durable::blocking(move || list(&storage.roots, &location)).await
}
