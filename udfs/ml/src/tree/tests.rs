//! What forests and boosted trees must both hold.

use super::boost::{self, BoostParams, Boosted, Objective};
use super::forest::{self, FeatureSubset, Forest, ForestParams, Impurity};
use super::model::{NodeSpec, Rule, SplitSpec, Tree};
use crate::control::{Control, Progress};
use crate::error::LearnError;
use crate::frame::{Column, Frame, MISSING};
use crate::random::Stream;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

fn with_control<T>(threads: usize, work: impl FnOnce(&Control) -> T) -> T {
    let cancel = AtomicBool::new(false);
    work(&Control { threads: NonZeroUsize::new(threads).unwrap(), cancel: &cancel, progress: &|_| {} })
}

fn frame(columns: Vec<Column>) -> Frame {
    Frame::new(columns[0].len(), columns).unwrap()
}

fn numbers(n: usize, value: impl Fn(usize) -> f64) -> Column {
    Column::Numeric((0..n).map(value).collect())
}

fn codes(n: usize, n_categories: u32, code: impl Fn(usize) -> u32) -> Column {
    Column::Categorical { codes: (0..n).map(code).collect(), n_categories }
}

/// One exact tree: all rows, all features, no limit.
fn one_tree() -> ForestParams {
    ForestParams {
        n_trees: 1,
        bootstrap: false,
        feature_subset: FeatureSubset::All,
        max_depth: None,
        max_bins: 255,
        ..ForestParams::default()
    }
}

fn trees() -> ForestParams {
    ForestParams { n_trees: 10, max_depth: Some(8), max_bins: 64, seed: 7, ..ForestParams::default() }
}

fn sure() -> BoostParams {
    BoostParams { n_iterations: 40, min_child_weight: 0.0, l2: 0.1, ..BoostParams::default() }
}

fn classify(frame: &Frame, labels: &[u32], n_classes: usize, params: &ForestParams) -> Forest {
    with_control(1, |control| forest::train_classifier(frame, labels, n_classes, None, params, control)).unwrap()
}

fn regress(frame: &Frame, targets: &[f64], params: &ForestParams) -> Forest {
    with_control(1, |control| forest::train_regressor(frame, targets, None, params, control)).unwrap()
}

fn boost_classify(frame: &Frame, labels: &[u32], n_classes: usize, params: &BoostParams) -> Boosted {
    with_control(1, |control| boost::train_classifier(frame, labels, n_classes, None, None, params, control)).unwrap()
}

fn boost_regress(frame: &Frame, targets: &[f64], params: &BoostParams) -> Boosted {
    with_control(1, |control| boost::train_regressor(frame, targets, None, None, params, control)).unwrap()
}

/// Checks that both kinds of model learn the labels by heart.
#[track_caller]
fn learns(frame: &Frame, labels: &[u32], n_classes: usize) {
    let expected: Vec<f64> = labels.iter().map(|label| f64::from(*label)).collect();
    assert_eq!(classify(frame, labels, n_classes, &one_tree()).predict(frame), expected, "forest");
    assert_eq!(boost_classify(frame, labels, n_classes, &sure()).predict(frame), expected, "boosted");
    assert_eq!(regress(frame, &expected, &one_tree()).predict(frame), expected, "regression");
}

/// Rows with noise, numbers, categories and missing values; targets that depend on some of them.
fn mixed(n: usize, seed: u64) -> (Frame, Vec<f64>) {
    let mut stream = Stream::new(seed, 0);
    let (mut first, mut second, mut kinds, mut noise, mut targets) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..n {
        let (a, b, kind) = (stream.uniform(), (stream.uniform() * 20.0).floor(), (stream.uniform() * stream.uniform() * 12.0) as u32);
        targets.push(3.0 * f64::from(u8::from(a > 0.6)) + (b - 10.0).abs() / 5.0 + f64::from(kind % 3) + 0.2 * stream.gaussian());
        first.push(if stream.uniform() < 0.1 { f64::NAN } else { a });
        second.push(b);
        kinds.push(if stream.uniform() < 0.1 { MISSING } else { kind });
        noise.push(stream.gaussian());
    }
    let kinds = Column::Categorical { codes: kinds, n_categories: 12 };
    (frame(vec![Column::Numeric(first), Column::Numeric(second), kinds, Column::Numeric(noise)]), targets)
}

