//! Lines to statements and backslash commands, one line at a time.
//!
//! `parser::split` cuts a whole text; a console gets its text line by line, must know after each line what
//! is still open (for the prompt), replaces variables on the way and finds `\` commands, all in time linear
//! in the text. A test holds that both cut the same statements.

use super::variables::{Variables, reference};

/// What is open where the scanner stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Open {
    #[default]
    Nothing,
    /// Quotes: the character that closes them, and whether a backslash escapes (`E'..'`).
    Quotes { closing: char, escapes: bool },
    /// `Q'[..]'`: closed by this character and a quote.
    Delimited(char),
    /// `$tag$`, closed by the same.
    Dollar(String),
    /// `--`, up to the end of the line.
    LineComment,
    /// `/* */`, and how deep.
    Comment(usize),
}

/// What ended a step of the scanner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A semicolon: the statement before it, trimmed.
    Statement(String),
    /// A backslash outside quotes: the rest of the input, with the backslash, is left.
    Command,
    /// The input is used up.
    End,
}

/// Text that waits to be scanned.
#[derive(Debug, Default)]
pub struct Input {
    text: String,
    at: usize,
    /// Before this place stands the value of a variable: no variables and no commands are looked for in it.
    value_until: usize,
}

impl Input {
    /// A line, with its line feed.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), at: 0, value_until: 0 }
    }

    /// What is left.
    pub fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Skips bytes.
    pub fn skip(&mut self, n_bytes: usize) {
        self.at = (self.at + n_bytes).min(self.text.len());
    }

    fn is_value(&self) -> bool {
        self.at < self.value_until
    }

    /// Puts a text in the place of the next bytes.
    fn replace(&mut self, n_bytes: usize, value: &str) {
        self.text.replace_range(self.at..self.at + n_bytes, value);
        self.value_until = self.at + value.len();
    }
}

/// The statement that is being typed.
#[derive(Debug, Default)]
pub struct Scanner {
    text: String,
    open: Open,
    /// Whether the statement holds more than blanks and comments.
    has_tokens: bool,
    /// The last characters were a word: `$` and quotes then belong to it, or not.
    word: String,
}

impl Scanner {
    /// The text typed so far.
    pub fn text(&self) -> &str {
        self.text.trim()
    }

    /// Whether nothing of a statement was typed yet.
    pub fn is_empty(&self) -> bool {
        !self.has_tokens && matches!(self.open, Open::Nothing | Open::LineComment)
    }

    /// The last character of the prompt before `>`, as psql shows it.
    pub fn prompt(&self) -> char {
        match &self.open {
            Open::Quotes { closing, .. } => *closing,
            Open::Delimited(_) => '\'',
            Open::Dollar(_) => '$',
            Open::Comment(_) => '*',
            Open::Nothing | Open::LineComment if self.has_tokens => '-',
            Open::Nothing | Open::LineComment => '=',
        }
    }

