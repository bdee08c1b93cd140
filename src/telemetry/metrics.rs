//! Metrics: one static per metric, one table of all, Prometheus text on demand.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What every name begins with where it is read.
const PREFIX: &str = "weir_";

/// Only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Starts at zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// The value now.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Starts at zero.
    pub const fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// The value now.
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }

    /// One more until the guard is dropped, also by a panic or a cancelled task.
    #[must_use]
    pub fn enter(&self) -> GaugeGuard<'_> {
        self.0.fetch_add(1, Relaxed);
        GaugeGuard(self)
    }
}

/// Counts one in a [`Gauge`] while it lives.
#[derive(Debug)]
pub struct GaugeGuard<'a>(&'a Gauge);

impl Drop for GaugeGuard<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

/// Upper ends of the classes of a [`Histogram`], in seconds; a last class has no end.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

/// Durations in classes.
#[derive(Debug)]
pub struct Histogram {
    /// Not cumulative; the last one is above all ends.
    classes: [AtomicU64; SECONDS.len() + 1],
    total_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// Starts at zero.
    pub const fn new() -> Self {
        Self { classes: [const { AtomicU64::new(0) }; SECONDS.len() + 1], total_us: AtomicU64::new(0) }
    }

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let class = SECONDS.iter().position(|end| seconds <= *end).unwrap_or(SECONDS.len());
        self.classes[class].fetch_add(1, Relaxed);
        self.total_us.fetch_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// How many durations were observed.
    pub fn count(&self) -> u64 {
        self.classes.iter().map(|class| class.load(Relaxed)).sum()
    }
}

