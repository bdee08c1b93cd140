//! From the text of a location to a checked [`Location`].

use super::pattern::{self, Pattern};
use super::roots::{Roots, normalise};
use super::{Access, Location};
use crate::error::{Code, Error, Result};
use std::path::{Path, PathBuf};

impl Location {
    /// Checks a location as written and resolves it.
    pub(super) fn parse(roots: &Roots, text: &str, access: Access) -> Result<Self> {
        let (written, has_final_slash) = spelling(roots, text)?;
        let full = place(roots, &written, text)?;
        let (base, glob) = match full.symlink_metadata() {
            // A file whose own name looks like a pattern is that file.
            Ok(_) => (full, None),
            Err(_) => split_glob(roots, &full),
        };
        let local = roots.check(&base, access, text)?;
        if access == Access::Write {
            refuse_warehouse(roots, &local)?;
        }
        let is_directory = match std::fs::metadata(&local) {
            Err(_) => true,
            Ok(metadata) if metadata.is_dir() => true,
            Ok(metadata) if !metadata.is_file() => {
                return Err(Error::new(Code::ForbiddenLocation, format!("location \"{text}\" is neither a file nor a directory")));
            }
            Ok(_) if has_final_slash || glob.is_some() => {
                return Err(Error::new(Code::Io, format!("location \"{text}\" is a file, not a directory")));
            }
            Ok(_) => false,
        };
        if let Some(glob) = &glob {
            Pattern::parse(glob)?;
            if access == Access::Write {
                return Err(Error::new(Code::InvalidParameter, format!("location \"{text}\" is a pattern, it cannot be written to"))
                    .hint("Name one file or one directory."));
            }
        }
        Ok(Self { text: text.to_owned(), path: store_path(&local)?, local, glob, is_directory })
    }
}

/// The warehouse, or a directory that holds it, is no place for a table: an INSERT OVERWRITE would empty it all.
pub(super) fn refuse_warehouse(roots: &Roots, local: &Path) -> Result<()> {
    match roots.warehouse().starts_with(local) {
        false => Ok(()),
        true => Err(Error::new(Code::ForbiddenLocation, "the warehouse directory itself cannot be a table")
            .hint("Name a directory under it, for example 'sales'.")),
    }
}

/// The path of a file of this machine as the store names it: literally, without the first separator.
pub fn store_path(local: &Path) -> Result<object_store::path::Path> {
    let text = local
        .to_str()
        .ok_or_else(|| Error::new(Code::Io, format!("the name of \"{}\" is not valid UTF-8", local.display())).hint("Rename it."))?;
    object_store::path::Path::parse(text.trim_start_matches('/'))
        .map_err(|_| Error::new(Code::Io, format!("the name of {text:?} has control characters")).hint("Rename it."))
}

/// Takes the text apart: scheme, percent signs of a URL, forbidden spellings. The path comes back clean of `.` and `..`.
fn spelling(roots: &Roots, text: &str) -> Result<(PathBuf, bool)> {
    if text.is_empty() {
        return Err(Error::new(Code::InvalidParameter, "location is empty").hint("Name a directory or a file."));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::new(Code::ForbiddenLocation, format!("location {text:?} has control characters")));
    }
    let path = match scheme(text) {
        None => text.to_owned(),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("file") => file_url(text, rest)?,
        Some((scheme, _)) => {
            let hint = match super::is_bucket_text(text) {
                true => {
                    "A bucket can hold managed, streaming and Delta tables (STORED AS DELTA); for other files use a path on the server."
                }
                false => "Use a path on the server, for example 'sales' or 'file:///data/sales'.",
            };
            return Err(Error::new(
                Code::NotSupported,
                format!("locations with the scheme \"{}\" are not supported", scheme.to_lowercase()),
            )
            .hint(hint));
        }
    };
    for name in path.split('/') {
        let plain = decode_all(name);
        if plain != name && (plain == "." || plain == ".." || plain.contains('\0')) {
            return Err(roots.refuse(text).detail(format!("The name \"{name}\" is a disguise.")));
        }
    }
    if path.starts_with('~') {
        return Err(roots.refuse(text).detail("The sign ~ has no meaning to the server."));
    }
    let clean = normalise(Path::new(&path)).ok_or_else(|| roots.refuse(text))?;
    Ok((clean, path.ends_with('/')))
}

/// `scheme:/..` and what follows the colon.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+.-".contains(letter));
    (is_scheme && rest.starts_with('/')).then_some((scheme, rest))
}

/// `file:/p`, `file:///p` and `file://localhost/p`; percent signs are decoded once.
fn file_url(text: &str, rest: &str) -> Result<String> {
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(after) => {
            let (host, _) = after.split_once('/').unwrap_or((after, ""));
            if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
                return Err(Error::new(Code::NotSupported, format!("location \"{text}\" is on another host"))
                    .hint("A file URL has three slashes: 'file:///data/sales'."));
            }
            &after[host.len()..]
        }
    };
    let decoded = decode(path).ok_or_else(|| Error::new(Code::InvalidParameter, format!("location \"{text}\" is not valid UTF-8")))?;
    match decoded {
        _ if path.is_empty() => Err(Error::new(Code::InvalidParameter, format!("location \"{text}\" has no path"))),
        decoded if decoded.chars().any(char::is_control) => {
            Err(Error::new(Code::ForbiddenLocation, format!("location \"{text}\" has control characters")))
        }
        decoded => Ok(decoded),
    }
}

/// Decodes percent signs once; `None` when the bytes are not UTF-8. A lone `%` stays.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = |at: usize| after.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

/// Decodes until nothing changes: what a name could become in somebody else's hands.
fn decode_all(name: &str) -> String {
    let mut name = name.to_owned();
    while let Some(next) = decode(&name) {
        // Every round that changes something shortens the text, so this ends.
        if next == name {
            break;
        }
        name = next;
    }
    name
}

/// The path on this machine, not yet resolved.
fn place(roots: &Roots, written: &Path, text: &str) -> Result<PathBuf> {
    match written.is_absolute() {
        true => roots.map(written).ok_or_else(|| roots.refuse(text)),
        // Clean of `..`, so it cannot leave by its text.
        false => Ok(roots.warehouse().join(written).components().collect()),
    }
}

/// Splits before the first name with pattern characters; the names of the root itself are no patterns.
fn split_glob(roots: &Roots, full: &Path) -> (PathBuf, Option<String>) {
    let mut base = PathBuf::new();
    let mut glob = Vec::new();
    for component in full.components() {
        let name = component.as_os_str().to_string_lossy();
        let is_fixed = glob.is_empty() && (!pattern::is_pattern(&name) || roots.is_above_root(&base.join(component)));
        match is_fixed {
            true => base.push(component),
            false => glob.push(name.into_owned()),
        }
    }
    match glob.is_empty() {
        true => (base, None),
        false => (base, Some(glob.join("/"))),
    }
}
