//! Queries: ML calls out, tokens to `sqlparser`, its tree cleaned for the planner.

use super::ast::QueryStatement;
use super::grammar::Grammar;
use super::lexeme::Lexeme;
use super::syntax::Source;
use super::{limits, ml, normalise};
use crate::error::Result;
use sqlparser::ast::{Expr, Query, SetExpr};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// Calls of its own recursion that `sqlparser` may nest; brackets are limited before, see `limits`.
const RECURSION_MAX: usize = 400;

/// Words that can begin a query.
pub(super) const QUERY_WORDS: &[&str] = &["SELECT", "WITH", "VALUES", "TABLE", "FROM"];

/// Whether a query begins here.
pub(super) fn begins(lexemes: &[Lexeme]) -> bool {
    let first = lexemes.iter().find(|lexeme| lexeme.token != Token::LParen);
    first.is_some_and(|lexeme| lexeme.is_one_of(QUERY_WORDS))
}

/// Parses these tokens, all of them, as one query.
pub(super) fn parse(source: Source<'_>, lexemes: Vec<Lexeme>, text: String) -> Result<QueryStatement> {
    let (lexemes, ml_calls) = ml::extract(source, lexemes)?;
    let lexemes = spell_out_table(lexemes);
    normalise::check_tokens(source, &lexemes)?;
    let mut query = read(source, &lexemes, |parser| parser.parse_query())?;
    normalise::query(&mut query, ml_calls.len())?;
    Ok(QueryStatement { query, ml_calls, text, n_parameters: source.n_parameters })
}

/// Parses these tokens, all of them, as one expression.
pub(super) fn parse_expression(source: Source<'_>, lexemes: &[Lexeme]) -> Result<Expr> {
    let mut expression = read(source, lexemes, |parser| parser.parse_expr())?;
    normalise::expression(&mut expression)?;
    Ok(expression)
}

/// A query with a body and nothing else.
pub fn query_of(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// The query `SELECT * FROM <these tokens>`.
pub(super) fn select_all(source: Source<'_>, name: &[Lexeme]) -> Result<QueryStatement> {
    let Some(first) = name.first() else {
        return Err(source.unexpected(None, "a table name"));
    };
    let mut lexemes = all_columns_of(first);
    lexemes.extend_from_slice(name);
    parse(source, lexemes, format!("SELECT * FROM {}", super::cursor::text_of(source.sql, name)))
}

/// Runs a production of `sqlparser` over all of these tokens.
fn read<T>(source: Source<'_>, lexemes: &[Lexeme], production: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>) -> Result<T> {
    let grammar = Grammar::new(lexemes.len());
    let tokens = without_empty_brackets(lexemes).map(|lexeme| if lexeme.is_word("USER") { plain_word(lexeme) } else { lexeme.to_token() });
    let tokens = tokens.collect();
    let mut parser = Parser::new(&grammar).with_recursion_limit(RECURSION_MAX).with_tokens_with_locations(tokens);
    let parsed = production(&mut parser).and_then(|parsed| {
        let found = parser.peek_token();
        match found.token {
            Token::EOF => Ok(parsed),
            token => Err(ParserError::ParserError(format!("Expected: the end of the statement, found: {token}{}", found.span.start))),
        }
    });
    parsed.map_err(|error| if grammar.is_exhausted() { limits::too_tangled() } else { source.translate(&error, lexemes) })
}

/// A word that is no keyword. `user` is the name of a column in many tables of ratings; `sqlparser` takes it for the session's user, which is
/// what the standard says, but a table could not have such a column then. `current_user` says the same.
fn plain_word(lexeme: &Lexeme) -> TokenWithSpan {
    let value = lexeme.word().unwrap_or_default().to_owned();
    lexeme.with(Token::Word(Word { value, quote_style: None, keyword: Keyword::NoKeyword })).to_token()
}

/// `current_user()` is `current_user`: other systems write the brackets, and `sqlparser` knows these words without them only.
fn without_empty_brackets(lexemes: &[Lexeme]) -> impl Iterator<Item = &Lexeme> {
    const WORDS: &[&str] = &["CURRENT_USER", "CURRENT_CATALOG", "SESSION_USER"];
    let is_bracket = |idx: usize, bracket: &Token| lexemes.get(idx).is_some_and(|lexeme| lexeme.token == *bracket);
    let is_call =
        move |idx: usize| lexemes[idx].is_one_of(WORDS) && is_bracket(idx + 1, &Token::LParen) && is_bracket(idx + 2, &Token::RParen);
    let is_left_out = move |idx: usize| idx.checked_sub(1).is_some_and(is_call) || idx.checked_sub(2).is_some_and(is_call);
    lexemes.iter().enumerate().filter(move |(idx, _)| !is_left_out(*idx)).map(|(_, lexeme)| lexeme)
}

fn all_columns_of(place: &Lexeme) -> Vec<Lexeme> {
    vec![place.with_word("SELECT"), place.with(Token::Mul), place.with_word("FROM")]
}

/// `TABLE t` where a query stands becomes `SELECT * FROM t`; the planner does not know the short form.
fn spell_out_table(lexemes: Vec<Lexeme>) -> Vec<Lexeme> {
    if !lexemes.iter().any(|lexeme| lexeme.is_word("TABLE")) {
        return lexemes;
    }
    let mut out: Vec<Lexeme> = Vec::with_capacity(lexemes.len() + 2);
    for (idx, lexeme) in lexemes.iter().enumerate() {
        let named = lexemes.get(idx + 1).is_some_and(|next| matches!(next.token, Token::Word(_) | Token::SingleQuotedString(_)));
        if lexeme.is_word("TABLE") && named && query_position(&lexemes[..idx]) {
            out.extend(all_columns_of(lexeme));
        } else {
            out.push(lexeme.clone());
        }
    }
    out
}

/// Whether a query can begin after these tokens.
fn query_position(before: &[Lexeme]) -> bool {
    match before {
        [] => true,
        [.., set, last] if last.is_one_of(&["ALL", "DISTINCT"]) => set.is_one_of(SET_WORDS),
        // After `WITH x AS (..)` as well.
        [.., last] if last.is_one_of(SET_WORDS) || last.token == Token::RParen => true,
        [last] => last.token == Token::LParen,
        // A function's bracket is none: `tumble(TABLE t, ..)` is an argument.
        [.., opener, last] => {
            last.token == Token::LParen
                && (matches!(opener.token, Token::LParen | Token::Comma)
                    || opener.is_one_of(&["AS", "FROM", "JOIN", "IN", "EXISTS", "UNION", "ALL", "EXCEPT", "INTERSECT", "LATERAL"]))
        }
    }
}

const SET_WORDS: &[&str] = &["UNION", "EXCEPT", "INTERSECT"];
