//! Items in blocks, built once per model, and the search of one user.

use super::bitmap::ones;
use super::coarse::Coarse;
use super::kernel::{Isa, NO_LANES, TILE, Tile};
use super::{Best, Bitmap, LANES, Scored, kernel::Lanes};
use crate::als::Factors;
use crate::control::Control;
use crate::error::LearnError;
use std::ops::Range;

/// So many blocks are scored exactly before coarse scores begin: they give a threshold, and where lengths fall fast
/// they are all there is to search.
const EXACT_BLOCKS: usize = 8;

/// What the second cache of a core holds: coarse scores gain nothing on fewer bytes.
const CACHE_BYTES: usize = 1 << 20;

/// With fewer blocks per item of the list, the candidates cost more than coarse scores save.
const BLOCKS_PER_K: usize = 2;

/// Which items may be in a list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// Items to leave out, in any order: those that the user has seen. Unknown ones do no harm.
    pub excluded: &'a [u32],
    /// The items that are wanted; `None` for all.
    pub allowed: Option<&'a Bitmap>,
}

/// The items of a model, ready to be searched for the highest `user · item + bias`.
///
/// Items are ordered by the length of their factors, longest first: by Cauchy and Schwarz no later item can
/// score more than |user|·|item| + bias, so a search ends as soon as that is below its k-th score. The margin
/// for rounding is part of the bound: pruning never changes a list, not even in ties. Where lengths do not prune, a
/// copy of the factors in 8 bits tells which items need not be scored: their bounds do not change a list either.
///
/// A list is a function of the factors, the filter and k. The score of a pair of user and item has the
/// same bits wherever it is computed in a process ([`Self::score`], [`Self::top`], [`Self::top_of_many`]).
///
/// # Cost
/// Memory: the factors again and a quarter of them (items padded to a multiple of 64), and 8 bytes per item.
#[derive(Debug, Clone)]
pub struct ItemIndex {
    pub(super) isa: Isa,
    rank: usize,
    /// `rank` lanes per block.
    lanes: Vec<Lanes>,
    /// One per block; none without biases.
    biases: Vec<Lanes>,
    /// The factors of the blocks in 8 bits.
    pub(super) coarse: Coarse,
    /// The item at a place; shorter than the blocks, whose last one may have free lanes.
    items: Vec<u32>,
    /// The place of an item.
    places: Vec<u32>,
    /// A word per block: the places that may be in a list.
    live: Vec<u64>,
    /// Per block, the greatest length of an item in it or after it.
    lengths: Vec<f64>,
    /// Per block, the greatest bias in it or after it with its rounding; 0 without biases.
    bias_bounds: Vec<f64>,
}

impl ItemIndex {
    /// Builds the index; `biases` has a number per item.
    ///
    /// # Errors
    /// [`LearnError::Value`] for a number that is not finite, [`LearnError::Shape`] when `biases` has another
    /// length than `items`, or there are more items than a `u32` can number.
    ///
    /// # Cost
    /// O(items·(rank + log items)).
    pub fn new(items: &Factors, biases: Option<&[f32]>) -> Result<Self, LearnError> {
        Self::build(items.rank(), items.n_rows(), |item| items.row(item), biases)
    }