fn thirds(targets: &[f64]) -> Vec<u32> {
    targets.iter().map(|target| if *target < 2.0 { 0 } else { 1 + u32::from(*target > 4.0) }).collect()
}

fn halves(targets: &[f64]) -> Vec<u32> {
    targets.iter().map(|target| u32::from(*target > 3.0)).collect()
}

fn r2(targets: &[f64], predictions: &[f64]) -> f64 {
    let mean = targets.iter().sum::<f64>() / targets.len() as f64;
    let errors: f64 = targets.iter().zip(predictions).map(|(target, prediction)| (target - prediction).powi(2)).sum();
    1.0 - errors / targets.iter().map(|target| (target - mean).powi(2)).sum::<f64>()
}

#[test]
fn what_cannot_be_learned_is_an_error() {
    let rows = frame(vec![numbers(3, |row| row as f64)]);
    let none = frame(vec![numbers(0, |_| 0.0)]);
    let no_column = Frame::new(3, vec![]).unwrap();
    let (forest_params, boost_params) = (ForestParams::default(), BoostParams::default());
    let check = |frame: &Frame, labels: &[u32], weights: Option<&[f64]>, expected: &dyn Fn(&LearnError) -> bool| {
        let forest = with_control(1, |control| forest::train_classifier(frame, labels, 2, weights, &forest_params, control));
        assert!(expected(forest.as_ref().unwrap_err()), "{forest:?}");
        let boosted = with_control(1, |control| boost::train_classifier(frame, labels, 2, weights, None, &boost_params, control));
        assert!(expected(boosted.as_ref().unwrap_err()), "{boosted:?}");
    };
    check(&none, &[], None, &|error| *error == LearnError::Empty);
    check(&no_column, &[0, 1, 0], None, &|error| *error == LearnError::NoFeature);
    check(&rows, &[1, 1, 1], None, &|error| *error == LearnError::OneClass);
    check(&rows, &[1, 1, 0], Some(&[1.0, 1.0, 0.0]), &|error| *error == LearnError::OneClass);
    check(&rows, &[1, 1, 0], Some(&[0.0; 3]), &|error| *error == LearnError::Empty);
    check(&rows, &[0, 2, 1], None, &|error| matches!(error, LearnError::Value { what: "label", row: 1, .. }));
    check(&rows, &[0, 1], None, &|error| matches!(error, LearnError::Shape { .. }));
    check(&rows, &[0, 1, 1], Some(&[1.0, -1.0, 1.0]), &|error| matches!(error, LearnError::Value { what: "weight", row: 1, .. }));
    let one = frame(vec![numbers(1, |_| 5.0)]);
    check(&one, &[1], None, &|error| *error == LearnError::OneClass);
    for target in [f64::NAN, f64::INFINITY, 1e101] {
        let forest = with_control(1, |control| forest::train_regressor(&rows, &[1.0, 2.0, target], None, &forest_params, control));
        assert!(matches!(forest, Err(LearnError::Value { what: "target", row: 2, .. })));
    }
}

#[test]
fn parameters_out_of_range_are_named() {
    let rows = frame(vec![numbers(3, |row| row as f64)]);
    let check = |change: &dyn Fn(&mut ForestParams), expected: &str| {
        let mut params = ForestParams::default();
        change(&mut params);
        match with_control(1, |control| forest::train_classifier(&rows, &[0, 1, 1], 2, None, &params, control)) {
            Err(LearnError::Parameter { name, .. }) => assert_eq!(name, expected),
            other => panic!("{other:?}"),
        }
    };
    check(&|params| params.n_trees = 0, "n_trees");
    check(&|params| params.max_bins = 1, "max_bins");
    check(&|params| params.max_bins = 256, "max_bins");
    check(&|params| params.subsampling_rate = 1.5, "subsampling_rate");
    check(&|params| params.min_info_gain = f64::NAN, "min_info_gain");
    check(&|params| params.feature_subset = FeatureSubset::Fraction(0.0), "feature_subset");
    check(&|params| params.impurity = Impurity::Variance, "impurity");
    let params = BoostParams { learning_rate: 0.0, ..BoostParams::default() };
    let boosted = with_control(1, |control| boost::train_regressor(&rows, &[0.0, 1.0, 1.0], None, None, &params, control));
    assert!(matches!(boosted, Err(LearnError::Parameter { name: "learning_rate", .. })), "{boosted:?}");
    for params in [
        BoostParams { min_progress: f64::NAN, ..BoostParams::default() },
        BoostParams { feature_subset: FeatureSubset::Count(0), ..BoostParams::default() },
    ] {
        let boosted = with_control(1, |control| boost::train_regressor(&rows, &[0.0, 1.0, 1.0], None, None, &params, control));
        assert!(matches!(boosted, Err(LearnError::Parameter { name: "min_progress" | "feature_subset", .. })), "{boosted:?}");
    }
}

