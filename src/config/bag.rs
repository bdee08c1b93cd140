//! Raw settings in, checked values out; every mistake is noted and the rest is still checked.

use super::keys::{self, Kind};
use super::layers::{Found, Layers, Mistake, Raw};
use super::{BucketConfig, RootConfig, buckets, memory, units};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The settings that were not taken yet, and the mistakes so far.
#[derive(Debug)]
pub(super) struct Bag {
    found: BTreeMap<&'static str, Found>,
    pub mistakes: Vec<Mistake>,
    /// Where each taken setting came from.
    pub sources: BTreeMap<&'static str, String>,
}

impl Bag {
    /// Nothing taken yet.
    pub fn new(layers: Layers) -> Self {
        Self { found: layers.found, mistakes: layers.mistakes, sources: BTreeMap::new() }
    }

    /// Notes a mistake about a setting, with the source of its value.
    pub fn mistake(&mut self, key: &'static str, what: impl std::fmt::Display) {
        let source = self.sources.get(key).cloned().unwrap_or_else(|| "default".into());
        self.mistakes.push(Mistake { source, what: format!("\"{key}\" {what}") });
    }

    /// The names that nobody took: the code and the table of settings disagree.
    pub fn left_over(&self) -> Vec<&'static str> {
        self.found.keys().copied().collect()
    }

    fn take(&mut self, key: &'static str) -> Option<Found> {
        let found = self.found.remove(key)?;
        self.sources.insert(key, found.source.clone());
        Some(found)
    }

    fn take_text(&mut self, key: &'static str) -> Option<(String, Option<PathBuf>)> {
        let found = self.take(key)?;
        match found.raw {
            Raw::Text(text) => Some((text, found.directory)),
            Raw::List(_) => {
                self.mistake(key, "expects one value, found a list");
                None
            }
        }
    }

    fn parsed<T>(&mut self, key: &'static str, fallback: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        let Some((text, _)) = self.take_text(key) else { return fallback };
        match parse(text.trim()) {
            Ok(value) => value,
            Err(what) => {
                self.mistake(key, format!("{what}, found \"{text}\""));
                fallback
            }
        }
    }

    /// A text, not empty.
    pub fn text(&mut self, key: &'static str) -> String {
        self.parsed(key, String::new(), |text| if text.is_empty() { Err("expects a text".into()) } else { Ok(text.to_owned()) })
    }

    /// True or false, in the usual spellings.
    pub fn flag(&mut self, key: &'static str) -> bool {
        self.parsed(key, false, |text| match text.to_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(true),
            "false" | "off" | "no" | "0" => Ok(false),
            _ => Err("expects true or false".into()),
        })
    }

    /// A whole number in the range that the table of settings gives.
    pub fn count(&mut self, key: &'static str) -> usize {
        let (min, max) = match keys::find(key).map(|key| key.kind) {
            Some(Kind::Count { min, max }) => (min, max),
            _ => (0, u64::from(u32::MAX)),
        };
        self.parsed(key, 0, |text| match text.replace('_', "").parse::<u64>() {
            Ok(count) if (min..=max).contains(&count) => usize::try_from(count).map_err(|error| error.to_string()),
            _ => Err(format!("expects a whole number from {min} to {max}")),
        })
    }

    /// A size in bytes, at least what the table of settings gives.
    pub fn size(&mut self, key: &'static str) -> u64 {
        let min = match keys::find(key).map(|key| key.kind) {
            Some(Kind::Size { min }) => min,
            _ => 0,
        };
        self.parsed(key, 0, |text| {
            let bytes = units::parse_size(text)?;
            if bytes < min { Err(format!("expects at least {}", units::format_size(min))) } else { Ok(bytes) }
        })
    }

    /// A size, or a part of the memory there is.
    pub fn memory(&mut self, key: &'static str) -> u64 {
        const MIN: u64 = 16 << 20;
        self.parsed(key, 0, |text| {
            let bytes = match units::parse_percent(text) {
                Some(percent) => (percent? / 100.0 * memory::available_bytes() as f64) as u64,
                None => units::parse_size(text)?,
            };
            if bytes < MIN { Err(format!("expects at least {}", units::format_size(MIN))) } else { Ok(bytes) }
        })
    }

    /// A duration in words.
    pub fn duration(&mut self, key: &'static str) -> Duration {
        self.parsed(key, Duration::ZERO, units::parse_duration)
    }

    /// `none` and zero mean: no limit.
    pub fn duration_or_none(&mut self, key: &'static str) -> Option<Duration> {
        self.parsed(key, None, |text| {
            if text.eq_ignore_ascii_case("none") {
                return Ok(None);
            }
            units::parse_duration(text).map(|duration| Some(duration).filter(|duration| !duration.is_zero()))
        })
    }

    /// One of these words, in any case; the first is the fallback after a mistake.
    pub fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> T {
        self.parsed(key, words[0].1, |text| {
            let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
            let names = || words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
            found.map(|(_, value)| *value).ok_or_else(|| format!("expects {}", names()))
        })
    }

    /// An address of this machine. Names other than localhost are not looked up: what they mean can change.
    pub fn address(&mut self, key: &'static str) -> SocketAddr {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        self.parsed(key, nowhere, |text| {
            let text = match text.strip_prefix("localhost:") {
                Some(port) => format!("{}:{port}", Ipv4Addr::LOCALHOST),
                None => text.to_owned(),
            };
            text.parse().map_err(|_| "expects an IP address and a port, such as \"127.0.0.1:32010\"".into())
        })
    }

    /// A path, `None` when it is empty.
    pub fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let (text, directory) = self.take_text(key)?;
        (!text.is_empty()).then(|| absolute(Path::new(&text), directory.as_deref()))
    }

    /// The directories that SQL may reach.
    pub fn roots(&mut self, key: &'static str) -> Vec<RootConfig> {
        let Some(found) = self.take(key) else { return Vec::new() };
        let entries = match found.raw {
            Raw::List(entries) => entries,
            Raw::Text(text) => text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(short_root).collect(),
        };
        let mut roots = Vec::new();
        for entry in entries {
            match root(entry, found.directory.as_deref()) {
                Ok(root) => roots.push(root),
                Err(what) => self.mistake(key, what),
            }
        }
        roots
    }

    /// The buckets that SQL may reach.
    pub fn buckets(&mut self, key: &'static str) -> Vec<BucketConfig> {
        let Some(found) = self.take(key) else { return Vec::new() };
        let entries = match found.raw {
            Raw::List(entries) => entries,
            Raw::Text(text) if text.is_empty() => Vec::new(),
            Raw::Text(_) => {
                self.mistake(key, "expects a list of tables: [{bucket = \"lake\", ..}]");
                Vec::new()
            }
        };
        let mut taken = Vec::new();
        for entry in entries {
            match buckets::bucket(entry, found.directory.as_deref()) {
                Ok(bucket) => taken.push(bucket),
                Err(what) => self.mistake(key, what),
            }
        }
        taken
    }
}

