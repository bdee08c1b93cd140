//! A source: a thread of its own that reads one topic, and the handle to it.

use super::batch::Client;
use super::decode::Rows;
use super::lookup::{self, Trouble};
use super::options::KafkaOptions;
use super::session::Reader;
use crate::connect::{SourceColumns, SourceEvent, SourceStatus, Start};
use crate::error::{Code, Error, Result};
use rdkafka::consumer::{CommitMode, Consumer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A source that does not end within this time after [`SourceHandle::stop`] is left to itself.
const STOP_WAIT_MAX: Duration = Duration::from_secs(15);

/// Reads a topic.
pub struct Source;

/// What the source's thread and its handle share.
pub(super) struct Shared {
    pub(super) table: String,
    pub(super) options: KafkaOptions,
    pub(super) status: Arc<SourceStatus>,
    pub(super) events: tokio::sync::mpsc::Sender<SourceEvent>,
    pub(super) stop: CancellationToken,
    client: Mutex<Option<Arc<Client>>>,
}

/// A running source. It stops when it is dropped.
pub struct SourceHandle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Closed when the thread has ended.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Source {
    /// Checks that the columns can be fed as the options say.
    pub fn check(options: &KafkaOptions, columns: &SourceColumns) -> Result<()> {
        Rows::new(options, columns).map(|_| ())
    }

    /// Starts to read. `committed` are the next offsets that the table's log knows; they win over the options. `first`:
    /// the table has never read, so that the startup mode says where partitions begin; else a partition that the log
    /// does not know is new, and begins at its earliest record. What is read goes to `events`; a full queue stops the
    /// reading.
    pub fn start(
        table: &str,
        options: KafkaOptions,
        columns: &SourceColumns,
        committed: BTreeMap<i32, i64>,
        first: bool,
        events: tokio::sync::mpsc::Sender<SourceEvent>,
        status: Arc<SourceStatus>,
    ) -> Result<SourceHandle> {
        let rows = Rows::new(&options, columns)?;
        let shared = Arc::new(Shared {
            table: table.to_string(),
            options,
            status,
            events,
            stop: CancellationToken::new(),
            client: Mutex::new(None),
        });
        let reader = Reader::new(Arc::clone(&shared), rows, committed, first);
        let (alive, ended) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(format!("kafka {table}"))
            .spawn(move || {
                reader.run();
                drop(alive);
            })
            .map_err(|error| Error::new(Code::LimitExceeded, format!("could not start the thread of table \"{table}\": {error}")))?;
        Ok(SourceHandle { shared, thread: Some(thread), ended: Mutex::new(ended) })
    }
}

impl Shared {
    pub(super) fn set_client(&self, client: Arc<Client>) {
        let old = self.client.lock().unwrap_or_else(PoisonError::into_inner).replace(client);
        // Not under the lock: a client takes a moment to end.
        drop(old);
    }

    /// Ends the client. One that `is_stuck` may never end: a thread of its own waits for it.
    pub(super) fn end_client(&self, is_stuck: bool) {
        let old = self.client.lock().unwrap_or_else(PoisonError::into_inner).take();
        if !is_stuck {
            return drop(old);
        }
        let thread = std::thread::Builder::new().name(format!("kafka {} old", self.table)).spawn(move || drop(old));
        if let Err(error) = thread {
            tracing::error!(table = %self.table, %error, "could not start a thread that ends a client");
        }
    }

    fn client(&self) -> Option<Arc<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits, unless the source is to stop.
    pub(super) fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.stop.is_cancelled() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::park_timeout(left);
        }
    }
}

impl SourceHandle {
    /// Publishes next offsets in the consumer group, for tools that show lag. Nothing reads them back; failures are
    /// logged, no more. Does not wait.
    pub fn publish(&self, positions: &BTreeMap<i32, i64>) {
        let Some(client) = self.shared.client().filter(|_| !positions.is_empty()) else { return };
        let list = lookup::position_list(&self.shared.options.topic, positions);
        if let Err(error) = client.consumer().commit(&list, CommitMode::Async) {
            tracing::debug!(table = %self.shared.table, %error, "could not publish the progress");
        }
    }

    /// The next offset of each partition as its broker says now. Waits: not for a thread that has other things to do.
    pub fn high_watermarks(&self, timeout: Duration) -> Result<BTreeMap<i32, i64>> {
        self.resolve(Start::Latest, timeout)
    }

    /// The offset at which each partition of the topic starts. Waits, as [`Self::high_watermarks`] does.
    pub fn resolve(&self, start: Start, timeout: Duration) -> Result<BTreeMap<i32, i64>> {
        let options = &self.shared.options;
        let unavailable = |why: String| Error::new(Code::Unavailable, format!("table \"{}\": {why}", self.shared.table));
        let Some(client) = self.shared.client() else {
            let why = self.shared.status.lock().last_error.clone();
            return Err(unavailable(why.unwrap_or_else(|| "the source has no connection yet".into())));
        };
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let answer = lookup::partitions(&client, &options.topic, left())
            .and_then(|partitions| lookup::starts(&client, &options.topic, &partitions, start, left()));
        answer.map_err(|trouble| {
            // The source's thread hears why brokers are away.
            let known = self.shared.status.lock().last_error.clone().filter(|_| trouble == Trouble::Away);
            let servers = options.properties.get("bootstrap.servers").unwrap_or_default();
            unavailable(known.unwrap_or_else(|| trouble.explain(&options.topic, servers)))
        })
    }

    /// Whether the source's thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops reading and waits for the thread. What it has sent stays in the queue.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.stop.cancel();
        thread.thread().unpark();
        if let Some(client) = self.shared.client() {
            client.wake();
        }
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(STOP_WAIT_MAX) {
            Err(mpsc::RecvTimeoutError::Timeout) => {
                tracing::error!(table = %self.shared.table, "a source did not stop in time");
            }
            _ => {
                if thread.join().is_err() {
                    tracing::error!(table = %self.shared.table, "a source's thread panicked");
                }
            }
        }
    }
}

impl Drop for SourceHandle {
    fn drop(&mut self) {
        self.end();
    }
}
