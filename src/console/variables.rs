//! Variables of the console, as psql has them: `-v name=value`, `\set`, and `:name`, `:'name'`, `:"name"` in SQL.

use std::collections::BTreeMap;

/// Named texts. Those that steer the console itself are listed in [`SPECIAL`].
#[derive(Debug, Clone, Default)]
pub struct Variables {
    values: BTreeMap<String, String>,
}

/// Variables that the console itself reads: name and what it does.
pub static SPECIAL: &[(&str, &str)] = &[("ON_ERROR_STOP", "on: a script ends at its first error, with exit code 3")];

/// How a reference wants its value to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// `:name`: as it is.
    Plain,
    /// `:'name'`: as a text of SQL.
    Text,
    /// `:"name"`: as a name of SQL.
    Name,
}

/// A reference to a variable at the start of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference<'a> {
    pub name: &'a str,
    pub quoting: Quoting,
    /// Bytes of the reference, with its colon.
    pub length: usize,
}

impl Variables {
    /// Sets a variable.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    /// Removes a variable; false when there was none.
    pub fn unset(&mut self, name: &str) -> bool {
        self.values.remove(name).is_some()
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// All variables by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a switch is on: set, and not to a word for "no".
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "off" | "false" | "no" | "0"))
    }

    /// The text that a reference stands for; `None` when there is no such variable.
    pub fn expand(&self, reference: Reference<'_>) -> Option<String> {
        let value = self.get(reference.name)?;
        Some(match reference.quoting {
            Quoting::Plain => value.to_owned(),
            Quoting::Text => format!("'{}'", value.replace('\'', "''")),
            Quoting::Name => format!("\"{}\"", value.replace('"', "\"\"")),
        })
    }
}

/// Whether a text can name a variable.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_name_character)
}

fn is_name_character(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The reference that a text starts with; the text begins at the colon.
pub fn reference(text: &str) -> Option<Reference<'_>> {
    let after = text.strip_prefix(':')?;
    let (quoting, rest) = match after.chars().next()? {
        '\'' => (Quoting::Text, &after[1..]),
        '"' => (Quoting::Name, &after[1..]),
        _ => (Quoting::Plain, after),
    };
    let name = &rest[..rest.find(|character| !is_name_character(character)).unwrap_or(rest.len())];
    if name.is_empty() {
        return None;
    }
    let closing = match quoting {
        Quoting::Plain => return Some(Reference { name, quoting, length: 1 + name.len() }),
        Quoting::Text => '\'',
        Quoting::Name => '"',
    };
    rest[name.len()..].starts_with(closing).then_some(Reference { name, quoting, length: 3 + name.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, Quoting, usize)>) {
        let found = reference(text).map(|found| (found.name, found.quoting, found.length));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn references_have_three_forms() {
        check(":", None);
        check("::int", None);
        check(": name", None);
        check(":'open", None);
        check(":'a b'", None);
        check(":name)", Some(("name", Quoting::Plain, 5)));
        check(":'name'::date", Some(("name", Quoting::Text, 7)));
        check(":\"name\".c", Some(("name", Quoting::Name, 7)));
        check(":größe", Some(("größe", Quoting::Plain, 8)));
    }

    #[test]
    fn values_are_quoted_as_asked() {
        let mut variables = Variables::default();
        variables.set("v", "it's \"x\"");
        let expand = |text| variables.expand(reference(text).unwrap());
        assert_eq!(expand(":v").unwrap(), "it's \"x\"");
        assert_eq!(expand(":'v'").unwrap(), "'it''s \"x\"'");
        assert_eq!(expand(":\"v\"").unwrap(), "\"it's \"\"x\"\"\"");
        assert_eq!(expand(":w"), None);
    }

    #[test]
    fn switches_are_on_unless_they_say_no() {
        let mut variables = Variables::default();
        assert!(!variables.is_on("ON_ERROR_STOP"));
        for (value, expected) in [("1", true), ("on", true), ("", true), ("0", false), ("OFF", false), ("false", false)] {
            variables.set("ON_ERROR_STOP", value);
            assert_eq!(variables.is_on("ON_ERROR_STOP"), expected, "{value}");
        }
    }
}
