//! Reading the options of CREATE MODEL: names in any spelling, values checked, mistakes named.

use crate::error::{Code, Error, Result, nearest};
use std::collections::BTreeMap;

/// The value of an option as written; the engine makes it from the parser's.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelOption {
    Text(String),
    /// The digits as written, with sign.
    Number(String),
    Bool(bool),
    Null,
    List(Vec<ModelOption>),
    /// `HPARAM_RANGE(..)`: the name and the arguments.
    Call(String, Vec<ModelOption>),
}

/// An option that a kind of model knows: its name, other spellings, and what is done with it.
#[derive(Debug)]
pub(super) struct Known {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub kind: Kind,
}

/// What is done with an option.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Supported,
    /// May be given as `HPARAM_RANGE(..)` or `HPARAM_CANDIDATES(..)` too.
    Searchable,
    /// Only tunes another system's execution; accepted so that its users can paste their options.
    Ignored,
}

/// A row of a table of options.
pub(super) const fn known(name: &'static str, aliases: &'static [&'static str], kind: Kind) -> Known {
    Known { name, aliases, kind }
}

/// The options given to one model, by their main name, with the spelling used.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    model: &'a str,
    given: BTreeMap<&'static str, (&'a str, &'a ModelOption)>,
}

/// Names are compared without case and underscores: `max_iter` is `maxIter`.
pub(super) fn fold(name: &str) -> String {
    name.chars().filter(|letter| *letter != '_').collect::<String>().to_lowercase()
}

impl<'a> Reader<'a> {
    /// Finds every option in `table`.
    ///
    /// # Errors
    /// `InvalidParameter` for unknown and repeated options, and for a search over an option that has none.
    pub fn new(model: &'a str, options: &'a [(String, ModelOption)], table: &'static [Known]) -> Result<Self> {
        let mut given: BTreeMap<&'static str, (&str, &ModelOption)> = BTreeMap::new();
        for (key, value) in options {
            let folded = fold(key);
            let known = table.iter().find(|known| fold(known.name) == folded || known.aliases.iter().any(|alias| fold(alias) == folded));
            let Some(known) = known else {
                let names = table.iter().flat_map(|known| std::iter::once(known.name).chain(known.aliases.iter().copied()));
                return Err(Error::unknown(
                    Code::InvalidParameter,
                    format!("model \"{model}\" has the unknown option \"{key}\""),
                    key,
                    names,
                ));
            };
            match (known.kind, value) {
                (Kind::Ignored, _) => continue,
                (Kind::Supported, ModelOption::Call(name, _)) if fold(name).starts_with("hparam") => {
                    let what = format!("option \"{key}\" of model \"{model}\" cannot be searched for");
                    let searchable: Vec<&str> =
                        table.iter().filter(|known| known.kind == Kind::Searchable).map(|known| known.name).collect();
                    let error = Error::new(Code::InvalidParameter, what).hint("Give the option one value.");
                    return Err(if searchable.is_empty() {
                        error
                    } else {
                        error.detail(format!("{name} is possible for {}.", searchable.join(", ")))
                    });
                }
                _ => {}
            }
            if let Some((before, _)) = given.insert(known.name, (key, value)) {
                let error = Error::new(Code::InvalidParameter, format!("option \"{key}\" of model \"{model}\" is given twice"));
                return Err(if before.eq_ignore_ascii_case(key) {
                    error
                } else {
                    error.detail(format!("It is also given as \"{before}\"."))
                });
            }
        }
        Ok(Self { model, given })
    }

    /// The model's name, for messages.
    pub fn model(&self) -> &'a str {
        self.model
    }

    /// The option as written, and its value.
    pub fn given(&self, name: &'static str) -> Option<(&'a str, &'a ModelOption)> {
        self.given.get(name).copied()
    }
    /// The error for a value that an option cannot have; `expected` is what it must be.
    pub fn wrong(&self, name: &str, value: &str, expected: &str) -> Error {
        let key = self.given.get(name).map_or(name, |(key, _)| *key);
        Error::new(Code::InvalidParameter, format!("option \"{key}\" of model \"{}\" is {value}, it must be {expected}", self.model))
    }

    /// The value as text; lists, calls and NULL are no value of any option.
    pub fn text(&self, name: &'static str) -> Result<Option<String>> {
        match self.given.get(name) {
            None => Ok(None),
            Some((_, ModelOption::Text(text) | ModelOption::Number(text))) => Ok(Some(text.clone())),
            Some((_, ModelOption::Bool(flag))) => Ok(Some(flag.to_string())),
            Some((_, ModelOption::Null)) => Err(self.wrong(name, "NULL", "one value")),
            Some((_, ModelOption::List(_))) => Err(self.wrong(name, "a list", "one value")),
            Some((_, ModelOption::Call(call, _))) => Err(self.wrong(name, &format!("a call of {call}"), "one value")),
        }
    }

    /// A column's name, as written.
    pub fn column(&self, name: &'static str) -> Result<Option<String>> {
        match self.text(name)? {
            Some(column) if column.trim().is_empty() => Err(self.wrong(name, "empty", "the name of a column of the training query")),
            column => Ok(column),
        }
    }

    /// One of some words, without regard to case.
    pub fn choice(&self, name: &'static str, choices: &[&'static str]) -> Result<Option<&'static str>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match choices.iter().find(|choice| choice.eq_ignore_ascii_case(text.trim())) {
            Some(choice) => Ok(Some(choice)),
            None => {
                let error = self.wrong(name, &format!("'{text}'"), &format!("one of {}", choices.join(", ")));
                Err(match nearest(&text, choices.iter().copied()) {
                    Some(near) => error.hint(format!("Did you mean \"{near}\"?")),
                    None => error,
                })
            }
        }
    }

    /// TRUE or FALSE.
    pub fn flag(&self, name: &'static str) -> Result<Option<bool>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.trim().to_lowercase().as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(self.wrong(name, &format!("'{text}'"), "TRUE or FALSE")),
        }
    }

    /// A whole number in a range.
    pub fn integer(&self, name: &'static str, range: std::ops::RangeInclusive<i64>) -> Result<Option<i64>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.trim().parse::<i64>() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(name, &text, &format!("an integer from {} to {}", range.start(), range.end()))),
        }
    }

    /// A number from `from` to `to`, both included.
    pub fn number(&self, name: &'static str, from: f64, to: f64) -> Result<Option<f64>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.trim().parse::<f64>() {
            Ok(number) if (from..=to).contains(&number) => Ok(Some(number)),
            _ => Err(self.wrong(name, &text, &format!("a number from {from} to {to}"))),
        }
    }
}
