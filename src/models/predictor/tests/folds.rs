//! Cross-validation: every row is held out once, by a fit to the others.

use super::*;
use crate::models::{Measure, TrainingProgress};
use datafusion::execution::memory_pool::MemoryPool;
use std::collections::BTreeMap;
use weir_ml::split::{RowSplit, row_folds, stratified_folds};

fn with_call(given: &[(&str, &str)], key: &str, candidates: &[f64]) -> Vec<(String, ModelOption)> {
    let mut given = options("linear_reg", given);
    let candidates = ModelOption::List(candidates.iter().map(number).collect());
    given.push((key.to_owned(), ModelOption::Call("HPARAM_CANDIDATES".into(), vec![candidates])));
    given
}

/// The rows as training has them.
fn training_set(given: &[(String, ModelOption)], batch: &RecordBatch) -> (PredictorOptions, rows::TrainingSet) {
    let ModelOptions::Predictor(options) = ModelOptions::parse("m", given).unwrap() else { panic!("no predictor") };
    let memory: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
    let mut collector = rows::RowCollector::new("m", &options, &batch.schema(), &memory).unwrap();
    collector.add(batch).unwrap();
    let set = collector.finish("m").unwrap();
    (options, set)
}

/// What a fit scores on the rows held out of `places`, all of them rows of the batch.
fn by_hand(model_type: &str, label: &str, batch: &RecordBatch, places: &[u32], held_out: &[u32]) -> BTreeMap<String, f64> {
    let rows = take_record_batch(batch, &UInt32Array::from(places.to_vec())).unwrap();
    let marks: ArrayRef = Arc::new(places.iter().map(|place| Some(held_out.contains(place))).collect::<BooleanArray>());
    let schema = rows.schema();
    let mut columns = vec![("is_test", marks)];
    columns.extend(schema.fields().iter().map(|field| field.name().as_str()).zip(rows.columns().iter().cloned()));
    let given = [("input_label_cols", label), ("data_split_method", "custom"), ("data_split_col", "is_test"), ("refit", "false")];
    trained(model_type, &given, &table(columns)).metrics
}

#[track_caller]
fn assert_near(name: &str, value: f64, expected: f64) {
    assert!((value - expected).abs() <= 1e-6 * expected.abs(), "{name}: {value}, by hand {expected}");
}

#[test]
fn measures_are_the_means_over_the_folds() {
    for (model_type, label, unwanted) in [("linear_reg", "price", "bought"), ("logistic_reg", "bought", "price")] {
        let batch = without(&shop(303), &[unwanted]);
        let given = [("input_label_cols", label), ("k_folds", "4")];
        let (_, set) = training_set(&options(model_type, &given), &batch);
        let all: Vec<u32> = (0..303).collect();
        let fold = |split: RowSplit| {
            let held_out: Vec<u32> = split.eval.iter().map(|place| set.origin[*place as usize]).collect();
            by_hand(model_type, label, &batch, &all, &held_out)
        };
        let folds: Vec<_> = match &set.part.target {
            rows::Target::Classes(codes, _) => stratified_folds(codes, 4, 42).unwrap().map(fold).collect(),
            _ => row_folds(303, 4, 42).unwrap().map(fold).collect(),
        };
        let trained = trained(model_type, &given, &batch);
        assert_eq!((trained.metrics["rows_eval"], trained.metrics["rows_train"]), (303.0, 303.0));
        for (name, measure) in &predictor(&trained).held_out().unwrap().measures {
            let sum: f64 = folds.iter().map(|metrics| metrics[name]).sum();
            let expected = if matches!(measure, Measure::Count(_)) { sum } else { sum / 4.0 };
            assert_near(name, trained.metrics[name], expected);
        }
        assert_eq!((trained.parameters["k_folds"].as_str(), trained.parameters["data_split_method"].as_str()), ("4", "random"));
        // What is kept is fitted to all rows.
        let plain = super::trained(model_type, &[("input_label_cols", label), ("data_split_method", "no_split")], &batch);
        assert_eq!(predictions(predictor(&trained), &batch), predictions(predictor(&plain), &batch));
    }
}

