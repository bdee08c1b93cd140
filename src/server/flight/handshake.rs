//! Who is calling: the Handshake call, and the credentials that every call may carry.
//!
//! Drivers differ. ADBC and ODBC shake hands with Basic and then send the Bearer token they got; ODBC
//! leaves the padding of base64 away; pyarrow may put user and password into the handshake's payload
//! and the token into `auth-token-bin`; some send Basic with every call; trusted clients send nothing.

use super::FlightDoor;
use super::sessions::{ClientSession, SessionKey, new_token};
use super::statements::Statements;
use crate::engine::{Door, Session};
use crate::error::{Code, Error, Result};
use arrow_flight::{BasicAuth, HandshakeRequest};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost::Message;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Streaming};

/// A client that has credentials in the payload sends them at once.
const PAYLOAD_TIMEOUT: Duration = Duration::from_secs(2);

/// Headers with which a connection string may choose the database of a new session.
const DATABASE_HEADERS: [&str; 3] = ["database", "db_schema", "schema"];

/// With or without padding: ODBC drivers leave it away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

/// What a client shows to be let in.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Nothing,
    Password { user: String, password: String },
    Token(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Password { user, .. } => write!(f, "Password({user}, ***)"),
            Self::Token(_) => f.write_str("Token(***)"),
        }
    }
}

impl Credentials {
    /// Reads `authorization`, or `auth-token-bin` of older clients.
    pub fn from_headers(headers: &MetadataMap) -> Result<Self> {
        if let Some(token) = headers.get_bin("auth-token-bin").and_then(|value| value.to_bytes().ok()) {
            return String::from_utf8(token.to_vec()).map(Self::Token).map_err(|_| unreadable("it is not text"));
        }
        let Some(header) = headers.get("authorization") else { return Ok(Self::Nothing) };
        let header = header.to_str().map_err(|_| unreadable("it is not ASCII"))?.trim();
        let (scheme, value) = header.split_once(' ').unwrap_or((header, ""));
        match scheme.to_ascii_lowercase().as_str() {
            "" => Ok(Self::Nothing),
            "basic" => Self::from_basic(value.trim()),
            "bearer" => Ok(Self::Token(value.trim().to_owned())),
            _ => Err(unreadable("it is neither Basic nor Bearer")),
        }
    }

    fn from_basic(encoded: &str) -> Result<Self> {
        let bytes = BASE64.decode(encoded).map_err(|_| unreadable("it is not base64"))?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8"))?;
        let (user, password) = text.split_once(':').ok_or_else(|| unreadable("it has no colon between user and password"))?;
        Ok(Self::password(user, password))
    }

    fn password(user: &str, password: &str) -> Self {
        match (user, password) {
            // A driver that was given neither sends the empty pair.
            ("", "") => Self::Nothing,
            _ => Self::Password { user: user.to_owned(), password: password.to_owned() },
        }
    }

    /// Reads the payload of a handshake; one that we do not know counts as empty (the NoOp handler).
    fn from_payload(payload: &[u8]) -> Self {
        match BasicAuth::decode(payload) {
            Ok(auth) => Self::password(&auth.username, &auth.password),
            Err(_) => Self::Nothing,
        }
    }
}

fn unreadable(why: &str) -> Error {
    Error::new(Code::Unauthenticated, "cannot read the authorization header").detail(format!("In particular, {why}."))
}

fn token_unknown() -> Error {
    Error::new(Code::Unauthenticated, "the session has ended").hint("Connect again.")
}

fn password_needed() -> Error {
    Error::new(Code::Unauthenticated, "a user name and a password are needed").hint("Give both in the connection settings.")
}

/// A caller that was let in.
pub struct Caller {
    pub client: Arc<ClientSession>,
    pub key: SessionKey,
}

impl FlightDoor {
    /// The session of a call.
    pub(super) async fn authenticate(&self, headers: &MetadataMap, extensions: &Extensions) -> Result<Caller> {
        let peer = peer(extensions);
        let credentials = Credentials::from_headers(headers)?;
        let now = Instant::now();
        let key = match &credentials {
            Credentials::Token(token) => self.keys.key(&[b"token", token.as_bytes()]),
            Credentials::Password { user, password } => {
                self.keys.key(&[b"password", user.as_bytes(), password.as_bytes(), peer.as_bytes()])
            }
            Credentials::Nothing => self.keys.key(&[b"trusted", peer.as_bytes()]),
        };
        if let Some(client) = self.sessions.get(&key, now) {
            return Ok(Caller { client, key });
        }
        if matches!(credentials, Credentials::Token(_)) {
            return Err(token_unknown());
        }
        let client = self.open(&credentials, headers, &peer).await?;
        self.sessions.insert(key, Arc::clone(&client), now)?;
        Ok(Caller { client, key })
    }

