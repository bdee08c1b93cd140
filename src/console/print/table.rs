//! The aligned table of psql: centred names, numbers at the right, `+` where a cell goes on.

use super::cells::{lines, width};
use super::{Column, Options, Row};

/// The width of each column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Widths(Vec<usize>);

impl Widths {
    /// The widest of names and cells. Wider cells that come later shift their own line only.
    pub fn measure(columns: &[Column], options: &Options, rows: &[Row]) -> Self {
        let mut widths: Vec<usize> = columns.iter().map(|column| widest(&column.name)).collect();
        if options.tuples_only {
            widths.fill(0);
        }
        for row in rows {
            for (cell, widest_so_far) in row.iter().zip(&mut widths) {
                *widest_so_far = (*widest_so_far).max(widest(cell.as_deref().unwrap_or(&options.null)));
            }
        }
        Self(widths)
    }

    /// Columns of a terminal that a line takes.
    pub fn total(&self) -> usize {
        self.0.iter().map(|width| width + 3).sum::<usize>().saturating_sub(1)
    }
}

fn widest(text: &str) -> usize {
    lines(text).iter().map(|line| width(line)).max().unwrap_or(0)
}

/// The names and the rule under them.
pub fn header(widths: &Widths, columns: &[Column], out: &mut String) {
    let names: Vec<Vec<String>> = columns.iter().map(|column| lines(&column.name)).collect();
    let n_lines = names.iter().map(Vec::len).max().unwrap_or(1);
    for line_idx in 0..n_lines {
        for (column_idx, (lines, &column_width)) in names.iter().zip(&widths.0).enumerate() {
            if column_idx > 0 {
                out.push('|');
            }
            let name = lines.get(line_idx).map_or("", String::as_str);
            let n_blanks = column_width.saturating_sub(width(name));
            let goes_on = if line_idx + 1 < lines.len() { '+' } else { ' ' };
            blanks(1 + n_blanks / 2, out);
            out.push_str(name);
            blanks(n_blanks - n_blanks / 2, out);
            out.push(goes_on);
        }
        out.push('\n');
    }
    let rules: Vec<String> = widths.0.iter().map(|width| "-".repeat(width + 2)).collect();
    out.push_str(&rules.join("+"));
    out.push('\n');
}

/// One row, over as many lines as its tallest cell has.
pub fn row(widths: &Widths, columns: &[Column], options: &Options, row: &Row, out: &mut String) {
    let cells: Vec<Vec<String>> = row.iter().map(|cell| lines(cell.as_deref().unwrap_or(&options.null))).collect();
    let n_lines = cells.iter().map(Vec::len).max().unwrap_or(1);
    for line_idx in 0..n_lines {
        for (column_idx, ((lines, &column_width), column)) in cells.iter().zip(&widths.0).zip(columns).enumerate() {
            if column_idx > 0 {
                out.push('|');
            }
            let text = lines.get(line_idx).map_or("", String::as_str);
            let goes_on = line_idx + 1 < lines.len();
            let n_blanks = column_width.saturating_sub(width(text));
            let is_last = column_idx + 1 == columns.len();
            out.push(' ');
            if column.is_number {
                blanks(n_blanks, out);
            }
            out.push_str(text);
            // Nothing is to be seen after the last column, so nothing is printed.
            if !column.is_number && (!is_last || goes_on) {
                blanks(n_blanks, out);
            }
            match (goes_on, is_last) {
                (true, _) => out.push('+'),
                (false, false) => out.push(' '),
                (false, true) => {}
            }
        }
        out.push('\n');
    }
}

fn blanks(n_blanks: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', n_blanks));
}
