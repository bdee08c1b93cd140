//! The options of a table that is fed from Kafka: what was typed on one side, what is used on the other.

use super::properties::{Properties, canonical_key, is_secret_key};
use crate::config::units;
use crate::connect::Start;
use crate::error::{Code, Error, Result};
use crate::tables::hive::{Format, JsonTimestamp, TextOptions};
use crate::tables::options::OptionBag;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One option, for documentation and checks.
#[derive(Debug, Clone, Copy)]
pub struct OptionRow {
    /// The canonical spelling first, then those that other systems use.
    pub spellings: &'static [&'static str],
    /// As text; empty: none.
    pub default: &'static str,
    pub help: &'static str,
}

const fn row(spellings: &'static [&'static str], default: &'static str, help: &'static str) -> OptionRow {
    OptionRow { spellings, default, help }
}

const CONNECTOR: OptionRow = row(&["connector"], "", "kafka");
const TOPIC: OptionRow = row(&["topic", "subscribe", "kafka.topic"], "", "The topic to read");
const FORMAT: OptionRow = row(&["format", "value.format"], "json", "json, csv, raw or avro-confluent");
const START_MODE: OptionRow = row(
    &["scan.startup.mode", "startingOffsets", "scan.startup"],
    "earliest-offset",
    "Where the first start begins: earliest-offset, latest-offset, timestamp or specific-offsets",
);
const START_TIMESTAMP: OptionRow =
    row(&["scan.startup.timestamp-millis", "startingTimestamp"], "", "With mode timestamp: milliseconds since 1970");
const START_OFFSETS: OptionRow =
    row(&["scan.startup.specific-offsets"], "", "With mode specific-offsets: 'partition:0,offset:42;partition:1,offset:300'");
const DISCOVERY: OptionRow =
    row(&["scan.topic-partition-discovery.interval"], "30 s", "How often new partitions, the topic's id and first offsets are looked up");
const RECORD_BYTES_MAX: OptionRow = row(&["record_bytes_max"], "1 MiB", "A larger record is a dead letter, kept up to this size");
const ON_DATA_LOSS: OptionRow =
    row(&["on_data_loss", "failOnDataLoss"], "fail", "When records are gone before they were read: fail or skip (system.stream_gaps)");
const ON_TYPE_CONFLICT: OptionRow =
    row(&["on_type_conflict"], "dead_letter", "A value that does not fit its column: dead_letter (the record) or null (the value)");
const ON_NEW_FIELD: OptionRow = row(&["on_new_field"], "ignore", "A field that is no column: ignore");
const JSON_TIMESTAMP: OptionRow = row(&["json.timestamp-format"], "iso8601", "How JSON writes timestamps: iso8601, epoch_ms or epoch_s");
const CSV: OptionRow = row(&["csv.*"], "", "delimiter, quote, escape, null_value, comment and timestamp_format as of CSV files; no header");
const REGISTRY_URL: OptionRow =
    row(&["avro-confluent.url", "avro-confluent.schema-registry.url", "schema.registry.url"], "", "The schema registry, http or https");
const REGISTRY_USER: OptionRow = row(&["avro-confluent.basic-auth.user"], "", "User at the schema registry");
const REGISTRY_PASSWORD: OptionRow = row(&["avro-confluent.basic-auth.password"], "", "Password at the schema registry, a SECRET");
const REGISTRY_CA: OptionRow =
    row(&["avro-confluent.ssl.ca.location"], "", "File with the certificate authorities of the schema registry, PEM");
const COMMIT_INTERVAL: OptionRow = row(&["commit.interval"], "10 s", "A commit is made at the latest so long after its first row");
const COMMIT_ROWS_MAX: OptionRow = row(&["commit.rows_max"], "1000000", "and at so many rows");
const COMMIT_BYTES_MAX: OptionRow = row(&["commit.bytes_max"], "64 MiB", "and at so many bytes in memory");
const HOT_BYTES_MAX: OptionRow =
    row(&["hot.bytes_max"], "256 MiB", "Rows in memory that are not committed; at so many bytes the source waits");
const RETENTION_TIME: OptionRow = row(&["retention.time"], "", "Files whose newest record is older, by its timestamp, are dropped");
const RETENTION_BYTES: OptionRow = row(&["retention.bytes"], "", "The oldest files are dropped above this size");
const IDLE_TIMEOUT: OptionRow = row(
    &["watermark.idle-timeout", "scan.watermark.idle-timeout"],
    "1 min",
    "A partition read to its end holds the watermark back so long",
);
const PROPERTIES: OptionRow = row(
    &["properties.*", "kafka.*"],
    "",
    "Properties of librdkafka, word for word: bootstrap.servers, security.protocol, ssl.*, sasl.*, group.id and others",
);

