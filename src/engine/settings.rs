//! What SET may change, and nothing else.
//!
//! Everything that touches memory, paths or parallelism is the administrator's, in the configuration.

use crate::error::{Code, Error, Result};
use crate::tables::streaming::StreamRead;
use datafusion::arrow::array::timezone::Tz;
use std::collections::BTreeMap;
use std::time::Duration;

/// One setting that a session may change.
#[derive(Debug)]
pub struct Setting {
    /// Name as shown; compared without case.
    pub name: &'static str,
    /// Value of a new session.
    pub default: &'static str,
    /// What it does, a fragment.
    pub help: &'static str,
    check: fn(&str) -> Result<String, String>,
}

/// The allow-list.
pub static SETTINGS: &[Setting] = &[
    Setting { name: "application_name", default: "", help: "name of the client in system.queries", check: short_text },
    Setting {
        name: "statement_timeout",
        default: "0",
        help: "longest run of a statement: '30 s', '5 min', milliseconds as a bare number, 0 = the server's limit",
        check: duration,
    },
    Setting {
        name: "stream_read",
        default: "hot",
        help: "what a query sees of a streaming table: 'hot' = committed rows and those that arrived since, 'committed', 'latest' = \
               waits for what the topic holds now",
        check: stream_read,
    },
    Setting { name: "stream_read_timeout", default: "10 s", help: "longest wait of stream_read = 'latest'", check: duration },
    Setting { name: "timezone", default: "UTC", help: "time zone of now() and of casts from text with a zone", check: time_zone },
];

/// Settings of PostgreSQL that its clients send on connect. They are accepted and change nothing.
static ACCEPTED: &[&str] = &[
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "session_authorization",
    "standard_conforming_strings",
    "synchronous_commit",
    "transaction_isolation",
    "transaction_read_only",
    "row_security",
    "server_version",
    "server_encoding",
    "integer_datetimes",
    "max_identifier_length",
];

/// The settings of one session: only what differs from the defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    changed: BTreeMap<&'static str, String>,
}

impl Settings {
    /// Changes a setting; `None` puts its default back.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        let Some(setting) = find(name) else {
            return if accepted(name) { Ok(()) } else { Err(unknown(name)) };
        };
        match value {
            None => {
                self.changed.remove(setting.name);
            }
            Some(value) => {
                let value = (setting.check)(value).map_err(|why| {
                    Error::new(Code::InvalidParameter, format!("setting \"{}\" cannot be \"{value}\"", setting.name)).hint(why)
                })?;
                self.changed.insert(setting.name, value);
            }
        }
        Ok(())
    }

    /// Puts every default back.
    pub fn reset_all(&mut self) {
        self.changed.clear();
    }

    /// The value of a setting, for SHOW.
    pub fn get(&self, name: &str) -> Result<String> {
        match find(name) {
            Some(setting) => Ok(self.changed.get(setting.name).cloned().unwrap_or_else(|| setting.default.to_owned())),
            None => match name.to_lowercase().as_str() {
                "server_version" => Ok(env!("CARGO_PKG_VERSION").into()),
                "transaction_isolation" | "default_transaction_isolation" | "transaction isolation level" => Ok("read committed".into()),
                "client_encoding" | "server_encoding" => Ok("UTF8".into()),
                "standard_conforming_strings" | "integer_datetimes" => Ok("on".into()),
                "transaction_read_only" | "default_transaction_read_only" => Ok("off".into()),
                "datestyle" => Ok("ISO, MDY".into()),
                "max_identifier_length" => Ok("63".into()),
                _ if accepted(name) => Ok(String::new()),
                _ => Err(unknown(name)),
            },
        }
    }

    /// Name, value, help of every setting.
    pub fn all(&self) -> Vec<(&'static str, String, &'static str)> {
        SETTINGS
            .iter()
            .map(|setting| {
                (setting.name, self.changed.get(setting.name).cloned().unwrap_or_else(|| setting.default.to_owned()), setting.help)
            })
            .collect()
    }

    /// The session's own statement timeout; `None` leaves the server's.
    pub fn statement_timeout(&self) -> Option<Duration> {
        let value = self.changed.get("statement_timeout")?;
        parse_duration(value).filter(|duration| !duration.is_zero())
    }

    /// What queries see of streaming tables.
    pub fn stream_reading(&self) -> StreamReading {
        let value = |name: &str| self.get(name).unwrap_or_default();
        StreamReading {
            read: stream_read_of(&value("stream_read")).unwrap_or_default(),
            timeout: parse_duration(&value("stream_read_timeout")).unwrap_or_default(),
        }
    }

    /// The session's time zone.
    pub fn timezone(&self) -> &str {
        self.changed.get("timezone").map_or("UTC", String::as_str)
    }
}

