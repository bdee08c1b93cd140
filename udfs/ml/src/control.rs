//! How a training runs: threads, cancellation, progress. Nothing of it changes the result.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a training is given besides its data and parameters.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    pub threads: NonZeroUsize,
    /// Set it to true and the training returns its `Cancelled` error within some milliseconds.
    pub cancel: &'a AtomicBool,
    /// Called after every iteration (tree, epoch).
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

impl Control<'_> {
    /// Whether somebody asked the training to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

/// How far training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Finished iterations.
    pub iteration: usize,
    pub max_iterations: usize,
    /// The training loss after the iteration, where the algorithm knows it without extra work.
    pub loss: Option<f64>,
}
