//! File formats and their options: every spelling of Hive, Spark and plain SQL, checked once.

use crate::error::{Code, Error, Result};
use crate::tables::options::OptionBag;
use std::str::FromStr;

/// The file format with its options, parsed and checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    Parquet(ParquetOptions),
    /// CSV and TEXTFILE: the same reader with other defaults.
    Text(TextOptions),
    /// One JSON object a line.
    Json(JsonOptions),
}

/// How Parquet files are written.
#[derive(Debug, Clone, PartialEq)]
pub struct ParquetOptions {
    /// `parquet.compression` / `compression`: as `parquet::basic::Compression` reads it (`zstd(1)`, `snappy`).
    pub compression: String,
}

/// How lines of text are taken apart and written.
#[derive(Debug, Clone, PartialEq)]
pub struct TextOptions {
    pub header: bool,
    /// Lines to pass over before anything else (`skip.header.line.count` of TEXTFILE).
    pub skip_lines: usize,
    /// One or more characters.
    pub delimiter: String,
    pub quote: Option<u8>,
    pub escape: Option<u8>,
    /// The text that stands for NULL: empty for CSV, `\N` for TEXTFILE.
    pub null_text: String,
    pub comment: Option<u8>,
    /// As chrono reads it (`%d/%m/%Y %H:%M`); Java patterns are translated.
    pub timestamp_format: Option<String>,
    /// `on_bad_field`: true = the field becomes NULL and is counted.
    pub bad_field_is_null: bool,
    /// TEXTFILE, as Hive reads it: missing last fields are NULL, extra ones are ignored, an empty line is a row.
    pub ragged: bool,
    pub compression: Compression,
}

/// How lines of JSON are read and written.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonOptions {
    /// `json.timestamp-format`.
    pub timestamp_format: JsonTimestamp,
    pub bad_field_is_null: bool,
    pub compression: Compression,
}

/// How JSON spells a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonTimestamp {
    Iso8601,
    EpochMs,
    EpochS,
}

/// How text files are written; reading goes by the ending of each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
    Bzip2,
}

const PARQUET_COMPRESSION: &[&str] = &["parquet.compression", "compression"];
const TEXT_COMPRESSION: &[&str] = &["compression", "codec"];
const HEADER: &[&str] = &["header", "has_header"];
const SKIP_LINES: &[&str] = &["skip.header.line.count"];
const DELIMITER: &[&str] = &["delimiter", "sep", "field.delim", "separatorChar", "serialization.format"];
const QUOTE: &[&str] = &["quote", "quoteChar"];
const ESCAPE: &[&str] = &["escape", "escape.delim", "escapeChar"];
const NULL_TEXT: &[&str] = &["null_value", "nullValue", "serialization.null.format", "null_string"];
const COMMENT: &[&str] = &["comment"];
const TIMESTAMP_FORMAT: &[&str] = &["timestamp_format", "timestampFormat", "timestamp.formats"];
const ON_BAD_FIELD: &[&str] = &["on_bad_field"];
const ENCODING: &[&str] = &["encoding", "charset", "serialization.encoding"];
const LINE_END: &[&str] = &["line.delim", "lineSep"];
const JSON_TIMESTAMP: &[&str] = &["json.timestamp-format", "json.timestamp_format"];

/// The keys of TBLPROPERTIES that act; all others are kept for SHOW CREATE TABLE and nothing else.
///
/// `comment` is absent: in TBLPROPERTIES it is the table's comment, only in OPTIONS the comment character.
pub const PROPERTY_KEYS: &[&str] = &[
    "parquet.compression",
    "compression",
    "codec",
    "header",
    "has_header",
    "skip.header.line.count",
    "delimiter",
    "sep",
    "field.delim",
    "separatorChar",
    "serialization.format",
    "quote",
    "quoteChar",
    "escape",
    "escape.delim",
    "escapeChar",
    "null_value",
    "nullValue",
    "null_string",
    "serialization.null.format",
    "timestamp_format",
    "timestampFormat",
    "timestamp.formats",
    "on_bad_field",
    "encoding",
    "charset",
    "serialization.encoding",
    "line.delim",
    "lineSep",
    "json.timestamp-format",
    "json.timestamp_format",
];

