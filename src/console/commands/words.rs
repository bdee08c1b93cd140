//! The words behind a backslash command.

use crate::console::variables::{Variables, reference};

/// The words up to the next backslash outside quotes, and the bytes they take. `'..'` holds blanks together
/// (`''` is a quote, `\n` and `\t` work) and is taken off, `".."` is kept: it says that a name is meant as written.
pub fn words(text: &str, variables: &Variables) -> (Vec<String>, usize) {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        match text[at..].chars().next() {
            None => return (words, text.len()),
            Some('\\') => return (words, at),
            Some(_) => {
                let (word, length) = word(&text[at..], variables);
                at += length;
                words.push(word);
            }
        }
    }
}

fn word(text: &str, variables: &Variables) -> (String, usize) {
    let mut word = String::new();
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        match next {
            '\\' => break,
            _ if next.is_whitespace() => break,
            '\'' => at += quoted(&text[at..], &mut word),
            '"' => {
                let end = text[at + 1..].find('"').map_or(text.len(), |end| at + 1 + end + 1);
                word.push_str(&text[at..end]);
                at = end;
            }
            ':' => match reference(&text[at..]).and_then(|found| Some((found.length, variables.expand(found)?))) {
                Some((length, value)) => {
                    word.push_str(&value);
                    at += length;
                }
                None => {
                    word.push(':');
                    at += 1;
                }
            },
            _ => {
                word.push(next);
                at += next.len_utf8();
            }
        }
    }
    (word, at)
}

/// Reads `'..'`; returns its length. Without a closing quote it goes to the end.
fn quoted(text: &str, word: &mut String) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if characters.next_if(|(_, next)| *next == '\'').is_some() => word.push('\''),
            '\'' => return at + 1,
            '\\' => match characters.next() {
                Some((_, 'n')) => word.push('\n'),
                Some((_, 't')) => word.push('\t'),
                Some((_, other)) => word.push(other),
                None => {}
            },
            other => word.push(other),
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str], rest: &str) {
        let mut variables = Variables::default();
        variables.set("v", "va lue");
        let (words, used) = words(text, &variables);
        assert_eq!((words.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), &text[used..]), (expected, rest), "{text}");
    }

    #[test]
    fn words_are_cut_as_in_psql() {
        check("", &[], "");
        check("  a  b\n", &["a", "b"], "");
        check(" 'it''s a\\tb' x", &["it's a\tb", "x"], "");
        check(" \"My Table\" t", &["\"My Table\"", "t"], "");
        check(" on \\g\n", &["on"], "\\g\n");
        check(" :v :w 'x", &["va lue", ":w", "x"], "");
        check(" a:v:", &["ava lue:"], "");
    }
}
