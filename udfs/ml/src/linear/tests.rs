//! What every linear learner must do.

use super::*;
use crate::control::Control;
use crate::error::LearnError;
use crate::frame::{Column, Frame, MISSING};
use crate::random::Stream;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

static NO_CANCEL: AtomicBool = AtomicBool::new(false);
static CANCEL: AtomicBool = AtomicBool::new(true);

pub(crate) fn control(threads: usize) -> Control<'static> {
    Control { threads: NonZeroUsize::new(threads).unwrap(), cancel: &NO_CANCEL, progress: &|_| () }
}

pub(crate) fn cancelled() -> Control<'static> {
    Control { cancel: &CANCEL, ..control(1) }
}

fn numeric(values: &[f64]) -> Frame {
    Frame::new(values.len(), vec![Column::Numeric(values.to_vec())]).unwrap()
}

/// Rows whose score is `2 + 0.5·(year - 2010) - 1e-5·mileage + effect[brand]`, with the scores.
fn cars(n_rows: usize, seed: u64) -> (Frame, Vec<f64>) {
    let effects = [0.5, -0.25, 0.0, 1.0];
    let (mut years, mut mileages, mut brands, mut scores) = (vec![], vec![], vec![], vec![]);
    for row in 0..n_rows {
        let mut stream = Stream::new(seed, row as u64);
        let (year, mileage) = (2000.0 + (stream.uniform() * 20.0).floor(), stream.uniform() * 60_000.0);
        let brand = (stream.next_u64() % 4) as u32;
        scores.push(2.0 + 0.05 * (year - 2010.0) - 1e-5 * mileage + effects[brand as usize]);
        years.push(year);
        mileages.push(mileage);
        brands.push(brand);
    }
    let columns = vec![Column::Numeric(years), Column::Categorical { codes: brands, n_categories: 4 }, Column::Numeric(mileages)];
    (Frame::new(n_rows, columns).unwrap(), scores)
}

/// Each learner as a function from rows to predictions for `probe`.
type Learner = (&'static str, fn(&Frame, &[f64], Option<&[f64]>, &Control, &Frame) -> Result<Vec<f64>, LearnError>);

const LEARNERS: [Learner; 7] = [
    ("least squares", |frame, scores, weights, control, probe| {
        LinearRegression::default().fit(frame, scores, weights, control)?.predict(probe)
    }),
    ("ridge", |frame, scores, weights, control, probe| {
        let learner = LinearRegression { regularisation: Regularisation::ridge(0.1), ..Default::default() };
        learner.fit(frame, scores, weights, control)?.predict(probe)
    }),
    ("elastic net", |frame, scores, weights, control, probe| {
        let learner = LinearRegression { regularisation: Regularisation::spark(1e-4, 0.5), ..Default::default() };
        learner.fit(frame, scores, weights, control)?.predict(probe)
    }),
    ("poisson", |frame, scores, weights, control, probe| {
        let targets: Vec<f64> = scores.iter().map(|score| score.exp()).collect();
        GeneralisedLinearRegression::of(Family::Poisson).fit(frame, &targets, weights, None, control)?.scores(probe)
    }),
    ("gamma", |frame, scores, weights, control, probe| {
        let targets: Vec<f64> = scores.iter().map(|score| score.exp()).collect();
        GeneralisedLinearRegression::of(Family::GammaLog).fit(frame, &targets, weights, None, control)?.scores(probe)
    }),
    ("gamma, inverse link", |frame, scores, weights, control, probe| {
        let targets: Vec<f64> = scores.iter().map(|score| 1.0 / score).collect();
        GeneralisedLinearRegression::of(Family::GammaInverse).fit(frame, &targets, weights, None, control)?.scores(probe)
    }),
    ("binomial", |frame, scores, weights, control, probe| {
        let targets: Vec<f64> = scores.iter().map(|score| family::logistic(*score)).collect();
        GeneralisedLinearRegression::of(Family::Binomial).fit(frame, &targets, weights, None, control)?.scores(probe)
    }),
];

#[test]
fn bad_input_is_refused_by_all() {
    for (name, learner) in LEARNERS {
        let fit = |frame: &Frame, scores: &[f64], weights: Option<&[f64]>| learner(frame, scores, weights, &control(1), frame);
        let two = numeric(&[1.0, 2.0]);
        assert_eq!(fit(&numeric(&[]), &[], None), Err(LearnError::Empty), "{name}");
        assert_eq!(fit(&numeric(&[1.0]), &[1.0], None), Err(LearnError::NoFeature), "{name}: one row");
        assert_eq!(fit(&numeric(&[f64::NAN; 3]), &[1.0, 2.0, 3.0], None), Err(LearnError::NoFeature), "{name}: all missing");
        assert!(matches!(fit(&two, &[1.0], None), Err(LearnError::Shape { .. })), "{name}");
        assert!(matches!(fit(&two, &[1.0, f64::NAN], None), Err(LearnError::Value { row: 1, .. })), "{name}");
        for weights in [[1.0, -1.0], [1.0, f64::NAN], [1.0, f64::INFINITY]] {
            assert!(matches!(fit(&two, &[1.0, 2.0], Some(&weights)), Err(LearnError::Value { row: 1, .. })), "{name}");
        }
        assert_eq!(fit(&two, &[1.0, 2.0], Some(&[0.0; 2])), Err(LearnError::Empty), "{name}");
        let (frame, scores) = cars(100, 1);
        assert_eq!(learner(&frame, &scores, None, &cancelled(), &frame), Err(LearnError::Cancelled), "{name}");
    }
}

#[test]
fn a_planted_pattern_is_recovered_from_features_of_any_scale() {
    for (name, learner) in LEARNERS {
        let (frame, scores) = cars(3_000, 1);
        let tolerance = if name == "elastic net" {
            0.01
        } else if name == "ridge" {
            1e-3
        } else {
            1e-7
        };
        for (predicted, score) in learner(&frame, &scores, None, &control(1), &frame).unwrap().iter().zip(&scores) {
            assert!((predicted - score).abs() < tolerance, "{name}: {predicted}, not {score}");
        }
    }
}

#[test]
fn threads_change_no_bit_and_batch_equals_single() {
    for (name, learner) in LEARNERS {
        let (frame, mut scores) = cars(20_000, 2);
        scores.iter_mut().enumerate().for_each(|(row, score)| *score += 0.3 * (Stream::new(9, row as u64).uniform() - 0.5));
        let batch = learner(&frame, &scores, None, &control(1), &frame).unwrap();
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&learner(&frame, &scores, None, &control(3), &frame).unwrap()), bits(&batch), "{name}");
        for row in [0, 777, 19_999] {
            let single = learner(&frame, &scores, None, &control(2), &frame.take(&[row])).unwrap();
            assert_eq!(single[0].to_bits(), batch[row as usize].to_bits(), "{name}, row {row}");
        }
    }
}