#[test]
fn nodes_of_boosted_trees_look_at_as_many_features_as_they_may() {
    let (rows, targets) = mixed(800, 5);
    let importances = |feature_subset: FeatureSubset| {
        // Stumps: with all features in sight, the noise is hardly ever the best.
        let params = BoostParams { max_depth: Some(1), n_iterations: 40, feature_subset, seed: 3, ..BoostParams::default() };
        boost_regress(&rows, &targets, &params).importances().to_vec()
    };
    let all = importances(FeatureSubset::All);
    assert_eq!(importances(FeatureSubset::Auto), all);
    assert_eq!(importances(FeatureSubset::Count(9)), all);
    let one = importances(FeatureSubset::Count(1));
    assert!(one[3] > all[3] && one.iter().all(|share| *share > 0.0), "{one:?} {all:?}");
    assert_eq!(importances(FeatureSubset::Fraction(0.25)), one);
}

#[test]
fn one_row_and_equal_targets_give_a_constant() {
    let check = |rows: &Frame, targets: &[f64]| {
        assert_eq!(regress(rows, targets, &one_tree()).predict(rows), targets);
        let forest = regress(rows, targets, &ForestParams::default()).predict(rows);
        let boosted = boost_regress(rows, targets, &BoostParams::default()).predict(rows);
        for (prediction, target) in forest.iter().chain(&boosted).zip(targets.iter().cycle()) {
            assert!((prediction - target).abs() < 1e-12 * target.abs(), "{prediction} {target}");
        }
    };
    check(&frame(vec![numbers(1, |_| 5.0)]), &[0.1]);
    check(&frame(vec![numbers(1, |_| f64::NAN)]), &[-7.0]);
    check(&frame(vec![numbers(9, |row| row as f64)]), &[1e9 + 0.1; 9]);
}

#[test]
fn ties_are_right_whatever_the_scale() {
    // Two binary features, a class for each combination.
    let n = 40;
    let binary = || frame(vec![numbers(n, |row| (row % 2) as f64), numbers(n, |row| (row / 2 % 2) as f64)]);
    learns(&binary(), &(0..n as u32).map(|row| row % 4).collect::<Vec<_>>(), 4);
    // Exclusive or: no single split gains. Boosted trees find none either, by definition of their gain.
    let labels: Vec<u32> = (0..n as u32).map(|row| (row % 2) ^ (row / 2 % 2)).collect();
    let expected: Vec<f64> = labels.iter().map(|label| f64::from(*label)).collect();
    assert_eq!(classify(&binary(), &labels, 2, &one_tree()).predict(&binary()), expected);
    let labels: Vec<u32> = (0..200).map(|row| (row / 7) % 2).collect();
    for (start, step) in [(0.0, 1e-6), (1.0, 1e-6), (1e300, 1e285), (-1e-300, 1e-303), (1e9, 1e-6)] {
        learns(&frame(vec![numbers(200, |row| start + step * row as f64)]), &labels, 2);
    }
    learns(&frame(vec![numbers(200, |row| (row as f64 - 100.0) * 1.7e306)]), &labels, 2);
}

#[test]
fn missing_values_go_where_they_gain() {
    for missing_label in [0, 1] {
        let n = 90;
        let label = |row: usize| if row % 3 == 2 { missing_label } else { (row % 3) as u32 };
        let labels: Vec<u32> = (0..n).map(label).collect();
        learns(&frame(vec![numbers(n, |row| if row % 3 == 2 { f64::NAN } else { (row % 3) as f64 })]), &labels, 2);
        learns(&frame(vec![codes(n, 2, |row| if row % 3 == 2 { MISSING } else { (row % 3) as u32 })]), &labels, 2);
    }
    // Missing alone is a side, too.
    let labels: Vec<u32> = (0..60).map(|row| u32::from(row % 4 == 0)).collect();
    learns(&frame(vec![numbers(60, |row| if row % 4 == 0 { f64::NAN } else { row as f64 })]), &labels, 2);
    // All values missing: nothing to split on.
    let nothing = frame(vec![numbers(60, |_| f64::NAN), codes(60, 3, |_| MISSING)]);
    assert_eq!(classify(&nothing, &labels, 2, &one_tree()).probabilities(&nothing)[..2], [0.75, 0.25]);
}

