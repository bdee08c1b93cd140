//! The broker's Java process and its directory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long an orderly stop may take before the broker is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// How much of each of the broker's logs a message shows.
const LOG_BYTES_MAX: usize = 8 * 1024;

/// Where a broker lies: settings, certificates, data, logs.
///
/// When this process ends without dropping it, the broker removes it.
pub struct Directory(tempfile::TempDir);

impl Directory {
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("weir-kafka").tempdir().expect("a temporary directory"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A broker that was started. Dropping it kills it.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts the broker of `directory`; `format_arguments` count the first time.
    pub fn start(directory: &Path, format_arguments: &[String]) -> Self {
        let printed = std::fs::File::options().create(true).append(true).open(directory.join("printed.log")).expect("a log file");
        let child = Command::new(super::super::repository().join("tests/clients/kafka/java"))
            .arg(installed())
            .args(["Broker", "run"])
            .arg(directory)
            .args(format_arguments)
            .env("WEIR_BROKER_LOG", directory.join("broker.log"))
            .current_dir(directory)
            // Closed by the system when this process ends: the broker ends with it.
            .stdin(Stdio::piped())
            .stdout(printed.try_clone().expect("a file handle"))
            .stderr(printed)
            .spawn()
            .expect("the broker starts");
        Self { child }
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().expect("the child is ours").map(|status| status.to_string())
    }

    /// Sends a signal: `-STOP`, `-CONT`, `-TERM`.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal {signal} could not be sent");
    }

    /// Stops it in order, at the latest after a minute.
    pub fn stop(mut self) {
        if self.ended().is_some() {
            return;
        }
        self.signal("-TERM");
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of what a broker printed and logged.
pub fn log(directory: &Path) -> String {
    let mut text = String::new();
    for name in ["printed.log", "broker.log"] {
        let bytes = std::fs::read(directory.join(name)).unwrap_or_default();
        let end = &bytes[bytes.len().saturating_sub(LOG_BYTES_MAX)..];
        text.push_str(&format!("--- {name} ---\n{}\n", String::from_utf8_lossy(end)));
    }
    text
}

/// Where `tests/run` put Kafka.
///
/// # Panics
/// When it is missing: a test never passes without what it needs.
fn installed() -> PathBuf {
    let directory = std::env::var_os("WEIR_TEST_KAFKA").map_or_else(in_cache, PathBuf::from);
    assert!(
        directory.join("libs").is_dir(),
        "the component \"Kafka\" is missing: there is no {}; `tests/run` installs it (or set WEIR_TEST_KAFKA)",
        directory.join("libs").display()
    );
    directory
}

fn in_cache() -> PathBuf {
    let pom = std::fs::read_to_string(super::super::repository().join("tests/clients/kafka/pom.xml")).expect("pom.xml");
    let (_, rest) = pom.split_once("<kafka.version>").expect("pom.xml says the version");
    let (version, _) = rest.split_once('<').expect("pom.xml is XML");
    super::super::python::cache().join(format!("kafka-{version}"))
}
