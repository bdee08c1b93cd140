//! How a syntax error reads: one line, where, what stands there, what was expected. Never a password.

use super::lexeme::Lexeme;
use crate::error::{Code, Error, nearest};
use sqlparser::keywords::Keyword;
use sqlparser::parser::ParserError;
use sqlparser::tokenizer::{Location, Token, TokenizerError};

/// What the messages of one statement need to know about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub sql: &'a str,
    /// The statement may hold a password or a key: literals and names are not repeated.
    pub sensitive: bool,
    /// Parameters of the whole statement.
    pub n_parameters: usize,
    /// Where the statement ends, for "unexpected end".
    pub end: Location,
}

/// Words that make a statement sensitive, wherever they stand.
const SENSITIVE: &[&str] = &["password", "passwd", "pasword", "pwd", "identified by", "secret", "credential", "access_key"];

impl<'a> Source<'a> {
    /// A statement of `sql` with these tokens.
    pub fn new(sql: &'a str, lexemes: &[Lexeme]) -> Self {
        let end = lexemes.last().map_or(Location::new(1, 1), |last| last.span.end);
        let start = lexemes.first().map_or(0, |first| first.start);
        let stop = lexemes.last().map_or(0, |last| last.end);
        let text = sql.get(start..stop).unwrap_or_default().to_ascii_lowercase();
        // `CREATE USER u PASWORD '..'` as well, however the rest is misspelt; but not every query with a `user_id`.
        let about_users = lexemes.iter().take(6).any(|lexeme| lexeme.is_one_of(&["USER", "ROLE", "CONNECTION"]));
        let sensitive = about_users || SENSITIVE.iter().any(|word| text.contains(word));
        Self { sql, sensitive, n_parameters: 0, end }
    }

    /// "unexpected x, expected y" at a token, or at the end of the statement.
    pub fn unexpected(&self, found: Option<&Lexeme>, expected: &str) -> Error {
        let Some(found) = found else {
            return at(self.end, &format!("unexpected end of statement, expected {expected}"));
        };
        let shown = self.show(found);
        at(found.span.start, &format!("unexpected {shown}, expected {expected}"))
    }

    /// A token as the user wrote it, shortened; a string or name of a sensitive statement is not repeated.
    pub fn show(&self, lexeme: &Lexeme) -> String {
        const SHOWN_CHARS_MAX: usize = 40;
        let secret = match &lexeme.token {
            Token::Word(word) => word.quote_style.is_some() || word.keyword == Keyword::NoKeyword,
            Token::Number(..) => true,
            token => super::lexeme::is_text(token),
        };
        if self.sensitive && secret {
            return "text".into();
        }
        let text = self.sql.get(lexeme.start..lexeme.end).unwrap_or_default();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.chars().count() > SHOWN_CHARS_MAX {
            let head: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            return format!("\"{head}..\"");
        }
        format!("\"{text}\"")
    }

    /// An error of `sqlparser` in our words.
    pub fn translate(&self, error: &ParserError, lexemes: &[Lexeme]) -> Error {
        let message = match error {
            ParserError::RecursionLimitExceeded => return super::limits::too_deep(),
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        };
        let (text, location) = split_location(message);
        let found = location.and_then(|location| lexemes.iter().find(|lexeme| lexeme.span.start == location));
        let expected = text.strip_prefix("Expected: ").map(|rest| rest.rsplit_once(", found:").map_or(rest, |(expected, _)| expected));
        let error = match expected {
            Some(expected) => self.unexpected(found, &lower_first(expected.trim())),
            None if self.sensitive => at(location.unwrap_or(self.end), "the statement is not well formed"),
            None => at(location.unwrap_or(self.end), &lower_first(text.trim().trim_end_matches('.'))),
        };
        match found.and_then(|found| self.misspelt_clause(found, lexemes)) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// "did you mean" for a clause word at, or just before, the place of the error.
    fn misspelt_clause(&self, found: &Lexeme, lexemes: &[Lexeme]) -> Option<String> {
        const CLAUSES: &[&str] =
            &["FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "OFFSET", "JOIN", "UNION", "VALUES", "SELECT", "QUALIFY"];
        let idx = lexemes.iter().position(|lexeme| lexeme.start == found.start)?;
        [Some(idx), idx.checked_sub(1)].into_iter().flatten().filter_map(|idx| lexemes[idx].word()).find_map(|word| {
            if self.sensitive || CLAUSES.iter().any(|clause| clause.eq_ignore_ascii_case(word)) {
                return None;
            }
            nearest(word, CLAUSES.iter().copied()).map(|clause| format!("Did you mean {clause}?"))
        })
    }
}

/// A text that has no tokens from some place on: an open string, comment or quoted name.
pub(super) fn not_tokens(error: &TokenizerError) -> Error {
    at(error.location, &lower_first(error.message.trim().trim_end_matches('.')))
}

/// A syntax error with its place.
pub(super) fn at(location: Location, problem: &str) -> Error {
    Error::new(Code::Syntax, format!("syntax error at line {}, column {}: {problem}", location.line, location.column))
}

/// Cuts ` at Line: 1, Column: 8` off a message of `sqlparser`.
fn split_location(message: &str) -> (&str, Option<Location>) {
    let Some((text, place)) = message.rsplit_once(" at Line: ") else {
        return (message, None);
    };
    let mut numbers = place.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse::<u64>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(line), Some(column)) if line > 0 => (text, Some(Location::new(line, column))),
        _ => (text, None),
    }
}

/// Messages begin with a small letter, unless the first word is a keyword.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => first.to_lowercase().chain(chars).collect(),
        _ => text.into(),
    }
}
