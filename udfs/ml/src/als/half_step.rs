//! Half an iteration: all rows of one side from the fixed factors of the other, on several threads.

use super::cholesky::Cholesky;
use super::nonnegative::NonNegative;
use super::{AlsError, AlsParams, Csr, Factors, LambdaScale, NormalEquations, Side};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Work handed to a thread at once, in multiply-adds: some 0.2 ms.
const BATCH_WORK: usize = 500_000;

/// Ratings of one side, and the order in which its rows are solved: heaviest first, so that no thread
/// starts a long row when the others are done.
#[derive(Debug)]
pub struct Rows {
    side: Side,
    ratings: Csr,
    heaviest_first: Vec<u32>,
}

impl Rows {
    /// The rows of `ratings`, which are users or items.
    pub fn new(side: Side, ratings: Csr) -> Self {
        let mut heaviest_first: Vec<u32> = (0..ratings.n_rows() as u32).collect();
        heaviest_first.sort_by_key(|row| std::cmp::Reverse(ratings.row_len(*row as usize)));
        Self { side, ratings, heaviest_first }
    }

    /// Solves every row in place.
    ///
    /// For a row with `n` ratings `r` on `Q` (n × rank) it solves `(QᵀQ + λ·n·I) x = Qᵀr`
    /// ([`LambdaScale::Rating`]) or `(QᵀQ + λ·I) x = Qᵀr` ([`LambdaScale::Row`]). A row without ratings
    /// becomes zero; callers decide what a cold start means. Each row is one thread's work from start to
    /// end, so the result does not depend on how many there are.
    ///
    /// # Errors
    /// [`AlsError::Cancelled`], or [`AlsError::Unsolvable`] with the row.
    ///
    /// # Cost
    /// O(ratings·rank² + rows·rank³) time, rank² scratch per thread.
    pub fn solve(
        &self,
        others: &Factors,
        params: &AlsParams,
        threads: NonZeroUsize,
        cancel: &AtomicBool,
        factors: &mut Factors,
    ) -> Result<(), AlsError> {
        let mut slots: Vec<Option<&mut [f32]>> = factors.rows_mut().map(Some).collect();
        // Popped from the end.
        let queue: Vec<(u32, &mut [f32])> =
            self.heaviest_first.iter().rev().filter_map(|row| slots[*row as usize].take().map(|slot| (*row, slot))).collect();
        let work = Work { rows: self, others, params, cancel, queue: Mutex::new(queue), failed: Mutex::new(None) };
        std::thread::scope(|scope| {
            for _ in 1..threads.get() {
                scope.spawn(|| work.run());
            }
            work.run();
        });
        match work.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            _ if cancel.load(Ordering::Relaxed) => Err(AlsError::Cancelled),
            Some(row) => Err(AlsError::Unsolvable { side: self.side, row }),
            None => Ok(()),
        }
    }
}

/// What the threads share.
struct Work<'a> {
    rows: &'a Rows,
    others: &'a Factors,
    params: &'a AlsParams,
    cancel: &'a AtomicBool,
    queue: Mutex<Vec<(u32, &'a mut [f32])>>,
    /// The smallest row without a solution.
    failed: Mutex<Option<u32>>,
}

impl<'a> Work<'a> {
    /// Takes batches until none is left.
    fn run(&self) {
        let rank = self.others.rank();
        let mut equations = NormalEquations::new(rank);
        let mut solver = RowSolver::new(self.params, rank);
        loop {
            let batch = self.take();
            if batch.is_empty() {
                return;
            }
            for (row, slot) in batch {
                if !self.solve_row(row, &mut equations, &mut solver, slot) {
                    let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                    *failed = Some(failed.map_or(row, |other: u32| other.min(row)));
                }
                if self.cancel.load(Ordering::Relaxed) {
                    return;
                }
            }
        }
    }

    /// The next rows, worth [`BATCH_WORK`] together.
    fn take(&self) -> Vec<(u32, &'a mut [f32])> {
        let rank = self.others.rank();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Vec::new();
        let mut work = 0usize;
        while work < BATCH_WORK
            && let Some((row, slot)) = queue.pop()
        {
            work += (self.rows.ratings.row_len(row as usize) + rank) * rank * rank / 2 + 1;
            batch.push((row, slot));
        }
        batch
    }

    fn solve_row(&self, row: u32, equations: &mut NormalEquations, solver: &mut RowSolver, slot: &mut [f32]) -> bool {
        let (neighbours, ratings) = self.rows.ratings.row(row as usize);
        if neighbours.is_empty() {
            slot.fill(0.0);
            return true;
        }
        if !equations.gather(self.others, neighbours, ratings, || !self.cancel.load(Ordering::Relaxed)) {
            return true; // Cancelled: the caller throws all of it away.
        }
        let scale = match self.params.lambda_scale {
            LambdaScale::Rating => neighbours.len() as f64,
            LambdaScale::Row => 1.0,
        };
        equations.add_diagonal((self.params.lambda * scale) as f32);
        solver.solve(equations, slot)
    }
}

/// How one row's equations are solved.
enum RowSolver {
    Cholesky(Cholesky),
    NonNegative(NonNegative),
}

impl RowSolver {
    fn new(params: &AlsParams, rank: usize) -> Self {
        if params.nonnegative { Self::NonNegative(NonNegative::new(rank)) } else { Self::Cholesky(Cholesky::new(rank)) }
    }

    fn solve(&mut self, equations: &NormalEquations, x: &mut [f32]) -> bool {
        match self {
            Self::Cholesky(cholesky) => cholesky.solve(equations, x),
            Self::NonNegative(nonnegative) => nonnegative.solve(equations, x),
        }
    }
}
