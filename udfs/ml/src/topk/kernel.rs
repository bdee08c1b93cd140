//! The scores of a block of 64 items for one user or a tile of users: the SIMD of `topk`.
//!
//! The score of an item is `fma(u₍r₋₁₎, v₍r₋₁₎, … fma(u₁, v₁, fma(u₀, v₀, bias)))` in f32: one chain of additions in
//! the order of the factors. Items lie in lanes, so every path adds in this order, and a pair of user and item
//! has the same bits whether it is scored alone, in a tile, or in any lane. AVX-512, AVX2+FMA and AArch64 have
//! the same bits as each other; only an x86 without FMA rounds after the multiplication too.
//!
//! A coarse score is a sum of products of integers, 8 bits of an item with 16 of a user, which is exact on every path.
#![allow(unsafe_code)]

use super::coarse::Pairs;

/// Items in a block: 4 registers of AVX-512, and the bits of a word.
pub(crate) const LANES: usize = 64;

/// Users in a tile: with 4 registers of items 24 accumulators of AVX-512, whose latency is hidden by 8.
pub(crate) const TILE: usize = 6;

/// One number of each item of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub [f32; LANES]);

/// The numbers of no item.
pub(crate) static NO_LANES: Lanes = Lanes([0.0; LANES]);

/// The scores of a block for `USERS` users.
#[derive(Debug, Clone)]
pub(crate) struct Tile<const USERS: usize> {
    pub scores: [Lanes; USERS],
    /// Bit `l` says that the score of lane `l` is at least the user's threshold; NaN is not.
    pub hits: [u64; USERS],
}

impl<const USERS: usize> Tile<USERS> {
    /// To be written.
    pub fn new() -> Self {
        Self { scores: [NO_LANES; USERS], hits: [0; USERS] }
    }
}

/// A set of instructions that this machine has: only [`Isa::best`] makes one (and, for tests, `all`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Isa(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Isa {
    /// The fastest one.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("fma") {
                return Self(Kind::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self(Kind::Avx2);
            }
        }
        Self(Kind::Portable)
    }

    /// All that this machine has, the fastest first; the portable one is last.
    #[cfg(test)]
    pub fn all() -> Vec<Self> {
        let best = Self::best();
        #[cfg(target_arch = "x86_64")]
        let slower = match best.0 {
            Kind::Avx512 => vec![Self(Kind::Avx2), Self(Kind::Portable)],
            Kind::Avx2 => vec![Self(Kind::Portable)],
            Kind::Portable => vec![],
        };
        #[cfg(not(target_arch = "x86_64"))]
        let slower = vec![];
        std::iter::once(best).chain(slower).collect()
    }

    /// Whether a multiplication and an addition round once.
    #[cfg(test)]
    pub fn is_fused(self) -> bool {
        self.0 != Kind::Portable || PORTABLE_IS_FUSED
    }

    /// Scores a block (a `Lanes` per factor) for a tile of users (`USERS` numbers per factor).
    #[inline]
    pub fn score<const USERS: usize>(
        self,
        block: &[Lanes],
        biases: &Lanes,
        users: &[[f32; USERS]],
        thresholds: &[f32; USERS],
        tile: &mut Tile<USERS>,
    ) {
        debug_assert_eq!(block.len(), users.len());
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this `Isa` exists only where AVX-512F was detected.
            Kind::Avx512 => unsafe { x86::score_avx512(block, biases, users, thresholds, tile) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this `Isa` exists only where AVX2 and FMA were detected. One user needs more
            // accumulators per pass than a tile, which has them in its users.
            Kind::Avx2 => unsafe {
                if USERS == 1 {
                    x86::score_avx2::<USERS, 8>(block, biases, users, thresholds, tile);
                } else {
                    x86::score_avx2::<USERS, 2>(block, biases, users, thresholds, tile);
                }
            },
            Kind::Portable => score_portable(block, biases, users, thresholds, tile),
        }
    }

    /// Scores one lane of a block: the bits of [`Self::score`].
    pub fn score_lane(self, block: &[Lanes], lane: usize, bias: f32, user: &[f32]) -> f32 {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: these exist only where FMA was detected.
            Kind::Avx512 | Kind::Avx2 => unsafe { x86::score_lane(block, lane, bias, user) },
            Kind::Portable => block.iter().zip(user).fold(bias, |sum, (row, user)| multiply_add(row.0[lane], *user, sum)),
        }
    }

    /// Scores a block of coarse factors for a coarse user: `scale`·sum + bias. The sums must fit an `i32`.
    #[inline]
    pub fn score_coarse(self, block: &[Pairs], biases: &Lanes, user: &[[i16; 2]], scale: f32, threshold: f32, tile: &mut Tile<1>) {
        debug_assert_eq!(block.len(), user.len());
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this `Isa` exists only where AVX-512F and AVX-512BW were detected.
            Kind::Avx512 => unsafe { x86::score_coarse_avx512(block, biases, user, scale, threshold, tile) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this `Isa` exists only where AVX2 and FMA were detected.
            Kind::Avx2 => unsafe { x86::score_coarse_avx2(block, biases, user, scale, threshold, tile) },
            Kind::Portable => score_coarse_portable(block, biases, user, scale, threshold, tile),
        }
    }

    /// How many scores are greater than `score`, and how many are equal to it. NaN is neither.
    pub fn count_greater_and_equal(self, scores: &[f32], score: f32) -> (usize, usize) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this `Isa` exists only where AVX-512F was detected.
            Kind::Avx512 => unsafe { x86::count_avx512(scores, score) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this `Isa` exists only where AVX2 was detected.
            Kind::Avx2 => unsafe { x86::count_avx2(scores, score) },
            Kind::Portable => count(scores, score),
        }
    }
}

