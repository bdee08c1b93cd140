//! Threads on which statements are planned: with a large stack, few at once, each plan within a deadline.
//!
//! ```text
//! run(future) --permit--> an idle worker, or a new one --> answer
//!                          '- wait_outside: gives its permit away while it waits for brokers
//! ```

use crate::error::{Code, Error, Result};
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Stack of a planning thread: long chains of operators recurse deeply (a 2 MiB stack overflows at 2,000 terms).
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// Statements that are planned at once; more wait.
const THREADS_MAX: usize = 8;
/// Statements that wait for something outside beside them: each has a thread. More keep their place while they wait.
const WAITS_MAX: usize = 64;
/// A worker ends after so many statements: the memory of a stack that was once used deeply comes back.
const STATEMENTS_MAX: usize = 1_000;

/// What allows a thread to plan, and what allows it to wait without.
struct Permit {
    planning: OwnedSemaphorePermit,
    waits: Arc<Semaphore>,
}

thread_local! {
    /// That of this thread.
    static PERMIT: RefCell<Option<Permit>> = const { RefCell::new(None) };
}

/// Waits for something outside of the server, in the middle of planning: others may plan meanwhile.
pub async fn wait_outside<T>(wait: impl Future<Output = T>) -> T {
    let Some(Permit { planning, waits }) = PERMIT.take() else { return wait.await };
    let Ok(waiting) = Arc::clone(&waits).try_acquire_owned() else {
        let answer = wait.await;
        PERMIT.set(Some(Permit { planning, waits }));
        return answer;
    };
    let permits = Arc::clone(planning.semaphore());
    drop(planning);
    let answer = wait.await;
    if let Ok(planning) = permits.acquire_owned().await {
        PERMIT.set(Some(Permit { planning, waits }));
    }
    drop(waiting);
    answer
}

type Job = Box<dyn FnOnce() + Send>;

/// Workers that wait for a statement. To make a thread with such a stack for each costs as much as to plan a short one.
#[derive(Debug, Default)]
struct Idle(Mutex<Vec<mpsc::Sender<Job>>>);

impl Idle {
    fn take(&self) -> Option<mpsc::Sender<Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Whether the worker may wait for more.
    fn put(&self, worker: &mpsc::Sender<Job>) -> bool {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = idle.len() < THREADS_MAX;
        if has_room {
            idle.push(worker.clone());
        }
        has_room
    }
}

/// Runs a job on a worker.
fn start(idle: &Arc<Idle>, job: Job) -> std::io::Result<()> {
    let mut job = job;
    while let Some(worker) = idle.take() {
        match worker.send(job) {
            Ok(()) => return Ok(()),
            // It has just ended.
            Err(mpsc::SendError(unsent)) => job = unsent,
        }
    }
    let (worker, jobs) = mpsc::channel::<Job>();
    let weak = Arc::downgrade(idle);
    let work = move || {
        job();
        for _ in 1..STATEMENTS_MAX {
            // Without an owner of the pool nobody sends anything more.
            if !weak.upgrade().is_some_and(|idle| idle.put(&worker)) {
                return;
            }
            let Ok(job) = jobs.recv() else { return };
            job();
        }
    };
    std::thread::Builder::new().name("planning".into()).stack_size(STACK_BYTES).spawn(work).map(drop)
}

/// Runs planning on threads of its own with a large stack, within a deadline.
#[derive(Debug)]
pub struct PlanningThreads {
    permits: Arc<Semaphore>,
    waits: Arc<Semaphore>,
    idle: Arc<Idle>,
    timeout: Duration,
}

impl PlanningThreads {
    /// `timeout` is the longest that a statement may be planned.
    pub fn new(timeout: Duration) -> Self {
        Self { permits: Arc::new(Semaphore::new(THREADS_MAX)), waits: Arc::new(Semaphore::new(WAITS_MAX)), idle: Arc::default(), timeout }
    }

