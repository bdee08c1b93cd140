//! Spellings of other systems, rewritten on tokens: strings, comments and quoted names are never touched.
//!
//! | written | becomes |
//! | --- | --- |
//! | `?`, `?3` | `$1`, `$3` |
//! | `{fn f(x)}`, `{d '..'}`, `{t '..'}`, `{ts '..'}`, `{oj ..}`, `{escape '..'}` | the plain form |
//! | `CONVERT(x, SQL_INTEGER)`, `CONVERT(INT, x)`, `TRY_CONVERT` | `CAST(x AS INTEGER)`, `TRY_CAST` |
//! | `TIMESTAMPADD(SQL_TSI_MONTH, n, ts)`, `DATE_DIFF(month, a, b)` | the unit as a string |
//! | `[Order Details]` where a name can stand | a quoted name |
//! | `SELECT TOP n` | `SELECT TOP (n)`, see `normalise` |

use super::lexeme::{Lexeme, arguments, closing};
use super::syntax::Source;
use super::{limits, types};
use crate::error::{Code, Error, Result};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, Word};

/// Rewrites one statement; returns its tokens and the number of its parameters.
pub(super) fn rewrite(source: Source<'_>, lexemes: &[Lexeme]) -> Result<(Vec<Lexeme>, usize)> {
    let mut rewriter = Rewriter {
        source,
        out: Vec::with_capacity(lexemes.len()),
        n_marks: 0,
        n_numbered: 0,
        name_follows: false,
        option_brackets: Vec::new(),
    };
    rewriter.run(lexemes)?;
    Ok((rewriter.out, rewriter.n_marks.max(rewriter.n_numbered)))
}

/// Functions whose first argument is a unit, by how many arguments they have then, and the name they get.
const UNIT_FUNCTIONS: &[(&str, &str)] = &[
    ("TIMESTAMPADD", "timestampadd"),
    ("DATEADD", "timestampadd"),
    ("DATE_ADD", "timestampadd"),
    ("TIMESTAMPDIFF", "timestampdiff"),
    ("DATEDIFF", "date_diff"),
    ("DATE_DIFF", "date_diff"),
];

const UNITS: &[&str] = &["nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year"];

struct Rewriter<'a> {
    source: Source<'a>,
    out: Vec<Lexeme>,
    /// Parameters written `?`.
    n_marks: usize,
    /// The largest parameter written with its number.
    n_numbered: usize,
    /// `SELECT TOP 5` has just been read: a value is behind us, but a name can follow.
    name_follows: bool,
    /// For each open bracket, whether it holds options, where `[a]` is a list.
    option_brackets: Vec<bool>,
}

impl<'a> Rewriter<'a> {
    fn run(&mut self, lexemes: &[Lexeme]) -> Result<()> {
        let mut idx = 0;
        while idx < lexemes.len() {
            idx += self.step(&lexemes[idx..])?;
        }
        Ok(())
    }

    /// Rewrites what stands at the start; returns how many tokens were read.
    fn step(&mut self, lexemes: &[Lexeme]) -> Result<usize> {
        let name_follows = std::mem::take(&mut self.name_follows);
        let first = &lexemes[0];
        match &first.token {
            Token::Placeholder(mark) => {
                let token = Token::Placeholder(format!("${}", self.parameter(mark)?));
                self.out.push(first.with(token));
                return Ok(1);
            }
            Token::LBrace => {
                if let Some(n_read) = self.escape(lexemes)? {
                    return Ok(n_read);
                }
            }
            Token::LBracket if name_follows || !self.out.last().is_some_and(Lexeme::ends_expression) => {
                if let Some(n_read) = self.bracketed_name(lexemes) {
                    return Ok(n_read);
                }
            }
            Token::Word(word) if word.quote_style.is_none() => {
                let n_read = self.word(lexemes)?;
                if n_read > 0 {
                    return Ok(n_read);
                }
            }
            _ => {}
        }
        match first.token {
            Token::LParen => {
                let holds_options = self.out.last().is_some_and(|opener| {
                    opener.is_one_of(&[
                        "OPTIONS",
                        "WITH",
                        "TBLPROPERTIES",
                        "SERDEPROPERTIES",
                        "DBPROPERTIES",
                        "STRUCT",
                        "HPARAM_CANDIDATES",
                    ])
                });
                self.option_brackets.push(holds_options || self.option_brackets.last() == Some(&true));
            }
            Token::RParen => {
                self.option_brackets.pop();
            }
            _ => {}
        }
        self.out.push(first.clone());
        Ok(1)
    }

