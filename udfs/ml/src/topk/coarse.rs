//! Factors of 8 bits: a quarter of the memory to read, and bounds of every score that leave few to compute exactly.
//!
//! A search that lengths cannot prune waits for memory. So it reads a coarse copy of the factors first: `v ≈ scale·q` with
//! integers |q| ≤ 127 and one scale per block; the user alike, `u ≈ s·p` in 16 bits. The integers are multiplied and
//! added exactly, and the score of an item lies within `slack` of its coarse score:
//!
//! ```text
//! |u·v − sp·scale·q| ≤ |u|·|v − scale·q| + |u − sp|·|scale·q|      (Cauchy and Schwarz) and all rounding
//! ```
//!
//! The k-th best of the lower bounds (coarse − slack) so far is at most the k-th best score. An item whose upper bound is
//! below it is in no list; the others, some twice k, are scored exactly: a list has the bits that it has without all this.

use super::bitmap::ones;
use super::index::{Bound, length, rounding};
use super::kernel::{Lanes, Tile};
use super::{Best, ItemIndex, LANES};

/// The greatest |q| of an item.
const ITEM_MAX: f64 = 127.0;

/// The greatest |p| of a user.
const USER_MAX: f64 = 32767.0;

/// With more factors too few bits remain for the user, whose sums must fit an `i32`.
const RANK_MAX: usize = 1 << 16;

/// Scores below this are far from the end of f32: neither they nor what leads to them is infinite or NaN.
const SCORE_MAX: f64 = 1e30;

/// What may be lost below the normal numbers: half of the smallest number in a scale, times a sum of up to 2³¹.
const UNDERFLOW: f64 = 1e-35;

/// With more candidates than this in a block, all of it is scored: a lane alone reads a quarter of its memory.
const SCATTERED_MAX: usize = 4;

/// When one of so many wanted items is a candidate, coarse scores tell too little: of ties, they tell nothing.
const WANTED_PER_CANDIDATE: usize = 4;

/// Two factors of each item of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Pairs(pub [[i8; 2]; LANES]);

/// The coarse factors of the items of an index.
#[derive(Debug, Clone, Default)]
pub(super) struct Coarse {
    /// `rank / 2` per block, rounded up.
    pairs: Vec<Pairs>,
    blocks: Vec<Block>,
    /// The greatest |bias| of all.
    bias: f64,
}

/// What is true for all items of a block.
#[derive(Debug, Clone, Copy)]
struct Block {
    scale: f64,
    /// The greatest |v − scale·q|.
    error: f64,
    /// The greatest |bias|.
    bias: f64,
}

impl Coarse {
    /// Makes the coarse factors of blocks with `rank` lanes each; `biases` has lanes per block, or is empty.
    pub fn new(rank: usize, n_blocks: usize, lanes: &[Lanes], biases: &[Lanes]) -> Self {
        let mut coarse = Self { pairs: Vec::with_capacity(n_blocks * rank.div_ceil(2)), ..Self::default() };
        for block in 0..n_blocks {
            let bias = biases.get(block).map_or(0.0, greatest);
            coarse.push(&lanes[block * rank..(block + 1) * rank], bias);
            coarse.bias = coarse.bias.max(bias);
        }
        coarse
    }

    fn push(&mut self, lanes: &[Lanes], bias: f64) {
        let scale = lanes.iter().map(greatest).fold(0.0, f64::max) / ITEM_MAX;
        let inverse = inverse(scale);
        let mut squares = [0f64; LANES];
        for pair in lanes.chunks(2) {
            let mut pairs = Pairs([[0; 2]; LANES]);
            for (side, factors) in pair.iter().enumerate() {
                for (lane, factor) in factors.0.iter().enumerate() {
                    let (integer, lost) = quantise(f64::from(*factor), scale, inverse);
                    pairs.0[lane][side] = integer as i8;
                    squares[lane] += lost * lost;
                }
            }
            self.pairs.push(pairs);
        }
        self.blocks.push(Block { scale, error: squares.into_iter().fold(0.0, f64::max).sqrt(), bias });
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.pairs.len() * size_of::<Pairs>() + self.blocks.len() * size_of::<Block>()
    }
}

/// A user whose factors are integers.
#[derive(Debug, Clone)]
pub(super) struct CoarseUser {
    /// Pairs of factors, as items have them.
    pairs: Vec<[i16; 2]>,
    scale: f64,
    /// |u − scale·p|.
    error: f64,
    /// |u|.
    length: f64,
}

impl CoarseUser {
    pub fn new(user: &[f32]) -> Self {
        // The sum of the products fits an i32.
        let max = (f64::from(i32::MAX) / (ITEM_MAX * user.len().max(1) as f64)).min(USER_MAX).floor();
        let scale = user.iter().fold(0f32, |max, factor| max.max(factor.abs()));
        let scale = f64::from(scale) / max;
        let inverse = inverse(scale);
        let mut squares = 0.0;
        let pairs = user.chunks(2).map(|pair| {
            let mut pairs = [0; 2];
            for (side, factor) in pair.iter().enumerate() {
                let (integer, lost) = quantise(f64::from(*factor), scale, inverse);
                pairs[side] = integer as i16;
                squares += lost * lost;
            }
            pairs
        });
        Self { pairs: pairs.collect(), scale, error: squares.sqrt(), length: length(user) }
    }
}

