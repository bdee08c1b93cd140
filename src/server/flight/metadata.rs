//! What drivers ask before they ask for data: catalogs, schemas, tables, types, features, keys.

use super::like::passes;
use super::results::schema_bytes;
use super::sessions::ClientSession;
use super::{CATALOG_NAME, keys, sql_info, xdbc};
use crate::catalog::{ObjectKey, Snapshot};
use crate::error::{Error, Result};
use arrow_flight::sql::metadata::GetCatalogsBuilder;
use arrow_flight::sql::{Command, CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables};
use datafusion::arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Schemas of tables that are looked up at the same time: each may have to look into files.
const SCHEMAS_AT_ONCE: usize = 8;

/// The kinds of tables, sorted.
const TABLE_TYPES: [&str; 3] = [SYSTEM_TABLE, TABLE, VIEW];
const SYSTEM_TABLE: &str = "SYSTEM TABLE";
const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";

/// The columns of the answer to a metadata command; `None` when it is not one.
pub fn answer_schema(command: &Command) -> Option<SchemaRef> {
    Some(match command {
        Command::CommandGetCatalogs(command) => command.into_builder().schema(),
        Command::CommandGetDbSchemas(command) => command.clone().into_builder().schema(),
        Command::CommandGetTables(command) => command.clone().into_builder().schema(),
        Command::CommandGetTableTypes(command) => command.into_builder().schema(),
        Command::CommandGetSqlInfo(_) => sql_info::answer_schema(),
        Command::CommandGetXdbcTypeInfo(_) => xdbc::answer_schema(),
        Command::CommandGetPrimaryKeys(_) => keys::primary_keys_schema(),
        Command::CommandGetExportedKeys(_) | Command::CommandGetImportedKeys(_) | Command::CommandGetCrossReference(_) => {
            keys::foreign_keys_schema()
        }
        _ => return None,
    })
}

impl ClientSession {
    /// The answer to a metadata command; `None` when it is not one.
    pub async fn answer(&self, command: &Command) -> Result<Option<RecordBatch>> {
        let batch = match command {
            Command::CommandGetCatalogs(_) => catalogs()?,
            Command::CommandGetDbSchemas(command) => schemas(&self.engine.snapshot(), &self.engine.system_tables(), command)?,
            Command::CommandGetTables(command) => self.tables(command).await?,
            Command::CommandGetTableTypes(command) => table_types(*command)?,
            Command::CommandGetSqlInfo(command) => sql_info::answer(&command.info)?,
            Command::CommandGetXdbcTypeInfo(command) => xdbc::answer(command.data_type)?,
            Command::CommandGetPrimaryKeys(command) => keys::primary_keys(&self.engine.snapshot(), command)?,
            Command::CommandGetExportedKeys(_) | Command::CommandGetImportedKeys(_) | Command::CommandGetCrossReference(_) => {
                keys::foreign_keys()
            }
            _ => return Ok(None),
        };
        Ok(Some(batch))
    }

    async fn tables(&self, command: &CommandGetTables) -> Result<RecordBatch> {
        let listed = list(&self.engine.snapshot(), &self.engine.system_tables(), command);
        let schemas = if command.include_schema {
            let described = listed.clone().into_iter().map(|table| async move { self.described(&table).await });
            let schemas: Vec<_> = futures::stream::iter(described).buffered(SCHEMAS_AT_ONCE).try_collect().await?;
            Some(schemas)
        } else {
            None
        };
        tables_batch(&listed, schemas, command.clone().into_builder().schema())
    }

    /// The schema of a table as bytes, each field saying where it is from.
    async fn described(&self, table: &Listed) -> Result<Vec<u8>> {
        let schema = match self.engine.table_schema(&table.database, &table.name).await {
            Ok(schema) => describe(&schema, table),
            Err(error) => {
                // One view that no longer plans, one directory that is gone: the others must still be listed.
                tracing::debug!(database = %table.database, table = %table.name, %error, "table listed without its columns");
                Schema::empty()
            }
        };
        Ok(schema_bytes(&schema)?.to_vec())
    }
}

/// One row of GetTables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    database: String,
    name: String,
    table_type: &'static str,
}

