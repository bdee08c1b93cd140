//! Column types: Hive, Spark and SQL spellings.

use super::grammar::Grammar;
use super::lexeme::{Lexeme, lex};
use super::syntax::{self, Source};
use crate::error::Result;
use sqlparser::ast::{DataType, ExactNumberInfo, ObjectName, TimezoneInfo};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// How many tokens a type can take at most: up to a comma or closing bracket that is not its own.
pub(super) fn extent(lexemes: &[Lexeme]) -> usize {
    let mut depth = 0_usize;
    for (idx, lexeme) in lexemes.iter().enumerate() {
        match lexeme.token {
            Token::LParen | Token::LBracket | Token::Lt => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace if depth == 0 => return idx,
            Token::RParen | Token::RBracket | Token::Gt => depth = depth.saturating_sub(1),
            Token::ShiftRight => depth = depth.saturating_sub(2),
            Token::Comma | Token::SemiColon | Token::Eq if depth == 0 => return idx,
            _ => {}
        }
    }
    lexemes.len()
}

/// Reads a type at the start of these tokens; returns how many it took.
pub(super) fn parse(source: Source<'_>, lexemes: &[Lexeme]) -> Result<(DataType, usize)> {
    let tokens = lexemes.iter().map(Lexeme::to_token).collect();
    let grammar = Grammar::new(lexemes.len());
    let mut parser = Parser::new(&grammar).with_tokens_with_locations(tokens);
    let data_type = parser.parse_data_type().map_err(|error| source.translate(&error, lexemes))?;
    Ok((normalise(data_type), parser.index().min(lexemes.len())))
}

/// Reads a text that is a type and nothing else.
pub(super) fn parse_text(text: &str) -> Result<DataType> {
    super::limits::check_length(text)?;
    let (lexemes, error) = lex(text);
    if let Some(error) = error {
        return Err(syntax::not_tokens(&error));
    }
    let levels = super::limits::check_statement(&lexemes)?;
    let source = Source::new(text, &lexemes);
    let (data_type, n_read) = super::stack::with_room(levels, || parse(source, &lexemes))?;
    match lexemes.get(n_read) {
        Some(extra) => Err(source.unexpected(Some(extra), "the end of the type")),
        None => Ok(data_type),
    }
}

/// The type as written, on one line; comments inside it are dropped.
pub(super) fn text(written: &str, lexemes: &[Lexeme]) -> String {
    if written.contains("--") || written.contains("/*") {
        return lexemes.iter().map(|lexeme| lexeme.token.to_string()).collect::<Vec<_>>().join(" ");
    }
    written.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Names of other systems for types that we have: Spark's LONG, ODBC's SQL_INTEGER, Oracle's NUMBER.
pub(super) fn normalise(data_type: DataType) -> DataType {
    let DataType::Custom(name, modifiers) = &data_type else {
        return data_type;
    };
    custom(name, modifiers).unwrap_or(data_type)
}

fn custom(name: &ObjectName, modifiers: &[String]) -> Option<DataType> {
    let [part] = name.0.as_slice() else { return None };
    let ident = part.as_ident()?;
    if ident.quote_style.is_some() {
        return None;
    }
    let size = |idx: usize| modifiers.get(idx).and_then(|digits| digits.trim().parse::<u64>().ok());
    Some(match ident.value.to_ascii_uppercase().as_str() {
        // Without digits NUMBER holds any number, fractions too.
        "NUMBER" => match (size(0), size(1)) {
            (Some(precision), Some(scale)) => DataType::Decimal(ExactNumberInfo::PrecisionAndScale(precision, scale.try_into().ok()?)),
            (Some(precision), None) => DataType::Decimal(ExactNumberInfo::PrecisionAndScale(precision, 0)),
            (None, _) => DataType::Double(ExactNumberInfo::None),
        },
        "LONG" | "SQL_BIGINT" => DataType::BigInt(None),
        "SQL_INTEGER" => DataType::Integer(None),
        "SHORT" | "SQL_SMALLINT" => DataType::SmallInt(None),
        "BYTE" | "SQL_TINYINT" => DataType::TinyInt(None),
        "SQL_BIT" => DataType::Boolean,
        "SQL_DOUBLE" | "SQL_FLOAT" => DataType::Double(ExactNumberInfo::None),
        "SQL_REAL" => DataType::Real,
        "SQL_DECIMAL" | "SQL_NUMERIC" => DataType::Decimal(ExactNumberInfo::None),
        "SQL_CHAR" | "SQL_VARCHAR" | "SQL_LONGVARCHAR" | "SQL_WCHAR" | "SQL_WVARCHAR" | "SQL_WLONGVARCHAR" | "SQL_GUID" => {
            DataType::Varchar(None)
        }
        "SQL_BINARY" | "SQL_VARBINARY" | "SQL_LONGVARBINARY" => DataType::Bytea,
        "SQL_DATE" | "SQL_TYPE_DATE" => DataType::Date,
        "SQL_TIME" | "SQL_TYPE_TIME" => DataType::Time(None, TimezoneInfo::None),
        "SQL_TIMESTAMP" | "SQL_TYPE_TIMESTAMP" | "DATETIME2" | "SMALLDATETIME" => DataType::Timestamp(None, TimezoneInfo::None),
        _ => return None,
    })
}

/// Whether a bare word in `CONVERT(x, word)` or `CONVERT(word, x)` is meant as a type.
pub(super) fn is_type_word(word: &str) -> bool {
    const TYPES: &[&str] = &[
        "BIGINT",
        "BINARY",
        "BIT",
        "BOOL",
        "BOOLEAN",
        "CHAR",
        "DATE",
        "DATETIME",
        "DATETIME2",
        "DEC",
        "DECIMAL",
        "DOUBLE",
        "FLOAT",
        "INT",
        "INTEGER",
        "NCHAR",
        "NUMBER",
        "NUMERIC",
        "NVARCHAR",
        "REAL",
        "SIGNED",
        "SMALLINT",
        "STRING",
        "TEXT",
        "TIME",
        "TIMESTAMP",
        "TINYINT",
        "UNSIGNED",
        "VARBINARY",
        "VARCHAR",
    ];
    let word = word.to_ascii_uppercase();
    word.starts_with("SQL_") || TYPES.contains(&word.as_str())
}
