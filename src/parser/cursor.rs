//! A reading position in the tokens of one statement, with the small productions that all families share.

use super::ast::{ObjectName, QueryStatement};
use super::lexeme::{Lexeme, closing};
use super::syntax::Source;
use super::{query, types};
use crate::error::{Code, Error, Result};
use sqlparser::ast::{DataType, Expr};
use sqlparser::tokenizer::Token;

/// Reads one statement, or a bracketed part of one.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    pub source: Source<'a>,
    pub lexemes: &'a [Lexeme],
    pub position: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(source: Source<'a>, lexemes: &'a [Lexeme]) -> Self {
        Self { source, lexemes, position: 0 }
    }

    /// The token `ahead` of the next one.
    pub fn peek_at(&self, ahead: usize) -> Option<&'a Lexeme> {
        self.lexemes.get(self.position + ahead)
    }

    /// The next lexeme, which stays.
    pub fn peek(&self) -> Option<&'a Lexeme> {
        self.peek_at(0)
    }

    /// True when nothing is left.
    pub fn at_end(&self) -> bool {
        self.peek().is_none()
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [Lexeme] {
        &self.lexemes[self.position.min(self.lexemes.len())..]
    }

    /// The next unquoted word in upper case.
    pub fn peek_word(&self) -> Option<String> {
        self.peek()?.word().map(str::to_ascii_uppercase)
    }

    /// Whether these words come next.
    pub fn is(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(ahead, word)| self.peek_at(ahead).is_some_and(|lexeme| lexeme.is_word(word)))
    }

    /// True when the next lexeme is this token.
    pub fn is_token(&self, token: &Token) -> bool {
        self.peek().is_some_and(|lexeme| lexeme.token == *token)
    }

    /// Reads these words, all or none.
    pub fn accept(&mut self, words: &[&str]) -> bool {
        let found = self.is(words);
        if found {
            self.position += words.len();
        }
        found
    }

    /// Reads one of these words.
    pub fn accept_one_of(&mut self, words: &[&str]) -> bool {
        let found = self.peek().is_some_and(|lexeme| lexeme.is_one_of(words));
        self.position += usize::from(found);
        found
    }

    /// Takes the next lexeme when it is this token.
    pub fn accept_token(&mut self, token: &Token) -> bool {
        let found = self.is_token(token);
        self.position += usize::from(found);
        found
    }

    /// Takes these words in order, or says what was expected.
    pub fn expect(&mut self, words: &[&str]) -> Result<()> {
        for word in words {
            if !self.accept(&[word]) {
                return Err(self.unexpected(&words.join(" ")));
            }
        }
        Ok(())
    }

    /// Takes this token, or says what was expected.
    pub fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.accept_token(token) { Ok(()) } else { Err(self.unexpected(&format!("\"{token}\""))) }
    }

    /// Refuses whatever is left.
    pub fn expect_end(&self) -> Result<()> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected("the end of the statement")) }
    }

    /// A syntax error at the next token.
    pub fn unexpected(&self, expected: &str) -> Error {
        self.source.unexpected(self.peek(), expected)
    }

    /// Takes IF EXISTS when it is there.
    pub fn if_exists(&mut self) -> bool {
        self.accept(&["IF", "EXISTS"])
    }

    /// Takes IF NOT EXISTS when it is there.
    pub fn if_not_exists(&mut self) -> bool {
        self.accept(&["IF", "NOT", "EXISTS"])
    }

    /// One identifier; keywords are names too.
    pub fn name(&mut self, what: &str) -> Result<String> {
        match self.peek().map(|lexeme| &lexeme.token) {
            Some(Token::Word(word)) if !word.value.is_empty() => {
                self.position += 1;
                Ok(word.value.clone())
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// A name of one to three parts.
    pub fn object_name(&mut self, what: &str) -> Result<ObjectName> {
        let start = self.position;
        let mut parts = vec![self.name(what)?];
        while self.accept_token(&Token::Period) {
            parts.push(self.name("a name")?);
        }
        if parts.len() > 3 {
            let error = Error::new(Code::InvalidStatement, format!("the name \"{}\" has too many parts", parts.join(".")));
            self.position = start;
            return Err(error.hint("Write catalog.database.name, database.name or name."));
        }
        Ok(ObjectName(parts))
    }

    /// `(a, b, c)`.
    pub fn names_in_brackets(&mut self, what: &str) -> Result<Vec<String>> {
        self.list(|cursor| cursor.name(what))
    }

    /// `(item, item ..)`, at least one.
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_token(&Token::LParen)?;
        let mut items = vec![item(self)?];
        while self.accept_token(&Token::Comma) {
            items.push(item(self)?);
        }
        if !self.accept_token(&Token::RParen) {
            return Err(self.unexpected("\",\" or \")\""));
        }
        Ok(items)
    }

    /// The content of the next token when it is a string; double quotes are strings where no name can stand, as in Hive.
    pub fn accept_text(&mut self) -> Option<String> {
        let text = match &self.peek()?.token {
            Token::SingleQuotedString(text)
            | Token::DoubleQuotedString(text)
            | Token::NationalStringLiteral(text)
            | Token::EscapedStringLiteral(text)
            | Token::UnicodeStringLiteral(text) => text.clone(),
            Token::DollarQuotedString(text) => text.value.clone(),
            Token::Word(word) if word.quote_style == Some('"') => word.value.clone(),
            _ => return None,
        };
        self.position += 1;
        Some(text)
    }

    /// Takes a text in single quotes; `what` names it in the error.
    pub fn text(&mut self, what: &str) -> Result<String> {
        self.accept_text().ok_or_else(|| self.unexpected(&format!("{what} in quotes")))
    }

    /// A string in single quotes only.
    pub fn accept_single_quoted(&mut self) -> Option<String> {
        match &self.peek()?.token {
            Token::SingleQuotedString(_) => self.accept_text(),
            _ => None,
        }
    }

    /// Reads a bracketed part: the returned cursor sees what stands between the brackets.
    pub fn bracketed(&mut self) -> Result<Self> {
        if !self.is_token(&Token::LParen) {
            return Err(self.unexpected("\"(\""));
        }
        let close = closing(self.lexemes, self.position).ok_or_else(|| self.source.unexpected(None, "\")\""))?;
        let mut source = self.source;
        source.end = self.lexemes[close].span.start;
        let inner = Self::new(source, &self.lexemes[self.position + 1..close]);
        self.position = close + 1;
        Ok(inner)
    }

    /// The text of these tokens as written.
    pub fn text_of(&self, lexemes: &[Lexeme]) -> String {
        text_of(self.source.sql, lexemes)
    }

    /// Everything that is left, as a query.
    pub fn query(&mut self) -> Result<QueryStatement> {
        let rest = self.rest();
        if rest.is_empty() {
            return Err(self.unexpected("a query"));
        }
        self.position = self.lexemes.len();
        query::parse(self.source, rest.to_vec(), self.text_of(rest))
    }

    /// A column type, and its text as written.
    pub fn data_type(&mut self) -> Result<(DataType, String)> {
        let extent = types::extent(self.rest());
        if extent == 0 {
            return Err(self.unexpected("a type"));
        }
        let (data_type, n_read) = types::parse(self.source, &self.rest()[..extent])?;
        let read = &self.rest()[..n_read];
        let text = types::text(&self.text_of(read), read);
        self.position += n_read;
        Ok((data_type, text))
    }

    /// An expression that ends at a comma or at the end of what this cursor sees.
    pub fn expression(&mut self) -> Result<Expr> {
        let extent = super::lexeme::arguments(self.rest()).first().map_or(0, |first| first.len());
        let lexemes = &self.rest()[..extent];
        if lexemes.is_empty() {
            return Err(self.unexpected("an expression"));
        }
        let expression = query::parse_expression(self.source, lexemes)?;
        self.position += extent;
        Ok(expression)
    }

    /// "x is not supported yet".
    pub fn not_supported(what: &str) -> Error {
        Error::new(Code::NotSupported, format!("{what} is not supported yet"))
    }
}

/// The text of these tokens as written.
pub(super) fn text_of(sql: &str, lexemes: &[Lexeme]) -> String {
    match (lexemes.first(), lexemes.last()) {
        (Some(first), Some(last)) => sql.get(first.start..last.end).unwrap_or_default().trim().to_owned(),
        _ => String::new(),
    }
}

/// Remembers a clause; giving it twice is an error.
pub(super) fn once<T>(slot: &mut Option<T>, value: T, clause: &str) -> Result<()> {
    if slot.is_some() {
        return Err(given_twice(clause));
    }
    *slot = Some(value);
    Ok(())
}

pub(super) fn given_twice(clause: &str) -> Error {
    Error::new(Code::Syntax, format!("clause {clause} is given twice"))
}
