//! Every kind of model against its objective, written down plainly in f64.

use super::*;
use crate::random::Stream;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

static NO_CANCEL: AtomicBool = AtomicBool::new(false);

fn control(threads: usize) -> Control<'static> {
    Control { threads: NonZeroUsize::new(threads).unwrap(), cancel: &NO_CANCEL, progress: &|_| {} }
}

/// Ratings from 1 to 5, some items and users liked more than others; with a few duplicates.
fn ratings(n_users: usize, n_items: usize, density: f64) -> Csr {
    let mut stream = Stream::new(17, 1);
    let (mut users, mut items, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for user in 0..n_users {
        for item in 0..n_items {
            while stream.uniform() < density {
                users.push(user as u32);
                items.push(item as u32);
                let value =
                    3.0 + 0.9 * ((user * 7 % 5) as f64 - 2.0) / 2.0 + 0.9 * ((item * 3 % 7) as f64 - 3.0) / 3.0 + 0.3 * stream.gaussian();
                values.push(value as f32);
            }
        }
    }
    Csr::new(n_users, n_items, &users, &items, &values).unwrap()
}

/// As [`ratings`], some of them negative or 0.
fn preferences() -> Csr {
    let ratings = ratings(50, 40, 0.25);
    let (mut users, mut items, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (place, (user, item, value)) in ratings.entries().enumerate() {
        users.push(user);
        items.push(item);
        values.push(if place % 11 == 0 {
            -value
        } else if place % 13 == 0 {
            0.0
        } else {
            value
        });
    }
    Csr::new(50, 40, &users, &items, &values).unwrap()
}

/// Every combination that can be trained.
fn cases() -> Vec<(AlsParams, Csr)> {
    let mut cases = Vec::new();
    for lambda_scale in [LambdaScale::Rating, LambdaScale::Row] {
        let base = AlsParams { rank: 9, lambda: 0.15, lambda_scale, max_iterations: 4, ..Default::default() };
        for nonnegative in [false, true] {
            for bias in [Bias::None, Bias::Static { damping: 5.0 }, Bias::Learned] {
                cases.push((AlsParams { nonnegative, bias, ..base.clone() }, ratings(60, 40, 0.3)));
            }
            let feedback = Feedback::Implicit { alpha: 2.0 };
            cases.push((AlsParams { nonnegative, feedback, ..base.clone() }, preferences()));
        }
    }
    cases
}

/// The loss of a model: the errors of all its predictions and the regularisation.
fn loss(model: &AlsModel, ratings: &Csr, params: &AlsParams) -> f64 {
    let mut sum = 0.0;
    let product = |user: u32, item: u32| f64::from(model.predict(user, item));
    match params.feedback {
        Feedback::Explicit => {
            sum += ratings.entries().map(|(user, item, value)| (f64::from(value) - product(user, item)).powi(2)).sum::<f64>()
        }
        Feedback::Implicit { alpha } => {
            for user in 0..ratings.n_rows() as u32 {
                for item in 0..ratings.n_columns() as u32 {
                    sum += product(user, item).powi(2);
                }
            }
            for (user, item, value) in ratings.entries() {
                let confidence = alpha * f64::from(value.abs());
                let predicted = product(user, item);
                // The pair was counted as disliked with confidence 1.
                sum += if value > 0.0 {
                    confidence * predicted.powi(2) + (1.0 + confidence) * (1.0 - 2.0 * predicted)
                } else {
                    confidence * predicted.powi(2)
                };
            }
        }
    }
    let transposed = ratings.transpose();
    for (side, factors, bias) in [(ratings, &model.users, &model.user_bias), (&transposed, &model.items, &model.item_bias)] {
        for (row, factors) in factors.rows().enumerate() {
            let bias = if params.bias == Bias::Learned { f64::from(bias[row]) } else { 0.0 };
            let size = factors.iter().map(|factor| f64::from(*factor).powi(2)).sum::<f64>() + bias * bias;
            sum += if side.row_len(row) == 0 { 0.0 } else { params.lambda * params.scale(side.row(row).1) * size };
        }
    }
    sum
}

#[test]
fn the_loss_reported_is_the_objective_and_falls() {
    for (params, ratings) in cases() {
        let losses = Mutex::new(Vec::new());
        let progress = |progress: Progress| losses.lock().unwrap().push(progress.loss.unwrap());
        let model = train(&ratings, &params, &Control { progress: &progress, ..control(2) }).unwrap();
        let losses = losses.into_inner().unwrap();
        let expected = loss(&model, &ratings, &params);
        let last = losses[losses.len() - 1];
        assert!((last - expected).abs() < 1e-3 * expected, "{params:?}: {last} for {expected}");
        assert!(losses.windows(2).all(|pair| pair[1] < pair[0] * 1.00001), "{params:?}: {losses:?}");
    }
}

#[test]
fn users_are_at_the_minimum_of_the_objective() {
    for (params, ratings) in cases() {
        let model = train(&ratings, &params, &control(1)).unwrap();
        let best = loss(&model, &ratings, &params);
        for (user, place) in [(0, 0), (3, 2), (17, 8), (41, 5)] {
            for step in [-0.02, 0.02] {
                let mut moved = model.clone();
                let factor = moved.users.rows_mut().nth(user).unwrap().get_mut(place).unwrap();
                if params.nonnegative && *factor + step < 0.0 {
                    continue;
                }
                *factor += step;
                let worse = loss(&moved, &ratings, &params);
                assert!(worse > best, "{params:?}, user {user}, factor {place}, step {step}: {worse} after {best}");
            }
            if params.bias == Bias::Learned {
                for step in [-0.02, 0.02] {
                    let mut moved = model.clone();
                    moved.user_bias[user] += step;
                    assert!(loss(&moved, &ratings, &params) > best, "{params:?}, bias of user {user}");
                }
            }
        }
    }
}

#[test]
fn all_kinds_of_models_are_the_same_bits_on_any_number_of_threads() {
    for (params, ratings) in cases() {
        let one = train(&ratings, &params, &control(1)).unwrap();
        assert_eq!(train(&ratings, &params, &control(3)).unwrap(), one, "{params:?}");
    }
}

#[test]
fn conjugate_gradients_arrive_where_cholesky_does() {
    for (params, ratings) in cases().into_iter().filter(|(params, _)| !params.nonnegative) {
        let exact = AlsParams { max_iterations: 12, ..params };
        let best = loss(&train(&ratings, &exact, &control(1)).unwrap(), &ratings, &exact);
        let losses = Mutex::new(Vec::new());
        let progress = |progress: Progress| losses.lock().unwrap().push(progress.loss.unwrap());
        // With little regularisation the equations are worse conditioned, and few steps get less far.
        let three_steps = if exact.lambda_scale == LambdaScale::Rating { 0.02 } else { 0.08 };
        for (steps, tolerance) in [(3, three_steps), (10, 0.005)] {
            let params = AlsParams { solver: Solver::Cg { steps }, max_iterations: 15, ..exact.clone() };
            let model = train(&ratings, &params, &Control { progress: &progress, ..control(2) }).unwrap();
            let reached = loss(&model, &ratings, &params);
            assert!(reached < best * (1.0 + tolerance), "{params:?}: {reached}, Cholesky {best}");
            let last = *losses.lock().unwrap().last().unwrap();
            assert!((last - reached).abs() < 1e-3 * reached, "{params:?}: {last} for {reached}");
        }
    }
}

#[test]
fn conjugate_gradients_also_work_for_rows_longer_than_the_panel() {
    // 9,000 ratings of one item at a stride of 16: more than 512 KiB.
    let n = 9_000u32;
    let users: Vec<u32> = (0..n).chain(0..n).collect();
    let items: Vec<u32> = std::iter::repeat_n(0, n as usize).chain((0..n).map(|user| 1 + user % 20)).collect();
    let values: Vec<f32> = (0..2 * n).map(|place| 1.0 + (place % 5) as f32).collect();
    let ratings = Csr::new(n as usize, 21, &users, &items, &values).unwrap();
    let exact = AlsParams { rank: 4, max_iterations: 6, ..Default::default() };
    let best = loss(&train(&ratings, &exact, &control(1)).unwrap(), &ratings, &exact);
    let params = AlsParams { solver: Solver::Cg { steps: 6 }, ..exact };
    let reached = loss(&train(&ratings, &params, &control(1)).unwrap(), &ratings, &params);
    assert!(reached < best * 1.01, "{reached}, Cholesky {best}");
}

#[test]
fn combinations_without_meaning_are_refused() {
    let ratings = ratings(5, 5, 0.5);
    let check = |params: AlsParams, expected: &str| match train(&ratings, &params, &control(1)).unwrap_err() {
        AlsError::Parameter { name, .. } => assert_eq!(name, expected),
        other => panic!("{other}"),
    };
    let implicit = Feedback::Implicit { alpha: 1.0 };
    check(AlsParams { feedback: Feedback::Implicit { alpha: -1.0 }, ..Default::default() }, "alpha");
    check(AlsParams { feedback: Feedback::Implicit { alpha: f64::NAN }, ..Default::default() }, "alpha");
    check(AlsParams { feedback: implicit, bias: Bias::Learned, ..Default::default() }, "bias");
    check(AlsParams { bias: Bias::Static { damping: -1.0 }, ..Default::default() }, "damping");
    check(AlsParams { solver: Solver::CG, nonnegative: true, ..Default::default() }, "solver");
    check(AlsParams { solver: Solver::Cg { steps: 0 }, ..Default::default() }, "steps");
}

#[test]
fn biases_recover_a_pattern_that_has_nothing_else() {
    // rating = 3 + user + item: one iteration of rank 1 cannot have it without biases.
    let ratings = ratings(60, 40, 0.5);
    let split = crate::split::random(&ratings, 0.2, 1).unwrap();
    let rmse = |bias: Bias| {
        let params = AlsParams { rank: 1, lambda: 0.02, bias, max_iterations: 20, ..Default::default() };
        let model = train(&split.train, &params, &control(1)).unwrap();
        assert_eq!(model.has_bias(), bias != Bias::None);
        let mut errors = crate::metrics::RatingErrors::default();
        split.eval.entries().for_each(|(user, item, value)| errors.add(f64::from(model.predict(user, item)), f64::from(value)));
        errors.rmse().unwrap()
    };
    // The noise is 0.3.
    assert!(rmse(Bias::Learned) < 0.33, "{}", rmse(Bias::Learned));
    assert!(rmse(Bias::Static { damping: 1.0 }) < 0.40, "{}", rmse(Bias::Static { damping: 1.0 }));
}

#[test]
fn static_biases_are_damped_means() {
    let ratings = Csr::new(2, 2, &[0, 0, 1], &[0, 1, 1], &[5.0, 2.0, 2.0]).unwrap();
    let model = train(&ratings, &AlsParams { bias: Bias::Static { damping: 1.0 }, ..Default::default() }, &control(1)).unwrap();
    assert_eq!(model.mean, 3.0);
    // Item 0: (5-3)/(1+1); item 1: (-1-1)/(2+1). User 0: (5-3-1 + 2-3+2/3)/(2+1); user 1: (2-3+2/3)/(1+1).
    let near = |actual: f32, expected: f64| assert!((f64::from(actual) - expected).abs() < 1e-6, "{actual} for {expected}");
    near(model.item_bias[0], 1.0);
    near(model.item_bias[1], -2.0 / 3.0);
    near(model.user_bias[0], (1.0 - 1.0 / 3.0) / 3.0);
    near(model.user_bias[1], -1.0 / 6.0);
}

#[test]
fn a_warm_start_goes_on_where_the_last_training_ended() {
    for (params, ratings) in cases() {
        let first = train(&ratings, &params, &control(1)).unwrap();
        let more = AlsParams { max_iterations: 3, ..params.clone() };
        let went_on = train_from(&ratings, &more, &control(1), Some(&first), None).unwrap();
        let in_one = train(&ratings, &AlsParams { max_iterations: 7, ..params.clone() }, &control(1)).unwrap();
        assert_eq!(went_on, in_one, "{params:?}");
    }
    let ratings = ratings(10, 8, 0.5);
    let start = train(&ratings, &AlsParams::default(), &control(1)).unwrap();
    let other_rank = AlsParams { rank: 11, ..Default::default() };
    assert!(matches!(train_from(&ratings, &other_rank, &control(1), Some(&start), None), Err(AlsError::Shape { .. })));
    let fewer = Csr::new(9, 8, &[0], &[0], &[1.0]).unwrap();
    assert!(matches!(train_from(&fewer, &AlsParams::default(), &control(1), Some(&start), None), Err(AlsError::Shape { .. })));
}

#[test]
fn folding_in_a_user_equals_training_it() {
    for (params, ratings) in cases() {
        let model = train(&ratings, &params, &control(1)).unwrap();
        let mut fold_in = FoldIn::new(&model.items, &params, None).with_bias(params.bias, model.mean, &model.item_bias);
        let mut factors = vec![0f32; params.rank];
        // Little regularisation, and hardly more ratings than factors: another order of additions is seen.
        let tolerance = if params.lambda_scale == LambdaScale::Rating { 1e-4 } else { 2e-3 };
        for user in 0..ratings.n_rows() {
            let (items, values) = ratings.row(user);
            // In another order than training had them.
            let items: Vec<u32> = items.iter().rev().copied().collect();
            let values: Vec<f32> = values.iter().rev().copied().collect();
            assert!(fold_in.solve(&items, &values, &mut factors));
            let expected = model.users.row(user);
            let size = expected.iter().fold(0f32, |size, factor| size.max(factor.abs()));
            for (actual, expected) in factors.iter().zip(expected) {
                assert!((actual - expected).abs() <= tolerance * size, "{params:?}, user {user}: {actual} for {expected}");
            }
            if model.has_bias() {
                assert!((fold_in.user_bias() - model.user_bias[user]).abs() < tolerance, "{params:?}, user {user}");
            }
        }
    }
}

#[test]
fn folding_in_refuses_what_it_cannot_solve() {
    let model = train(&ratings(10, 8, 0.5), &AlsParams::default(), &control(1)).unwrap();
    let mut fold_in = FoldIn::new(&model.items, &AlsParams::default(), None);
    let mut factors = vec![1f32; 10];
    assert!(!fold_in.solve(&[8], &[1.0], &mut factors));
    assert!(!fold_in.solve(&[1], &[f32::NAN], &mut factors));
    assert!(!fold_in.solve(&[1, 2], &[1.0], &mut factors));
    assert!(!fold_in.solve(&[1], &[1.0], &mut factors[..9]));
    assert!(fold_in.solve(&[], &[], &mut factors));
    assert!(factors.iter().all(|factor| *factor == 0.0));
    assert_eq!(fold_in.explain(&[1], &[1.0], 8), None);
    assert_eq!(fold_in.explain(&[8], &[1.0], 1), None);
    assert_eq!(fold_in.explain(&[], &[], 1), Some(Vec::new()));
}

#[test]
fn an_explanation_sums_to_the_score() {
    for (params, ratings) in cases() {
        let model = train(&ratings, &params, &control(1)).unwrap();
        let mut fold_in = FoldIn::new(&model.items, &params, None).with_bias(params.bias, model.mean, &model.item_bias);
        for (user, target) in [(0u32, 1u32), (7, 39), (30, 12)] {
            let (items, values) = ratings.row(user as usize);
            let parts = fold_in.explain(items, values, target).unwrap();
            assert_eq!(parts.len(), items.len());
            let learned = if params.bias == Bias::Learned { model.user_bias[user as usize] } else { 0.0 };
            let expected = dot(model.users.row(user as usize), model.items.row(target as usize)) + learned;
            let sum: f32 = parts.iter().sum();
            assert!((sum - expected).abs() < 1e-3 * expected.abs().max(0.1), "{params:?}, user {user}: {sum} for {expected}");
        }
    }
}
