//! `weir demo` in a process of its own: what people do now grows from call to call, from its own broker and from a real one.

use super::*;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

/// It makes tables and a model first, here without optimisation and beside other tests.
const START_TIMEOUT: Duration = Duration::from_secs(300);
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// What it prints before its address.
const READY: &str = "weir demo is ready on ";
/// The topic of the events, and its partitions.
const TOPIC: &str = "user_events";
const PARTITIONS: i32 = 4;

/// A running demo. Dropping it kills it.
struct Demo {
    child: Child,
    /// `grpc://127.0.0.1:port`.
    uri: String,
}

impl Demo {
    /// Starts it on a free port and waits until it is ready.
    fn start(directory: &Path, more: &[&str]) -> Self {
        let errors = directory.join("stderr");
        let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["demo", "--listen", "127.0.0.1:0", "--dir"])
            .arg(directory.join("demo"))
            .args(more)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).expect("a file for its errors"))
            .spawn()
            .expect("the weir binary starts");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (lines, printed) = mpsc::channel();
        std::thread::spawn(move || {
            // To the end, also when nobody listens: a full pipe would stop it.
            for line in stdout.lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let mut demo = Self { child, uri: String::new() };
        let (deadline, mut greeting) = (Instant::now() + START_TIMEOUT, String::new());
        loop {
            match printed.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(READY) {
                        demo.uri = rest.split(". ").next().unwrap_or_default().to_owned();
                        return demo;
                    }
                    greeting.push_str(&line);
                    greeting.push('\n');
                }
                Err(why) => {
                    let errors = std::fs::read_to_string(&errors).unwrap_or_default();
                    panic!("the demo is not ready ({why}):\n{greeting}\n{errors}");
                }
            }
        }
    }

    /// Count and newest time of the events, five times through ADBC: each more than the one before.
    fn grows(&self) {
        python::run("tests/clients/demo_grows.py", &[self.uri.as_str()]);
    }

    /// SIGTERM: it ends in order.
    fn stop(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "the demo has ended already");
        let deadline = Instant::now() + STOP_TIMEOUT;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                break status;
            }
            assert!(Instant::now() < deadline, "the demo did not end in {} s", STOP_TIMEOUT.as_secs());
            std::thread::sleep(LOOK);
        };
        assert!(status.success(), "the demo ended with {status}");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn live_events_grow_from_call_to_call_also_when_the_demo_is_started_again() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let demo = Demo::start(directory.path(), &[]);
        demo.grows();
        demo.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_events_come_from_a_real_broker_too() {
    let kafka = Kafka::shared().await;
    let bootstrap = kafka.bootstrap().to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let directory = tempfile::tempdir().unwrap();
        let demo = Demo::start(directory.path(), &["--kafka", &bootstrap]);
        demo.grows();
        demo.stop();
    });
    work.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
    // They went through the broker, not past it.
    assert_eq!(kafka.partitions(TOPIC).await.len(), PARTITIONS as usize);
    let mut n_events = 0;
    for partition in 0..PARTITIONS {
        n_events += kafka.watermarks(TOPIC, partition).await.1;
    }
    assert!(n_events > 0, "the topic is empty");
}
