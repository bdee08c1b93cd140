//! `information_schema`: what clients ask in SQL about databases, tables, columns and keys.
//!
//! The names of tables and columns, and the type names in them, are PostgreSQL's: Power BI, psqlODBC and Npgsql compare
//! with those. The rows are made from one catalog snapshot when a table is read. Keys are declared, not enforced.

mod columns;
mod constraints;
mod relations;
mod rows;
#[cfg(test)]
mod tests;

use crate::catalog::{ObjectKey, Snapshot};
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::Result;
use rows::{Kind, Rows};
use std::sync::Arc;

/// The name of this schema.
pub const NAME: &str = "information_schema";

/// One table of the schema.
struct InformationTable {
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
    fill: fn(&Snapshot, &mut Rows),
}

/// All tables; also what the schema says about itself.
static TABLES: &[&InformationTable] = &[
    &constraints::CHARACTER_SETS,
    &columns::COLUMNS,
    &constraints::CONSTRAINT_COLUMN_USAGE,
    &relations::CATALOG_NAME,
    &constraints::KEY_COLUMN_USAGE,
    &constraints::REFERENTIAL_CONSTRAINTS,
    &relations::ROUTINES,
    &relations::SCHEMATA,
    &constraints::TABLE_CONSTRAINTS,
    &relations::TABLES,
    &relations::VIEWS,
];

/// The schema over one snapshot of the catalog.
#[derive(Debug, Clone)]
pub struct InformationSchema {
    snapshot: Arc<Snapshot>,
}

impl InformationSchema {
    /// The schema as the catalog is in this snapshot.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot }
    }
}

#[async_trait]
impl SchemaProvider for InformationSchema {
    fn table_names(&self) -> Vec<String> {
        TABLES.iter().map(|table| table.name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(table) = find(name) else { return Ok(None) };
        let mut rows = Rows::new(table.columns);
        (table.fill)(&self.snapshot, &mut rows);
        rows.finish().map(Some)
    }

    fn table_exist(&self, name: &str) -> bool {
        find(name).is_some()
    }
}

/// Power BI writes the names in upper case.
fn find(name: &str) -> Option<&'static InformationTable> {
    TABLES.iter().copied().find(|table| table.name.eq_ignore_ascii_case(name))
}

/// The database of an object, as its creator wrote it.
fn schema_name<'a>(snapshot: &'a Snapshot, key: &'a ObjectKey) -> &'a str {
    snapshot.databases.get(&key.database).map_or(key.database.as_str(), |database| database.name.as_str())
}
