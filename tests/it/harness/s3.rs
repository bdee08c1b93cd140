//! An S3 server of a test's own, in memory, with conditional put: `tests/clients/s3_server.py`.

use super::python::python;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

const BUCKET: &str = "weir-tests";
const ACCESS_KEY: &str = "weir-access-key";
const SECRET_KEY: &str = "weir-secret-key-4711";
const REGION: &str = "us-east-1";

/// A running server. It ends when this is dropped, and with this process.
pub struct S3 {
    child: Child,
    endpoint: String,
}

impl S3 {
    /// Starts it with an empty bucket.
    ///
    /// # Panics
    /// When the Python clients are missing or the server does not start.
    pub fn start() -> Self {
        let mut child = Command::new(python())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(super::repository().join("tests/clients/s3_server.py"))
            .args([BUCKET, ACCESS_KEY])
            // Closed by the system when this process ends: the server ends with it.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the S3 server starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        stdout.read_line(&mut line).expect("stdout is text");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let Some(endpoint) = line.trim_end().strip_prefix("s3 listens on ") else {
            let mut printed = String::new();
            let _ = stderr.read_to_string(&mut printed);
            let _ = child.wait();
            panic!("the S3 server did not start:\n{line}{printed}");
        };
        let endpoint = endpoint.to_owned();
        // A full pipe would stop the server.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { child, endpoint }
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The bucket that is there.
    pub fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// Requests of another access key are refused.
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// Signatures are not checked; the secret is there to be looked for in logs.
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// The region that clients name.
    pub fn region(&self) -> &'static str {
        REGION
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
