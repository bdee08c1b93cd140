//! A schema registry over HTTP or HTTPS, as Confluent's speaks: enough to register schemas and to get them by number.
//!
//! ```text
//! POST /subjects/{subject}/versions   {"schema": "..."}  -->  {"id": 1}
//! GET  /schemas/ids/{id}                                 -->  {"schema": "..."}
//! ```

use super::certificates::ClientFiles;
use base64::Engine;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A client that says nothing does not hold a thread for ever.
const READ_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A running registry; dropping it closes its listener.
pub struct Registry {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
}

struct Shared {
    /// What `Authorization` must say.
    authorization: Option<String>,
    tls: Option<Arc<ServerConfig>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Each schema; its number is its place plus one.
    schemas: Vec<String>,
    /// `method path` of each request, those without the right password too.
    requests: Vec<String>,
    is_down: bool,
    is_closed: bool,
}

impl Registry {
    /// A registry over HTTP that lets everybody in.
    pub fn start() -> Self {
        Self::start_with(None, None)
    }

    /// A registry that wants a user and password, or has TLS with this certificate, or both.
    pub fn start_with(login: Option<(&str, &str)>, tls: Option<&ClientFiles>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the registry");
        let address = listener.local_addr().expect("a bound listener has an address");
        let encode =
            |(user, password): (&str, &str)| format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}")));
        let shared = Arc::new(Shared {
            authorization: login.map(encode),
            tls: tls.map(|files| Arc::new(tls_config(files))),
            state: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.state.lock().unwrap().is_closed {
                    return;
                }
                let shared = Arc::clone(&accepting);
                spawn(move || serve(stream, &shared));
            }
        });
        Self { address, scheme: if tls.is_some() { "https" } else { "http" }, shared }
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Registers a schema past HTTP and returns its number; the same schema keeps its number.
    pub fn register(&self, schema: &Value) -> u32 {
        self.shared.register(&schema.to_string())
    }

    /// From now on every request is answered with 503, or as usual again.
    pub fn set_down(&self, is_down: bool) {
        self.shared.state.lock().unwrap().is_down = is_down;
    }

    /// What was asked so far: `GET /schemas/ids/1`.
    pub fn requests(&self) -> Vec<String> {
        self.shared.state.lock().unwrap().requests.clone()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap().is_closed = true;
        // The accepting thread sees it when a connection wakes it.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn register(&self, schema: &str) -> u32 {
        let mut state = self.state.lock().unwrap();
        let known = state.schemas.iter().position(|known| known == schema);
        let schema_idx = known.unwrap_or_else(|| {
            state.schemas.push(schema.to_owned());
            state.schemas.len() - 1
        });
        u32::try_from(schema_idx + 1).expect("few schemas")
    }

    /// Status and body.
    fn answer(&self, request: &Request) -> (u16, Value) {
        {
            let mut state = self.state.lock().unwrap();
            state.requests.push(format!("{} {}", request.method, request.path));
            if state.is_down {
                return (503, json!({"error_code": 50301, "message": "down for a test"}));
            }
        }
        if self.authorization.is_some() && self.authorization != request.authorization {
            return (401, json!({"error_code": 401, "message": "Unauthorized"}));
        }
        let parts: Vec<&str> = request.path.split('?').next().unwrap_or_default().trim_matches('/').split('/').collect();
        match (request.method.as_str(), &parts[..]) {
            ("POST", ["subjects", _, "versions"]) => {
                let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                match body["schema"].as_str() {
                    Some(schema) => (200, json!({"id": self.register(schema)})),
                    None => (422, json!({"error_code": 42201, "message": "Invalid schema"})),
                }
            }
            ("GET", ["schemas", "ids", id]) => {
                let state = self.state.lock().unwrap();
                let schema = id.parse::<usize>().ok().and_then(|id| state.schemas.get(id.checked_sub(1)?));
                schema.map_or_else(
                    || (404, json!({"error_code": 40403, "message": "Schema not found"})),
                    |schema| (200, json!({"schema": schema})),
                )
            }
            _ => (404, json!({"error_code": 404, "message": "HTTP 404 Not Found"})),
        }
    }
}

struct Request {
    method: String,
    path: String,
    authorization: Option<String>,
    body: Vec<u8>,
}

fn serve(stream: TcpStream, shared: &Shared) {
    let _ = stream.set_read_timeout(Some(READ_TIMEOUT));
    match &shared.tls {
        None => exchange(stream, shared),
        Some(config) => {
            let Ok(connection) = ServerConnection::new(Arc::clone(config)) else { return };
            exchange(StreamOwned::new(connection, stream), shared);
        }
    }
}

/// Answers one request after the other until the client closes.
fn exchange(stream: impl Read + Write, shared: &Shared) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream) {
        let (status, body) = shared.answer(&request);
        let body = body.to_string();
        let head = format!("HTTP/1.1 {status} Status\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {}\r\n\r\n", body.len());
        let sent = stream.get_mut().write_all(format!("{head}{body}").as_bytes());
        if sent.and_then(|()| stream.get_mut().flush()).is_err() {
            return;
        }
    }
}

fn read_request(stream: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|n_bytes| *n_bytes > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut request = Request { method: words.next()?, path: words.next()?, authorization: None, body: Vec::new() };
    let mut n_body_bytes = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok().filter(|n_bytes| *n_bytes > 0)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => n_body_bytes = value.trim().parse().ok().filter(|n_bytes| *n_bytes <= BODY_BYTES_MAX)?,
            "authorization" => request.authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    request.body = vec![0; n_body_bytes];
    stream.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn tls_config(files: &ClientFiles) -> ServerConfig {
    let certificate = CertificateDer::from_pem_file(&files.certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&files.key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("protocol versions");
    config.with_no_client_auth().with_single_cert(vec![certificate], key).expect("certificate and key belong together")
}

fn spawn(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().name("schema registry".to_owned()).spawn(work).expect("a thread of the registry");
}
