//! Properties of librdkafka: which may be set, our defaults, and what is never shown.

use crate::error::{Code, Error, Result};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Spellings of other clients (kafka-python, Java, Spark), and ours.
const ALIASES: &[(&str, &str)] = &[
    ("bootstrap_servers", "properties.bootstrap.servers"),
    ("bootstrap.servers", "properties.bootstrap.servers"),
    ("bootstrap.server", "properties.bootstrap.servers"),
    ("properties.bootstrap.server", "properties.bootstrap.servers"),
    ("properties.bootstrap_servers", "properties.bootstrap.servers"),
    ("properties.metadata.broker.list", "properties.bootstrap.servers"),
    ("security_protocol", "properties.security.protocol"),
    ("ssl_cafile", "properties.ssl.ca.location"),
    ("ssl_certfile", "properties.ssl.certificate.location"),
    ("ssl_keyfile", "properties.ssl.key.location"),
    ("ssl_password", "properties.ssl.key.password"),
    ("ssl_crlfile", "properties.ssl.crl.location"),
    ("sasl_mechanism", "properties.sasl.mechanism"),
    ("properties.sasl.mechanisms", "properties.sasl.mechanism"),
    ("sasl_plain_username", "properties.sasl.username"),
    ("sasl_plain_password", "properties.sasl.password"),
    ("group_id", "properties.group.id"),
    ("client_id", "properties.client.id"),
];

/// Properties that may not be set, and why; a name that ends in `.` or `_` stands for all that begin with it.
const REFUSED: &[(&str, &str)] = &[
    ("plugin.library.paths", "it loads code into the server"),
    ("sasl.kerberos.kinit.cmd", "it runs a command on the server"),
    ("ssl.engine.", "it loads code into the server"),
    ("ssl_engine_", "it loads code into the server"),
    ("ssl.providers", "it loads code into the server"),
    ("enable.auto.commit", "offsets are part of the table's own commits"),
    ("auto.commit.", "offsets are part of the table's own commits"),
    ("enable.auto.offset.store", "offsets are part of the table's own commits"),
    ("offset.store.", "offsets are part of the table's own commits"),
    ("auto.offset.reset", "'scan.startup.mode' says where the first start begins, 'on_data_loss' what a gap means"),
    ("enable.partition.eof", "the table needs it"),
    ("group.instance.id", "a table does not join its consumer group, it only publishes its progress there"),
    ("group.protocol", "a table does not join its consumer group, it only publishes its progress there"),
    ("group.remote.assignor", "a table does not join its consumer group, it only publishes its progress there"),
    ("partition.assignment.strategy", "a table reads all partitions"),
    ("log.", "the server's log settings decide"),
    ("log_level", "the server's log settings decide"),
    ("debug", "the server's log settings decide"),
    ("statistics.interval.ms", "the server has its own statistics: system.streams"),
    ("test.mock.", "it is for tests of the library"),
    ("interceptors", "it is for Java"),
    ("client.software.", "the server says what it is"),
    ("ssl.truststore.", "it is for Java: set 'properties.ssl.ca.location' to a file with the certificate authorities in PEM"),
    (
        "ssl.keystore.type",
        "key stores are PKCS#12: set 'properties.ssl.keystore.location', or PEM files with 'properties.ssl.certificate.location' and 'properties.ssl.key.location'",
    ),
    ("ssl.keystore.key", "it is for Java: set 'properties.ssl.key.location' to a PEM file"),
    ("ssl.keystore.certificate.chain", "it is for Java: set 'properties.ssl.certificate.location' to a PEM file"),
    ("ssl.enabled.protocols", "it is for Java"),
    ("sasl.jaas.config", "it is for Java: set 'properties.sasl.username' and 'properties.sasl.password'"),
    ("sasl.client.callback.", "it is for Java"),
    ("sasl.login.", "it is for Java"),
    ("key.deserializer", "it is for Java: 'format' says how payloads are read"),
    ("value.deserializer", "it is for Java: 'format' says how payloads are read"),
    ("max.poll.records", "it is for Java"),
];

/// What we set unless the user does.
const DEFAULTS: &[(&str, &str)] = &[
    // An idle fetch is answered when a record comes; this only bounds how long it lies at the broker.
    ("fetch.wait.max.ms", "100"),
    // After its queue was full the consumer would sleep up to a second.
    ("fetch.queue.backoff.ms", "10"),
    ("fetch.error.backoff.ms", "100"),
    // A response is held in memory whole, and there may be many tables.
    ("fetch.max.bytes", "16777216"),
    ("queued.max.messages.kbytes", "32768"),
    ("queued.min.messages", "100000"),
    ("check.crcs", "true"),
    // A wrong address shows within ten seconds, and a broker that is back is found within one.
    ("reconnect.backoff.ms", "100"),
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.connection.setup.timeout.ms", "5000"),
    ("socket.keepalive.enable", "true"),
    ("client.id", "weir"),
];

/// What we set whatever the user says.
const FIXED: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // No silent jump: a position that is not there is an error.
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
    ("allow.auto.create.topics", "false"),
];

/// What the name of an option has in it when its value is a secret.
const SECRET_WORDS: &[&str] =
    &["password", "passphrase", "secret", "key.pem", "jaas", "oauthbearer.config", "user.info", "user-info", "access_key", "credential"];