/// The integer nearest to `factor / scale`, and what it loses. Any integer would do: what it loses is what counts.
#[inline]
fn quantise(factor: f64, scale: f64, inverse: f64) -> (i32, f64) {
    // Half away from zero: `round` is a call where SSE4.1 is not given.
    let integer = (factor * inverse + 0.5f64.copysign(factor)) as i32;
    (integer, factor - scale * f64::from(integer))
}

/// 1 / `scale`; all integers of a scale of 0 are 0.
fn inverse(scale: f64) -> f64 {
    if scale == 0.0 { 0.0 } else { scale.recip() }
}

/// The greatest magnitude.
fn greatest(lanes: &Lanes) -> f64 {
    f64::from(lanes.0.iter().fold(0f32, |max, number| max.max(number.abs())))
}

/// An item that may be in the list.
struct Candidate {
    place: u32,
    /// No score of it is above.
    upper: f32,
}

impl ItemIndex {
    /// Whether coarse scores bound the scores of a user: far from the ends of f32.
    pub(super) fn is_coarse_sound(&self, bound: Bound) -> bool {
        self.rank() <= RANK_MAX && bound.greatest(self) + self.coarse.bias < SCORE_MAX
    }

    /// The coarse scores of a block, with bits for those that can reach the threshold; and their slack.
    pub(super) fn score_coarse(&self, block: usize, user: &CoarseUser, threshold: f32, tile: &mut Tile<1>) -> f64 {
        let Block { scale, error, bias } = self.coarse.blocks[block];
        let coarse_length = self.length(block) + error;
        // The exact score rounds, the coarse score does less often, and so do these bounds, in f64.
        let rounding = 2.0 * rounding(self.rank()) * ((user.length + user.error) * coarse_length + bias);
        let slack = user.length * error + user.error * coarse_length + rounding + UNDERFLOW;
        let pairs = user.pairs.len();
        let pairs = &self.coarse.pairs[block * pairs..(block + 1) * pairs];
        let scale = (user.scale * scale) as f32;
        self.isa.score_coarse(pairs, self.biases(block), &user.pairs, scale, below(f64::from(threshold) - slack), tile);
        slack
    }

    /// Offers the wanted items of blocks from `start` on to `best`, which has those before it. Returns the block from which
    /// on items are still to be offered, if coarse scores are of no use.
    pub(super) fn search_coarsely(&self, start: usize, user: &[f32], bound: Bound, wanted: &[u64], best: &mut Best) -> usize {
        let n_wanted: usize = wanted.iter().map(|wanted| wanted.count_ones() as usize).sum();
        let mut end = self.n_blocks();
        let coarse_user = CoarseUser::new(user);
        // A score is the best lower bound of itself.
        let mut lower = best.clone();
        let mut candidates = Vec::new();
        let mut tile = Tile::<1>::new();
        for (block, wanted) in wanted.iter().enumerate().skip(start) {
            if bound.is_below(self, block, lower.threshold()) {
                break;
            }
            if *wanted == 0 {
                continue;
            }
            let slack = self.score_coarse(block, &coarse_user, lower.threshold(), &mut tile);
            for lane in ones(tile.hits[0] & wanted) {
                let place = (block * LANES) as u32 + lane;
                let score = f64::from(tile.scores[0].0[lane as usize]);
                lower.offer(self.item_at(place as usize), below(score - slack));
                candidates.push(Candidate { place, upper: above(score + slack) });
            }
            if candidates.len() > n_wanted / WANTED_PER_CANDIDATE {
                end = block + 1;
                break;
            }
        }
        candidates.retain(|candidate| candidate.upper >= lower.threshold());
        self.offer_exactly(&candidates, user, best);
        end
    }

    /// Scores the candidates, which ascend by place, and offers them.
    fn offer_exactly(&self, candidates: &[Candidate], user: &[f32], best: &mut Best) {
        let mut tile = Tile::<1>::new();
        for candidates in candidates.chunk_by(|left, right| left.place / LANES as u32 == right.place / LANES as u32) {
            let block = candidates[0].place as usize / LANES;
            if candidates.len() > SCATTERED_MAX {
                let lanes = candidates.iter().fold(0, |lanes, candidate| lanes | 1 << (candidate.place % LANES as u32));
                self.isa.score(self.block(block), self.biases(block), user.as_chunks::<1>().0, &[best.threshold()], &mut tile);
                self.offer(block, tile.hits[0] & lanes, &tile.scores[0], best);
                continue;
            }
            for Candidate { place, upper } in candidates {
                let place = *place as usize;
                if *upper >= best.threshold() {
                    let score = self.score_at(place, user);
                    if score >= best.threshold() {
                        best.offer(self.item_at(place), score);
                    }
                }
            }
        }
    }
}

/// A number of f32 that is not above.
fn below(number: f64) -> f32 {
    (number as f32).next_down()
}

/// A number of f32 that is not below.
fn above(number: f64) -> f32 {
    (number as f32).next_up()
}