#[test]
fn the_order_of_rows_does_not_matter_beyond_rounding() {
    for (name, learner) in LEARNERS {
        let (frame, mut scores) = cars(5_000, 3);
        scores.iter_mut().enumerate().for_each(|(row, score)| *score += 0.3 * (Stream::new(9, row as u64).uniform() - 0.5));
        let order: Vec<u32> = (0..5_000).map(|row| (row * 1_999) % 5_000).collect();
        let permuted: Vec<f64> = order.iter().map(|row| scores[*row as usize]).collect();
        let here = learner(&frame, &scores, None, &control(1), &frame).unwrap();
        let there = learner(&frame.take(&order), &permuted, None, &control(1), &frame).unwrap();
        assert!(here.iter().zip(&there).all(|(here, there)| (here - there).abs() < 1e-6), "{name}");
    }
}

#[test]
fn a_weight_of_two_is_a_row_twice() {
    for (name, learner) in LEARNERS.iter().filter(|(name, _)| *name != "ridge") {
        let (frame, mut scores) = cars(500, 4);
        scores.iter_mut().enumerate().for_each(|(row, score)| *score += 0.3 * (Stream::new(9, row as u64).uniform() - 0.5));
        let weights: Vec<f64> = (0..500).map(|row| f64::from(row % 3)).collect();
        let repeated: Vec<u32> = (0..500u32).flat_map(|row| vec![row; (row % 3) as usize]).collect();
        let repeated_scores: Vec<f64> = repeated.iter().map(|row| scores[*row as usize]).collect();
        let weighted = learner(&frame, &scores, Some(&weights), &control(1), &frame).unwrap();
        let repeated = learner(&frame.take(&repeated), &repeated_scores, None, &control(1), &frame).unwrap();
        assert!(weighted.iter().zip(&repeated).all(|(one, other)| (one - other).abs() < 1e-6), "{name}");
    }
}

