//! The contract of training, on small matrices.

use super::*;
use crate::random::Stream;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};

static NO_CANCEL: AtomicBool = AtomicBool::new(false);

fn control(threads: usize) -> Control<'static> {
    Control { threads: NonZeroUsize::new(threads).unwrap(), cancel: &NO_CANCEL, progress: &|_| {} }
}

/// Ratings `u·v` of a planted pattern of some rank; each pair is present with probability `density`.
fn planted(n_users: usize, n_items: usize, rank: usize, density: f64, seed: u64) -> (Vec<u32>, Vec<u32>, Vec<f32>) {
    let mut stream = Stream::new(seed, 0);
    let side = |n: usize, stream: &mut Stream| -> Vec<f64> { (0..n * rank).map(|_| 0.3 + stream.uniform()).collect() };
    let (user_factors, item_factors) = (side(n_users, &mut stream), side(n_items, &mut stream));
    let (mut users, mut items, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for user in 0..n_users {
        for item in 0..n_items {
            if stream.uniform() < density {
                let products = (0..rank).map(|f| user_factors[user * rank + f] * item_factors[item * rank + f]);
                users.push(user as u32);
                items.push(item as u32);
                values.push(products.sum::<f64>() as f32);
            }
        }
    }
    (users, items, values)
}

fn planted_csr(n_users: usize, n_items: usize, rank: usize, density: f64, seed: u64) -> Csr {
    let (users, items, values) = planted(n_users, n_items, rank, density, seed);
    Csr::new(n_users, n_items, &users, &items, &values).unwrap()
}

fn rmse(model: &AlsModel, ratings: &Csr) -> f64 {
    let mut errors = crate::metrics::RatingErrors::default();
    for (user, item, rating) in ratings.entries() {
        errors.add(f64::from(model.predict(user, item)), f64::from(rating));
    }
    errors.rmse().unwrap()
}

#[test]
fn bad_ratings_are_refused_with_their_place() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = Csr::new(2, 2, &[0, 1], &[0, 1], &[1.0, value]).unwrap_err();
        assert_eq!(error, AlsError::NotFinite { place: 1, row: 1, column: 1 }, "{value}");
    }
    assert!(matches!(Csr::new(1, 1, &[0], &[0, 0], &[1.0]), Err(AlsError::Shape { .. })));
    assert!(matches!(Csr::new(1, 1, &[1], &[0], &[1.0]), Err(AlsError::Shape { .. })));
    assert!(matches!(Csr::new(1, 1, &[0], &[1], &[1.0]), Err(AlsError::Shape { .. })));
}

#[test]
fn no_rating_is_an_error_not_an_empty_model() {
    for (n_users, n_items) in [(0, 0), (3, 2)] {
        let ratings = Csr::new(n_users, n_items, &[], &[], &[]).unwrap();
        assert_eq!(train(&ratings, &AlsParams::default(), &control(1)).unwrap_err(), AlsError::Empty);
    }
}

#[test]
fn unusable_parameters_are_named() {
    let ratings = planted_csr(3, 3, 1, 1.0, 1);
    let check = |params: AlsParams, expected: &str| match train(&ratings, &params, &control(1)).unwrap_err() {
        AlsError::Parameter { name, .. } => assert_eq!(name, expected),
        other => panic!("{other}"),
    };
    check(AlsParams { rank: 0, ..Default::default() }, "rank");
    check(AlsParams { rank: 1025, ..Default::default() }, "rank");
    check(AlsParams { lambda: -0.1, ..Default::default() }, "lambda");
    check(AlsParams { lambda: f64::NAN, ..Default::default() }, "lambda");
    check(AlsParams { max_iterations: 0, ..Default::default() }, "max_iterations");
}

#[test]
fn a_cancelled_training_stops() {
    let ratings = planted_csr(50, 50, 3, 0.5, 1);
    let cancel = AtomicBool::new(false);
    let iterations = std::sync::atomic::AtomicUsize::new(0);
    let stop_after_two = |progress: Progress| {
        iterations.fetch_add(1, Ordering::Relaxed);
        cancel.store(progress.iteration == 2, Ordering::Relaxed);
    };
    let control = Control { threads: NonZeroUsize::MIN, cancel: &cancel, progress: &stop_after_two };
    assert_eq!(train(&ratings, &AlsParams::default(), &control).unwrap_err(), AlsError::Cancelled);
    assert_eq!(iterations.load(Ordering::Relaxed), 2);
}