#[test]
fn what_training_did_not_see_goes_with_the_crowd() {
    // Category 3 and missing values occur in prediction only; two thirds of the rows are category 0.
    let train = frame(vec![codes(60, 4, |row| u32::from(row % 3 == 0))]);
    let labels: Vec<u32> = (0..60).map(|row| u32::from(row % 3 == 0)).collect();
    let test = frame(vec![codes(3, 4, |row| [1, 3, MISSING][row])]);
    assert_eq!(classify(&train, &labels, 2, &one_tree()).predict(&test), [1.0, 0.0, 0.0]);
    let train = frame(vec![numbers(60, |row| f64::from(row % 3 == 0))]);
    assert_eq!(classify(&train, &labels, 2, &one_tree()).predict(&frame(vec![numbers(1, |_| f64::NAN)])), [0.0]);
    // Neither a column of another kind nor an absent one ends in a panic.
    let forest = classify(&train, &labels, 2, &one_tree());
    assert_eq!(forest.predict(&frame(vec![codes(2, 2, |row| row as u32)])), [0.0, 1.0]);
    assert_eq!(forest.predict(&Frame::new(1, vec![]).unwrap()), [0.0]);
}

#[test]
fn constant_columns_are_never_split_on() {
    let n = 50;
    let rows = frame(vec![numbers(n, |_| 3.0), codes(n, 1, |_| 0), numbers(n, |row| row as f64), numbers(n, |_| f64::NAN)]);
    let labels: Vec<u32> = (0..n as u32).map(|row| u32::from(row < 17)).collect();
    // One feature per node: the draw goes on until one varies.
    let forest = classify(&rows, &labels, 2, &ForestParams { feature_subset: FeatureSubset::Count(1), ..one_tree() });
    assert_eq!(forest.importances(), [0.0, 0.0, 1.0, 0.0]);
    learns(&rows, &labels, 2);
}

#[test]
fn categories_are_split_as_sets() {
    // Codes alternate between classes: a threshold would need a split for each.
    let n = 3000;
    for n_categories in [20, 255] {
        let rows = frame(vec![codes(n, n_categories, |row| row as u32 % n_categories)]);
        let labels: Vec<u32> = (0..n as u32).map(|row| u32::from((row % n_categories) % 7 < 3)).collect();
        learns(&rows, &labels, 2);
        assert_eq!(classify(&rows, &labels, 2, &one_tree()).trees()[0].n_nodes(), 3);
        let classes: Vec<u32> = (0..n as u32).map(|row| (row % n_categories) % 5).collect();
        learns(&rows, &classes, 5);
    }
}

#[test]
fn rare_categories_are_pooled() {
    // Categories 0 to 299, of which those from 254 on share a bin.
    let n = 3000;
    let rows = frame(vec![codes(n, 300, |row| row as u32 % 300)]);
    let labels: Vec<u32> = (0..n as u32).map(|row| u32::from(row % 300 % 2 == 0)).collect();
    let forest = classify(&rows, &labels, 2, &one_tree());
    let probabilities = forest.probabilities(&rows);
    assert_eq!([probabilities[1], probabilities[3]], [1.0, 0.0]);
    assert!((254..300).all(|row| (probabilities[2 * row + 1] - 0.5).abs() < 0.01));
    // A category never seen counts as rare.
    let unseen = frame(vec![codes(1, 400, |_| 350)]);
    assert_eq!(forest.probabilities(&unseen)[1], probabilities[2 * 299 + 1]);
    assert!(matches!(forest.trees()[0].to_nodes()[0].split.as_ref().unwrap().rule, Rule::Categories { n_categories: 255, .. }));
}

