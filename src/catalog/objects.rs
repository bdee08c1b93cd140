//! The objects of the catalog: plain values that serialise.
//!
//! A field that was added later has a serde default, and unknown fields are skipped: a catalog written by
//! the next weir can be read by this one, and the other way round.

use super::names::resolve_database_name;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The key of an object inside its kind: database and name in lower case for look-up, as written for display.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Lower case.
    pub database: String,
    /// Lower case.
    pub name: String,
}

impl ObjectKey {
    /// The key for names as written; the database `default` is `public`.
    pub fn new(database: &str, name: &str) -> Self {
        Self { database: resolve_database_name(database), name: name.to_lowercase() }
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.database, self.name)
    }
}

/// A database: a name for tables, views and models to lie under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// As written.
    pub name: String,
    pub location: Option<String>,
    pub comment: Option<String>,
    pub created_ms: i64,
}

/// A table, external or managed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Unique for the life of the server, also across drop and create.
    pub id: String,
    pub database: String,
    /// As written.
    pub name: String,
    pub kind: TableKind,
    /// Data columns, without partition columns that are directories (Hive tables).
    pub columns: Vec<Column>,
    /// Partition columns in order. For a managed table they are also in `columns`; for a Hive table they are not.
    pub partition_columns: Vec<Column>,
    /// Declared, not enforced.
    #[serde(default)]
    pub primary_key: Vec<String>,
    /// Upper case: PARQUET, CSV, TEXTFILE, JSON; managed tables: DELTA.
    pub format: String,
    /// As the user wrote it; the directory for a managed table that was not given one.
    pub location: String,
    /// A managed or streaming table lies where the user said: DROP leaves its files.
    #[serde(default)]
    pub located: bool,
    pub comment: Option<String>,
    /// TBLPROPERTIES, in the order and case written.
    #[serde(default)]
    pub properties: Vec<(String, String)>,
    /// OPTIONS and ROW FORMAT as option keys, in the order written.
    #[serde(default)]
    pub options: Vec<(String, String)>,
    /// Partitions with a location of their own (ALTER TABLE ADD PARTITION .. LOCATION): `dt=2026-01-01` -> location.
    #[serde(default)]
    pub partition_locations: BTreeMap<String, String>,
    /// The columns were inferred from the files, not declared.
    #[serde(default)]
    pub inferred: bool,
    pub created_ms: i64,
    pub owner: String,
    /// What feeds a streaming table; `None` for other kinds.
    #[serde(default)]
    pub stream: Option<StreamDef>,
}

impl Table {
    /// The key under which it is found.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.database, &self.name)
    }

    /// A Delta table of another program: its log knows its columns and partitions, and nobody here writes to it.
    pub fn is_external_delta(&self) -> bool {
        self.kind == TableKind::External && self.format == "DELTA"
    }

    /// Partition columns are directories, and not among the columns.
    pub fn has_partition_directories(&self) -> bool {
        self.kind == TableKind::External && self.format != "DELTA"
    }
}

/// Who owns the files of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableKind {
    /// Somebody else's files; DROP leaves them.
    External,
    /// Our files under a Delta log.
    Managed,
    /// Our files under a Delta log, fed by a source.
    Streaming,
}

/// What feeds a streaming table, and what is wanted of its job. The options of the source are the table's `options`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StreamDef {
    /// `kafka`.
    pub connector: String,
    /// Options whose value is a secret: option key, name of the secret.
    #[serde(default)]
    pub secret_options: Vec<(String, String)>,
    /// Columns with METADATA FROM: column name, `topic` | `partition` | `offset` | `timestamp` | `key` | `headers`.
    #[serde(default)]
    pub metadata_columns: Vec<(String, String)>,
    #[serde(default)]
    pub watermark: Option<WatermarkDef>,
    /// ALTER STREAMING TABLE .. PAUSE.
    #[serde(default)]
    pub paused: bool,
    /// The newest ALTER STREAMING TABLE .. SEEK; its number says whether the table's log has carried it out.
    #[serde(default)]
    pub seek: Option<Seek>,
    /// Grows when ALTER STREAMING TABLE .. RESUME wants a job that has failed to be started again.
    #[serde(default)]
    pub restarts: u32,
}

/// `WATERMARK FOR column AS column - INTERVAL ..`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkDef {
    pub column: String,
    pub delay_ms: i64,
}

/// A wish to read again from somewhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seek {
    /// Grows with every SEEK of the table.
    pub number: i64,
    pub to: SeekTo,
}

/// Where SEEK goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeekTo {
    Earliest,
    /// Where the topic ends when it is carried out.
    Latest,
    /// Where the topic's partitions ended when the statement ran, and which topic of the name that was.
    LatestAt {
        ends: BTreeMap<i32, i64>,
        topic_id: Option<i64>,
    },
    /// Milliseconds since 1970.
    TimestampMs(i64),
    /// Partition and offset; partitions that are not named stay where they are.
    Offsets(BTreeMap<i32, i64>),
}

