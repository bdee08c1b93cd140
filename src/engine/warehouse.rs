//! The warehouse as a directory: whose it is, whose its tables are, and what a crash left in it.

use crate::error::{Code, Error, Result};
use crate::storage::durable::{self, Depth};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// In a table's directory: the id of its definition, and the version of the catalog when it was made.
const TABLE_MARK: &str = "_weir/table";
/// What the mark becomes when the table may be somebody's: no start removes it.
const LOST_MARK: &str = "_weir/lost";
/// In the warehouse: the id of the catalog that names its tables.
const OWNER_MARK: &str = "_weir_owner";

/// Since when a warehouse belongs to the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owned {
    /// Since an earlier start: every table in it was made under this catalog.
    Before,
    /// Since now: tables that are there may be those of a catalog that was lost.
    Now,
}

/// Makes a managed table's directory, which says whose it is from the moment it appears: a crash leaves nothing that the
/// next start would not know. `version` is the catalog's.
pub fn mark_table(directory: &Path, id: &str, version: u64) -> Result<()> {
    let staged = directory.with_file_name(durable::hidden_name());
    let mark = format!("{id}\n{version}\n");
    let marked = durable::create_file(&staged.join(TABLE_MARK), mark.as_bytes()).and_then(|()| durable::rename(&staged, directory));
    marked.map_err(|error| {
        // Best effort: the next start removes it.
        let _ = std::fs::remove_dir_all(&staged);
        durable::io_error("create", directory, &error)
    })
}

/// Whether the warehouse belongs to the catalog with this id, or may: one that belongs to another is not touched. It is taken
/// by [`recover`], when the tables of a catalog that was lost are safe.
///
/// # Errors
/// `WrongObject` when it belongs to another catalog, `Io` when that cannot be told.
pub fn claim(warehouse: &Path, catalog_id: &str) -> Result<Owned> {
    let mark = warehouse.join(OWNER_MARK);
    match std::fs::read_to_string(&mark) {
        Ok(owner) if owner.trim() == catalog_id => Ok(Owned::Before),
        Ok(_) => Err(Error::new(Code::WrongObject, format!("the warehouse \"{}\" belongs to another catalog", warehouse.display()))
            .detail("Two servers would remove each other's tables.")
            .hint(format!(
                "Set storage.warehouse to a directory of its own. If the other catalog is lost, delete \"{}\": the tables that are there stay.",
                mark.display()
            ))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Owned::Now),
        Err(error) => Err(durable::io_error("read", &mark, &error)),
    }
}

/// Removes what crashes left: half-written files, and tables that were made or dropped half-way. A table that the catalog
/// does not name and may never have known (it was restored from an older copy, or is a new one) stays, and is named.
pub fn recover(warehouse: &Path, catalog_id: &str, owned: Owned, version: u64, live: &BTreeSet<&str>) -> Result<()> {
    remove_leftovers(warehouse)?;
    for directory in marked_directories(warehouse) {
        let mark = std::fs::read_to_string(directory.join(TABLE_MARK)).unwrap_or_default();
        let (id, made_at) = mark.trim().split_once('\n').unwrap_or((mark.trim(), "0"));
        if id.is_empty() || live.contains(id) {
            continue;
        }
        if owned == Owned::Now || made_at.trim().parse().unwrap_or(u64::MAX) > version {
            tracing::warn!(
                directory = %directory.display(),
                "the catalog does not know this table of the warehouse: was it restored from an older copy? The files stay; \
                 CREATE EXTERNAL TABLE .. STORED AS DELTA reads them, or delete the directory"
            );
            let (from, to) = (directory.join(TABLE_MARK), directory.join(LOST_MARK));
            durable::rename(&from, &to).map_err(|error| durable::io_error("rename", &from, &error))?;
            continue;
        }
        tracing::info!(directory = %directory.display(), "removing a managed table that no definition names");
        durable::remove_dir_all(&directory).map_err(|error| durable::io_error("delete", &directory, &error))?;
    }
    if owned == Owned::Now {
        // Last: a start that ends before here is followed by one that owns nothing yet.
        let mark = warehouse.join(OWNER_MARK);
        durable::write_file(&mark, catalog_id.as_bytes()).map_err(|error| durable::io_error("write", &mark, &error))?;
    }
    Ok(())
}

/// Half-made and half-removed table directories, and half-written journals: all lie at most one level below the
/// warehouse. What lies inside a table is removed when the table is opened.
fn remove_leftovers(warehouse: &Path) -> Result<()> {
    let remove = |directory: &Path| {
        durable::remove_leftovers(directory, Depth::Entries).map_err(|error| durable::io_error("clean", directory, &error))
    };
    let mut n_removed = remove(warehouse)?;
    for directory in directories(warehouse) {
        n_removed += remove(&directory)?;
    }
    if n_removed > 0 {
        tracing::info!(n_removed, "removed what an interrupted statement left in the warehouse");
    }
    Ok(())
}

/// The directories in a directory.
fn directories(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// Directories two levels below the warehouse: `<database>/<table>-<id>`.
fn marked_directories(warehouse: &Path) -> Vec<PathBuf> {
    let tables = directories(warehouse).into_iter().flat_map(|database| directories(&database));
    tables.filter(|directory| directory.join(TABLE_MARK).is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warehouse_belongs_to_one_catalog() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(claim(root.path(), "one").unwrap(), Owned::Now);
        assert_eq!(claim(root.path(), "one").unwrap(), Owned::Now, "nothing was recovered yet");
        recover(root.path(), "one", Owned::Now, 1, &BTreeSet::new()).unwrap();
        assert_eq!(claim(root.path(), "one").unwrap(), Owned::Before);
        let error = claim(root.path(), "two").unwrap_err();
        assert_eq!(error.code, Code::WrongObject);
        assert!(error.hint.unwrap().contains(OWNER_MARK));
        assert_eq!(claim(root.path(), "one").unwrap(), Owned::Before, "a refusal changes nothing");
        // What cannot be read is not taken over.
        std::fs::remove_file(root.path().join(OWNER_MARK)).unwrap();
        std::fs::create_dir(root.path().join(OWNER_MARK)).unwrap();
        assert_eq!(claim(root.path(), "two").unwrap_err().code, Code::Io);
    }

    #[test]
    fn only_tables_that_the_catalog_has_known_are_removed() {
        for (owned, made_at, version, is_removed) in [
            (Owned::Before, 7, 7, true),
            (Owned::Before, 7, 8, true),
            // A catalog from before the table was made.
            (Owned::Before, 7, 6, false),
            // A catalog that is new here.
            (Owned::Now, 7, 8, false),
        ] {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir(root.path().join("public")).unwrap();
            let [dropped, live] = ["dropped", "live"].map(|id| root.path().join("public").join(id));
            mark_table(&dropped, "dropped", made_at).unwrap();
            mark_table(&live, "live", made_at).unwrap();
            recover(root.path(), "one", owned, version, &BTreeSet::from(["live"])).unwrap();
            assert!(live.exists());
            assert_eq!(!dropped.exists(), is_removed, "{owned:?}, made at {made_at}, now {version}");
            // Later versions do not make it a table that was dropped.
            recover(root.path(), "one", Owned::Before, made_at + 10, &BTreeSet::from(["live"])).unwrap();
            assert_eq!(!dropped.exists(), is_removed);
        }
    }
}