#[test]
fn a_planted_pattern_is_found() {
    let ((train, targets), (test, test_targets)) = (mixed(4000, 1), mixed(1000, 2));
    let forest = regress(&train, &targets, &ForestParams { n_trees: 40, max_depth: None, max_bins: 255, ..ForestParams::default() });
    let score = r2(&test_targets, &forest.predict(&test));
    assert!(score > 0.8, "{score}");
    let out_of_bag = forest.out_of_bag().unwrap();
    assert!((out_of_bag.score - score).abs() < 0.04 && out_of_bag.n_rows == 4000, "{out_of_bag:?} against {score}");
    let importances = forest.importances();
    assert!((importances.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(importances[0] > 0.3 && importances[3] < 0.1, "{importances:?}");
    let boosted = boost_regress(&train, &targets, &BoostParams::default());
    let score = r2(&test_targets, &boosted.predict(&test));
    assert!(score > 0.8, "{score}");
    assert!(boosted.importances()[0] > 0.3 && boosted.importances()[3] < 0.1, "{:?}", boosted.importances());
    assert!(boosted.losses().is_sorted_by(|earlier, later| later < earlier), "{:?}", boosted.losses());
    for (labels, test_labels, n_classes) in [(halves(&targets), halves(&test_targets), 2), (thirds(&targets), thirds(&test_targets), 3)] {
        let share = |predictions: Vec<f64>| {
            predictions.iter().zip(&test_labels).filter(|(prediction, label)| **prediction == f64::from(**label)).count() as f64 / 1000.0
        };
        for impurity in [Impurity::Gini, Impurity::Entropy] {
            let forest = classify(&train, &labels, n_classes, &ForestParams { impurity, n_trees: 40, ..trees() });
            let accuracy = share(forest.predict(&test));
            assert!(accuracy > 0.8, "{n_classes} {impurity:?} {accuracy}");
            assert!((forest.out_of_bag().unwrap().score - accuracy).abs() < 0.05);
        }
        let boosted = boost_classify(&train, &labels, n_classes, &BoostParams::default());
        let accuracy = share(boosted.predict(&test));
        assert!(accuracy > 0.8, "{n_classes} {accuracy}");
        let sums: Vec<f64> = boosted.probabilities(&test).chunks(n_classes).map(|row| row.iter().sum()).collect();
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-12));
    }
}

#[test]
fn threads_do_not_show() {
    let (rows, targets) = mixed(1500, 3);
    let labels = thirds(&targets);
    let all = |threads| {
        with_control(threads, |control| {
            let weights: Vec<f64> = targets.iter().map(|target| 0.3 + target.abs()).collect();
            (
                forest::train_regressor(&rows, &targets, Some(&weights), &trees(), control).unwrap(),
                forest::train_classifier(&rows, &labels, 3, None, &trees(), control).unwrap(),
                boost::train_regressor(&rows, &targets, None, None, &BoostParams { subsample: 0.7, ..BoostParams::default() }, control)
                    .unwrap(),
                boost::train_classifier(&rows, &labels, 3, None, None, &BoostParams::default(), control).unwrap(),
            )
        })
    };
    let one = all(1);
    assert_eq!(one, all(4));
    assert_eq!(one, all(1));
    let other = regress(&rows, &targets, &ForestParams { seed: 8, ..trees() });
    assert_ne!(other, regress(&rows, &targets, &trees()));
}

#[test]
fn a_large_tree_is_grown_by_several_threads() {
    // Enough rows × features for threads within a tree, with histograms and without.
    let n = 140_000;
    let column = |feature: u64| numbers(n, move |row| (Stream::new(feature, row as u64).uniform() * 50.0).floor());
    let rows = frame((0..8).map(column).collect());
    let targets: Vec<f64> = (0..n).map(|row| Stream::new(1, row as u64).uniform() + Stream::new(99, row as u64).gaussian()).collect();
    for feature_subset in [FeatureSubset::All, FeatureSubset::Count(8), FeatureSubset::Fraction(0.4)] {
        let params = ForestParams { max_depth: Some(3), feature_subset, ..one_tree() };
        let train = |threads| with_control(threads, |control| forest::train_regressor(&rows, &targets, None, &params, control).unwrap());
        assert_eq!(train(1), train(4));
    }
}

