//! A real Kafka broker: one shared by the tests of this process, or one of a test's own that it stops and restarts.
//!
//! ```text
//! PLAINTEXT   bootstrap()        advertised as the proxy's address when the test asked for a proxy
//! DIRECT      direct()           for the test itself, past the proxy
//! SSL         ssl_bootstrap()    wants the client's certificate
//! SASL_SSL    sasl_bootstrap()   PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512; USER with PASSWORD
//! ```
//! The broker ends with this process, however that ends: it holds the other end of the broker's standard input.

mod admin;
mod process;
mod records;

pub use records::{Outcome, Placed, Record};

use super::certificates::Certificates;
use super::port::free_port;
use super::proxy::Proxy;
use process::{Directory, Process};
use rdkafka::ClientConfig;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// The user of the SASL listener.
pub const USER: &str = "ingest";
/// Its password.
pub const PASSWORD: &str = "kafka-password-4711";
/// How long a broker may take to start: many times what it takes on a machine that is busy.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// What a broker of a test's own has.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The listeners SSL and SASL_SSL.
    pub is_secure: bool,
    /// PLAINTEXT is advertised as a [`Proxy`]'s address.
    pub is_proxied: bool,
    /// More lines of `server.properties`.
    pub settings: Vec<(String, String)>,
}

/// A broker. Dropping it kills it; its directory goes with it.
pub struct Kafka {
    directory: Directory,
    process: Mutex<Option<Process>>,
    ports: Ports,
    proxy: Option<Proxy>,
    certificates: Option<Certificates>,
    bootstrap: String,
    direct: String,
}

struct Ports {
    plaintext: u16,
    direct: u16,
    controller: u16,
    ssl: u16,
    sasl: u16,
}

