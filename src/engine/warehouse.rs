//! The warehouse as a directory: whose it is, whose its tables are, and what a crash left in it.

use crate::error::Result;
use crate::storage::durable::{self, Depth};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// In a table's directory: the id of its definition.
const TABLE_MARK: &str = "_weir/table";
/// In the warehouse: the directory of the catalog that names its tables.
const OWNER_MARK: &str = "_weir_owner";
/// The catalog in its directory.
const CATALOG_FILE: &str = "meta.db";

/// Makes a managed table's directory, which says whose it is from the moment it appears: a crash leaves nothing that the
/// next start would not know.
pub fn mark_table(directory: &Path, id: &str) -> Result<()> {
    let staged = directory.with_file_name(durable::hidden_name());
    let marked = durable::create_file(&staged.join(TABLE_MARK), id.as_bytes()).and_then(|()| durable::rename(&staged, directory));
    marked.map_err(|error| {
        // Best effort: the next start removes it.
        let _ = std::fs::remove_dir_all(&staged);
        durable::io_error("create", directory, &error)
    })
}

/// Removes what crashes left: half-written files, and tables that were made or dropped half-way. Tables of a warehouse
/// that belongs to another catalog are only named: they may be somebody's.
pub fn recover(warehouse: &Path, data_dir: &Path, live: &BTreeSet<&str>) -> Result<()> {
    let is_ours = claim(warehouse, data_dir)?;
    remove_leftovers(warehouse)?;
    for directory in marked_directories(warehouse) {
        let owner = std::fs::read_to_string(directory.join(TABLE_MARK)).unwrap_or_default();
        if owner.is_empty() || live.contains(owner.trim()) {
            continue;
        }
        if !is_ours {
            tracing::warn!(directory = %directory.display(), "a table of the warehouse belongs to another catalog: it is left alone");
            continue;
        }
        tracing::info!(directory = %directory.display(), "removing a managed table that no definition names");
        durable::remove_dir_all(&directory).map_err(|error| durable::io_error("delete", &directory, &error))?;
    }
    Ok(())
}

/// Whether the tables of the warehouse are those of the catalog in `data_dir`; a warehouse without owner, or whose owner is
/// no more, becomes its.
fn claim(warehouse: &Path, data_dir: &Path) -> Result<bool> {
    let mark = warehouse.join(OWNER_MARK);
    let ours = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
    match std::fs::read_to_string(&mark) {
        Ok(owner) if Path::new(owner.trim()) == ours => return Ok(true),
        Ok(owner) if Path::new(owner.trim()).join(CATALOG_FILE).exists() => {
            tracing::warn!(
                warehouse = %warehouse.display(), owner = owner.trim(),
                "the warehouse belongs to the catalog of another server: set storage.warehouse to a directory of its own"
            );
            return Ok(false);
        }
        _ => {}
    }
    durable::write_file(&mark, ours.to_string_lossy().as_bytes()).map_err(|error| durable::io_error("write", &mark, &error))?;
    Ok(true)
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
    fn tables_of_another_catalog_stay() {
        let root = tempfile::tempdir().unwrap();
        let (warehouse, first, second) = (root.path().join("warehouse"), root.path().join("first"), root.path().join("second"));
        for directory in [&warehouse.join("public"), &first, &second] {
            std::fs::create_dir_all(directory).unwrap();
            std::fs::write(directory.join(CATALOG_FILE), "").unwrap();
        }
        let table = warehouse.join("public/t-1");
        mark_table(&table, "1").unwrap();
        recover(&warehouse, &first, &BTreeSet::from(["1"])).unwrap();
        recover(&warehouse, &second, &BTreeSet::new()).unwrap();
        assert!(table.exists(), "the second server knows no table");
        recover(&warehouse, &first, &BTreeSet::new()).unwrap();
        assert!(!table.exists(), "the first server has dropped it");
        // A catalog that was moved takes its warehouse along.
        mark_table(&table, "1").unwrap();
        let moved = root.path().join("moved");
        std::fs::rename(&first, &moved).unwrap();
        recover(&warehouse, &moved, &BTreeSet::new()).unwrap();
        assert!(!table.exists());
    }
}
