//! File patterns: `*.csv`, `dir/*/x?.parquet`, `[ab]`, `{a,b}`, `**`.

use crate::error::{Code, Error, Result};
use glob::{MatchOptions, Pattern as OnePattern};

/// More alternatives than this are somebody's mistake or attack.
const ALTERNATIVES_MAX: usize = 1_024;

/// A compiled pattern over paths below a directory, with `/` between names.
#[derive(Debug, Clone)]
pub struct Pattern {
    alternatives: Vec<Alternative>,
}

#[derive(Debug, Clone)]
struct Alternative {
    whole: OnePattern,
    /// One pattern for each name; `None` with `**`, which stands for any number of them.
    names: Option<Vec<OnePattern>>,
}

const OPTIONS: MatchOptions = MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// True when a name holds a character that only patterns use.
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '[', '{'])
}

impl Pattern {
    /// Compiles a pattern; the message names what is wrong with it.
    pub fn parse(text: &str) -> Result<Self> {
        let mut alternatives = Vec::new();
        for alternative in expand(text)? {
            let whole = OnePattern::new(&alternative).map_err(|error| {
                Error::new(Code::InvalidParameter, format!("file pattern \"{text}\" is not valid: {}", error.msg.to_lowercase()))
            })?;
            let names = alternative.split('/').map(|name| (name != "**").then(|| OnePattern::new(name).ok()).flatten()).collect();
            alternatives.push(Alternative { whole, names });
        }
        Ok(Self { alternatives })
    }

    /// True when the relative path of a file fits: `*` and `?` stop at `/`, `**/` is any number of directories.
    pub fn matches(&self, relative: &str) -> bool {
        self.alternatives.iter().any(|alternative| alternative.whole.matches_with(relative, OPTIONS))
    }

    /// False when no file in this directory, or below it, can fit: it need not be read.
    pub fn may_hold(&self, directory: &str) -> bool {
        let depth = directory.split('/').count();
        self.alternatives.iter().any(|alternative| match &alternative.names {
            None => true,
            Some(names) => {
                depth < names.len() && directory.split('/').zip(names).all(|(name, pattern)| pattern.matches_with(name, OPTIONS))
            }
        })
    }
}

/// Writes out `{a,b}` as separate patterns; braces may be nested, and inside `[..]` they are ordinary.
fn expand(text: &str) -> Result<Vec<String>> {
    let mut done = Vec::new();
    let mut open = vec![text.to_owned()];
    while let Some(next) = open.pop() {
        match first_braces(&next)? {
            None => done.push(next),
            Some((start, end, commas)) => {
                let mut from = start + 1;
                for to in commas.into_iter().chain([end]) {
                    open.push(format!("{}{}{}", &next[..start], &next[from..to], &next[end + 1..]));
                    from = to + 1;
                }
            }
        }
        if done.len() + open.len() > ALTERNATIVES_MAX {
            return Err(Error::new(Code::LimitExceeded, format!("file pattern has more than {ALTERNATIVES_MAX} alternatives")));
        }
    }
    Ok(done)
}

/// The first pair of braces and the commas directly inside it.
fn first_braces(text: &str) -> Result<Option<(usize, usize, Vec<usize>)>> {
    let mut start = None;
    let mut depth = 0_usize;
    let mut in_class = false;
    let mut commas = Vec::new();
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => in_class = true,
            ']' => in_class = false,
            _ if in_class => {}
            '{' => {
                depth += 1;
                start.get_or_insert(at);
            }
            '}' if depth > 0 => {
                depth -= 1;
                if let (0, Some(start)) = (depth, start) {
                    return Ok(Some((start, at, commas)));
                }
            }
            ',' if depth == 1 => commas.push(at),
            _ => {}
        }
    }
    match start {
        None => Ok(None),
        Some(_) => Err(Error::new(Code::InvalidParameter, format!("file pattern \"{text}\" is not valid: a brace is not closed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let compiled = Pattern::parse(pattern).unwrap();
        for path in yes {
            assert!(compiled.matches(path), "{pattern} should match {path}");
        }
        for path in no {
            assert!(!compiled.matches(path), "{pattern} should not match {path}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (pattern, part) in [("{a,b", "brace"), ("[a", "range"), ("a***b", "wildcard"), ("{a,{b}", "brace")] {
            let error = Pattern::parse(pattern).unwrap_err();
            assert!(error.message.contains(part), "{pattern}: {error}");
        }
        let many = "{a,b}".repeat(11);
        assert_eq!(Pattern::parse(&many).unwrap_err().code, Code::LimitExceeded);
    }

    #[test]
    fn directories_that_cannot_hold_a_match_are_known() {
        let pattern = Pattern::parse("dt=2026-*/{a,b/c}/*.csv").unwrap();
        for (directory, expected) in [("dt=2026-01", true), ("dt=2025-01", false), ("dt=2026-01/a", true), ("dt=2026-01/b/c", true)] {
            assert_eq!(pattern.may_hold(directory), expected, "{directory}");
        }
        assert!(!pattern.may_hold("dt=2026-01/a/x") && !pattern.may_hold("dt=2026-01/b/c/d"));
        assert!(Pattern::parse("**/x").unwrap().may_hold("a/b/c"));
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        check("*.csv", &["a.csv", ".csv"], &["a.csv.gz", "d/a.csv", "a.CSV"]);
        check("*/x?.parquet", &["d/x1.parquet"], &["x1.parquet", "d/x.parquet", "d/e/x1.parquet"]);
        check("[ab]*.csv", &["a.csv", "b1.csv"], &["c.csv"]);
        check("[!ab].csv", &["c.csv"], &["a.csv"]);
        check("{2024,2025}/*.csv", &["2024/a.csv", "2025/a.csv"], &["2026/a.csv"]);
        check("x{,_{a,b}}.csv", &["x.csv", "x_a.csv", "x_b.csv"], &["x_c.csv", "x_.csv"]);
        check("**/*.csv", &["a.csv", "d/a.csv", "d/e/a.csv"], &["a.txt"]);
        check("dt=*/**/p.json", &["dt=1/p.json", "dt=1/h=2/p.json"], &["p.json", "x/p.json"]);
        check("[{]a.csv", &["{a.csv"], &["a.csv"]);
        check("été_*.csv", &["été_1.csv"], &["ete_1.csv"]);
    }
}
