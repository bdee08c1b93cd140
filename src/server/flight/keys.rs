//! Keys: the declared primary keys; there are no foreign keys, and the answers say so in the form of the protocol.

use crate::catalog::Snapshot;
use crate::error::{Error, Result};
use crate::server::flight::CATALOG_NAME;
use arrow_flight::sql::CommandGetPrimaryKeys;
use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, new_null_array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// The answer of GetPrimaryKeys.
pub fn primary_keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

/// The answer of GetExportedKeys, GetImportedKeys and GetCrossReference.
pub fn foreign_keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("pk_catalog_name", DataType::Utf8, true),
        Field::new("pk_db_schema_name", DataType::Utf8, true),
        Field::new("pk_table_name", DataType::Utf8, false),
        Field::new("pk_column_name", DataType::Utf8, false),
        Field::new("fk_catalog_name", DataType::Utf8, true),
        Field::new("fk_db_schema_name", DataType::Utf8, true),
        Field::new("fk_table_name", DataType::Utf8, false),
        Field::new("fk_column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}

/// The declared primary key of a table, in order; no rows for a table without one.
pub fn primary_keys(snapshot: &Snapshot, command: &CommandGetPrimaryKeys) -> Result<RecordBatch> {
    let same = |filter: &Option<String>, name: &str| filter.as_ref().is_none_or(|filter| filter.to_lowercase() == name.to_lowercase());
    let mut rows = Vec::new();
    if same(&command.catalog, CATALOG_NAME) {
        // The map is sorted by database and table, as the protocol wants the rows.
        for table in snapshot.tables.values() {
            if same(&command.db_schema, &table.database) && table.name.to_lowercase() == command.table.to_lowercase() {
                rows.extend(table.primary_key.iter().zip(1..).map(|(column, sequence)| (table, column, sequence)));
            }
        }
    }
    let text = |values: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(values)) };
    let columns = vec![
        text(rows.iter().map(|_| CATALOG_NAME).collect()),
        text(rows.iter().map(|(table, ..)| table.database.as_str()).collect()),
        text(rows.iter().map(|(table, ..)| table.name.as_str()).collect()),
        text(rows.iter().map(|(_, column, _)| column.as_str()).collect()),
        new_null_array(&DataType::Utf8, rows.len()),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|(.., sequence)| *sequence))),
    ];
    RecordBatch::try_new(primary_keys_schema(), columns).map_err(|error| Error::internal(format!("could not list keys: {error}")))
}

/// No foreign keys.
pub fn foreign_keys() -> RecordBatch {
    RecordBatch::new_empty(foreign_keys_schema())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{ObjectKey, Table, TableKind};
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::Int32Type;

    fn table(database: &str, name: &str, key: &[&str]) -> Table {
        Table {
            id: format!("{database}.{name}"),
            database: database.into(),
            name: name.into(),
            kind: TableKind::Managed,
            columns: vec![],
            partition_columns: vec![],
            primary_key: key.iter().map(|&column| column.to_owned()).collect(),
            format: "DELTA".into(),
            location: String::new(),
            located: false,
            comment: None,
            properties: vec![],
            options: vec![],
            partition_locations: std::collections::BTreeMap::default(),
            inferred: false,
            created_ms: 0,
            owner: "weir".into(),
            stream: None,
        }
    }

    #[track_caller]
    fn check(catalog: Option<&str>, database: Option<&str>, name: &str, expected: &[(&str, &str, i32)]) {
        let mut snapshot = Snapshot::default();
        for table in [table("sales", "Orders", &["Region", "id"]), table("old", "orders", &["id"]), table("sales", "notes", &[])] {
            snapshot.tables.insert(ObjectKey::new(&table.database, &table.name), Arc::new(table));
        }
        let command =
            CommandGetPrimaryKeys { catalog: catalog.map(str::to_owned), db_schema: database.map(str::to_owned), table: name.to_owned() };
        let batch = primary_keys(&snapshot, &command).unwrap();
        let (databases, columns) = (batch.column(1).as_string::<i32>(), batch.column(3).as_string::<i32>());
        let sequence = batch.column(5).as_primitive::<Int32Type>();
        let found: Vec<_> = (0..batch.num_rows()).map(|row| (databases.value(row), columns.value(row), sequence.value(row))).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn declared_keys_in_order() {
        check(None, Some("nowhere"), "orders", &[]);
        check(Some(""), None, "orders", &[]);
        check(None, Some("sales"), "notes", &[]);
        check(None, Some("Sales"), "ORDERS", &[("sales", "Region", 1), ("sales", "id", 2)]);
        check(Some("weir"), None, "orders", &[("old", "id", 1), ("sales", "Region", 1), ("sales", "id", 2)]);
    }

    #[test]
    fn foreign_keys_are_empty_in_the_form_of_the_protocol() {
        assert_eq!((foreign_keys().num_rows(), foreign_keys().num_columns()), (0, 13));
    }
}
