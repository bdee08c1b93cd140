//! One streaming table's job: goes on where the log says, makes rows visible, cuts epochs, commits them.

use super::epoch::{self, Cut, OpenEpoch};
use super::maintenance;
use super::progress::{self, Progress, SEEK_TXN};
use super::watermark::Watermark;
use crate::catalog::{SeekTo, Table};
use crate::connect::kafka::{self, KafkaOptions, Source, SourceHandle, StreamSettings};
use crate::connect::{DeadLetter, Failure, FailureKind, Fetched, Position, SourceEvent, SourceStatus, Start};
use crate::engine::Engine;
use crate::error::{Code, Error, Result};
use crate::tables::streaming::status::{StreamGap, StreamState};
use crate::tables::streaming::{Ends, HotBatch, StreamTable, batch_bytes, dead_letters};
use crate::telemetry::{metrics, task};
use datafusion::arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Fetches that wait between the source's thread and the job.
const FETCHES_QUEUED_MAX: usize = 4;
/// How often the status is brought up to date, and memory that was refused is asked for again.
const TICK: Duration = Duration::from_millis(200);
/// The waits before a job that failed is started again.
const RESTART_MIN: Duration = Duration::from_millis(500);
const RESTART_MAX: Duration = Duration::from_secs(30);
/// How long the last commit of a run may take; after that its rows are read again.
const FINISH_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the brokers may take to say which offsets a SEEK means; after that it is tried again.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
/// Commits between two rounds of maintenance.
const MAINTENANCE_COMMITS: u64 = 8;

/// Why a run ended.
enum End {
    /// It was told to; what had arrived is committed.
    Stopped,
    /// Only a person can help.
    Failed(Error),
    /// It is worth another try.
    Again(Error),
}

/// Runs a table's job until it is stopped, or until it has failed for good.
pub fn run<'a>(engine: &'a Arc<Engine>, table: &'a Arc<Table>, stop: &'a CancellationToken) -> BoxFuture<'a, ()> {
    Box::pin(async move {
        let status = engine.streams().board().of(&table.id);
        let mut wait = RESTART_MIN;
        while !stop.is_cancelled() {
            status.lock().state = StreamState::Starting;
            let begun = Instant::now();
            let end = match Run::start(engine, table, stop).await {
                Ok(run) => Box::pin(run.until_its_end(stop)).await,
                Err(end) => end,
            };
            match end {
                End::Stopped => return,
                End::Failed(error) => {
                    tracing::error!(table = %table.name, %error, "stream failed");
                    let mut numbers = status.lock();
                    numbers.state = StreamState::Failed;
                    numbers.last_error = Some(whole(&error));
                    return;
                }
                End::Again(error) => {
                    tracing::warn!(table = %table.name, %error, retry_in_ms = wait.as_millis(), "stream is started again");
                    let mut numbers = status.lock();
                    numbers.state = StreamState::Retrying;
                    numbers.last_error = Some(whole(&error));
                    numbers.restarts += 1;
                    metrics::STREAM_RESTARTS_TOTAL.increment();
                }
            }
            if begun.elapsed() > RESTART_MAX {
                wait = RESTART_MIN;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(RESTART_MAX);
        }
    })
}

/// Message and hint in one line.
fn whole(error: &Error) -> String {
    let hint = error.hint.as_ref().map(|hint| format!(" {hint}")).unwrap_or_default();
    format!("{}.{hint}", error.message)
}

/// A job that runs.
struct Run {
    table: Arc<StreamTable>,
    topic: String,
    settings: StreamSettings,
    pool: Arc<dyn MemoryPool>,
    cpu: tokio::runtime::Handle,
    /// `None` at the end of the run.
    source: Option<Arc<SourceHandle>>,
    source_status: Arc<SourceStatus>,
    events: mpsc::Receiver<SourceEvent>,
    memory: MemoryReservation,
    epoch: OpenEpoch,
    positions: BTreeMap<i32, i64>,
    topic_id: Option<i64>,
    watermark: Watermark,
    /// A fetch whose memory was refused: it is the next one.
    waiting: Option<Fetched>,
    /// The commit that is on its way.
    committing: Option<Committing>,
    give_up: CancellationToken,
    n_commits: u64,
    maintenance: Option<JoinHandle<()>>,
}

type Committing = JoinHandle<Result<BTreeMap<i32, i64>>>;

