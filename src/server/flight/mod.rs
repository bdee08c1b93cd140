//! Flight SQL: what ADBC, ODBC and JDBC drivers speak.
//!
//! | file | holds |
//! | --- | --- |
//! | `service` | the RPCs: who calls, which command, which of the files below answers |
//! | `handshake`, `sessions` | credentials, tokens, sessions |
//! | `statements`, `tickets`, `prepared`, `ingest` | running statements |
//! | `metadata`, `keys`, `sql_info`, `xdbc`, `like` | what drivers ask about the server and its objects |
//! | `session_actions`, `cancel` | actions |
//! | `incoming`, `results`, `status` | Arrow data in, Arrow data out, errors out |
//!
//! The blanket service of arrow-flight is not used: it leaves GetSchema, PollFlightInfo and ListFlights
//! out and answers a malformed command with an internal error. Its messages and builders are.

mod cancel;
mod handshake;
mod incoming;
mod ingest;
mod keys;
mod like;
mod metadata;
mod prepared;
mod results;
mod service;
mod session_actions;
mod sessions;
mod sql_info;
mod statements;
mod status;
mod tickets;
mod xdbc;

// Its schemas are the databases.
pub use crate::catalog::CATALOG as CATALOG_NAME;
use crate::engine::Engine;
use arrow_flight::flight_service_server::FlightServiceServer;
use service::FlightSql;
use sessions::{ClientSession, IdleTable, KeyMaker};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// ADBC sends a whole ingest batch in one message; tonic's default of 4 MiB breaks that.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Passwords checked at the same time.
const LOGINS_AT_ONCE: usize = 4;

/// Bounds on what clients may hold open.
#[derive(Debug, Clone)]
pub struct FlightLimits {
    pub sessions_max: usize,
    /// A session that is not used this long is closed. BI tools keep connections over a working day and do
    /// not log in again by themselves.
    pub session_idle_max: Duration,
    pub prepared_statements_per_session_max: usize,
    /// Tickets that were handed out and not yet redeemed.
    pub tickets_per_session_max: usize,
}

impl Default for FlightLimits {
    fn default() -> Self {
        Self {
            sessions_max: 1_000,
            session_idle_max: Duration::from_secs(12 * 60 * 60),
            prepared_statements_per_session_max: 1_000,
            tickets_per_session_max: 100,
        }
    }
}

/// The state behind the service: the engine and the clients' sessions.
#[derive(Debug)]
pub struct FlightDoor {
    engine: Arc<Engine>,
    /// Whom clients without a password become; `None`: nobody gets in without one.
    trusted_user: Option<String>,
    limits: FlightLimits,
    keys: KeyMaker,
    sessions: IdleTable<ClientSession>,
    logins: Semaphore,
}

impl FlightDoor {
    pub fn new(engine: Arc<Engine>, trusted_user: Option<String>, limits: FlightLimits) -> Self {
        let sessions = IdleTable::new(limits.sessions_max, limits.session_idle_max);
        Self { engine, trusted_user, limits, keys: KeyMaker::new(), sessions, logins: Semaphore::new(LOGINS_AT_ONCE) }
    }

    /// Closes sessions that expired; returns how many.
    pub fn close_idle_sessions(&self) -> usize {
        self.sessions.sweep(Instant::now())
    }

    /// Cancels every running statement; returns how many there were.
    pub fn cancel_everything(&self) -> usize {
        self.sessions.all().iter().map(|client| client.cancel_all()).sum()
    }

    /// Ends every session.
    pub fn close_everything(&self) {
        self.sessions.clear();
    }
}

/// The tonic service.
pub fn service(door: Arc<FlightDoor>) -> FlightServiceServer<FlightSql> {
    FlightServiceServer::new(FlightSql::new(door)).max_decoding_message_size(MESSAGE_BYTES_MAX)
}
