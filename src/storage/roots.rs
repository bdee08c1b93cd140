//! The directories that SQL may reach, and the one check that every path passes: on the resolved path.

use super::durable::AtPath;
use super::{Access, Root, durable};
use crate::error::{Code, Error, Result};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// Directories of the kernel: their files are not data, whatever the roots say.
const KERNEL_DIRECTORIES: &[&str] = &["/proc", "/sys", "/dev"];

/// A root whose directory was found and resolved.
#[derive(Debug)]
struct OpenRoot {
    prefix: PathBuf,
    /// Canonical: no symbolic links.
    path: PathBuf,
    writable: bool,
}

/// All roots, the warehouse first.
#[derive(Debug)]
pub struct Roots {
    roots: Vec<OpenRoot>,
}

impl Roots {
    /// Resolves the roots; the warehouse is created if it is missing, the others must exist.
    pub fn open(warehouse: &Path, roots: Vec<Root>) -> Result<Self> {
        let absolute = std::path::absolute(warehouse).at("use warehouse directory", warehouse)?;
        durable::create_dir_all(&absolute).at("create warehouse directory", &absolute)?;
        let path = absolute.canonicalize().at("use warehouse directory", &absolute)?;
        let mut open = vec![OpenRoot { prefix: absolute, path, writable: true }];
        for root in roots {
            let prefix = normalise(Path::new(&root.prefix)).filter(|prefix| prefix.is_absolute());
            let Some(prefix) = prefix else {
                return Err(Error::new(Code::InvalidParameter, format!("allowed root \"{}\" is not an absolute path", root.prefix)));
            };
            if open.iter().skip(1).any(|other| other.prefix == prefix) {
                return Err(Error::new(Code::InvalidParameter, format!("allowed root \"{}\" is given twice", root.prefix)));
            }
            let path = root.path.canonicalize().at("use allowed root", &root.path)?;
            if !path.is_dir() {
                return Err(Error::new(Code::InvalidParameter, format!("allowed root \"{}\" is not a directory", root.path.display())));
            }
            open.push(OpenRoot { prefix, path, writable: root.writable });
        }
        Ok(Self { roots: open })
    }

    /// The resolved directory of the warehouse.
    pub fn warehouse(&self) -> &Path {
        &self.roots[0].path
    }

    /// From an absolute path as users write it to the path on this machine: the longest prefix wins.
    /// A path that is already one of this machine, inside a root, is taken as it is.
    pub fn map(&self, written: &Path) -> Option<PathBuf> {
        let by_prefix = self.roots.iter().filter(|root| written.starts_with(&root.prefix)).max_by_key(|root| depth(&root.prefix));
        if let Some(root) = by_prefix {
            return written.strip_prefix(&root.prefix).ok().map(|rest| join(&root.path, rest));
        }
        self.roots.iter().any(|root| written.starts_with(&root.path)).then(|| written.to_path_buf())
    }

