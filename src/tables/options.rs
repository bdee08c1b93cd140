//! Options as written, taken apart key by key; what is left over is an error.

use crate::error::{Code, Error, Result};

/// The raw options of one object. Keys compare case-insensitively.
#[derive(Debug, Clone)]
pub struct OptionBag {
    /// For messages: `table "t"`, `model "m"`.
    owner: String,
    entries: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl OptionBag {
    pub fn new(owner: impl Into<String>, entries: Vec<(String, String)>) -> Self {
        Self { owner: owner.into(), entries, known: Vec::new() }
    }

    /// Takes an option out under any of its spellings (the first is the canonical one).
    pub fn take(&mut self, spellings: &[&'static str]) -> Option<String> {
        self.known.extend(spellings.iter().take(1));
        let mut found = None;
        self.entries.retain(|(key, value)| {
            let hit = spellings.iter().any(|spelling| spelling.eq_ignore_ascii_case(key));
            if hit {
                found = Some(value.clone());
            }
            !hit
        });
        found
    }

    /// Takes a true/false option.
    pub fn flag(&mut self, spellings: &[&'static str]) -> Result<Option<bool>> {
        let owner = self.owner.clone();
        self.take(spellings)
            .map(|value| match value.to_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok(true),
                "false" | "0" | "no" | "off" => Ok(false),
                _ => Err(Error::new(
                    Code::InvalidParameter,
                    format!("{owner}: option \"{}\" is \"{value}\", not true or false", spellings[0]),
                )),
            })
            .transpose()
    }

    /// Takes an option that must parse as a number (or anything with `FromStr`).
    pub fn number<T: std::str::FromStr>(&mut self, spellings: &[&'static str]) -> Result<Option<T>> {
        let owner = self.owner.clone();
        self.take(spellings)
            .map(|value| {
                value.trim().parse().map_err(|_| {
                    Error::new(
                        Code::InvalidParameter,
                        format!("{owner}: option \"{}\" is \"{value}\", not a number of the expected kind", spellings[0]),
                    )
                })
            })
            .transpose()
    }

    /// Takes an option with a fixed set of values.
    pub fn one_of<T: Clone>(&mut self, spellings: &[&'static str], choices: &[(&'static str, T)]) -> Result<Option<T>> {
        let owner = self.owner.clone();
        self.take(spellings)
            .map(|value| {
                choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(&value)).map(|(_, choice)| choice.clone()).ok_or_else(|| {
                    let names = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>();
                    Error::new(Code::InvalidParameter, format!("{owner}: option \"{}\" is \"{value}\"", spellings[0]))
                        .hint(format!("Use one of: {}.", names.join(", ")))
                })
            })
            .transpose()
    }

    /// Refuses what nobody took, with the nearest known key.
    pub fn finish(self) -> Result<()> {
        match self.entries.first() {
            None => Ok(()),
            Some((key, _)) => Err(Error::unknown(
                Code::InvalidParameter,
                format!("{} has no option \"{key}\"", self.owner),
                key,
                self.known.iter().copied(),
            )),
        }
    }
}
