//! Evaluations and tables.

use super::*;

fn evaluate(model: &PredictorModel, batch: &RecordBatch) -> Evaluation {
    scored(model, batch, None).evaluation
}

fn scored(model: &PredictorModel, batch: &RecordBatch, threshold: Option<f64>) -> Scores {
    let pieces: Vec<Result<RecordBatch>> =
        (0..batch.num_rows()).step_by(100).map(|first| Ok(batch.slice(first, 100.min(batch.num_rows() - first)))).collect();
    run(model.score(&batch.schema(), stream::iter(pieces).boxed(), threshold)).unwrap()
}

#[test]
fn the_columns_are_known_before_a_row_is_read() {
    for (model_type, given, batch) in every_type() {
        let trained = trained(model_type, &given, &batch);
        let model = predictor(&trained);
        let form = model.scores_form().evaluation;
        let columns: Vec<&str> = form.measures.iter().map(|(name, _)| name.as_str()).collect();
        let expected: &[&str] = match model_type {
            "kmeans" => &["davies_bouldin_index", "mean_squared_distance", "rows_eval"],
            "pca" => &["total_explained_variance_ratio", "rows_eval"],
            "logistic_reg" | "random_forest_classifier" | "boosted_tree_classifier" | "naive_bayes" => {
                &["precision", "recall", "accuracy", "f1_score", "log_loss", "roc_auc", "rows_eval"]
            }
            _ => &[
                "mean_absolute_error",
                "mean_squared_error",
                "mean_squared_log_error",
                "median_absolute_error",
                "r2_score",
                "explained_variance",
                "rows_eval",
            ],
        };
        assert_eq!(columns, expected, "{model_type}");
        for evaluation in [model.held_out().unwrap(), &evaluate(model, &batch), &evaluate(model, &batch.slice(0, 0))] {
            assert_eq!(evaluation.schema().unwrap(), form.schema().unwrap(), "{model_type}");
        }
        assert_eq!(evaluate(model, &batch).get("rows_eval"), Some(1500.0));
    }
}

#[test]
fn clusters_and_components_score_their_training_rows_as_training_did() {
    for (model_type, given, batch) in every_type().into_iter().filter(|(model_type, ..)| matches!(*model_type, "kmeans" | "pca")) {
        let trained = trained(model_type, &given, &batch);
        let model = predictor(&trained);
        let again = evaluate(model, &batch);
        for (name, _) in &again.measures {
            let (one, other) = (again.get(name).unwrap(), model.held_out().unwrap().get(name).unwrap());
            assert!((one - other).abs() <= 1e-9 * one.abs(), "{model_type} {name}: {one}, {other}");
        }
        if model_type == "pca" {
            let components = model.table(ModelTable::PrincipalComponents).unwrap();
            let shares = components.column_by_name("explained_variance_ratio").unwrap().as_primitive::<Float64Type>();
            let n = components.num_rows();
            let total = shares.value(0) + shares.value(n - 1);
            assert!((again.get("total_explained_variance_ratio").unwrap() - total).abs() < 1e-9, "{total}");
        }
    }
}

#[test]
fn the_confusion_matrix_and_the_curve_are_those_of_the_held_out_rows() {
    let batch = without(&shop(1000), &["price"]);
    let trained = trained("logistic_reg", &[("input_label_cols", "bought")], &batch);
    let model = predictor(&trained);
    let matrix = held_out_table(model, ScoreTable::ConfusionMatrix);
    let names: Vec<String> = matrix.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["expected_label", "no", "yes"]);
    let count = |row: usize, class: usize| matrix.column(class + 1).as_primitive::<Int64Type>().value(row) as f64;
    let total: f64 = (0..4).map(|place| count(place / 2, place % 2)).sum();
    let held_out = model.held_out().unwrap();
    assert_eq!(total, 200.0);
    assert_eq!((count(0, 0) + count(1, 1)) / total, held_out.get("accuracy").unwrap());
    assert_eq!(count(1, 1) / (count(1, 0) + count(1, 1)), held_out.get("recall").unwrap());
    assert_eq!(count(1, 1) / (count(0, 1) + count(1, 1)), held_out.get("precision").unwrap());
    let curve = held_out_table(model, ScoreTable::RocCurve);
    let column = |name: &str| curve.column_by_name(name).unwrap().as_primitive::<Float64Type>().values().to_vec();
    let (recall, fallout, threshold) = (column("recall"), column("false_positive_rate"), column("threshold"));
    assert!(recall.is_sorted() && fallout.is_sorted() && threshold.is_sorted_by(|left, right| left >= right));
    assert_eq!((recall.last(), fallout.last()), (Some(&1.0), Some(&1.0)));
    assert!(curve.num_rows() <= 101);
    let mut area = 0.0;
    let (mut x, mut y) = (0.0, 0.0);
    for (next_x, next_y) in fallout.iter().zip(&recall) {
        area += (next_x - x) * (next_y + y) / 2.0;
        (x, y) = (*next_x, *next_y);
    }
    assert!((area - held_out.get("roc_auc").unwrap()).abs() < 0.01, "{area}");
}

#[test]
fn a_class_may_be_called_as_the_first_column_of_the_matrix() {
    for (label, name) in [("expected_label", "expected_label_1"), ("expected_label_1", "expected_label_1")] {
        let batch = without(&shop(1000), &["price"]);
        let bought = batch.column_by_name("bought").unwrap().as_string::<i32>();
        let bought: StringArray = bought.iter().map(|class| Some(if class == Some("yes") { label } else { "a" })).collect();
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
            let column: ArrayRef = if field.name() == "bought" { Arc::new(bought.clone()) } else { Arc::clone(column) };
            (field.name().clone(), column)
        });
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let trained = trained("logistic_reg", &[("input_label_cols", "bought")], &batch);
        let matrix = held_out_table(predictor(&trained), ScoreTable::ConfusionMatrix);
        let names: Vec<String> = matrix.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["expected_label", "a", name]);
    }
}

