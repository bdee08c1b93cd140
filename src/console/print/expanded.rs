//! The expanded form of psql: a line per column, a rule per record.

use super::cells::{lines, width};
use super::{Column, Options, Row};

/// Records with common widths; `first` is the number of the first.
pub fn records(columns: &[Column], options: &Options, rows: &[Row], first: u64, out: &mut String) {
    let names: Vec<Vec<String>> = columns.iter().map(|column| lines(&column.name)).collect();
    let name_width = names.iter().flatten().map(|line| width(line)).max().unwrap_or(0);
    let cell_lines = |cell: &Option<String>| lines(cell.as_deref().unwrap_or(&options.null));
    let cell_width = rows.iter().flatten().flat_map(cell_lines).map(|line| width(&line)).max().unwrap_or(0);
    for (row, number) in rows.iter().zip(first..) {
        match options.tuples_only {
            true if number > 1 => out.push('\n'),
            true => {}
            false => out.push_str(&rule(number, name_width, cell_width)),
        }
        for (name, cell) in names.iter().zip(row) {
            let cell = cell_lines(cell);
            for line_idx in 0..name.len().max(cell.len()) {
                let name_line = name.get(line_idx).map_or("", String::as_str);
                out.push_str(name_line);
                out.extend(std::iter::repeat_n(' ', name_width - width(name_line)));
                out.push(if line_idx + 1 < name.len() { '+' } else { ' ' });
                out.push('|');
                let text = cell.get(line_idx).map_or("", String::as_str);
                let goes_on = line_idx + 1 < cell.len();
                if goes_on || !text.is_empty() {
                    out.push(' ');
                    out.push_str(text);
                }
                if goes_on {
                    out.extend(std::iter::repeat_n(' ', cell_width - width(text)));
                    out.push('+');
                }
                out.push('\n');
            }
        }
    }
}

/// `-[ RECORD 1 ]-+----`: the plus stands over the bar when there is room.
fn rule(number: u64, name_width: usize, cell_width: usize) -> String {
    let mut rule = format!("-[ RECORD {number} ]");
    let ground = format!("{}+{}", "-".repeat(name_width + 1), "-".repeat(cell_width + 1));
    if let Some(rest) = ground.get(rule.len()..) {
        rule.push_str(rest);
    }
    rule.push('\n');
    rule
}