    /// Answers a handshake: the token of a new session (or of the one that the client named).
    pub(super) async fn shake_hands(
        &self,
        headers: &MetadataMap,
        extensions: &Extensions,
        requests: &mut Streaming<HandshakeRequest>,
    ) -> Result<String> {
        let peer = peer(extensions);
        let mut credentials = Credentials::from_headers(headers)?;
        if credentials == Credentials::Nothing {
            // No payload, a client that hangs up at once, one that waits for us to speak: all are "nothing".
            if let Ok(Ok(Some(request))) = tokio::time::timeout(PAYLOAD_TIMEOUT, requests.message()).await {
                credentials = Credentials::from_payload(&request.payload);
            }
        }
        let now = Instant::now();
        if let Credentials::Token(token) = credentials {
            let key = self.keys.key(&[b"token", token.as_bytes()]);
            return self.sessions.get(&key, now).map(|_| token).ok_or_else(token_unknown);
        }
        let client = self.open(&credentials, headers, &peer).await?;
        let token = new_token();
        self.sessions.insert(self.keys.key(&[b"token", token.as_bytes()]), client, now)?;
        Ok(token)
    }

    /// Checks the credentials and opens an engine session.
    async fn open(&self, credentials: &Credentials, headers: &MetadataMap, peer: &str) -> Result<Arc<ClientSession>> {
        let session = match (credentials, &self.trusted_user) {
            // On a trusted listener a name alone is enough; who sends a password wants it checked.
            (Credentials::Password { user, password }, Some(_)) if password.is_empty() => {
                self.engine.trusted_session(user, Door::Flight, peer)?
            }
            (Credentials::Nothing, Some(user)) => self.engine.trusted_session(user, Door::Flight, peer)?,
            (Credentials::Password { user, password }, _) => self.login(user, password, peer).await?,
            (Credentials::Nothing, None) => return Err(password_needed()),
            (Credentials::Token(_), _) => return Err(token_unknown()),
        };
        for name in DATABASE_HEADERS {
            if let Some(database) = headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty()) {
                session.set_current_database(database)?;
            }
        }
        Ok(Arc::new(ClientSession { engine: session, statements: Statements::new(&self.limits) }))
    }

    async fn login(&self, user: &str, password: &str, peer: &str) -> Result<Arc<Session>> {
        // Checking a password costs memory and processor time on purpose: a few at once, the rest waits.
        let _turn = self.logins.acquire().await.map_err(|_| Error::new(Code::Unavailable, "the server is shutting down"))?;
        self.engine.login(user, password, Door::Flight, peer).await
    }
}

/// The address of the other end, with or without TLS in between.
fn peer(extensions: &Extensions) -> String {
    use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
    let plain = extensions.get::<TcpConnectInfo>();
    let info = plain.or_else(|| extensions.get::<TlsConnectInfo<TcpConnectInfo>>().map(TlsConnectInfo::get_ref));
    info.and_then(|info| info.remote_addr).map_or_else(|| "unknown".to_owned(), |address: SocketAddr| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &str) -> MetadataMap {
        let mut headers = MetadataMap::new();
        headers.insert("authorization", authorization.parse().unwrap());
        headers
    }

    #[track_caller]
    fn refuses(authorization: &str, why: &str) {
        let error = Credentials::from_headers(&headers(authorization)).unwrap_err();
        assert_eq!(error.code, Code::Unauthenticated);
        assert!(error.one_line().contains(why), "{authorization}: {error}");
    }

    #[track_caller]
    fn reads(authorization: &str, user: &str, password: &str) {
        let expected = Credentials::Password { user: user.to_owned(), password: password.to_owned() };
        assert_eq!(Credentials::from_headers(&headers(authorization)).unwrap(), expected, "{authorization}");
    }

    #[test]
    fn unreadable_headers_are_refused_with_a_reason() {
        refuses("Basic %%%%", "not base64");
        refuses("Basic dXNlcg==", "no colon");
        refuses("Basic //79", "not UTF-8");
        refuses("Digest abc", "neither Basic nor Bearer");
    }

    #[test]
    fn basic_with_and_without_padding() {
        reads("Basic dXNlcjpwYQ==", "user", "pa");
        reads("Basic dXNlcjpwYQ", "user", "pa");
        reads("basic dXNlcjpwYXM6czI=", "user", "pas:s2");
        reads("BASIC   dXNlcjpwYXM6czI", "user", "pas:s2");
        reads("Basic dXNlcjo=", "user", "");
        reads("Basic w7bDpDpww6Rzcw==", "öä", "päss");
    }

    #[test]
    fn nothing_comes_in_many_forms() {
        assert_eq!(Credentials::from_headers(&MetadataMap::new()).unwrap(), Credentials::Nothing);
        assert_eq!(Credentials::from_headers(&headers("")).unwrap(), Credentials::Nothing);
        assert_eq!(Credentials::from_headers(&headers("Basic Og==")).unwrap(), Credentials::Nothing);
        assert_eq!(Credentials::from_payload(b""), Credentials::Nothing);
        assert_eq!(Credentials::from_payload(&[0xff, 0xff, 0xff]), Credentials::Nothing);
    }

    #[test]
    fn tokens_and_payloads() {
        assert_eq!(Credentials::from_headers(&headers("Bearer abc")).unwrap(), Credentials::Token("abc".into()));
        let payload = BasicAuth { username: "user".into(), password: "pa".into() }.encode_to_vec();
        assert_eq!(Credentials::from_payload(&payload), Credentials::Password { user: "user".into(), password: "pa".into() });
        let mut old = MetadataMap::new();
        old.insert_bin("auth-token-bin", tonic::metadata::MetadataValue::from_bytes(b"abc"));
        assert_eq!(Credentials::from_headers(&old).unwrap(), Credentials::Token("abc".into()));
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", [Credentials::password("u", "hidden"), Credentials::Token("hidden".into())]);
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
