//! Splits of ratings.

use super::{FRACTION, PURPOSE, is_fraction, n_held_out, random_folds};
use crate::als::{AlsError, Csr};
use crate::random::Stream;

/// Ratings in two parts of the same shape.
#[derive(Debug, Clone)]
pub struct Split {
    pub train: Csr,
    pub eval: Csr,
}

impl Split {
    /// Holds out the places for which `is_eval` is true.
    fn of_places(ratings: &Csr, is_eval: impl Fn(usize) -> bool) -> Self {
        Self { train: ratings.filter(|place| !is_eval(place)), eval: ratings.filter(is_eval) }
    }
}

/// Splits ratings at random: each goes to `eval` with probability `fraction`.
///
/// The choice depends on the seed and the place of the rating in the order (row, column, value), so the
/// order in which ratings arrived does not matter.
///
/// # Errors
/// [`AlsError::Parameter`] when `fraction` is not between 0 and 1.
pub fn random(ratings: &Csr, fraction: f64, seed: u64) -> Result<Split, AlsError> {
    check(fraction)?;
    Ok(Split::of_places(ratings, |place| Stream::new(seed ^ PURPOSE, place as u64).uniform() < fraction))
}

/// Splits the ratings of each row (a user) at random: the share that is nearest to `fraction`, but one rating is always
/// left to train on, so that every user keeps a model. A user with one rating has none in `eval`.
///
/// The choice depends on the seed, the number of the user and how many ratings he has.
///
/// # Errors
/// [`AlsError::Parameter`] when `fraction` is not between 0 and 1.
pub fn random_per_user(ratings: &Csr, fraction: f64, seed: u64) -> Result<Split, AlsError> {
    check(fraction)?;
    let mut is_eval = vec![false; ratings.n_ratings()];
    let mut start = 0;
    let mut drawn: Vec<(u64, usize)> = Vec::new();
    for row in 0..ratings.n_rows() {
        let end = start + ratings.row_len(row);
        let n_eval = n_held_out(end - start, fraction);
        if n_eval > 0 {
            let mut stream = Stream::new(seed ^ PURPOSE, row as u64);
            drawn.clear();
            drawn.extend((start..end).map(|place| (stream.next_u64(), place)));
            drawn.select_nth_unstable(n_eval - 1);
            for (_, place) in &drawn[..n_eval] {
                is_eval[*place] = true;
            }
        }
        start = end;
    }
    Ok(Split::of_places(ratings, |place| is_eval[place]))
}

/// Holds out the newest ratings of all: the share that is nearest to `fraction`, at least one is left to train on.
///
/// `times` has the time of the rating at each place ([`Arrivals`](super::Arrivals)), in any type with an order. Of
/// equal times the later places are newer.
///
/// # Errors
/// [`AlsError::Parameter`] when `fraction` is not between 0 and 1, [`AlsError::Shape`] when there are not as many times
/// as ratings.
pub fn sequential<T: Ord>(ratings: &Csr, times: &[T], fraction: f64) -> Result<Split, AlsError> {
    check(fraction)?;
    if times.len() != ratings.n_ratings() {
        return Err(AlsError::Shape { what: "times and ratings differ in number" });
    }
    let is_eval = super::table::newest(times, fraction);
    Ok(Split::of_places(ratings, |place| is_eval[place]))
}

/// Holds out the ratings that the caller says, by place ([`Arrivals`](super::Arrivals)).
///
/// # Errors
/// [`AlsError::Shape`] when there are not as many marks as ratings.
pub fn custom(ratings: &Csr, is_eval: &[bool]) -> Result<Split, AlsError> {
    if is_eval.len() != ratings.n_ratings() {
        return Err(AlsError::Shape { what: "marks of the split and ratings differ in number" });
    }
    Ok(Split::of_places(ratings, |place| is_eval[place]))
}

/// Returns `k` splits at random, made one at a time: each rating is in `eval` of exactly one. Their sizes differ by at
/// most one rating.
///
/// # Errors
/// [`AlsError::Parameter`] when `k` is below 2 or above the number of ratings, [`AlsError::Shape`] for more ratings
/// than a `u32` can number.
pub fn k_folds(ratings: &Csr, k: usize, seed: u64) -> Result<impl ExactSizeIterator<Item = Split>, AlsError> {
    if ratings.n_ratings() > u32::MAX as usize {
        return Err(AlsError::Shape { what: "more than 4,294,967,295 ratings" });
    }
    if k < 2 || k > ratings.n_ratings() {
        return Err(AlsError::Parameter { name: "k", value: k.to_string(), range: "from 2 to the number of ratings" });
    }
    let folds = random_folds(ratings.n_ratings(), k, seed);
    // An `as usize` cannot cut: a fold is below k.
    Ok((0..k).map(move |fold| Split::of_places(ratings, |place| folds[place] as usize == fold)))
}