    fn word(&mut self, lexemes: &[Lexeme]) -> Result<usize> {
        let first = &lexemes[0];
        let called = lexemes.get(1).is_some_and(|next| next.token == Token::LParen);
        if called && first.is_one_of(&["CONVERT", "TRY_CONVERT"]) {
            return self.convert(lexemes);
        }
        if called && let Some((_, name)) = UNIT_FUNCTIONS.iter().find(|(name, _)| first.is_word(name)) {
            return Ok(self.unit_function(lexemes, name));
        }
        if first.is_word("TOP") && self.after_select() {
            return self.top(lexemes);
        }
        Ok(0)
    }

    /// The number of a parameter: `?` counts, `$n` and `?n` say it.
    fn parameter(&mut self, mark: &str) -> Result<usize> {
        let digits = &mark[1..];
        let number = if digits.is_empty() {
            self.n_marks += 1;
            self.n_marks
        } else {
            let number = digits.parse::<usize>().ok().filter(|number| *number > 0).ok_or_else(|| {
                Error::new(Code::Syntax, format!("parameter \"{mark}\" has no number")).hint("Write parameters as ? or as $1, $2 ..")
            })?;
            self.n_numbered = self.n_numbered.max(number);
            number
        };
        if number > limits::PARAMETERS_MAX {
            let error = Error::new(Code::LimitExceeded, format!("parameter ${number} is too large"));
            return Err(error.detail(format!("A statement can have {} parameters.", limits::PARAMETERS_MAX)));
        }
        if self.n_marks > 0 && self.n_numbered > 0 {
            return Err(Error::new(Code::Syntax, "the statement mixes ? and numbered parameters").hint("Use one of the two forms."));
        }
        Ok(number)
    }

    /// ODBC's `{fn ..}` and its family; `None` for a struct literal.
    fn escape(&mut self, lexemes: &[Lexeme]) -> Result<Option<usize>> {
        let (Some(kind), Some(after)) = (lexemes.get(1), lexemes.get(2)) else { return Ok(None) };
        let Some(close) = closing(lexemes, 0) else { return Ok(None) };
        let inner = &lexemes[2..close.max(2)];
        let literal = matches!(inner, [Lexeme { token: Token::SingleQuotedString(_), .. }]);
        match kind.word().map(str::to_ascii_uppercase).as_deref() {
            Some(word @ ("D" | "T" | "TS")) if literal => {
                let keyword = match word {
                    "D" => "DATE",
                    "T" => "TIME",
                    _ => "TIMESTAMP",
                };
                self.out.push(kind.with_word(keyword));
                self.out.extend_from_slice(inner);
            }
            Some("GUID") if literal => self.out.extend_from_slice(inner),
            Some("ESCAPE") if literal => {
                self.out.push(kind.clone());
                self.out.extend_from_slice(inner);
            }
            Some("FN" | "OJ") if after.token != Token::Colon => self.run(inner)?,
            Some("CALL") if after.token != Token::Colon => return Err(super::cursor::Cursor::not_supported("{call ..}")),
            _ => return Ok(None),
        }
        // The text of a query that ends here must keep its brace.
        if let Some(last) = self.out.last_mut() {
            last.end = lexemes[close].end;
        }
        Ok(Some(close + 1))
    }

