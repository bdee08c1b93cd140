//! Rows to text: aligned table, expanded, unaligned, CSV. Nothing here knows where the text goes.
//!
//! Results are printed as they arrive. Only the aligned forms hold rows back: [`MEASURED_ROWS_MAX`] or
//! [`MEASURED_BYTES_MAX`] at a time, whichever is first.

mod cells;
mod delimited;
mod expanded;
mod table;
#[cfg(test)]
mod tests;

pub use cells::Cells;

use crate::error::Result;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;

/// Rows that are measured together before they are printed.
pub const MEASURED_ROWS_MAX: usize = 1_000;
/// Bytes of text that are measured together before they are printed.
pub const MEASURED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Aligned,
    Unaligned,
    Csv,
}

impl Format {
    /// All formats with their names.
    pub const ALL: &'static [(&'static str, Self)] = &[("aligned", Self::Aligned), ("unaligned", Self::Unaligned), ("csv", Self::Csv)];

    /// Its name in `\pset format`.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, format)| *format == self).map_or("aligned", |(name, _)| name)
    }
}

/// Whether each column gets a line of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expanded {
    Off,
    On,
    /// When the table is wider than the terminal.
    Auto,
}

impl Expanded {
    /// Its name in `\x`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Auto => "auto",
        }
    }
}

/// How results look.
#[derive(Debug, Clone)]
pub struct Options {
    pub format: Format,
    pub expanded: Expanded,
    /// Rows only: no header, no footer.
    pub tuples_only: bool,
    /// What stands for NULL.
    pub null: String,
    /// Between the columns of the unaligned format.
    pub field_separator: String,
    /// Columns of the terminal, when the output is one.
    pub terminal_columns: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            format: Format::Aligned,
            expanded: Expanded::Off,
            tuples_only: false,
            null: String::new(),
            field_separator: "|".to_owned(),
            terminal_columns: None,
        }
    }
}

/// A column as the printers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// Numbers stand at the right.
    pub is_number: bool,
}

/// One row: a text per column, `None` for NULL.
pub type Row = Vec<Option<String>>;

/// One result on its way to text.
pub struct Printer {
    options: Options,
    columns: Vec<Column>,
    /// Rows that are not printed yet, and their bytes.
    held: Vec<Row>,
    held_bytes: usize,
    layout: Layout,
    n_rows: u64,
}

enum Layout {
    /// Nothing is printed yet.
    Unknown,
    Table(table::Widths),
    Expanded,
    Delimited,
}

impl Printer {
    /// A printer for rows of a schema.
    pub fn new(options: &Options, schema: &Schema) -> Self {
        let columns = schema.fields().iter().map(|field| Column { name: field.name().clone(), is_number: is_number(field.data_type()) });
        Self {
            options: options.clone(),
            columns: columns.collect(),
            held: Vec::new(),
            held_bytes: 0,
            layout: Layout::Unknown,
            n_rows: 0,
        }
    }

    /// Rows taken so far.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Takes rows; appends to `out` what can be printed now.
    ///
    /// # Errors
    /// When a value cannot be shown as text.
    pub fn rows(&mut self, batch: &RecordBatch, out: &mut String) -> Result<()> {
        let cells = Cells::new(batch)?;
        for row_idx in 0..batch.num_rows() {
            let row = cells.row(row_idx)?;
            self.held_bytes += row.iter().flatten().map(String::len).sum::<usize>();
            self.held.push(row);
            self.n_rows += 1;
            let holds = match self.options.format {
                Format::Aligned => self.held.len() < MEASURED_ROWS_MAX && self.held_bytes < MEASURED_BYTES_MAX,
                Format::Unaligned | Format::Csv => false,
            };
            if !holds {
                self.print_held(out);
            }
        }
        Ok(())
    }

    /// Appends what is still held, and the footer.
    pub fn finish(&mut self, out: &mut String) {
        self.print_held(out);
        let is_expanded = self.options.expanded == Expanded::On || matches!(self.layout, Layout::Expanded);
        match self.options.format {
            Format::Csv => {}
            Format::Aligned | Format::Unaligned if self.options.tuples_only => {}
            // A footer would look like one more record.
            Format::Aligned | Format::Unaligned if is_expanded && self.n_rows > 0 => {}
            Format::Aligned | Format::Unaligned => out.push_str(&format!("({})\n", count(self.n_rows))),
        }
        if self.options.format == Format::Aligned {
            out.push('\n');
        }
    }

    fn print_held(&mut self, out: &mut String) {
        if matches!(self.layout, Layout::Unknown) {
            self.begin(out);
        }
        let first = self.n_rows + 1 - self.held.len() as u64;
        for (row, number) in self.held.iter().zip(first..) {
            match (&self.layout, self.options.format) {
                (Layout::Table(widths), _) => table::row(widths, &self.columns, &self.options, row, out),
                (Layout::Delimited, Format::Csv) => delimited::csv_row(row.iter().map(|cell| cell.as_deref()), &self.options.null, out),
                (Layout::Delimited, _) => delimited::row(&self.options, row, out),
                (Layout::Expanded, Format::Aligned) => {}
                (Layout::Expanded, Format::Csv) => delimited::csv_record(&self.columns, &self.options, row, out),
                (Layout::Expanded, Format::Unaligned) => delimited::record(&self.columns, &self.options, row, number, out),
                (Layout::Unknown, _) => {}
            }
        }
        if matches!((&self.layout, self.options.format), (Layout::Expanded, Format::Aligned)) {
            expanded::records(&self.columns, &self.options, &self.held, first, out);
        }
        self.held.clear();
        self.held_bytes = 0;
    }

    /// Decides the layout from what is there, and prints the header.
    fn begin(&mut self, out: &mut String) {
        self.layout = match self.options.format {
            _ if self.options.expanded == Expanded::On => Layout::Expanded,
            Format::Aligned => {
                let widths = table::Widths::measure(&self.columns, &self.options, &self.held);
                let is_too_wide = self.options.terminal_columns.is_some_and(|columns| widths.total() > columns);
                if self.options.expanded == Expanded::Auto && is_too_wide && !self.held.is_empty() {
                    Layout::Expanded
                } else {
                    Layout::Table(widths)
                }
            }
            Format::Unaligned | Format::Csv => Layout::Delimited,
        };
        if self.options.tuples_only {
            return;
        }
        let names = || self.columns.iter().map(|column| Some(column.name.as_str()));
        match (&self.layout, self.options.format) {
            (Layout::Table(widths), _) => table::header(widths, &self.columns, out),
            (Layout::Delimited, Format::Csv) => delimited::csv_row(names(), "", out),
            (Layout::Delimited, _) => delimited::header(&self.columns, &self.options, out),
            (Layout::Expanded | Layout::Unknown, _) => {}
        }
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// `1 row`, `2 rows`.
fn count(n_rows: u64) -> String {
    if n_rows == 1 { "1 row".to_owned() } else { format!("{n_rows} rows") }
}