/// What a query sees of streaming tables, and how long it waits for that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamReading {
    pub read: StreamRead,
    /// For [`StreamRead::Latest`].
    pub timeout: Duration,
}

fn find(name: &str) -> Option<&'static Setting> {
    let name = if name.eq_ignore_ascii_case("time zone") { "timezone" } else { name };
    SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
}

fn accepted(name: &str) -> bool {
    ACCEPTED.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn unknown(name: &str) -> Error {
    if name.to_lowercase().starts_with("datafusion.") || name.to_lowercase().starts_with("runtime.") {
        return Error::new(Code::Forbidden, format!("setting \"{name}\" is the administrator's"))
            .hint("SHOW ALL lists what a session may set.");
    }
    let error = Error::unknown(
        Code::InvalidParameter,
        format!("setting \"{name}\" does not exist"),
        name,
        SETTINGS.iter().map(|setting| setting.name),
    );
    if error.hint.is_none() { error.hint("SHOW ALL lists what a session may set.") } else { error }
}

fn short_text(value: &str) -> Result<String, String> {
    if value.len() > 128 { Err("It may have at most 128 bytes.".into()) } else { Ok(value.to_owned()) }
}

fn duration(value: &str) -> Result<String, String> {
    match parse_duration(value) {
        Some(duration) if duration <= Duration::from_secs(24 * 3600) => Ok(value.to_owned()),
        Some(_) => Err("It may be at most 24 hours.".into()),
        None => Err("Write '30 s', '5 min', or milliseconds as a bare number.".into()),
    }
}

fn stream_read(value: &str) -> Result<String, String> {
    match stream_read_of(value) {
        Some(_) => Ok(value.to_lowercase()),
        None => Err("Use one of: hot, committed, latest.".into()),
    }
}

fn stream_read_of(value: &str) -> Option<StreamRead> {
    [("hot", StreamRead::Hot), ("committed", StreamRead::Committed), ("latest", StreamRead::Latest)]
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(value))
        .map(|(_, read)| *read)
}

fn time_zone(value: &str) -> Result<String, String> {
    if value.eq_ignore_ascii_case("default") {
        return Ok("UTC".into());
    }
    match value.parse::<Tz>() {
        Ok(_) => Ok(value.to_owned()),
        Err(_) => Err("Write a name such as 'Europe/Paris', or an offset such as '+02:00'.".into()),
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..split].parse().ok()?;
    let unit = match text[split..].trim() {
        "" | "ms" => 0.001,
        "s" | "sec" | "second" | "seconds" => 1.0,
        "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_allow_list_can_be_set() {
        let mut settings = Settings::default();
        assert_eq!(settings.set("datafusion.runtime.memory_limit", Some("1T")).unwrap_err().code, Code::Forbidden);
        assert_eq!(settings.set("statement_timeuot", Some("1")).unwrap_err().hint.unwrap(), "Did you mean \"statement_timeout\"?");
        assert_eq!(settings.set("statement_timeout", Some("forever")).unwrap_err().code, Code::InvalidParameter);
        assert_eq!(settings.set("timezone", Some("Mars/Olympus")).unwrap_err().code, Code::InvalidParameter);
        settings.set("extra_float_digits", Some("3")).unwrap();
    }

    #[test]
    fn durations_are_words_or_milliseconds() {
        for (text, millis) in [("1500", 1500), ("30 s", 30_000), ("2min", 120_000), ("1.5 h", 5_400_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_session_says_what_it_sees_of_streams() {
        let mut settings = Settings::default();
        let reading = |read, seconds| StreamReading { read, timeout: Duration::from_secs(seconds) };
        assert_eq!(settings.stream_reading(), reading(StreamRead::Hot, 10));
        settings.set("stream_read", Some("LATEST")).unwrap();
        settings.set("stream_read_timeout", Some("2 s")).unwrap();
        assert_eq!(settings.stream_reading(), reading(StreamRead::Latest, 2));
        assert_eq!(settings.set("stream_read", Some("warm")).unwrap_err().hint.unwrap(), "Use one of: hot, committed, latest.");
    }

    #[test]
    fn reset_puts_the_default_back() {
        let mut settings = Settings::default();
        settings.set("TimeZone", Some("Europe/Paris")).unwrap();
        assert_eq!(settings.get("timezone").unwrap(), "Europe/Paris");
        settings.set("timezone", None).unwrap();
        assert_eq!(settings.get("timezone").unwrap(), "UTC");
    }
}
