//! `--name value` arguments.

use std::fmt::Display;
use std::str::FromStr;

/// Arguments that nobody has asked for yet.
pub struct Options(Vec<(String, String)>);

impl Options {
    /// Takes the arguments apart, in pairs.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Vec::new();
        while let Some(argument) = arguments.next() {
            let name = argument.strip_prefix("--").ok_or_else(|| format!("expected an option, found {argument}"))?;
            let value = arguments.next().ok_or_else(|| format!("--{name} has no value"))?;
            options.push((name.to_owned(), value));
        }
        Ok(Self(options))
    }

    /// The value of an option, once.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(place).1)
    }

    /// The value of an option that has no default.
    pub fn required(&mut self, name: &str) -> Result<String, String> {
        self.take(name).ok_or_else(|| format!("--{name} is missing"))
    }

    /// The value of an option as a number.
    pub fn number<T: FromStr<Err: Display>>(&mut self, name: &str, default: T) -> Result<T, String> {
        self.take(name).map_or(Ok(default), |text| text.parse().map_err(|error| format!("--{name} {text}: {error}")))
    }

    /// One of the words; the first is the default.
    pub fn one_of(&mut self, name: &str, words: &'static [&'static str]) -> Result<&'static str, String> {
        let Some(text) = self.take(name) else { return Ok(words[0]) };
        words.iter().find(|word| **word == text).copied().ok_or_else(|| format!("--{name} is {text}, it must be one of {words:?}"))
    }

    /// Everything must have been asked for.
    pub fn finish(self) -> Result<(), String> {
        self.0.first().map_or(Ok(()), |(name, _)| Err(format!("there is no option --{name}")))
    }
}