    /// Takes the statement out, finished or not.
    pub fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text).trim().to_owned();
        *self = Self::default();
        text
    }

    /// Reads on until something is found.
    pub fn scan(&mut self, input: &mut Input, variables: &Variables) -> Found {
        loop {
            let Some(next) = input.rest().chars().next() else { return Found::End };
            if self.open != Open::Nothing {
                self.inside(input, next);
                continue;
            }
            match next {
                ';' => {
                    input.skip(1);
                    self.word.clear();
                    if self.has_tokens {
                        return Found::Statement(self.take());
                    }
                    self.text.clear();
                }
                '\\' if !input.is_value() => return Found::Command,
                ':' if !input.is_value() => self.colon(input, variables),
                _ => self.code(input, next),
            }
        }
    }

    /// A colon: a cast, a variable, or just a colon.
    fn colon(&mut self, input: &mut Input, variables: &Variables) {
        if input.rest().starts_with("::") {
            return self.push(input, 2);
        }
        let value = reference(input.rest()).and_then(|found| Some((found.length, variables.expand(found)?)));
        match value {
            Some((length, value)) => input.replace(length, &value),
            None => self.push(input, 1),
        }
    }

    /// One step outside quotes and comments.
    fn code(&mut self, input: &mut Input, next: char) {
        let rest = input.rest();
        if rest.starts_with("--") {
            return self.begin(input, 2, Open::LineComment);
        }
        if rest.starts_with("/*") {
            return self.begin(input, 2, Open::Comment(1));
        }
        match next {
            '\'' => {
                let delimiter = rest[1..].chars().next();
                match (self.word.to_ascii_lowercase().as_str(), delimiter) {
                    ("q" | "nq", Some(delimiter)) => self.begin(input, 1 + delimiter.len_utf8(), Open::Delimited(mirrored(delimiter))),
                    (word, _) => self.begin(input, 1, Open::Quotes { closing: '\'', escapes: word == "e" }),
                }
            }
            '"' | '`' => self.begin(input, 1, Open::Quotes { closing: next, escapes: false }),
            '$' if self.word.is_empty() => match dollar_tag(rest) {
                Some(tag) => {
                    let tag = tag.to_owned();
                    self.begin(input, tag.len(), Open::Dollar(tag));
                }
                None => self.push(input, 1),
            },
            _ if is_word(next) => {
                self.has_tokens = true;
                self.word.push(next);
                self.text.push(next);
                input.skip(next.len_utf8());
            }
            _ => self.push(input, next.len_utf8()),
        }
    }

    /// Takes bytes over that are no word.
    fn push(&mut self, input: &mut Input, n_bytes: usize) {
        let taken = &input.rest()[..n_bytes];
        self.has_tokens |= !taken.trim().is_empty();
        self.text.push_str(taken);
        self.word.clear();
        input.skip(n_bytes);
    }

    fn begin(&mut self, input: &mut Input, n_bytes: usize, open: Open) {
        let had_tokens = self.has_tokens;
        let is_comment = matches!(open, Open::LineComment | Open::Comment(_));
        self.push(input, n_bytes);
        if is_comment {
            self.has_tokens = had_tokens;
        }
        self.open = open;
    }

    /// One step inside quotes or a comment.
    fn inside(&mut self, input: &mut Input, next: char) {
        let rest = input.rest();
        let (taken, open) = match &mut self.open {
            Open::Quotes { escapes: true, .. } if next == '\\' => (1 + rest[1..].chars().next().map_or(0, char::len_utf8), None),
            Open::Quotes { closing, .. } if next == *closing => {
                // A doubled quote stands for itself.
                let is_doubled = rest[next.len_utf8()..].starts_with(*closing);
                if is_doubled { (2 * next.len_utf8(), None) } else { (next.len_utf8(), Some(Open::Nothing)) }
            }
            Open::Delimited(closing) if next == *closing && rest[next.len_utf8()..].starts_with('\'') => {
                (next.len_utf8() + 1, Some(Open::Nothing))
            }
            Open::Dollar(tag) if rest.starts_with(tag.as_str()) => (tag.len(), Some(Open::Nothing)),
            Open::LineComment if next == '\n' => (1, Some(Open::Nothing)),
            Open::Comment(depth) if rest.starts_with("/*") => (2, Some(Open::Comment(*depth + 1))),
            Open::Comment(depth) if rest.starts_with("*/") => {
                (2, Some(if *depth > 1 { Open::Comment(*depth - 1) } else { Open::Nothing }))
            }
            _ => (next.len_utf8(), None),
        };
        self.text.push_str(&input.rest()[..taken]);
        input.skip(taken);
        if let Some(open) = open {
            self.open = open;
            if !self.has_tokens && self.open == Open::Nothing {
                // What came before the first token was a comment: the statement begins after it.
                self.text.clear();
            }
        }
    }
}

/// What the tokenizer of SQL takes as part of a word.
fn is_word(character: char) -> bool {
    character.is_alphabetic() || character.is_ascii_digit() || matches!(character, '@' | '$' | '#' | '_')
}

fn mirrored(delimiter: char) -> char {
    match delimiter {
        '[' => ']',
        '(' => ')',
        '{' => '}',
        '<' => '>',
        other => other,
    }
}

