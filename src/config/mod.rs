//! One struct of settings: defaults, file, environment, flags.
//!
//! ```text
//!   default.toml < weir.toml < WEIR__SECTION__KEY < flags     raw text, each with its source   (layers)
//!          └─► taken apart key by key, checked                every mistake noted              (bag)
//!                 └─► Config, or all mistakes together
//! ```
//! The table [`KEYS`] is the truth: the reference is printed from it, and a test holds that it agrees with
//! `default.toml` and with [`Config`].

mod bag;
mod buckets;
pub mod keys;
mod layers;
mod memory;
mod secret;
pub mod units;

#[cfg(test)]
mod tests;

pub use buckets::{BucketConfig, BucketKeys};
pub use keys::{KEYS, Key, Kind};
pub use layers::{DEFAULT_TOML, Mistake, Sources};
pub use secret::Secret;

use crate::error::{Code, Report};
use bag::Bag;
use layers::Layers;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every setting, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub data_dir: PathBuf,
    pub server: ServerConfig,
    pub auth: AuthConfig,
    pub storage: StorageConfig,
    pub limits: Limits,
    pub telemetry: TelemetryConfig,
    /// Where each setting came from, by key: `default`, `weir.toml line 3`.
    pub sources: BTreeMap<&'static str, String>,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub flight_listen: SocketAddr,
    pub tls: Option<TlsConfig>,
    /// Clients on this machine need no password.
    pub dev: bool,
    pub connections_max: usize,
    pub message_bytes_max: usize,
    pub shutdown_grace: Duration,
}

/// The PEM files of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Clients must show a certificate of these authorities.
    pub client_ca: Option<PathBuf>,
}

/// `[auth]`
#[derive(Debug, Clone)]
pub struct AuthConfig {
    pub token_idle: Duration,
    pub token_lifetime: Duration,
    pub tokens_max: usize,
    pub admin_password_file: Option<PathBuf>,
}

/// `[storage]`
#[derive(Debug, Clone)]
pub struct StorageConfig {
    pub roots: Vec<RootConfig>,
    pub buckets: Vec<BucketConfig>,
    pub warehouse: PathBuf,
}

/// A directory that SQL may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootConfig {
    /// As statements write it; absolute, without a final slash.
    pub prefix: String,
    /// Absolute.
    pub path: PathBuf,
    pub writable: bool,
}

/// `[limits]`
#[derive(Debug, Clone)]
pub struct Limits {
    pub memory_bytes: u64,
    pub spill_dir: PathBuf,
    pub spill_bytes_max: u64,
    pub query_timeout: Option<Duration>,
    pub queries_max: usize,
    pub queries_per_user_max: usize,
    pub sql_bytes_max: usize,
    pub planning_timeout: Duration,
    pub history_rows: usize,
}

/// `[telemetry]`
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// A filter of `tracing`: `info`, `info,weir::catalog=debug`.
    pub log_level: String,
    pub log_format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "the configuration has a mistake: {only}"),
            all => {
                write!(f, "the configuration has {} mistakes:", all.len())?;
                all.iter().enumerate().try_for_each(|(idx, mistake)| write!(f, "\n  ({}) {mistake}", idx + 1))
            }
        }
    }
}

impl std::error::Error for Mistakes {}

impl Report for Mistakes {
    fn code(&self) -> Code {
        Code::InvalidParameter
    }
}

impl Config {
    /// Lays the sources over the defaults and checks everything; says all mistakes at once.
    pub fn load(sources: &Sources) -> Result<Self, Mistakes> {
        let mut bag = Bag::new(Layers::read(sources));
        let mut config = Self::take(&mut bag);
        config.check(&mut bag);
        debug_assert!(bag.left_over().is_empty(), "settings that nobody reads: {:?}", bag.left_over());
        if bag.mistakes.is_empty() {
            config.sources = bag.sources;
            Ok(config)
        } else {
            Err(Mistakes(bag.mistakes))
        }
    }

