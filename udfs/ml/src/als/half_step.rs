//! Half an iteration: all rows of one side from the fixed factors of the other, on several threads.

use super::equations::{Others, RowRatings};
use super::kernel::Isa;
use super::row_solver::{Outcome, RowSolver};
use super::{AlsError, AlsParams, Control, Csr, Factors, Side};
use std::sync::{Mutex, PoisonError};

/// Work handed to a thread at once, in multiply-adds: some 50 µs.
const BATCH_WORK: usize = 2_000_000;
/// Neighbours of the next row to fetch early.
const NEXT_ROW: usize = 16;

/// Ratings of one side, and the order in which its rows are solved: heaviest first, so that no thread
/// starts a long row when the others are done.
#[derive(Debug)]
pub struct Rows<'a> {
    side: Side,
    ratings: &'a Csr,
    heaviest_first: Vec<u32>,
}

impl<'a> Rows<'a> {
    /// The rows of `ratings`, which are users or items.
    pub fn new(side: Side, ratings: &'a Csr) -> Self {
        let mut heaviest_first: Vec<u32> = (0..ratings.n_rows() as u32).collect();
        heaviest_first.sort_by_key(|row| std::cmp::Reverse(ratings.row_len(*row as usize)));
        Self { side, ratings, heaviest_first }
    }

    /// Solves every row in place.
    ///
    /// A row without ratings becomes zero; callers decide what a cold start means. Each row is one thread's work
    /// from start to end, so the result does not depend on how many there are.
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
        factors: &mut Factors,
    ) -> Result<(), AlsError> {
        let mut slots: Vec<Option<&mut [f32]>> = factors.rows_mut().map(Some).collect();
        // Popped from the end.
        let queue: Vec<(u32, &mut [f32])> =
            self.heaviest_first.iter().rev().filter_map(|row| slots[*row as usize].take().map(|slot| (*row, slot))).collect();
        let work = Work { rows: self, others, params, isa, control, queue: Mutex::new(queue), failed: Mutex::new(None) };
        std::thread::scope(|scope| {
            for _ in 1..control.threads.get() {
                scope.spawn(|| work.run());
            }
            work.run();
        });
        match work.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            _ if control.is_cancelled() => Err(AlsError::Cancelled),
            Some(row) => Err(AlsError::Unsolvable { side: self.side, row }),
            None => Ok(()),
        }
    }
}

/// What the threads share.
struct Work<'a> {
    rows: &'a Rows<'a>,
    others: &'a Others<'a>,
    params: &'a AlsParams,
    isa: Isa,
    control: &'a Control<'a>,
    queue: Mutex<Vec<(u32, &'a mut [f32])>>,
    /// The smallest row without a solution.
    failed: Mutex<Option<u32>>,
}

impl<'a> Work<'a> {
    /// Takes batches until none is left.
    fn run(&self) {
        let mut solver = RowSolver::new(self.params, self.isa);
        loop {
            let mut batch = self.take().into_iter().peekable();
            if batch.peek().is_none() {
                return;
            }
            while let Some((row, slot)) = batch.next() {
                let (neighbours, values) = self.rows.ratings.row(row as usize);
                let next = batch.peek().map_or(&[][..], |(row, _)| self.rows.ratings.row(*row as usize).0);
                let ratings = RowRatings { neighbours, values, next: &next[..next.len().min(NEXT_ROW)] };
                match solver.solve(self.others, &ratings, || !self.control.is_cancelled(), slot) {
                    Outcome::Solved => {}
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

    /// The next rows, worth [`BATCH_WORK`] together.
    fn take(&self) -> Vec<(u32, &'a mut [f32])> {
        let rank = self.params.rank;
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Vec::new();
        let mut work = 0usize;
        while work < BATCH_WORK
            && let Some((row, slot)) = queue.pop()
        {
            work += (self.rows.ratings.row_len(row as usize) + rank / 3) * rank * rank / 2 + 1;
            batch.push((row, slot));
        }
        batch
    }
}
