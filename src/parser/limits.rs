//! Refuses texts that would overflow a stack or take for ever, by counting tokens before anything recurses.

use super::lexeme::Lexeme;
use crate::error::{Code, Error, Result};
use sqlparser::tokenizer::Token;

/// Longest text of one call.
pub(super) const SQL_BYTES_MAX: usize = 1 << 20;
/// Operators that can end up nested in one another: a flat chain becomes a tree of that height.
pub(super) const OPERATORS_MAX: usize = 500;
/// Operators that need as much stack as one level of brackets.
const OPERATORS_PER_LEVEL: usize = 10;
/// Operators of all expressions of a statement together.
pub(super) const OPERATORS_TOTAL_MAX: usize = 10_000;
/// Arms of UNION, EXCEPT and INTERSECT.
pub(super) const SET_ARMS_MAX: usize = 200;
/// Brackets and CASE inside one another.
pub(super) const DEPTH_MAX: usize = 100;
/// Tables, subqueries and functions in FROM, over the whole statement.
pub(super) const RELATIONS_MAX: usize = 250;
/// Largest `$n`.
pub(super) const PARAMETERS_MAX: usize = 65_535;

/// Words that combine expressions.
const OPERATOR_WORDS: &[&str] = &[
    "AND", "OR", "XOR", "NOT", "LIKE", "ILIKE", "RLIKE", "REGEXP", "SIMILAR", "IN", "IS", "BETWEEN", "COLLATE", "AT", "DIV", "OVERLAPS",
    "INTERVAL", "ISNULL", "NOTNULL",
];
/// Words that end an expression: what follows is not nested into it.
const BOUNDARY_WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "ON",
    "VALUES",
    "WHEN",
    "THEN",
    "ELSE",
    "SET",
    "JOIN",
    "WINDOW",
    "QUALIFY",
];

/// Refuses a text that is too long, before it is even tokenised.
pub(super) fn check_length(sql: &str) -> Result<()> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(Error::new(Code::LimitExceeded, "the SQL text is too long")
            .detail(format!("It has {} bytes, the limit is {SQL_BYTES_MAX}.", sql.len()))
            .hint("Load rows from a file or by bulk ingest, and run long scripts statement by statement."));
    }
    Ok(())
}

/// The error for brackets, subqueries or operators nested too deeply.
pub(super) fn too_deep() -> Error {
    Error::new(Code::LimitExceeded, "the statement is nested too deeply")
        .detail(format!("The limit is {DEPTH_MAX} levels of brackets, subqueries and CASE."))
        .hint("Split the query with WITH or views.")
}

/// The error for a mistake inside so many nested expressions that it cannot be found.
pub(super) fn too_tangled() -> Error {
    Error::new(Code::LimitExceeded, "the statement is too tangled to parse")
        .detail("There is a mistake inside nested CASE, CAST or similar expressions, and looking for it took too long.")
        .hint("Check that each CASE has its END and each bracket its partner, or split the query with WITH.")
}

/// The error for too many tables in FROM.
pub(super) fn too_many_relations() -> Error {
    Error::new(Code::LimitExceeded, "the statement reads too many tables")
        .detail(format!("The limit is {RELATIONS_MAX} tables and subqueries in one statement."))
        .hint("Store a part of the query as a table.")
}

fn too_many_operators(limit: usize, what: &str) -> Error {
    Error::new(Code::LimitExceeded, format!("the statement has too many operators {what}"))
        .detail(format!("The limit is {limit}."))
        .hint("Use IN (..) for long lists of alternatives, or join with a table of values.")
}

#[derive(Clone, Copy, PartialEq)]
enum Opened {
    Bracket,
    Case,
    /// `ARRAY<`, `MAP<`, `STRUCT<`.
    Angle,
}

/// Open brackets with the operators counted in each.
struct Levels {
    open: Vec<(Opened, usize)>,
    /// Operators on the way from the root to here.
    chain: usize,
    total: usize,
}

impl Levels {
    fn push(&mut self, opened: Opened) -> Result<()> {
        self.open.push((opened, 0));
        if self.open.len() > DEPTH_MAX + 1 { Err(too_deep()) } else { Ok(()) }
    }

