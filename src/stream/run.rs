//! One run of a streaming table's job: goes on where the log says, makes rows visible, cuts epochs, commits them.

use super::epoch::{self, Cut, OpenEpoch};
use super::progress::Progress;
use super::watermark::Watermark;
use super::{maintenance, seek};
use crate::catalog::Table;
use crate::connect::kafka::{Source, SourceHandle, StreamSettings};
use crate::connect::{DeadLetter, Failure, FailureKind, Fetched, Position, SourceEvent, SourceStatus};
use crate::engine::Engine;
use crate::error::{Code, Error, Result};
use crate::tables::managed::ManagedTable;
use crate::tables::streaming::status::{EndsSeen, StreamGap, StreamState};
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
/// How long the end of a run may take. What is not committed by then is read again, what is not published is by the next run.
const FINISH_TIMEOUT: Duration = Duration::from_secs(20);
/// A stream that has nothing to commit looks so often whether somebody else writes its log.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Commits between two rounds of maintenance.
const MAINTENANCE_COMMITS: u64 = 8;
/// Time between two rounds without so many commits.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60);

/// Why a run ended.
pub(super) enum End {
    /// It was told to; what had arrived is committed.
    Stopped,
    /// Only a person can help.
    Failed(Error),
    /// It is worth another try.
    Again(Error),
}

/// A job that runs.
pub(super) struct Run {
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
    committing: Option<JoinHandle<Result<BTreeMap<i32, i64>>>>,
    /// The commit of where the first partitions begin is on its way: no row is taken before it is in the log.
    is_beginning: bool,
    /// .. and waits for another commit.
    begins_next: bool,
    /// A commit failed for good: later rows must not be committed without the ones before them.
    has_lost: bool,
    give_up: CancellationToken,
    /// Since the last round of maintenance.
    n_commits: u64,
    maintained_at: Instant,
    maintenance: Option<JoinHandle<()>>,
    /// Whether the log has a version that is not known here; and when that was last asked, or a commit begun.
    look: Option<JoinHandle<Result<bool>>>,
    looked_at: Instant,
    /// It has: the next commit finds out whose, and is due now.
    is_behind: bool,
    /// Of the source, that are in the status already.
    source_restarts: u64,
    ends_seen: EndsSeen,
}

