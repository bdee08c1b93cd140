//! A TCP proxy whose connection to its server can be cut, stalled and restored.
//!
//! ```text
//! client -- 127.0.0.1:address --> proxy (open | cut | stalled) --> target
//! ```
//! Cut: every connection is closed and new ones are closed at once. Stalled: connections stay open, new ones are
//! accepted, nothing passes. Brokerless: connections are closed, and new ones pass; but whoever asks a Kafka broker about the
//! cluster hears of no broker.

mod metadata;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    Cut,
    Stalled,
    Brokerless,
    Closed,
}

/// A running proxy; dropping it cuts its connections.
pub struct Proxy {
    address: SocketAddr,
    link: Arc<Link>,
}

struct Link {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    mode: Mode,
    connections: Vec<TcpStream>,
    n_accepted: u64,
}

impl Proxy {
    /// A proxy on a free port. Nobody needs to listen at `target` yet.
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the proxy");
        let address = listener.local_addr().expect("a bound listener has an address");
        let state = State { mode: Mode::Open, connections: Vec::new(), n_accepted: 0 };
        let link = Arc::new(Link { target, state: Mutex::new(state), changed: Condvar::new() });
        let accepting = Arc::clone(&link);
        spawn("proxy", move || accept(&listener, &accepting));
        Self { address, link }
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// How many connections were accepted, those of a cut proxy too.
    pub fn n_accepted(&self) -> u64 {
        self.link.state.lock().unwrap().n_accepted
    }

    /// Closes all connections, and new ones at once.
    pub fn cut(&self) {
        self.link.set(Mode::Cut);
    }

    /// Keeps connections open, but lets nothing through.
    pub fn stall(&self) {
        self.link.set(Mode::Stalled);
    }

    /// Closes all connections; new ones are told that the cluster has no broker, until [`Self::restore`] closes them.
    pub fn hide_brokers(&self) {
        self.link.set(Mode::Brokerless);
    }

    /// Lets everything through again; what was stalled arrives.
    pub fn restore(&self) {
        self.link.set(Mode::Open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.link.set(Mode::Closed);
        // The accepting thread sees the mode when a connection wakes it.
        let _ = TcpStream::connect(self.address);
    }
}

impl Link {
    fn set(&self, mode: Mode) {
        let mut state = self.state.lock().unwrap();
        let before = std::mem::replace(&mut state.mode, mode);
        if matches!(mode, Mode::Cut | Mode::Brokerless | Mode::Closed) || before == Mode::Brokerless {
            for connection in state.connections.drain(..) {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
        self.changed.notify_all();
    }

    /// Waits while nothing may pass; false when the connections are gone.
    fn may_pass(&self) -> bool {
        let state = self.state.lock().unwrap();
        let state = self.changed.wait_while(state, |state| state.mode == Mode::Stalled).unwrap();
        matches!(state.mode, Mode::Open | Mode::Brokerless)
    }

    /// Notes the two ends of a connection, unless it came when the proxy was cut; what is to become of it.
    fn admit(&self, ends: [&TcpStream; 2]) -> Option<Mode> {
        let mut state = self.state.lock().unwrap();
        if matches!(state.mode, Mode::Cut | Mode::Closed) {
            return None;
        }
        state.connections.retain(|connection| connection.peer_addr().is_ok());
        state.connections.extend(ends.iter().filter_map(|end| end.try_clone().ok()));
        Some(state.mode)
    }
}

fn accept(listener: &TcpListener, link: &Arc<Link>) {
    for client in listener.incoming() {
        let mode = {
            let mut state = link.state.lock().unwrap();
            state.n_accepted += 1;
            state.mode
        };
        let Ok(client) = client else { continue };
        match mode {
            Mode::Closed => return,
            Mode::Cut => continue,
            Mode::Open | Mode::Stalled | Mode::Brokerless => {}
        }
        // A target that does not answer refuses for itself.
        let Ok(server) = TcpStream::connect(link.target) else { continue };
        let Some(mode) = link.admit([&client, &server]) else { continue };
        if mode == Mode::Brokerless {
            spawn("proxy without brokers", move || metadata::hide_brokers(client, server));
            continue;
        }
        let (Ok(client_copy), Ok(server_copy)) = (client.try_clone(), server.try_clone()) else { continue };
        let (there, back) = (Arc::clone(link), Arc::clone(link));
        spawn("proxy up", move || pump(client, server, &there));
        spawn("proxy down", move || pump(server_copy, client_copy, &back));
    }
}

/// Moves bytes until an end closes.
fn pump(mut from: TcpStream, mut to: TcpStream, link: &Link) {
    let mut buffer = [0_u8; 64 * 1024];
    while let Ok(n_bytes @ 1..) = from.read(&mut buffer) {
        if !link.may_pass() || to.write_all(&buffer[..n_bytes]).is_err() {
            break;
        }
    }
    // An end that closes while the proxy is stalled must not be seen on the other side.
    link.may_pass();
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).expect("a thread of the proxy");
}
