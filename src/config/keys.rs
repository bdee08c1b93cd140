//! Every setting: key, kind, default, help. `default.toml` and the reference page say the same; a test holds it.

use std::fmt::Write as _;

/// What a setting accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A file or directory.
    Path,
    /// IP address and port.
    Address,
    /// `true` or `false`.
    Flag,
    /// A whole number in a range.
    Count { min: u64, max: u64 },
    /// A duration in words.
    Duration,
    /// A duration in words, or `none`.
    DurationOrNone,
    /// A size in words, in bytes; at least this much.
    Size { min: u64 },
    /// A size in words, or a percentage of the memory there is.
    Memory,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Directories that SQL may reach.
    Roots,
    /// Buckets of S3-compatible stores that SQL may reach.
    Buckets,
}

impl Kind {
    /// For the reference.
    pub fn describe(self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Path => "path".into(),
            Self::Address => "address:port".into(),
            Self::Flag => "true or false".into(),
            Self::Count { min, max } => format!("{min} to {max}"),
            Self::Duration => "duration".into(),
            Self::DurationOrNone => "duration or none".into(),
            Self::Size { .. } => "size".into(),
            Self::Memory => "size or percent".into(),
            Self::Choice(words) => words.join(" or "),
            Self::Roots => "list of {prefix, path, writable}".into(),
            Self::Buckets => "list of {bucket, prefix, endpoint, ..}".into(),
        }
    }
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// `section.key`, as the environment and flags name it too.
    pub name: &'static str,
    pub kind: Kind,
    /// As text; empty for "not set".
    pub default: &'static str,
    /// A fragment for the reference.
    pub help: &'static str,
}

const fn key(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
    Key { name, kind, default, help }
}

const COUNT: Kind = Kind::Count { min: 1, max: 1_000_000 };

/// Every setting, in the order of the reference.
pub static KEYS: &[Key] = &[
    key("data_dir", Kind::Path, "weir-data", "catalog, managed tables, models and temporary files of the server"),
    key(
        "server.flight_listen",
        Kind::Address,
        "127.0.0.1:32010",
        "Flight SQL listener; port 0 takes a free one; outside loopback it needs TLS",
    ),
    key("server.tls_cert", Kind::Path, "", "certificate chain of the server, PEM"),
    key("server.tls_key", Kind::Path, "", "private key of the server, PEM"),
    key("server.tls_client_ca", Kind::Path, "", "authorities that must have signed the certificate of a client, PEM"),
    key("server.dev", Kind::Flag, "false", "development mode: no password on loopback"),
    key("server.connections_max", COUNT, "1000", "open connections; more are refused"),
    key("server.message_bytes_max", Kind::Size { min: 64 << 10 }, "64 MiB", "one message from a client"),
    key("server.shutdown_grace", Kind::Duration, "30 s", "how long running queries may go on after the first signal"),
    key("auth.token_idle", Kind::Duration, "1 h", "a session without a request for this long must log in again"),
    key("auth.token_lifetime", Kind::Duration, "24 h", "a session must log in again after this time in any case"),
    key("auth.tokens_max", COUNT, "10000", "sessions open at once; the longest idle one makes room"),
    key("auth.admin_password_file", Kind::Path, "", "first password of the user admin; empty: generated and printed once"),
    key("storage.roots", Kind::Roots, "", "directories that SQL may reach"),
    key("storage.s3", Kind::Buckets, "", "buckets of S3-compatible stores that SQL may reach, see Tables in S3 of the guide to tables"),
    key("storage.warehouse", Kind::Path, "", "managed tables and relative locations; empty: warehouse in data_dir"),
    key("limits.memory", Kind::Memory, "50 %", "memory of all queries together"),
    key("limits.spill_dir", Kind::Path, "", "where queries put what does not fit into memory; empty: spill in data_dir"),
    key("limits.spill_bytes_max", Kind::Size { min: 0 }, "20 GiB", "disk space of all queries together"),
    key("limits.query_timeout", Kind::DurationOrNone, "none", "a statement that runs longer is cancelled"),
    key("limits.queries_max", Kind::Count { min: 1, max: 10_000 }, "32", "statements that run at once; more are refused"),
    key(
        "limits.queries_per_user_max",
        Kind::Count { min: 1, max: 10_000 },
        "16",
        "statements of one user that run at once; more are refused",
    ),
    key("limits.sql_bytes_max", Kind::Size { min: 1 << 10 }, "1 MiB", "text of one statement"),
    key("limits.planning_timeout", Kind::Duration, "30 s", "a statement that plans longer is refused"),
    key("limits.history_rows", Kind::Count { min: 0, max: 1_000_000 }, "10000", "finished statements that system.queries remembers"),
    key("telemetry.log_level", Kind::Text, "info", "what is logged: error, warn, info, debug, trace, also by module"),
    key("telemetry.log_format", Kind::Choice(&["text", "json"]), "text", "how it is logged, always to stderr"),
];

/// The setting of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// How the environment spells a key: `WEIR__SERVER__DEV`.
pub fn environment_name(key: &str) -> String {
    format!("{}{}", super::layers::ENVIRONMENT_PREFIX, key.replace('.', "__").to_uppercase())
}

/// The reference page, Markdown.
pub fn reference() -> String {
    let mut page = String::from("# Configuration\n\nPrinted from the table of settings; do not edit.\n");
    let mut section = None;
    for key in KEYS {
        let here = key.name.split_once('.').map_or("", |(section, _)| section);
        if section != Some(here) {
            section = Some(here);
            let title = if here.is_empty() { "General".to_owned() } else { format!("[{here}]") };
            page.push_str(&format!(
                "\n## {title}\n\n| key | value | default | what it is | environment |\n| --- | --- | --- | --- | --- |\n"
            ));
        }
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        let (kind, environment) = (key.kind.describe(), environment_name(key.name));
        let _infallible = writeln!(page, "| `{}` | {kind} | {default} | {} | `{environment}` |", key.name, key.help);
    }
    page
}