/// `/data`, `/data=/srv/data`, `/data=/srv/data:rw`.
fn short_root(text: &str) -> BTreeMap<String, String> {
    let (rest, writable) = text.strip_suffix(":rw").map_or((text, false), |rest| (rest, true));
    let (prefix, path) = rest.split_once('=').unwrap_or((rest, rest));
    [("prefix", prefix.to_owned()), ("path", path.to_owned()), ("writable", writable.to_string())]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

fn root(mut entry: BTreeMap<String, String>, directory: Option<&Path>) -> Result<RootConfig, String> {
    let (prefix, path) = (entry.remove("prefix"), entry.remove("path"));
    let writable = match entry.remove("writable").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(format!("expects \"writable\" to be true or false, found \"{other}\"")),
    };
    if let Some(unknown) = entry.keys().next() {
        let near = crate::error::nearest(unknown, ["prefix", "path", "writable"]);
        let near = near.map(|near| format!(", did you mean \"{near}\"?")).unwrap_or_default();
        return Err(format!("has an entry with an unknown key \"{unknown}\"{near}"));
    }
    let (prefix, path) = match (prefix, path) {
        (Some(prefix), Some(path)) => (prefix, path),
        (Some(only), None) | (None, Some(only)) => (only.clone(), only),
        (None, None) => return Err("has an entry without \"prefix\" and \"path\"".into()),
    };
    if prefix.is_empty() || path.is_empty() {
        return Err("has an entry with an empty \"prefix\" or \"path\"".into());
    }
    let path = absolute(Path::new(&path), directory);
    // A relative root is known to statements by its absolute path.
    let prefix = if Path::new(&prefix).is_absolute() { prefix } else { absolute(Path::new(&prefix), directory).display().to_string() };
    let trimmed = prefix.trim_end_matches('/');
    if trimmed.split('/').any(|part| part == "..") {
        return Err(format!("has a prefix with \"..\": \"{prefix}\""));
    }
    Ok(RootConfig { prefix: if trimmed.is_empty() { "/".into() } else { trimmed.into() }, path, writable })
}

/// The absolute form, without `.` and double slashes; `..` stays, because of symbolic links.
pub(super) fn absolute(path: &Path, directory: Option<&Path>) -> PathBuf {
    let path = directory.map_or_else(|| path.to_owned(), |directory| directory.join(path));
    // Fails only for an empty path or without a working directory.
    std::path::absolute(&path).unwrap_or(path)
}
