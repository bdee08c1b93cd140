//! Held-out rows: a part on which a model is scored, and the rest to train on.
//!
//! | | ratings ([`Csr`](crate::als::Csr)) | rows of a table |
//! |---|---|---|
//! | at random | [`random`], each user's share [`random_per_user`] | [`rows`], each class's share [`stratified`] |
//! | by time | [`sequential`] | [`sequential_rows`] |
//! | the caller's | [`custom`] | [`custom_rows`] |
//! | k-fold | [`k_folds`] | [`row_folds`], [`stratified_folds`] |
//!
//! A row's part depends on the seed and its place only. The place of a rating is that in the order (user, item,
//! value), so the order in which ratings arrived does not matter; [`Arrivals`] leads from one to the other.

mod arrivals; // from the order of arrival to that of the matrix
mod ratings; //  splits of ratings
mod table; //    splits of rows

pub use arrivals::Arrivals;
pub use ratings::{Split, custom, k_folds, random, random_per_user, sequential};
pub use table::{RowSplit, custom_rows, row_folds, rows, sequential_rows, stratified, stratified_folds};

use crate::random::Stream;

/// Keeps the streams of splits apart from those that initialise factors under the same seed.
const PURPOSE: u64 = 0x5EED_0051_A7E5_1717;

/// What is said of a fraction that is none.
const FRACTION: &str = "between 0 and 1, both excluded";

fn is_fraction(fraction: f64) -> bool {
    fraction > 0.0 && fraction < 1.0
}

/// The number of rows to hold out of `n`: the nearest to the fraction that leaves a row to train on.
fn n_held_out(n: usize, fraction: f64) -> usize {
    ((n as f64 * fraction).round() as usize).min(n.saturating_sub(1))
}

/// The numbers below `n` in a random order (Fisher and Yates). `n` is at most 2^32.
fn shuffled(n: usize, seed: u64, place: u64) -> Vec<u32> {
    let mut stream = Stream::new(seed ^ PURPOSE, place);
    let mut order: Vec<u32> = (0..n).map(|number| number as u32).collect();
    for last in (1..n).rev() {
        order.swap(last, below(&mut stream, last + 1));
    }
    order
}

/// A random number below `n`, from 1 to 2^32. The high half of the product is biased by at most 2^-32.
fn below(stream: &mut Stream, n: usize) -> usize {
    ((u128::from(stream.next_u64()) * n as u128) >> 64) as usize
}

/// The fold of each of `n` rows, from 0; folds differ by at most one row in size.
fn random_folds(n: usize, k: usize, seed: u64) -> Vec<u32> {
    let mut folds = vec![0; n];
    for (place, row) in shuffled(n, seed, u64::MAX).into_iter().enumerate() {
        folds[row as usize] = (place % k) as u32;
    }
    folds
}
