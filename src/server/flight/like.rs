//! The patterns of metadata calls: `%`, `_`, and `\` before either to mean itself.

/// A compiled pattern. Names are compared without regard to case, as SQL finds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Character(char),
    AnyCharacter,
    AnyText,
}

impl Pattern {
    pub fn new(pattern: &str) -> Self {
        let mut parts = Vec::new();
        let mut characters = pattern.chars().flat_map(char::to_lowercase);
        while let Some(character) = characters.next() {
            parts.push(match character {
                '%' => Part::AnyText,
                '_' => Part::AnyCharacter,
                // A lone backslash at the end means itself.
                '\\' => Part::Character(characters.next().unwrap_or('\\')),
                other => Part::Character(other),
            });
        }
        parts.dedup_by(|next, previous| *next == Part::AnyText && *previous == Part::AnyText);
        Self(parts)
    }

    /// Whether the whole name fits.
    ///
    /// On a mismatch only the last `%` is tried again one character further: linear in pattern times name,
    /// whatever the pattern.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
        let (mut at, mut part_at) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while at < name.len() {
            match self.0.get(part_at) {
                Some(Part::AnyText) => {
                    retry = Some((part_at + 1, at));
                    part_at += 1;
                }
                Some(Part::AnyCharacter) => (at, part_at) = (at + 1, part_at + 1),
                Some(Part::Character(character)) if *character == name[at] => (at, part_at) = (at + 1, part_at + 1),
                _ => match retry {
                    Some((after, started)) => {
                        retry = Some((after, started + 1));
                        (at, part_at) = (started + 1, after);
                    }
                    None => return false,
                },
            }
        }
        self.0[part_at..].iter().all(|part| *part == Part::AnyText)
    }
}

/// Whether a name passes an optional filter: no filter lets everything pass, an empty one only the empty name.
pub fn passes(filter: Option<&str>, name: &str) -> bool {
    filter.is_none_or(|pattern| Pattern::new(pattern).matches(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, name: &str, expected: bool) {
        assert_eq!(Pattern::new(pattern).matches(name), expected, "{name} like {pattern}");
    }

    #[test]
    fn what_does_not_match() {
        check("", "ratings", false);
        check("rating", "ratings", false);
        check("atings", "ratings", false);
        check("_", "", false);
        check("r_t", "rt", false);
        check(r"my\_table", "my-table", false);
        check(r"100\%", "1000", false);
        check("%x%", "ratings", false);
        check("%ab", "abc", false);
    }

    #[test]
    fn what_matches() {
        check("", "", true);
        check("%", "", true);
        check("%%", "ratings", true);
        check("ratings", "Ratings", true);
        check("RAT%", "ratings", true);
        check("%ing_", "ratings", true);
        check("%t%n%s", "ratings", true);
        check("%aab", "aaaab", true);
        check(r"my\_table", "my_table", true);
        check(r"100\%", "100%", true);
        check(r"a\\b", r"a\b", true);
        check(r"a\", r"a\", true);
        check("größe", "GRÖSSE", false);
        check("ж_", "ЖЫ", true);
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_its_length_times_the_name() {
        assert!(!Pattern::new(&"%a".repeat(500)).matches(&"a".repeat(499)));
        assert!(Pattern::new(&"%a".repeat(500)).matches(&"a".repeat(2_000)));
    }

    #[test]
    fn no_filter_is_not_the_empty_filter() {
        assert!(passes(None, "ratings"));
        assert!(!passes(Some(""), "ratings"));
    }
}