#[test]
fn trials_have_the_means_and_a_fifth_is_seen_by_none() {
    let batch = without(&shop(400), &["bought"]);
    let given = with_call(&[("input_label_cols", "price"), ("numFolds", "4")], "l2_reg", &[1e6, 0.0]);
    let (options, set) = training_set(&given, &batch);
    let split = set.hold_out(&options).unwrap().unwrap();
    assert_eq!((split.train.len(), split.eval.len()), (320, 80));
    let rows_of = |places: &[u32]| places.iter().map(|place| set.origin[*place as usize]).collect::<Vec<u32>>();
    let seen = rows_of(&split.train);
    let fold = |fold: RowSplit| {
        let places: Vec<u32> = fold.eval.iter().map(|place| split.train[*place as usize]).collect();
        by_hand("linear_reg", "price", &batch, &seen, &rows_of(&places))
    };
    let folds: Vec<_> = row_folds(320, 4, 42 ^ trials::PURPOSE).unwrap().map(fold).collect();
    let trained = try_train_with(spec(&given, 2).unwrap(), vec![batch.clone()], &batch.schema()).unwrap();
    let best = trained.report.trials.iter().find(|trial| trial.is_optimal).unwrap();
    assert_eq!((trained.report.trials.len(), best.hyperparameters["l2_reg"].as_str()), (2, "0"));
    assert!(best.metrics.len() > 4);
    for (name, value) in &best.metrics {
        assert_near(name, *value, folds.iter().map(|metrics| metrics[name]).sum::<f64>() / 4.0);
    }
    assert_eq!((trained.metrics["rows_train"], trained.metrics["rows_eval"]), (320.0, 80.0));
    let all: Vec<u32> = (0..400).collect();
    let expected = by_hand("linear_reg", "price", &batch, &all, &rows_of(&split.eval));
    assert_near("r2_score", trained.metrics["r2_score"], expected["r2_score"]);
    assert_eq!(trained.parameters["k_folds"], "4");
    // The first fit can be kept: it is one model.
    let kept = [given, vec![("refit".to_owned(), ModelOption::Bool(false))]].concat();
    try_train_with(spec(&kept, 2).unwrap(), vec![batch.clone()], &batch.schema()).unwrap();
}

#[test]
fn the_confusion_matrix_and_the_curve_are_of_all_rows() {
    let batch = without(&shop(500), &["price"]);
    let trained = trained("naive_bayes", &[("input_label_cols", "bought"), ("k_folds", "5")], &batch);
    let model = predictor(&trained);
    let matrix = held_out_table(model, ScoreTable::ConfusionMatrix);
    let count = |row: usize, class: usize| matrix.column(class + 1).as_primitive::<Int64Type>().value(row);
    assert_eq!((0..4).map(|place| count(place / 2, place % 2)).sum::<i64>(), 500);
    // The folds are of one size: the mean of the shares is the share of all rows.
    assert!(((count(0, 0) + count(1, 1)) as f64 / 500.0 - trained.metrics["accuracy"]).abs() < 1e-12);
    let curve = held_out_table(model, ScoreTable::RocCurve);
    let last = |name: &str| {
        let column = curve.column_by_name(name).unwrap().as_primitive::<Int64Type>();
        column.value(curve.num_rows() - 1)
    };
    assert_eq!((last("true_positives"), last("false_positives")), (count(1, 0) + count(1, 1), count(0, 0) + count(0, 1)));
}

#[test]
fn a_class_of_one_row_and_rows_of_weight_0_do_no_harm() {
    let n = 91;
    let class = |row: usize| if row == 90 { "rare" } else { ["a", "b"][row % 2] };
    let x = |row: usize| if row == 90 { 9.0 } else { uniform(row, 1) + 2.0 * (row % 2) as f64 };
    let batch = table(vec![
        ("x", floats((0..n).map(x))),
        ("w", floats((0..n).map(|row| f64::from(u8::from(row % 7 != 0))))),
        ("y", strings((0..n).map(class))),
    ]);
    for model_type in ["logistic_reg", "random_forest_classifier", "boosted_tree_classifier", "naive_bayes"] {
        let given = [("input_label_cols", "y"), ("weight_col", "w"), ("class_weights", "balanced"), ("k_folds", "3")];
        let trained = trained(model_type, &given, &batch);
        assert_eq!(trained.metrics["rows_eval"], 91.0, "{model_type}");
        assert!(trained.metrics["accuracy"] > 0.8, "{model_type}: {:?}", trained.metrics);
        assert_eq!(held_out_table(predictor(&trained), ScoreTable::ConfusionMatrix).num_rows(), 3);
    }
}

#[test]
fn a_fold_that_takes_a_class_away_is_named() {
    let n = 60;
    let batch = table(vec![
        ("x", floats((0..n).map(|row| uniform(row, 1)))),
        ("y", strings((0..n).map(|row| if row == 7 { "rare" } else { "usual" }))),
    ]);
    let given = options("logistic_reg", &[("input_label_cols", "y"), ("k_folds", "3")]);
    let error = try_train_with(spec(&given, 2).unwrap(), vec![batch.clone()], &batch.schema()).unwrap_err();
    assert_eq!(error.code, Code::InvalidValue);
    assert!(error.message.contains("without the rows of fold ") && error.message.ends_with(" of 3"), "{error}");
    assert!(error.hint.unwrap().contains("k_folds"));
}