    fn take(bag: &mut Bag) -> Self {
        // An empty path cannot be: the table gives a default, and an empty one is refused in `check`.
        let data_dir = bag.path("data_dir").unwrap_or_default();
        let (roots, buckets) = (bag.roots("storage.roots"), bag.buckets("storage.s3"));
        let warehouse = bag.path("storage.warehouse").unwrap_or_else(|| data_dir.join("warehouse"));
        let spill_dir = bag.path("limits.spill_dir").unwrap_or_else(|| data_dir.join("spill"));
        Self {
            server: ServerConfig {
                flight_listen: bag.address("server.flight_listen"),
                tls: take_tls(bag),
                dev: bag.flag("server.dev"),
                connections_max: bag.count("server.connections_max"),
                message_bytes_max: usize::try_from(bag.size("server.message_bytes_max")).unwrap_or(usize::MAX),
                shutdown_grace: bag.duration("server.shutdown_grace"),
            },
            auth: AuthConfig {
                token_idle: bag.duration("auth.token_idle"),
                token_lifetime: bag.duration("auth.token_lifetime"),
                tokens_max: bag.count("auth.tokens_max"),
                admin_password_file: bag.path("auth.admin_password_file"),
            },
            storage: StorageConfig { roots, buckets, warehouse },
            limits: Limits {
                memory_bytes: bag.memory("limits.memory"),
                spill_dir,
                spill_bytes_max: bag.size("limits.spill_bytes_max"),
                query_timeout: bag.duration_or_none("limits.query_timeout"),
                queries_max: bag.count("limits.queries_max"),
                queries_per_user_max: bag.count("limits.queries_per_user_max"),
                sql_bytes_max: usize::try_from(bag.size("limits.sql_bytes_max")).unwrap_or(usize::MAX),
                planning_timeout: bag.duration("limits.planning_timeout"),
                history_rows: bag.count("limits.history_rows"),
            },
            telemetry: TelemetryConfig {
                log_level: take_log_level(bag),
                log_format: bag.choice("telemetry.log_format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
            },
            data_dir,
            sources: BTreeMap::new(),
        }
    }

    /// The rules between settings.
    fn check(&self, bag: &mut Bag) {
        if self.data_dir.as_os_str().is_empty() {
            bag.mistake("data_dir", "cannot be empty");
        }
        let listen = self.server.flight_listen;
        if !is_loopback(listen) {
            if self.server.tls.is_none() {
                bag.mistake(
                    "server.flight_listen",
                    format!("{listen} can be reached from outside, which needs TLS: set \"server.tls_cert\" and \"server.tls_key\""),
                );
            }
            if self.server.dev {
                bag.mistake("server.dev", format!("needs a loopback listener, and \"server.flight_listen\" is {listen}"));
            }
        }
        if self.auth.token_idle.is_zero() {
            bag.mistake("auth.token_idle", "must be longer than zero");
        }
        if self.auth.token_lifetime < self.auth.token_idle {
            bag.mistake("auth.token_lifetime", "cannot be shorter than \"auth.token_idle\"");
        }
        if self.limits.planning_timeout.is_zero() {
            bag.mistake("limits.planning_timeout", "must be longer than zero");
        }
        for (idx, bucket) in self.storage.buckets.iter().enumerate() {
            if self.storage.buckets[..idx].iter().any(|other| other.bucket == bucket.bucket) {
                bag.mistake("storage.s3", format!("has the bucket \"{}\" twice", bucket.bucket));
            }
        }
        for (idx, root) in self.storage.roots.iter().enumerate() {
            if self.storage.roots[..idx].iter().any(|other| other.prefix == root.prefix) {
                bag.mistake("storage.roots", format!("has the prefix \"{}\" twice", root.prefix));
            }
            // Or SQL could read the password verifiers, and write the catalog.
            if resolved(&self.data_dir).starts_with(resolved(&root.path)) {
                bag.mistake("storage.roots", format!("gives SQL the server's own data_dir, which lies in \"{}\"", root.path.display()));
            }
        }
    }

    /// The catalog file.
    pub fn catalog_file(&self) -> PathBuf {
        self.data_dir.join("meta.db")
    }

    /// Where model artefacts lie.
    pub fn models_dir(&self) -> PathBuf {
        self.data_dir.join("models")
    }
}

fn take_tls(bag: &mut Bag) -> Option<TlsConfig> {
    let (cert, key, client_ca) = (bag.path("server.tls_cert"), bag.path("server.tls_key"), bag.path("server.tls_client_ca"));
    match (cert, key) {
        (Some(cert), Some(key)) => return Some(TlsConfig { cert, key, client_ca }),
        (Some(_), None) => bag.mistake("server.tls_cert", "needs \"server.tls_key\" too"),
        (None, Some(_)) => bag.mistake("server.tls_key", "needs \"server.tls_cert\" too"),
        (None, None) if client_ca.is_some() => {
            bag.mistake("server.tls_client_ca", "needs \"server.tls_cert\" and \"server.tls_key\" too");
        }
        (None, None) => {}
    }
    None
}

/// Checked here, so that a misspelt level is not found out by missing logs.
fn take_log_level(bag: &mut Bag) -> String {
    let level = bag.text("telemetry.log_level");
    let names = ["off", "error", "warn", "info", "debug", "trace"];
    for part in level.split(',').filter(|part| !part.is_empty()) {
        let name = part.rsplit('=').next().unwrap_or(part).trim();
        if !names.contains(&name.to_lowercase().as_str()) {
            bag.mistake("telemetry.log_level", format!("expects {}, found \"{name}\"", names.join(", ")));
        }
    }
    level
}

/// The path without symbolic links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (ancestor.canonicalize(), path.strip_prefix(ancestor)) {
            return real.join(rest);
        }
    }
    path.to_owned()
}

/// True when nobody outside this machine can connect.
pub fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
