//! Schemas of Avro records, from a schema registry over HTTP.

use super::options::RegistryOptions;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One request.
const REQUEST_WAIT: Duration = Duration::from_secs(5);
/// An id that the registry does not know is asked for again after this time.
const UNKNOWN_KEPT: Duration = Duration::from_secs(10);
/// Attempts for an id that the registry does not know: a producer registers its schema just before.
const UNKNOWN_ATTEMPTS: u32 = 3;
/// Unknown ids that are remembered; above it they are forgotten.
const UNKNOWN_MAX: usize = 10_000;
const SCHEMA_BYTES_MAX: usize = 4 << 20;

/// Why there is no schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoSchema {
    /// The registry answered: there is none, or none that we can read.
    Unknown(String),
    /// The registry did not answer, or not now.
    Away(String),
}

/// What is asked when the registry is away: whether to try again. It waits, and tells people.
pub(super) type Patience = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A client of one registry; waits for its answers, so it belongs to a thread of its own.
pub(super) struct Registry {
    options: RegistryOptions,
    known: HashMap<u32, Arc<str>>,
    unknown: HashMap<u32, (Instant, String)>,
    /// When the last id was found to be unknown.
    unknown_at: Option<Instant>,
    connection: Option<(tokio::runtime::Runtime, reqwest::Client)>,
    patience: Option<Patience>,
}

impl Registry {
    pub(super) fn new(options: &RegistryOptions) -> Self {
        let (known, unknown) = (HashMap::new(), HashMap::new());
        Self { options: options.clone(), known, unknown, unknown_at: None, connection: None, patience: None }
    }

    pub(super) fn set_patience(&mut self, patience: Patience) {
        self.patience = Some(patience);
    }

    /// The schema with an id, as JSON.
    pub(super) fn schema(&mut self, id: u32) -> Result<Arc<str>, NoSchema> {
        if let Some(schema) = self.known.get(&id) {
            return Ok(Arc::clone(schema));
        }
        if let Some((asked_at, why)) = self.unknown.get(&id)
            && asked_at.elapsed() < UNKNOWN_KEPT
        {
            return Err(NoSchema::Unknown(why.clone()));
        }
        // Records that are no Avro at all have many ids: waiting for each of them would hold the good ones back.
        let is_flood = self.unknown_at.is_some_and(|unknown_at| unknown_at.elapsed() < UNKNOWN_KEPT);
        let n_attempts = if is_flood { 1 } else { UNKNOWN_ATTEMPTS };
        let mut n_unknown = 0;
        loop {
            match self.fetch(id) {
                Ok(schema) => {
                    self.unknown.remove(&id);
                    self.known.insert(id, Arc::clone(&schema));
                    return Ok(schema);
                }
                Err(NoSchema::Unknown(why)) => {
                    n_unknown += 1;
                    if n_unknown >= n_attempts {
                        if self.unknown.len() >= UNKNOWN_MAX {
                            self.unknown.clear();
                        }
                        self.unknown_at = Some(Instant::now());
                        self.unknown.insert(id, (Instant::now(), why.clone()));
                        return Err(NoSchema::Unknown(why));
                    }
                    std::thread::sleep(Duration::from_millis(100) * n_unknown);
                }
                Err(NoSchema::Away(why)) => {
                    let again = self.patience.as_ref().is_some_and(|patience| patience(&why));
                    if !again {
                        return Err(NoSchema::Away(why));
                    }
                }
            }
        }
    }

    fn fetch(&mut self, id: u32) -> Result<Arc<str>, NoSchema> {
        if self.connection.is_none() {
            self.connection = Some(self.connect().map_err(NoSchema::Away)?);
        }
        let Some((runtime, client)) = &self.connection else { return Err(NoSchema::Away("there is no connection".into())) };
        let url = format!("{}/schemas/ids/{id}", self.options.url);
        let mut request = client.get(&url).header("accept", "application/vnd.schemaregistry.v1+json, application/json");
        if let Some(user) = &self.options.user {
            request = request.basic_auth(user, self.options.password.as_deref());
        }
        let place = format!("schema registry \"{}\"", self.options.url);
        let (status, body) = runtime
            .block_on(async {
                let mut response = request.send().await?;
                let status = response.status();
                let mut body = Vec::new();
                while let Some(chunk) = response.chunk().await? {
                    body.extend_from_slice(&chunk);
                    if body.len() > SCHEMA_BYTES_MAX {
                        break;
                    }
                }
                Ok::<_, reqwest::Error>((status, body))
            })
            .map_err(|error| NoSchema::Away(format!("could not reach {place}: {}", reason(&error))))?;
        match status.as_u16() {
            200 => read_schema(id, &body).map_err(NoSchema::Unknown),
            404 => Err(NoSchema::Unknown(format!("{place} has no schema {id}"))),
            401 | 403 => Err(NoSchema::Away(format!("{place} refuses the user and password (HTTP {})", status.as_u16()))),
            code => Err(NoSchema::Away(format!("{place} answered HTTP {code}"))),
        }
    }

    fn connect(&self) -> Result<(tokio::runtime::Runtime, reqwest::Client), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let mut builder = reqwest::Client::builder().timeout(REQUEST_WAIT).connect_timeout(REQUEST_WAIT);
        if let Some(file) = &self.options.ca_file {
            let name = file.display();
            let pem = std::fs::read(file).map_err(|error| format!("could not read \"{name}\": {error}"))?;
            let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| format!("\"{name}\" holds no certificates in PEM"))?;
            for certificate in found {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().map_err(|error| reason(&error))?;
        Ok((runtime, client))
    }
}

/// Takes the schema out of the registry's answer.
fn read_schema(id: u32, body: &[u8]) -> Result<Arc<str>, String> {
    #[derive(serde::Deserialize)]
    struct Answer {
        schema: String,
        #[serde(rename = "schemaType")]
        schema_type: Option<String>,
        #[serde(default)]
        references: Vec<serde_json::Value>,
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|_| format!("the registry's answer about schema {id} is not readable"))?;
    match answer.schema_type.as_deref() {
        None | Some("AVRO") => {}
        Some(other) => return Err(format!("schema {id} is {other}, not Avro")),
    }
    if !answer.references.is_empty() {
        return Err(format!("schema {id} refers to other schemas, which is not supported"));
    }
    Ok(answer.schema.into())
}

/// The innermost reason of an error, without addresses.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    source.to_string()
}