/// The value of a metric, by kind.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    Counter(&'static Counter),
    Gauge(&'static Gauge),
    Histogram(&'static Histogram),
}

impl Value {
    /// As Prometheus names the kind.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// With its unit; counters end in `_total`.
    pub name: &'static str,
    pub value: Value,
    /// A fragment.
    pub help: &'static str,
}

/// Statements that were started.
pub static QUERIES_TOTAL: Counter = Counter::new();
/// Statements that ended with an error.
pub static QUERIES_FAILED_TOTAL: Counter = Counter::new();
/// Statements that were cancelled or timed out.
pub static QUERIES_CANCELLED_TOTAL: Counter = Counter::new();
/// Statements that run now.
pub static QUERIES_RUNNING: Gauge = Gauge::new();
/// Statements that wait for a place.
pub static QUERIES_WAITING: Gauge = Gauge::new();
/// Time from start to the last row of a statement.
pub static QUERY_SECONDS: Histogram = Histogram::new();
/// Time to parse and plan a statement.
pub static PLANNING_SECONDS: Histogram = Histogram::new();
/// Rows sent to clients.
pub static ROWS_RETURNED_TOTAL: Counter = Counter::new();
/// Rows written to tables.
pub static ROWS_WRITTEN_TOTAL: Counter = Counter::new();
/// Bytes of results sent to clients.
pub static BYTES_SENT_TOTAL: Counter = Counter::new();
/// Sessions that are open.
pub static SESSIONS_OPEN: Gauge = Gauge::new();
/// Network connections that are open.
pub static CONNECTIONS_OPEN: Gauge = Gauge::new();
/// Logins that worked.
pub static LOGINS_TOTAL: Counter = Counter::new();
/// Logins and tokens that were refused.
pub static AUTH_FAILURES_TOTAL: Counter = Counter::new();
/// Version of the newest catalog snapshot.
pub static CATALOG_VERSION: Gauge = Gauge::new();
/// Streaming tables whose source delivers.
pub static STREAMS_RUNNING: Gauge = Gauge::new();
/// Records of all streaming tables that were not read yet.
pub static STREAM_LAG_MESSAGES: Gauge = Gauge::new();
/// Rows that are visible and not committed yet.
pub static STREAM_HOT_ROWS: Gauge = Gauge::new();
/// Memory of these rows.
pub static STREAM_HOT_BYTES: Gauge = Gauge::new();
/// Rows that arrived from sources.
pub static STREAM_ROWS_TOTAL: Counter = Counter::new();
/// Payload bytes that arrived from sources.
pub static STREAM_BYTES_TOTAL: Counter = Counter::new();
/// Records that could not be decoded.
pub static STREAM_DEAD_LETTERS_TOTAL: Counter = Counter::new();
/// Records without a payload.
pub static STREAM_TOMBSTONES_TOTAL: Counter = Counter::new();
/// Sources that were started again.
pub static STREAM_RESTARTS_TOTAL: Counter = Counter::new();
/// Commits of streaming tables.
pub static STREAM_COMMITS_TOTAL: Counter = Counter::new();
/// Time from the cut of an epoch to its commit.
pub static STREAM_COMMIT_SECONDS: Histogram = Histogram::new();
/// Tasks of the server that run now.
pub static TASKS_RUNNING: Gauge = Gauge::new();
/// Panics that were caught; each is a bug.
pub static PANICS_TOTAL: Counter = Counter::new();

/// Every metric there is.
pub static METRICS: &[Metric] = &[
    counter("queries_total", &QUERIES_TOTAL, "statements that were started"),
    counter("queries_failed_total", &QUERIES_FAILED_TOTAL, "statements that ended with an error"),
    counter("queries_cancelled_total", &QUERIES_CANCELLED_TOTAL, "statements that were cancelled or timed out"),
    gauge("queries_running", &QUERIES_RUNNING, "statements that run now"),
    gauge("queries_waiting", &QUERIES_WAITING, "statements that wait for a place"),
    histogram("query_seconds", &QUERY_SECONDS, "time from start to the last row of a statement"),
    histogram("planning_seconds", &PLANNING_SECONDS, "time to parse and plan a statement"),
    counter("rows_returned_total", &ROWS_RETURNED_TOTAL, "rows sent to clients"),
    counter("rows_written_total", &ROWS_WRITTEN_TOTAL, "rows written to tables"),
    counter("bytes_sent_total", &BYTES_SENT_TOTAL, "bytes of results sent to clients"),
    gauge("sessions_open", &SESSIONS_OPEN, "sessions that are open"),
    gauge("connections_open", &CONNECTIONS_OPEN, "network connections that are open"),
    counter("logins_total", &LOGINS_TOTAL, "logins that worked"),
    counter("auth_failures_total", &AUTH_FAILURES_TOTAL, "logins and tokens that were refused"),
    gauge("catalog_version", &CATALOG_VERSION, "version of the newest catalog snapshot"),
    gauge("streams_running", &STREAMS_RUNNING, "streaming tables whose source delivers"),
    gauge("stream_lag_messages", &STREAM_LAG_MESSAGES, "records of all streaming tables that were not read yet"),
    gauge("stream_hot_rows", &STREAM_HOT_ROWS, "rows of streaming tables that are visible and not committed yet"),
    gauge("stream_hot_bytes", &STREAM_HOT_BYTES, "memory of rows that are not committed yet"),
    counter("stream_rows_total", &STREAM_ROWS_TOTAL, "rows that arrived from sources"),
    counter("stream_bytes_total", &STREAM_BYTES_TOTAL, "payload bytes that arrived from sources"),
    counter("stream_dead_letters_total", &STREAM_DEAD_LETTERS_TOTAL, "records that could not be decoded"),
    counter("stream_tombstones_total", &STREAM_TOMBSTONES_TOTAL, "records without a payload"),
    counter("stream_restarts_total", &STREAM_RESTARTS_TOTAL, "sources that were started again"),
    counter("stream_commits_total", &STREAM_COMMITS_TOTAL, "commits of streaming tables"),
    histogram("stream_commit_seconds", &STREAM_COMMIT_SECONDS, "time from the cut of an epoch to its commit"),
    gauge("tasks_running", &TASKS_RUNNING, "tasks of the server that run now"),
    counter("panics_total", &PANICS_TOTAL, "panics that were caught; each is a bug"),
];

const fn counter(name: &'static str, value: &'static Counter, help: &'static str) -> Metric {
    Metric { name, value: Value::Counter(value), help }
}

const fn gauge(name: &'static str, value: &'static Gauge, help: &'static str) -> Metric {
    Metric { name, value: Value::Gauge(value), help }
}

const fn histogram(name: &'static str, value: &'static Histogram, help: &'static str) -> Metric {
    Metric { name, value: Value::Histogram(value), help }
}

/// All metrics in the text format of Prometheus.
pub fn exposition() -> String {
    METRICS.iter().map(expose).collect()
}

fn expose(metric: &Metric) -> String {
    let name = format!("{PREFIX}{}", metric.name);
    let mut text = format!("# HELP {name} {}\n# TYPE {name} {}\n", metric.help, metric.value.kind());
    match metric.value {
        Value::Counter(counter) => push(&mut text, &name, counter.value()),
        Value::Gauge(gauge) => push(&mut text, &name, gauge.value()),
        Value::Histogram(histogram) => {
            let mut cumulated = 0;
            let ends = SECONDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
            for (class, end) in histogram.classes.iter().zip(ends) {
                cumulated += class.load(Relaxed);
                push(&mut text, &format!("{name}_bucket{{le=\"{end}\"}}"), cumulated);
            }
            push(&mut text, &format!("{name}_sum"), histogram.total_us.load(Relaxed) as f64 / 1e6);
            // Not counted again: it must equal the last class while others observe.
            push(&mut text, &format!("{name}_count"), cumulated);
        }
    }
    text
}

fn push(text: &mut String, name: &str, value: impl std::fmt::Display) {
    let _infallible = writeln!(text, "{name} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn metrics_are_unique_explained_and_named_by_the_rules() {
        let mut seen = BTreeSet::new();
        for metric in METRICS {
            assert!(seen.insert(metric.name), "{} is listed twice", metric.name);
            assert!(!metric.help.ends_with('.') && !metric.help.contains('\n'), "{}: help is a fragment", metric.name);
            assert!(metric.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", metric.name);
            let ending = match metric.value {
                Value::Counter(_) => metric.name.ends_with("_total"),
                Value::Gauge(_) => !metric.name.ends_with("_total"),
                Value::Histogram(_) => metric.name.ends_with("_seconds"),
            };
            assert!(ending, "{} is a {}", metric.name, metric.value.kind());
        }
        let exposition = exposition();
        assert_eq!(exposition.lines().filter(|line| line.starts_with("# TYPE")).count(), METRICS.len());
    }

    #[test]
    fn a_histogram_cumulates_its_classes() {
        static HISTOGRAM: Histogram = Histogram::new();
        for ms in [0, 1, 2, 700, 3_600_000] {
            HISTOGRAM.observe(Duration::from_millis(ms));
        }
        let text = expose(&histogram("x_seconds", &HISTOGRAM, "help"));
        for line in [
            "weir_x_seconds_bucket{le=\"0.001\"} 2",
            "weir_x_seconds_bucket{le=\"0.0025\"} 3",
            "weir_x_seconds_bucket{le=\"1\"} 4",
            "weir_x_seconds_bucket{le=\"600\"} 4",
            "weir_x_seconds_bucket{le=\"+Inf\"} 5",
            "weir_x_seconds_sum 3600.703",
            "weir_x_seconds_count 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert_eq!(HISTOGRAM.count(), 5);
    }

    #[test]
    fn a_gauge_comes_down_also_by_a_panic() {
        static GAUGE: Gauge = Gauge::new();
        let panicked = std::panic::catch_unwind(|| {
            let _guard = GAUGE.enter();
            assert_eq!(GAUGE.value(), 1);
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(panicked.is_err());
        assert_eq!(GAUGE.value(), 0);
    }
}
