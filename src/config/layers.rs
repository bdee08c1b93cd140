//! The raw settings: defaults, file, environment and flags laid over each other, each with its source.

use super::keys::{self, KEYS};
use crate::error::nearest;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// How the environment variables of settings begin.
pub(super) const ENVIRONMENT_PREFIX: &str = "WEIR__";

/// The commented defaults, and the reference for a `weir.toml` of one's own.
pub static DEFAULT_TOML: &str = include_str!("default.toml");

/// The file that is read from the working directory when no other is named.
const FILE_NAME: &str = "weir.toml";

/// Where settings come from, besides the defaults. Later ones win.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Read and parsed; must exist.
    pub file: Option<PathBuf>,
    /// Variables; only those that begin with `WEIR__` matter.
    pub environment: Vec<(String, String)>,
    /// `section.key` and value, from the command line.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// What this process was given: `--config FILE` or `weir.toml` if there is one, the environment, flags.
    pub fn of_process(config: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        let file = config.or_else(|| Path::new(FILE_NAME).exists().then(|| FILE_NAME.into()));
        let variables = std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value));
        let environment = variables
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
            .collect();
        Self { file, environment, flags }
    }
}

/// Something wrong with one setting or with a whole source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `weir.toml line 3`, `environment variable WEIR__SERVER__DEV`, `command line`.
    pub source: String,
    /// What is wrong, as a fragment.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.what)
    }
}

/// A value before it is checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// Any scalar, as its text.
    Text(String),
    /// A list of tables, each as its keys and values.
    List(Vec<BTreeMap<String, String>>),
}

/// A raw value and where it was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub raw: Raw,
    pub source: String,
    /// What relative paths are relative to; `None` for the working directory.
    pub directory: Option<PathBuf>,
}

/// All settings after laying the sources over each other.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub found: BTreeMap<&'static str, Found>,
    pub mistakes: Vec<Mistake>,
}

impl Layers {
    /// Reads every source; what cannot be read is a mistake.
    pub fn read(sources: &Sources) -> Self {
        let mut layers = Self::default();
        layers.add_toml(DEFAULT_TOML, "default", None);
        if let Some(file) = &sources.file {
            match std::fs::read_to_string(file) {
                Ok(text) => layers.add_toml(&text, &file.display().to_string(), file.parent()),
                Err(error) => layers.mistake(&file.display().to_string(), format!("could not read the file: {error}")),
            }
        }
        for (name, value) in &sources.environment {
            if let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                let key = rest.to_lowercase().replace("__", ".");
                layers.add_text(&key, value, &format!("environment variable {name}"));
            }
        }
        for (key, value) in &sources.flags {
            layers.add_text(key, value, "command line");
        }
        layers
    }

    fn mistake(&mut self, source: &str, what: impl Into<String>) {
        self.mistakes.push(Mistake { source: source.to_owned(), what: what.into() });
    }

    /// A value from a flag or the environment, which may be TOML where a list is meant.
    fn add_text(&mut self, key: &str, value: &str, source: &str) {
        let raw = if value.trim_start().starts_with('[')
            && keys::find(key).is_some_and(|key| matches!(key.kind, keys::Kind::Roots | keys::Kind::Buckets))
        {
            match DeValue::parse(value) {
                Ok(value) => raw(value.get_ref()),
                Err(error) => return self.mistake(source, format!("\"{key}\" is not a list: {}", error.message())),
            }
        } else {
            Ok(Raw::Text(value.to_owned()))
        };
        self.add(key, raw, source, None);
    }

    fn add_toml(&mut self, text: &str, name: &str, directory: Option<&Path>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let line = |at: usize| format!("{name} line {}", text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1);
        for error in &errors {
            self.mistake(&error.span().map_or_else(|| name.to_owned(), |span| line(span.start)), error.message());
        }
        if errors.is_empty() {
            let source = |span: usize| if name == "default" { name.to_owned() } else { line(span) };
            self.add_table("", table.get_ref(), &source, directory);
        }
    }

    fn add_table(&mut self, prefix: &str, table: &DeTable<'_>, source: &dyn Fn(usize) -> String, directory: Option<&Path>) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
            let at = source(name.span().start);
            match value.get_ref() {
                DeValue::Table(inner) if is_section(&key) => self.add_table(&key, inner, source, directory),
                DeValue::Table(_) if keys::find(&key).is_none() => self.unknown("section", &key, &at),
                value => self.add(&key, raw(value), &at, directory),
            }
        }
    }

    fn add(&mut self, key: &str, raw: Result<Raw, String>, source: &str, directory: Option<&Path>) {
        let Some(known) = keys::find(key) else { return self.unknown("setting", key, source) };
        match raw {
            Ok(raw) => {
                let found = Found { raw, source: source.to_owned(), directory: directory.map(Path::to_owned) };
                self.found.insert(known.name, found);
            }
            Err(what) => self.mistake(source, format!("\"{key}\" {what}")),
        }
    }

    fn unknown(&mut self, what: &str, key: &str, source: &str) {
        let last = key.rsplit('.').next().unwrap_or(key);
        let sections = KEYS.iter().filter_map(|key| key.name.split_once('.').map(|(section, _)| section));
        let near = if what == "section" {
            nearest(key, sections)
        } else {
            // The right key in the wrong section is a mistake of its own kind.
            let elsewhere = KEYS.iter().map(|key| key.name).find(|name| name.rsplit('.').next() == Some(last));
            elsewhere.or_else(|| nearest(key, KEYS.iter().map(|key| key.name)))
        };
        let near = near.map(|near| format!(", did you mean \"{near}\"?")).unwrap_or_default();
        self.mistake(source, format!("there is no {what} \"{key}\"{near}"));
    }
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(section, _)| section == name))
}

fn raw(value: &DeValue<'_>) -> Result<Raw, String> {
    if let DeValue::Array(items) = value {
        return items.iter().map(|item| entry(item.get_ref())).collect::<Result<_, _>>().map(Raw::List);
    }
    scalar(value).map(Raw::Text)
}

/// One table of a list. A lone text stands for a table with a `prefix`.
fn entry(value: &DeValue<'_>) -> Result<BTreeMap<String, String>, String> {
    match value {
        DeValue::String(text) => Ok(BTreeMap::from([("prefix".into(), text.to_string())])),
        DeValue::Table(table) => {
            let pair = |(name, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                Ok((name.get_ref().to_string(), scalar(value.get_ref())?))
            };
            table.iter().map(pair).collect()
        }
        other => Err(format!("expects a list of tables, found {} in it", other.type_str())),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
            .map(|value| value.to_string())
            .map_err(|error| format!("is out of range: {error}")),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => Err(format!("expects one value, found {}", value.type_str())),
    }
}