    /// Runs a future to its end on a planning thread. A panic there becomes an error of this statement.
    ///
    /// A future that does not end in time is left alone on its thread: planning cannot be interrupted.
    pub async fn run<T: Send + 'static>(&self, future: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let planning = tokio::time::timeout(self.timeout, Arc::clone(&self.permits).acquire_owned()).await;
        let planning = planning.map_err(|_| {
            Error::new(
                Code::Timeout,
                format!("the statement was not planned: others kept all threads busy for {} s", self.timeout.as_secs()),
            )
            .hint("Try again later.")
        })?;
        let planning = planning.map_err(|_| Error::new(Code::Unavailable, "the server is shutting down"))?;
        let permit = Permit { planning, waits: Arc::clone(&self.waits) };
        let runtime = tokio::runtime::Handle::current();
        let (answer, answered) = tokio::sync::oneshot::channel();
        let job = move || {
            PERMIT.set(Some(permit));
            let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(future)));
            drop(PERMIT.take());
            let _ = answer.send(result.unwrap_or_else(|_| Err(super::errors::panicked())));
        };
        start(&self.idle, Box::new(job))
            .map_err(|error| Error::new(Code::LimitExceeded, format!("could not start a planning thread: {error}")))?;
        match tokio::time::timeout(self.timeout, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(super::errors::panicked()),
            Err(_) => Err(Error::new(Code::Timeout, format!("the statement could not be planned within {} s", self.timeout.as_secs()))
                .hint("Simplify it: fewer joins, sub-queries or nested views.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::task;
    use std::thread::ThreadId;
    use tokio::task::JoinHandle;

    async fn thread_of(threads: &PlanningThreads) -> ThreadId {
        threads.run(async { Ok(std::thread::current().id()) }).await.unwrap()
    }

    /// Waits until the worker of the statement before is there again: it answers before it is.
    async fn rested(threads: &PlanningThreads, count: usize) {
        while threads.idle.0.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_worker_plans_many_statements_also_after_a_panic() {
        let threads = PlanningThreads::new(Duration::from_secs(60));
        let first = thread_of(&threads).await;
        rested(&threads, 1).await;
        assert_eq!(thread_of(&threads).await, first);
        rested(&threads, 1).await;
        let error = threads.run::<()>(async { panic!("a defect") }).await.unwrap_err();
        assert_eq!(error.code, Code::Internal);
        rested(&threads, 1).await;
        assert_eq!(thread_of(&threads).await, first);
    }

    /// Statements that wait until somebody opens the gate.
    fn waiting(threads: &Arc<PlanningThreads>, gate: &Arc<Semaphore>, outside: bool, count: usize) -> Vec<JoinHandle<Result<bool>>> {
        let statement = |_| {
            let (threads, gate) = (Arc::clone(threads), Arc::clone(gate));
            task::spawn("a statement", async move {
                let wait = async move { gate.acquire_owned().await.is_ok() };
                threads.run(async move { Ok(if outside { wait_outside(wait).await } else { wait.await }) }).await
            })
        };
        (0..count).map(statement).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn statements_that_wait_outside_hold_nobody_up() {
        let (threads, gate) = (Arc::new(PlanningThreads::new(Duration::from_secs(60))), Arc::new(Semaphore::new(0)));
        let statements = waiting(&threads, &gate, true, 2 * THREADS_MAX);
        thread_of(&threads).await;
        gate.add_permits(statements.len());
        for each in statements {
            assert!(each.await.unwrap().unwrap());
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_place_is_not_waited_for_without_end() {
        let (threads, gate) = (Arc::new(PlanningThreads::new(Duration::from_millis(200))), Arc::new(Semaphore::new(0)));
        for each in waiting(&threads, &gate, false, THREADS_MAX) {
            assert_eq!(each.await.unwrap().unwrap_err().code, Code::Timeout);
        }
        // They have all places still.
        let error = threads.run(async { Ok(()) }).await.unwrap_err();
        assert_eq!(error.code, Code::Timeout);
        assert!(error.message.contains("others"), "{error}");
        gate.add_permits(THREADS_MAX);
        rested(&threads, THREADS_MAX).await;
        threads.run(async { Ok(()) }).await.unwrap();
    }
}