#[test]
fn dependent_columns_constants_and_missing_values_give_finite_models() {
    for (name, learner) in LEARNERS {
        let (frame, scores) = cars(2_000, 5);
        let mut columns = frame.columns().to_vec();
        columns.push(columns[0].clone());
        columns.push(columns[1].clone());
        columns.push(Column::Numeric(vec![7.0; 2_000]));
        let doubled = Frame::new(2_000, columns.clone()).unwrap();
        let tolerance = if name == "elastic net" {
            0.01
        } else if name == "ridge" {
            1e-3
        } else {
            1e-6
        };
        let predicted = learner(&doubled, &scores, None, &control(1), &doubled).unwrap();
        assert!(predicted.iter().zip(&scores).all(|(predicted, score)| (predicted - score).abs() < tolerance), "{name}");
        // Missing numbers become the mean, unknown and missing categories none.
        let probe = Frame::new(
            2,
            vec![
                Column::Numeric(vec![f64::NAN, 2010.0]),
                Column::Categorical { codes: vec![MISSING, 9], n_categories: 10 },
                Column::Numeric(vec![f64::NAN; 2]),
            ],
        );
        let predicted = learner(&frame, &scores, None, &control(1), &probe.unwrap()).unwrap();
        assert!(predicted.iter().all(|value| value.is_finite()), "{name}: {predicted:?}");
    }
}

#[test]
fn a_constant_target_has_no_slope() {
    let (frame, _) = cars(50, 6);
    for (name, learner) in LEARNERS {
        let predicted = learner(&frame, &[1.5; 50], None, &control(1), &frame).unwrap();
        assert!(predicted.iter().all(|value| (value - 1.5).abs() < 1e-9), "{name}: {predicted:?}");
    }
}

#[test]
fn bad_parameters_are_named() {
    let (frame, scores) = cars(50, 6);
    for regularisation in [Regularisation::ridge(-1.0), Regularisation::ridge(f64::NAN), Regularisation::spark(f64::INFINITY, 1.0)] {
        let learner = LinearRegression { regularisation, ..Default::default() };
        assert!(matches!(learner.fit(&frame, &scores, None, &control(1)), Err(LearnError::Parameter { .. })));
    }
    let l1 = Regularisation::spark(0.1, 0.5);
    let glm = GeneralisedLinearRegression { regularisation: l1, ..GeneralisedLinearRegression::of(Family::Poisson) };
    assert!(matches!(glm.fit(&frame, &scores, None, None, &control(1)), Err(LearnError::Parameter { name: "l1_reg", .. })));
    let logistic = LogisticRegression { regularisation: l1, ..Default::default() };
    assert!(matches!(logistic.fit(&frame, &[0; 50], 2, None, &control(1)), Err(LearnError::Parameter { name: "l1_reg", .. })));
    let glm = GeneralisedLinearRegression::of(Family::Poisson);
    assert!(matches!(glm.fit(&frame, &scores, None, Some(&[f64::NAN; 50]), &control(1)), Err(LearnError::Value { what: "offset", .. })));
}

#[test]
fn runaway_coefficients_are_an_error_and_a_penalty_helps() {
    // A category whose counts are all zero wants a score of minus infinity.
    let codes: Vec<u32> = (0..60).map(|row| row % 3).collect();
    let frame = Frame::new(60, vec![Column::Categorical { codes: codes.clone(), n_categories: 3 }]).unwrap();
    let counts: Vec<f64> =
        codes.iter().enumerate().map(|(row, code)| if *code == 2 { 0.0 } else { f64::from(*code) + (row % 4) as f64 }).collect();
    let mut poisson = GeneralisedLinearRegression::of(Family::Poisson);
    assert!(matches!(poisson.fit(&frame, &counts, None, None, &control(1)), Err(LearnError::Diverged { .. })));
    poisson.regularisation = Regularisation::ridge(1.0);
    let model = poisson.fit(&frame, &counts, None, None, &control(1)).unwrap();
    assert!(model.predict(&frame).unwrap().iter().all(|mean| mean.is_finite()));
    assert!(matches!(poisson.fit(&frame, &[0.0; 60], None, None, &control(1)), Err(LearnError::Diverged { .. })));
    let frame = numeric(&[1.0, 2.0, 3.0, 4.0]);
    let mut logistic = LogisticRegression { regularisation: Regularisation::NONE, max_iterations: 200, ..Default::default() };
    assert!(matches!(logistic.fit(&frame, &[0, 0, 1, 1], 2, None, &control(1)), Err(LearnError::Diverged { .. })));
    assert!(matches!(logistic.fit(&frame, &[0, 0, 1, 2], 3, None, &control(1)), Err(LearnError::Diverged { .. })));
    logistic.regularisation = Regularisation::ridge(1.0);
    assert_eq!(logistic.fit(&frame, &[0, 0, 1, 1], 2, None, &control(1)).unwrap().predict(&frame).unwrap(), [0, 0, 1, 1]);
    // Targets at the edge of what a double can hold.
    let huge = GeneralisedLinearRegression::of(Family::Poisson).fit(&frame, &[1e300, 1e-300, 1e300, 1.0], None, None, &control(1));
    match huge {
        Ok(model) => assert!(model.intercept.is_finite() && model.coefficients[0].is_finite()),
        Err(error) => assert!(matches!(error, LearnError::Diverged { .. }), "{error}"),
    }
}

