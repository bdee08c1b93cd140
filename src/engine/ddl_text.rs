//! Definitions as SQL text: SHOW CREATE TABLE and VIEW. What it prints can be run again.

use crate::catalog::{Column, Table, TableKind, View};
use std::fmt::Write;

/// The CREATE TABLE statement of a table: types, names and comments as they were written.
pub fn create_table(table: &Table) -> String {
    let external = table.kind == TableKind::External;
    let mut text = format!("CREATE {}TABLE {}.{}", if external { "EXTERNAL " } else { "" }, name(&table.database), name(&table.name));
    if !table.columns.is_empty() {
        let columns: Vec<String> = table.columns.iter().map(column).collect();
        let mut lines = columns;
        if !table.primary_key.is_empty() {
            lines.push(format!("PRIMARY KEY ({})", table.primary_key.iter().map(|key| name(key)).collect::<Vec<_>>().join(", ")));
        }
        let _ = write!(text, " (\n  {}\n)", lines.join(",\n  "));
    }
    if let Some(comment) = &table.comment {
        let _ = write!(text, "\nCOMMENT {}", quoted(comment));
    }
    if !table.partition_columns.is_empty() {
        let columns: Vec<String> = match external {
            true => table.partition_columns.iter().map(column).collect(),
            false => table.partition_columns.iter().map(|column| name(&column.name)).collect(),
        };
        let _ = write!(text, "\nPARTITIONED BY ({})", columns.join(", "));
    }
    let _ = write!(text, "\nSTORED AS {}", table.format);
    if external {
        let _ = write!(text, "\nLOCATION {}", quoted(&table.location));
    }
    pairs(&mut text, "OPTIONS", &table.options);
    pairs(&mut text, "TBLPROPERTIES", &table.properties);
    text
}

/// The CREATE VIEW statement of a view.
pub fn create_view(view: &View) -> String {
    let mut text = format!("CREATE VIEW {}.{}", name(&view.database), name(&view.name));
    if !view.column_names.is_empty() {
        let _ = write!(text, " ({})", view.column_names.iter().map(|column| name(column)).collect::<Vec<_>>().join(", "));
    }
    if let Some(comment) = &view.comment {
        let _ = write!(text, "\nCOMMENT {}", quoted(comment));
    }
    let _ = write!(text, "\nAS {}", view.sql);
    text
}

fn column(column: &Column) -> String {
    let mut text = format!("{} {}", name(&column.name), column.sql_type);
    if !column.nullable {
        text.push_str(" NOT NULL");
    }
    if let Some(comment) = &column.comment {
        let _ = write!(text, " COMMENT {}", quoted(comment));
    }
    text
}

/// Hive's way: every name in backticks.
fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn pairs(text: &mut String, keyword: &str, pairs: &[(String, String)]) {
    if !pairs.is_empty() {
        let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{} = {}", quoted(key), quoted(value))).collect();
        let _ = write!(text, "\n{keyword} ({})", pairs.join(", "));
    }
}