#[test]
fn a_measure_that_one_fold_does_not_define_is_not_that_of_the_others() {
    // Two rows of a rare class far from the others, and one among them: some fold predicts none.
    let n = 90;
    let batch = table(vec![
        ("x", floats((0..n).map(|row| if row < 2 { 50.0 } else { uniform(row, 1) }))),
        ("y", strings((0..n).map(|row| if row < 2 || row == 50 { "b" } else { "a" }))),
    ]);
    let trained = trained("logistic_reg", &[("input_label_cols", "y"), ("k_folds", "3")], &batch);
    // Recall is defined wherever a fold has a row of the class, whatever is predicted.
    assert!(trained.metrics.contains_key("recall") && !trained.metrics.contains_key("precision"), "{:?}", trained.metrics);
}

#[test]
fn a_run_says_which_fold_it_is_at_and_can_be_cancelled_there() {
    let batch = without(&shop(600), &["bought"]);
    let given = options("random_forest_regressor", &[("input_label_cols", "price"), ("num_parallel_tree", "4"), ("k_folds", "3")]);
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut told = spec(&given, 2).unwrap();
    let log = Arc::clone(&seen);
    told.observer = Arc::new(move |progress| log.lock().unwrap().push(progress));
    try_train_with(told, vec![batch.clone()], &batch.schema()).unwrap();
    let seen = seen.lock().unwrap();
    let mut phases: Vec<&str> = seen.iter().map(|progress| progress.phase.as_str()).collect();
    phases.dedup();
    assert_eq!(phases, ["reading", "fold 1 of 3", "fold 2 of 3", "fold 3 of 3", "fitting on all rows"]);
    assert!(seen.iter().filter(|progress| progress.phase.starts_with("fold")).all(|progress| progress.rows == 400));
    // What the folds have said is shown while the model is fitted.
    let is_shown = |progress: &TrainingProgress| progress.metric.as_ref().is_some_and(|(name, value)| name == "r2_score" && *value < 1.0);
    assert!(seen.iter().filter(|progress| progress.phase == "fitting on all rows").all(is_shown));
    assert!(seen.iter().any(is_shown) && seen.iter().filter(|progress| progress.phase.starts_with("fold")).all(|fold| !is_shown(fold)));
    let cancel = CancellationToken::new();
    let mut cancelled = spec(&given, 2).unwrap();
    let from_inside = cancel.clone();
    cancelled.observer = Arc::new(move |progress| {
        if progress.phase == "fold 2 of 3" {
            from_inside.cancel();
        }
    });
    let schema = batch.schema();
    check_error(run(train(cancelled, &schema, stream::iter([Ok(batch)]).boxed(), &cancel)), Code::Cancelled, &["was cancelled"]);
}

#[test]
fn folds_that_cannot_be_made() {
    let check = |given: &[(&str, &str)], parts: &[&str]| {
        check_error(ModelOptions::parse("m", &options("linear_reg", given)), Code::InvalidParameter, parts);
    };
    check(&[("k_folds", "1")], &["\"k_folds\"", "from 2 to 100"]);
    check(&[("numFolds", "101")], &["\"numFolds\"", "from 2 to 100"]);
    check(&[("k_folds", "3"), ("data_split_eval_fraction", "0.3")], &["both", "\"k_folds\"", "\"data_split_eval_fraction\""]);
    check(&[("k_folds", "3"), ("data_split_method", "no_split")], &["\"k_folds\"", "needs data_split_method 'random'", "'no_split'"]);
    check(&[("k_folds", "3"), ("refit", "false")], &["\"refit\"", "\"k_folds\"", "none of them is the model"]);
    let unknown = ModelOptions::parse("m", &options("kmeans", &[("k_folds", "3")]));
    check_error(unknown, Code::InvalidParameter, &["unknown option \"k_folds\""]);
    let batch = without(&shop(3), &["bought"]);
    let few = try_train("linear_reg", &[("input_label_cols", "price"), ("k_folds", "4")], &batch);
    check_error(few, Code::InvalidValue, &["too few rows for 4 folds", "3 rows"]);
    let given = with_call(&[("input_label_cols", "price"), ("k_folds", "3")], "l2_reg", &[1.0]);
    let few = try_train_with(spec(&given, 1).unwrap(), vec![batch.clone()], &batch.schema());
    check_error(few, Code::InvalidValue, &["too few rows for 3 folds", "2 rows"]);
}