/// On AArch64 a fused multiplication is one instruction; elsewhere it may be a slow call.
const PORTABLE_IS_FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

#[inline(always)]
fn multiply_add(left: f32, right: f32, sum: f32) -> f32 {
    if PORTABLE_IS_FUSED { left.mul_add(right, sum) } else { left * right + sum }
}

/// Sixteen lanes at a time stay in the registers of any machine.
fn score_portable<const USERS: usize>(
    block: &[Lanes],
    biases: &Lanes,
    users: &[[f32; USERS]],
    thresholds: &[f32; USERS],
    tile: &mut Tile<USERS>,
) {
    const PART: usize = 16;
    for user in 0..USERS {
        let mut hits = 0u64;
        for start in (0..LANES).step_by(PART) {
            let mut sums = [0f32; PART];
            sums.copy_from_slice(&biases.0[start..start + PART]);
            for (row, factors) in block.iter().zip(users) {
                for (sum, item) in sums.iter_mut().zip(&row.0[start..start + PART]) {
                    *sum = multiply_add(*item, factors[user], *sum);
                }
            }
            for (lane, sum) in sums.iter().enumerate() {
                hits |= u64::from(*sum >= thresholds[user]) << (start + lane);
            }
            tile.scores[user].0[start..start + PART].copy_from_slice(&sums);
        }
        tile.hits[user] = hits;
    }
}

/// Eight lanes at a time, in the registers of any machine.
fn score_coarse_portable(block: &[Pairs], biases: &Lanes, user: &[[i16; 2]], scale: f32, threshold: f32, tile: &mut Tile<1>) {
    const PART: usize = 8;
    tile.hits[0] = 0;
    for start in (0..LANES).step_by(PART) {
        let mut sums = [0i32; PART];
        for (row, [left, right]) in block.iter().zip(user) {
            for (sum, item) in sums.iter_mut().zip(&row.0[start..start + PART]) {
                *sum += i32::from(item[0]) * i32::from(*left) + i32::from(item[1]) * i32::from(*right);
            }
        }
        for (lane, sum) in (start..).zip(sums) {
            let score = multiply_add(sum as f32, scale, biases.0[lane]);
            tile.scores[0].0[lane] = score;
            tile.hits[0] |= u64::from(score >= threshold) << lane;
        }
    }
}

