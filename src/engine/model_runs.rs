//! Training runs: what trains now and how far it is, and the last ones that ended.

use crate::engine::queries::now_ms;
use crate::error::{Code, Error};
use crate::models::{Observer, TrainingProgress};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Runs that `system.model_runs` remembers.
const RUNS_MAX: usize = 1000;

/// The training runs of this server since its start, oldest first.
#[derive(Debug, Default)]
pub struct ModelRuns {
    runs: Mutex<VecDeque<Arc<Mutex<ModelRun>>>>,
}

/// Where a run is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    Running,
    Finished,
    Failed,
    Cancelled,
}

impl RunState {
    /// As `system.model_runs` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One row of `system.model_runs`.
#[derive(Debug, Clone)]
pub struct ModelRun {
    /// The query that trains.
    pub query_id: String,
    pub session: String,
    pub database: String,
    pub model: String,
    pub model_type: String,
    pub user: String,
    pub state: RunState,
    pub started_ms: i64,
    pub elapsed: Duration,
    pub progress: TrainingProgress,
    /// The version that the run made.
    pub version: Option<u64>,
    pub error: Option<String>,
    started: Instant,
}

/// What a run is about.
#[derive(Debug, Clone)]
pub struct RunOf<'a> {
    pub query_id: &'a str,
    pub session: &'a str,
    pub database: &'a str,
    pub model: &'a str,
    pub model_type: &'a str,
    pub user: &'a str,
}

impl ModelRuns {
    /// Enters a run; it counts as cancelled unless [`RunGuard::end`] says otherwise.
    pub fn start(&self, of: &RunOf<'_>) -> RunGuard {
        let run = Arc::new(Mutex::new(ModelRun {
            query_id: of.query_id.to_owned(),
            session: of.session.to_owned(),
            database: of.database.to_owned(),
            model: of.model.to_owned(),
            model_type: of.model_type.to_owned(),
            user: of.user.to_owned(),
            state: RunState::Running,
            started_ms: now_ms(),
            elapsed: Duration::ZERO,
            progress: TrainingProgress { phase: "reading".into(), ..TrainingProgress::default() },
            version: None,
            error: None,
            started: Instant::now(),
        }));
        let mut runs = lock(&self.runs);
        if runs.len() >= RUNS_MAX {
            // The oldest that has ended; as many may run as there may be queries.
            let ended = runs.iter().position(|run| lock(run).state != RunState::Running).unwrap_or(0);
            runs.remove(ended);
        }
        runs.push_back(Arc::clone(&run));
        RunGuard { run }
    }

    /// All runs, newest first.
    pub fn rows(&self) -> Vec<ModelRun> {
        let runs: Vec<_> = lock(&self.runs).iter().rev().cloned().collect();
        runs.iter()
            .map(|run| {
                let mut row = lock(run).clone();
                if row.state == RunState::Running {
                    row.elapsed = row.started.elapsed();
                }
                row
            })
            .collect()
    }
}

/// A run that goes on; dropped without an end it was cancelled.
#[derive(Debug)]
pub struct RunGuard {
    run: Arc<Mutex<ModelRun>>,
}

impl RunGuard {
    /// Takes note of how far the run is.
    pub fn observer(&self) -> Observer {
        let run = Arc::clone(&self.run);
        Arc::new(move |progress| lock(&run).progress = progress)
    }

    /// The run came to its end with a version, or with an error.
    pub fn end(self, result: Result<u64, &Error>) {
        let mut run = lock(&self.run);
        run.elapsed = run.started.elapsed();
        match result {
            Ok(version) => {
                run.version = Some(version);
                run.state = RunState::Finished;
            }
            Err(error) => {
                run.state = if error.code == Code::Cancelled { RunState::Cancelled } else { RunState::Failed };
                run.error = Some(error.message.clone());
            }
        }
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        let mut run = lock(&self.run);
        if run.state == RunState::Running {
            run.state = RunState::Cancelled;
            run.elapsed = run.started.elapsed();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(runs: &ModelRuns, model: &str) -> RunGuard {
        runs.start(&RunOf { query_id: "q", session: "s", database: "public", model, model_type: "als", user: "u" })
    }

    #[test]
    fn a_run_that_is_dropped_was_cancelled() {
        let runs = ModelRuns::default();
        drop(start(&runs, "dropped"));
        start(&runs, "failed").end(Err(&Error::new(Code::InvalidValue, "no row")));
        start(&runs, "stopped").end(Err(&Error::new(Code::Cancelled, "was cancelled")));
        start(&runs, "good").end(Ok(3));
        let states: Vec<_> = runs.rows().iter().map(|run| (run.model.clone(), run.state.name(), run.version)).collect();
        let expected =
            [("good", "finished", Some(3)), ("stopped", "cancelled", None), ("failed", "failed", None), ("dropped", "cancelled", None)];
        assert_eq!(states, expected.map(|(model, state, version)| (model.to_owned(), state, version)));
    }

    #[test]
    fn the_oldest_ended_run_is_forgotten_and_a_running_one_is_not() {
        let runs = ModelRuns::default();
        let running = start(&runs, "first");
        for _ in 0..RUNS_MAX + 10 {
            start(&runs, "other").end(Ok(1));
        }
        (running.observer())(TrainingProgress { iteration: 7, ..TrainingProgress::default() });
        let rows = runs.rows();
        assert_eq!(rows.len(), RUNS_MAX);
        assert_eq!(rows.last().map(|run| (run.model.as_str(), run.progress.iteration)), Some(("first", 7)));
    }
}
