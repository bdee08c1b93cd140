//! ROW FORMAT of Hive, and the escapes in its texts.

use super::ast::RowFormat;
use super::cursor::{Cursor, once};
use super::options;
use crate::error::Result;

/// After ROW FORMAT: `DELIMITED ..` or `SERDE '..' [WITH SERDEPROPERTIES (..)]`.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<RowFormat> {
    let mut format = RowFormat::default();
    if cursor.accept(&["SERDE"]) {
        format.serde = Some(cursor.text("the name of a class")?);
        if cursor.accept(&["WITH", "SERDEPROPERTIES"]) {
            format.serde_properties = options::list(cursor)?;
        }
        return Ok(format);
    }
    if !cursor.accept(&["DELIMITED"]) {
        return Err(cursor.unexpected("DELIMITED or SERDE"));
    }
    loop {
        let (slot, words): (&mut Option<String>, &[&str]) = if cursor.is(&["FIELDS"]) {
            (&mut format.fields_terminated_by, &["FIELDS", "TERMINATED", "BY"])
        } else if cursor.is(&["ESCAPED"]) {
            (&mut format.escaped_by, &["ESCAPED", "BY"])
        } else if cursor.is(&["COLLECTION"]) {
            (&mut format.collection_items_terminated_by, &["COLLECTION", "ITEMS", "TERMINATED", "BY"])
        } else if cursor.is(&["MAP"]) {
            (&mut format.map_keys_terminated_by, &["MAP", "KEYS", "TERMINATED", "BY"])
        } else if cursor.is(&["LINES"]) {
            (&mut format.lines_terminated_by, &["LINES", "TERMINATED", "BY"])
        } else if cursor.is(&["NULL"]) {
            (&mut format.null_defined_as, &["NULL", "DEFINED", "AS"])
        } else {
            return Ok(format);
        };
        cursor.expect(words)?;
        let text = unescape(&cursor.text("a text")?);
        once(slot, text, &words.join(" "))?;
    }
}

/// Hive's escapes: `\001` (octal), `\u0001`, `\t`, `\n`, `\r`, `\b`, `\0`, `\\`, `\'`, `\"`.
///
/// Any other backslash stays, so that `'\N'` and `'\\N'` are the same text, which is what people mean.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(idx) = rest.find('\\') {
        out.push_str(&rest[..idx]);
        let after = &rest[idx + 1..];
        let (c, n_read) = escape(after);
        out.push(c);
        rest = &after[n_read..];
    }
    out.push_str(rest);
    out
}

/// The character that an escape means, and how much of the text after the backslash it takes.
fn escape(after: &str) -> (char, usize) {
    let octal = after.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    if let Some(c) = u32::from_str_radix(&after[..octal], 8).ok().and_then(char::from_u32) {
        return (c, octal);
    }
    if let Some(digits) = after.strip_prefix('u').and_then(|hex| hex.get(..4))
        && let Some(c) = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)
    {
        return (c, 5);
    }
    match after.chars().next() {
        Some('t') => ('\t', 1),
        Some('n') => ('\n', 1),
        Some('r') => ('\r', 1),
        Some('b') => ('\u{8}', 1),
        Some(c @ ('\\' | '\'' | '"')) => (c, 1),
        _ => ('\\', 0),
    }
}