    /// Builds the index of rows that may be made on the fly.
    pub(super) fn build<R: AsRef<[f32]>>(
        rank: usize,
        n_items: usize,
        row: impl Fn(usize) -> R,
        biases: Option<&[f32]>,
    ) -> Result<Self, LearnError> {
        if n_items > u32::MAX as usize {
            return Err(LearnError::Shape { what: "more than 4,294,967,295 items" });
        }
        if biases.is_some_and(|biases| biases.len() != n_items) {
            return Err(LearnError::Shape { what: "items and biases differ in number" });
        }
        let mut lengths = Vec::with_capacity(n_items);
        for item in 0..n_items {
            let row = row(item);
            check_finite("factor of an item", item, row.as_ref())?;
            lengths.push(length(row.as_ref()));
        }
        for (item, bias) in biases.unwrap_or_default().iter().enumerate() {
            check_finite("bias of an item", item, &[*bias])?;
        }

        let mut order: Vec<u32> = (0..n_items as u32).collect();
        order.sort_unstable_by(|left, right| lengths[*right as usize].total_cmp(&lengths[*left as usize]).then_with(|| left.cmp(right)));
        let n_blocks = n_items.div_ceil(LANES);
        let mut index = Self {
            isa: Isa::best(),
            rank,
            lanes: vec![NO_LANES; n_blocks * rank],
            biases: vec![NO_LANES; if biases.is_some() { n_blocks } else { 0 }],
            coarse: Coarse::default(),
            items: order,
            places: vec![0; n_items],
            live: Bitmap::full(n_items).into_words(),
            lengths: vec![0.0; n_blocks],
            bias_bounds: vec![0.0; n_blocks],
        };
        for (place, item) in index.items.iter().enumerate() {
            let (block, lane) = (place / LANES, place % LANES);
            index.places[*item as usize] = place as u32;
            let lanes = &mut index.lanes[block * rank..(block + 1) * rank];
            for (lanes, factor) in lanes.iter_mut().zip(row(*item as usize).as_ref()) {
                lanes.0[lane] = *factor;
            }
            if lane == 0 {
                index.lengths[block] = lengths[*item as usize];
            }
            if let Some(biases) = biases {
                index.biases[block].0[lane] = biases[*item as usize];
            }
        }
        if let Some(biases) = biases {
            index.bound_biases(biases);
        }
        index.coarse = Coarse::new(rank, n_blocks, &index.lanes, &index.biases);
        Ok(index)
    }

    fn bound_biases(&mut self, biases: &[f32]) {
        let rounding = rounding(self.rank);
        let mut bound = f64::NEG_INFINITY;
        for (block, items) in self.items.chunks(LANES).enumerate().rev() {
            for item in items {
                let bias = f64::from(biases[*item as usize]);
                bound = bound.max(bias + bias.abs() * rounding);
            }
            self.bias_bounds[block] = bound;
        }
    }

    /// The number of items.
    pub fn n_items(&self) -> usize {
        self.items.len()
    }

