//! The life of a source's thread: connect, find the partitions, assign, read; again when the client is stuck.

mod status;

use super::batch::{Batch, Client, Message, topic_text};
use super::consumer::Shared;
use super::decode::{BATCH_ROWS_MAX, Record, Rows};
use super::lookup::{self, Trouble};
use super::options::{OnDataLoss, Startup};
use super::trouble::{explain_creation, explain_error};
use super::watchdog::Watchdog;
use crate::connect::{Failure, FailureKind, Fetched, Position, SourceEvent, Start};
use crate::error::{Code, Error};
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A wait for the first record of a batch ends here, so that other duties are done.
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// A batch is complete so long after its first record.
const BATCH_WAIT: Duration = Duration::from_millis(20);
/// Records of a batch are taken out of the client's queue in pieces: they are given back while the processor's cache has them.
const PIECE_RECORDS: usize = BATCH_ROWS_MAX / 4;
/// A question to the brokers.
const LOOKUP_WAIT: Duration = Duration::from_secs(2);
/// Between two attempts at something.
const RETRY_WAIT: Duration = Duration::from_millis(300);
/// How often the status is brought up to date, and how often the brokers are asked while something is wrong.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// How often the brokers are asked while a partition may be stuck.
const BEHIND_INTERVAL: Duration = Duration::from_secs(5);
/// A client that has lost its brokers is told of them again at each of so many questions without an answer, then after twice
/// as many, and at last each time after so many: it keeps each list.
const REMINDERS_AT_FIRST: u32 = 5;
const REMINDERS_AT_LAST: u32 = 64;
/// Troubles that take turns are told so often.
const WARN_INTERVAL: Duration = Duration::from_secs(30);

/// Why a session ended.
pub(super) enum End {
    Stopped,
    Failed(Failure),
    /// The client is stuck: another one may do.
    Restart,
}

