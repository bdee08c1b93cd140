//! What may stand where the cursor is, from the text before it.

use super::WORDS;
use crate::console::help::TOPICS;

/// What can be offered at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A backslash command.
    Command,
    /// The name of a statement, behind `\h`.
    Topic,
    /// A file of this machine.
    File,
    /// A table or a view.
    Relation,
    Model,
    Database,
    /// Of SET, RESET and SHOW.
    Setting,
    /// What stands behind a dot: columns of a relation, given as written, or relations of a database.
    Member {
        of: String,
    },
    /// The next word of a statement that begins as this one does.
    Statement(Vec<&'static str>),
    /// A word of SQL, a function, or a column of these relations.
    Word {
        relations: Vec<String>,
    },
    /// A name that does not exist yet, or the inside of a text.
    Nothing,
}

/// The word that is being typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where it begins in the line.
    pub start: usize,
    pub wanted: Wanted,
}

/// Functions whose first argument is the name of a model.
const MODEL_FUNCTIONS: &[&str] = &[
    "als_predict",
    "explain_recommendation",
    "ml_predict",
    "recommend",
    "recommend_from",
    "recommend_items",
    "similar_items",
    "similar_users",
];
/// Behind these stands a relation.
const BEFORE_RELATION: &[&str] =
    &["COPY", "DESCRIBE", "FORMATTED", "FROM", "INTO", "JOIN", "OPTIMIZE", "TABLE", "UPDATE", "VACUUM", "VIEW"];
/// Words that begin a part of a query: a comma belongs to the last one before it.
const CLAUSES: &[&str] = &["BY", "FROM", "HAVING", "ON", "SELECT", "SET", "USING", "VALUES", "WHERE"];

/// The place behind `line`; `statement` is what was typed of the statement before that line.
pub fn place(statement: &str, line: &str) -> Place {
    if statement.is_empty() && line.trim_start().starts_with('\\') {
        return command(line);
    }
    let Some(tokens) = tokens(statement, line) else {
        return Place { start: line.len(), wanted: Wanted::Nothing };
    };
    let start = line.len() - line.chars().rev().take_while(|letter| is_of_name(*letter)).map(char::len_utf8).sum::<usize>();
    let word = &line[start..];
    if let Token::OpenText { function } = tokens.last().unwrap_or(&Token::Other(' ')) {
        let wanted = if MODEL_FUNCTIONS.contains(&function.to_lowercase().as_str()) { Wanted::Model } else { Wanted::Nothing };
        return Place { start, wanted };
    }
    let before = if word.is_empty() { &tokens[..] } else { &tokens[..tokens.len().saturating_sub(1)] };
    Place { start, wanted: wanted(word, before) }
}

/// Behind a backslash.
fn command(line: &str) -> Place {
    let start = line.len() - line.trim_start().len();
    let Some((command, rest)) = line[start..].split_once(char::is_whitespace) else {
        return Place { start, wanted: Wanted::Command };
    };
    let words = line.len() - rest.trim_start().len();
    let last = line.len() - line.rsplit(char::is_whitespace).next().map_or(0, str::len);
    match command.trim_end_matches('+') {
        // The names of statements have several words.
        "\\h" => Place { start: words, wanted: Wanted::Topic },
        "\\d" | "\\dt" | "\\dv" => Place { start: last, wanted: Wanted::Relation },
        "\\dm" => Place { start: last, wanted: Wanted::Model },
        "\\c" | "\\l" => Place { start: last, wanted: Wanted::Database },
        "\\g" | "\\gx" | "\\i" | "\\o" => Place { start: last, wanted: Wanted::File },
        _ => Place { start: last, wanted: Wanted::Nothing },
    }
}

/// At a word of SQL.
fn wanted(word: &str, before: &[Token]) -> Wanted {
    let words: Vec<String> = before.iter().map_while(Token::word).map(str::to_uppercase).collect();
    let relations = relations(before);
    if let Some((of, _)) = word.rsplit_once('.') {
        let named = relations.iter().find(|(_, alias)| alias.eq_ignore_ascii_case(of));
        return Wanted::Member { of: named.map_or(of, |(relation, _)| relation).to_owned() };
    }
    if words.len() == before.len() {
        let next = next_words(&words);
        if !next.is_empty() {
            return Wanted::Statement(next);
        }
    }
    let previous = before.last().and_then(Token::word).unwrap_or_default().to_uppercase();
    let first = words.first().map_or("", String::as_str);
    // `DROP TABLE IF EXISTS t`, `CREATE TABLE IF NOT EXISTS t`: the kind of object decides.
    let kind = if previous == "EXISTS" {
        words.iter().take_while(|word| *word != "IF").last().map_or("", String::as_str)
    } else {
        previous.as_str()
    };
    let is_kind = ["TABLE", "VIEW", "MODEL", "DATABASE", "SECRET", "USER"].contains(&kind);
    if first == "CREATE" && is_kind && words.len() == before.len() {
        return Wanted::Nothing;
    }
    let in_from = matches!(before.last(), Some(Token::Other(','))) && clause(before) == "FROM";
    match kind {
        "MODEL" => Wanted::Model,
        "DATABASE" | "SCHEMA" | "USE" => Wanted::Database,
        "SET" | "RESET" | "SHOW" if words.len() == 1 => Wanted::Setting,
        _ if in_from || BEFORE_RELATION.contains(&kind) => Wanted::Relation,
        _ => Wanted::Word { relations: relations.into_iter().map(|(relation, _)| relation).collect() },
    }
}