/// `$$` or `$tag$` at the start of a text.
fn dollar_tag(text: &str) -> Option<&str> {
    let inner = &text[1..];
    let end = inner.find(|character: char| !(character.is_alphanumeric() || character == '_')).unwrap_or(inner.len());
    inner[end..].starts_with('$').then(|| &text[..end + 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    /// All statements of a text, fed line by line, and what is left open.
    fn statements(text: &str, variables: &Variables) -> (Vec<String>, Scanner) {
        let mut scanner = Scanner::default();
        let mut found = Vec::new();
        for line in text.split_inclusive('\n') {
            let mut input = Input::new(line);
            loop {
                match scanner.scan(&mut input, variables) {
                    Found::Statement(statement) => found.push(statement),
                    Found::Command => {
                        found.push(input.rest().trim_end().to_owned());
                        break;
                    }
                    Found::End => break,
                }
            }
        }
        (found, scanner)
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str], rest: &str, prompt: char) {
        let mut variables = Variables::default();
        for (name, value) in [("n", "10"), ("t", "it's"), ("loop", ":loop"), ("two", "1; SELECT 2")] {
            variables.set(name, value);
        }
        let (found, scanner) = statements(text, &variables);
        assert_eq!(found, expected, "{text}");
        assert_eq!((scanner.text(), scanner.prompt()), (rest, prompt), "{text}");
    }

    #[test]
    fn unfinished_text_shows_in_the_prompt() {
        check("", &[], "", '=');
        check(" \n\n", &[], "", '=');
        check("SELECT 1", &[], "SELECT 1", '-');
        check("SELECT 'a;\n", &[], "SELECT 'a;", '\'');
        check("SELECT \"a;", &[], "SELECT \"a;", '"');
        check("SELECT `a;", &[], "SELECT `a;", '`');
        check("SELECT $x$ ; $$ ", &[], "SELECT $x$ ; $$", '$');
        check("/* a /* b */ ; ", &[], "/* a /* b */ ;", '*');
        check("SELECT E'\\';", &[], "SELECT E'\\';", '\'');
    }

    #[test]
    fn statements_end_at_semicolons_outside_quotes() {
        check("SELECT 1; SELECT 2;SELECT", &["SELECT 1", "SELECT 2"], "SELECT", '-');
        check(";;\n; SELECT 1;;", &["SELECT 1"], "", '=');
        check("SELECT ';', \";\", `;`, $$;$$, $a$;$b$$a$, '''';", &["SELECT ';', \";\", `;`, $$;$$, $a$;$b$$a$, ''''"], "", '=');
        check("SELECT 1 -- no; end\n, 2; -- nothing\n", &["SELECT 1 -- no; end\n, 2"], "", '=');
        check("-- first\n/* second */ SELECT 1;", &["SELECT 1"], "", '=');
        check("SELECT E'it\\'s;', Q'[it's;]', $1, a$b$;", &["SELECT E'it\\'s;', Q'[it's;]', $1, a$b$"], "", '=');
    }

    #[test]
    fn commands_stand_outside_quotes() {
        check("\\d t;\nSELECT 1;", &["\\d t;", "SELECT 1"], "", '=');
        check("SELECT 1 \\gx\n", &["\\gx"], "SELECT 1", '-');
        check("SELECT '\\001', \"\\d\"; -- \\d\n", &["SELECT '\\001', \"\\d\""], "", '=');
    }

    #[test]
    fn variables_are_replaced_outside_quotes_comments_and_casts() {
        check("SELECT :n, :'t', :\"t\", :none, '5'::int, a[1:n];", &["SELECT 10, 'it''s', \"it's\", :none, '5'::int, a[110]"], "", '=');
        check("SELECT ':n', \":n\", $$:n$$ /* :n */; -- :n\n", &["SELECT ':n', \":n\", $$:n$$ /* :n */"], "", '=');
        check("SELECT :loop;", &["SELECT :loop"], "", '=');
        check("SELECT :two;", &["SELECT 1", "SELECT 2"], "", '=');
        check("SELECT x::n, STRUCT<a: INT>;", &["SELECT x::n, STRUCT<a: INT>"], "", '=');
    }

    #[test]
    fn cuts_the_same_statements_as_the_parser() {
        const PIECES: &[&str] = &[
            "SELECT", " ", "\n", ";", "'", "''", "\"", "`", "--", "/*", "*/", "$$", "$a$", "E'", "\\'", "a", "1", "$1", ",", "x'", "(", ")", "é",
        ];
        let seed = 20_260_727;
        let mut random = StdRng::seed_from_u64(seed);
        let mut n_compared = 0;
        for round in 0..20_000 {
            let n_pieces = random.random_range(1..14);
            let text: String = (0..n_pieces).map(|_| PIECES[random.random_range(0..PIECES.len())]).collect();
            let (found, scanner) = statements(&text, &Variables::default());
            if !matches!(scanner.open, Open::Nothing) || found.iter().any(|statement| statement.starts_with('\\')) {
                continue;
            }
            let (expected, rest) = crate::parser::split(&text);
            if !scanner.is_empty() || !rest.is_empty() {
                continue;
            }
            n_compared += 1;
            let without_comments = |texts: &[String]| -> Vec<String> {
                texts.iter().map(|text| crate::parser::split(&format!("{text};")).0.join(" ")).collect()
            };
            assert_eq!(found.len(), expected.len(), "seed {seed}, round {round}: {text:?}: {found:?} {expected:?}");
            for (ours, theirs) in without_comments(&found).iter().zip(without_comments(&expected)) {
                assert!(theirs.ends_with(ours.as_str()), "seed {seed}, round {round}: {text:?}: {ours:?} {theirs:?}");
            }
        }
        assert!(n_compared > 500, "only {n_compared} texts were complete");
    }
}
