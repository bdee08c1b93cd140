//! One fit of factors: the algorithm's parameters, its progress, its errors in the user's words.

use super::options::{FeedbackType, FitOptions};
use crate::error::{Code, Error, Result};
use crate::models::report::Iteration;
use crate::models::training::{Observer, TrainingProgress, cancelled};
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use weir_ml::als::{self, AlsError, AlsModel, AlsParams, Control, Csr, Factors, HeldOut, Side};
use weir_ml::error::LearnError;
use weir_ml::search::EarlyStop;
use weir_ml::split::Split;

/// What held-out rows say after an iteration, as the evaluation calls it.
const EVAL_LOSS: &str = "rmse";

/// Why a run has no model.
#[derive(Debug)]
pub(super) enum RunError {
    Error(Error),
    Als(AlsError),
}

impl From<Error> for RunError {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<AlsError> for RunError {
    fn from(error: AlsError) -> Self {
        Self::Als(error)
    }
}

impl From<LearnError> for RunError {
    fn from(error: LearnError) -> Self {
        match error {
            LearnError::Cancelled => Self::Als(AlsError::Cancelled),
            other => Self::Error(Error::internal(format!("evaluation of a model: {other}"))),
        }
    }
}

impl RunError {
    /// The error in the user's words.
    pub fn explain(self, name: &str) -> Error {
        let error = match self {
            Self::Error(error) => return error,
            Self::Als(error) => error,
        };
        match error {
            AlsError::Empty => Error::new(Code::InvalidValue, format!("the training query of model \"{name}\" returned no row")),
            AlsError::Cancelled => cancelled(name),
            AlsError::Parameter { .. } => Error::new(Code::InvalidParameter, format!("model \"{name}\" cannot be trained: {error}")),
            AlsError::Unsolvable { side, .. } => {
                let side = match side {
                    Side::User => "user",
                    Side::Item => "item",
                };
                Error::new(Code::InvalidValue, format!("training of model \"{name}\" found no finite factors for a {side}"))
                    .hint("Scale the ratings to smaller numbers, or raise regParam.")
            }
            other => Error::internal(format!("training of model \"{name}\": {other}")),
        }
    }
}

/// What all fits of a run have in common.
pub(super) struct Fitter<'a> {
    pub name: &'a str,
    pub threads: NonZeroUsize,
    pub cancel: &'a AtomicBool,
    pub observer: &'a Observer,
    /// Rows of the training query.
    pub n_rows: u64,
}

/// The ratings of a fit.
#[derive(Clone, Copy)]
pub(super) struct FitRows<'a> {
    train: &'a Csr,
    /// What is predicted after each iteration, to show how good the factors are by then.
    held_out: Option<&'a Csr>,
}

impl<'a> FitRows<'a> {
    /// Fits to all of these.
    pub fn all(ratings: &'a Csr) -> Self {
        Self { train: ratings, held_out: None }
    }

    /// Fits to the one part, with the other in view.
    pub fn of(split: &'a Split) -> Self {
        Self { train: &split.train, held_out: Some(&split.eval) }
    }
}

/// Factors, and how they came to be.
pub(super) struct Fit {
    pub als: AlsModel,
    pub iterations: Vec<Iteration>,
}

/// The iterations of a fit that goes on.
struct Course {
    /// When the last one ended.
    since: Instant,
    /// The error on held-out rows after the one that has just ended.
    eval_loss: Option<f64>,
    iterations: Vec<Iteration>,
}