impl Run {
    fn start<'a>(
        engine: &'a Arc<Engine>,
        definition: &'a Arc<Table>,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, std::result::Result<Self, End>> {
        Box::pin(async move {
            let stream = definition.stream.clone().unwrap_or_default();
            let table = engine.stream_table(definition).await.map_err(again)?;
            let options = engine.kafka_options(definition).map_err(|error| match error.code {
                // A secret's variable or file may come.
                Code::UndefinedObject | Code::Io => End::Again(error),
                _ => End::Failed(error),
            })?;
            let columns = engine.source_columns(definition, &table).map_err(End::Failed)?;
            let managed = Arc::clone(table.managed());
            let (topic, settings) = (options.topic.clone(), options.stream.clone());
            let mut progress = Progress::of(&managed, &topic);
            if let Some(seek) = stream.seek.as_ref().filter(|seek| seek.number > progress.seek) {
                let offsets = tokio::select! {
                    () = stop.cancelled() => return Err(End::Stopped),
                    offsets = sought(&options, &seek.to, &progress.offsets) => offsets.map_err(again)?,
                };
                let mut txns = progress::offset_txns(&managed, &topic, &offsets);
                txns.push((managed.txn_id(SEEK_TXN), seek.number));
                // The new offsets may be about another topic of the same name.
                txns.push((managed.txn_id(&progress::topic_id_txn(&topic)), progress::NO_TOPIC_ID));
                managed.commit_txns(txns).await.map_err(ended)?;
                progress = Progress::of(&managed, &topic);
            }
            let (sender, events) = mpsc::channel(FETCHES_QUEUED_MAX);
            let source_status = Arc::new(SourceStatus::default());
            let is_first = progress.offsets.is_empty();
            let name = format!("{}.{}", definition.database, definition.name);
            let source = Source::start(&name, options, &columns, progress.offsets.clone(), is_first, sender, Arc::clone(&source_status))
                .map_err(End::Failed)?;
            let source = Arc::new(source);
            table.hot().clear();
            table.set_positions(|positions| *positions = progress.offsets.clone());
            table.set_ends(Some(Arc::new(TopicEnds(Arc::clone(&source)))));
            {
                let mut numbers = table.status().lock();
                numbers.epoch = progress.epoch;
                numbers.last_error = None;
                numbers.partitions.clear();
            }
            let delay = stream.watermark.as_ref().map_or(0, |watermark| watermark.delay_ms);
            let watermark =
                Watermark::new(Duration::from_millis(u64::try_from(delay).unwrap_or(0)), settings.idle_timeout, progress.watermark_us);
            let pool = engine.memory_pool();
            let memory = MemoryConsumer::new(format!("hot rows of {name}")).register(&pool);
            Ok(Self {
                table,
                topic,
                settings,
                pool,
                cpu: engine.background(),
                source: Some(source),
                source_status,
                events,
                memory,
                epoch: OpenEpoch::new(progress.epoch + 1),
                positions: progress.offsets,
                topic_id: progress.topic_id,
                watermark,
                waiting: None,
                committing: None,
                give_up: CancellationToken::new(),
                n_commits: 0,
                maintenance: None,
            })
        })
    }

    fn until_its_end<'a>(mut self, stop: &'a CancellationToken) -> BoxFuture<'a, End> {
        Box::pin(async move {
            let end = self.work(stop).await;
            // Rows that wait in the queue or for memory were never visible: they are read again.
            self.table.set_ends(None);
            let source = self.source.take();
            // It waits for its thread.
            drop(tokio::task::spawn_blocking(move || drop(source)).await);
            let is_ours = !matches!(&end, End::Failed(error) if error.code == Code::Conflict);
            let last = match is_ours {
                true => tokio::time::timeout(FINISH_TIMEOUT, self.finish()).await.unwrap_or_else(|_| {
                    self.give_up.cancel();
                    Err(Error::new(Code::Timeout, format!("the last commit took more than {} s", FINISH_TIMEOUT.as_secs())))
                }),
                false => Ok(()),
            };
            self.table.hot().clear();
            if let Some(maintenance) = self.maintenance.take() {
                drop(maintenance.await);
            }
            match (end, last) {
                (End::Stopped, Err(error)) => {
                    tracing::warn!(table = %self.table.managed().name(), %error, "the last rows of a stream were not committed");
                    End::Stopped
                }
                (end, _) => end,
            }
        })
    }

    /// Commits what is visible, and publishes it for readers of the directory.
    fn finish<'a>(&'a mut self) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if let Some(committing) = self.committing.take() {
                joined(committing.await)?;
            }
            if self.epoch.begun.is_some() {
                let cut = self.cut();
                epoch::commit(&self.table, &self.topic, &self.pool, &cut, &self.give_up).await?;
            }
            self.table.managed().mature(&self.pool, true).await.map(drop)
        })
    }

    fn work<'a>(&'a mut self, stop: &'a CancellationToken) -> BoxFuture<'a, End> {
        Box::pin(async move {
            let mut tick = tokio::time::interval(TICK);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                let may_take = self.waiting.is_none() && !self.is_full();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return End::Stopped,
                    done = ready(&mut self.committing) => {
                        match done {
                            Ok(offsets) => self.committed(offsets),
                            Err(error) => return ended(error),
                        }
                    }
                    event = self.events.recv(), if may_take => {
                        let taken = match event {
                            Some(event) => self.take(event).await,
                            None => Err(End::Again(Error::internal("the source of a stream ended without a word"))),
                        };
                        if let Err(end) = taken {
                            return end;
                        }
                    }
                    _ = tick.tick() => {
                        self.show();
                        if let Some(fetched) = self.waiting.take()
                            && let Err(end) = self.append(fetched)
                        {
                            return end;
                        }
                    }
                }
                if self.is_due() && self.committing.is_none() {
                    self.begin_commit();
                }
            }
        })
    }

    /// No more rows before a commit has made room: nothing is dropped, the source waits.
    fn is_full(&self) -> bool {
        self.table.hot().size().n_bytes as u64 >= self.settings.hot_bytes_max || (self.is_large() && self.committing.is_some())
    }

    fn is_large(&self) -> bool {
        self.epoch.n_rows as u64 >= self.settings.commit_rows_max || self.epoch.n_bytes as u64 >= self.settings.commit_bytes_max
    }

    fn is_due(&self) -> bool {
        let Some(begun) = self.epoch.begun else { return false };
        self.is_large()
            || begun.elapsed() >= self.settings.commit_interval
            || self.waiting.is_some()
            || self.table.hot().size().n_bytes as u64 >= self.settings.hot_bytes_max
    }

    fn take<'a>(&'a mut self, event: SourceEvent) -> BoxFuture<'a, std::result::Result<(), End>> {
        Box::pin(async move {
            match event {
                SourceEvent::Assigned { positions, topic_id } => self.assigned(&positions, topic_id).await,
                SourceEvent::Fetched(fetched) => self.append(fetched),
                SourceEvent::Skipped { partition, from_offset, to_offset } => {
                    let gap = StreamGap { partition, from_offset, to_offset, seen_ms: chrono::Utc::now().timestamp_millis() };
                    tracing::warn!(table = %self.table.managed().name(), partition, from_offset, to_offset, "records of a topic are gone");
                    self.table.status().lock().add_gap(gap);
                    self.positions.insert(partition, to_offset);
                    self.epoch.touch();
                    Ok(())
                }
                SourceEvent::Failed(Failure { kind: FailureKind::Internal, error }) => Err(End::Again(error)),
                SourceEvent::Failed(Failure { error, .. }) => Err(End::Failed(error)),
            }
        })
    }

    /// Partitions that the log does not know yet. Where the first ones begin is in the log before any of their rows:
    /// 'latest' means the end of the topic when the table was created, whatever is killed.
    async fn assigned(&mut self, positions: &[Position], topic_id: Option<i64>) -> std::result::Result<(), End> {
        if let (Some(known), Some(found)) = (self.topic_id, topic_id)
            && known != found
        {
            return Err(End::Failed(
                Error::new(Code::WrongObject, format!("topic \"{}\" was deleted and created again", self.topic))
                    .detail("The offsets of the table are about the old topic.")
                    .hint("ALTER STREAMING TABLE .. SEEK TO EARLIEST reads the new one."),
            ));
        }
        self.topic_id = topic_id.or(self.topic_id);
        let is_first = self.positions.is_empty();
        for position in positions {
            self.positions.entry(position.partition).or_insert(position.next_offset);
            self.watermark.moved(position.partition, None, Instant::now());
        }
        self.epoch.touch();
        if is_first {
            let cut = self.cut();
            epoch::commit(&self.table, &self.topic, &self.pool, &cut, &self.give_up).await.map_err(ended)?;
        }
        let positions = self.positions.clone();
        self.table.set_positions(|visible| *visible = positions);
        Ok(())
    }

    /// Makes the rows of a fetch visible, or keeps it back while there is no memory for it.
    fn append(&mut self, fetched: Fetched) -> std::result::Result<(), End> {
        let dead = dead_letter_rows(&fetched.dead_letters);
        let n_bytes = batch_bytes(&fetched.rows, dead.as_ref());
        let memory = self.memory.new_empty();
        if memory.try_grow(n_bytes).is_err() && self.table.hot().size().n_bytes > 0 {
            self.waiting = Some(fetched);
            return Ok(());
        }
        // The source delivers what it was asked for: anything else is our defect, and no row must be passed over.
        let rows = self.physical(&fetched.rows).map_err(End::Failed)?;
        let now = Instant::now();
        for position in &fetched.positions {
            self.positions.insert(position.partition, position.next_offset);
            self.watermark.moved(position.partition, position.event_time_max_us, now);
        }
        self.epoch.add(&rows, dead.as_ref(), n_bytes);
        let n_rows = rows.num_rows() as u64;
        if n_rows > 0 || dead.is_some() {
            self.table.hot().append(HotBatch::new(rows, dead, self.epoch.number, memory));
        }
        self.table.set_positions(|visible| {
            for position in &fetched.positions {
                visible.insert(position.partition, position.next_offset);
            }
        });
        metrics::STREAM_ROWS_TOTAL.add(n_rows);
        metrics::STREAM_DEAD_LETTERS_TOTAL.add(fetched.dead_letters.len() as u64);
        metrics::STREAM_BYTES_TOTAL.add(fetched.n_bytes);
        metrics::STREAM_TOMBSTONES_TOTAL.add(fetched.n_tombstones);
        let mut numbers = self.table.status().lock();
        numbers.add_rows(n_rows);
        numbers.dead_letters += fetched.dead_letters.len() as u64;
        numbers.tombstones += fetched.n_tombstones;
        numbers.nulled_fields += fetched.n_nulled_fields;
        numbers.timestamp_max_ms = numbers.timestamp_max_ms.max(fetched.timestamp_max_ms);
        Ok(())
    }

    /// Rows of the source with the number of their commit: what the files will have.
    fn physical(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let epoch: ArrayRef = Arc::new(Int64Array::from_value(self.epoch.number, rows.num_rows()));
        let columns = rows.columns().iter().cloned().chain(std::iter::once(epoch)).collect();
        RecordBatch::try_new(self.table.physical(), columns).map_err(|error| Error::internal(format!("rows of a source: {error}")))
    }

    fn cut(&mut self) -> Cut {
        let watermark = self.watermark.value(Instant::now());
        self.epoch.cut(self.positions.clone(), watermark, self.topic_id)
    }

    /// Encodes and commits on the query threads, while the next epoch grows.
    fn begin_commit(&mut self) {
        let cut = self.cut();
        let (table, topic, pool, give_up) = (Arc::clone(&self.table), self.topic.clone(), Arc::clone(&self.pool), self.give_up.clone());
        let name = format!("commit {}", self.table.managed().name());
        self.committing = Some(task::spawn_on(&self.cpu, name, async move {
            epoch::commit(&table, &topic, &pool, &cut, &give_up).await?;
            Ok(cut.offsets)
        }));
    }

    fn committed(&mut self, offsets: BTreeMap<i32, i64>) {
        // For lag tools only: the log has the truth.
        if let Some(source) = &self.source {
            source.publish(&offsets);
        }
        self.n_commits += 1;
        let is_resting = self.maintenance.as_ref().is_none_or(JoinHandle::is_finished);
        if self.n_commits.is_multiple_of(MAINTENANCE_COMMITS) && is_resting {
            let round = maintenance::round(Arc::clone(self.table.managed()), self.settings.clone(), Arc::clone(&self.pool));
            self.maintenance = Some(task::spawn_on(&self.cpu, format!("maintenance {}", self.table.managed().name()), round));
        }
    }

    /// Brings the status board up to date.
    fn show(&mut self) {
        let source = self.source_status.lock().clone();
        let size = self.table.hot().size();
        for (partition, seen) in &source.partitions {
            self.watermark.at_end(*partition, seen.at_end);
        }
        let mut numbers = self.table.status().lock();
        for (partition, position) in &self.positions {
            let seen = source.partitions.get(partition).copied().unwrap_or_default();
            let entry = numbers.partitions.entry(*partition).or_default();
            entry.low_watermark = seen.low_watermark;
            entry.high_watermark = seen.high_watermark;
            entry.position = *position;
            entry.at_end = seen.at_end && seen.position <= *position;
            entry.watermark_us = self.watermark.of(*partition);
        }
        numbers.hot_rows = size.n_rows as u64;
        numbers.hot_bytes = size.n_bytes as u64;
        numbers.restarts = numbers.restarts.max(source.restarts);
        numbers.last_error.clone_from(&source.last_error);
        let is_behind = numbers.partitions.values().any(|partition| !partition.at_end);
        numbers.state = match (source.last_error.is_some(), numbers.partitions.is_empty(), is_behind) {
            (true, _, _) => StreamState::Retrying,
            (false, true, _) => StreamState::Starting,
            (false, false, true) => StreamState::CatchingUp,
            (false, false, false) => StreamState::Running,
        };
    }
}