/// A column as declared or inferred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// As written.
    pub name: String,
    /// The SQL type as written in DDL or as `engine::types::sql_name` prints it.
    pub sql_type: String,
    pub nullable: bool,
    pub comment: Option<String>,
}

/// A view: SQL text, planned again whenever it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    pub database: String,
    pub name: String,
    /// The query as written.
    pub sql: String,
    /// Column names given in CREATE VIEW v (a, b).
    #[serde(default)]
    pub column_names: Vec<String>,
    /// The columns when it was created, for listings.
    #[serde(default)]
    pub columns: Vec<Column>,
    /// The database that was current at creation: unqualified names resolve there.
    pub search_database: String,
    pub comment: Option<String>,
    pub created_ms: i64,
    pub owner: String,
}

impl View {
    /// The key under which it is found.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.database, &self.name)
    }
}

/// How a version of a model is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    pub model_type: String,
    /// Options as written.
    #[serde(default)]
    pub options: Vec<(String, String)>,
    /// The training query as written; empty for an imported model.
    pub query: String,
    /// Where names without a database are looked up in it; empty in catalogs of before.
    #[serde(default)]
    pub search_database: String,
    /// The session's time zone; empty in catalogs of before.
    #[serde(default)]
    pub timezone: String,
}

/// A model with its versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub id: String,
    pub database: String,
    pub name: String,
    /// Of the version that queries use.
    #[serde(flatten)]
    pub training: Training,
    /// The version that queries use.
    pub default_version: u64,
    pub versions: Vec<ModelVersion>,
    pub created_ms: i64,
    pub owner: String,
}

impl Model {
    /// The key under which it is found.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::new(&self.database, &self.name)
    }

    /// The version that queries use, unless it was removed.
    pub fn default(&self) -> Option<&ModelVersion> {
        self.versions.iter().find(|version| version.version == self.default_version)
    }
}

/// One trained version. The artefact lies in the models directory under `<id>/<version>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelVersion {
    pub version: u64,
    pub trained_ms: i64,
    #[serde(with = "exact_number")]
    pub train_seconds: f64,
    /// Metrics by name (`rmse`, `mae`), and counts (`rows_train`, `rows_eval`, `rows_eval_dropped`).
    #[serde(default, with = "exact_numbers")]
    pub metrics: BTreeMap<String, f64>,
    /// Effective parameters after defaults, for DESCRIBE MODEL.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// Its own, for versions of one model need not be of one type; `None` in catalogs of before.
    #[serde(default)]
    pub training: Option<Training>,
    /// How far the training had read the streaming tables of its query, by table id, when rows since then are folded in
    /// (`online_update`); the text is the streaming table's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub followed: Option<BTreeMap<String, String>>,
}

/// A user with verifiers; the password itself is nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub name: String,
    pub admin: bool,
    /// argon2id, PHC text.
    pub argon2: Option<String>,
    /// `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`, as PostgreSQL stores it.
    pub scram: Option<String>,
    pub created_ms: i64,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("admin", &self.admin).finish_non_exhaustive()
    }
}

/// A secret: where its value is found, never the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    pub name: String,
    pub source: SecretSource,
    pub created_ms: i64,
}

/// Where the server reads a secret when it needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretSource {
    /// The name of an environment variable of the server.
    Env(String),
    /// The path of a file on the server.
    File(String),
}

/// Floating-point numbers as text: JSON has no NaN, and its parser may be off by the last bit.
mod exact_number {
    use serde::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    pub(super) enum Number {
        Text(String),
        Plain(f64),
    }

    impl Number {
        pub(super) fn value<E: serde::de::Error>(self) -> Result<f64, E> {
            match self {
                Self::Text(text) => text.parse().map_err(|_| E::custom("a number is not readable")),
                Self::Plain(value) => Ok(value),
            }
        }
    }

    /// Writes the number as text: JSON has no NaN and may lose the last bit.
    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    /// Reads what `serialize` wrote.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Number::deserialize(deserializer)?.value()
    }
}

/// The same for named numbers.
mod exact_numbers {
    use super::exact_number::Number;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;

    /// Writes the number as text: JSON has no NaN and may lose the last bit.
    pub fn serialize<S: Serializer>(values: &BTreeMap<String, f64>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(values.iter().map(|(name, value)| (name, value.to_string())))
    }

    /// Reads what `serialize` wrote.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
        let numbers = BTreeMap::<String, Number>::deserialize(deserializer)?;
        numbers.into_iter().map(|(name, number)| Ok((name, number.value()?))).collect()
    }
}