impl Run {
    pub(super) fn start<'a>(
        engine: &'a Arc<Engine>,
        definition: &'a Arc<Table>,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, std::result::Result<Self, End>> {
        Box::pin(async move {
            let stream = definition.stream.clone().unwrap_or_default();
            let table = engine.stream_table(definition).await.map_err(End::Again)?;
            let managed = Arc::clone(table.managed());
            if let Some(fenced) = managed.fenced() {
                return Err(End::Failed(fenced.clone()));
            }
            // It reads files: secrets, certificates.
            let (asked, of) = (Arc::clone(engine), Arc::clone(definition));
            let options = joined(tokio::task::spawn_blocking(move || asked.kafka_options(&of)).await);
            let options = options.map_err(|error| match error.code {
                // A secret's variable or file may come.
                Code::UndefinedObject | Code::Io => End::Again(error),
                _ => End::Failed(error),
            })?;
            let columns = engine.source_columns(definition, &table).map_err(End::Failed)?;
            let (topic, settings) = (options.topic.clone(), options.stream.clone());
            table.dead_letters().refresh(&managed).await.map_err(End::Again)?;
            let mut progress = Progress::of(&managed, &topic);
            if let Some(seek) = stream.seek.as_ref().filter(|seek| seek.number > progress.seek) {
                tokio::select! {
                    () = stop.cancelled() => return Err(End::Stopped),
                    done = seek::carry_out(&managed, &options, seek, &progress) => done.map_err(|error| ended(&managed, error))?,
                }
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
                numbers.commit_error = None;
                // Those of rows that were not committed come again.
                numbers.dead_letters = table.dead_letters().n_rows();
                numbers.partitions = progress.partitions();
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
                is_beginning: false,
                begins_next: false,
                has_lost: false,
                give_up: CancellationToken::new(),
                n_commits: 0,
                maintained_at: Instant::now(),
                maintenance: None,
                look: None,
                looked_at: Instant::now(),
                is_behind: false,
                source_restarts: 0,
                ends_seen: EndsSeen::default(),
            })
        })
    }

    pub(super) fn until_its_end<'a>(mut self, stop: &'a CancellationToken) -> BoxFuture<'a, End> {
        Box::pin(async move {
            let end = self.work(stop).await;
            // Rows that wait in the queue or for memory were never visible: they are read again.
            self.table.set_ends(None);
            let source = self.source.take();
            // It waits for its thread.
            drop(tokio::task::spawn_blocking(move || drop(source)).await);
            let deadline = tokio::time::Instant::now() + FINISH_TIMEOUT;
            let may_commit = !self.has_lost && self.table.managed().fenced().is_none();
            let last = match may_commit {
                true => tokio::time::timeout_at(deadline, self.finish()).await.unwrap_or_else(|_| {
                    Err(Error::new(Code::Timeout, format!("the last commit took more than {} s", FINISH_TIMEOUT.as_secs())))
                }),
                false => Ok(()),
            };
            if let Some(committing) = self.committing.take() {
                // The next run has rows of its own under the same number.
                self.give_up.cancel();
                committing.abort();
                drop(committing.await);
            }
            if may_commit && last.is_ok() {
                self.publish(deadline).await;
            }
            self.table.hot().clear();
            {
                let mut numbers = self.table.status().lock();
                (numbers.hot_rows, numbers.hot_bytes) = (0, 0);
            }
            if let Some(look) = self.look.take() {
                look.abort();
            }
            if let Some(maintenance) = self.maintenance.take() {
                // A merge goes on in a task of its own.
                drop(tokio::time::timeout_at(deadline, maintenance).await);
            }
            match (end, last) {
                (End::Stopped, Err(error)) => {
                    // A table that a DROP has closed has nothing to commit.
                    if error.code != Code::Conflict || self.table.managed().fenced().is_some() {
                        tracing::warn!(table = %self.table.managed().name(), %error, "the last rows of a stream were not committed");
                    }
                    End::Stopped
                }
                (end, _) => end,
            }
        })
    }

    /// Makes what was committed visible for readers of the directory.
    fn publish(&self, deadline: tokio::time::Instant) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let managed = self.table.managed();
            let error = match tokio::time::timeout_at(deadline, managed.mature(&self.pool, true)).await {
                Ok(Ok(_)) => return,
                Ok(Err(error)) if error.code == Code::Conflict => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "there was no time left".to_owned(),
            };
            tracing::warn!(table = %managed.name(), %error, "the last files of a stream are not in a listing of its directory yet");
        })
    }

    /// Commits what is visible.
    fn finish<'a>(&'a mut self) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if self.committing.is_some() {
                ready(&mut self.committing).await?;
            }
            if self.epoch.begun.is_some() {
                let cut = self.cut();
                epoch::commit(&self.table, &self.topic, &self.pool, &cut, &self.give_up).await?;
            }
            Ok(())
        })
    }

    fn work<'a>(&'a mut self, stop: &'a CancellationToken) -> BoxFuture<'a, End> {
        Box::pin(async move {
            let mut tick = tokio::time::interval(TICK);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                let may_take = self.waiting.is_none() && !self.is_beginning && !self.is_full();
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return End::Stopped,
                    done = ready(&mut self.committing) => {
                        match done {
                            Ok(offsets) => self.committed(offsets),
                            Err(error) => {
                                self.has_lost = true;
                                return ended(self.table.managed(), error);
                            }
                        }
                    }
                    // Before the events: a source that never pauses must not stop the clock.
                    _ = tick.tick() => {
                        self.show();
                        self.look_around();
                        self.maintain();
                        if let Some(fetched) = self.waiting.take()
                            && let Err(end) = self.append(fetched)
                        {
                            return end;
                        }
                    }
                    found = ready(&mut self.look) => self.looked(&found),
                    event = self.events.recv(), if may_take => {
                        let taken = match event {
                            Some(event) => self.take(event),
                            None => Err(End::Again(Error::internal("the source of a stream ended without a word"))),
                        };
                        if let Err(end) = taken {
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
        self.is_hot_full() || (self.is_large() && self.committing.is_some())
    }

    /// The last fifth is for what is on its way: fetches in the queue, and the one that passes the limit.
    fn is_hot_full(&self) -> bool {
        self.table.hot().size().n_bytes as u64 >= self.settings.hot_bytes_max / 5 * 4
    }

    fn is_large(&self) -> bool {
        self.epoch.n_rows as u64 >= self.settings.commit_rows_max || self.epoch.n_bytes as u64 >= self.settings.commit_bytes_max
    }

    fn is_due(&self) -> bool {
        let Some(begun) = self.epoch.begun else { return false };
        self.is_large()
            || begun.elapsed() >= self.settings.commit_interval
            || self.waiting.is_some()
            || self.is_behind
            || self.is_hot_full()
    }

    /// Commits tell a stream that another server has taken its table over; one that has nothing to commit must look.
    fn look_around(&mut self) {
        let is_resting = self.maintenance.as_ref().is_none_or(JoinHandle::is_finished);
        if self.look.is_some() || self.committing.is_some() || !is_resting || self.looked_at.elapsed() < LOOK_INTERVAL {
            return;
        }
        self.looked_at = Instant::now();
        let managed = Arc::clone(self.table.managed());
        self.look = Some(task::spawn(format!("look {}", managed.name()), async move { managed.has_unknown_version().await }));
    }

    fn looked(&mut self, found: &Result<bool>) {
        match found {
            // It may be a compaction of our own: then the commit is one too many, no more.
            Ok(true) => {
                self.epoch.touch();
                self.is_behind = true;
            }
            Ok(false) => {}
            Err(error) => tracing::debug!(table = %self.table.managed().name(), %error, "the log of a stream could not be looked at"),
        }
    }

    fn take(&mut self, event: SourceEvent) -> std::result::Result<(), End> {
        match event {
            SourceEvent::Assigned { positions, topic_id } => self.assigned(&positions, topic_id),
            SourceEvent::Fetched(fetched) => self.append(fetched),
            SourceEvent::Skipped { partition, from_offset, to_offset } => {
                let gap = StreamGap { partition, from_offset, to_offset, seen_ms: chrono::Utc::now().timestamp_millis() };
                tracing::warn!(table = %self.table.managed().name(), partition, from_offset, to_offset, "records of a topic are gone");
                self.table.status().lock().add_gap(gap);
                self.positions.insert(partition, to_offset);
                self.epoch.touch();
                self.table.set_positions(|visible| {
                    visible.insert(partition, to_offset);
                });
                Ok(())
            }
            SourceEvent::Failed(Failure { kind: FailureKind::Internal, error }) => Err(End::Again(error)),
            SourceEvent::Failed(Failure { error, .. }) => Err(End::Failed(error)),
        }
    }

    /// Partitions that the log does not know yet. Where the first ones begin is in the log before any of their rows:
    /// 'latest' means the end of the topic when the table was created, whatever is killed.
    fn assigned(&mut self, positions: &[Position], topic_id: Option<i64>) -> std::result::Result<(), End> {
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
            self.is_beginning = true;
            self.begins_next = self.committing.is_some();
            if !self.begins_next {
                self.begin_commit();
            }
        }
        let positions = self.positions.clone();
        self.table.set_positions(|visible| *visible = positions);
        Ok(())
    }

    /// Makes the rows of a fetch visible, or keeps it back while there is no memory for it.
    fn append(&mut self, fetched: Fetched) -> std::result::Result<(), End> {
        let dead = dead_letter_rows(&fetched.dead_letters).map_err(End::Failed)?;
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
            self.table.hot().append(HotBatch::new(rows, dead, self.epoch.number, n_bytes, memory));
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
        (self.is_behind, self.looked_at) = (false, Instant::now());
        let (table, topic, pool, give_up) = (Arc::clone(&self.table), self.topic.clone(), Arc::clone(&self.pool), self.give_up.clone());
        let name = format!("commit {}", self.table.managed().name());
        self.committing = Some(task::spawn_on(&self.cpu, name, async move {
            epoch::commit(&table, &topic, &pool, &cut, &give_up).await?;
            Ok(cut.offsets)
        }));
    }

    fn committed(&mut self, offsets: BTreeMap<i32, i64>) {
        if std::mem::take(&mut self.begins_next) {
            self.begin_commit();
        } else {
            self.is_beginning = false;
        }
        // For lag tools only: the log has the truth.
        if let Some(source) = &self.source {
            source.publish(&offsets);
        }
        self.n_commits += 1;
        self.maintain();
    }

    /// Begins a round of maintenance after some commits, or some time: young files age also in a quiet table.
    fn maintain(&mut self) {
        let is_resting = self.maintenance.as_ref().is_none_or(JoinHandle::is_finished);
        let is_due = self.n_commits >= MAINTENANCE_COMMITS || self.maintained_at.elapsed() >= MAINTENANCE_INTERVAL;
        if is_due && is_resting {
            (self.n_commits, self.maintained_at) = (0, Instant::now());
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
        let (mut keeps_up, now) = (true, Instant::now());
        let mut numbers = self.table.status().lock();
        for (partition, position) in &self.positions {
            let seen = source.partitions.get(partition).copied().unwrap_or_default();
            let entry = numbers.partitions.entry(*partition).or_default();
            entry.low_watermark = seen.low_watermark;
            entry.high_watermark = seen.high_watermark;
            entry.position = *position;
            entry.at_end = seen.at_end && seen.position <= *position;
            entry.watermark_us = self.watermark.of(*partition);
            keeps_up &= self.ends_seen.keeps_up(*partition, entry.at_end, now);
        }
        numbers.hot_rows = size.n_rows as u64;
        numbers.hot_bytes = size.n_bytes as u64;
        numbers.restarts += source.restarts.saturating_sub(self.source_restarts);
        self.source_restarts = source.restarts;
        numbers.last_error = source.last_error.or_else(|| numbers.commit_error.clone());
        numbers.state = match (numbers.last_error.is_some(), numbers.partitions.is_empty(), keeps_up) {
            (true, _, _) => StreamState::Retrying,
            (false, true, _) => StreamState::Starting,
            (false, false, false) => StreamState::CatchingUp,
            (false, false, true) => StreamState::Running,
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

/// What the error of a commit means for the job. No automatic restart when another server has taken the table over: two
/// servers would fence each other in turn. Any other conflict is one with our own past: the log says where to go on.
fn ended(table: &ManagedTable, error: Error) -> End {
    match table.fenced() {
        Some(fenced) => End::Failed(fenced.clone()),
        None => End::Again(error),
    }
}

/// Waits for a task; for ever when there is none.
async fn ready<T>(task: &mut Option<JoinHandle<Result<T>>>) -> Result<T> {
    let Some(running) = task.as_mut() else { return std::future::pending().await };
    let done = running.await;
    *task = None;
    joined(done)
}

fn joined<T>(done: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    done.unwrap_or_else(|error| Err(Error::internal(format!("the work of a stream broke down: {error}"))))
}

fn dead_letter_rows(letters: &[DeadLetter]) -> Result<Option<RecordBatch>> {
    if letters.is_empty() {
        return Ok(None);
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
    let rows = RecordBatch::try_new(dead_letters::schema(), columns);
    rows.map(Some).map_err(|error| Error::internal(format!("dead letters of a source: {error}")))
}