    /// True when `path` is a root or an ancestor of one, by text: its names are no patterns.
    pub fn is_above_root(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| root.path.starts_with(path))
    }

    /// Follows every symbolic link of an absolute path and checks where it ends. What does not exist yet is
    /// checked on its nearest existing ancestor. Returns the resolved path.
    pub fn check(&self, path: &Path, access: Access, written: &str) -> Result<PathBuf> {
        let resolved = self.resolve(path, written)?;
        self.check_resolved(&resolved, access, written)?;
        Ok(resolved)
    }

    /// Like [`Roots::check`] for operations on the name itself, which do not follow a link in the last
    /// place: remove, rename, link.
    pub fn check_entry(&self, path: &Path, written: &str) -> Result<PathBuf> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(self.check(parent, Access::Write, written)?.join(name)),
            _ => Err(self.refuse(written)),
        }
    }

    fn resolve(&self, path: &Path, written: &str) -> Result<PathBuf> {
        let mut missing = Vec::new();
        let mut at = path;
        loop {
            match at.canonicalize() {
                Ok(mut resolved) => {
                    if !missing.is_empty() && !resolved.is_dir() {
                        return Err(Error::new(Code::Io, format!("location \"{written}\" passes through a file")));
                    }
                    resolved.extend(missing.into_iter().rev());
                    return Ok(resolved);
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if at.symlink_metadata().is_ok() {
                        // A link to nowhere: writing through it would create the file there.
                        return Err(self.refuse(written).detail("It is a symbolic link whose target does not exist."));
                    }
                    match (at.file_name(), at.parent()) {
                        (Some(name), Some(parent)) => {
                            missing.push(name);
                            at = parent;
                        }
                        _ => return Err(self.refuse(written)),
                    }
                }
                Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                    return Err(self.refuse(written).detail("Its symbolic links run in a circle."));
                }
                Err(error) if error.kind() == ErrorKind::NotADirectory => {
                    return Err(Error::new(Code::Io, format!("location \"{written}\" passes through a file")));
                }
                Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) => {
                    return Err(Error::new(Code::InvalidParameter, "location has a name that is too long")
                        .detail(format!("The location has {} bytes; a name may have 255, a path 4,095.", written.len())));
                }
                // Outside the roots nobody learns why.
                Err(_) if !self.roots.iter().any(|root| at.starts_with(&root.path)) => return Err(self.refuse(written)),
                Err(error) => return Err(durable::io_error("reach", Path::new(written), &error)),
            }
        }
    }

    fn check_resolved(&self, resolved: &Path, access: Access, written: &str) -> Result<()> {
        // The innermost root decides: a read-only root inside a writable one stays read-only.
        let root = self.roots.iter().filter(|root| resolved.starts_with(&root.path)).max_by_key(|root| depth(&root.path));
        let Some(root) = root else { return Err(self.refuse(written)) };
        for kernel in KERNEL_DIRECTORIES {
            if resolved.starts_with(kernel) && !root.path.starts_with(kernel) {
                return Err(self.refuse(written).detail(format!("{kernel} belongs to the operating system.")));
            }
        }
        if access == Access::Write && !root.writable {
            return Err(Error::new(Code::ForbiddenLocation, format!("location \"{written}\" is in a read-only root"))
                .hint(self.hint(|root| root.writable)));
        }
        Ok(())
    }

    /// The refusal of a location, naming what is allowed.
    pub fn refuse(&self, written: &str) -> Error {
        Error::new(Code::ForbiddenLocation, format!("location \"{written}\" is outside the allowed roots")).hint(self.hint(|_| true))
    }

    fn hint(&self, wanted: impl Fn(&OpenRoot) -> bool) -> String {
        let prefixes = self.roots.iter().skip(1).filter(|root| wanted(root)).map(|root| format!("\"{}\"", root.prefix.display()));
        let prefixes = prefixes.collect::<Vec<_>>();
        match prefixes.is_empty() {
            true => "Use a relative location: it lies under the warehouse directory.".into(),
            false => format!("Use a relative location (under the warehouse), or one under {}.", prefixes.join(", ")),
        }
    }
}

fn depth(path: &Path) -> usize {
    path.components().count()
}

/// `join` without the final separator that an empty rest would leave.
fn join(base: &Path, rest: &Path) -> PathBuf {
    match rest.as_os_str().is_empty() {
        true => base.to_path_buf(),
        false => base.join(rest),
    }
}

/// Takes out `.`, `..` and double separators by text, as URLs do; `None` when `..` climbs above the start.
/// It happens in the names that users see, before any mapping, so that no link can change its meaning.
pub fn normalise(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    let mut n_names = 0_usize;
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                n_names = n_names.checked_sub(1)?;
                clean.pop();
            }
            Component::Normal(name) => {
                n_names += 1;
                clean.push(name);
            }
            Component::RootDir | Component::Prefix(_) => clean.push(component),
        }
    }
    Some(clean)
}
