//! The best items of many users at once: scores as tiles of a matrix product, on several threads.

use super::index::Bound;
use super::kernel::{TILE, Tile};
use super::{Best, Bitmap, Filter, ItemIndex, Scored};
use crate::als::Factors;
use crate::control::Control;
use crate::error::LearnError;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Tiles of users that share a block of items while it is in the first cache: 12 KiB of rank 64, beside its 16.
const TILES_PER_GROUP: usize = 8;

/// Users whom one thread serves at once.
const GROUP: usize = TILES_PER_GROUP * TILE;

/// Up to so many users are served one after the other: a tile costs as much with one user as with six.
const SINGLY_MAX: usize = 3;

/// The items to leave out for a user, in any order.
pub type Excluded<'a> = dyn Fn(u32) -> &'a [u32] + Sync + 'a;

/// For whom lists are wanted, and of what.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// A row per user.
    pub users: &'a Factors,
    /// The rows of the users, in the order of the lists.
    pub rows: &'a [u32],
    /// The length of a list. The first k' items of a list are the list of k'.
    pub k: usize,
    /// The items to leave out for a user (a row of `users`): those seen.
    pub excluded: Option<&'a Excluded<'a>>,
    /// The items that are wanted, for all users; `None` for all items.
    pub allowed: Option<&'a Bitmap>,
}

/// A list of items for each user of a batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopLists {
    /// List `n` is `scored[offsets[n]..offsets[n + 1]]`.
    offsets: Vec<usize>,
    scored: Vec<Scored>,
}

impl TopLists {
    /// The number of lists.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no list.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The list of the user at a place of the batch, best first.
    pub fn list(&self, place: usize) -> &[Scored] {
        &self.scored[self.offsets[place]..self.offsets[place + 1]]
    }

    /// All lists in the order of the batch.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[Scored]> {
        self.offsets.windows(2).map(|ends| &self.scored[ends[0]..ends[1]])
    }

    fn push_all(&mut self, other: &Self) {
        for list in other.iter() {
            self.scored.extend_from_slice(list);
            self.offsets.push(self.scored.len());
        }
    }
}

impl ItemIndex {
    /// Returns the list of [`Self::top`] for each user of the batch, to the bit.
    ///
    /// It does not depend on the number of threads. `control.progress` is not called.
    ///
    /// # Errors
    /// [`LearnError::Shape`] for users of another rank or an unknown row, [`LearnError::Value`] when a factor is not
    /// finite, [`LearnError::Cancelled`] within some milliseconds.
    ///
    /// # Cost
    /// O(users·items·rank) at most, at nearly the speed of a matrix product, and O(excluded items).
    pub fn top_of_many(&self, batch: &Batch<'_>, control: &Control<'_>) -> Result<TopLists, LearnError> {
        if batch.users.rank() != self.rank() {
            return Err(LearnError::Shape { what: "the users and the items differ in their number of factors" });
        }
        for row in batch.rows {
            if *row as usize >= batch.users.n_rows() {
                return Err(LearnError::Shape { what: "a user of the batch has no factors" });
            }
            self.check_user(*row as usize, batch.users.row(*row as usize))?;
        }
        if batch.rows.len() <= SINGLY_MAX {
            return self.top_singly(batch, control);
        }
        let n_groups = batch.rows.len().div_ceil(GROUP);
        let allowed = self.allowed(batch.allowed);
        let done: Mutex<Vec<(usize, TopLists)>> = Mutex::new(Vec::with_capacity(n_groups));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut group = Group::new(self, batch.k);
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= n_groups || control.is_cancelled() {
                    return;
                }
                let rows = &batch.rows[place * GROUP..batch.rows.len().min((place + 1) * GROUP)];
                let lists = group.search(batch, rows, &allowed, control);
                done.lock().unwrap_or_else(PoisonError::into_inner).push((place, lists));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..control.threads.get().min(n_groups) {
                scope.spawn(work);
            }
            work();
        });
        if control.is_cancelled() {
            return Err(LearnError::Cancelled);
        }
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(place, _)| *place);
        let mut lists = TopLists { offsets: Vec::with_capacity(batch.rows.len() + 1), scored: Vec::new() };
        lists.offsets.push(0);
        for (_, part) in &done {
            lists.push_all(part);
        }
        Ok(lists)
    }

    fn top_singly(&self, batch: &Batch<'_>, control: &Control<'_>) -> Result<TopLists, LearnError> {
        let mut lists = TopLists { offsets: vec![0], scored: Vec::new() };
        for row in batch.rows {
            if control.is_cancelled() {
                return Err(LearnError::Cancelled);
            }
            let filter = Filter { excluded: batch.excluded.map_or(&[], |excluded| excluded(*row)), allowed: batch.allowed };
            lists.scored.extend(self.top(batch.users.row(*row as usize), batch.k, &filter)?);
            lists.offsets.push(lists.scored.len());
        }
        Ok(lists)
    }
}

