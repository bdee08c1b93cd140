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
    let options: Vec<(String, String)> = table.options.iter().map(|(key, value)| (key.clone(), visible(key, value))).collect();
    pairs(&mut text, "OPTIONS", &options);
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

/// A delimiter that is a control character as Hive writes it: `\t`, `\001`. Options are read with these escapes.
fn visible(key: &str, value: &str) -> String {
    const DELIMITERS: &[&str] =
        &["field.delim", "escape.delim", "collection.delim", "mapkey.delim", "line.delim", "delimiter", "sep", "separatorChar"];
    let mut chars = value.chars();
    match (chars.next(), chars.next()) {
        (Some(only), None) if only.is_ascii_control() && DELIMITERS.iter().any(|known| known.eq_ignore_ascii_case(key)) => match only {
            '\t' => "\\t".into(),
            '\n' => "\\n".into(),
            '\r' => "\\r".into(),
            other => format!("\\{:03o}", u32::from(other)),
        },
        _ => value.to_owned(),
    }
}

fn pairs(text: &mut String, keyword: &str, pairs: &[(String, String)]) {
    if !pairs.is_empty() {
        let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{} = {}", quoted(key), quoted(value))).collect();
        let _ = write!(text, "\n{keyword} ({})", pairs.join(", "));
    }
}