#[test]
fn the_order_of_rows_does_not_show() {
    let (rows, targets) = mixed(1500, 4);
    let mut order: Vec<u32> = (0..1500).collect();
    order.sort_by_key(|row| Stream::new(5, u64::from(*row)).next_u64());
    let shuffled = rows.take(&order);
    let pick = |values: &[f64]| -> Vec<f64> { order.iter().map(|row| values[*row as usize]).collect() };
    let params = ForestParams { bootstrap: false, ..trees() };
    assert_eq!(regress(&rows, &targets, &params), regress(&shuffled, &pick(&targets), &params));
    let weights: Vec<f64> = targets.iter().map(|target| 0.3 + target.abs()).collect();
    let weighted = |rows: &Frame, targets: &[f64], weights: &[f64]| {
        with_control(1, |control| forest::train_regressor(rows, targets, Some(weights), &params, control)).unwrap()
    };
    assert_eq!(weighted(&rows, &targets, &weights), weighted(&shuffled, &pick(&targets), &pick(&weights)));
    let labels = thirds(&targets);
    let shuffled_labels = thirds(&pick(&targets));
    assert_eq!(classify(&rows, &labels, 3, &params), classify(&shuffled, &shuffled_labels, 3, &params));
    let params = BoostParams::default();
    let (left, right) = (boost_classify(&rows, &labels, 3, &params), boost_classify(&shuffled, &shuffled_labels, 3, &params));
    assert_eq!(left.trees(), right.trees());
    let (left, right) = (boost_regress(&rows, &targets, &params), boost_regress(&shuffled, &pick(&targets), &params));
    assert_eq!((left.trees(), left.base()), (right.trees(), right.base()));
}

#[test]
fn a_batch_equals_single_rows() {
    let (rows, targets) = mixed(1003, 6);
    let (forest, boosted) = (regress(&rows, &targets, &trees()), boost_classify(&rows, &thirds(&targets), 3, &BoostParams::default()));
    let (predictions, probabilities) = (forest.predict(&rows), boosted.probabilities(&rows));
    for row in 0..rows.n_rows() {
        let single = rows.take(&[row as u32]);
        assert_eq!(forest.predict(&single), predictions[row..=row]);
        assert_eq!(boosted.probabilities(&single), probabilities[3 * row..][..3]);
    }
    assert!(forest.predict(&rows.take(&[])).is_empty());
}

#[test]
fn weights_equal_duplicates() {
    let (rows, targets) = mixed(600, 8);
    let weights: Vec<f64> = (0..600).map(|row| f64::from(row % 4)).collect();
    let copies: Vec<u32> = (0..600u32).flat_map(|row| std::iter::repeat_n(row, row as usize % 4)).collect();
    let (copied, copied_targets): (_, Vec<f64>) = (rows.take(&copies), copies.iter().map(|row| targets[*row as usize]).collect());
    // Every category and every number has a bin of its own, with or without copies.
    let params = ForestParams { max_depth: Some(6), ..one_tree() };
    let rows = Frame::new(600, rows.columns()[1..3].to_vec()).unwrap();
    let copied = Frame::new(copied.n_rows(), copied.columns()[1..3].to_vec()).unwrap();
    let close = |left: Vec<f64>, right: Vec<f64>| {
        left.iter().zip(&right).for_each(|(left, right)| assert!((left - right).abs() < 1e-9, "{left} {right}"));
    };
    let weighted = with_control(1, |control| forest::train_regressor(&rows, &targets, Some(&weights), &params, control)).unwrap();
    close(weighted.predict(&rows), regress(&copied, &copied_targets, &params).predict(&rows));
    for (labels, copied_labels, n_classes) in
        [(halves(&targets), halves(&copied_targets), 2), (thirds(&targets), thirds(&copied_targets), 3)]
    {
        let train = |control: &Control| forest::train_classifier(&rows, &labels, n_classes, Some(&weights), &params, control);
        let weighted = with_control(1, train).unwrap();
        close(weighted.probabilities(&rows), classify(&copied, &copied_labels, n_classes, &params).probabilities(&rows));
        let train =
            |control: &Control| boost::train_classifier(&rows, &labels, n_classes, Some(&weights), None, &BoostParams::default(), control);
        let weighted = with_control(1, train).unwrap();
        let duplicated = boost_classify(&copied, &copied_labels, n_classes, &BoostParams::default());
        close(weighted.probabilities(&rows), duplicated.probabilities(&rows));
    }
}