/// What outlives a client: where each partition was read to.
pub(super) struct Reader {
    shared: Arc<Shared>,
    rows: Rows,
    topic: CString,
    topic_id: Option<i64>,
    /// The next offset to read.
    positions: BTreeMap<i32, i64>,
    /// The table has never read: the startup mode says where partitions begin.
    first: bool,
    /// The job was told where the partitions begin.
    announced: bool,
    wants_headers: bool,
    /// The partitions that the client was told to read: those that the topic has.
    assigned: BTreeSet<i32>,
    watchdog: Watchdog,
    warned_at: Instant,
    /// `bootstrap.servers`, and the questions without an answer since the last one that had one.
    servers: CString,
    n_unanswered: u32,
    /// The client has lost its last broker: it is asked at once whether there are others.
    doubts: bool,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, mut rows: Rows, committed: BTreeMap<i32, i64>, first: bool) -> Self {
        let asked = Arc::clone(&shared);
        // Without its schema a record can wait, it is no dead letter.
        rows.set_patience(Arc::new(move |why| {
            asked.status.lock().last_error = Some(why.to_string());
            asked.pause(STATUS_INTERVAL);
            !asked.stop.is_cancelled()
        }));
        Self {
            topic: topic_text(&shared.options.topic),
            servers: topic_text(shared.options.properties.get("bootstrap.servers").unwrap_or_default()),
            n_unanswered: 0,
            doubts: false,
            wants_headers: rows.wants_headers(),
            shared,
            rows,
            topic_id: None,
            positions: committed,
            first,
            announced: false,
            assigned: BTreeSet::new(),
            watchdog: Watchdog::new(Instant::now()),
            warned_at: Instant::now(),
        }
    }

    /// Reads until the source is stopped or fails.
    pub(super) fn run(mut self) {
        loop {
            let end = self.session();
            self.shared.end_client(matches!(end, End::Restart));
            match end {
                End::Stopped => return,
                End::Restart => {
                    tracing::warn!(table = %self.shared.table, "the client is stuck: it is made anew");
                    self.shared.status.lock().restarts += 1;
                }
                End::Failed(failure) => {
                    let mut status = self.shared.status.lock();
                    status.last_error = Some(failure.error.to_string());
                    drop(status);
                    let _ = self.send(SourceEvent::Failed(failure));
                    return;
                }
            }
        }
    }

    fn session(&mut self) -> End {
        match self.try_session() {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    fn try_session(&mut self) -> Result<std::convert::Infallible, End> {
        let client = self.connect()?;
        self.shared.set_client(Arc::clone(&client));
        let topic = self.shared.options.topic.clone();
        let partitions = self.ask(&client, |client| lookup::partitions(client, &topic, LOOKUP_WAIT))?;
        self.identify(&client)?;
        self.begin(&client, &partitions)?;
        self.read(&client)
    }

    /// Makes a client. Certificates and keys are read from their files here: they may be mended meanwhile.
    fn connect(&mut self) -> Result<Arc<Client>, End> {
        loop {
            self.n_unanswered = 0;
            match Client::new(&self.shared.options.properties.consumer_config()) {
                Ok(client) => return Ok(Arc::new(client)),
                Err(error) => self.note(false, explain_creation(&error)),
            }
            self.wait(STATUS_INTERVAL)?;
        }
    }

    /// Asks until there is an answer; the status says what is wrong meanwhile.
    fn ask<T>(&mut self, client: &Client, question: impl Fn(&Client) -> Result<T, Trouble>) -> Result<T, End> {
        let asked_at = Instant::now();
        let mut explained = false;
        loop {
            match question(client) {
                Ok(answer) => {
                    self.settle();
                    return Ok(answer);
                }
                Err(trouble) => {
                    let is_told = self.drain_events(client);
                    explained |= is_told;
                    // A broker that has just been asked may need a moment; one that says why has said it.
                    if trouble == Trouble::Away && !is_told {
                        self.remind(client);
                    }
                    if trouble != Trouble::Away || (!explained && asked_at.elapsed() > Duration::from_secs(3)) {
                        self.note_trouble(&trouble);
                    }
                }
            }
            self.wait(RETRY_WAIT)?;
        }
    }

    /// Looks up which topic it is: one of the same name may be another.
    fn identify(&mut self, client: &Client) -> Result<(), End> {
        let Some(id) = client.topic_id(&self.topic, LOOKUP_WAIT) else { return Ok(()) };
        match self.topic_id.replace(id) {
            Some(known) if known != id => Err(self.recreated("it has another identity now".into())),
            _ => Ok(()),
        }
    }

    /// Finds where the partitions begin, tells the job, and assigns all of them.
    fn begin(&mut self, client: &Client, partitions: &[i32]) -> Result<(), End> {
        let topic = self.shared.options.topic.clone();
        let starts = |start: Start, partitions: Vec<i32>| {
            let topic = topic.clone();
            move |client: &Client| lookup::starts(client, &topic, &partitions, start, LOOKUP_WAIT)
        };
        let fresh = partitions.iter().copied().filter(|partition| !self.positions.contains_key(partition)).collect::<Vec<_>>();
        let lows = self.ask(client, starts(Start::Earliest, partitions.to_vec()))?;
        let highs = self.ask(client, starts(Start::Latest, partitions.to_vec()))?;
        let begins = match &self.shared.options.startup {
            Startup::All(start) if self.first => self.ask(client, starts(*start, fresh))?,
            Startup::Offsets(offsets) if self.first => {
                if let Some((partition, _)) = offsets.iter().find(|(partition, _)| !partitions.contains(partition)) {
                    let what = format!("topic \"{topic}\" has no partition {partition}");
                    return Err(self.failed(FailureKind::Options, Error::new(Code::InvalidParameter, what)));
                }
                let begin = |partition: &i32| offsets.get(partition).or(lows.get(partition)).map(|offset| (*partition, *offset));
                fresh.iter().filter_map(begin).collect()
            }
            // New since the table was made: whatever the mode says, none of its records was read.
            _ => lows.iter().filter(|(partition, _)| fresh.contains(partition)).map(|(partition, low)| (*partition, *low)).collect(),
        };
        if self.first {
            let beyond = begins.iter().find(|(partition, offset)| highs.get(partition).is_some_and(|high| *offset > high));
            if let Some((partition, offset)) = beyond {
                let high = highs.get(partition).copied().unwrap_or_default();
                let what = format!("topic \"{topic}\" has no offset {offset} in partition {partition}");
                let error = Error::new(Code::InvalidParameter, what).detail(format!("It ends before offset {high}."));
                return Err(self.failed(FailureKind::Options, error));
            }
        }
        self.positions.extend(&begins);
        if !self.announced || !begins.is_empty() {
            let told = if self.announced { &begins } else { &self.positions };
            let positions = told.iter().map(|(partition, next_offset)| position(*partition, *next_offset)).collect();
            self.send(SourceEvent::Assigned { positions, topic_id: self.topic_id })?;
            (self.announced, self.first) = (true, false);
        }
        for partition in partitions {
            if let (Some(low), Some(high)) = (lows.get(partition), highs.get(partition)) {
                self.check_range(*partition, *low, *high)?;
            }
        }
        self.assigned = partitions.iter().copied().collect();
        let missing = self.positions.keys().filter(|partition| !self.assigned.contains(partition)).collect::<Vec<_>>();
        if !missing.is_empty() {
            // The topic was made anew with fewer, and the table was told to go on; or a broker does not know them yet.
            tracing::warn!(table = %self.shared.table, ?missing, "the topic does not have all partitions that were read");
        }
        self.see(&lows, &highs);
        self.assign(client)
    }

    /// Assigns every partition at its position. What the client has fetched before is dropped and fetched again.
    fn assign(&mut self, client: &Client) -> Result<(), End> {
        let assigned = self.positions.iter().filter(|(partition, _)| self.assigned.contains(partition));
        let assigned = assigned.map(|(partition, next_offset)| (*partition, *next_offset)).collect::<BTreeMap<_, _>>();
        let list = lookup::position_list(&self.shared.options.topic, &assigned);
        self.watchdog.reset(Instant::now());
        client.consumer().assign(&list).map_err(|error| {
            let error = Error::internal(format!("topic \"{}\" could not be assigned: {error}", self.shared.options.topic));
            self.failed(FailureKind::Internal, error)
        })
    }

    /// Whether the position lies in what the partition holds; if not, the source fails or skips.
    fn check_range(&mut self, partition: i32, low: i64, high: i64) -> Result<(), End> {
        let Some(wanted) = self.positions.get(&partition).copied() else { return Ok(()) };
        if wanted > high {
            return Err(
                self.recreated(format!("offset {wanted} of partition {partition} was to be read, and it ends before offset {high}"))
            );
        }
        if wanted >= low {
            return Ok(());
        }
        if self.shared.options.on_data_loss == OnDataLoss::Fail {
            let topic = &self.shared.options.topic;
            let what = format!("topic \"{topic}\" has lost records that were not read yet");
            let error = Error::new(Code::DataCorrupted, what)
                .detail(format!("Partition {partition} begins at offset {low} now; offsets {wanted} to {} are gone.", low - 1))
                .hint(format!("ALTER STREAMING TABLE .. SEEK TO OFFSETS ('{partition}:{low}') goes on behind them."));
            return Err(self.failed(FailureKind::DataLost, error));
        }
        self.positions.insert(partition, low);
        self.send(SourceEvent::Skipped { partition, from_offset: wanted, to_offset: low })
    }

    fn read(&mut self, client: &Client) -> Result<std::convert::Infallible, End> {
        let mut batch = Batch::new(client, PIECE_RECORDS);
        let (mut status_at, mut lookup_at, mut lookup_took) = (Instant::now(), Instant::now(), Duration::ZERO);
        loop {
            if self.shared.stop.is_cancelled() {
                return Err(End::Stopped);
            }
            batch.fill(1, IDLE_WAIT);
            if !batch.is_empty() {
                let lost = self.take_batch(&mut batch)?;
                if !lost.is_empty() {
                    self.find_again(client, &lost)?;
                }
            }
            if status_at.elapsed() >= STATUS_INTERVAL {
                status_at = Instant::now();
                self.drain_events(client);
                self.see_cached(client);
                let is_troubled = self.shared.status.lock().last_error.is_some();
                let discovery_interval = self.shared.options.discovery_interval;
                let lookup_wait = match (is_troubled, self.watchdog.suspects(&self.positions)) {
                    _ if std::mem::take(&mut self.doubts) => Duration::ZERO,
                    // Questions to a broker that is away take their time: the others' records are read in between.
                    (true, _) => lookup_took * 2,
                    (false, true) => discovery_interval.min(BEHIND_INTERVAL),
                    (false, false) => discovery_interval,
                };
                if lookup_at.elapsed() >= lookup_wait {
                    let asked_at = Instant::now();
                    self.discover(client)?;
                    (lookup_at, lookup_took) = (Instant::now(), asked_at.elapsed());
                }
            }
        }
    }

    /// Decodes what has begun to come, piece by piece, and sends it. Gives back partitions whose position the broker does not
    /// have.
    fn take_batch(&mut self, batch: &mut Batch<'_>) -> Result<BTreeSet<i32>, End> {
        let (mut lost, mut moved) = (BTreeSet::new(), BTreeMap::new());
        let end = Instant::now() + BATCH_WAIT;
        for _ in 0..BATCH_ROWS_MAX / PIECE_RECORDS {
            batch.fill(PIECE_RECORDS, end.saturating_duration_since(Instant::now()));
            let is_last = !batch.is_full();
            self.take(batch, &mut moved, &mut lost)?;
            batch.clear();
            if is_last {
                break;
            }
        }
        self.flush(&moved)?;
        Ok(lost)
    }

    /// Decodes records. `moved`: the partitions whose position they move, and whether to their end.
    fn take(&mut self, batch: &Batch<'_>, moved: &mut BTreeMap<i32, bool>, lost: &mut BTreeSet<i32>) -> Result<(), End> {
        // Records of a partition come in runs: the position is looked up once a run.
        let mut run: Option<(i32, i64)> = None;
        // The partition that `moved` has already, not at its end.
        let mut marked: Option<i32> = None;
        for message in batch.messages() {
            let partition = message.partition();
            let next = match run {
                Some((current, next)) if current == partition => next,
                _ => {
                    self.close_run(run);
                    let Some(next) = self.positions.get(&partition).copied() else { continue };
                    run = Some((partition, next));
                    next
                }
            };
            if let Some(code) = message.error() {
                match self.take_note(&message, code, lost) {
                    // The end lies behind offsets that hold no record: markers of transactions, compacted ones.
                    Some(end) if end > next || moved.contains_key(&partition) => {
                        run = Some((partition, next.max(end)));
                        moved.insert(partition, true);
                        marked = None;
                    }
                    // Nothing new, and nothing to commit.
                    Some(_) => self.see_end(partition, next),
                    None => {}
                }
                continue;
            }
            if message.offset() < next {
                continue;
            }
            self.rows.push(&Record {
                partition,
                offset: message.offset(),
                timestamp_ms: message.timestamp_ms(),
                key: message.key(),
                payload: message.payload(),
                headers: if self.wants_headers { message.headers() } else { Vec::new() },
            });
            run = Some((partition, message.offset() + 1));
            if marked != Some(partition) {
                moved.insert(partition, false);
                marked = Some(partition);
            }
            if self.rows.is_full() {
                self.close_run(run);
                self.flush(moved)?;
                moved.clear();
                marked = None;
            }
        }
        self.close_run(run);
        Ok(())
    }

    fn close_run(&mut self, run: Option<(i32, i64)>) {
        if let Some((partition, next_offset)) = run {
            self.positions.insert(partition, next_offset);
        }
    }

    /// What the client says about a partition; `Some`: it was read to its end, which is there.
    fn take_note(&mut self, message: &Message<'_>, code: RDKafkaErrorCode, lost: &mut BTreeSet<i32>) -> Option<i64> {
        use RDKafkaErrorCode as Code;
        match code {
            Code::PartitionEOF => return Some(message.offset()),
            Code::OffsetOutOfRange | Code::AutoOffsetReset => {
                lost.insert(message.partition());
            }
            Code::UnknownPartition => {
                let what = format!("topic \"{}\" does not have partition {} now", self.shared.options.topic, message.partition());
                self.note(true, what);
            }
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownTopicId => {
                self.note_trouble(&Trouble::UnknownTopic);
            }
            code => self.note(true, explain_error(code, &message.error_text())),
        }
        None
    }

    /// Sends the rows so far. `moved`: partitions that moved, and whether they are at their end.
    fn flush(&mut self, moved: &BTreeMap<i32, bool>) -> Result<(), End> {
        if moved.is_empty() {
            return Ok(());
        }
        let decoded = self.rows.finish().map_err(|error| self.failed(FailureKind::Internal, error))?;
        let mut positions = Vec::with_capacity(moved.len());
        let mut status = self.shared.status.lock();
        for (partition, at_end) in moved {
            let next_offset = self.positions.get(partition).copied().unwrap_or_default();
            let event_time_max_us = decoded.event_time_max_us.get(partition).copied();
            positions.push(Position { partition: *partition, next_offset, event_time_max_us });
            let seen = status.partitions.entry(*partition).or_default();
            (seen.position, seen.at_end) = (next_offset, *at_end);
        }
        drop(status);
        let sent_at = Instant::now();
        self.send(SourceEvent::Fetched(Fetched {
            rows: decoded.rows,
            dead_letters: decoded.dead_letters,
            positions,
            n_tombstones: decoded.n_tombstones,
            n_nulled_fields: decoded.n_nulled_fields,
            n_bytes: decoded.n_bytes,
            timestamp_max_ms: decoded.timestamp_max_ms,
        }))?;
        if sent_at.elapsed() > STATUS_INTERVAL {
            // It was the table that did not go on.
            self.watchdog.reset(Instant::now());
        }
        self.watchdog.progress(Instant::now());
        Ok(())
    }

    /// Positions that the broker does not have: fails or skips; goes on where they are there after all.
    fn find_again(&mut self, client: &Client, lost: &BTreeSet<i32>) -> Result<(), End> {
        let topic = self.shared.options.topic.clone();
        let lost = lost.iter().copied().collect::<Vec<_>>();
        self.identify(client)?;
        let lows = self.ask(client, |client| lookup::starts(client, &topic, &lost, Start::Earliest, LOOKUP_WAIT))?;
        let highs = self.ask(client, |client| lookup::starts(client, &topic, &lost, Start::Latest, LOOKUP_WAIT))?;
        for partition in lost {
            if let (Some(low), Some(high)) = (lows.get(&partition), highs.get(&partition)) {
                self.check_range(partition, *low, *high)?;
            }
        }
        self.see(&lows, &highs);
        self.wait(RETRY_WAIT)?;
        self.assign(client)
    }

    /// New partitions, another topic of the same name, first and next offsets; a client that is stuck.
    fn discover(&mut self, client: &Client) -> Result<(), End> {
        let topic = self.shared.options.topic.clone();
        let answer = lookup::partitions(client, &topic, LOOKUP_WAIT).and_then(|partitions| {
            let known = self.positions.keys().copied().filter(|partition| partitions.contains(partition)).collect::<Vec<_>>();
            let lows = lookup::starts(client, &topic, &known, Start::Earliest, LOOKUP_WAIT)?;
            let highs = lookup::starts(client, &topic, &known, Start::Latest, LOOKUP_WAIT)?;
            Ok((partitions, lows, highs))
        });
        let (partitions, lows, highs) = match answer {
            Ok(answer) => answer,
            Err(trouble) => {
                let is_explained = self.drain_events(client);
                if trouble != Trouble::Away || !is_explained {
                    self.note_trouble(&trouble);
                }
                if trouble == Trouble::Away && !is_explained {
                    self.remind(client);
                }
                // A client that hangs says nothing; one that looks for its broker says why it is away.
                let hangs = trouble == Trouble::Away && self.watchdog.is_silent(Instant::now());
                return if hangs { Err(End::Restart) } else { Ok(()) };
            }
        };
        self.settle();
        self.watchdog.heard();
        self.identify(client)?;
        for (partition, high) in &highs {
            let wanted = self.positions.get(partition).copied().unwrap_or_default();
            if wanted > *high {
                return self.check_range(*partition, 0, *high);
            }
        }
        self.see(&lows, &highs);
        if partitions.iter().any(|partition| !self.assigned.contains(partition)) {
            return self.begin(client, &partitions);
        }
        if self.watchdog.is_stuck(&self.positions, &highs, Instant::now()) { Err(End::Restart) } else { Ok(()) }
    }

    fn recreated(&self, detail: String) -> End {
        let topic = &self.shared.options.topic;
        let error = Error::new(Code::WrongObject, format!("topic \"{topic}\" is another one than before"))
            .detail(format!("It was deleted and made anew, or cut off: {detail}."))
            .hint("Use ALTER STREAMING TABLE .. SEEK TO EARLIEST to read it from its start.");
        self.failed(FailureKind::TopicRecreated, error)
    }

    fn failed(&self, kind: FailureKind, error: Error) -> End {
        End::Failed(Failure { kind, error })
    }

    /// Sends an event; waits while the queue is full.
    fn send(&self, event: SourceEvent) -> Result<(), End> {
        // What was decoded while the source was told to stop may be without its schemas.
        if self.shared.stop.is_cancelled() {
            return Err(End::Stopped);
        }
        let event = match self.shared.events.try_send(event) {
            Ok(()) => return Ok(()),
            Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) => return Err(End::Stopped),
            Err(tokio::sync::mpsc::error::TrySendError::Full(event)) => event,
        };
        futures::executor::block_on(async {
            tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => Err(End::Stopped),
                sent = self.shared.events.send(event) => sent.map_err(|_| End::Stopped),
            }
        })
    }

    fn wait(&self, time: Duration) -> Result<(), End> {
        self.shared.pause(time);
        if self.shared.stop.is_cancelled() { Err(End::Stopped) } else { Ok(()) }
    }
}

fn position(partition: i32, next_offset: i64) -> Position {
    Position { partition, next_offset, event_time_max_us: None }
}