fn check(fraction: f64) -> Result<(), AlsError> {
    if is_fraction(fraction) {
        return Ok(());
    }
    Err(AlsError::Parameter { name: "fraction", value: fraction.to_string(), range: FRACTION })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::Arrivals;

    /// Users 0, 1, 2, … with as many ratings as their number; the value of a rating is its place.
    fn triangle(n_users: usize) -> Csr {
        let pairs: Vec<(u32, u32)> = (0..n_users as u32).flat_map(|user| (0..user).map(move |item| (user, item))).collect();
        let (users, items): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
        let values: Vec<f32> = (0..users.len()).map(|place| place as f32).collect();
        Csr::new(n_users, n_users, &users, &items, &values).unwrap()
    }

    #[track_caller]
    fn assert_whole(split: &Split, ratings: &Csr) {
        assert_eq!((split.train.n_rows(), split.eval.n_columns()), (ratings.n_rows(), ratings.n_columns()));
        let mut together: Vec<f32> = split.train.values().iter().chain(split.eval.values()).copied().collect();
        together.sort_by(f32::total_cmp);
        assert_eq!(together, ratings.values());
    }

    #[test]
    fn the_fraction_must_be_a_fraction() {
        let ratings = triangle(3);
        for fraction in [0.0, 1.0, -0.1, 2.0, f64::NAN] {
            assert!(matches!(random(&ratings, fraction, 1), Err(AlsError::Parameter { .. })), "{fraction}");
            assert!(matches!(random_per_user(&ratings, fraction, 1), Err(AlsError::Parameter { .. })), "{fraction}");
            assert!(matches!(sequential(&ratings, &[1, 2, 3], fraction), Err(AlsError::Parameter { .. })), "{fraction}");
        }
    }

    #[test]
    fn other_mistakes_are_errors_too() {
        let ratings = triangle(3);
        assert!(matches!(sequential(&ratings, &[1, 2], 0.5), Err(AlsError::Shape { .. })));
        assert!(matches!(custom(&ratings, &[true]), Err(AlsError::Shape { .. })));
        for k in [0, 1, 4] {
            assert!(matches!(k_folds(&ratings, k, 1).map(|_| ()), Err(AlsError::Parameter { .. })), "{k}");
        }
    }

    #[test]
    fn every_rating_is_in_one_part_and_the_parts_have_their_size() {
        let ratings = triangle(200);
        let split = random(&ratings, 0.2, 5).unwrap();
        let share = split.eval.n_ratings() as f64 / ratings.n_ratings() as f64;
        assert!((share - 0.2).abs() < 0.01, "{share}");
        assert_whole(&split, &ratings);
        assert_ne!(split.eval, random(&ratings, 0.2, 6).unwrap().eval);
        assert_eq!(split.eval, random(&ratings, 0.2, 5).unwrap().eval);
    }

    #[test]
    fn every_user_gives_his_share_and_keeps_a_rating() {
        let ratings = triangle(100);
        for fraction in [0.01, 0.2, 0.5, 0.99] {
            let split = random_per_user(&ratings, fraction, 5).unwrap();
            assert_whole(&split, &ratings);
            for user in 0..100 {
                let n = ratings.row_len(user);
                let expected = ((n as f64 * fraction).round() as usize).min(n.saturating_sub(1));
                assert_eq!(split.eval.row_len(user), expected, "user {user}, fraction {fraction}");
            }
            assert_eq!(split.eval, random_per_user(&ratings, fraction, 5).unwrap().eval);
        }
        assert_ne!(random_per_user(&ratings, 0.2, 5).unwrap().eval, random_per_user(&ratings, 0.2, 6).unwrap().eval);
        // No place of a row is favoured.
        let mut counts = [0; 10];
        for seed in 0..2000 {
            let split = random_per_user(&triangle(11), 0.2, seed).unwrap();
            let (items, _) = split.eval.row(10);
            items.iter().for_each(|item| counts[*item as usize] += 1);
        }
        assert!(counts.iter().all(|count| (320..480).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_a_user_gives_depends_on_his_ratings_only() {
        // Under the same number, whatever the order of arrival and whatever other users have.
        let pairs: Vec<(u32, u32)> = (0..40).flat_map(|user| (0..user % 9).map(move |item| (user, (item * 7 + user) % 30))).collect();
        let matrix = |pairs: &[(u32, u32)]| {
            let (users, items): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
            let values: Vec<f32> = pairs.iter().map(|(user, item)| (user * 100 + item) as f32).collect();
            Csr::new(40, 30, &users, &items, &values).unwrap()
        };
        let split = random_per_user(&matrix(&pairs), 0.4, 3).unwrap();
        assert!(split.eval.n_ratings() > 0);
        let reversed: Vec<(u32, u32)> = pairs.iter().rev().copied().collect();
        let again = random_per_user(&matrix(&reversed), 0.4, 3).unwrap();
        assert_eq!((&again.train, &again.eval), (&split.train, &split.eval));
        let only: Vec<(u32, u32)> = pairs.iter().copied().filter(|(user, _)| *user == 17).collect();
        assert_eq!(random_per_user(&matrix(&only), 0.4, 3).unwrap().eval.row(17), split.eval.row(17));
    }

    #[test]
    fn a_user_with_one_rating_keeps_it() {
        let ratings = Csr::new(3, 2, &[0, 1, 2, 2], &[0, 1, 0, 1], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        for seed in 0..20 {
            let split = random_per_user(&ratings, 0.99, seed).unwrap();
            let held_out: Vec<usize> = (0..3).map(|user| split.eval.row_len(user)).collect();
            assert_eq!(held_out, [0, 0, 1], "seed {seed}");
            assert_whole(&split, &ratings);
        }
        // Nobody has enough of them.
        assert_eq!(random_per_user(&ratings, 0.2, 1).unwrap().eval.n_ratings(), 0);
    }

    #[test]
    fn the_newest_ratings_are_held_out_whatever_the_order_of_arrival() {
        let (users, items) = ([1u32, 0, 1, 0, 0], [0u32, 1, 1, 0, 2]);
        let (values, times) = ([10.0f32, 11.0, 12.0, 13.0, 14.0], [5i64, 9, 7, 7, 1]);
        for rotation in 0..5 {
            let rotated = |place: usize| (place + rotation) % 5;
            let users: Vec<u32> = (0..5).map(|place| users[rotated(place)]).collect();
            let items: Vec<u32> = (0..5).map(|place| items[rotated(place)]).collect();
            let values: Vec<f32> = (0..5).map(|place| values[rotated(place)]).collect();
            let times: Vec<i64> = (0..5).map(|place| times[rotated(place)]).collect();
            let ratings = Csr::new(2, 3, &users, &items, &values).unwrap();
            let times = Arrivals::new(2, 3, &users, &items, &values).unwrap().at_places(&times).unwrap();
            // Of the two at 7, (user 1, item 1) is behind (user 0, item 0).
            let split = sequential(&ratings, &times, 0.4).unwrap();
            assert_eq!(split.eval.values(), [11.0, 12.0]);
            assert_eq!(split.train.values(), [13.0, 14.0, 10.0]);
            let is_eval: Vec<bool> = times.iter().map(|time| *time < 6).collect();
            assert_eq!(custom(&ratings, &is_eval).unwrap().eval.values(), [14.0, 10.0]);
        }
        assert_eq!(sequential(&triangle(3), &[1, 1, 1], 0.99).unwrap().train.n_ratings(), 1);
    }

    #[test]
    fn folds_hold_out_every_rating_once() {
        let ratings = triangle(40);
        let folds: Vec<Split> = k_folds(&ratings, 7, 3).unwrap().collect();
        assert_eq!(folds.len(), 7);
        let mut held_out: Vec<f32> = folds.iter().flat_map(|split| split.eval.values().to_vec()).collect();
        held_out.sort_by(f32::total_cmp);
        assert_eq!(held_out, ratings.values());
        for split in &folds {
            assert_whole(split, &ratings);
            assert!((ratings.n_ratings() / 7..=ratings.n_ratings() / 7 + 1).contains(&split.eval.n_ratings()));
        }
        let first = |seed| k_folds(&ratings, 7, seed).unwrap().next().unwrap().eval;
        assert_eq!(folds[0].eval, first(3));
        assert_ne!(folds[0].eval, first(4));
    }
}