/// Properties that people set, for "did you mean".
const USUAL: &[&str] = &[
    "bootstrap.servers",
    "client.id",
    "client.rack",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.wait.max.ms",
    "group.id",
    "isolation.level",
    "max.partition.fetch.bytes",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "sasl.mechanism",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
];

/// The one spelling of an option's key, as it is stored.
pub fn canonical_key(key: &str) -> String {
    let key = key.trim();
    let lower = key.to_lowercase();
    if let Some((_, ours)) = ALIASES.iter().find(|(alias, _)| *alias == lower) {
        return (*ours).to_string();
    }
    match lower.strip_prefix("kafka.") {
        Some("topic") => "topic".to_string(),
        Some(property) => canonical_key(&format!("properties.{property}")),
        None if lower.starts_with("properties.") || lower.starts_with("csv.") => lower,
        None => key.to_string(),
    }
}

/// Whether the value of an option of that name is a secret, whatever it is: never written out, never shown.
pub fn is_secret_key(key: &str) -> bool {
    let key = canonical_key(key).to_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word)) && !key.ends_with(".client.id")
}

/// Whether an option must not be seen: its name says so, or its value is a URL with a password in it.
pub fn is_secret_option(key: &str, value: &str) -> bool {
    let authority = value.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    is_secret_key(key) || authority.split_once('@').is_some_and(|(user, _)| user.contains(':'))
}

/// Whether the value of a property names a file on the server.
pub fn is_file_key(property: &str) -> bool {
    property.ends_with(".location")
        || property.ends_with(".file")
        || property.ends_with(".keytab")
        || property == "ssl.ca.certificate.stores"
}

/// The properties of one client, checked, our defaults among them.
#[derive(Clone, PartialEq, Eq)]
pub struct Properties {
    entries: BTreeMap<String, String>,
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |(key, value): (&String, &String)| (key.clone(), if is_secret_option(key, value) { "***".to_string() } else { value.clone() });
        f.debug_map().entries(self.entries.iter().map(shown)).finish()
    }
}

impl Properties {
    /// Checks properties by name and value; `owner` is for messages (`table "t"`).
    pub fn parse(owner: &str, entries: Vec<(String, String)>, check_file: &dyn Fn(&str) -> Result<PathBuf>) -> Result<Self> {
        let wrong = |what: String| Error::new(Code::InvalidParameter, format!("{owner}: {what}"));
        let mut checked = BTreeMap::new();
        for (key, value) in entries {
            let stands_for = |name: &str| name == key || (name.ends_with(['.', '_']) && key.starts_with(name));
            if let Some((_, why)) = REFUSED.iter().find(|(name, _)| stands_for(name)) {
                return Err(wrong(format!("property \"{key}\" cannot be set")).detail(format!("{}.", first_upper(why))));
            }
            let value = if is_file_key(&key) { check_file(&value)?.to_string_lossy().into_owned() } else { value };
            // One by one, so that a message names the right one.
            let mut alone = ClientConfig::new();
            alone.set(&key, &value);
            match alone.create_native_config() {
                Ok(_) => {}
                Err(KafkaError::ClientConfig(rdkafka::types::RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                    let what = format!("{owner}: librdkafka has no property \"{key}\"");
                    return Err(Error::unknown(Code::InvalidParameter, what, &key, USUAL.iter().copied()));
                }
                Err(KafkaError::ClientConfig(_, why, ..)) if !is_secret_option(&key, &value) => {
                    return Err(wrong(format!("property \"{key}\" is \"{value}\"")).detail(sentence(&why)));
                }
                Err(_) => return Err(wrong(format!("property \"{key}\" has an unusable value"))),
            }
            checked.insert(key, value);
        }
        if checked.get("bootstrap.servers").is_none_or(|servers| servers.trim().is_empty()) {
            let hint = "Add 'properties.bootstrap.servers'='host:9092' to WITH.";
            return Err(wrong("the option \"properties.bootstrap.servers\" is missing".into()).hint(hint));
        }
        for (key, value) in DEFAULTS {
            checked.entry((*key).to_string()).or_insert_with(|| (*value).to_string());
        }
        Ok(Self { entries: checked })
    }

    /// The value of a property.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(String::as_str)
    }

    /// The same with one more property.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.entries.insert(key.to_string(), value.to_string());
        self
    }

    /// The configuration of a consumer.
    pub(super) fn consumer_config(&self) -> ClientConfig {
        let mut config = self.plain_config();
        for (key, value) in FIXED {
            config.set(*key, *value);
        }
        config
    }

    /// The configuration of a producer: without what only consumers know.
    pub(super) fn producer_config(&self) -> ClientConfig {
        let mut config = self.plain_config();
        for key in ["fetch.wait.max.ms", "fetch.queue.backoff.ms", "fetch.error.backoff.ms", "fetch.max.bytes", "check.crcs"] {
            config.remove(key);
        }
        for key in ["queued.max.messages.kbytes", "queued.min.messages", "group.id", "isolation.level"] {
            config.remove(key);
        }
        config
    }

    fn plain_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.extend(self.entries.clone());
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }
}

fn first_upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn sentence(text: &str) -> String {
    format!("{}.", first_upper(text.trim_end_matches('.')))
}
