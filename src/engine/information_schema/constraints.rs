//! Keys as declared by `PRIMARY KEY`, and the tables that clients join with them.
//!
//! Power BI finds relations by joining these; there are no foreign keys, so `referential_constraints` is empty.

use super::columns::table_columns;
use super::rows::{Cell, Kind, Rows};
use super::{InformationTable, schema_name};
use crate::catalog::{CATALOG, Snapshot, Table};
use Kind::{Number, Text};

pub(super) static TABLE_CONSTRAINTS: InformationTable = InformationTable {
    name: "table_constraints",
    columns: &[
        ("constraint_catalog", Text),
        ("constraint_schema", Text),
        ("constraint_name", Text),
        ("table_catalog", Text),
        ("table_schema", Text),
        ("table_name", Text),
        ("constraint_type", Text),
        ("is_deferrable", Text),
        ("initially_deferred", Text),
        ("enforced", Text),
        ("nulls_distinct", Text),
    ],
    fill: |snapshot, rows| {
        each_key(snapshot, |schema, table, constraint| {
            rows.push(&[
                ("constraint_catalog", Cell::Text(CATALOG)),
                ("constraint_schema", Cell::Text(schema)),
                ("constraint_name", Cell::Text(constraint)),
                ("table_catalog", Cell::Text(CATALOG)),
                ("table_schema", Cell::Text(schema)),
                ("table_name", Cell::Text(&table.name)),
                ("constraint_type", Cell::Text("PRIMARY KEY")),
                ("is_deferrable", Cell::Text("NO")),
                ("initially_deferred", Cell::Text("NO")),
                ("enforced", Cell::Text("NO")),
            ]);
        });
    },
};

pub(super) static KEY_COLUMN_USAGE: InformationTable = InformationTable {
    name: "key_column_usage",
    columns: &[
        ("constraint_catalog", Text),
        ("constraint_schema", Text),
        ("constraint_name", Text),
        ("table_catalog", Text),
        ("table_schema", Text),
        ("table_name", Text),
        ("column_name", Text),
        ("ordinal_position", Number),
        ("position_in_unique_constraint", Number),
    ],
    fill: |snapshot, rows| {
        each_key(snapshot, |schema, table, constraint| {
            for (position, column) in (1..).zip(&table.primary_key) {
                rows.push(&[
                    ("constraint_catalog", Cell::Text(CATALOG)),
                    ("constraint_schema", Cell::Text(schema)),
                    ("constraint_name", Cell::Text(constraint)),
                    ("table_catalog", Cell::Text(CATALOG)),
                    ("table_schema", Cell::Text(schema)),
                    ("table_name", Cell::Text(&table.name)),
                    ("column_name", Cell::Text(column_name(table, column))),
                    ("ordinal_position", Cell::Number(position)),
                ]);
            }
        });
    },
};

pub(super) static CONSTRAINT_COLUMN_USAGE: InformationTable = InformationTable {
    name: "constraint_column_usage",
    columns: &[
        ("table_catalog", Text),
        ("table_schema", Text),
        ("table_name", Text),
        ("column_name", Text),
        ("constraint_catalog", Text),
        ("constraint_schema", Text),
        ("constraint_name", Text),
    ],
    fill: |snapshot, rows| {
        each_key(snapshot, |schema, table, constraint| {
            for column in &table.primary_key {
                rows.push(&[
                    ("table_catalog", Cell::Text(CATALOG)),
                    ("table_schema", Cell::Text(schema)),
                    ("table_name", Cell::Text(&table.name)),
                    ("column_name", Cell::Text(column_name(table, column))),
                    ("constraint_catalog", Cell::Text(CATALOG)),
                    ("constraint_schema", Cell::Text(schema)),
                    ("constraint_name", Cell::Text(constraint)),
                ]);
            }
        });
    },
};

pub(super) static REFERENTIAL_CONSTRAINTS: InformationTable = InformationTable {
    name: "referential_constraints",
    columns: &[
        ("constraint_catalog", Text),
        ("constraint_schema", Text),
        ("constraint_name", Text),
        ("unique_constraint_catalog", Text),
        ("unique_constraint_schema", Text),
        ("unique_constraint_name", Text),
        ("match_option", Text),
        ("update_rule", Text),
        ("delete_rule", Text),
    ],
    fill: |_, _: &mut Rows| {},
};

pub(super) static CHARACTER_SETS: InformationTable = InformationTable {
    name: "character_sets",
    columns: &[
        ("character_set_catalog", Text),
        ("character_set_schema", Text),
        ("character_set_name", Text),
        ("character_repertoire", Text),
        ("form_of_use", Text),
        ("default_collate_catalog", Text),
        ("default_collate_schema", Text),
        ("default_collate_name", Text),
    ],
    fill: |_, rows| {
        rows.push(&[
            ("character_set_name", Cell::Text("UTF8")),
            ("character_repertoire", Cell::Text("UCS")),
            ("form_of_use", Cell::Text("UTF8")),
            ("default_collate_catalog", Cell::Text(CATALOG)),
            ("default_collate_schema", Cell::Text("pg_catalog")),
            // Texts are compared by their bytes.
            ("default_collate_name", Cell::Text("C")),
        ]);
    },
};

/// Calls `row` with the schema, the table and the constraint's name for each declared key.
fn each_key(snapshot: &Snapshot, mut row: impl FnMut(&str, &Table, &str)) {
    for (key, table) in &snapshot.tables {
        if !table.primary_key.is_empty() {
            row(schema_name(snapshot, key), table, &format!("{}_pkey", table.name));
        }
    }
}

/// The key's column as the table spells it.
fn column_name<'a>(table: &'a Table, written: &'a str) -> &'a str {
    table_columns(table).find(|column| column.name.eq_ignore_ascii_case(written)).map_or(written, |column| column.name.as_str())
}