#[test]
fn a_threshold_decides_who_is_of_the_second_class_and_changes_no_rank() {
    let batch = without(&shop(400), &["price"]);
    let trained = trained("logistic_reg", &[("input_label_cols", "bought")], &batch);
    let model = predictor(&trained);
    let lists = model.predict(&batch, None).unwrap().remove(1);
    let pairs = lists.as_list::<i32>().values().as_struct();
    let scores = pairs.column(0).as_string::<i32>().iter().zip(pairs.column(1).as_primitive::<Float64Type>().values());
    let scores: Vec<f64> = scores.filter(|(label, _)| *label == Some("yes")).map(|(_, score)| *score).collect();
    let auc = evaluate(model, &batch).get("roc_auc");
    for threshold in [0.0, 0.2, 0.5, 0.9, 1.0, scores[7]] {
        let chosen = model.predict(&batch, Some(threshold)).unwrap().remove(0);
        let is_yes: Vec<bool> = chosen.as_string::<i32>().iter().map(|label| label == Some("yes")).collect();
        assert_eq!(is_yes, scores.iter().map(|score| *score >= threshold).collect::<Vec<_>>(), "{threshold}");
        let scores = scored(model, &batch, Some(threshold));
        assert_eq!(scores.evaluation.get("roc_auc"), auc);
        let matrix = model.score_table(ScoreTable::ConfusionMatrix, &scores).unwrap();
        let n_yes: i64 = matrix.column_by_name("yes").unwrap().as_primitive::<Int64Type>().values().iter().sum();
        assert_eq!(n_yes as usize, is_yes.iter().filter(|is_yes| **is_yes).count(), "{threshold}");
    }
    for wrong in [1.5, -0.1, f64::NAN] {
        check_error(model.predict(&batch, Some(wrong)), Code::InvalidParameter, &["a probability from 0 to 1"]);
    }
}

#[test]
fn weights_are_the_planted_ones_with_their_categories() {
    let batch = without(&shop(2000), &["bought", "constant"]);
    let trained = trained("linear_reg", &[("input_label_cols", "price")], &batch);
    let weights = predictor(&trained).table(ModelTable::Weights).unwrap();
    let texts = |name: &str| weights.column_by_name(name).unwrap().as_string::<i32>().clone();
    let (inputs, categories) = (texts("processed_input"), texts("category"));
    let weight = weights.column_by_name("weight").unwrap().as_primitive::<Float64Type>();
    let p_value = weights.column_by_name("p_value").unwrap().as_primitive::<Float64Type>();
    let of = |input: &str, category: Option<&str>| {
        (0..weights.num_rows()).find(|row| inputs.value(*row) == input && categories.iter().nth(*row) == Some(category))
    };
    let size = of("size", None).unwrap();
    assert!((weight.value(size) - 3.0).abs() < 0.1 && p_value.value(size) < 1e-9, "{weights:?}");
    let difference = match (of("colour", Some("red")), of("colour", Some("green"))) {
        (Some(red), Some(green)) => weight.value(red) - weight.value(green),
        // One colour is what the others are compared with.
        (Some(red), None) => weight.value(red),
        (None, Some(green)) => -weight.value(green),
        (None, None) => panic!("{weights:?}"),
    };
    assert!((difference - 15.0).abs() < 0.3, "{difference}");
    assert!(p_value.value(of("noise", None).unwrap()) > 1e-6);
    let classes = without(&shop(600), &["price"]);
    let logistic = super::trained("logistic_reg", &[("input_label_cols", "bought")], &classes);
    let weights = predictor(&logistic).table(ModelTable::Weights).unwrap();
    assert!(weights.column_by_name("class_label").unwrap().as_string::<i32>().iter().all(|label| label == Some("yes")));
}

#[test]
fn feature_info_summarises_the_training_rows() {
    let batch = table(vec![
        ("x", Arc::new(Float64Array::from(vec![Some(1.0), None, Some(4.0), Some(2.0), Some(f64::NAN)]))),
        ("c", Arc::new(StringArray::from(vec![Some("a"), Some("a"), None, Some("b"), Some("c")]))),
        ("y", floats([1.0, 2.0, 3.0, 4.0, 5.0])),
    ]);
    let trained = trained("random_forest_regressor", &[("input_label_cols", "y")], &batch);
    let info = predictor(&trained).table(ModelTable::FeatureInfo).unwrap();
    let number = |name: &str, row: usize| {
        let column = info.column_by_name(name).unwrap().as_primitive::<Float64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    let count = |name: &str, row: usize| info.column_by_name(name).unwrap().as_primitive::<Int64Type>().iter().nth(row).unwrap();
    assert_eq!((number("min", 0), number("max", 0), number("median", 0)), (Some(1.0), Some(4.0), Some(2.0)));
    assert!((number("mean", 0).unwrap() - 7.0 / 3.0).abs() < 1e-15);
    assert!((number("stddev", 0).unwrap() - (7.0f64 / 3.0).sqrt()).abs() < 1e-15);
    assert_eq!((count("category_count", 0), count("null_count", 0)), (None, Some(2)));
    assert_eq!((number("min", 1), count("category_count", 1), count("null_count", 1)), (None, Some(3), Some(1)));
}
