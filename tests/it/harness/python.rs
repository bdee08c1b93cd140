//! The clients in other languages: Python with its packages, Java with the JDBC driver, each run with a time limit.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a client program may run before it counts as hung: many times what the slowest takes alone (Spark, a minute),
/// since on a busy machine everything here takes several times as long.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(900);

/// Where `tests/run` puts what it installs.
pub fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    cache.expect("neither XDG_CACHE_HOME nor HOME is set").join("weir")
}

/// The Python that has the packages of `tests/clients/requirements.txt`: `WEIR_TEST_PYTHON`, or what `tests/run` installed.
///
/// # Panics
/// When it is missing: a test never passes without what it needs.
pub fn python() -> PathBuf {
    let python = std::env::var_os("WEIR_TEST_PYTHON").map_or_else(|| cache().join("python/bin/python"), PathBuf::from);
    assert!(
        python.is_file(),
        "the component \"Python clients\" is missing: there is no {}; `tests/run` installs it (or set WEIR_TEST_PYTHON)",
        python.display()
    );
    python
}

/// Runs a script of the repository (a path below its root) with [`python`].
pub fn run_python<A: AsRef<OsStr>>(script: &str, arguments: &[A]) -> Output {
    let mut command = Command::new(python());
    // The repository stays clean, and what was printed before a failure is seen.
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    command.arg(super::repository().join(script)).args(arguments);
    run_limited(command, CLIENT_TIMEOUT)
}

/// Runs a script that must succeed; its output is printed.
///
/// # Panics
/// When it fails, with everything that it printed.
pub fn run(script: &str, arguments: &[&str]) {
    print!("{}", succeeded(&run_python(script, arguments)));
}

/// The Arrow Flight SQL JDBC driver: `WEIR_TEST_JDBC_DRIVER`, or what `tests/run` fetched.
///
/// # Panics
/// When it is missing.
pub fn jdbc_driver() -> PathBuf {
    if let Some(path) = std::env::var_os("WEIR_TEST_JDBC_DRIVER") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "the component \"JDBC driver\" is missing: WEIR_TEST_JDBC_DRIVER names {}", path.display());
        return path;
    }
    let directory = cache().join("java");
    let mut drivers: Vec<PathBuf> = std::fs::read_dir(&directory)
        .map(|entries| entries.flatten().map(|entry| entry.path()).filter(|path| is_jdbc_driver(path)).collect())
        .unwrap_or_default();
    drivers.sort();
    drivers.pop().unwrap_or_else(|| {
        panic!(
            "the component \"JDBC driver\" is missing: there is no flight-sql-jdbc-driver-*.jar in {}; `tests/run` installs it",
            directory.display()
        )
    })
}

fn is_jdbc_driver(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("flight-sql-jdbc-driver-") && name.ends_with(".jar")
}

/// Runs a Java source file of the repository with the JDBC driver on the class path.
///
/// # Panics
/// When Java or the driver is missing.
pub fn run_java<A: AsRef<OsStr>>(source: &str, arguments: &[A]) -> Output {
    let driver = jdbc_driver();
    let found = Command::new("java").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(
        found.is_ok_and(|status| status.success()),
        "the component \"Java 17\" is missing: `java -version` does not run; install a JDK 17 and run `tests/run`"
    );
    let mut command = Command::new("java");
    command.args(["--add-opens=java.base/java.nio=ALL-UNNAMED", "-cp"]).arg(driver);
    command.arg(super::repository().join(source)).args(arguments);
    run_limited(command, CLIENT_TIMEOUT)
}

/// Runs a program to its end, with its output; kills it after `limit`.
///
/// # Panics
/// When the program does not start or takes too long.
pub fn run_limited(mut command: Command, limit: Duration) -> Output {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let deadline = Instant::now() + limit;
    let stdout = read_to_end(child.stdout.take().expect("stdout is piped"));
    let stderr = read_to_end(child.stderr.take().expect("stderr is piped"));
    let mut collected = Vec::new();
    for receiver in [&stdout, &stderr] {
        if let Ok(bytes) = receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            collected.push(bytes);
            continue;
        }
        let _ = child.kill();
        let _ = child.wait();
        let seen = [collected.pop(), stdout.recv().ok(), stderr.recv().ok()].into_iter().flatten().flatten().collect::<Vec<u8>>();
        panic!("{command:?} took more than {} s:\n{}", limit.as_secs(), String::from_utf8_lossy(&seen));
    }
    let status = child.wait().expect("the child is ours");
    let stderr = collected.pop().unwrap_or_default();
    Output { status, stdout: collected.pop().unwrap_or_default(), stderr }
}

fn read_to_end(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// The standard output of a program that succeeded.
///
/// # Panics
/// When it failed, with everything that it printed.
pub fn succeeded(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}\n{stdout}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    stdout
}