/// Asks the running source where the topic ends.
struct TopicEnds(Arc<SourceHandle>);

impl std::fmt::Debug for TopicEnds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TopicEnds")
    }
}

impl Ends for TopicEnds {
    fn ends(&self, timeout: Duration) -> Result<BTreeMap<i32, i64>> {
        self.0.high_watermarks(timeout)
    }
}

/// An error of the start that may go away.
fn again(error: Error) -> End {
    End::Again(error)
}

/// What the error of a commit means for the job. No automatic restart after a conflict: two servers would fence each
/// other in turn.
fn ended(error: Error) -> End {
    if error.code == Code::Conflict { End::Failed(error) } else { End::Again(error) }
}

/// Waits for the commit that is on its way; for ever when none is.
async fn ready(committing: &mut Option<Committing>) -> Result<BTreeMap<i32, i64>> {
    let Some(task) = committing.as_mut() else { return std::future::pending().await };
    let done = task.await;
    *committing = None;
    joined(done)
}

fn joined<T>(done: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    done.unwrap_or_else(|error| Err(Error::internal(format!("the commit of a stream ended: {error}"))))
}

/// The offsets that a SEEK means.
async fn sought(options: &KafkaOptions, to: &SeekTo, committed: &BTreeMap<i32, i64>) -> Result<BTreeMap<i32, i64>> {
    let start = match to {
        SeekTo::Offsets(offsets) => {
            let mut all = committed.clone();
            all.extend(offsets.iter().map(|(partition, offset)| (*partition, *offset)));
            return Ok(all);
        }
        SeekTo::Earliest => Start::Earliest,
        SeekTo::Latest => Start::Latest,
        SeekTo::TimestampMs(ms) => Start::TimestampMs(*ms),
    };
    let options = options.clone();
    let resolved = tokio::task::spawn_blocking(move || kafka::resolve(&options, start, SEEK_TIMEOUT)).await;
    resolved.map_err(|error| Error::internal(format!("SEEK: {error}")))?
}