/// What a thread needs to serve a group of users.
struct Group<'a> {
    index: &'a ItemIndex,
    /// Of each tile, `rank` × 6 factors.
    factors: Vec<[f32; TILE]>,
    best: Vec<Best>,
    bounds: Vec<Bound>,
    /// Of each user, a word per block: the items still wanted.
    wanted: Vec<u64>,
}

impl<'a> Group<'a> {
    fn new(index: &'a ItemIndex, k: usize) -> Self {
        let k = k.min(index.n_items());
        Self {
            index,
            factors: vec![[0.0; TILE]; TILES_PER_GROUP * index.rank()],
            best: (0..GROUP).map(|_| Best::new(k)).collect(),
            bounds: vec![Bound::default(); GROUP],
            wanted: vec![0; GROUP * index.n_blocks()],
        }
    }

    /// When it is cancelled the lists are of no use.
    fn search(&mut self, batch: &Batch<'_>, rows: &[u32], allowed: &[u64], control: &Control<'_>) -> TopLists {
        self.fill(batch, rows, allowed);
        let mut scores = Tile::<TILE>::new();
        // The tiles whose users can still gain something, as ranges of users.
        let mut tiles: Vec<Range<usize>> = (0..rows.len()).step_by(TILE).map(|user| user..rows.len().min(user + TILE)).collect();
        for block in 0..self.index.n_blocks() {
            if batch.k == 0 || tiles.is_empty() || control.is_cancelled() {
                break;
            }
            tiles.retain(|users| self.search_block(block, users.clone(), &mut scores));
        }
        let mut lists = TopLists { offsets: vec![0], scored: Vec::new() };
        for best in &mut self.best[..rows.len()] {
            best.drain_into(&mut lists.scored);
            lists.offsets.push(lists.scored.len());
        }
        lists
    }

    /// Offers the items of a block to the users of a tile; returns whether one of them can gain from it or those after it.
    fn search_block(&mut self, block: usize, users: Range<usize>, tile: &mut Tile<TILE>) -> bool {
        let index = self.index;
        let (rank, n_blocks) = (index.rank(), index.n_blocks());
        // Free places of a tile hope for nothing.
        let mut thresholds = [f32::NAN; TILE];
        let (mut is_searching, mut is_wanted) = (false, 0);
        for (threshold, user) in thresholds.iter_mut().zip(users.clone()) {
            if !self.bounds[user].is_below(index, block, self.best[user].threshold()) {
                is_searching = true;
                *threshold = self.best[user].threshold();
                is_wanted |= self.wanted[user * n_blocks + block];
            }
        }
        if !is_searching || is_wanted == 0 {
            return is_searching;
        }
        let place = users.start / TILE;
        let factors = &self.factors[place * rank..(place + 1) * rank];
        index.isa.score(index.block(block), index.biases(block), factors, &thresholds, tile);
        for (user, (hits, scores)) in users.zip(tile.hits.iter().zip(&tile.scores)) {
            index.offer(block, hits & self.wanted[user * n_blocks + block], scores, &mut self.best[user]);
        }
        true
    }

    fn fill(&mut self, batch: &Batch<'_>, rows: &[u32], allowed: &[u64]) {
        let (rank, n_blocks) = (self.index.rank(), self.index.n_blocks());
        for (user, row) in rows.iter().enumerate() {
            let factors = batch.users.row(*row as usize);
            let tile = &mut self.factors[user / TILE * rank..(user / TILE + 1) * rank];
            for (slot, factor) in tile.iter_mut().zip(factors) {
                slot[user % TILE] = *factor;
            }
            self.bounds[user] = Bound::new(self.index, factors);
            let wanted = &mut self.wanted[user * n_blocks..(user + 1) * n_blocks];
            wanted.copy_from_slice(allowed);
            if let Some(excluded) = batch.excluded {
                self.index.exclude(excluded(*row), wanted);
            }
        }
    }
}
