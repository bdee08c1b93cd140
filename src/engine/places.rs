//! Where tables lie: the place of a new one, and the place of one in the catalog.
//!
//! | table | place | DROP |
//! | --- | --- | --- |
//! | without LOCATION | `<warehouse>/<database>/<table>-<id>`; in a database that lies in a bucket: `<location>/<table>-<id>` | deletes the files |
//! | with LOCATION | the location, which must be empty | leaves the files |

use crate::catalog::{Snapshot, Table, TableKind};
use crate::engine::{Engine, warehouse};
use crate::error::{Code, Error, Result};
use crate::storage::{Access, Place, is_bucket_text};
use crate::tables::managed::Reserved;
use futures::future::BoxFuture;
use std::path::Path;

/// The place of a managed or streaming table in the catalog.
pub fn of(engine: &Engine, table: &Table) -> Result<Place> {
    match table.located || is_bucket_text(&table.location) {
        true => engine.storage().place(&table.location, Access::Write),
        false => Ok(Place::from(Path::new(&table.location))),
    }
}

/// Chooses the place of a new managed or streaming table; the table knows it from here on.
///
/// `location` is what the statement says. Nobody else may have put anything there, and no other statement may until the
/// table is in the catalog: hold the reservation until then.
pub fn choose<'a>(
    engine: &'a Engine,
    snapshot: &'a Snapshot,
    table: &'a mut Table,
    location: Option<&'a str>,
) -> BoxFuture<'a, Result<(Place, Option<Reserved>)>> {
    Box::pin(async move {
        let (place, reserved) = match location {
            Some(location) => given(engine, location).await.map(|(place, reserved)| (place, Some(reserved)))?,
            None => (own(engine, snapshot, table)?, None),
        };
        // As written, so that the directories of this machine are not shown.
        table.location = location.map_or_else(|| place.text(), str::to_owned);
        table.located = location.is_some();
        Ok((place, reserved))
    })
}

async fn given(engine: &Engine, location: &str) -> Result<(Place, Reserved)> {
    let place = engine.storage().place(location, Access::Write)?;
    let Some(reserved) = engine.managed().reserve(&place) else {
        return Err(Error::new(Code::Conflict, format!("another statement is making a table at location \"{location}\""))
            .hint("Use a directory of its own."));
    };
    // The sweep of a table deletes what it does not know. Not the statement's snapshot: a table may be new.
    let snapshot = engine.catalog().snapshot();
    let others = snapshot.tables.values().filter(|other| other.kind != TableKind::External);
    for other in others {
        let is_near = of(engine, other).is_ok_and(|near| near.overlaps(&place));
        if is_near {
            let name = super::providers::full_name(other);
            return Err(Error::new(Code::DuplicateTable, format!("location \"{location}\" belongs to table \"{name}\""))
                .hint("Use a directory of its own."));
        }
    }
    // Also a table without rows may be another server's: what is there is never removed. Of two servers that find the
    // place empty one creates version 0 of the log, and the other is refused.
    if !engine.storage().is_empty(&place).await? {
        return Err(Error::new(Code::InvalidParameter, format!("location \"{location}\" is not an empty directory"))
            .hint("Use another location. CREATE EXTERNAL TABLE .. STORED AS DELTA reads a Delta table that is there."));
    }
    Ok((place, reserved))
}

/// Refuses to write files into the directory of a managed or streaming table: its log does not know them, and what it knows
/// must stay. `directory` is resolved; `location` is what the statement says.
pub fn refuse_inside(engine: &Engine, directory: &Path, location: &str) -> Result<()> {
    let snapshot = engine.catalog().snapshot();
    let mut tables = snapshot.tables.values().filter(|table| table.kind != TableKind::External);
    let owner = tables.find(|table| matches!(of(engine, table), Ok(Place::Local(theirs)) if directory.starts_with(&theirs)));
    match owner {
        None => Ok(()),
        Some(owner) => {
            let what = format!("location \"{location}\" belongs to table \"{}\"", super::providers::full_name(owner));
            Err(Error::new(Code::ForbiddenLocation, what).hint("Use another directory."))
        }
    }
}

fn own(engine: &Engine, snapshot: &Snapshot, table: &Table) -> Result<Place> {
    let short = table.id.split('-').next().unwrap_or_default();
    let name = format!("{}-{short}", directory_name(&table.name));
    let of_database = snapshot.databases.get(&table.key().database).and_then(|database| database.location.as_deref());
    if let Some(location) = of_database.filter(|location| is_bucket_text(location)) {
        return engine.storage().place(&format!("{}/{name}", location.trim_end_matches('/')), Access::Write);
    }
    let directory = engine.storage().warehouse().join(directory_name(&table.database)).join(name);
    warehouse::mark_table(&directory, &table.id, snapshot.version)?;
    Ok(Place::Local(directory))
}

/// A directory's name for any object name: letters, digits and `-` stay; it never starts with `_`, which would hide it.
fn directory_name(name: &str) -> String {
    let kept: String = name.to_lowercase().chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).take(64).collect();
    let visible = kept.trim_start_matches('_');
    if visible.is_empty() { "table".into() } else { visible.to_owned() }
}
