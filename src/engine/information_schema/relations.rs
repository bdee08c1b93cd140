//! `schemata`, `tables`, `views`, `routines` and the catalog's name.

use super::rows::{Cell, Kind, Rows};
use super::{InformationTable, NAME, schema_name};
use crate::catalog::{CATALOG, Snapshot, TableKind};
use crate::engine::system;
use Kind::Text;
use weir_functions::Group;

pub(super) static CATALOG_NAME: InformationTable = InformationTable {
    name: "information_schema_catalog_name",
    columns: &[("catalog_name", Text)],
    fill: |_, rows| rows.push(&[("catalog_name", Cell::Text(CATALOG))]),
};

pub(super) static SCHEMATA: InformationTable = InformationTable {
    name: "schemata",
    columns: &[
        ("catalog_name", Text),
        ("schema_name", Text),
        ("schema_owner", Text),
        ("default_character_set_catalog", Text),
        ("default_character_set_schema", Text),
        ("default_character_set_name", Text),
        ("sql_path", Text),
    ],
    fill: |snapshot, rows| {
        let names = snapshot.databases.values().map(|database| database.name.as_str());
        for name in names.chain([NAME, "system"]) {
            rows.push(&[
                ("catalog_name", Cell::Text(CATALOG)),
                ("schema_name", Cell::Text(name)),
                ("default_character_set_name", Cell::Text("UTF8")),
            ]);
        }
    },
};

pub(super) static TABLES: InformationTable = InformationTable {
    name: "tables",
    columns: &[
        ("table_catalog", Text),
        ("table_schema", Text),
        ("table_name", Text),
        ("table_type", Text),
        ("self_referencing_column_name", Text),
        ("reference_generation", Text),
        ("user_defined_type_catalog", Text),
        ("user_defined_type_schema", Text),
        ("user_defined_type_name", Text),
        ("is_insertable_into", Text),
        ("is_typed", Text),
        ("commit_action", Text),
    ],
    fill: tables,
};

fn tables(snapshot: &Snapshot, rows: &mut Rows) {
    let mut push = |schema: &str, name: &str, kind: &str, insertable: &str| {
        rows.push(&[
            ("table_catalog", Cell::Text(CATALOG)),
            ("table_schema", Cell::Text(schema)),
            ("table_name", Cell::Text(name)),
            ("table_type", Cell::Text(kind)),
            ("is_insertable_into", Cell::Text(insertable)),
            ("is_typed", Cell::Text("NO")),
        ]);
    };
    // Clients look for these two words: an external table is a BASE TABLE too.
    for (key, table) in &snapshot.tables {
        let insertable = if table.kind == TableKind::Streaming { "NO" } else { "YES" };
        push(schema_name(snapshot, key), &table.name, "BASE TABLE", insertable);
    }
    for (key, view) in &snapshot.views {
        push(schema_name(snapshot, key), &view.name, "VIEW", "NO");
    }
    for table in super::TABLES {
        push(NAME, table.name, "VIEW", "NO");
    }
    for table in system::TABLES {
        push("system", table.name, "VIEW", "NO");
    }
}

pub(super) static VIEWS: InformationTable = InformationTable {
    name: "views",
    columns: &[
        ("table_catalog", Text),
        ("table_schema", Text),
        ("table_name", Text),
        ("view_definition", Text),
        ("check_option", Text),
        ("is_updatable", Text),
        ("is_insertable_into", Text),
        ("is_trigger_updatable", Text),
        ("is_trigger_deletable", Text),
        ("is_trigger_insertable_into", Text),
    ],
    fill: |snapshot, rows| {
        for (key, view) in &snapshot.views {
            rows.push(&[
                ("table_catalog", Cell::Text(CATALOG)),
                ("table_schema", Cell::Text(schema_name(snapshot, key))),
                ("table_name", Cell::Text(&view.name)),
                ("view_definition", Cell::Text(&view.sql)),
                ("check_option", Cell::Text("NONE")),
                ("is_updatable", Cell::Text("NO")),
                ("is_insertable_into", Cell::Text("NO")),
                ("is_trigger_updatable", Cell::Text("NO")),
                ("is_trigger_deletable", Cell::Text("NO")),
                ("is_trigger_insertable_into", Cell::Text("NO")),
            ]);
        }
    },
};

pub(super) static ROUTINES: InformationTable = InformationTable {
    name: "routines",
    columns: &[
        ("specific_catalog", Text),
        ("specific_schema", Text),
        ("specific_name", Text),
        ("routine_catalog", Text),
        ("routine_schema", Text),
        ("routine_name", Text),
        ("routine_type", Text),
        ("data_type", Text),
        ("routine_body", Text),
        ("routine_definition", Text),
        ("external_name", Text),
        ("external_language", Text),
        ("parameter_style", Text),
        ("is_deterministic", Text),
        ("sql_data_access", Text),
        ("security_type", Text),
    ],
    fill: |_, rows| {
        for function in weir_functions::FUNCTIONS {
            let kind = if function.group == Group::Aggregate { "AGGREGATE" } else { "FUNCTION" };
            for name in function.aliases.iter().chain([&function.name]) {
                rows.push(&[
                    ("specific_catalog", Cell::Text(CATALOG)),
                    ("specific_schema", Cell::Text(NAME)),
                    ("specific_name", Cell::Text(name)),
                    ("routine_catalog", Cell::Text(CATALOG)),
                    ("routine_schema", Cell::Text(NAME)),
                    ("routine_name", Cell::Text(name)),
                    ("routine_type", Cell::Text(kind)),
                    ("routine_body", Cell::Text("EXTERNAL")),
                    ("routine_definition", Cell::Text(function.signature)),
                ]);
            }
        }
    },
};