/// The formats that STORED AS names.
pub const FORMATS: &[&str] = &["PARQUET", "CSV", "TEXTFILE", "JSON"];

impl Format {
    /// Reads STORED AS and the options of a table; `table_owner_text` names it in messages (`table "t"`).
    ///
    /// Keys may carry DataFusion's prefix `format.`. What no option takes is an error.
    pub fn parse(stored_as: &str, table_owner_text: &str, options: Vec<(String, String)>) -> Result<Self> {
        let options = options.into_iter().map(|(key, value)| match key.get(..7) {
            Some(prefix) if prefix.eq_ignore_ascii_case("format.") => (key[7..].to_string(), value),
            _ => (key, value),
        });
        let bag = OptionBag::new(table_owner_text, options.collect());
        match stored_as.to_uppercase().as_str() {
            "PARQUET" => parquet(bag, table_owner_text).map(Self::Parquet),
            "CSV" => text(bag, table_owner_text, TextOptions::csv()).map(Self::Text),
            "TEXTFILE" => text(bag, table_owner_text, TextOptions::textfile()).map(Self::Text),
            "JSON" | "JSONFILE" | "NDJSON" | "JSONL" => json(bag).map(Self::Json),
            other => Err(Error::unknown(
                Code::NotSupported,
                format!("{table_owner_text}: format \"{other}\" is not supported"),
                other,
                FORMATS.iter().copied(),
            )
            .detail(format!("The formats are {}.", FORMATS.join(", ")))),
        }
    }

    /// For EXPLAIN and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Parquet(_) => "parquet",
            Self::Text(options) if options.ragged => "textfile",
            Self::Text(_) => "csv",
            Self::Json(_) => "json",
        }
    }
}

impl TextOptions {
    /// The defaults of STORED AS CSV.
    pub fn csv() -> Self {
        Self {
            header: true,
            skip_lines: 0,
            delimiter: ",".into(),
            quote: Some(b'"'),
            escape: None,
            null_text: String::new(),
            comment: None,
            timestamp_format: None,
            bad_field_is_null: false,
            ragged: false,
            compression: Compression::None,
        }
    }

    /// The defaults of STORED AS TEXTFILE.
    pub fn textfile() -> Self {
        Self { header: false, delimiter: "\u{1}".into(), quote: None, null_text: "\\N".into(), ragged: true, ..Self::csv() }
    }
}

fn parquet(mut bag: OptionBag, owner: &str) -> Result<ParquetOptions> {
    let compression = match bag.take(PARQUET_COMPRESSION) {
        None => "zstd(1)".to_string(),
        Some(text) => {
            let lower = text.trim().to_lowercase();
            let spelled = match lower.as_str() {
                "none" | "" => "uncompressed".to_string(),
                "zstd" => "zstd(1)".to_string(),
                "gzip" => "gzip(6)".to_string(),
                "brotli" => "brotli(1)".to_string(),
                "lz4" => "lz4_raw".to_string(),
                _ => lower,
            };
            parquet::basic::Compression::from_str(&spelled)
                .ok()
                .filter(|compression| !matches!(compression, parquet::basic::Compression::LZO))
                .ok_or_else(|| {
                    Error::new(Code::InvalidParameter, format!("{owner}: option \"compression\" is \"{text}\""))
                        .hint("Use one of: zstd, zstd(1..22), snappy, gzip, lz4, none.")
                })?;
            spelled
        }
    };
    bag.finish()?;
    Ok(ParquetOptions { compression })
}