    /// The number of factors of an item.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        (self.lanes.len() + self.biases.len()) * size_of::<Lanes>() + self.items.len() * 8 + self.live.len() * 24 + self.coarse.bytes()
    }

    /// The factors of an item.
    ///
    /// # Panics
    /// If there is no such item.
    pub fn factors(&self, item: u32) -> Vec<f32> {
        let place = self.places[item as usize] as usize;
        self.block(place / LANES).iter().map(|lanes| lanes.0[place % LANES]).collect()
    }

    /// The score of one item, to the bit as in a list; `None` for an unknown item or a user of another rank.
    pub fn score(&self, user: &[f32], item: u32) -> Option<f32> {
        let place = *self.places.get(item as usize)? as usize;
        // As in a list, -0 is 0.
        (user.len() == self.rank).then(|| self.score_at(place, user) + 0.0)
    }

    /// The score of the item at a place.
    pub(super) fn score_at(&self, place: usize, user: &[f32]) -> f32 {
        let (block, lane) = (place / LANES, place % LANES);
        self.isa.score_lane(self.block(block), lane, self.biases(block).0[lane], user)
    }

    /// Returns the `k` items with the highest scores, best first, ties by the smaller item.
    ///
    /// Exactly `k` of the items that pass the filter, or all of them when there are fewer. An item whose score
    /// is NaN, as sums beyond the range of `f32` can be, is never among them.
    ///
    /// # Errors
    /// [`LearnError::Shape`] for a user of another rank, [`LearnError::Value`] when a factor is not finite.
    ///
    /// # Cost
    /// O(items·rank) at most; 27,000 items of rank 64 take some 60 µs.
    ///
    /// # Source
    /// The order by length is that of Teflioudi, Gemulla 2016, *Exact and Approximate Maximum Inner Product Search with LEMP*, §3.
    pub fn top(&self, user: &[f32], k: usize, filter: &Filter<'_>) -> Result<Vec<Scored>, LearnError> {
        self.check_user(0, user)?;
        let mut best = Best::new(k.min(self.n_items()));
        if k == 0 {
            return Ok(Vec::new());
        }
        let wanted = self.wanted(filter);
        let bound = Bound::new(self, user);
        let n_exact = if self.is_coarse_worth(k, bound, &wanted) && self.is_coarse_sound(bound) { EXACT_BLOCKS } else { self.n_blocks() };
        self.search(user, bound, &wanted, n_exact, &mut best);
        Ok(best.into_sorted())
    }

    /// Offers the wanted items: those of the first blocks by their scores, of the others only what coarse scores leave.
    pub(super) fn search(&self, user: &[f32], bound: Bound, wanted: &[u64], n_exact: usize, best: &mut Best) {
        self.search_exactly(0..n_exact, user, bound, wanted, best);
        if n_exact < self.n_blocks() {
            let start = self.search_coarsely(n_exact, user, bound, wanted, best);
            self.search_exactly(start..self.n_blocks(), user, bound, wanted, best);
        }
    }

    /// Offers the wanted items of blocks by their scores.
    fn search_exactly(&self, blocks: Range<usize>, user: &[f32], bound: Bound, wanted: &[u64], best: &mut Best) {
        let (users, _) = user.as_chunks::<1>();
        let mut tile = Tile::<1>::new();
        for (block, wanted) in wanted.iter().enumerate().take(blocks.end).skip(blocks.start) {
            if bound.is_below(self, block, best.threshold()) {
                break;
            }
            if *wanted != 0 {
                self.isa.score(self.block(block), self.biases(block), users, &[best.threshold()], &mut tile);
                self.offer(block, tile.hits[0] & wanted, &tile.scores[0], best);
            }
        }
    }

    /// Whether coarse scores are faster: what they save grows with the blocks, what they cost with k. For a user of
    /// zeros all items are ties, save for biases.
    fn is_coarse_worth(&self, k: usize, bound: Bound, wanted: &[u64]) -> bool {
        let n_blocks = wanted.iter().filter(|wanted| **wanted != 0).count();
        bound.greatest(self) > 0.0 && n_blocks / BLOCKS_PER_K >= k && n_blocks * self.rank * size_of::<Lanes>() > CACHE_BYTES
    }

    /// Offers the hits of a block.
    #[inline]
    pub(super) fn offer(&self, block: usize, hits: u64, scores: &Lanes, best: &mut Best) {
        for lane in ones(hits) {
            let lane = lane as usize;
            best.offer(self.items[block * LANES + lane], scores.0[lane]);
        }
    }

    /// The scores of a tile of users for every place: `scores[u][place]`. When it is cancelled there are fewer.
    pub(crate) fn score_all(&self, users: &[[f32; TILE]], scores: &mut [Vec<f32>; TILE], control: &Control<'_>) {
        let mut tile = Tile::<TILE>::new();
        for scores in scores.iter_mut() {
            scores.clear();
        }
        for block in 0..self.n_blocks() {
            if control.is_cancelled() {
                break;
            }
            self.isa.score(self.block(block), self.biases(block), users, &[0.0; TILE], &mut tile);
            for (scores, lanes) in scores.iter_mut().zip(&tile.scores) {
                scores.extend_from_slice(&lanes.0);
            }
        }
        for scores in scores.iter_mut() {
            scores.truncate(self.n_items());
        }
    }

    /// How many scores are greater than `score`, and how many are equal to it; NaN is neither.
    pub(crate) fn count_greater_and_equal(&self, scores: &[f32], score: f32) -> (usize, usize) {
        self.isa.count_greater_and_equal(scores, score)
    }

    /// The place of an item among [`Self::score_all`].
    pub(crate) fn place(&self, item: u32) -> Option<usize> {
        self.places.get(item as usize).map(|place| *place as usize)
    }

    /// The item at a place.
    pub(crate) fn item_at(&self, place: usize) -> u32 {
        self.items[place]
    }

    pub(super) fn n_blocks(&self) -> usize {
        self.live.len()
    }

    /// The greatest length of an item in a block or after it.
    pub(super) fn length(&self, block: usize) -> f64 {
        self.lengths[block]
    }

    pub(super) fn block(&self, block: usize) -> &[Lanes] {
        &self.lanes[block * self.rank..(block + 1) * self.rank]
    }

    pub(super) fn biases(&self, block: usize) -> &Lanes {
        self.biases.get(block).unwrap_or(&NO_LANES)
    }

    /// Takes items out of all lists for good.
    pub(super) fn retire(&mut self, items: impl IntoIterator<Item = u32>) {
        for item in items {
            let place = self.places[item as usize] as usize;
            self.live[place / LANES] &= !(1 << (place % LANES));
        }
    }

    /// A word per block: the places that pass the filter.
    pub(super) fn wanted(&self, filter: &Filter<'_>) -> Vec<u64> {
        let mut wanted = self.allowed(filter.allowed);
        self.exclude(filter.excluded, &mut wanted);
        wanted
    }

    /// The places of allowed items.
    pub(super) fn allowed(&self, allowed: Option<&Bitmap>) -> Vec<u64> {
        let Some(allowed) = allowed else { return self.live.clone() };
        let mut wanted = self.live.clone();
        // Whichever of the two lists is shorter.
        if allowed.n_items() >= self.n_items() && allowed.count() > allowed.n_items() / 2 {
            for place in allowed.iter_absent().filter_map(|item| self.place(item)) {
                wanted[place / LANES] &= !(1 << (place % LANES));
            }
            return wanted;
        }
        wanted.fill(0);
        for place in allowed.iter().filter_map(|item| self.place(item)) {
            wanted[place / LANES] |= 1 << (place % LANES);
        }
        for (wanted, live) in wanted.iter_mut().zip(&self.live) {
            *wanted &= live;
        }
        wanted
    }

    /// Takes the places of excluded items out.
    pub(super) fn exclude(&self, excluded: &[u32], wanted: &mut [u64]) {
        for place in excluded.iter().filter_map(|item| self.place(*item)) {
            wanted[place / LANES] &= !(1 << (place % LANES));
        }
    }

    pub(crate) fn check_user(&self, row: usize, user: &[f32]) -> Result<(), LearnError> {
        if user.len() != self.rank {
            return Err(LearnError::Shape { what: "the user and the items differ in their number of factors" });
        }
        check_finite("factor of a user", row, user)
    }
}

