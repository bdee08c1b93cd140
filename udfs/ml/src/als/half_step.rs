//! Half an iteration: all rows of one side from the fixed factors of the other, on several threads.

use super::equations::{Others, PREFETCH_ROWS_MAX, RowRatings};
use super::factors::dot_f64;
use super::kernel::{Isa, fetch};
use super::row_solver::{Outcome, RowSolver};
use super::{AlsError, AlsParams, Control, Csr, Factors, Side};
use std::sync::{Mutex, PoisonError};

/// Work handed to a thread at once, in multiply-adds: some 50 µs.
const BATCH_WORK: usize = 2_000_000;

/// Ratings of one side. Rows are solved in their order: the longest are first, so that no thread starts a long row when
/// the others are done.
#[derive(Debug)]
pub struct Rows<'a> {
    side: Side,
    ratings: &'a Csr,
}

impl<'a> Rows<'a> {
    /// The rows of `ratings`, which are users or items.
    pub fn new(side: Side, ratings: &'a Csr) -> Self {
        Self { side, ratings }
    }

    /// Solves every row in place. Returns the sum of [`Outcome::Solved`]'s losses.
    ///
    /// A row without ratings becomes zero; callers decide what a cold start means. Each row is one thread's work
    /// from start to end, and the loss is summed row after row: the result does not depend on how many threads
    /// there are.
    ///
    /// # Errors
    /// [`AlsError::Cancelled`], or [`AlsError::Unsolvable`] with the row.
    ///
    /// # Cost
    /// O(ratings·rank² + rows·rank³) time, rank² scratch per thread.
    pub fn solve(
        &self,
        others: &Others<'_>,
        params: &AlsParams,
        isa: Isa,
        control: &Control<'_>,
        solved: Solved<'_>,
    ) -> Result<f64, AlsError> {
        let mut losses = vec![0f64; self.ratings.n_rows()];
        let mean = solved.mean;
        // Popped from the end.
        let mut queue: Vec<Slot<'_>> = solved.slots(&mut losses).collect();
        queue.reverse();
        let work = Work { rows: self, others, params, isa, control, mean, queue: Mutex::new(queue), failed: Mutex::new(None) };
        std::thread::scope(|scope| {
            for _ in 1..control.threads.get() {
                scope.spawn(|| work.run());
            }
            work.run();
        });
        match work.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            _ if control.is_cancelled() => Err(AlsError::Cancelled),
            Some(row) => Err(AlsError::Unsolvable { side: self.side, row }),
            None => Ok(losses.iter().sum()),
        }
    }

    /// What the factors (and learned biases) of this side add to the loss.
    pub fn regularisation(&self, params: &AlsParams, factors: &Factors, bias: &[f32]) -> f64 {
        let squares = |row: usize, factors: &[f32]| {
            let bias = bias.get(row).map_or(0.0, |bias| f64::from(*bias));
            dot_f64(factors, factors) + bias * bias
        };
        let rows = factors.rows().enumerate().filter(|(row, _)| self.ratings.row_len(*row) > 0);
        params.lambda * rows.map(|(row, factors)| params.scale(self.ratings.row(row).1) * squares(row, factors)).sum::<f64>()
    }
}

/// The side that is solved.
pub struct Solved<'a> {
    pub factors: &'a mut Factors,
    /// One per row, or none at all.
    pub bias: &'a mut [f32],
    /// Whether the bias is an unknown; if not, it is part of what the row's ratings have in common.
    pub is_learned: bool,
    pub mean: f32,
}

impl<'a> Solved<'a> {
    fn slots(self, losses: &'a mut [f64]) -> impl Iterator<Item = Slot<'a>> {
        let is_learned = self.is_learned;
        let biases = self.bias.iter_mut().map(Some).chain(std::iter::repeat_with(|| None));
        (0u32..).zip(self.factors.rows_mut()).zip(losses).zip(biases).map(move |(((row, factors), loss), bias)| Slot {
            row,
            factors,
            loss,
            bias: match bias {
                None => RowBias::None,
                Some(bias) if is_learned => RowBias::Learned(bias),
                Some(bias) => RowBias::Static(*bias),
            },
        })
    }
}

/// Where the solution of a row goes.
struct Slot<'a> {
    row: u32,
    factors: &'a mut [f32],
    loss: &'a mut f64,
    bias: RowBias<'a>,
}

enum RowBias<'a> {
    None,
    Static(f32),
    Learned(&'a mut f32),
}

/// What the threads share.
struct Work<'a> {
    rows: &'a Rows<'a>,
    others: &'a Others<'a>,
    params: &'a AlsParams,
    isa: Isa,
    control: &'a Control<'a>,
    mean: f32,
    queue: Mutex<Vec<Slot<'a>>>,
    /// The smallest row without a solution.
    failed: Mutex<Option<u32>>,
}

impl<'a> Work<'a> {
    /// Takes batches until none is left.
    fn run(&self) {
        let mut solver = RowSolver::new(self.params, self.isa);
        let mut unknowns = vec![0f32; self.params.n_unknowns()];
        loop {
            let batch = self.take();
            if batch.is_empty() {
                return;
            }
            // Rows are anywhere in memory: what the next one needs is fetched while this one is solved.
            let rows: Vec<u32> = batch.iter().map(|slot| slot.row).collect();
            let ratings = |place: usize| rows.get(place).map_or((&[][..], &[][..]), |row| self.rows.ratings.row(*row as usize));
            for (place, slot) in batch.into_iter().enumerate() {
                let (next, next_values) = ratings(place + 1);
                fetch(next_values);
                fetch(ratings(place + 2).0);
                let row = slot.row;
                match self.solve(&mut solver, &mut unknowns, slot, &next[..next.len().min(PREFETCH_ROWS_MAX)]) {
                    Outcome::Solved { .. } => {}
                    // The caller throws all of it away.
                    Outcome::Stopped => return,
                    Outcome::Unsolvable => {
                        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                        *failed = Some(failed.map_or(row, |other: u32| other.min(row)));
                    }
                }
                if self.control.is_cancelled() {
                    return;
                }
            }
        }
    }

    fn solve(&self, solver: &mut RowSolver, unknowns: &mut [f32], slot: Slot<'_>, next: &[u32]) -> Outcome {
        let (neighbours, values) = self.rows.ratings.row(slot.row as usize);
        let go_on = || !self.control.is_cancelled();
        let ratings = |base: f32| RowRatings { neighbours, values, next, base };
        let outcome = match slot.bias {
            RowBias::None => solver.solve(self.others, &ratings(0.0), go_on, slot.factors),
            RowBias::Static(bias) => solver.solve(self.others, &ratings(self.mean + bias), go_on, slot.factors),
            RowBias::Learned(bias) => {
                let rank = slot.factors.len();
                unknowns[..rank].copy_from_slice(slot.factors);
                unknowns[rank] = *bias;
                let outcome = solver.solve(self.others, &ratings(self.mean), go_on, unknowns);
                slot.factors.copy_from_slice(&unknowns[..rank]);
                *bias = unknowns[rank];
                outcome
            }
        };
        if let Outcome::Solved { loss } = outcome {
            *slot.loss = loss;
        }
        outcome
    }

    /// The next rows, worth [`BATCH_WORK`] together.
    fn take(&self) -> Vec<Slot<'a>> {
        let rank = self.params.rank;
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Vec::new();
        let mut work = 0usize;
        while work < BATCH_WORK
            && let Some(slot) = queue.pop()
        {
            work += (self.rows.ratings.row_len(slot.row as usize) + rank / 3) * rank * rank / 2 + 1;
            batch.push(slot);
        }
        batch
    }
}