/// Every option of a table with `'connector'='kafka'`.
pub static KAFKA_OPTIONS: &[OptionRow] = &[
    CONNECTOR,
    TOPIC,
    FORMAT,
    PROPERTIES,
    START_MODE,
    START_TIMESTAMP,
    START_OFFSETS,
    DISCOVERY,
    RECORD_BYTES_MAX,
    ON_DATA_LOSS,
    ON_TYPE_CONFLICT,
    ON_NEW_FIELD,
    JSON_TIMESTAMP,
    CSV,
    REGISTRY_URL,
    REGISTRY_USER,
    REGISTRY_PASSWORD,
    REGISTRY_CA,
    COMMIT_INTERVAL,
    COMMIT_ROWS_MAX,
    COMMIT_BYTES_MAX,
    HOT_BYTES_MAX,
    RETENTION_TIME,
    RETENTION_BYTES,
    IDLE_TIMEOUT,
];

/// Where the first start of a table begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Startup {
    /// Every partition alike.
    All(Start),
    /// Partitions that are not named start at the earliest record.
    Offsets(BTreeMap<i32, i64>),
}

/// What to do when records are gone before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDataLoss {
    Fail,
    Skip,
}

/// How payloads are read.
#[derive(Debug, Clone, PartialEq)]
pub enum PayloadFormat {
    Json(JsonTimestamp),
    Csv(TextOptions),
    Raw,
    Avro(RegistryOptions),
}

/// Where the schemas of Avro records are.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryOptions {
    pub url: String,
    pub user: Option<String>,
    pub password: Option<String>,
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for RegistryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryOptions").field("url", &self.url).field("user", &self.user).finish_non_exhaustive()
    }
}

/// What the stream's job does with the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSettings {
    pub commit_interval: Duration,
    pub commit_rows_max: u64,
    pub commit_bytes_max: u64,
    pub hot_bytes_max: u64,
    pub retention_time: Option<Duration>,
    pub retention_bytes: Option<u64>,
    pub idle_timeout: Duration,
}

/// The options of a table that is fed from Kafka, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaOptions {
    pub topic: String,
    /// For librdkafka, our defaults among them; its Debug shows no secret.
    pub properties: Properties,
    /// Where progress is published; it is never read.
    pub group_id: String,
    pub startup: Startup,
    pub format: PayloadFormat,
    pub discovery_interval: Duration,
    pub record_bytes_max: u64,
    pub on_data_loss: OnDataLoss,
    /// A value that does not fit becomes NULL; else its record is a dead letter.
    pub conflict_is_null: bool,
    pub stream: StreamSettings,
}

impl KafkaOptions {
    /// Checks the options of table `table`. `secrets` are options whose values were `SECRET name`, with the secret's
    /// text; `check_file` says where a file on the server lies, if it may be read.
    pub fn parse(
        table: &str,
        options: Vec<(String, String)>,
        secrets: Vec<(String, String)>,
        check_file: &dyn Fn(&str) -> Result<PathBuf>,
    ) -> Result<Self> {
        let owner = format!("table \"{table}\"");
        let mut entries = Vec::with_capacity(options.len() + secrets.len());
        for (key, value) in options {
            let key = canonical_key(&key);
            if is_secret_key(&key) {
                let property = key.strip_prefix("properties.").unwrap_or(&key);
                return Err(Error::new(Code::InvalidParameter, format!("{owner}: option \"{key}\" must not be written out"))
                    .detail(format!("The value of \"{property}\" is a secret, and a definition can be read by others."))
                    .hint(format!("Make a secret with CREATE SECRET, then write '{key}' = SECRET its_name.")));
            }
            entries.push((key, value));
        }
        entries.extend(secrets.into_iter().map(|(key, value)| (canonical_key(&key), value)));
        let is_spelling = |row: &OptionRow, key: &str| row.spellings.iter().any(|spelling| spelling.eq_ignore_ascii_case(key));
        let mut seen = BTreeSet::new();
        for (key, _) in &entries {
            let row = KAFKA_OPTIONS.iter().find(|row| is_spelling(row, key));
            if !seen.insert(row.map_or_else(|| key.to_lowercase(), |row| row.spellings[0].to_string())) {
                return Err(Error::new(Code::InvalidParameter, format!("{owner}: option \"{key}\" is given twice")));
            }
        }
        let mut parser = Parser { owner: owner.clone(), bag: OptionBag::new(owner, Vec::new()) };
        let (properties, entries) = split(entries, "properties.");
        let (csv, entries) = split(entries, "csv.");
        parser.bag = OptionBag::new(parser.owner.clone(), entries);
        parser.run(table, properties, csv, check_file)
    }

