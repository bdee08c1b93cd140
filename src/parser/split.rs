//! A script to its statements' texts, by the same tokens that the parser reads.

use super::lexeme::lex;
use sqlparser::tokenizer::Token;

/// Splits a script into its statements' texts, respecting strings, quoted names, comments and dollar
/// quotes. The second value is what remains unfinished at the end (empty when the script is complete).
///
/// Pieces that hold nothing but blanks and comments are left out.
pub fn split(sql: &str) -> (Vec<String>, String) {
    let (lexemes, error) = lex(sql);
    let mut statements = Vec::new();
    let mut start = 0;
    let mut has_tokens = false;
    for lexeme in &lexemes {
        if lexeme.token == Token::SemiColon {
            if has_tokens {
                statements.push(sql[start..lexeme.start].trim().to_owned());
            }
            start = lexeme.end;
            has_tokens = false;
        } else {
            has_tokens = true;
        }
    }
    let rest = sql[start..].trim_start();
    match error {
        // Nothing but comments.
        None if !has_tokens => (statements, String::new()),
        None => (statements, rest.to_owned()),
        Some(error) if is_open(&error.message) => (statements, rest.to_owned()),
        // What can never become a token is handed over whole, so that the parser says what is wrong with it.
        Some(_) => match rest.rsplit_once(';') {
            Some((refused, after)) => {
                statements.push(refused.trim().to_owned());
                (statements, after.trim_start().to_owned())
            }
            None => (statements, rest.to_owned()),
        },
    }
}

/// Whether more text can close what is open: a string, a comment, a quoted name.
fn is_open(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("untermin") || message.contains("eof") || message.contains("end of")
}