fn describe(schema: &Schema, table: &Listed) -> Schema {
    let own = [("CATALOG_NAME", CATALOG_NAME), ("SCHEMA_NAME", table.database.as_str()), ("TABLE_NAME", table.name.as_str())];
    let fields = schema.fields().iter().map(|field| {
        let mut metadata = field.metadata().clone();
        for (key, value) in own {
            metadata.insert(format!("ARROW:FLIGHT:SQL:{key}"), value.to_owned());
        }
        Field::clone(field).with_metadata(metadata)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("could not list objects: {error}"))
}

/// `None` and our own name let everything pass; the empty name asks for objects without a catalog: there are none.
fn in_catalog(filter: Option<&str>) -> bool {
    filter.is_none_or(|name| name.eq_ignore_ascii_case(CATALOG_NAME))
}

fn catalogs() -> Result<RecordBatch> {
    let mut builder = GetCatalogsBuilder::new();
    builder.append(CATALOG_NAME);
    builder.build().map_err(broken)
}

fn table_types(command: CommandGetTableTypes) -> Result<RecordBatch> {
    let mut builder = command.into_builder();
    for table_type in TABLE_TYPES {
        builder.append(table_type);
    }
    builder.build().map_err(broken)
}

fn schemas(snapshot: &Snapshot, system: &[(String, String)], command: &CommandGetDbSchemas) -> Result<RecordBatch> {
    let mut names = BTreeSet::new();
    if in_catalog(command.catalog.as_deref()) {
        names.extend(snapshot.databases.values().map(|database| database.name.clone()));
        names.extend(system.iter().map(|(database, _)| database.clone()));
        names.retain(|name| passes(command.db_schema_filter_pattern.as_deref(), name));
    }
    let catalog: ArrayRef = Arc::new(StringArray::from_iter_values(names.iter().map(|_| CATALOG_NAME)));
    let columns = vec![catalog, Arc::new(StringArray::from_iter_values(&names)) as ArrayRef];
    RecordBatch::try_new(command.clone().into_builder().schema(), columns).map_err(broken)
}

/// The tables that pass the filters, sorted by database, name and type.
fn list(snapshot: &Snapshot, system: &[(String, String)], command: &CommandGetTables) -> Vec<Listed> {
    if !in_catalog(command.catalog.as_deref()) {
        return Vec::new();
    }
    let tables = snapshot.tables.values().map(|table| (table.database.as_str(), table.name.as_str(), TABLE));
    let views = snapshot.views.values().map(|view| (view.database.as_str(), view.name.as_str(), VIEW));
    let system = system.iter().map(|(database, name)| (database.as_str(), name.as_str(), SYSTEM_TABLE));
    let wanted_type = |table_type: &str| {
        command.table_types.is_empty() || command.table_types.iter().any(|wanted| wanted.eq_ignore_ascii_case(table_type))
    };
    let mut listed: Vec<_> = tables
        .chain(views)
        .chain(system)
        .filter(|(_, _, table_type)| wanted_type(table_type))
        .filter(|(database, _, _)| passes(command.db_schema_filter_pattern.as_deref(), database))
        .filter(|(_, name, _)| passes(command.table_name_filter_pattern.as_deref(), name))
        .map(|(database, name, table_type)| Listed { database: shown(snapshot, database), name: name.to_owned(), table_type })
        .collect();
    listed.sort();
    listed
}

/// A database's name as its owner wrote it, so that schemas and tables agree.
fn shown(snapshot: &Snapshot, database: &str) -> String {
    let key = ObjectKey::new(database, "").database;
    snapshot.databases.get(&key).map_or_else(|| database.to_owned(), |database| database.name.clone())
}

fn tables_batch(listed: &[Listed], schemas: Option<Vec<Vec<u8>>>, schema: SchemaRef) -> Result<RecordBatch> {
    let text = |values: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let mut columns = vec![
        text(listed.iter().map(|_| CATALOG_NAME).collect()),
        text(listed.iter().map(|table| table.database.as_str()).collect()),
        text(listed.iter().map(|table| table.name.as_str()).collect()),
        text(listed.iter().map(|table| table.table_type).collect()),
    ];
    if let Some(schemas) = schemas {
        columns.push(Arc::new(BinaryArray::from_iter_values(schemas)));
    }
    RecordBatch::try_new(schema, columns).map_err(broken)
}

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;