    /// `[x]` as a name: words and numbers only, where no subscript can stand.
    fn bracketed_name(&mut self, lexemes: &[Lexeme]) -> Option<usize> {
        if self.option_brackets.last() == Some(&true) {
            return None;
        }
        let close = closing(lexemes, 0)?;
        let inner = &lexemes[1..close];
        let words = inner.iter().all(|lexeme| lexeme.word().is_some() || matches!(lexeme.token, Token::Number(..)));
        let constant = |lexeme: &Lexeme| lexeme.is_one_of(&["NULL", "TRUE", "FALSE", "CASE", "SELECT"]);
        if !words || !inner.first().is_some_and(|first| first.word().is_some() && !constant(first)) {
            return None;
        }
        let value = self.source.sql.get(lexemes[0].end..lexemes[close].start)?.to_owned();
        let token = Token::Word(Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword });
        self.out.push(Lexeme { end: lexemes[close].end, ..lexemes[0].with(token) });
        Some(close + 1)
    }

    /// `CONVERT(x, type)` and `CONVERT(type, x)` become `CAST(x AS type)`; MySQL's `CONVERT(x USING cs)` becomes `(x)`.
    fn convert(&mut self, lexemes: &[Lexeme]) -> Result<usize> {
        let Some(close) = closing(lexemes, 1) else { return Ok(0) };
        let inner = &lexemes[2..close];
        if let [value @ .., using, _] = inner
            && using.is_word("USING")
        {
            self.out.push(lexemes[1].clone());
            self.run(value)?;
            self.out.push(lexemes[close].clone());
            return Ok(close + 1);
        }
        let (value, type_name) = match arguments(inner).as_slice() {
            [value, type_name] if is_type(type_name) => (*value, *type_name),
            [type_name, value] if is_type(type_name) => (*value, *type_name),
            [type_name, _, _] if is_type(type_name) => return Err(super::cursor::Cursor::not_supported("a style in CONVERT")),
            _ => {
                return Err(Error::new(Code::InvalidStatement, "CONVERT needs a value and a type").hint("Write CAST(value AS type)."));
            }
        };
        let as_place = type_name.first().unwrap_or(&lexemes[0]);
        self.out.push(lexemes[0].with_word(if lexemes[0].is_word("CONVERT") { "CAST" } else { "TRY_CAST" }));
        self.out.push(lexemes[1].clone());
        self.run(value)?;
        self.out.push(as_place.with_word("AS"));
        self.out.extend(type_name.iter().map(plain_type));
        self.out.push(lexemes[close].clone());
        Ok(close + 1)
    }

    /// Makes the bare unit in the first of three arguments a string, and gives the function our name.
    fn unit_function(&mut self, lexemes: &[Lexeme], name: &str) -> usize {
        let (Some(unit), Some(comma)) = (lexemes.get(2), lexemes.get(3)) else { return 0 };
        let Some(unit_name) = unit.word().and_then(unit_name) else { return 0 };
        let Some(close) = closing(lexemes, 1) else { return 0 };
        if comma.token != Token::Comma || arguments(&lexemes[2..close]).len() != 3 {
            return 0;
        }
        self.out.push(lexemes[0].with_word(name));
        self.out.push(lexemes[1].clone());
        self.option_brackets.push(false);
        self.out.push(unit.with(Token::SingleQuotedString(unit_name.into())));
        3
    }

    /// Whether SELECT, with or without DISTINCT, has just been read.
    fn after_select(&self) -> bool {
        match self.out.as_slice() {
            [.., select, last] if last.is_one_of(&["DISTINCT", "ALL"]) => select.is_word("SELECT"),
            [.., last] => last.is_word("SELECT"),
            [] => false,
        }
    }

    /// `TOP 5` gets brackets; a column named `top` gets quotes.
    fn top(&mut self, lexemes: &[Lexeme]) -> Result<usize> {
        let top = &lexemes[0];
        match lexemes.get(1).map(|next| &next.token) {
            Some(Token::Number(..) | Token::Placeholder(_)) => {
                let quantity = &lexemes[1];
                self.out.push(top.clone());
                self.out.push(quantity.with(Token::LParen));
                self.run(&lexemes[1..2])?;
                self.out.push(quantity.with(Token::RParen));
                self.name_follows = true;
                Ok(2)
            }
            Some(Token::LParen) => {
                let Some(close) = closing(lexemes, 1) else { return Ok(0) };
                self.out.push(top.clone());
                self.run(&lexemes[1..=close])?;
                self.name_follows = true;
                Ok(close + 1)
            }
            _ => {
                let value = top.word().unwrap_or_default().to_owned();
                self.out.push(top.with(Token::Word(Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword })));
                Ok(1)
            }
        }
    }
}

/// Whether an argument is a type: its name, perhaps with digits in brackets.
fn is_type(lexemes: &[Lexeme]) -> bool {
    let named = lexemes.first().and_then(Lexeme::word).is_some_and(types::is_type_word);
    named && (lexemes.len() == 1 || lexemes[1].token == Token::LParen && closing(lexemes, 1) == Some(lexemes.len() - 1))
}

/// Types that the query parser would take for something else.
fn plain_type(lexeme: &Lexeme) -> Lexeme {
    match lexeme.word().map(str::to_ascii_uppercase).as_deref() {
        Some("BIT") => lexeme.with_word("BOOLEAN"),
        Some("SIGNED") => lexeme.with_word("BIGINT"),
        Some("NCHAR" | "NVARCHAR") => lexeme.with_word("VARCHAR"),
        Some("DATETIME") => lexeme.with_word("TIMESTAMP"),
        _ => lexeme.clone(),
    }
}

/// `SQL_TSI_MONTH`, `MONTH`, `months` -> `month`.
fn unit_name(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let word = word.strip_prefix("sql_tsi_").unwrap_or(&word);
    if word == "frac_second" {
        return Some("nanosecond");
    }
    UNITS.iter().copied().find(|unit| word == *unit || word.strip_suffix('s') == Some(unit))
}
