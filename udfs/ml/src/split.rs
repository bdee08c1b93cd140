//! Held-out rows: a random part of the ratings on which a model is scored, and the rest to train on.

use crate::als::{AlsError, Csr};
use crate::random::Stream;

/// Ratings in two parts of the same shape.
#[derive(Debug, Clone)]
pub struct Split {
    pub train: Csr,
    pub eval: Csr,
}

/// Keeps the stream of the split apart from the one that initialises factors under the same seed.
const PURPOSE: u64 = 0x5EED_0051_A7E5_1717;

/// Splits ratings at random: each goes to `eval` with probability `fraction`.
///
/// The choice depends on the seed and the place of the rating in the order (row, column, value), so the
/// order in which ratings arrived does not matter.
///
/// # Errors
/// [`AlsError::Parameter`] when `fraction` is not between 0 and 1.
pub fn random(ratings: &Csr, fraction: f64, seed: u64) -> Result<Split, AlsError> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(AlsError::Parameter { name: "fraction", value: fraction.to_string(), range: "between 0 and 1, both excluded" });
    }
    let is_eval = |place: usize| Stream::new(seed ^ PURPOSE, place as u64).uniform() < fraction;
    Ok(Split { train: ratings.filter(|place| !is_eval(place)), eval: ratings.filter(is_eval) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fraction_must_be_a_fraction() {
        let ratings = Csr::new(1, 1, &[0], &[0], &[1.0]).unwrap();
        for fraction in [0.0, 1.0, -0.1, 2.0, f64::NAN] {
            assert!(matches!(random(&ratings, fraction, 1), Err(AlsError::Parameter { .. })), "{fraction}");
        }
    }

    #[test]
    fn every_rating_is_in_one_part_and_the_parts_have_their_size() {
        let (n_users, n_items) = (200u32, 100u32);
        let users: Vec<u32> = (0..n_users * n_items).map(|place| place / n_items).collect();
        let items: Vec<u32> = (0..n_users * n_items).map(|place| place % n_items).collect();
        let values: Vec<f32> = (0..n_users * n_items).map(|place| place as f32).collect();
        let ratings = Csr::new(n_users as usize, n_items as usize, &users, &items, &values).unwrap();
        let split = random(&ratings, 0.2, 5).unwrap();
        let share = split.eval.n_ratings() as f64 / ratings.n_ratings() as f64;
        assert!((share - 0.2).abs() < 0.01, "{share}");
        let mut together: Vec<f32> = split.train.values().iter().chain(split.eval.values()).copied().collect();
        together.sort_by(f32::total_cmp);
        assert_eq!(together, values);
        assert_ne!(split.eval, random(&ratings, 0.2, 6).unwrap().eval);
        assert_eq!(split.eval, random(&ratings, 0.2, 5).unwrap().eval);
    }
}