fn dead_letter_rows(letters: &[DeadLetter]) -> Option<RecordBatch> {
    if letters.is_empty() {
        return None;
    }
    let seen_us = chrono::Utc::now().timestamp_micros();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(letters.iter().map(|letter| Some(letter.topic.as_str())).collect::<StringArray>()),
        Arc::new(letters.iter().map(|letter| Some(letter.partition)).collect::<Int32Array>()),
        Arc::new(letters.iter().map(|letter| Some(letter.offset)).collect::<Int64Array>()),
        Arc::new(letters.iter().map(|letter| letter.timestamp_ms.map(|ms| ms.saturating_mul(1000))).collect::<TimestampMicrosecondArray>()),
        Arc::new(letters.iter().map(|letter| letter.key.as_deref()).collect::<BinaryArray>()),
        Arc::new(letters.iter().map(|letter| Some(letter.payload.as_slice())).collect::<BinaryArray>()),
        Arc::new(letters.iter().map(|letter| Some(letter.is_truncated)).collect::<BooleanArray>()),
        Arc::new(letters.iter().map(|letter| Some(letter.error.as_str())).collect::<StringArray>()),
        Arc::new(TimestampMicrosecondArray::from_value(seen_us, letters.len())),
    ];
    RecordBatch::try_new(dead_letters::schema(), columns).ok()
}