/// The words that may follow these first words of a statement.
fn next_words(words: &[String]) -> Vec<&'static str> {
    let mut next: Vec<&str> = TOPICS
        .iter()
        .filter(|topic| !topic.name.contains('.'))
        .filter_map(|topic| {
            let mut of_topic = topic.name.split(' ');
            words.iter().all(|word| of_topic.next() == Some(word)).then(|| of_topic.next()).flatten()
        })
        .collect();
    if words.is_empty() {
        next.extend(["FROM", "WITH"]);
    }
    next.sort_unstable();
    next.dedup();
    next
}

/// The word that began the part of the query at the end of these tokens.
fn clause(tokens: &[Token]) -> String {
    let words = tokens.iter().rev().filter_map(Token::word).map(str::to_uppercase);
    words.into_iter().find(|word| CLAUSES.contains(&word.as_str())).unwrap_or_default()
}

/// The relations that these tokens name, each with its alias.
fn relations(tokens: &[Token]) -> Vec<(String, String)> {
    let (mut found, mut in_from) = (Vec::new(), false);
    for (idx, token) in tokens.iter().enumerate() {
        let begins = match token {
            Token::Word(word) => {
                let word = word.to_uppercase();
                if CLAUSES.contains(&word.as_str()) {
                    in_from = word == "FROM";
                }
                ["FROM", "INTO", "JOIN", "UPDATE"].contains(&word.as_str())
            }
            Token::Other(',') => in_from,
            _ => false,
        };
        let Some(relation) = tokens.get(idx + 1).and_then(Token::word).filter(|_| begins) else { continue };
        let is_keyword = |word: &str| word != "AS" && WORDS.contains(&word);
        let mut behind = tokens[idx + 2..].iter().map_while(Token::word).take_while(|word| !is_keyword(&word.to_uppercase()));
        let alias = match behind.next() {
            Some(word) if word.eq_ignore_ascii_case("AS") => behind.next(),
            other => other,
        };
        let own = relation.rsplit('.').next().unwrap_or(relation);
        found.push((relation.to_owned(), alias.unwrap_or(own).to_owned()));
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A name with its dots, or a keyword.
    Word(String),
    /// A text, closed.
    Text,
    /// A text that is still open, and the function whose first argument it is, or nothing.
    OpenText {
        function: String,
    },
    Other(char),
}

impl Token {
    fn word(&self) -> Option<&str> {
        if let Self::Word(word) = self { Some(word) } else { None }
    }
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '.' | '$' | '"')
}

/// The tokens of a statement so far; `None` inside a comment. The console's scanner knows all kinds of texts and decides
/// what is sent: here a dollar or a letter before a quote changes nothing.
fn tokens(statement: &str, line: &str) -> Option<Vec<Token>> {
    let text = if statement.is_empty() { line.to_owned() } else { format!("{statement}\n{line}") };
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '-' if letters.peek() == Some(&'-') => {
                letters.by_ref().find(|letter| *letter == '\n')?;
            }
            '/' if letters.peek() == Some(&'*') => {
                let mut last = ' ';
                letters.by_ref().find(|letter| std::mem::replace(&mut last, *letter) == '*' && *letter == '/')?;
            }
            '\'' => match letters.by_ref().find(|letter| *letter == '\'') {
                Some(_) => tokens.push(Token::Text),
                None => tokens.push(Token::OpenText { function: function(&tokens) }),
            },
            letter if is_of_name(letter) => {
                let mut word = String::from(letter);
                while let Some(letter) = letters.next_if(|letter| is_of_name(*letter)) {
                    word.push(letter);
                }
                tokens.push(Token::Word(word));
            }
            letter if letter.is_whitespace() => {}
            letter => tokens.push(Token::Other(letter)),
        }
    }
    Some(tokens)
}

