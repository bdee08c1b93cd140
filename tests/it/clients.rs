//! Real clients of other projects against a real server: ADBC and pyarrow from PyPI, the JDBC driver from Maven.

use crate::harness::python::{run_java, run_limited, run_python, succeeded};
use crate::harness::{Client, Server};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const PASSWORD: &str = "correct horse: battery staple";

/// A directory with the file of the first password, and what a TLS server needs.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("a temporary directory"));
        std::fs::write(files.path("password"), format!("{PASSWORD}\n")).expect("the password file");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn password_arguments(&self) -> Vec<String> {
        vec!["--admin-password-file".to_owned(), self.path("password").display().to_string()]
    }

    /// Writes a new certificate for this machine, which is its own authority, and returns the settings that use it.
    fn tls_arguments(&self) -> Vec<String> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("a certificate");
        std::fs::write(self.path("server.pem"), made.cert.pem()).expect("the certificate");
        std::fs::write(self.path("server.key"), made.signing_key.serialize_pem()).expect("the key");
        let setting = |key: &str, file: &str| ["--set".to_owned(), format!("server.{key}={}", self.path(file).display())];
        setting("tls_cert", "server.pem").into_iter().chain(setting("tls_key", "server.key")).collect()
    }
}

fn start(arguments: &[String]) -> Server {
    Server::start_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Runs `weir serve` that should refuse to start; the first password is in `files`.
fn serve(files: &Files, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.arg("serve").args(files.password_arguments()).arg("--data-dir").arg(files.path("server")).args(arguments);
    command.current_dir(files.0.path());
    run_limited(command, Duration::from_secs(60))
}

#[track_caller]
fn refuses_to_start(arguments: &[&str], parts: &[&str]) {
    let output = serve(&Files::new(), arguments);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{arguments:?}\n{stdout}\n{stderr}");
    assert!(!stdout.contains("listens on"), "{arguments:?}\n{stdout}");
    for part in parts {
        assert!(stderr.contains(part), "{part:?} is not said for {arguments:?}:\n{stderr}");
    }
}

/// How many checks a client reported; each must have passed.
#[track_caller]
fn passed(output: &Output) -> usize {
    let stdout = succeeded(output);
    let n_ok = stdout.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(stdout.lines().any(|line| line == format!("{n_ok} passed, 0 failed")), "{stdout}");
    n_ok
}

fn adbc(uri: &str, more: &[&str]) -> Output {
    run_python("tests/clients/adbc_check.py", &[&[uri, "--user", "admin", "--password", PASSWORD], more].concat())
}

#[test]
fn a_server_that_others_can_reach_needs_tls() {
    refuses_to_start(&["--listen", "0.0.0.0:0"], &["server.flight_listen", "needs TLS", "server.tls_cert"]);
    refuses_to_start(&["--listen", "0.0.0.0:0", "--dev"], &["server.dev", "loopback"]);
}

#[test]
fn tls_files_that_cannot_work_are_named() {
    let files = Files::new();
    files.tls_arguments();
    let (certificate, key) = (files.path("server.pem").display().to_string(), files.path("server.key").display().to_string());
    let set = |key: &str, value: &str| format!("server.{key}={value}");
    let listen = ["--listen", "127.0.0.1:0", "--set"];
    refuses_to_start(&[&listen[..], &[&set("tls_cert", &certificate)]].concat(), &["server.tls_cert", "needs \"server.tls_key\" too"]);
    let missing = set("tls_key", "/nowhere/server.key");
    refuses_to_start(&[&listen[..], &[&set("tls_cert", &certificate), "--set", &missing]].concat(), &["/nowhere/server.key"]);
    // Certificate and key in each other's place.
    refuses_to_start(&[&listen[..], &[&set("tls_cert", &key), "--set", &set("tls_key", &certificate)]].concat(), &[&key]);
    let other = Files::new();
    other.tls_arguments();
    let foreign = set("tls_key", &other.path("server.key").display().to_string());
    refuses_to_start(&[&listen[..], &[&set("tls_cert", &certificate), "--set", &foreign]].concat(), &["does not belong to certificate"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_refused_and_the_right_one_is_not() {
    let files = Files::new();
    let server = start(&files.password_arguments());
    assert!(!server.greeting().contains(PASSWORD), "the password of a file is not printed: {}", server.greeting());
    let refused = |user: &'static str, password: &'static str| {
        let address = server.address().to_owned();
        async move { Client::connect(&address, Some((user, password))).await.err().unwrap_or_else(|| panic!("{user} was let in")) }
    };
    let wrong = refused("admin", "wrong").await;
    let unknown = refused("nobody", "wrong").await;
    assert_eq!(wrong.replace("admin", "x"), unknown.replace("nobody", "x"), "the answer does not tell which users exist");
    refused("admin", "").await;
    refused("", "").await;
    let mut client = Client::connect(server.address(), Some(("admin", PASSWORD))).await.expect("the right password");
    assert_eq!(client.rows("SELECT 1").await.unwrap(), ["1"]);
}

#[test]
fn adbc_and_pyarrow() {
    let files = Files::new();
    let server = start(&files.password_arguments());
    assert_eq!(passed(&adbc(&format!("grpc://{}", server.address()), &[])), n_checks("tests/clients/adbc_check.py", "@check"));
}

#[test]
fn adbc_over_tls() {
    let files = Files::new();
    let server = start(&[files.password_arguments(), files.tls_arguments()].concat());
    let uri = format!("grpc+tls://{}", server.address());
    let authority = files.path("server.pem").display().to_string();
    for (only, n_checks) in [("password", 3), ("binds_every", 1), ("raw_bearer", 1)] {
        assert_eq!(passed(&adbc(&uri, &["--tls-ca", &authority, "--only", only])), n_checks, "{only}");
    }
    // Without the authority the client must not trust the server; without TLS it must not get in.
    for uri in [uri, format!("grpc://{}", server.address())] {
        let output = adbc(&uri, &["--only", "connects_with"]);
        assert_eq!(output.status.code(), Some(1), "{uri}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn jdbc() {
    let files = Files::new();
    let server = start(&files.password_arguments());
    let url = format!("jdbc:arrow-flight-sql://{}?useEncryption=false", server.address());
    let source = "tests/clients/jdbc/FlightSqlJdbcCheck.java";
    let output = run_java(source, &[&url, "admin", PASSWORD]);
    assert_eq!(passed(&output), n_checks(source, "        check(\""), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn jdbc_over_tls() {
    let files = Files::new();
    let server = start(&[files.password_arguments(), files.tls_arguments()].concat());
    let authority = trust_store(&files);
    let port = server.address().rsplit(':').next().unwrap_or_default();
    let url = format!(
        "jdbc:arrow-flight-sql://localhost:{port}?useEncryption=true&useSystemTrustStore=false&trustStore={}&trustStorePassword=changeit",
        authority.display()
    );
    let source = "tests/clients/jdbc/FlightSqlJdbcCheck.java";
    assert_eq!(passed(&run_java(source, &[&url, "admin", PASSWORD])), n_checks(source, "        check(\""));
}

/// A Java trust store with the server's certificate.
fn trust_store(files: &Files) -> PathBuf {
    let store = files.path("trust.p12");
    let mut command = Command::new("keytool");
    command.args(["-importcert", "-noprompt", "-alias", "weir", "-storetype", "PKCS12", "-storepass", "changeit"]);
    command.arg("-file").arg(files.path("server.pem")).arg("-keystore").arg(&store);
    assert!(
        Command::new("keytool").arg("-help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok(),
        "the component \"Java 17\" is missing: `keytool` does not run; install a JDK 17 and run `tests/run`"
    );
    succeeded(&run_limited(command, Duration::from_secs(60)));
    store
}

/// The number of checks that a client program has: lines that begin so.
fn n_checks(script: &str, mark: &str) -> usize {
    let path: &Path = &crate::harness::repository().join(script);
    let source = std::fs::read_to_string(path).expect("the client program");
    let n_checks = source.lines().filter(|line| line.starts_with(mark)).count();
    assert!(n_checks >= 10, "{script} has {n_checks} checks");
    n_checks
}
