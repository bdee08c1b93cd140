//! Finds records and fields in delimited text. It knows no types and does no reading.
//!
//! The delimiter has one or more bytes; quotes, escapes and comments are optional. Lines end in `\n` or `\r\n`.

use super::super::format::TextOptions;

/// A piece of the input, or of [`Record::scratch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FieldSpan {
    /// As written, without quotes.
    raw: Span,
    /// Where it was quoted or escaped within: the text meant, in `scratch`.
    meant: Option<Span>,
}

/// The fields of one record; used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Record {
    fields: Vec<FieldSpan>,
    scratch: Vec<u8>,
}

impl Record {
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// The text of a field, quotes and escapes resolved. `input` is what the record was split from.
    pub(crate) fn field<'a>(&'a self, input: &'a [u8], field_idx: usize) -> &'a [u8] {
        let field = self.fields[field_idx];
        match field.meant {
            Some(span) => &self.scratch[span.start..span.end],
            None => &input[field.raw.start..field.raw.end],
        }
    }

    /// The field as written: what is compared with the text for NULL (`\N` is not an escaped `N`).
    pub(crate) fn raw<'a>(&self, input: &'a [u8], field_idx: usize) -> &'a [u8] {
        let span = self.fields[field_idx].raw;
        &input[span.start..span.end]
    }
}

/// What a call found at the start of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record of so many bytes with its line end.
    Record { bytes: usize },
    /// A comment or an empty line.
    Skipped { bytes: usize },
    /// The record is not complete: call again with more input.
    More,
    /// No input is left.
    End,
    /// The record is broken.
    Broken(&'static str),
}

#[derive(Debug, Clone)]
pub(crate) struct Splitter {
    delimiter: Vec<u8>,
    quote: Option<u8>,
    escape: Option<u8>,
    comment: Option<u8>,
    empty_line_is_record: bool,
}

/// How an attempt at one field ended.
enum FieldEnd {
    /// At a delimiter; the next field begins here.
    Delimiter(usize),
    /// At a line end; the next record begins here.
    Line(usize),
    More,
    Broken(&'static str),
}

impl Splitter {
    pub(crate) fn new(options: &TextOptions) -> Self {
        Self {
            delimiter: options.delimiter.as_bytes().to_vec(),
            quote: options.quote,
            escape: options.escape,
            comment: options.comment,
            empty_line_is_record: options.ragged,
        }
    }

    /// Takes the record that begins at the start of `input`. `at_end`: nothing comes after `input`.
    pub(crate) fn next(&self, input: &[u8], at_end: bool, record: &mut Record) -> Step {
        record.fields.clear();
        record.scratch.clear();
        let Some(first) = input.first() else {
            return if at_end { Step::End } else { Step::More };
        };
        if self.comment == Some(*first) {
            return match input.iter().position(|byte| *byte == b'\n') {
                Some(at) => Step::Skipped { bytes: at + 1 },
                None if at_end => Step::Skipped { bytes: input.len() },
                None => Step::More,
            };
        }
        if !self.empty_line_is_record {
            match input {
                [b'\n', ..] => return Step::Skipped { bytes: 1 },
                [b'\r', b'\n', ..] => return Step::Skipped { bytes: 2 },
                [b'\r'] if at_end => return Step::Skipped { bytes: 1 },
                [b'\r'] => return Step::More,
                _ => {}
            }
        }
        let mut at = 0;
        loop {
            let end = if self.quote.is_some() && input.get(at).copied() == self.quote {
                self.quoted(input, at, at_end, record)
            } else {
                self.plain(input, at, at_end, record)
            };
            match end {
                FieldEnd::Delimiter(next) => at = next,
                FieldEnd::Line(next) => return Step::Record { bytes: next },
                FieldEnd::More => return Step::More,
                FieldEnd::Broken(why) => return Step::Broken(why),
            }
        }
    }