#[test]
fn a_planted_pattern_is_recovered_on_held_out_ratings() {
    let ratings = planted_csr(120, 80, 3, 0.5, 3);
    let split = crate::split::random(&ratings, 0.2, 3).unwrap();
    for nonnegative in [false, true] {
        let params = AlsParams { rank: 3, lambda: 1e-4, max_iterations: 60, nonnegative, ..Default::default() };
        let model = train(&split.train, &params, &control(2)).unwrap();
        let error = rmse(&model, &split.eval);
        assert!(error < 0.03, "nonnegative {nonnegative}: rmse {error}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
    let ratings = planted_csr(300, 120, 4, 0.3, 9);
    for nonnegative in [false, true] {
        let params = AlsParams { rank: 9, nonnegative, max_iterations: 4, ..Default::default() };
        let one = train(&ratings, &params, &control(1)).unwrap();
        for threads in [2, 4] {
            assert_eq!(train(&ratings, &params, &control(threads)).unwrap(), one, "{threads} threads, nonnegative {nonnegative}");
        }
        let other = train(&ratings, &AlsParams { seed: 43, ..params }, &control(1)).unwrap();
        assert_ne!(other, one);
    }
}

#[test]
fn the_order_of_ratings_does_not_matter_not_even_of_duplicates() {
    let (mut users, mut items, mut values) = planted(60, 40, 2, 0.4, 4);
    // The same pair with three different ratings.
    users.extend([5, 5, 5]);
    items.extend([7, 7, 7]);
    values.extend([1.0, 4.5, 2.25]);
    let sorted = Csr::new(60, 40, &users, &items, &values).unwrap();
    let mut order: Vec<usize> = (0..users.len()).collect();
    order.sort_by_key(|place| Stream::new(11, *place as u64).next_u64());
    let permuted = Csr::new(
        60,
        40,
        &order.iter().map(|place| users[*place]).collect::<Vec<_>>(),
        &order.iter().map(|place| items[*place]).collect::<Vec<_>>(),
        &order.iter().map(|place| values[*place]).collect::<Vec<_>>(),
    )
    .unwrap();
    assert_eq!(permuted, sorted);
    assert_eq!(sorted.transpose().transpose(), sorted);
    let params = AlsParams { rank: 4, ..Default::default() };
    assert_eq!(train(&permuted, &params, &control(2)).unwrap(), train(&sorted, &params, &control(1)).unwrap());
}

#[test]
fn one_rating_is_enough() {
    let ratings = Csr::new(1, 1, &[0], &[0], &[4.0]).unwrap();
    for nonnegative in [false, true] {
        let params = AlsParams { nonnegative, ..Default::default() };
        let model = train(&ratings, &params, &control(2)).unwrap();
        let predicted = model.predict(0, 0);
        assert!((3.0..4.0).contains(&predicted), "{predicted}");
    }
}

#[test]
fn rows_without_ratings_are_zero() {
    let ratings = Csr::new(3, 3, &[0, 2], &[0, 2], &[4.0, 3.0]).unwrap();
    let model = train(&ratings, &AlsParams::default(), &control(1)).unwrap();
    assert!(model.users.row(1).iter().chain(model.items.row(1)).all(|factor| *factor == 0.0));
    assert!(model.users.row(0).iter().any(|factor| *factor != 0.0));
}

#[test]
fn nonnegative_means_it() {
    let (users, items, values) = planted(80, 50, 3, 0.4, 6);
    // Centred: without the constraint about half of the factors would be negative.
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let values: Vec<f32> = values.iter().map(|value| value - mean).collect();
    let ratings = Csr::new(80, 50, &users, &items, &values).unwrap();
    let params = AlsParams { rank: 8, lambda: 0.01, ..Default::default() };
    let free = train(&ratings, &params, &control(1)).unwrap();
    let bound = train(&ratings, &AlsParams { nonnegative: true, ..params }, &control(1)).unwrap();
    let smallest = |model: &AlsModel| model.users.as_slice().iter().chain(model.items.as_slice()).copied().fold(0.0, f32::min);
    assert!(smallest(&free) < -0.1);
    assert_eq!(smallest(&bound), 0.0);
    assert!(rmse(&free, &ratings) < rmse(&bound, &ratings));
}

/// The equations of one row in f64, without tricks: `(A + λ·scale·I, b)`.
fn naive_equations(ratings: &Csr, row: usize, others: &Factors, params: &AlsParams) -> (Vec<Vec<f64>>, Vec<f64>) {
    let rank = params.rank;
    let (mut matrix, mut right) = (vec![vec![0f64; rank]; rank], vec![0f64; rank]);
    let (columns, values) = ratings.row(row);
    for (column, value) in columns.iter().zip(values) {
        let factors = others.row(*column as usize);
        for i in 0..rank {
            right[i] += f64::from(*value) * f64::from(factors[i]);
            for j in 0..rank {
                matrix[i][j] += f64::from(factors[i]) * f64::from(factors[j]);
            }
        }
    }
    let scale = if params.lambda_scale == LambdaScale::Rating { columns.len() as f64 } else { 1.0 };
    for (i, row) in matrix.iter_mut().enumerate() {
        row[i] += params.lambda * scale;
    }
    (matrix, right)
}

/// Gaussian elimination with partial pivoting.
fn eliminate(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let n = right.len();
    for column in 0..n {
        let pivot = (column..n).max_by(|a, b| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs())).unwrap();
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        for row in column + 1..n {
            let (above, below) = matrix.split_at_mut(row);
            let factor = below[0][column] / above[column][column];
            for (entry, pivot_entry) in below[0].iter_mut().zip(&above[column]).skip(column) {
                *entry -= factor * pivot_entry;
            }
            right[row] -= factor * right[column];
        }
    }
    for row in (0..n).rev() {
        let products: f64 = (row + 1..n).map(|place| matrix[row][place] * right[place]).sum();
        right[row] = (right[row] - products) / matrix[row][row];
    }
    right
}

#[test]
fn factors_solve_the_normal_equations_exactly() {
    // Ranks around the tile sizes, rows longer than a panel.
    for (rank, lambda_scale) in
        [(1, LambdaScale::Rating), (7, LambdaScale::Row), (8, LambdaScale::Rating), (10, LambdaScale::Rating), (33, LambdaScale::Row)]
    {
        let ratings = planted_csr(40, 700, 4, 0.8, rank as u64);
        let params = AlsParams { rank, lambda: 0.1, lambda_scale, max_iterations: 2, ..Default::default() };
        let model = train(&ratings, &params, &control(2)).unwrap();
        for user in 0..ratings.n_rows() {
            let (matrix, right) = naive_equations(&ratings, user, &model.items, &params);
            let expected = eliminate(matrix, right);
            let size = expected.iter().fold(0f64, |size, value| size.max(value.abs()));
            for (actual, expected) in model.users.row(user).iter().zip(&expected) {
                assert!((f64::from(*actual) - expected).abs() < 2e-3 * size, "rank {rank}, user {user}: {actual} for {expected}");
            }
        }
    }
}

#[test]
fn nonnegative_factors_meet_the_optimality_conditions() {
    let ratings = planted_csr(40, 300, 4, 0.5, 8);
    let params = AlsParams { rank: 10, lambda: 0.1, nonnegative: true, max_iterations: 3, ..Default::default() };
    let model = train(&ratings, &params, &control(2)).unwrap();
    for user in 0..ratings.n_rows() {
        let (matrix, right) = naive_equations(&ratings, user, &model.items, &params);
        let x: Vec<f64> = model.users.row(user).iter().map(|value| f64::from(*value)).collect();
        for place in 0..params.rank {
            let gradient = matrix[place].iter().zip(&x).map(|(a, b)| a * b).sum::<f64>() - right[place];
            let size = right[place].abs().max(1.0);
            // Karush-Kuhn-Tucker: no slope where free to move, none downwards at the bound.
            assert!(gradient > -1e-3 * size, "user {user}, factor {place}: gradient {gradient}");
            assert!(x[place] == 0.0 || gradient < 1e-3 * size, "user {user}, factor {place}: gradient {gradient} at {}", x[place]);
        }
    }
}

#[test]
fn a_singular_system_still_gives_finite_factors() {
    // One rating, ten factors, no regularisation: nine dimensions are free.
    let ratings = Csr::new(2, 1, &[0, 1], &[0, 0], &[4.0, 2.0]).unwrap();
    for nonnegative in [false, true] {
        let params = AlsParams { lambda: 0.0, nonnegative, ..Default::default() };
        let model = train(&ratings, &params, &control(1)).unwrap();
        assert!(model.users.as_slice().iter().chain(model.items.as_slice()).all(|factor| factor.is_finite()));
        assert!((model.predict(0, 0) - 4.0).abs() < 0.01, "{}", model.predict(0, 0));
    }
}

#[test]
fn numbers_too_large_for_factors_are_an_error_with_the_row() {
    let ratings = Csr::new(1, 1, &[0], &[0], &[f32::MAX]).unwrap();
    let params = AlsParams { lambda: 0.0, ..Default::default() };
    match train(&ratings, &params, &control(1)) {
        Err(AlsError::Unsolvable { row: 0, .. }) => {}
        Ok(model) => assert!(model.users.as_slice().iter().chain(model.items.as_slice()).all(|factor| factor.is_finite())),
        other => panic!("{other:?}"),
    }
}