    /// Closes the nearest level of that kind, with what was left open inside it.
    fn pop(&mut self, closed: Opened) {
        if self.open.iter().skip(1).any(|(opened, _)| *opened == closed) {
            while self.open.len() > 1 {
                let Some((opened, n_operators)) = self.open.pop() else { return };
                self.chain -= n_operators;
                if opened == closed {
                    return;
                }
            }
        }
    }

    fn operator(&mut self, binary: bool) -> Result<()> {
        if let Some((_, n_operators)) = self.open.last_mut() {
            *n_operators += 1;
        }
        self.chain += 1;
        self.total += usize::from(binary);
        if self.chain > OPERATORS_MAX {
            return Err(too_many_operators(OPERATORS_MAX, "in one expression"));
        }
        if self.total > OPERATORS_TOTAL_MAX {
            return Err(too_many_operators(OPERATORS_TOTAL_MAX, "altogether"));
        }
        Ok(())
    }

    fn boundary(&mut self) {
        if let Some((_, n_operators)) = self.open.last_mut() {
            self.chain -= *n_operators;
            *n_operators = 0;
        }
    }
}

/// Refuses a statement that is nested too deeply or chains too many operators or set operations.
///
/// Returns how many levels deep it is; a chain of prefix operators counts as a few.
pub(super) fn check_statement(lexemes: &[Lexeme]) -> Result<usize> {
    let mut levels = Levels { open: vec![(Opened::Bracket, 0)], chain: 0, total: 0 };
    let mut deepest = 0_usize;
    let mut n_arms = 1_usize;
    for (idx, lexeme) in lexemes.iter().enumerate() {
        let previous = idx.checked_sub(1).map(|idx| &lexemes[idx]);
        let after_value = previous.is_some_and(Lexeme::ends_expression);
        match &lexeme.token {
            Token::LBracket if after_value => {
                levels.operator(true)?;
                levels.push(Opened::Bracket)?;
            }
            Token::LParen | Token::LBracket | Token::LBrace => levels.push(Opened::Bracket)?,
            Token::RParen | Token::RBracket | Token::RBrace => levels.pop(Opened::Bracket),
            Token::Lt if previous.is_some_and(|word| word.is_one_of(&["ARRAY", "MAP", "STRUCT"])) => levels.push(Opened::Angle)?,
            Token::Gt if matches!(levels.open.last(), Some((Opened::Angle, _))) => levels.pop(Opened::Angle),
            Token::ShiftRight if matches!(levels.open.last(), Some((Opened::Angle, _))) => {
                levels.pop(Opened::Angle);
                levels.pop(Opened::Angle);
            }
            Token::Comma | Token::SemiColon => levels.boundary(),
            Token::Word(word) if word.quote_style.is_none() => {
                if lexeme.is_word("CASE") {
                    levels.push(Opened::Case)?;
                } else if lexeme.is_word("END") {
                    levels.pop(Opened::Case);
                } else if lexeme.is_one_of(OPERATOR_WORDS) {
                    levels.operator(true)?;
                } else if lexeme.is_one_of(BOUNDARY_WORDS) {
                    levels.boundary();
                    if lexeme.is_one_of(&["UNION", "EXCEPT", "INTERSECT"]) {
                        n_arms += 1;
                    }
                }
            }
            // `t.c` is a name; only from the third part on it is field access.
            Token::Period => {
                if idx >= 2 && lexemes[idx - 2].token == Token::Period {
                    levels.operator(true)?;
                }
            }
            // `SELECT *`, `count(*)`.
            Token::Mul if !after_value => {}
            Token::Word(_) | Token::Number(..) | Token::Placeholder(_) | Token::Colon | Token::RArrow | Token::Assignment => {}
            token if super::lexeme::is_text(token) => {}
            _ => levels.operator(after_value)?,
        }
        deepest = deepest.max(levels.open.len() - 1 + levels.chain / OPERATORS_PER_LEVEL);
    }
    if n_arms > SET_ARMS_MAX {
        return Err(Error::new(Code::LimitExceeded, "the statement has too many UNION arms")
            .detail(format!("It has {n_arms}, the limit is {SET_ARMS_MAX}."))
            .hint("Use VALUES for literal rows, or one directory for many files."));
    }
    Ok(deepest)
}