#[test]
fn weights_of_any_magnitude_are_usable() {
    let n = 60;
    let rows = frame(vec![numbers(n, |row| row as f64)]);
    let labels: Vec<u32> = (0..n as u32).map(|row| row / 20).collect();
    let targets: Vec<f64> = labels.iter().map(|label| f64::from(*label)).collect();
    for weights in [vec![1e-20; n], vec![1e20; n], vec![0.1; n], (0..n).map(|row| if row % 2 == 0 { 1e-18 } else { 1e3 }).collect()] {
        let check = |predictions: Vec<f64>| {
            assert!(predictions.iter().zip(&targets).all(|(prediction, target)| (prediction - target).abs() < 1e-6), "{predictions:?}");
        };
        for (labels, n_classes) in [(&labels, 3), (&labels.iter().map(|label| u32::from(*label > 0)).collect(), 2)] {
            for impurity in [Impurity::Gini, Impurity::Entropy] {
                let params = ForestParams { impurity, ..one_tree() };
                let train = |control: &Control| forest::train_classifier(&rows, labels, n_classes, Some(&weights), &params, control);
                let predictions = with_control(1, train).unwrap().predict(&rows);
                assert!(predictions.iter().zip(labels).all(|(prediction, label)| *prediction == f64::from(*label)), "{predictions:?}");
            }
        }
        let train = |control: &Control| forest::train_regressor(&rows, &targets, Some(&weights), &one_tree(), control);
        check(with_control(1, train).unwrap().predict(&rows));
    }
}

#[test]
fn limits_hold() {
    let (rows, targets) = mixed(1000, 9);
    let leaves = |forest: &Forest| -> Vec<f64> {
        let nodes = forest.trees().iter().flat_map(Tree::to_nodes);
        nodes.filter(|node| node.split.is_none()).map(|leaf| leaf.weight).collect()
    };
    let forest = regress(&rows, &targets, &ForestParams { min_instances_per_node: 30, ..trees() });
    assert!(leaves(&forest).iter().all(|weight| *weight >= 30.0));
    assert_eq!(leaves(&forest).iter().sum::<f64>(), 10.0 * 1000.0);
    let weights = vec![0.5; 1000];
    let params = ForestParams { min_instances_per_node: 30, ..trees() };
    let forest = with_control(1, |control| forest::train_regressor(&rows, &targets, Some(&weights), &params, control)).unwrap();
    assert!(leaves(&forest).iter().all(|weight| *weight >= 15.0));
    assert!(regress(&rows, &targets, &ForestParams { max_depth: Some(3), ..trees() }).trees().iter().all(|tree| tree.depth() == 3));
    assert_eq!(regress(&rows, &targets, &ForestParams { max_depth: Some(0), ..trees() }).trees()[0].n_nodes(), 1);
    let forest = regress(&rows, &targets, &ForestParams { min_info_gain: 0.05, ..one_tree() });
    let nodes = forest.trees()[0].to_nodes();
    assert!(nodes.len() > 3 && nodes.iter().all(|node| node.split.is_none() || node.gain >= 0.05));
    // The impurity of the root is the variance of the targets.
    let mean = targets.iter().sum::<f64>() / 1000.0;
    let variance = targets.iter().map(|target| (target - mean).powi(2)).sum::<f64>() / 1000.0;
    assert!((nodes[0].impurity / variance - 1.0).abs() < 1e-9, "{} {variance}", nodes[0].impurity);
}

#[test]
fn models_are_rebuilt_from_their_trees() {
    let (rows, targets) = mixed(500, 10);
    let rebuilt = |trees: &[Tree]| -> Vec<Tree> { trees.iter().map(|tree| Tree::from_nodes(tree.to_nodes()).unwrap()).collect() };
    let forest = classify(&rows, &thirds(&targets), 3, &ForestParams { bootstrap: false, subsampling_rate: 0.8, ..trees() });
    assert_eq!(Forest::from_trees(forest.kind(), 4, rebuilt(forest.trees()), forest.tree_weights().to_vec()).unwrap(), forest);
    assert!(Forest::from_trees(forest.kind(), 1, rebuilt(forest.trees()), vec![1.0; 10]).is_err(), "a feature out of range");
    assert!(Forest::from_trees(forest.kind(), 4, rebuilt(forest.trees()), vec![1.0]).is_err(), "a weight too few");
    assert!(Forest::from_trees(forest::ForestKind::Regression, 4, rebuilt(forest.trees()), vec![1.0; 10]).is_err(), "three values");
    assert!(Forest::from_trees(forest.kind(), 4, vec![], vec![]).is_err(), "no tree");
    let boosted = boost_regress(&rows, &targets, &BoostParams::default());
    let again = Boosted::from_trees(boosted.objective(), 4, boosted.base().to_vec(), rebuilt(boosted.trees()), vec![1.0; 20]).unwrap();
    assert_eq!(again.predict(&rows), boosted.predict(&rows));
    assert!(Boosted::from_trees(boosted.objective(), 4, vec![], rebuilt(boosted.trees()), vec![1.0; 20]).is_err(), "no base");
}