/// The greatest score that a user can have with an item of a block or of any after it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bound {
    /// The length of the user, with the rounding of a score.
    length: f64,
}

impl Bound {
    pub fn new(index: &ItemIndex, user: &[f32]) -> Self {
        Self { length: length(user) * (1.0 + rounding(index.rank)) }
    }

    /// The greatest product with any item of the index.
    pub fn greatest(self, index: &ItemIndex) -> f64 {
        self.length * index.lengths.first().copied().unwrap_or_default()
    }

    /// Whether no item from the block on can reach the threshold.
    #[inline]
    pub fn is_below(self, index: &ItemIndex, block: usize, threshold: f32) -> bool {
        // The smallest normal number stands for what is lost below it. A bound beyond f32 may be a score of infinity,
        // and ties with it count.
        let bound = self.length * index.lengths[block] + index.bias_bounds[block] + f64::from(f32::MIN_POSITIVE);
        bound < f64::from(threshold) && bound < f64::from(f32::MAX)
    }
}

/// A bound of |computed − exact| / (|user|·|item| + |bias|): two roundings per factor are at most made (one where they are
/// fused), and as many again cover the rounding of the bound itself.
///
/// Higham 2002, *Accuracy and Stability of Numerical Algorithms*, §3.1.
pub(super) fn rounding(rank: usize) -> f64 {
    (4 * rank + 16) as f64 * f64::from(f32::EPSILON) / 2.0
}

/// The Euclidean length.
pub(super) fn length(row: &[f32]) -> f64 {
    row.iter().map(|factor| f64::from(*factor) * f64::from(*factor)).sum::<f64>().sqrt()
}

fn check_finite(what: &'static str, row: usize, numbers: &[f32]) -> Result<(), LearnError> {
    match numbers.iter().find(|number| !number.is_finite()) {
        None => Ok(()),
        Some(number) => Err(LearnError::Value { what, row, value: f64::from(*number), expected: "a finite number" }),
    }
}
