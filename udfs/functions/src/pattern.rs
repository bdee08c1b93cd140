//! Date patterns: Java's (`yyyy-MM-dd`), as Hive and Spark write them, and strftime's (`%Y-%m-%d`).

use datafusion::common::{Result, exec_err};

/// Letters of Java's patterns, the longest first, and what chrono calls them.
const LETTERS: &[(&str, &str)] = &[
    ("yyyy", "%Y"),
    ("uuuu", "%Y"),
    ("yy", "%y"),
    ("y", "%Y"),
    ("MMMM", "%B"),
    ("MMM", "%b"),
    ("MM", "%m"),
    ("M", "%-m"),
    ("dd", "%d"),
    ("d", "%-d"),
    ("DDD", "%j"),
    ("D", "%-j"),
    ("HH", "%H"),
    ("H", "%-H"),
    ("hh", "%I"),
    ("h", "%-I"),
    ("mm", "%M"),
    ("m", "%-M"),
    ("ss", "%S"),
    ("s", "%-S"),
    ("SSSSSSSSS", "%9f"),
    ("SSSSSS", "%6f"),
    ("SSS", "%3f"),
    ("EEEE", "%A"),
    ("EEE", "%a"),
    ("EE", "%a"),
    ("E", "%a"),
    ("a", "%p"),
];

/// The chrono pattern for a pattern in either spelling: one with `%` is strftime's already.
pub(crate) fn chrono_pattern(pattern: &str) -> Result<String> {
    if pattern.contains('%') {
        let known = chrono::format::StrftimeItems::new(pattern).all(|item| item != chrono::format::Item::Error);
        return if known { Ok(pattern.to_owned()) } else { exec_err!("\"{pattern}\" is not a date pattern of strftime") };
    }
    let mut chrono = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            // Quoted text; two quotes are one quote.
            let Some(end) = rest[1..].find('\'') else { return exec_err!("the date pattern \"{pattern}\" has an open quote") };
            chrono.push_str(if end == 0 { "'" } else { &rest[1..=end] });
            rest = &rest[end + 2..];
        } else if first.is_ascii_alphabetic() {
            let run = rest.len() - rest.trim_start_matches(first).len();
            match LETTERS.iter().find(|(letters, _)| *letters == &rest[..run]) {
                Some((_, item)) => chrono.push_str(item),
                None => return exec_err!("the date pattern \"{pattern}\" has the unknown part \"{}\"", &rest[..run]),
            }
            rest = &rest[run..];
        } else {
            chrono.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(chrono)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, expected: &str) {
        assert_eq!(chrono_pattern(pattern).unwrap(), expected, "{pattern}");
    }

    #[test]
    fn unknown_letters_and_open_quotes_are_refused() {
        assert!(chrono_pattern("yyyy-QQ").unwrap_err().to_string().contains("unknown part \"QQ\""));
        assert!(chrono_pattern("yyyy 'of").unwrap_err().to_string().contains("open quote"));
        assert!(chrono_pattern("%Y-%!").unwrap_err().to_string().contains("strftime"));
    }

    #[test]
    fn java_patterns_become_chrono_patterns() {
        check("yyyy-MM-dd HH:mm:ss.SSS", "%Y-%m-%d %H:%M:%S.%3f");
        check("d MMM yy, h 'h' a", "%-d %b %y, %-I h %p");
        check("yyyy''é", "%Y'é");
        check("%d/%m/%Y", "%d/%m/%Y");
    }
}