    /// Options for a topic without a table: `weir produce`, tests, the demo.
    pub fn of_topic(topic: &str, bootstrap_servers: &str, more: &[(&str, &str)]) -> Result<Self> {
        let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
        let mut options = vec![pair("topic", topic), pair("properties.bootstrap.servers", bootstrap_servers)];
        options.extend(more.iter().map(|(key, value)| pair(key, value)));
        // Not a definition that others read: secrets may stand here as they are.
        let (secrets, options) = options.into_iter().partition(|(key, _)| is_secret_key(&canonical_key(key)));
        Self::parse(topic, options, secrets, &|path| Ok(PathBuf::from(path)))
    }
}

/// Options and their values.
type Pairs = Vec<(String, String)>;

/// Takes out what begins with `prefix`, without it.
fn split(entries: Pairs, prefix: &str) -> (Pairs, Pairs) {
    let (with, without): (Pairs, Pairs) = entries.into_iter().partition(|(key, _)| key.starts_with(prefix));
    (with.into_iter().map(|(key, value)| (key[prefix.len()..].to_string(), value)).collect(), without)
}

struct Parser {
    owner: String,
    bag: OptionBag,
}

impl Parser {
    fn run(
        mut self,
        table: &str,
        properties: Vec<(String, String)>,
        csv: Vec<(String, String)>,
        check_file: &dyn Fn(&str) -> Result<PathBuf>,
    ) -> Result<KafkaOptions> {
        self.bag.one_of(CONNECTOR.spellings, &[("kafka", ())])?;
        let Some(topic) = self.bag.take(TOPIC.spellings) else {
            return Err(self.wrong("the option \"topic\" is missing").hint("Add 'topic'='name' to WITH."));
        };
        check_topic(&topic).map_err(|why| self.wrong(&format!("topic \"{topic}\" {why}")))?;
        let startup = self.startup()?;
        let conflict_is_null = self.bag.one_of(ON_TYPE_CONFLICT.spellings, &[("dead_letter", false), ("null", true)])?.unwrap_or_default();
        let format = self.format(csv, conflict_is_null, check_file)?;
        let losses = [("fail", OnDataLoss::Fail), ("skip", OnDataLoss::Skip), ("true", OnDataLoss::Fail), ("false", OnDataLoss::Skip)];
        let on_data_loss = self.bag.one_of(ON_DATA_LOSS.spellings, &losses)?.unwrap_or(OnDataLoss::Fail);
        self.bag.one_of(ON_NEW_FIELD.spellings, &[("ignore", ())])?;
        let properties = Properties::parse(&self.owner, properties, check_file)?;
        let group_id = properties.get("group.id").map_or_else(|| format!("weir.{table}"), str::to_string);
        let options = KafkaOptions {
            properties: properties.with("group.id", &group_id),
            group_id,
            startup,
            format,
            discovery_interval: self.duration(DISCOVERY, Duration::from_secs(1))?.unwrap_or(Duration::from_secs(30)),
            record_bytes_max: self.size(RECORD_BYTES_MAX, 1 << 10, 64 << 20)?.unwrap_or(1 << 20),
            on_data_loss,
            conflict_is_null,
            stream: self.stream()?,
            topic,
        };
        self.bag.finish()?;
        Ok(options)
    }

    fn stream(&mut self) -> Result<StreamSettings> {
        let second = Duration::from_secs(1);
        let rows = self.bag.number::<u64>(COMMIT_ROWS_MAX.spellings)?.unwrap_or(1_000_000);
        if rows == 0 {
            return Err(self.wrong("option \"commit.rows_max\" is 0"));
        }
        Ok(StreamSettings {
            commit_interval: self.duration(COMMIT_INTERVAL, Duration::from_millis(100))?.unwrap_or(10 * second),
            commit_rows_max: rows,
            commit_bytes_max: self.size(COMMIT_BYTES_MAX, 1 << 16, u64::MAX)?.unwrap_or(64 << 20),
            hot_bytes_max: self.size(HOT_BYTES_MAX, 1 << 20, u64::MAX)?.unwrap_or(256 << 20),
            retention_time: self.duration(RETENTION_TIME, second)?,
            retention_bytes: self.size(RETENTION_BYTES, 1, u64::MAX)?,
            idle_timeout: self.duration(IDLE_TIMEOUT, Duration::from_millis(100))?.unwrap_or(60 * second),
        })
    }