#[test]
fn boosted_trees_of_spark_keep_their_meaning() {
    let leaf = |value: f64| NodeSpec { values: vec![value], ..NodeSpec::default() };
    let split = SplitSpec { feature: 0, rule: Rule::AtMost(1.0), missing_left: false, left: 1, right: 2 };
    let tree = || Tree::from_nodes(vec![NodeSpec { split: Some(split.clone()), ..NodeSpec::default() }, leaf(-0.5), leaf(0.25)]).unwrap();
    let rows = frame(vec![numbers(2, |row| row as f64 + 0.5)]);
    // Tree weights 1 and 0.1; a classifier's probability is 1 / (1 + exp(-2 · sum)).
    let classifier = Boosted::from_trees(Objective::Logistic, 1, vec![0.0], vec![tree(), tree()], vec![2.0, 0.2]).unwrap();
    let probability = |sum: f64| 1.0 / (1.0 + (-2.0 * sum).exp());
    for (row, sum) in [-0.55, 0.275].into_iter().enumerate() {
        assert!((classifier.probabilities(&rows)[2 * row + 1] - probability(sum)).abs() < 1e-15);
    }
    assert_eq!(classifier.predict(&rows), [0.0, 1.0]);
    let regressor = Boosted::from_trees(Objective::SquaredError, 1, vec![0.0], vec![tree(), tree()], vec![1.0, 0.5]).unwrap();
    assert_eq!(regressor.predict(&rows), [-0.75, 0.375]);
}

#[test]
fn training_stops_early() {
    let ((rows, targets), (test, test_targets)) = (mixed(800, 11), mixed(400, 12));
    let params = BoostParams { n_iterations: 300, early_stopping_rounds: Some(5), ..BoostParams::default() };
    let given = |control: &Control| boost::train_regressor(&rows, &targets, None, Some((&test, &test_targets)), &params, control);
    let boosted = with_control(1, given).unwrap();
    let losses = boosted.evaluation_losses();
    assert_eq!(losses.len(), boosted.trees().len() + 5);
    let best = losses[boosted.trees().len() - 1];
    assert!(losses.iter().all(|loss| *loss >= best) && losses.len() < 300);
    let errors: f64 = test_targets.iter().zip(boosted.predict(&test)).map(|(target, prediction)| (target - prediction).powi(2)).sum();
    assert!((errors / 800.0 - best).abs() < 1e-9, "{} {best}", errors / 800.0);
    // With a share of progress it ends at the first iteration that lowers the loss by less.
    let hurried = BoostParams { early_stopping_rounds: Some(1), min_progress: 0.05, ..params.clone() };
    let given = |control: &Control| boost::train_regressor(&rows, &targets, None, Some((&test, &test_targets)), &hurried, control);
    let sooner = with_control(1, given).unwrap();
    let sooner = sooner.evaluation_losses();
    let slow: Vec<usize> = (1..sooner.len()).filter(|place| sooner[*place] >= 0.95 * sooner[place - 1]).collect();
    assert_eq!(slow, [sooner.len() - 1], "{sooner:?}");
    assert!(sooner.len() < losses.len());
    // Without evaluation rows a part of the training rows is held out.
    let held_out = boost_classify(&rows, &thirds(&targets), 3, &params);
    assert!(held_out.trees().len() < 900 && held_out.trees().len().is_multiple_of(3));
}

#[test]
fn training_reports_and_can_be_cancelled() {
    let (rows, targets) = mixed(500, 13);
    let (cancel, seen) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let progress = |progress: Progress| {
        seen.lock().unwrap().push(progress);
        cancel.store(progress.iteration == 3, Ordering::Relaxed);
    };
    let control = Control { threads: NonZeroUsize::MIN, cancel: &cancel, progress: &progress };
    assert_eq!(forest::train_regressor(&rows, &targets, None, &trees(), &control), Err(LearnError::Cancelled));
    assert_eq!(seen.lock().unwrap().drain(..).map(|progress| progress.iteration).collect::<Vec<_>>(), [1, 2, 3]);
    cancel.store(false, Ordering::Relaxed);
    let boosted = boost::train_regressor(&rows, &targets, None, None, &BoostParams::default(), &control);
    assert_eq!(boosted, Err(LearnError::Cancelled));
    let seen = seen.lock().unwrap();
    assert!(seen.len() == 3 && seen[0].max_iterations == 20 && seen[2].loss < seen[0].loss);
}