#[inline(always)]
fn count(scores: &[f32], score: f32) -> (usize, usize) {
    let (mut greater, mut equal) = (0, 0);
    // Counted in 32 bits, which fill the lanes as scores do.
    for part in scores.chunks(1 << 20) {
        let (mut greater_in_part, mut equal_in_part) = (0u32, 0u32);
        for other in part {
            greater_in_part += u32::from(*other > score);
            equal_in_part += u32::from(*other == score);
        }
        greater += greater_in_part as usize;
        equal += equal_in_part as usize;
    }
    (greater, equal)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{LANES, Lanes, Pairs, Tile};
    use std::arch::x86_64::*;

    /// The tile's scores, sixteen items at a time.
    #[target_feature(enable = "avx512f")]
    pub fn score_avx512<const USERS: usize>(
        block: &[Lanes],
        biases: &Lanes,
        users: &[[f32; USERS]],
        thresholds: &[f32; USERS],
        tile: &mut Tile<USERS>,
    ) {
        const WIDTH: usize = 16;
        const PARTS: usize = LANES / WIDTH;
        let mut sums = [[_mm512_setzero_ps(); PARTS]; USERS];
        for part in 0..PARTS {
            // SAFETY: 16 floats at a multiple of 16 below 64, in a `Lanes`, which is aligned to 64 bytes.
            let biases = unsafe { _mm512_load_ps(biases.0.as_ptr().add(part * WIDTH)) };
            for sums in &mut sums {
                sums[part] = biases;
            }
        }
        for (row, factors) in block.iter().zip(users) {
            let mut items = [_mm512_setzero_ps(); PARTS];
            for (part, items) in items.iter_mut().enumerate() {
                // SAFETY: as above.
                *items = unsafe { _mm512_load_ps(row.0.as_ptr().add(part * WIDTH)) };
            }
            for user in 0..USERS {
                let factor = _mm512_set1_ps(factors[user]);
                for part in 0..PARTS {
                    sums[user][part] = _mm512_fmadd_ps(items[part], factor, sums[user][part]);
                }
            }
        }
        for user in 0..USERS {
            let threshold = _mm512_set1_ps(thresholds[user]);
            let mut hits = 0;
            for (part, sums) in sums[user].into_iter().enumerate() {
                hits |= u64::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(sums, threshold)) << (part * WIDTH);
                // SAFETY: as above; the place is ours to write.
                unsafe { _mm512_store_ps(tile.scores[user].0.as_mut_ptr().add(part * WIDTH), sums) };
            }
            tile.hits[user] = hits;
        }
    }

    /// `PARTS` registers of items per pass: `USERS`·`PARTS` accumulators.
    #[target_feature(enable = "avx2,fma")]
    pub fn score_avx2<const USERS: usize, const PARTS: usize>(
        block: &[Lanes],
        biases: &Lanes,
        users: &[[f32; USERS]],
        thresholds: &[f32; USERS],
        tile: &mut Tile<USERS>,
    ) {
        const WIDTH: usize = 8;
        const { assert!(LANES.is_multiple_of(WIDTH * PARTS)) };
        let mut hits = [0u64; USERS];
        for start in (0..LANES).step_by(WIDTH * PARTS) {
            let mut sums = [[_mm256_setzero_ps(); PARTS]; USERS];
            for part in 0..PARTS {
                // SAFETY: 8 floats at a multiple of 8 below 64, in a `Lanes`, which is aligned to 64 bytes.
                let biases = unsafe { _mm256_load_ps(biases.0.as_ptr().add(start + part * WIDTH)) };
                for sums in &mut sums {
                    sums[part] = biases;
                }
            }
            for (row, factors) in block.iter().zip(users) {
                let mut items = [_mm256_setzero_ps(); PARTS];
                for (part, items) in items.iter_mut().enumerate() {
                    // SAFETY: as above.
                    *items = unsafe { _mm256_load_ps(row.0.as_ptr().add(start + part * WIDTH)) };
                }
                for user in 0..USERS {
                    let factor = _mm256_set1_ps(factors[user]);
                    for part in 0..PARTS {
                        sums[user][part] = _mm256_fmadd_ps(items[part], factor, sums[user][part]);
                    }
                }
            }
            for user in 0..USERS {
                let threshold = _mm256_set1_ps(thresholds[user]);
                for (part, sums) in sums[user].into_iter().enumerate() {
                    let is_hit = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(sums, threshold));
                    hits[user] |= u64::from(is_hit as u32) << (start + part * WIDTH);
                    // SAFETY: as above; the place is ours to write.
                    unsafe { _mm256_store_ps(tile.scores[user].0.as_mut_ptr().add(start + part * WIDTH), sums) };
                }
            }
        }
        tile.hits = hits;
    }

    /// Both factors of a pair, for every lane.
    fn both(pair: [i16; 2]) -> i32 {
        i32::from(pair[0]) & 0xffff | i32::from(pair[1]) << 16
    }

    /// The coarse scores, sixteen items at a time.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub fn score_coarse_avx512(block: &[Pairs], biases: &Lanes, user: &[[i16; 2]], scale: f32, threshold: f32, tile: &mut Tile<1>) {
        const WIDTH: usize = 16;
        const PARTS: usize = LANES / WIDTH;
        let mut sums = [_mm512_setzero_si512(); PARTS];
        for (row, pair) in block.iter().zip(user) {
            let factors = _mm512_set1_epi32(both(*pair));
            for (part, sums) in sums.iter_mut().enumerate() {
                // SAFETY: 16 pairs of bytes at a multiple of 16 below 64, in a `Pairs`, which is aligned to 64 bytes.
                let items = unsafe { _mm256_load_si256(row.0.as_ptr().add(part * WIDTH).cast()) };
                *sums = _mm512_add_epi32(*sums, _mm512_madd_epi16(_mm512_cvtepi8_epi16(items), factors));
            }
        }
        let (scale, threshold) = (_mm512_set1_ps(scale), _mm512_set1_ps(threshold));
        let mut hits = 0;
        for (part, sums) in sums.into_iter().enumerate() {
            // SAFETY: 16 floats at a multiple of 16 below 64, in a `Lanes`, which is aligned to 64 bytes.
            let biases = unsafe { _mm512_load_ps(biases.0.as_ptr().add(part * WIDTH)) };
            let scores = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), scale, biases);
            hits |= u64::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(scores, threshold)) << (part * WIDTH);
            // SAFETY: as above; the place is ours to write.
            unsafe { _mm512_store_ps(tile.scores[0].0.as_mut_ptr().add(part * WIDTH), scores) };
        }
        tile.hits[0] = hits;
    }

    /// The coarse scores, eight items in each of eight registers.
    #[target_feature(enable = "avx2,fma")]
    pub fn score_coarse_avx2(block: &[Pairs], biases: &Lanes, user: &[[i16; 2]], scale: f32, threshold: f32, tile: &mut Tile<1>) {
        const WIDTH: usize = 8;
        const PARTS: usize = LANES / WIDTH;
        let mut sums = [_mm256_setzero_si256(); PARTS];
        for (row, pair) in block.iter().zip(user) {
            let factors = _mm256_set1_epi32(both(*pair));
            for (part, sums) in sums.iter_mut().enumerate() {
                // SAFETY: 8 pairs of bytes at a multiple of 8 below 64, in a `Pairs`, which is aligned to 64 bytes.
                let items = unsafe { _mm_load_si128(row.0.as_ptr().add(part * WIDTH).cast()) };
                *sums = _mm256_add_epi32(*sums, _mm256_madd_epi16(_mm256_cvtepi8_epi16(items), factors));
            }
        }
        let (scale, threshold) = (_mm256_set1_ps(scale), _mm256_set1_ps(threshold));
        let mut hits = 0;
        for (part, sums) in sums.into_iter().enumerate() {
            // SAFETY: 8 floats at a multiple of 8 below 64, in a `Lanes`, which is aligned to 64 bytes.
            let biases = unsafe { _mm256_load_ps(biases.0.as_ptr().add(part * WIDTH)) };
            let scores = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), scale, biases);
            let is_hit = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(scores, threshold));
            hits |= u64::from(is_hit as u32) << (part * WIDTH);
            // SAFETY: as above; the place is ours to write.
            unsafe { _mm256_store_ps(tile.scores[0].0.as_mut_ptr().add(part * WIDTH), scores) };
        }
        tile.hits[0] = hits;
    }

    /// The score of one item of a block, with the bits that the vector kernels give it.
    #[target_feature(enable = "fma")]
    pub fn score_lane(block: &[Lanes], lane: usize, bias: f32, user: &[f32]) -> f32 {
        block.iter().zip(user).fold(bias, |sum, (row, user)| row.0[lane].mul_add(*user, sum))
    }

    /// How many scores lie above one, and how many equal it.
    #[target_feature(enable = "avx512f")]
    pub fn count_avx512(scores: &[f32], score: f32) -> (usize, usize) {
        super::count(scores, score)
    }

    /// How many scores lie above one, and how many equal it.
    #[target_feature(enable = "avx2")]
    pub fn count_avx2(scores: &[f32], score: f32) -> (usize, usize) {
        super::count(scores, score)
    }
}
