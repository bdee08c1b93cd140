//! The registry of queries: what runs, for whom, how far it is; cancel; the history.

use crate::engine::Door;
use crate::error::{Code, Error, Result};
use crate::telemetry::metrics::{self, GaugeGuard};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// All queries that run, and the last ones that ended.
#[derive(Debug)]
pub struct QueryRegistry {
    running: Mutex<BTreeMap<String, Arc<Query>>>,
    history: Mutex<VecDeque<QueryRow>>,
    history_rows_max: usize,
    queries_max: usize,
    queries_per_user_max: usize,
}

/// One running query. Counters are updated while it streams.
#[derive(Debug)]
pub struct Query {
    /// UUID v7: sorts by start.
    pub id: String,
    pub user: String,
    pub door: Door,
    pub session: String,
    /// As shown to others: passwords are masked.
    pub sql: String,
    /// Counts for the limits.
    is_limited: bool,
    started: Instant,
    started_ms: i64,
    state: Mutex<State>,
    rows: AtomicU64,
    bytes: AtomicU64,
    memory: Arc<MemoryUse>,
    cancel: CancellationToken,
    metrics: Mutex<Option<String>>,
    error: Mutex<Option<Error>>,
}

/// Where a query is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Planning,
    Running,
    Finished,
    Failed,
    Cancelled,
}

impl State {
    /// As `system.queries` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One row of `system.queries`.
#[derive(Debug, Clone)]
pub struct QueryRow {
    pub id: String,
    pub user: String,
    pub door: Door,
    pub session: String,
    pub sql: String,
    pub state: State,
    pub started_ms: i64,
    pub elapsed: Duration,
    pub rows: u64,
    pub bytes: u64,
    pub memory_bytes_max: u64,
    pub metrics: Option<String>,
    pub error: Option<String>,
}

impl QueryRegistry {
    /// `history_rows_max` ended queries are kept; more than the other two at once are refused.
    pub fn new(history_rows_max: usize, queries_max: usize, queries_per_user_max: usize) -> Self {
        Self { running: Mutex::default(), history: Mutex::default(), history_rows_max, queries_max, queries_per_user_max }
    }

    /// Enters a query, or refuses it when too many run. The guard takes it out again.
    pub fn start(self: &Arc<Self>, user: &str, door: Door, session: &str, sql: &str) -> Result<QueryGuard> {
        self.enter(user, door, session, sql, true)
    }

    /// Enters a statement that looks at queries or ends one: it must work when no other one may start any more.
    pub fn start_beyond_limits(self: &Arc<Self>, user: &str, door: Door, session: &str, sql: &str) -> Result<QueryGuard> {
        self.enter(user, door, session, sql, false)
    }

    fn enter(self: &Arc<Self>, user: &str, door: Door, session: &str, sql: &str, is_limited: bool) -> Result<QueryGuard> {
        let query = Arc::new(Query::new(user, door, session, sql, is_limited));
        let mut running = lock(&self.running);
        if is_limited {
            self.check_limits(&running, user)?;
        }
        running.insert(query.id.clone(), Arc::clone(&query));
        metrics::QUERIES_TOTAL.increment();
        Ok(QueryGuard { registry: Arc::clone(self), query, _running: metrics::QUERIES_RUNNING.enter() })
    }

    fn check_limits(&self, running: &BTreeMap<String, Arc<Query>>, user: &str) -> Result<()> {
        let limited = || running.values().filter(|query| query.is_limited);
        let n_running = limited().count();
        if n_running >= self.queries_max {
            return Err(Error::new(Code::LimitExceeded, format!("{n_running} queries are running, the limit"))
                .hint("Try again when some have ended, or raise 'limits.queries_max'."));
        }
        let of_user = limited().filter(|query| query.user == user).count();
        if of_user >= self.queries_per_user_max {
            return Err(Error::new(Code::LimitExceeded, format!("user \"{user}\" has {of_user} queries running, the limit"))
                .hint("SHOW PROCESSLIST lists them, KILL QUERY ends one."));
        }
        Ok(())
    }

    /// The running query of that id.
    pub fn find(&self, id: &str) -> Option<Arc<Query>> {
        lock(&self.running).get(id).cloned()
    }

    /// Running queries and the history, newest first.
    pub fn rows(&self) -> Vec<QueryRow> {
        let mut rows: Vec<QueryRow> = lock(&self.running).values().rev().map(|query| query.row()).collect();
        rows.extend(lock(&self.history).iter().rev().cloned());
        rows
    }

    /// Running queries only, oldest first.
    pub fn running(&self) -> Vec<QueryRow> {
        lock(&self.running).values().map(|query| query.row()).collect()
    }

    /// Cancels everything, for shutdown.
    pub fn cancel_all(&self) {
        for query in lock(&self.running).values() {
            query.cancel();
        }
    }
}

/// Keeps a query in the registry; dropping it writes the history.
#[derive(Debug)]
pub struct QueryGuard {
    registry: Arc<QueryRegistry>,
    query: Arc<Query>,
    _running: GaugeGuard<'static>,
}

impl std::ops::Deref for QueryGuard {
    type Target = Query;
    fn deref(&self) -> &Query {
        &self.query
    }
}

impl QueryGuard {
    /// The query itself.
    pub fn query(&self) -> &Arc<Query> {
        &self.query
    }
}

impl Drop for QueryGuard {
    fn drop(&mut self) {
        lock(&self.registry.running).remove(&self.query.id);
        {
            let mut state = lock(&self.query.state);
            if matches!(*state, State::Planning | State::Running) {
                *state = State::Cancelled; // Its stream was dropped before the end.
            }
        }
        let row = self.query.row();
        metrics::QUERY_SECONDS.observe(row.elapsed);
        metrics::ROWS_RETURNED_TOTAL.add(row.rows);
        match row.state {
            State::Failed => metrics::QUERIES_FAILED_TOTAL.increment(),
            State::Cancelled => metrics::QUERIES_CANCELLED_TOTAL.increment(),
            State::Planning | State::Running | State::Finished => {}
        }
        let mut history = lock(&self.registry.history);
        history.push_back(row);
        while history.len() > self.registry.history_rows_max {
            history.pop_front();
        }
    }
}

impl Query {
    fn new(user: &str, door: Door, session: &str, sql: &str, is_limited: bool) -> Self {
        Self {
            id: uuid::Uuid::now_v7().to_string(),
            user: user.to_owned(),
            door,
            session: session.to_owned(),
            sql: sql.to_owned(),
            is_limited,
            started: Instant::now(),
            started_ms: now_ms(),
            state: Mutex::new(State::Planning),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            memory: Arc::default(),
            cancel: CancellationToken::new(),
            metrics: Mutex::default(),
            error: Mutex::default(),
        }
    }