/// The function whose first argument begins behind these tokens.
fn function(tokens: &[Token]) -> String {
    match tokens {
        [.., Token::Word(name), Token::Other('(')] => name.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(relations: &[&str]) -> Wanted {
        Wanted::Word { relations: relations.iter().map(|relation| (*relation).to_owned()).collect() }
    }

    fn member(of: &str) -> Wanted {
        Wanted::Member { of: of.to_owned() }
    }

    #[test]
    fn what_is_wanted_depends_on_the_words_before() {
        let cases = [
            ("SELECT * FROM ", Wanted::Relation),
            ("SELECT * FROM mo", Wanted::Relation),
            ("SELECT 1 FROM a, b", Wanted::Relation),
            ("SELECT a, b", word(&[])),
            ("SELECT 1 FROM a ORDER BY x, y", word(&["a"])),
            ("SELECT * FROM a JOIN b", Wanted::Relation),
            ("SELECT * FROM ratings AS r JOIN movies m ON r.", member("ratings")),
            ("SELECT * FROM ratings AS r JOIN movies m ON r.x = m.ti", member("movies")),
            ("SELECT * FROM db.", member("db")),
            ("SELECT * FROM db.t WHERE t.", member("db.t")),
            ("SELECT * FROM a, b WHERE x", word(&["a", "b"])),
            ("INSERT INTO t", Wanted::Relation),
            ("UPDATE t", Wanted::Relation),
            ("UPDATE t SET ", word(&["t"])),
            ("DROP TABLE IF EXISTS t", Wanted::Relation),
            ("DROP MODEL m", Wanted::Model),
            ("DROP DATABASE IF EXISTS d", Wanted::Database),
            ("CREATE TABLE IF NOT EXISTS t", Wanted::Nothing),
            ("CREATE MODEL m", Wanted::Nothing),
            ("USE d", Wanted::Database),
            ("SET str", Wanted::Setting),
            ("RESET ", Wanted::Setting),
            ("SELECT recommend('m", Wanted::Model),
            ("SELECT 'it is, from ", Wanted::Nothing),
            ("SELECT 'a' || b", word(&[])),
            ("SELECT 1 -- from ", Wanted::Nothing),
            ("SELECT /* from */ a", word(&[])),
            ("SELECT 1 /* from ", Wanted::Nothing),
            ("ML.PREDICT(MODEL m", Wanted::Model),
            ("\\d", Wanted::Command),
            ("\\d mo", Wanted::Relation),
            ("\\dm+ m", Wanted::Model),
            ("\\c ", Wanted::Database),
            ("\\h CREATE T", Wanted::Topic),
            ("\\i /tm", Wanted::File),
            ("\\timing o", Wanted::Nothing),
        ];
        for (line, wanted) in cases {
            assert_eq!(place("", line).wanted, wanted, "{line}");
        }
    }

    #[test]
    fn the_word_begins_behind_blanks_and_signs_but_not_behind_dots() {
        for (line, start) in [
            ("SELECT * FROM mo", 14),
            ("SELECT sum(pr", 11),
            ("SELECT r.pr", 7),
            ("\\h create m", 3),
            ("\\d mo", 3),
            (" \\d", 1),
            ("\\d a\u{a0}b", 6),
        ] {
            assert_eq!(place("", line).start, start, "{line}");
        }
    }

    #[test]
    fn earlier_lines_of_the_statement_count() {
        assert_eq!(place("SELECT title\nFROM", "mov").wanted, Wanted::Relation);
        assert_eq!(place("SELECT title FROM movies m", "WHERE m.").wanted, member("movies"));
        assert_eq!(place("SELECT 'open", "FROM ").wanted, Wanted::Nothing);
        assert_eq!(place("SELECT 1 -- a comment ends with its line", "FROM ").wanted, Wanted::Relation);
    }

    #[test]
    fn statements_begin_as_the_help_knows_them() {
        let next = |line: &str| match place("", line).wanted {
            Wanted::Statement(words) => words,
            other => panic!("{line}: {other:?}"),
        };
        assert!(["ALTER", "CREATE", "INSERT", "SELECT", "WITH"].iter().all(|word| next("").contains(word)));
        assert_eq!(next("").iter().filter(|word| **word == "CREATE").count(), 1);
        assert!(["EXTERNAL", "MODEL", "STREAMING", "TABLE", "VIEW"].iter().all(|word| next("create ").contains(word)));
        assert_eq!(next("CREATE STREAMING "), ["TABLE"]);
        assert_eq!(next("DROP STREAMING T"), ["TABLE"]);
    }
}