fn text(mut bag: OptionBag, owner: &str, defaults: TextOptions) -> Result<TextOptions> {
    let mut options = defaults;
    let header = bag.flag(HEADER)?;
    let skip_lines = bag.number::<usize>(SKIP_LINES)?;
    match (header, skip_lines, options.ragged) {
        // Hive's spelling for "there is a header": with CSV its names are used too.
        (None, Some(lines), false) => {
            options.header = lines > 0;
            options.skip_lines = lines.saturating_sub(1);
        }
        (header, lines, _) => {
            options.header = header.unwrap_or(options.header);
            options.skip_lines = lines.unwrap_or(0);
        }
    }
    if let Some(text) = bag.take(DELIMITER) {
        options.delimiter = unescape(&text);
    }
    if let Some(quote) = one_byte(&mut bag, owner, QUOTE)? {
        options.quote = quote;
    }
    if let Some(escape) = one_byte(&mut bag, owner, ESCAPE)? {
        options.escape = escape;
    }
    if let Some(comment) = one_byte(&mut bag, owner, COMMENT)? {
        options.comment = comment;
    }
    // A quote that escapes itself is the doubled quote, which is always understood.
    if options.escape == options.quote {
        options.escape = None;
    }
    if let Some(text) = bag.take(NULL_TEXT) {
        options.null_text = text;
    }
    if let Some(pattern) = bag.take(TIMESTAMP_FORMAT) {
        options.timestamp_format = timestamp_format(&pattern, owner)?;
    }
    options.bad_field_is_null = bad_field(&mut bag)?;
    options.compression = text_compression(&mut bag)?;
    bag.one_of(ENCODING, &[("utf-8", ()), ("utf8", ())])?;
    if let Some(text) = bag.take(LINE_END)
        && unescape(&text) != "\n"
    {
        return Err(Error::new(Code::NotSupported, format!("{owner}: lines end in something else than a line feed")));
    }
    bag.finish()?;
    check_text(&options, owner)?;
    Ok(options)
}

fn check_text(options: &TextOptions, owner: &str) -> Result<()> {
    let delimiter = options.delimiter.as_bytes();
    let wrong = |what: &str| Err(Error::new(Code::InvalidParameter, format!("{owner}: {what}")));
    if delimiter.is_empty() {
        return wrong("the delimiter is empty");
    }
    if delimiter.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return wrong("the delimiter contains a line end");
    }
    for (name, byte) in [("quote", options.quote), ("escape", options.escape), ("comment", options.comment)] {
        let Some(byte) = byte else { continue };
        if delimiter.contains(&byte) {
            return wrong(&format!("{name} \"{}\" is also in the delimiter", byte as char));
        }
        if matches!(byte, b'\n' | b'\r') {
            return wrong(&format!("{name} is a line end"));
        }
    }
    if options.comment.is_some() && (options.comment == options.quote || options.comment == options.escape) {
        return wrong("comment is also the quote or the escape");
    }
    Ok(())
}

fn json(mut bag: OptionBag) -> Result<JsonOptions> {
    let formats = [
        ("iso8601", JsonTimestamp::Iso8601),
        ("iso-8601", JsonTimestamp::Iso8601),
        ("epoch_ms", JsonTimestamp::EpochMs),
        ("epoch_s", JsonTimestamp::EpochS),
    ];
    let options = JsonOptions {
        timestamp_format: bag.one_of(JSON_TIMESTAMP, &formats)?.unwrap_or(JsonTimestamp::Iso8601),
        bad_field_is_null: bad_field(&mut bag)?,
        compression: text_compression(&mut bag)?,
    };
    bag.finish()?;
    Ok(options)
}

fn bad_field(bag: &mut OptionBag) -> Result<bool> {
    Ok(bag.one_of(ON_BAD_FIELD, &[("null", true), ("error", false)])?.unwrap_or(false))
}

fn text_compression(bag: &mut OptionBag) -> Result<Compression> {
    let choices = [
        ("none", Compression::None),
        ("uncompressed", Compression::None),
        ("gzip", Compression::Gzip),
        ("gz", Compression::Gzip),
        ("zstd", Compression::Zstd),
        ("bzip2", Compression::Bzip2),
        ("bz2", Compression::Bzip2),
    ];
    Ok(bag.one_of(TEXT_COMPRESSION, &choices)?.unwrap_or(Compression::None))
}

