//! Text to tokens, once: each token keeps its place in the text, comments and blanks are left out.

use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError};

/// A token and where it stands: line and column for messages, bytes to cut texts out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lexeme {
    pub token: Token,
    pub span: Span,
    pub start: usize,
    pub end: usize,
}

impl Lexeme {
    /// The same place with another token; rewriting keeps every token's origin this way.
    pub fn with(&self, token: Token) -> Self {
        Self { token, span: self.span, start: self.start, end: self.end }
    }

    /// The same place with an unquoted word.
    pub fn with_word(&self, word: &str) -> Self {
        self.with(Token::make_word(word, None))
    }

    /// The text of an unquoted word.
    pub fn word(&self) -> Option<&str> {
        match &self.token {
            Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
            _ => None,
        }
    }

    /// Whether this is that unquoted word, in any case.
    pub fn is_word(&self, expected: &str) -> bool {
        self.word().is_some_and(|word| word.eq_ignore_ascii_case(expected))
    }

    /// Whether this is one of these unquoted words, in any case.
    pub fn is_one_of(&self, expected: &[&str]) -> bool {
        self.word().is_some_and(|word| expected.iter().any(|candidate| word.eq_ignore_ascii_case(candidate)))
    }

    /// Whether an expression can end here, so that what follows is an operator or a subscript.
    pub fn ends_expression(&self) -> bool {
        match &self.token {
            Token::Word(word) => word.quote_style.is_some() || !CLAUSE_WORDS.contains(&word.keyword),
            Token::Number(..) | Token::Placeholder(_) | Token::RParen | Token::RBracket | Token::RBrace => true,
            token => is_text(token),
        }
    }

    /// As `sqlparser` takes it.
    pub fn to_token(&self) -> TokenWithSpan {
        TokenWithSpan::new(self.token.clone(), self.span)
    }
}

/// Words after which a new expression or name begins.
const CLAUSE_WORDS: &[Keyword] = &[
    Keyword::ALL,
    Keyword::AND,
    Keyword::AS,
    Keyword::BETWEEN,
    Keyword::BY,
    Keyword::CASE,
    Keyword::CROSS,
    Keyword::DISTINCT,
    Keyword::ELSE,
    Keyword::EXCEPT,
    Keyword::FROM,
    Keyword::HAVING,
    Keyword::ILIKE,
    Keyword::IN,
    Keyword::INTERSECT,
    Keyword::INTERVAL,
    Keyword::INTO,
    Keyword::IS,
    Keyword::JOIN,
    Keyword::LIKE,
    Keyword::LIMIT,
    Keyword::NOT,
    Keyword::OFFSET,
    Keyword::ON,
    Keyword::OR,
    Keyword::ORDER,
    Keyword::QUALIFY,
    Keyword::SELECT,
    Keyword::SET,
    Keyword::TABLE,
    Keyword::THEN,
    Keyword::UNION,
    Keyword::VALUES,
    Keyword::WHEN,
    Keyword::WHERE,
    Keyword::WITH,
];

/// Whether a token is a string of some kind.
pub(super) fn is_text(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::TripleSingleQuotedString(_)
            | Token::TripleDoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::DoubleQuotedByteStringLiteral(_)
            | Token::TripleSingleQuotedByteStringLiteral(_)
            | Token::TripleDoubleQuotedByteStringLiteral(_)
            | Token::SingleQuotedRawStringLiteral(_)
            | Token::DoubleQuotedRawStringLiteral(_)
            | Token::TripleSingleQuotedRawStringLiteral(_)
            | Token::TripleDoubleQuotedRawStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::QuoteDelimitedStringLiteral(_)
            | Token::NationalQuoteDelimitedStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
    )
}

/// The tokens up to the end or to the first place that is no token.
pub(super) fn lex(sql: &str) -> (Vec<Lexeme>, Option<TokenizerError>) {
    let mut tokens = Vec::new();
    let error = Tokenizer::new(&GenericDialect, sql).tokenize_with_location_into_buf(&mut tokens).err();
    let mut cursor = ByteCursor { chars: sql.char_indices(), line: 1, column: 1, offset: 0 };
    let lexemes = tokens
        .into_iter()
        .filter_map(|TokenWithSpan { token, span }| {
            let start = cursor.advance_to(span.start);
            let end = cursor.advance_to(span.end);
            (!matches!(token, Token::Whitespace(_) | Token::EOF)).then_some(Lexeme { token, span, start, end })
        })
        .collect();
    (lexemes, error)
}

/// Walks text and locations together, so that finding all byte offsets takes one pass.
struct ByteCursor<'a> {
    chars: std::str::CharIndices<'a>,
    line: u64,
    column: u64,
    offset: usize,
}

impl ByteCursor<'_> {
    /// The byte offset of a location at or after the last one.
    fn advance_to(&mut self, location: Location) -> usize {
        while (self.line, self.column) < (location.line, location.column) {
            match self.chars.next() {
                Some((_, '\n')) => {
                    self.line += 1;
                    self.column = 1;
                }
                Some(_) => self.column += 1,
                None => break,
            }
            self.offset = self.chars.offset();
        }
        self.offset
    }
}

/// The index of the bracket that closes the one at `open`.
pub(super) fn closing(lexemes: &[Lexeme], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (idx, lexeme) in lexemes.iter().enumerate().skip(open) {
        match lexeme.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(idx);
                }
            }
            _ => {}
        }
    }
    None
}

/// The parts between commas that stand outside brackets.
pub(super) fn arguments(lexemes: &[Lexeme]) -> Vec<&[Lexeme]> {
    let mut depth = 0_usize;
    lexemes
        .split(|lexeme| {
            match lexeme.token {
                Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && lexeme.token == Token::Comma
        })
        .collect()
}
