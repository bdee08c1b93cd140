//! The doors: listeners that speak a client's protocol and hand every statement to the engine.
//!
//! [`Server::start`] binds, checks what would be unsafe or cannot work (a missing certificate, a
//! listener without passwords on a public address), and serves until [`Server::stop`].

pub mod flight;
mod listener;
pub mod tls;

pub use tls::TlsFiles;

use crate::engine::Engine;
use crate::error::{Code, Error, Result};
use crate::telemetry::task;
use flight::{FlightDoor, FlightLimits};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often sessions that nobody uses any more are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// TCP probes find a peer that is gone; they are answered by its kernel, so a client that merely stops
/// reading is left alone.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// HTTP/2 pings are answered by the client's own code, which may rest while its user looks at the first
/// page of a result: patience here costs nothing.
const HTTP2_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(120);
const HTTP2_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(300);

/// Receive windows: enough to keep an ingest busy, small enough that a thousand uploads fit in memory.
/// (What we send is bounded by the client's window and by the encoder, which makes one batch at a time.)
const HTTP2_STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// How the Flight SQL listener is set up.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Port 0 takes a free port; [`Server::address`] tells which.
    pub listen: SocketAddr,
    /// Certificate and key; without them the listener speaks plain text.
    pub tls: Option<TlsFiles>,
    /// Clients without a password become this user. Only on a loopback address (demo, development).
    pub trusted_user: Option<String>,
    pub connections_max: usize,
    pub limits: FlightLimits,
}

impl ServerConfig {
    /// The usual limits, passwords required, no TLS.
    pub fn new(listen: SocketAddr) -> Self {
        Self { listen, tls: None, trusted_user: None, connections_max: 1_000, limits: FlightLimits::default() }
    }
}

/// Whether the address can be bound now: told before work that would be for nothing.
///
/// # Errors
/// As [`Server::start`] would say.
pub async fn check_free(listen: SocketAddr) -> Result<()> {
    TcpListener::bind(listen).await.map(drop).map_err(|error| cannot_listen(listen, &error))
}

fn cannot_listen(listen: SocketAddr, error: &std::io::Error) -> Error {
    Error::new(Code::Io, format!("could not listen on {listen}"))
        .detail(format!("The system says: {error}."))
        .hint("Stop the other process on this port, or choose another address.")
}

/// A running listener. Dropping it stops it at once; [`Server::stop`] lets running calls end first.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    door: Arc<FlightDoor>,
    stopping: CancellationToken,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    sweeping: JoinHandle<()>,
}

impl Server {
    /// Binds the address and serves in the background.
    pub async fn start(engine: Arc<Engine>, config: ServerConfig) -> Result<Self> {
        refuse_open_door(&config)?;
        let tls = config.tls.as_ref().map(TlsFiles::load).transpose()?;
        let encrypted = tls.is_some();

        let listener = TcpListener::bind(config.listen).await.map_err(|error| cannot_listen(config.listen, &error))?;
        let address =
            listener.local_addr().map_err(|error| Error::new(Code::Io, format!("could not listen on {}: {error}", config.listen)))?;

        let mut builder = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(HTTP2_KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(HTTP2_KEEPALIVE_TIMEOUT))
            .http2_adaptive_window(Some(false))
            .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
            .max_concurrent_streams(256);
        if let Some(tls) = tls {
            builder = builder
                .tls_config(tls)
                .map_err(|error| Error::new(Code::InvalidParameter, format!("cannot use the TLS certificate: {}", chain(&error))))?;
        }

        let door = Arc::new(FlightDoor::new(engine, config.trusted_user.clone(), config.limits.clone()));
        let stopping = CancellationToken::new();
        let incoming = listener::connections(listener, config.connections_max, encrypted, TCP_KEEPALIVE);
        let signal = stopping.clone().cancelled_owned();
        let router = builder.add_service(flight::service(Arc::clone(&door)));
        let serving = task::spawn("flight listener", router.serve_with_incoming_shutdown(incoming, signal));
        let sweeping = task::spawn("flight session sweep", sweep(Arc::clone(&door), stopping.clone()));

        tracing::info!(%address, tls = encrypted, trusted = config.trusted_user.is_some(), "flight sql listens");
        Ok(Self { address, door, stopping, serving, sweeping })
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new calls, waits up to `grace` for running ones, cancels the rest, closes all sessions.
    pub async fn stop(mut self, grace: Duration) -> Result<()> {
        self.stopping.cancel();
        if tokio::time::timeout(grace, &mut self.serving).await.is_err() {
            let cancelled = self.door.cancel_everything();
            tracing::info!(cancelled, "statements cancelled at shutdown");
            // What was cancelled needs a moment to tell its client so.
            if tokio::time::timeout(Duration::from_secs(2), &mut self.serving).await.is_err() {
                self.serving.abort();
            }
        }
        self.door.close_everything();
        self.sweeping.abort();
        tracing::info!(address = %self.address, "flight sql stopped");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.cancel();
        self.door.cancel_everything();
        self.sweeping.abort();
    }
}

/// Nobody may serve without passwords on an address that others can reach.
fn refuse_open_door(config: &ServerConfig) -> Result<()> {
    if config.trusted_user.is_some() && !config.listen.ip().is_loopback() {
        return Err(Error::new(Code::InvalidParameter, format!("cannot listen on {} without passwords", config.listen))
            .detail("Demo and development mode accept clients without a password, so they listen on a loopback address only.")
            .hint("Listen on 127.0.0.1, or start without demo and development mode."));
    }
    Ok(())
}

async fn sweep(door: Arc<FlightDoor>, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = ticks.tick() => {
                let closed = door.close_idle_sessions();
                if closed > 0 {
                    tracing::debug!(closed, "idle sessions closed");
                }
            }
        }
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listen: &str, trusted: bool, expected: Option<Code>) {
        let mut config = ServerConfig::new(listen.parse().unwrap());
        config.trusted_user = trusted.then(|| "weir".to_owned());
        assert_eq!(refuse_open_door(&config).err().map(|error| error.code), expected, "{listen} trusted: {trusted}");
    }

    #[test]
    fn no_passwords_only_on_loopback() {
        check("0.0.0.0:32010", true, Some(Code::InvalidParameter));
        check("[::]:32010", true, Some(Code::InvalidParameter));
        check("192.168.1.4:32010", true, Some(Code::InvalidParameter));
        check("127.0.0.1:32010", true, None);
        check("[::1]:32010", true, None);
        check("0.0.0.0:32010", false, None);
    }
}
