//! Definitions as SQL text: SHOW CREATE TABLE and VIEW. What it prints can be run again.

use crate::catalog::{Column, StreamDef, Table, TableKind, View, WatermarkDef};
use std::fmt::Write;

/// The CREATE TABLE statement of a table: types, names and comments as they were written.
pub fn create_table(table: &Table) -> String {
    let external = table.kind == TableKind::External;
    let kind = match table.kind {
        TableKind::External => "EXTERNAL ",
        TableKind::Managed => "",
        TableKind::Streaming => "STREAMING ",
    };
    let mut text = format!("CREATE {kind}TABLE {}.{}", name(&table.database), name(&table.name));
    let stream = table.stream.as_ref();
    // The columns and partitions of another program's Delta table are in its log.
    let declares = !table.is_external_delta();
    if declares && !table.columns.is_empty() {
        let mut lines: Vec<String> = table.columns.iter().map(|column| stream_column(column, stream)).collect();
        if !table.primary_key.is_empty() {
            lines.push(format!("PRIMARY KEY ({})", table.primary_key.iter().map(|key| name(key)).collect::<Vec<_>>().join(", ")));
        }
        lines.extend(stream.and_then(|stream| stream.watermark.as_ref()).map(watermark));
        let _ = write!(text, " (\n  {}\n)", lines.join(",\n  "));
    }
    if let Some(comment) = &table.comment {
        let _ = write!(text, "\nCOMMENT {}", quoted(comment));
    }
    if declares && !table.partition_columns.is_empty() {
        let columns: Vec<String> = match external {
            true => table.partition_columns.iter().map(column).collect(),
            false => table.partition_columns.iter().map(|column| name(&column.name)).collect(),
        };
        let _ = write!(text, "\nPARTITIONED BY ({})", columns.join(", "));
    }
    let _ = write!(text, "\nSTORED AS {}", table.format);
    if external || table.located {
        let _ = write!(text, "\nLOCATION {}", quoted(&table.location));
    }
    if let Some(stream) = stream {
        pairs(&mut text, "TBLPROPERTIES", &table.properties);
        source(&mut text, stream, &table.options);
        return text;
    }
    let options: Vec<(String, String)> = table.options.iter().map(|(key, value)| (key.clone(), visible(key, value))).collect();
    pairs(&mut text, "OPTIONS", &options);
    pairs(&mut text, "TBLPROPERTIES", &table.properties);
    text
}

/// A column of a streaming table says where its values come from.
fn stream_column(declared: &Column, stream: Option<&StreamDef>) -> String {
    let text = column(declared);
    let metadata = stream.and_then(|stream| stream.metadata_columns.iter().find(|(column, _)| *column == declared.name));
    match metadata {
        Some((_, kind)) => format!("{text} METADATA FROM {}", quoted(kind)),
        None => text,
    }
}

/// `WATERMARK FOR c AS c - INTERVAL '10' SECOND`.
pub fn watermark(watermark: &WatermarkDef) -> String {
    let column = name(&watermark.column);
    if watermark.delay_ms == 0 {
        return format!("WATERMARK FOR {column} AS {column}");
    }
    format!("WATERMARK FOR {column} AS {column} - INTERVAL '{}' SECOND", watermark.delay_ms as f64 / 1000.0)
}

/// WITH: the connector, the options as written, and secrets by their names.
fn source(text: &mut String, stream: &StreamDef, options: &[(String, String)]) {
    let plain = std::iter::once(("connector", stream.connector.as_str()))
        .chain(options.iter().map(|(key, value)| (key.as_str(), value.as_str())))
        .map(|(key, value)| format!("{} = {}", quoted(key), quoted(value)));
    let secrets = stream.secret_options.iter().map(|(key, secret)| format!("{} = SECRET {}", quoted(key), name(secret)));
    let _ = write!(text, "\nWITH (\n  {}\n)", plain.chain(secrets).collect::<Vec<_>>().join(",\n  "));
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