#[test]
fn classes_are_checked_and_unseen_ones_have_no_probability() {
    let frame = numeric(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let fit = |labels: &[u32], n_classes| LogisticRegression::default().fit(&frame, labels, n_classes, None, &control(1));
    assert_eq!(fit(&[1; 6], 2).err(), Some(LearnError::OneClass));
    assert!(matches!(fit(&[0, 1, 2, 0, 1, 2], 2), Err(LearnError::Value { what: "label", row: 2, .. })));
    assert!(matches!(fit(&[0, 1], 2), Err(LearnError::Shape { .. })));
    let weights = ClassWeights::Given(vec![1.0]);
    let learner = LogisticRegression { class_weights: weights, ..Default::default() };
    assert!(matches!(learner.fit(&frame, &[0, 1, 0, 1, 0, 1], 2, None, &control(1)), Err(LearnError::Shape { .. })));
    let model = fit(&[1, 1, 3, 1, 3, 3], 4).unwrap();
    let probabilities = model.probabilities(&frame).unwrap();
    for row in probabilities.chunks(4) {
        assert_eq!((row[0], row[2]), (0.0, 0.0));
        assert!((row[1] + row[3] - 1.0).abs() < 1e-15);
    }
    assert_eq!(model.predict(&frame).unwrap(), [1, 1, 1, 3, 3, 3]);
}

#[test]
fn logistic_models_do_not_depend_on_threads_or_batches() {
    let (frame, scores) = cars(12_000, 7);
    for n_classes in [2u32, 3] {
        let noise = |row: usize| Stream::new(11, row as u64).gaussian();
        let label = |(row, score): (usize, &f64)| (((score + 0.2 * noise(row)).clamp(0.5, 3.4) - 0.5) / 2.9 * f64::from(n_classes)) as u32;
        let labels: Vec<u32> = scores.iter().enumerate().map(label).map(|label| label.min(n_classes - 1)).collect();
        let fit = |threads| LogisticRegression::default().fit(&frame, &labels, n_classes, None, &control(threads)).unwrap();
        let model = fit(1);
        assert_eq!(model, fit(3));
        let batch = model.probabilities(&frame).unwrap();
        let single = model.probabilities(&frame.take(&[77])).unwrap();
        assert_eq!(single, batch[77 * n_classes as usize..78 * n_classes as usize]);
        let right = model.predict(&frame).unwrap().iter().zip(&labels).filter(|(one, other)| one == other).count();
        assert!(right as f64 > 0.65 * 12_000.0, "{right} of 12,000 right");
        let learner = LogisticRegression::default();
        assert_eq!(learner.fit(&frame, &labels, n_classes, None, &cancelled()), Err(LearnError::Cancelled));
    }
}

#[test]
fn a_model_trained_elsewhere_predicts_from_its_coefficients() {
    let coefficients = vec![-0.01, 0.002, 0.085, -7.5e-6];
    let model = LinearModel::imported(Family::Poisson, -162.0, coefficients, &[0.0, 50.0, 2015.0, 0.0]).unwrap();
    let columns = [[145.0, 0.0], [60.0, f64::NAN], [2018.0, f64::NAN], [20_000.0, 0.0]];
    let frame = Frame::new(2, columns.iter().map(|values| Column::Numeric(values.to_vec())).collect()).unwrap();
    let expected = [f64::exp(-162.0 - 1.45 + 0.12 + 171.53 - 0.15), f64::exp(-162.0 + 0.1 + 171.275)];
    for (predicted, expected) in model.predict(&frame).unwrap().iter().zip(expected) {
        assert!((predicted / expected - 1.0).abs() < 1e-12, "{predicted}, not {expected}");
    }
    assert!(matches!(LinearModel::imported(Family::Poisson, 0.0, vec![1.0], &[]), Err(LearnError::Shape { .. })));
}
