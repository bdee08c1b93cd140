//! `columns`: names, types and places of the columns of every table and view.

use super::rows::{Cell, Kind, Rows};
use super::{InformationTable, NAME, schema_name};
use crate::catalog::{CATALOG, Column, Snapshot, Table};
use crate::engine::types;
use Kind::{Number, Text};
use datafusion::arrow::datatypes::DataType;

pub(super) static COLUMNS: InformationTable = InformationTable {
    name: "columns",
    columns: &[
        ("table_catalog", Text),
        ("table_schema", Text),
        ("table_name", Text),
        ("column_name", Text),
        ("ordinal_position", Number),
        ("column_default", Text),
        ("is_nullable", Text),
        ("data_type", Text),
        ("character_maximum_length", Number),
        ("character_octet_length", Number),
        ("numeric_precision", Number),
        ("numeric_precision_radix", Number),
        ("numeric_scale", Number),
        ("datetime_precision", Number),
        ("interval_type", Text),
        ("interval_precision", Number),
        ("character_set_catalog", Text),
        ("character_set_schema", Text),
        ("character_set_name", Text),
        ("collation_catalog", Text),
        ("collation_schema", Text),
        ("collation_name", Text),
        ("domain_catalog", Text),
        ("domain_schema", Text),
        ("domain_name", Text),
        ("udt_catalog", Text),
        ("udt_schema", Text),
        ("udt_name", Text),
        ("scope_catalog", Text),
        ("scope_schema", Text),
        ("scope_name", Text),
        ("maximum_cardinality", Number),
        ("dtd_identifier", Text),
        ("is_self_referencing", Text),
        ("is_identity", Text),
        ("identity_generation", Text),
        ("identity_start", Text),
        ("identity_increment", Text),
        ("identity_maximum", Text),
        ("identity_minimum", Text),
        ("identity_cycle", Text),
        ("is_generated", Text),
        ("generation_expression", Text),
        ("is_updatable", Text),
    ],
    fill,
};

fn fill(snapshot: &Snapshot, rows: &mut Rows) {
    for (key, table) in &snapshot.tables {
        push_all(rows, schema_name(snapshot, key), &table.name, table_columns(table), "YES");
    }
    for (key, view) in &snapshot.views {
        // As in PostgreSQL: a view promises nothing about NULL, since it is planned again at each use.
        let columns: Vec<Column> = view.columns.iter().map(|column| Column { nullable: true, ..column.clone() }).collect();
        push_all(rows, schema_name(snapshot, key), &view.name, columns.iter(), "NO");
    }
    for table in super::TABLES {
        for (position, (name, kind)) in (1..).zip(table.columns) {
            let data_type = match kind {
                Text => DataType::Utf8,
                Number => DataType::Int32,
            };
            push(rows, &Place { schema: NAME, table: table.name, name, position, nullable: true, updatable: "NO" }, &data_type);
        }
    }
}

/// The columns in the order of `SELECT *`: partition columns that are directories come last.
pub(super) fn table_columns(table: &Table) -> impl Iterator<Item = &Column> {
    let declared = |partition: &Column| table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(&partition.name));
    table.columns.iter().chain(table.partition_columns.iter().filter(move |partition| !declared(partition)))
}

fn push_all<'a>(rows: &mut Rows, schema: &str, table: &str, columns: impl Iterator<Item = &'a Column>, updatable: &str) {
    for (position, column) in (1..).zip(columns) {
        // A type that this version cannot read is shown as text, which is how it would be read.
        let data_type = types::parse(&column.sql_type).unwrap_or(DataType::Utf8);
        push(rows, &Place { schema, table, name: &column.name, position, nullable: column.nullable, updatable }, &data_type);
    }
}

struct Place<'a> {
    schema: &'a str,
    table: &'a str,
    name: &'a str,
    position: i32,
    nullable: bool,
    updatable: &'a str,
}

fn push(rows: &mut Rows, place: &Place, data_type: &DataType) {
    let position = place.position.to_string();
    let number = numeric(data_type);
    rows.push(&[
        ("table_catalog", Cell::Text(CATALOG)),
        ("table_schema", Cell::Text(place.schema)),
        ("table_name", Cell::Text(place.table)),
        ("column_name", Cell::Text(place.name)),
        ("ordinal_position", Cell::Number(place.position)),
        ("is_nullable", Cell::Text(if place.nullable { "YES" } else { "NO" })),
        ("data_type", Cell::Text(types::postgres_name(data_type))),
        ("numeric_precision", number.map(|(precision, _, _)| precision).into()),
        ("numeric_precision_radix", number.map(|(_, radix, _)| radix).into()),
        ("numeric_scale", number.and_then(|(_, _, scale)| scale).into()),
        ("datetime_precision", datetime_precision(data_type).into()),
        ("udt_catalog", Cell::Text(CATALOG)),
        ("udt_schema", Cell::Text("pg_catalog")),
        ("udt_name", Cell::Text(udt_name(data_type))),
        ("dtd_identifier", Cell::Text(&position)),
        ("is_self_referencing", Cell::Text("NO")),
        ("is_identity", Cell::Text("NO")),
        ("is_generated", Cell::Text("NEVER")),
        ("is_updatable", Cell::Text(place.updatable)),
    ]);
}

/// Precision, its radix and scale as PostgreSQL gives them: binary digits for integers and floats, decimal ones for numeric.
fn numeric(data_type: &DataType) -> Option<(i32, i32, Option<i32>)> {
    match types::postgres_name(data_type) {
        "smallint" => Some((16, 2, Some(0))),
        "integer" => Some((32, 2, Some(0))),
        "bigint" => Some((64, 2, Some(0))),
        "real" => Some((24, 2, None)),
        "double precision" => Some((53, 2, None)),
        "numeric" => types::precision(data_type).map(|precision| (precision, 10, types::scale(data_type))),
        _ => None,
    }
}

fn datetime_precision(data_type: &DataType) -> Option<i32> {
    match data_type {
        DataType::Date32 | DataType::Date64 => Some(0),
        DataType::Timestamp(_, _) | DataType::Time32(_) | DataType::Time64(_) => types::scale(data_type),
        _ => None,
    }
}

/// PostgreSQL's short type name.
fn udt_name(data_type: &DataType) -> &'static str {
    match types::postgres_name(data_type) {
        "boolean" => "bool",
        "smallint" => "int2",
        "integer" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" => "float8",
        "numeric" => "numeric",
        "bytea" => "bytea",
        "date" => "date",
        "time without time zone" => "time",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        "ARRAY" => "anyarray",
        "record" | "map" => "record",
        _ => "varchar",
    }
}