impl Kafka {
    /// The broker that the tests of this process share, with all listeners; it is started by the first who asks.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Kafka> = OnceCell::const_new();
        // Nobody kills it: it need not be let in again soon, and a busy machine may keep it waiting.
        let settings = vec![("broker.session.timeout.ms".to_owned(), "60000".to_owned())];
        SHARED.get_or_init(|| Self::start(Options { is_secure: true, settings, ..Options::default() })).await
    }

    /// A broker of the test's own.
    pub async fn start(options: Options) -> Self {
        let ports = Ports { plaintext: free_port(), direct: free_port(), controller: free_port(), ssl: free_port(), sasl: free_port() };
        let directory = Directory::new();
        let certificates = options.is_secure.then(|| Certificates::new(&directory.path().join("certificates")));
        let proxy = options.is_proxied.then(|| Proxy::start(SocketAddr::from(([127, 0, 0, 1], ports.plaintext))));
        let bootstrap = proxy.as_ref().map_or_else(|| local(ports.plaintext), Proxy::address);
        let direct = local(ports.direct);
        let kafka = Self { directory, process: Mutex::new(None), ports, proxy, certificates, bootstrap, direct };
        std::fs::write(kafka.directory.path().join("server.properties"), kafka.properties(&options)).expect("server.properties");
        kafka.restart().await;
        kafka
    }

    /// `host:port` for clients without TLS.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// `host:port` past the proxy.
    pub fn direct(&self) -> &str {
        &self.direct
    }

    /// `host:port` for clients that show a certificate.
    pub fn ssl_bootstrap(&self) -> String {
        assert!(self.certificates.is_some(), "this broker was started without TLS");
        local(self.ports.ssl)
    }

    /// `host:port` for clients with a user and password over TLS.
    pub fn sasl_bootstrap(&self) -> String {
        assert!(self.certificates.is_some(), "this broker was started without TLS");
        local(self.ports.sasl)
    }

    /// The certificates of its listeners.
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("this broker was started without TLS")
    }

    /// The proxy before PLAINTEXT.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("this broker was started without a proxy")
    }

    /// Stops the broker in order (SIGTERM) and waits for its end.
    pub fn stop(&self) {
        if let Some(process) = self.process.lock().unwrap().take() {
            process.stop();
        }
    }

    /// kill -9.
    pub fn kill(&self) {
        drop(self.process.lock().unwrap().take());
    }

    /// Stops the process (SIGSTOP): connections stay open, nothing answers. [`Self::resume`] lets it go on.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets a frozen broker go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        self.process.lock().unwrap().as_ref().expect("the broker runs").signal(signal);
    }

    /// Starts the broker on the same ports and directory, after a stop when it runs, and waits until it answers.
    pub async fn restart(&self) {
        self.stop();
        let mut users = Vec::new();
        if self.certificates.is_some() {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                users.extend(["--add-scram".to_owned(), format!("{mechanism}=[name={USER},password={PASSWORD}]")]);
            }
        }
        *self.process.lock().unwrap() = Some(Process::start(self.directory.path(), &users));
        let deadline = Instant::now() + START_TIMEOUT;
        self.wait_for_metadata("the broker answers", deadline, |metadata| !metadata.brokers().is_empty()).await;
    }

    /// What the broker printed and logged last.
    pub fn log(&self) -> String {
        process::log(self.directory.path())
    }

    fn properties(&self, options: &Options) -> String {
        let Ports { plaintext, direct, controller, ssl, sasl } = self.ports;
        let mut listeners = vec![("PLAINTEXT", plaintext), ("DIRECT", direct)];
        let mut lines: Vec<(String, String)> = Vec::new();
        let mut set = |key: &str, value: &str| lines.push((key.to_owned(), value.to_owned()));
        set("process.roles", "broker,controller");
        set("node.id", "1");
        set("controller.quorum.bootstrap.servers", &local(controller));
        set("controller.listener.names", "CONTROLLER");
        set("inter.broker.listener.name", "DIRECT");
        let protocols = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,DIRECT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL";
        set("listener.security.protocol.map", protocols);
        set("log.dirs", &self.directory.path().join("data").to_string_lossy());
        set("auto.create.topics.enable", "false");
        // One small machine has all of it: few threads, no 128 MiB for the cleaner.
        for (key, value) in [("num.network.threads", "2"), ("num.io.threads", "4"), ("log.cleaner.dedupe.buffer.size", "16777216")] {
            set(key, value);
        }
        // A killed broker is let in again only when its old session is over; by default that takes nine seconds.
        set("broker.heartbeat.interval.ms", "500");
        set("broker.session.timeout.ms", "4000");
        // What takes minutes elsewhere (retention, compaction) happens within a second.
        set("log.retention.check.interval.ms", "500");
        set("log.cleaner.backoff.ms", "500");
        set("log.initial.task.delay.ms", "500");
        for topic in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
            set(&format!("{topic}.replication.factor"), "1");
            set(&format!("{topic}.num.partitions"), "2");
        }
        set("transaction.state.log.min.isr", "1");
        set("share.coordinator.state.topic.min.isr", "1");
        set("group.initial.rebalance.delay.ms", "0");
        if let Some(certificates) = &self.certificates {
            listeners.extend([("SSL", ssl), ("SASL_SSL", sasl)]);
            set("ssl.keystore.type", "PEM");
            set("ssl.keystore.location", &certificates.server_keystore().to_string_lossy());
            set("ssl.truststore.type", "PEM");
            set("ssl.truststore.location", &certificates.ca().to_string_lossy());
            set("listener.name.ssl.ssl.client.auth", "required");
            set("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512");
            let login = |class: &str, users: &str| format!("org.apache.kafka.common.security.{class} required{users};");
            for mechanism in ["scram-sha-256", "scram-sha-512"] {
                set(&format!("listener.name.sasl_ssl.{mechanism}.sasl.jaas.config"), &login("scram.ScramLoginModule", ""));
            }
            let users = format!(" user_{USER}=\"{PASSWORD}\"");
            set("listener.name.sasl_ssl.plain.sasl.jaas.config", &login("plain.PlainLoginModule", &users));
        }
        let bound: Vec<String> = listeners.iter().map(|(name, port)| format!("{name}://{}", local(*port))).collect();
        let advertised = bound.join(",").replacen(&local(plaintext), &self.bootstrap, 1);
        set("listeners", &format!("{},CONTROLLER://{}", bound.join(","), local(controller)));
        set("advertised.listeners", &advertised);
        lines.extend(options.settings.iter().cloned());
        lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
    }
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Settings of a client of ours: quick to come back after the broker was away.
fn client_config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("broker.address.family", "v4");
    config.set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "500");
    config
}