    /// A field without quotes that begins at `start`.
    fn plain(&self, input: &[u8], start: usize, at_end: bool, record: &mut Record) -> FieldEnd {
        let first = self.delimiter[0];
        // No escape: a byte that never matches below because the delimiter and line ends come first.
        let escape = self.escape.unwrap_or(b'\n');
        let scratch_start = record.scratch.len();
        let mut copied_to = start;
        let mut escaped = false;
        let mut at = start;
        let (raw_end, end) = loop {
            let Some(byte) = input.get(at).copied() else {
                if !at_end {
                    return FieldEnd::More;
                }
                break (without_return(input, start, at), FieldEnd::Line(at));
            };
            if byte == first && self.is_delimiter(input, at) {
                break (at, FieldEnd::Delimiter(at + self.delimiter.len()));
            }
            if byte == b'\n' {
                break (without_return(input, start, at), FieldEnd::Line(at + 1));
            }
            if byte == escape {
                if at + 1 >= input.len() && !at_end {
                    return FieldEnd::More;
                }
                record.scratch.extend_from_slice(&input[copied_to..at]);
                escaped = true;
                // The escaped byte itself is copied with what follows it. An escape at the very end means nothing.
                copied_to = (at + 1).min(input.len());
                at += 2;
                at = at.min(input.len());
                continue;
            }
            at += 1;
        };
        let meant = escaped.then(|| {
            record.scratch.extend_from_slice(&input[copied_to..raw_end.max(copied_to)]);
            Span { start: scratch_start, end: record.scratch.len() }
        });
        record.fields.push(FieldSpan { raw: Span { start, end: raw_end }, meant });
        end
    }

    /// A field whose first byte, at `start`, is the quote.
    fn quoted(&self, input: &[u8], start: usize, at_end: bool, record: &mut Record) -> FieldEnd {
        let quote = self.quote.unwrap_or_default();
        let scratch_start = record.scratch.len();
        let mut copied_to = start + 1;
        let mut changed = false;
        let mut at = start + 1;
        loop {
            let Some(byte) = input.get(at).copied() else {
                return if at_end { FieldEnd::Broken("a quoted field does not end") } else { FieldEnd::More };
            };
            if Some(byte) == self.escape {
                record.scratch.extend_from_slice(&input[copied_to..at]);
                changed = true;
                copied_to = at + 1;
                at += 2;
                if at > input.len() {
                    return if at_end { FieldEnd::Broken("a quoted field does not end") } else { FieldEnd::More };
                }
                continue;
            }
            if byte != quote {
                at += 1;
                continue;
            }
            match input.get(at + 1).copied() {
                None if !at_end => return FieldEnd::More,
                Some(next) if next == quote => {
                    record.scratch.extend_from_slice(&input[copied_to..=at]);
                    changed = true;
                    copied_to = at + 2;
                    at += 2;
                }
                _ => break,
            }
        }
        let meant = changed.then(|| {
            record.scratch.extend_from_slice(&input[copied_to..at]);
            Span { start: scratch_start, end: record.scratch.len() }
        });
        record.fields.push(FieldSpan { raw: Span { start: start + 1, end: at }, meant });
        self.after_quote(input, at + 1, at_end)
    }

    fn after_quote(&self, input: &[u8], at: usize, at_end: bool) -> FieldEnd {
        match &input[at..] {
            [] if at_end => FieldEnd::Line(at),
            [b'\n', ..] => FieldEnd::Line(at + 1),
            [b'\r', b'\n', ..] => FieldEnd::Line(at + 2),
            [b'\r'] if at_end => FieldEnd::Line(at + 1),
            rest if rest.starts_with(&self.delimiter) => FieldEnd::Delimiter(at + self.delimiter.len()),
            // Too short to tell: the delimiter or the line end may continue in the next piece.
            rest if !at_end && rest.len() < self.delimiter.len().max(2) => FieldEnd::More,
            _ => FieldEnd::Broken("a quoted field is followed by more text"),
        }
    }

    fn is_delimiter(&self, input: &[u8], at: usize) -> bool {
        self.delimiter.len() == 1 || input[at..].starts_with(&self.delimiter)
    }
}

/// The end of a field at a line end: the `\r` of `\r\n` is not part of it.
fn without_return(input: &[u8], start: usize, end: usize) -> usize {
    if end > start && input[end - 1] == b'\r' { end - 1 } else { end }
}