impl Fitter<'_> {
    /// How the algorithm is to run; `progress` hears of every iteration.
    pub fn control<'b>(&'b self, progress: &'b (dyn Fn(als::Progress) + Sync)) -> Control<'b> {
        Control { threads: self.threads, cancel: self.cancel, progress }
    }

    /// Tells what happens now.
    pub fn tell(&self, phase: &str, best: Option<(&str, f64)>) {
        let metric = best.map(|(name, value)| (name.to_owned(), value));
        (self.observer)(TrainingProgress { phase: phase.to_owned(), rows: self.n_rows, metric, ..TrainingProgress::default() });
    }

    /// Fits factors to ratings (users × items), from `start` when it is given. Explicit ones predict the held-out rows
    /// after each iteration; else `best` is the metric that is told.
    ///
    /// # Errors
    /// Those of [`als::train_from`].
    pub fn fit(
        &self,
        phase: &str,
        rows: FitRows<'_>,
        options: &FitOptions,
        start: Option<AlsModel>,
        best: Option<(&str, f64)>,
    ) -> Result<Fit, AlsError> {
        self.tell(phase, best);
        // Implicit factors predict no ratings, and lists of all items take longer than an iteration.
        let held_out = rows.held_out.filter(|_| options.feedback == FeedbackType::Explicit).map(|eval| HeldOut::new(rows.train, eval));
        let course = Mutex::new(Course { since: Instant::now(), eval_loss: None, iterations: Vec::new() });
        let course_now = || course.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = |model: &AlsModel| {
            let eval_loss = held_out.as_ref().and_then(|held_out| held_out.rmse(model, &self.control(&|_| {})));
            course_now().eval_loss = eval_loss;
        };
        let watch: Option<&dyn Fn(&AlsModel)> = held_out.is_some().then_some(&watch);
        let progress = |progress: als::Progress| {
            let mut course = course_now();
            let now = Instant::now();
            let duration_ms = now.duration_since(course.since).as_secs_f64() * 1e3;
            let eval_loss = course.eval_loss;
            course.since = now;
            course.iterations.push(Iteration { iteration: progress.iteration as u64, loss: progress.loss, eval_loss, duration_ms });
            drop(course);
            tracing::debug!(model = %self.name, phase, iteration = progress.iteration, of = progress.max_iterations, "training");
            (self.observer)(TrainingProgress {
                phase: phase.to_owned(),
                rows: self.n_rows,
                iteration: progress.iteration,
                max_iterations: progress.max_iterations,
                loss: progress.loss,
                metric: eval_loss.map(|rmse| (EVAL_LOSS, rmse)).or(best).map(|(name, value)| (name.to_owned(), value)),
            });
        };
        let params = options.als_params();
        // A version of another rank is no start.
        let start = start.filter(|start| start.users.rank() == params.rank).map(|start| begun(start, &params));
        let als = match options.min_rel_progress {
            None => als::train_from(rows.train, &params, &self.control(&progress), start.as_ref(), watch)?,
            Some(share) => {
                let max_iterations = params.max_iterations;
                let once = AlsParams { max_iterations: 1, ..params };
                until_it_stalls(max_iterations, share, start, |iteration, model| {
                    let count = |one: als::Progress| progress(als::Progress { iteration, max_iterations, ..one });
                    let fitted = als::train_from(rows.train, &once, &self.control(&count), model, watch)?;
                    let loss = course_now().iterations.last().and_then(|last| last.loss);
                    Ok((fitted, loss))
                })?
            }
        };
        let Course { iterations, .. } = course.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Fit { als, iterations })
    }
}

/// Iterates until an iteration does not lower the training loss by this share: each begins with the factors of the one before.
fn until_it_stalls(
    iterations_max: usize,
    share: f64,
    mut model: Option<AlsModel>,
    iterate: impl Fn(usize, Option<&AlsModel>) -> Result<(AlsModel, Option<f64>), AlsError>,
) -> Result<AlsModel, AlsError> {
    let wrong = |_| AlsError::Parameter { name: "min_rel_progress", value: share.to_string(), range: "from 0 to 1" };
    let mut early_stop = EarlyStop::new(share).map_err(wrong)?;
    let mut iteration = 0;
    loop {
        iteration += 1;
        let (fitted, loss) = iterate(iteration, model.as_ref())?;
        if iteration >= iterations_max || loss.is_none_or(|loss| early_stop.is_over(loss)) {
            return Ok(fitted);
        }
        model = Some(fitted);
    }
}

/// A model to begin with, random where it has no factors: users whose items nobody else has rated could never leave zero.
fn begun(mut start: AlsModel, params: &AlsParams) -> AlsModel {
    let is_zero = |row: &[f32]| row.iter().all(|factor| *factor == 0.0);
    if start.users.rows().any(is_zero) {
        let random = Factors::random(start.users.n_rows(), params.rank, params.seed, params.nonnegative);
        for (row, random) in start.users.rows_mut().zip(random.rows()) {
            if is_zero(row) {
                row.copy_from_slice(random);
            }
        }
    }
    start
}
