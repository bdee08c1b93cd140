//! Forms for other programs: CSV by RFC 4180, and unaligned with a separator. Values stay as they are.

use super::{Column, Options, Row};

/// One line of CSV. An empty text is quoted, so that NULL, which is not, stays apart.
pub fn csv_row<'a>(cells: impl Iterator<Item = Option<&'a str>>, null: &str, out: &mut String) {
    for (column_idx, cell) in cells.enumerate() {
        if column_idx > 0 {
            out.push(',');
        }
        match cell {
            Some(text) => csv_cell(text, out),
            None => out.push_str(null),
        }
    }
    out.push('\n');
}

fn csv_cell(text: &str, out: &mut String) {
    if !text.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return out.push_str(text);
    }
    out.push('"');
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

/// Expanded CSV: a line `name,value` per column.
pub fn csv_record(columns: &[Column], options: &Options, row: &Row, out: &mut String) {
    for (column, cell) in columns.iter().zip(row) {
        csv_row([Some(column.name.as_str()), cell.as_deref()].into_iter(), &options.null, out);
    }
}

/// The names of the unaligned form.
pub fn header(columns: &[Column], options: &Options, out: &mut String) {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    out.push_str(&names.join(&options.field_separator));
    out.push('\n');
}

/// A row of the unaligned form.
pub fn row(options: &Options, row: &Row, out: &mut String) {
    for (column_idx, cell) in row.iter().enumerate() {
        if column_idx > 0 {
            out.push_str(&options.field_separator);
        }
        out.push_str(cell.as_deref().unwrap_or(&options.null));
    }
    out.push('\n');
}

/// Expanded and unaligned: a line per column, a blank line between records.
pub fn record(columns: &[Column], options: &Options, row: &Row, number: u64, out: &mut String) {
    if number > 1 {
        out.push('\n');
    }
    for (column, cell) in columns.iter().zip(row) {
        if !options.tuples_only {
            out.push_str(&column.name);
            out.push_str(&options.field_separator);
        }
        out.push_str(cell.as_deref().unwrap_or(&options.null));
        out.push('\n');
    }
}