/// `Some(None)`: written, and empty: none.
fn one_byte(bag: &mut OptionBag, owner: &str, spellings: &[&'static str]) -> Result<Option<Option<u8>>> {
    let Some(text) = bag.take(spellings) else { return Ok(None) };
    let unescaped = unescape(&text);
    match unescaped.as_bytes() {
        [] => Ok(Some(None)),
        // Written as `\0` in Spark and Hive: no such character.
        [0] => Ok(Some(None)),
        [byte] if byte.is_ascii() => Ok(Some(Some(*byte))),
        _ => {
            Err(Error::new(Code::InvalidParameter, format!("{owner}: option \"{}\" is \"{text}\", not one ASCII character", spellings[0])))
        }
    }
}

/// `\t`, `\001`, `\x01`, `\u0001` as people write them in options; anything else stays.
fn unescape(text: &str) -> String {
    let Some(rest) = text.strip_prefix('\\') else { return text.to_string() };
    let code = match rest {
        "" | "\\" => return "\\".to_string(),
        "t" => Some(9),
        "n" => Some(10),
        "r" => Some(13),
        _ if rest.starts_with(['x', 'u']) => u32::from_str_radix(&rest[1..], 16).ok(),
        _ if rest.len() <= 3 => u32::from_str_radix(rest, 8).ok(),
        _ => None,
    };
    code.and_then(char::from_u32).map_or_else(|| text.to_string(), String::from)
}

/// A chrono pattern as it is, a Java pattern (`dd/MM/yyyy HH:mm:ss.SSS`) translated.
fn timestamp_format(pattern: &str, owner: &str) -> Result<Option<String>> {
    let wrong = |what: String| Error::new(Code::InvalidParameter, format!("{owner}: option \"timestamp_format\" is \"{pattern}\": {what}"));
    if pattern.is_empty() {
        return Ok(None);
    }
    let chrono_pattern = if pattern.contains('%') { pattern.to_string() } else { java_to_chrono(pattern).map_err(wrong)? };
    if chrono::format::StrftimeItems::new(&chrono_pattern).any(|item| matches!(item, chrono::format::Item::Error)) {
        return Err(wrong("not a pattern".into()).hint("Write it as 'dd/MM/yyyy HH:mm:ss' or as '%d/%m/%Y %H:%M:%S'."));
    }
    Ok(Some(chrono_pattern))
}

fn java_to_chrono(pattern: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\'' {
            for quoted in letters.by_ref() {
                if quoted == '\'' {
                    break;
                }
                out.push(quoted);
            }
            continue;
        }
        if !letter.is_ascii_alphabetic() {
            out.push(letter);
            continue;
        }
        let mut count = 1;
        while letters.next_if_eq(&letter).is_some() {
            count += 1;
        }
        let item = match (letter, count) {
            ('y' | 'u', 1 | 4) => "%Y",
            ('y' | 'u', 2) => "%y",
            ('M', 1 | 2) => "%m",
            ('M', 3) => "%b",
            ('M', 4) => "%B",
            ('d', 1 | 2) => "%d",
            ('H', 1 | 2) => "%H",
            ('h', 1 | 2) => "%I",
            ('m', 1 | 2) => "%M",
            ('s', 1 | 2) => "%S",
            ('a', 1) => "%p",
            ('E', 1..=3) => "%a",
            ('E', 4) => "%A",
            ('X' | 'Z' | 'x', _) => "%#z",
            // chrono's `%.f` takes the point with it.
            ('S', 1..=9) if out.ends_with('.') => {
                out.pop();
                "%.f"
            }
            _ => return Err(format!("\"{}\" is not understood", letter.to_string().repeat(count))),
        };
        out.push_str(item);
    }
    Ok(out)
}
