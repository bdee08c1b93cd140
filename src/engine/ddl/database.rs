//! CREATE and DROP DATABASE.

use crate::catalog::{Change, Database};
use crate::engine::dispatch::Call;
use crate::engine::planning::{self, database_name};
use crate::engine::queries::now_ms;
use crate::error::{Code, Error, Result};
use crate::storage::{Access, is_bucket_text};

/// Runs CREATE DATABASE.
pub async fn create(call: &Call<'_>, name: &str, if_not_exists: bool, location: Option<&str>, comment: Option<&str>) -> Result<()> {
    let engine = call.session.engine();
    if let Some(location) = location {
        match is_bucket_text(location) {
            // Its managed tables will lie there.
            true => engine.storage().place(&format!("{}/table", location.trim_end_matches('/')), Access::Write).map(|_| ())?,
            false => engine.storage().location(location, Access::Read).map(|_| ())?,
        }
    }
    let key = database_name(name);
    if planning::is_virtual(&key) || name.is_empty() || name.contains(['/', '\\', '\0']) || name.starts_with('.') {
        return Err(Error::new(Code::InvalidStatement, format!("a database cannot be named \"{name}\"")));
    }
    let database = Database {
        name: name.to_owned(),
        location: location.map(str::to_owned),
        comment: comment.map(str::to_owned),
        created_ms: now_ms(),
    };
    engine
        .catalog()
        .update(move |snapshot| match snapshot.databases.contains_key(&key) {
            true if if_not_exists => Ok((Vec::new(), ())),
            true => Err(Error::new(Code::DuplicateDatabase, format!("database \"{name}\" already exists")).hint("Add IF NOT EXISTS.")),
            false => Ok((vec![Change::PutDatabase(database.clone())], ())),
        })
        .await
}

/// Runs DROP DATABASE [CASCADE].
pub async fn drop(call: &Call<'_>, name: &str, if_exists: bool, cascade: bool) -> Result<()> {
    let engine = call.session.engine();
    let key = database_name(name);
    if key == "public" || planning::is_virtual(&key) {
        return Err(Error::new(Code::WrongObject, format!("database \"{name}\" belongs to the server and cannot be dropped")));
    }
    let dropped = engine
        .catalog()
        .update(|snapshot| {
            if !snapshot.databases.contains_key(&key) {
                return if if_exists { Ok((Vec::new(), Vec::new())) } else { Err(planning::undefined_database(snapshot, name)) };
            }
            let tables: Vec<_> =
                snapshot.tables.iter().filter(|(table, _)| table.database == key).map(|(_, table)| table.clone()).collect();
            let mut changes: Vec<Change> = Vec::new();
            changes.extend(snapshot.tables.keys().filter(|table| table.database == key).cloned().map(Change::DropTable));
            changes.extend(snapshot.views.keys().filter(|view| view.database == key).cloned().map(Change::DropView));
            changes.extend(snapshot.models.keys().filter(|model| model.database == key).cloned().map(Change::DropModel));
            if !cascade && !changes.is_empty() {
                let held = match changes.len() {
                    1 => "one table, view or model".to_owned(),
                    n_objects => format!("{n_objects} tables, views and models"),
                };
                return Err(Error::new(Code::WrongObject, format!("database \"{name}\" is not empty"))
                    .detail(format!("It holds {held}."))
                    .hint("Add CASCADE to drop them too."));
            }
            changes.push(Change::DropDatabase(key.clone()));
            Ok((changes, tables))
        })
        .await?;
    for table in dropped {
        engine.forget_table(&table).await;
    }
    Ok(())
}