    fn startup(&mut self) -> Result<Startup> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mode {
            Earliest,
            Latest,
            Timestamp,
            Offsets,
            Group,
        }
        let modes = [
            ("earliest-offset", Mode::Earliest),
            ("latest-offset", Mode::Latest),
            ("timestamp", Mode::Timestamp),
            ("specific-offsets", Mode::Offsets),
            ("earliest", Mode::Earliest),
            ("latest", Mode::Latest),
            ("group-offsets", Mode::Group),
        ];
        let mode = self.bag.one_of(START_MODE.spellings, &modes)?;
        let timestamp = self.bag.number::<i64>(START_TIMESTAMP.spellings)?;
        let offsets = self.bag.take(START_OFFSETS.spellings);
        let mode = mode.unwrap_or(match (&timestamp, &offsets) {
            (Some(_), None) => Mode::Timestamp,
            (None, Some(_)) => Mode::Offsets,
            _ => Mode::Earliest,
        });
        if timestamp.is_some() && mode != Mode::Timestamp || offsets.is_some() && mode != Mode::Offsets {
            let hint = "Set 'scan.startup.mode' to 'timestamp' or 'specific-offsets', or leave the other option out.";
            return Err(self.wrong("the options \"scan.startup.*\" contradict each other").hint(hint));
        }
        match mode {
            Mode::Earliest => Ok(Startup::All(Start::Earliest)),
            Mode::Latest => Ok(Startup::All(Start::Latest)),
            Mode::Group => Err(self
                .wrong("a table does not start from the offsets of a consumer group")
                .hint("Set 'scan.startup.mode' to 'earliest-offset', 'latest-offset', 'timestamp' or 'specific-offsets'.")),
            Mode::Timestamp => match timestamp {
                Some(timestamp) if timestamp >= 0 => Ok(Startup::All(Start::TimestampMs(timestamp))),
                _ => Err(self.wrong("the mode \"timestamp\" needs a time").hint("Add 'scan.startup.timestamp-millis'='1700000000000'.")),
            },
            Mode::Offsets => {
                let text = offsets.unwrap_or_default();
                match specific_offsets(&text) {
                    Some(offsets) if !offsets.is_empty() => Ok(Startup::Offsets(offsets)),
                    _ => Err(self
                        .wrong(&format!("option \"scan.startup.specific-offsets\" is \"{text}\""))
                        .hint("Write it as 'partition:0,offset:42;partition:1,offset:300'.")),
                }
            }
        }
    }

    fn format(
        &mut self,
        csv: Vec<(String, String)>,
        conflict_is_null: bool,
        check_file: &dyn Fn(&str) -> Result<PathBuf>,
    ) -> Result<PayloadFormat> {
        let names = [("json", 'j'), ("csv", 'c'), ("raw", 'r'), ("avro-confluent", 'a')];
        let name = self.bag.one_of(FORMAT.spellings, &names)?.unwrap_or('j');
        let timestamps = [
            ("iso8601", JsonTimestamp::Iso8601),
            ("iso-8601", JsonTimestamp::Iso8601),
            ("epoch_ms", JsonTimestamp::EpochMs),
            ("epoch_s", JsonTimestamp::EpochS),
        ];
        let timestamp = self.bag.one_of(JSON_TIMESTAMP.spellings, &timestamps)?;
        let registry = self.registry(check_file)?;
        let stray = match name {
            _ if name != 'j' && timestamp.is_some() => Some("json.timestamp-format"),
            _ if name != 'c' && !csv.is_empty() => Some("csv.*"),
            _ if name != 'a' && registry.is_some() => Some("avro-confluent.*"),
            _ => None,
        };
        if let Some(stray) = stray {
            return Err(self.wrong(&format!("option \"{stray}\" belongs to another format")));
        }
        match name {
            'c' => self.csv(csv, conflict_is_null),
            'r' => Ok(PayloadFormat::Raw),
            'a' => match registry {
                Some(registry) => Ok(PayloadFormat::Avro(registry)),
                None => Err(self
                    .wrong("the format \"avro-confluent\" needs a schema registry")
                    .hint("Add 'avro-confluent.url'='http://host:8081'.")),
            },
            _ => Ok(PayloadFormat::Json(timestamp.unwrap_or(JsonTimestamp::Iso8601))),
        }
    }

    fn csv(&self, options: Vec<(String, String)>, conflict_is_null: bool) -> Result<PayloadFormat> {
        /// Flink's spellings, and ours.
        const FLINK: &[(&str, &str)] = &[
            ("field-delimiter", "delimiter"),
            ("quote-character", "quote"),
            ("escape-character", "escape"),
            ("null-literal", "null_value"),
            ("timestamp-format", "timestamp_format"),
        ];
        let mut plain = vec![("header".to_string(), "false".to_string())];
        for (key, value) in options {
            let key = FLINK.iter().find(|(flink, _)| *flink == key).map_or(key.as_str(), |(_, ours)| ours).to_string();
            if ["header", "has_header", "skip.header.line.count", "compression", "codec", "on_bad_field"].contains(&key.as_str()) {
                return Err(self.wrong(&format!("option \"csv.{key}\" does not apply to records of a topic")));
            }
            plain.push((key, value));
        }
        match Format::parse("CSV", &self.owner, plain)? {
            Format::Text(options) => Ok(PayloadFormat::Csv(TextOptions { bad_field_is_null: conflict_is_null, ..options })),
            _ => Err(Error::internal("CSV is not text")),
        }
    }

    fn registry(&mut self, check_file: &dyn Fn(&str) -> Result<PathBuf>) -> Result<Option<RegistryOptions>> {
        let url = self.bag.take(REGISTRY_URL.spellings);
        let user = self.bag.take(REGISTRY_USER.spellings);
        let password = self.bag.take(REGISTRY_PASSWORD.spellings);
        let ca_file = self.bag.take(REGISTRY_CA.spellings).map(|path| check_file(&path)).transpose()?;
        let Some(url) = url else {
            if user.is_some() || password.is_some() || ca_file.is_some() {
                return Err(self.wrong("the option \"avro-confluent.url\" is missing"));
            }
            return Ok(None);
        };
        let parsed = url::Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(parsed) = parsed else {
            return Err(self.wrong("option \"avro-confluent.url\" is not an address that begins with http:// or https://"));
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            let hint = "Use 'avro-confluent.basic-auth.user' and 'avro-confluent.basic-auth.password' = SECRET name.";
            return Err(self.wrong("option \"avro-confluent.url\" contains credentials").hint(hint));
        }
        Ok(Some(RegistryOptions { url: url.trim_end_matches('/').to_string(), user, password, ca_file }))
    }

    fn duration(&mut self, option: OptionRow, least: Duration) -> Result<Option<Duration>> {
        let Some(text) = self.bag.take(option.spellings) else { return Ok(None) };
        let name = option.spellings[0];
        match units::parse_duration(&text) {
            Ok(duration) if duration >= least => Ok(Some(duration)),
            Ok(_) => Err(self.wrong(&format!("option \"{name}\" is \"{text}\", less than {} ms", least.as_millis()))),
            Err(why) => Err(self.wrong(&format!("option \"{name}\" {why}"))),
        }
    }

    fn size(&mut self, option: OptionRow, least: u64, most: u64) -> Result<Option<u64>> {
        let Some(text) = self.bag.take(option.spellings) else { return Ok(None) };
        let name = option.spellings[0];
        match units::parse_size(&text) {
            Ok(size) if size < least => Err(self.wrong(&format!("option \"{name}\" is \"{text}\", less than {least} bytes"))),
            Ok(size) if size > most => Err(self.wrong(&format!("option \"{name}\" is \"{text}\", more than {most} bytes"))),
            Ok(size) => Ok(Some(size)),
            Err(why) => Err(self.wrong(&format!("option \"{name}\" {why}"))),
        }
    }

    fn wrong(&self, what: &str) -> Error {
        Error::new(Code::InvalidParameter, format!("{}: {what}", self.owner))
    }
}

/// Kafka's own rule for the names of topics.
fn check_topic(topic: &str) -> Result<(), &'static str> {
    let legal = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    match topic {
        "" | "." | ".." => Err("is not a topic's name"),
        _ if topic.contains(',') => Err("names several topics; a table is fed from one"),
        _ if topic.len() > 249 => Err("is longer than 249 characters"),
        _ if !topic.chars().all(legal) => Err("contains other characters than letters, digits, \".\", \"_\" and \"-\""),
        _ => Ok(()),
    }
}

/// Reads `partition:0,offset:42;partition:1,offset:300`.
fn specific_offsets(text: &str) -> Option<BTreeMap<i32, i64>> {
    let mut offsets = BTreeMap::new();
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (partition, offset) = part.split_once(',')?;
        let partition = partition.trim().strip_prefix("partition:")?.trim().parse().ok()?;
        let offset = offset.trim().strip_prefix("offset:")?.trim().parse().ok()?;
        if partition < 0 || offset < 0 || offsets.insert(partition, offset).is_some() {
            return None;
        }
    }
    Some(offsets)
}