    /// Asks the query to stop; its stream ends with `Code::Cancelled`.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Fires when the query was asked to stop.
    pub fn cancel_token(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Planning is over, rows may come.
    pub fn running(&self) {
        *lock(&self.state) = State::Running;
    }

    /// Counts a batch that left.
    pub fn count(&self, rows: usize, bytes: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The query ended well.
    pub fn finished(&self) {
        let mut state = lock(&self.state);
        if matches!(*state, State::Planning | State::Running) {
            *state = State::Finished;
        }
    }

    /// The query ended by this error.
    pub fn failed(&self, error: &Error) {
        *lock(&self.state) = if error.code == Code::Cancelled { State::Cancelled } else { State::Failed };
        *lock(&self.error) = Some(error.clone());
    }

    /// Keeps the plan's metrics, as JSON, for the history.
    pub fn plan_metrics(&self, metrics: String) {
        *lock(&self.metrics) = Some(metrics);
    }

    /// A memory pool that counts what this query takes from `pool`.
    pub fn memory_pool(&self, pool: Arc<dyn MemoryPool>) -> Arc<dyn MemoryPool> {
        Arc::new(CountingPool { pool, used: Arc::clone(&self.memory) })
    }

    fn row(&self) -> QueryRow {
        QueryRow {
            id: self.id.clone(),
            user: self.user.clone(),
            door: self.door,
            session: self.session.clone(),
            sql: self.sql.clone(),
            state: *lock(&self.state),
            started_ms: self.started_ms,
            elapsed: self.started.elapsed(),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            memory_bytes_max: self.memory.most.load(Ordering::Relaxed) as u64,
            metrics: lock(&self.metrics).clone(),
            error: lock(&self.error).as_ref().map(ToString::to_string),
        }
    }
}

/// What one query holds of the pool, now and at most.
#[derive(Debug, Default)]
struct MemoryUse {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl MemoryUse {
    fn grow(&self, bytes: usize) {
        let now = self.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.most.fetch_max(now, Ordering::Relaxed);
    }
}

/// Passes everything on to the server's pool and counts.
#[derive(Debug)]
struct CountingPool {
    pool: Arc<dyn MemoryPool>,
    used: Arc<MemoryUse>,
}

impl std::fmt::Display for CountingPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.pool)
    }
}

impl MemoryPool for CountingPool {
    fn name(&self) -> &str {
        "query"
    }
    fn register(&self, consumer: &MemoryConsumer) {
        self.pool.register(consumer);
    }
    fn unregister(&self, consumer: &MemoryConsumer) {
        self.pool.unregister(consumer);
    }
    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.pool.grow(reservation, additional);
        self.used.grow(additional);
    }
    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.pool.shrink(reservation, shrink);
        self.used.now.fetch_sub(shrink, Ordering::Relaxed);
    }
    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> datafusion::error::Result<()> {
        self.pool.try_grow(reservation, additional)?;
        self.used.grow(additional);
        Ok(())
    }
    fn reserved(&self) -> usize {
        self.pool.reserved()
    }
    fn memory_limit(&self) -> MemoryLimit {
        self.pool.memory_limit()
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Arc<QueryRegistry> {
        Arc::new(QueryRegistry::new(2, 3, 2))
    }

    #[test]
    fn too_many_queries_are_refused_and_the_limits_are_named() {
        let registry = registry();
        let _a = registry.start("ann", Door::Internal, "s", "1").unwrap();
        let _b = registry.start("ann", Door::Internal, "s", "2").unwrap();
        assert!(registry.start("ann", Door::Internal, "s", "3").unwrap_err().message.contains("user \"ann\" has 2"));
        let c = registry.start("bob", Door::Internal, "s", "3").unwrap();
        assert!(registry.start("bob", Door::Internal, "s", "4").unwrap_err().hint.unwrap().contains("limits.queries_max"));
        drop(c);
        let _look = registry.start_beyond_limits("bob", Door::Internal, "s", "SHOW PROCESSLIST").unwrap();
        let _d = registry.start("bob", Door::Internal, "s", "5").expect("who looks takes nobody's place");
        registry.start_beyond_limits("bob", Door::Internal, "s", "KILL QUERY 'x'").unwrap();
    }

    #[test]
    fn ended_queries_are_history_and_a_dropped_one_is_cancelled() {
        let registry = registry();
        for sql in ["a", "b", "c"] {
            let guard = registry.start("ann", Door::Internal, "s", sql).unwrap();
            if sql == "b" {
                guard.finished();
            }
        }
        let rows: Vec<_> = registry.rows().into_iter().map(|row| (row.sql, row.state)).collect();
        assert_eq!(rows, [("c".to_owned(), State::Cancelled), ("b".to_owned(), State::Finished)]);
    }
}
