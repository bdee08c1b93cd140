//! The hot tail: rows that arrived and are in no commit yet, as batches in memory.

use datafusion::arrow::array::RecordBatch;
use datafusion::execution::memory_pool::MemoryReservation;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows of one fetch. The memory stays reserved until the last reader has let go of them.
#[derive(Debug)]
pub struct HotBatch {
    /// Physical columns of the table.
    pub rows: RecordBatch,
    /// Records of the same fetch that could not be decoded; [`super::dead_letters::schema`].
    pub dead_letters: Option<RecordBatch>,
    /// The commit that will have the rows.
    pub epoch: i64,
    /// In memory, reserved or not.
    pub n_bytes: usize,
    _memory: MemoryReservation,
}

impl HotBatch {
    /// `memory` is what the batch has reserved of its `n_bytes`: nothing when it had to become visible without.
    pub fn new(rows: RecordBatch, dead_letters: Option<RecordBatch>, epoch: i64, n_bytes: usize, memory: MemoryReservation) -> Self {
        Self { rows, dead_letters, epoch, n_bytes, _memory: memory }
    }
}

/// Bytes of a batch in memory, as the budget of a hot tail counts them.
pub fn batch_bytes(rows: &RecordBatch, dead_letters: Option<&RecordBatch>) -> usize {
    rows.get_array_memory_size() + dead_letters.map_or(0, RecordBatch::get_array_memory_size)
}

/// What is hot of a table now: batches in the order of their arrival. A clone is a pin.
pub type HotBatches = Arc<Vec<Arc<HotBatch>>>;

/// Rows and bytes of a hot tail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HotSize {
    pub n_rows: usize,
    pub n_bytes: usize,
}

/// The hot tail of one table: the job appends and flushes, queries pin.
#[derive(Debug, Default)]
pub struct HotTail {
    state: Mutex<HotState>,
}

#[derive(Debug, Default)]
struct HotState {
    batches: HotBatches,
    size: HotSize,
}

impl HotTail {
    /// Makes a batch visible.
    pub fn append(&self, batch: HotBatch) {
        let mut state = self.lock();
        state.size.n_rows += batch.rows.num_rows();
        state.size.n_bytes += batch.n_bytes;
        // Copied only while a reader has it pinned: pointers, not rows.
        Arc::make_mut(&mut state.batches).push(Arc::new(batch));
    }

    /// Forgets what a commit has: the batches up to its epoch.
    pub fn flush(&self, epoch: i64) {
        let mut state = self.lock();
        Arc::make_mut(&mut state.batches).retain(|batch| batch.epoch > epoch);
        state.size = HotSize {
            n_rows: state.batches.iter().map(|batch| batch.rows.num_rows()).sum(),
            n_bytes: state.batches.iter().map(|batch| batch.n_bytes).sum(),
        };
    }

    /// Forgets everything: the rows will be read again, or belong to another server now.
    pub fn clear(&self) {
        self.flush(i64::MAX);
    }

    /// The batches now.
    pub fn pin(&self) -> HotBatches {
        Arc::clone(&self.lock().batches)
    }

    /// How much is hot.
    pub fn size(&self) -> HotSize {
        self.lock().size
    }

    fn lock(&self) -> MutexGuard<'_, HotState> {
        // `append` and `flush` leave a whole list at every step; sizes are for budgets only.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
