//! The error on held-out ratings after each iteration of a fit.

use super::{AlsModel, Control, Csr};
use crate::chunks;
use crate::metrics::RatingErrors;
use std::ops::Range;

/// The most ratings that are looked at after an iteration: four digits of the error need no more.
const RATINGS_MAX: usize = 1_000_000;

/// Held-out ratings of explicit feedback, to see how well a model predicts them while it is trained.
#[derive(Debug, Clone)]
pub struct HeldOut {
    /// User, item, rating.
    ratings: Vec<(u32, u32, f32)>,
}

impl HeldOut {
    /// The ratings of `eval` whose user and item have a rating in `train` too: of others a model knows nothing. The
    /// matrices are of the same shape.
    ///
    /// Of more than a million ratings every second (third, ..) one in the order (user, item) is taken, so that a
    /// million at most are left.
    ///
    /// # Cost
    /// O(ratings) time; 12 bytes per rating that is taken.
    pub fn new(train: &Csr, eval: &Csr) -> Self {
        Self::at_most(RATINGS_MAX, train, eval)
    }

    fn at_most(n_max: usize, train: &Csr, eval: &Csr) -> Self {
        let mut item_known = vec![false; train.n_columns()];
        train.entries().for_each(|(_, item, _)| item_known[item as usize] = true);
        let is_known = |(user, item, _): &(u32, u32, f32)| train.row_len(*user as usize) > 0 && item_known[*item as usize];
        let n_known = eval.entries().filter(is_known).count();
        let step = n_known.div_ceil(n_max).max(1);
        Self { ratings: eval.entries().filter(is_known).step_by(step).collect() }
    }

    /// The root of the mean squared error of the predicted ratings; `None` without ratings, and when it was cancelled.
    ///
    /// The same bits on any number of threads. `control.progress` is not called.
    ///
    /// # Cost
    /// O(ratings·rank): a rank-th part of what the same ratings take in training.
    pub fn rmse(&self, model: &AlsModel, control: &Control<'_>) -> Option<f64> {
        let step = |errors: &mut RatingErrors, places: Range<usize>| {
            for (user, item, rating) in &self.ratings[places] {
                errors.add(f64::from(model.predict(*user, *item)), f64::from(*rating));
            }
        };
        let merge = |errors: &mut RatingErrors, later: RatingErrors| errors.merge(&later);
        chunks::fold(self.ratings.len(), 1, control, RatingErrors::default, step, merge).ok()?.rmse()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AlsParams, Bias, Factors, train, train_from};
    use super::*;
    use crate::random::Stream;
    use std::num::NonZeroUsize;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    static NO_CANCEL: AtomicBool = AtomicBool::new(false);

    fn control(threads: usize) -> Control<'static> {
        Control { threads: NonZeroUsize::new(threads).unwrap(), cancel: &NO_CANCEL, progress: &|_| {} }
    }

    fn csr(n_rows: usize, n_columns: usize, ratings: &[(u32, u32, f32)]) -> Csr {
        let users: Vec<u32> = ratings.iter().map(|rating| rating.0).collect();
        let items: Vec<u32> = ratings.iter().map(|rating| rating.1).collect();
        let values: Vec<f32> = ratings.iter().map(|rating| rating.2).collect();
        Csr::new(n_rows, n_columns, &users, &items, &values).unwrap()
    }

    /// 300 users and 100 items, every third pair rated.
    fn ratings() -> Csr {
        let mut stream = Stream::new(5, 2);
        let pairs = (0..300u32).flat_map(|user| (0..100u32).map(move |item| (user, item))).filter(|(user, item)| (user + item) % 3 == 0);
        let rated: Vec<(u32, u32, f32)> =
            pairs.map(|(user, item)| (user, item, (1.0 + f64::from((user * 7 + item * 5) % 4) + stream.uniform()) as f32)).collect();
        csr(300, 100, &rated)
    }

    #[test]
    fn what_training_does_not_know_is_left_out() {
        // Neither user 2 nor item 2 has a rating to train on.
        let train = csr(3, 3, &[(0, 0, 1.0), (1, 1, 1.0)]);
        let held_out = HeldOut::new(&train, &csr(3, 3, &[(0, 1, 5.0), (0, 2, 5.0), (2, 1, 5.0), (1, 0, 1.0)]));
        assert_eq!(held_out.ratings, [(0, 1, 5.0), (1, 0, 1.0)]);
        let model = AlsModel::new(Factors::from_vec(1, vec![1.0, 2.0, 9.0]), Factors::from_vec(1, vec![1.0, 2.0, 9.0]));
        // 2 for 5, and 2 for 1.
        assert_eq!(held_out.rmse(&model, &control(1)), Some(5f64.sqrt()));
        assert_eq!(HeldOut::new(&train, &csr(3, 3, &[(2, 2, 5.0)])).rmse(&model, &control(1)), None);
    }

    #[test]
    fn of_too_many_ratings_evenly_spaced_ones_are_taken() {
        let ratings = ratings();
        let n = ratings.n_ratings();
        assert_eq!(HeldOut::at_most(n, &ratings, &ratings).ratings.len(), n);
        let sample = HeldOut::at_most(n - 1, &ratings, &ratings).ratings;
        assert_eq!(sample, ratings.entries().step_by(2).collect::<Vec<_>>());
        assert_eq!(HeldOut::at_most(n / 4, &ratings, &ratings).ratings.len(), n.div_ceil(4));
    }

    #[test]
    fn looking_changes_no_bit_and_neither_do_threads() {
        let split = crate::split::random(&ratings(), 0.5, 1).unwrap();
        let held_out = HeldOut::new(&split.train, &split.eval);
        for bias in [Bias::None, Bias::Static { damping: 5.0 }, Bias::Learned] {
            let params = AlsParams { rank: 5, bias, max_iterations: 4, ..Default::default() };
            let fit = |threads: usize| {
                let seen = Mutex::new(Vec::new());
                let watch = |model: &AlsModel| seen.lock().unwrap().push(held_out.rmse(model, &control(threads)).unwrap());
                let model = train_from(&split.train, &params, &control(threads), None, Some(&watch)).unwrap();
                (model, seen.into_inner().unwrap())
            };
            let (model, seen) = fit(1);
            assert_eq!(model, train(&split.train, &params, &control(1)).unwrap(), "{bias:?}");
            assert_eq!(fit(4), (model.clone(), seen.clone()), "{bias:?}");
            assert_eq!(seen.len(), 4);
            // What is seen last is the error of the model that comes out.
            let errors = split.eval.entries().map(|(user, item, rating)| f64::from(model.predict(user, item)) - f64::from(rating));
            let expected = (errors.map(|error| error * error).sum::<f64>() / split.eval.n_ratings() as f64).sqrt();
            assert!((seen[3] - expected).abs() < 1e-9, "{bias:?}: {} for {expected}", seen[3]);
        }
    }

    #[test]
    fn a_cancelled_error_is_none() {
        let (ratings, cancel) = (ratings(), AtomicBool::new(true));
        let model = AlsModel::new(Factors::zeros(300, 2), Factors::zeros(100, 2));
        assert_eq!(HeldOut::new(&ratings, &ratings).rmse(&model, &Control { cancel: &cancel, ..control(1) }), None);
    }
}
