//! A weir server as a process of its own: started on a free port, stopped or killed by the test.

use super::{Client, S3};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A running server. Dropping it kills it; its directory goes with it.
pub struct Server {
    child: Child,
    address: String,
    directory: Arc<tempfile::TempDir>,
    /// The name of its data_dir in the directory.
    name: &'static str,
    arguments: Vec<String>,
    /// What it wrote to stderr, and who reads that.
    log: Arc<Mutex<String>>,
    log_reader: Option<JoinHandle<()>>,
    /// What it wrote to stdout before it was ready.
    greeting: String,
}

impl Server {
    /// A server in development mode: no password. `/data` is a writable root, `/fixtures` is `tests/data`,
    /// `/testdata` the real data sets, `/movielens` one of them.
    pub fn start() -> Self {
        Self::start_with(&["--dev"])
    }

    /// A server with these arguments behind `weir serve`, in a new directory.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(new_directory(), arguments.iter().map(|argument| (*argument).to_owned()).collect())
    }

    /// A server in development mode that may also use the whole bucket of an S3 server.
    pub fn start_with_s3(s3: &S3) -> Self {
        let directory = new_directory();
        let file = |name: &str, key: &str| {
            std::fs::write(directory.path().join(name), format!("{key}\n")).expect("a key file");
            directory.path().join(name).display().to_string()
        };
        let (access, secret) = (file("s3-access-key", s3.access_key()), file("s3-secret-key", s3.secret_key()));
        let entry = format!(
            "{{bucket = '{}', endpoint = '{}', region = '{}', writable = true, access_key_file = '{access}', secret_key_file = '{secret}'}}",
            s3.bucket(),
            s3.endpoint(),
            s3.region(),
        );
        let arguments = ["--dev", "--set", &format!("storage.s3=[{entry}]")].map(str::to_owned);
        Self::start_in(directory, arguments.into())
    }

    fn start_in(directory: Arc<tempfile::TempDir>, arguments: Vec<String>) -> Self {
        Self::spawn(directory, "server", arguments, &[]).ready()
    }

    /// Starts the process and waits until it listens, or ends.
    fn spawn(directory: Arc<tempfile::TempDir>, name: &'static str, arguments: Vec<String>, environment: &[(&str, &str)]) -> Self {
        let mut roots = format!("/data={}:rw", directory.path().join("data").display());
        for (prefix, path) in [("/fixtures", super::repository().join("tests/data")), ("/testdata", super::test_data_root())] {
            if let Ok(path) = path.canonicalize() {
                roots.push_str(&format!(",{prefix}={}", path.display()));
            }
        }
        if let Ok(path) = super::test_data_root().join("ml-latest-small").canonicalize() {
            roots.push_str(&format!(",/movielens={}", path.display()));
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.path().join(name))
            .args(&arguments)
            .env("WEIR__STORAGE__ROOTS", &roots)
            .envs(environment.iter().copied())
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the weir binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let kept = Arc::clone(&log);
        let log_reader = std::thread::spawn(move || {
            let mut buffer = [0_u8; 4096];
            while let Ok(n_bytes @ 1..) = stderr.read(&mut buffer) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..n_bytes]));
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut greeting = String::new();
        let address = loop {
            let mut line = String::new();
            let n_bytes = stdout.read_line(&mut line).expect("stdout is text");
            if n_bytes == 0 {
                let _ = child.wait();
                break String::new();
            }
            greeting.push_str(&line);
            if let Some(rest) = line.strip_prefix("weir listens on ") {
                break rest.split_whitespace().next().unwrap_or_default().to_owned();
            }
        };
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self { child, address, directory, name, arguments, log, log_reader: Some(log_reader), greeting }
    }

    /// This server, which must be listening.
    fn ready(mut self) -> Self {
        if self.address.is_empty() {
            // The log is whole when its reader has ended.
            self.kill();
            panic!("the server ended before it was ready:\n{}\n{}", self.greeting, self.log());
        }
        self
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The directory that statements call `/data`.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The server's own directory (`data_dir`).
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }

    /// The test's directory: above both.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What the server wrote to its log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// What it printed before it was ready: the first password stands there.
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A client without a password.
    pub async fn client(&self) -> Client {
        Client::connect(&self.address, None).await.expect("the server answers")
    }

    /// Runs a statement as a new client and returns its rows as text, columns by tabs.
    pub async fn sql(&self, sql: &str) -> Vec<String> {
        self.client().await.rows(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"))
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.reap();
    }

    /// Whether the process has ended; then its log is whole.
    pub fn has_ended(&mut self) -> bool {
        let has_ended = self.child.try_wait().expect("the child is ours").is_some();
        if has_ended {
            self.reap();
        }
        has_ended
    }

    fn reap(&mut self) {
        let _ = self.child.wait();
        if let Some(reader) = self.log_reader.take() {
            let _ = reader.join();
        }
    }

    /// Kills the server and starts it again on the same directory.
    pub fn restart(mut self) -> Self {
        self.kill();
        Self::spawn(Arc::clone(&self.directory), self.name, self.arguments.clone(), &[]).ready()
    }

    /// The same with environment variables; the new server may end before it is ready.
    pub fn restart_in(mut self, environment: &[(&str, &str)]) -> Self {
        self.kill();
        Self::spawn(Arc::clone(&self.directory), self.name, self.arguments.clone(), environment)
    }

    /// A second server while this one runs: on a copy of its data_dir, with the same roots.
    pub fn twin(&self) -> Self {
        let name = "twin";
        let copied = Command::new("cp").arg("-a").arg(self.data_dir()).arg(self.directory().join(name)).status();
        assert!(copied.is_ok_and(|status| status.success()), "the data directory could not be copied");
        Self::spawn(Arc::clone(&self.directory), name, self.arguments.clone(), &[]).ready()
    }

    /// Sends SIGTERM and waits for the end; returns the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let _ = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        self.child.wait().ok().and_then(|status| status.code())
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
    }
}

fn new_directory() -> Arc<tempfile::TempDir> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir_all(directory.path().join("data")).expect("the data directory");
    Arc::new(directory)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- server log ---\n{}", self.log());
        }
    }
}
