//! Imports of hand-made directories; `tests/clients/spark_compare.py` compares with Spark itself.

use super::fixture::{Place, flag, inner, leaf, lists, matrix, nested, nodes, number, text_list, tree_weights, vector, vectors};
use crate::error::{Code, Error};
use crate::models::predictor::{ModelTable, PredictorModel};
use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use serde_json::json;
use std::sync::Arc;
use weir_functions::Recommender;

pub(super) fn floats(values: &[Option<f64>]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn words(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub(super) fn rows(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

#[track_caller]
pub(super) fn predicted(model: &PredictorModel, rows: &RecordBatch) -> Vec<Option<f64>> {
    model.predict(rows, None).unwrap()[0].as_primitive::<Float64Type>().iter().collect()
}

#[track_caller]
fn predicted_words(model: &PredictorModel, rows: &RecordBatch) -> Vec<Option<String>> {
    model.predict(rows, None).unwrap()[0].as_string::<i32>().iter().map(|word| word.map(str::to_owned)).collect()
}

/// The probabilities of the classes of a row, the most probable first.
fn probabilities(model: &PredictorModel, rows: &RecordBatch, row: usize) -> Vec<f64> {
    let lists = model.predict(rows, None).unwrap().remove(1);
    let pairs = lists.as_list::<i32>().value(row);
    pairs.as_struct().column(1).as_primitive::<Float64Type>().values().to_vec()
}

#[track_caller]
pub(super) fn says(error: &Error, code: Code, parts: &[&str]) {
    assert_eq!(error.code, code, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{error:?} does not say {part:?}");
    }
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1e-9), "{found} is not {expected}");
}

/// A linear regression over column `features`.
pub(super) fn linear(place: &Place, at: &str, coefficients: &[f64], intercept: f64) {
    place.metadata(at, "regression.LinearRegressionModel", json!({ "labelCol": "y" }), json!({}));
    place.table(&format!("{at}/data"), vec![("intercept", number(intercept)), ("coefficients", vector(coefficients))]);
}

/// Numbers of a model that Spark 4.3 trained on the used cars (Poisson family, log link), and the prices that Spark
/// predicted for two of them.
#[tokio::test]
async fn a_poisson_model_gives_the_prices_that_spark_gave() {
    const INTERCEPT: f64 = -213.218_017_496_115_24;
    const COEFFICIENTS: [f64; 8] = [
        0.012_914_181_230_778_5,
        -0.152_040_140_047_476_46,
        0.144_951_426_504_602_33,
        -0.101_864_314_093_078_96,
        0.000_852_858_255_336_553_3,
        0.110_712_072_524_415_71,
        -0.006_239_303_186_166_945,
        -4.024_131_286_050_916e-6,
    ];
    let place = Place::new();
    place.pipeline(
        "cars",
        &[
            &|place, at| {
                let columns = ["model", "manufacturer", "transmission", "fuelType"];
                let outputs = columns.map(|name| format!("{name}_idx"));
                let params = json!({ "inputCols": columns, "outputCols": outputs, "handleInvalid": "error" });
                place.metadata(at, "feature.StringIndexerModel", params, json!({}));
                let labels = ["Fiesta", "3 Series", "bmw", "audi", "ford", "Manual", "Semi-Auto", "Diesel", "Petrol"];
                let labels: ArrayRef = Arc::new(StringArray::from(labels.to_vec()));
                place.table(&format!("{at}/data"), vec![("labelsArray", nested(lists(&[2, 3, 2, 2], labels)))]);
            },
            &|place, at| {
                let inputs = ["model_idx", "manufacturer_idx", "transmission_idx", "fuelType_idx", "tax", "year", "mpg", "mileage"];
                place.assembler(at, &inputs, "features", "error");
            },
            &|place, at| {
                let params = json!({ "family": "poisson", "link": "log", "labelCol": "price", "linkPredictionCol": "eta" });
                place.metadata(at, "regression.GeneralizedLinearRegressionModel", params, json!({}));
                place.table(&format!("{at}/data"), vec![("intercept", number(INTERCEPT)), ("coefficients", vector(&COEFFICIENTS))]);
            },
        ],
    );
    let model = place.predictor("cars").await;
    let cars = rows(vec![
        ("model", words(&[Some("Fiesta"); 2])),
        ("manufacturer", words(&[Some("ford"); 2])),
        ("transmission", words(&[Some("Manual"); 2])),
        ("fueltype", words(&[Some("Petrol"); 2])),
        ("tax", Arc::new(Int32Array::from(vec![150, 0]))),
        ("year", Arc::new(Int64Array::from(vec![2017, 2013]))),
        ("mpg", floats(&[Some(65.7); 2])),
        ("mileage", Arc::new(Int64Array::from(vec![2_360, 79_300]))),
    ]);
    assert_eq!(model.output_fields(cars.schema_ref()).unwrap()[0].name(), "predicted_price");
    let prices = predicted(&model, &cars);
    near(prices[0].unwrap(), 11_977.650_819_475_568);
    near(prices[1].unwrap(), 4_966.169_368_131_526);
}

#[tokio::test]
async fn unknown_words_are_refused_left_out_or_a_category() {
    let place = Place::new();
    for invalid in ["error", "skip", "keep"] {
        place.pipeline(
            invalid,
            &[
                &|place, at| place.indexer(at, ("word", "index"), &["b", "a"], invalid),
                &|place, at| place.assembler(at, &["index"], "features", "error"),
                &|place, at| linear(place, at, &[10.0], 1.0),
            ],
        );
    }
    let known = rows(vec![("WORD", words(&[Some("a"), Some("b")]))]);
    let unknown = rows(vec![("word", words(&[Some("a"), Some("zz"), None]))]);
    let strict = place.predictor("error").await;
    assert_eq!(predicted(&strict, &known), [Some(11.0), Some(1.0)]);
    says(&strict.predict(&unknown, None).unwrap_err(), Code::InvalidValue, &["\"word\"", "'zz'", "row 2", "handleInvalid"]);
    let null = rows(vec![("word", words(&[None]))]);
    says(&strict.predict(&null, None).unwrap_err(), Code::InvalidValue, &["NULL", "row 1"]);
    assert_eq!(predicted(&*place.predictor("skip").await, &unknown), [Some(11.0), None, None]);
    assert_eq!(predicted(&*place.predictor("keep").await, &unknown), [Some(11.0), Some(21.0), Some(21.0)]);
}

#[tokio::test]
async fn numbers_are_indexed_by_the_text_that_spark_prints() {
    let place = Place::new();
    place.pipeline(
        "numbers",
        &[
            &|place, at| place.indexer(at, ("n", "index"), &["1", "1.0", "1.0E7", "true", "0.1"], "keep"),
            &|place, at| place.assembler(at, &["index"], "features", "error"),
            &|place, at| linear(place, at, &[1.0], 0.0),
        ],
    );
    let model = place.predictor("numbers").await;
    let of = |array: ArrayRef| predicted(&model, &rows(vec![("n", array)]))[0].unwrap();
    assert_eq!(of(Arc::new(Int32Array::from(vec![1]))), 0.0);
    assert_eq!(of(floats(&[Some(1.0)])), 1.0);
    assert_eq!(of(floats(&[Some(1e7)])), 2.0);
    assert_eq!(of(Arc::new(BooleanArray::from(vec![true]))), 3.0);
    assert_eq!(of(Arc::new(Float32Array::from(vec![0.1]))), 4.0);
    assert_eq!(of(floats(&[Some(7.0)])), 5.0);
}

#[tokio::test]
async fn one_hot_vectors_have_sparks_widths() {
    // Three categories: dropLast and handleInvalid decide about width and the row of an invalid value.
    let cases = [
        (true, "error", vec![Some(1.0), Some(10.0), Some(0.0)], None),
        (false, "error", vec![Some(1.0), Some(10.0), Some(100.0)], None),
        (true, "keep", vec![Some(1.0), Some(10.0), Some(100.0)], Some(0.0)),
        (false, "keep", vec![Some(1.0), Some(10.0), Some(100.0)], Some(1000.0)),
    ];
    let place = Place::new();
    for (number_of_case, (drop_last, invalid, expected, other)) in cases.into_iter().enumerate() {
        let at = format!("case{number_of_case}");
        let width = 3 + usize::from(invalid == "keep") - usize::from(drop_last);
        place.pipeline(
            &at,
            &[
                &|place, at| {
                    let params = json!({ "inputCols": ["n"], "outputCols": ["hot"], "dropLast": drop_last, "handleInvalid": invalid });
                    place.metadata(at, "feature.OneHotEncoderModel", params, json!({}));
                    place.table(&format!("{at}/data"), vec![("categorySizes", nested(Arc::new(Int32Array::from(vec![3]))))]);
                },
                &|place, at| place.assembler(at, &["hot"], "features", "error"),
                &|place, at| linear(place, at, &[1.0, 10.0, 100.0, 1000.0][..width], 0.0),
            ],
        );
        let model = place.predictor(&at).await;
        assert_eq!(predicted(&model, &rows(vec![("n", floats(&[Some(0.0), Some(1.0), Some(2.0)]))])), expected, "{at}");
        let invalid = rows(vec![("n", floats(&[Some(7.0)]))]);
        match other {
            Some(other) => assert_eq!(predicted(&model, &invalid), [Some(other)], "{at}"),
            None => says(&model.predict(&invalid, None).unwrap_err(), Code::InvalidValue, &["\"n\"", "OneHotEncoder"]),
        }
    }
}

#[tokio::test]
async fn an_assembler_takes_no_text_and_treats_null_as_told() {
    let place = Place::new();
    for invalid in ["error", "skip", "keep"] {
        place.pipeline(
            invalid,
            &[&|place, at| place.assembler(at, &["a", "b"], "features", invalid), &|place, at| linear(place, at, &[1.0, 10.0], 0.0)],
        );
    }
    let strict = place.predictor("error").await;
    let text = rows(vec![("a", words(&[Some("1")])), ("b", floats(&[Some(1.0)]))]);
    says(&strict.predict(&text, None).unwrap_err(), Code::InvalidStatement, &["\"a\"", "Utf8", "CAST"]);
    let gaps = rows(vec![("a", floats(&[Some(1.0), None, Some(f64::NAN)])), ("b", floats(&[Some(2.0); 3]))]);
    says(&strict.predict(&gaps, None).unwrap_err(), Code::InvalidValue, &["\"features\"", "row 2", "NULL"]);
    assert_eq!(predicted(&*place.predictor("skip").await, &gaps), [Some(21.0), None, None]);
    assert_eq!(predicted(&*place.predictor("keep").await, &gaps), [Some(21.0), None, None]);
}

#[tokio::test]
async fn scalers_change_features_one_after_the_other() {
    let place = Place::new();
    place.pipeline(
        "scaled",
        &[
            &|place, at| place.assembler(at, &["a", "b"], "raw", "error"),
            &|place, at| {
                let params = json!({ "inputCol": "raw", "outputCol": "standard", "withMean": true, "withStd": true });
                place.metadata(at, "feature.StandardScalerModel", params, json!({}));
                // A feature that never varied becomes 0.
                place.table(&format!("{at}/data"), vec![("std", vector(&[2.0, 0.0])), ("mean", vector(&[1.0, 5.0]))]);
            },
            &|place, at| {
                let params = json!({ "inputCol": "standard", "outputCol": "ranged", "min": -1.0, "max": 3.0 });
                place.metadata(at, "feature.MinMaxScalerModel", params, json!({}));
                let sparse = vectors(&[(Some(2), &[], &[])]);
                place.table(&format!("{at}/data"), vec![("originalMin", sparse), ("originalMax", vector(&[2.0, 0.0]))]);
            },
            &|place, at| {
                place.metadata(at, "feature.MaxAbsScalerModel", json!({ "inputCol": "ranged", "outputCol": "most" }), json!({}));
                place.table(&format!("{at}/data"), vec![("maxAbs", vector(&[4.0, 0.0]))]);
            },
            &|place, at| {
                let params = json!({ "inputCol": "most", "outputCol": "robust", "withCentering": true });
                place.metadata(at, "feature.RobustScalerModel", params, json!({}));
                place.table(&format!("{at}/data"), vec![("range", vector(&[0.5, 1.0])), ("median", vector(&[0.25, 0.5]))]);
            },
            &|place, at| {
                place.metadata(at, "feature.Normalizer", json!({ "inputCol": "robust", "outputCol": "features", "p": "Inf" }), json!({}));
            },
            &|place, at| linear(place, at, &[1.0, 10.0], 0.0),
        ],
    );
    let model = place.predictor("scaled").await;
    // a: 5 -> 2 -> 3 -> 0.75 -> 1 and b: 9 -> 0 -> 1 (the middle) -> 1 -> 0.5, of which the largest is 1.
    assert_eq!(predicted(&model, &rows(vec![("a", floats(&[Some(5.0)])), ("b", floats(&[Some(9.0)]))])), [Some(6.0)]);
}

#[tokio::test]
async fn imputers_keep_the_type_and_bucketizers_the_ends() {
    let place = Place::new();
    place.pipeline(
        "filled",
        &[
            &|place, at| {
                let params = json!({ "inputCols": ["a", "n"], "outputCols": ["a", "n_full"], "missingValue": -1.0 });
                place.metadata(at, "feature.ImputerModel", params, json!({}));
                place.table(&format!("{at}/data"), vec![("a", number(2.5)), ("n", number(2.9))]);
            },
            &|place, at| {
                let params = json!({ "inputCol": "t", "outputCol": "bucket", "splits": ["-Inf", 0.0, 10.0], "handleInvalid": "keep" });
                place.metadata(at, "feature.Bucketizer", params, json!({}));
            },
            &|place, at| {
                place.metadata(at, "feature.Binarizer", json!({ "inputCol": "t", "outputCol": "high", "threshold": 5.0 }), json!({}))
            },
            &|place, at| place.assembler(at, &["a", "n_full", "bucket", "high"], "features", "keep"),
            &|place, at| linear(place, at, &[1.0, 10.0, 100.0, 1000.0], 0.0),
        ],
    );
    let model = place.predictor("filled").await;
    let of = |t: Option<f64>| {
        rows(vec![
            ("a", floats(&[None, Some(-1.0), Some(4.0)])),
            ("n", Arc::new(Int32Array::from(vec![None, Some(-1), Some(4)]))),
            ("t", floats(&[t; 3])),
        ])
    };
    // Surrogates 2.5 and, of an integer, 2.
    assert_eq!(predicted(&model, &of(Some(-7.0))), [Some(22.5), Some(22.5), Some(44.0)]);
    assert_eq!(predicted(&model, &of(Some(0.0)))[2], Some(144.0));
    assert_eq!(predicted(&model, &of(Some(10.0)))[2], Some(1144.0));
    // NaN has a bucket, NULL has none.
    assert_eq!(predicted(&model, &of(Some(f64::NAN)))[2], Some(244.0));
    assert_eq!(predicted(&model, &of(None))[2], None);
    says(&model.predict(&of(Some(10.5)), None).unwrap_err(), Code::InvalidValue, &["\"t\"", "10.5", "splits"]);
}

#[tokio::test]
async fn a_forest_gives_the_words_of_its_label() {
    let place = Place::new();
    let table = vec![
        // Nodes may stand in any order. Three of four categories go left: Spark asks for the fourth.
        leaf(1, 2, 0.0, &[0.0, 5.0]),
        inner(1, 0, (1, 2), 0, &[0.0, 1.0, 2.0], 4),
        leaf(1, 1, 0.0, &[8.0, 2.0]),
        inner(0, 0, (1, 2), 1, &[0.5], -1),
        leaf(0, 1, 0.0, &[3.0, 1.0]),
        leaf(0, 2, 1.0, &[1.0, 4.0]),
    ];
    for (at, thresholds) in [("forest", json!({})), ("shifted", json!({ "thresholds": [0.9, 0.1] }))] {
        place.pipeline(
            at,
            &[
                &|place, at| place.indexer(at, ("Churn", "label"), &["No", "Yes"], "error"),
                &|place, at| place.assembler(at, &["category", "x"], "features", "keep"),
                &|place, at| {
                    let more = json!({ "numFeatures": 2, "numClasses": 2, "numTrees": 2 });
                    place.metadata(at, "classification.RandomForestClassificationModel", thresholds.clone(), more);
                    place.table(&format!("{at}/data"), nodes(&table, true));
                    place.table(&format!("{at}/treesMetadata"), tree_weights(["_1", "_2", "_3"], &[1.0, 1.0]));
                },
            ],
        );
    }
    let (model, shifted) = (place.predictor("forest").await, place.predictor("shifted").await);
    // 9 is no category: to the side of the many. NaN goes right at a threshold.
    let batch = rows(vec![("category", floats(&[Some(1.0), Some(3.0), Some(9.0)])), ("x", floats(&[Some(0.5), Some(0.6), None]))]);
    assert_eq!(model.output_fields(batch.schema_ref()).unwrap()[0].name(), "predicted_Churn");
    let word = |word: &str| Some(word.to_owned());
    assert_eq!(predicted_words(&model, &batch), [word("No"), word("Yes"), word("No")]);
    assert_eq!(predicted_words(&shifted, &batch), [word("Yes"), word("Yes"), word("Yes")]);
    near(probabilities(&model, &batch, 0)[0], (0.75 + 0.8) / 2.0);
    near(probabilities(&model, &batch, 1)[0], (0.8 + 1.0) / 2.0);
    near(probabilities(&model, &batch, 2)[0], (0.2 + 0.8) / 2.0);
}

#[tokio::test]
async fn boosted_trees_add_weighted_leaves() {
    let place = Place::new();
    let table = vec![
        inner(0, 0, (1, 2), 0, &[0.5], -1),
        leaf(0, 1, -1.0, &[1.0, 1.0, 1.0]),
        leaf(0, 2, 1.0, &[1.0, 1.0, 1.0]),
        leaf(1, 0, 0.25, &[1.0, 1.0, 1.0]),
    ];
    for (at, class) in [("gbt", "regression.GBTRegressionModel"), ("gbc", "classification.GBTClassificationModel")] {
        place.metadata(at, class, json!({ "labelCol": "y" }), json!({ "numFeatures": 1, "numTrees": 2 }));
        place.table(&format!("{at}/data"), nodes(&table, true));
        place.table(&format!("{at}/treesMetadata"), tree_weights(["treeID", "metadata", "weights"], &[1.0, 0.1]));
    }
    // A model alone reads vectors: an array here, Spark's struct below.
    let arrays = rows(vec![("features", lists(&[1, 1], floats(&[Some(0.0), Some(1.0)])))]);
    let structs = rows(vec![("features", vectors(&[(Some(1), &[], &[]), (None, &[], &[1.0])]))]);
    let regression = place.predictor("gbt").await;
    let found: Vec<f64> = predicted(&regression, &arrays).into_iter().flatten().collect();
    near(found[0], -0.975);
    near(found[1], 1.025);
    assert_eq!(predicted(&regression, &structs).into_iter().flatten().collect::<Vec<_>>(), found);
    let classifier = place.predictor("gbc").await;
    // No label in words: the numbers that Spark predicts.
    assert_eq!(predicted(&classifier, &arrays), [Some(0.0), Some(1.0)]);
    near(probabilities(&classifier, &arrays, 1)[0], 1.0 / (1.0 + (-2.05f64).exp()));
    let wide = rows(vec![("features", lists(&[2], floats(&[Some(0.0), Some(1.0)])))]);
    says(&regression.predict(&wide, None).unwrap_err(), Code::InvalidValue, &["\"features\"", "2 numbers", "1"]);
    let ragged = rows(vec![("features", lists(&[1, 2], floats(&[Some(0.0), Some(1.0), Some(2.0)])))]);
    says(&regression.predict(&ragged, None).unwrap_err(), Code::InvalidValue, &["row 2"]);
    let plain = rows(vec![("features", floats(&[Some(0.0)]))]);
    says(&regression.output_fields(plain.schema_ref()).unwrap_err(), Code::InvalidStatement, &["array"]);
}

#[tokio::test]
async fn logistic_regressions_of_two_and_more_classes() {
    let place = Place::new();
    place.metadata("two", "classification.LogisticRegressionModel", json!({ "threshold": 0.9 }), json!({}));
    let data = |coefficients: ArrayRef, intercepts: &[f64], is_multinomial: bool| {
        vec![("interceptVector", vector(intercepts)), ("coefficientMatrix", coefficients), ("isMultinomial", flag(is_multinomial))]
    };
    place.table("two/data", data(matrix(1, 2, &[1.0, -1.0], true), &[0.5], false));
    let batch = rows(vec![("features", lists(&[2, 2], floats(&[Some(2.0), Some(1.0), Some(4.0), Some(0.0)])))]);
    let model = place.predictor("two").await;
    // Probabilities 0.82 and 0.99.
    assert_eq!(predicted(&model, &batch), [Some(0.0), Some(1.0)]);
    near(probabilities(&model, &batch, 0)[0], 1.0 / (1.0 + (-1.5f64).exp()));
    place.metadata("three", "classification.LogisticRegressionModel", json!({}), json!({}));
    // By columns: classes (1, 0), (0, 2), (-1, 1).
    place.table("three/data", data(matrix(3, 2, &[1.0, 0.0, -1.0, 0.0, 2.0, 1.0], false), &[0.0, 0.1, 0.0], true));
    let model = place.predictor("three").await;
    assert_eq!(predicted(&model, &batch), [Some(1.0), Some(0.0)]);
    let sum = 2f64.exp() + 2.1f64.exp() + (-1f64).exp();
    near(probabilities(&model, &batch, 0)[0], 2.1f64.exp() / sum);
    place.metadata("wrong", "classification.LogisticRegressionModel", json!({ "thresholds": [0.5, 0.5] }), json!({}));
    place.table("wrong/data", data(matrix(3, 1, &[1.0, 0.0, -1.0], false), &[0.0, 0.1, 0.0], true));
    says(&place.refused("wrong").await, Code::DataCorrupted, &["do not fit"]);
}

#[tokio::test]
async fn clusters_are_numbered_from_zero() {
    let place = Place::new();
    place.metadata("kmeans", "clustering.KMeansModel", json!({}), json!({}));
    let centres = vectors(&[(None, &[], &[10.0, 0.0]), (None, &[], &[0.0, 3.0])]);
    place.table("kmeans/data", vec![("clusterIdx", Arc::new(Int32Array::from(vec![1, 0]))), ("clusterCenter", centres)]);
    let model = place.predictor("kmeans").await;
    let batch = rows(vec![("features", lists(&[2, 2], floats(&[Some(9.0), Some(0.0), Some(4.0), Some(0.0)])))]);
    let columns = model.predict(&batch, None).unwrap();
    assert_eq!(columns[0].as_primitive::<Int64Type>().values().to_vec(), [1, 0]);
    let nearest = columns[1].as_list::<i32>().value(1);
    assert_eq!(nearest.as_struct().column(1).as_primitive::<Float64Type>().values().to_vec(), [5.0, 6.0]);
}

#[tokio::test]
async fn the_best_model_of_a_search_is_taken() {
    let place = Place::new();
    place.metadata("search", "tuning.CrossValidatorModel", json!({}), json!({ "avgMetrics": [1.0] }));
    linear(&place, "search/bestModel", &[3.0], 1.0);
    linear(&place, "search/subModels/0", &[7.0], 1.0);
    let model = place.predictor("search").await;
    assert_eq!(predicted(&model, &rows(vec![("features", lists(&[1], floats(&[Some(2.0)])))])), [Some(7.0)]);
}

/// One row or many at once, in batches of any size: the same answers.
#[tokio::test]
async fn batches_equal_single_rows() {
    let place = Place::new();
    place.pipeline(
        "many",
        &[
            &|place, at| place.indexer(at, ("word", "index"), &["b", "a"], "skip"),
            &|place, at| place.assembler(at, &["index", "x"], "features", "skip"),
            &|place, at| linear(place, at, &[10.0, 0.1], 1.0),
        ],
    );
    let model = place.predictor("many").await;
    let n = 2_500;
    let word = |row: usize| [Some("a"), Some("b"), None, Some("c")][row % 4];
    let x = |row: usize| (row % 7 != 3).then_some(row as f64);
    let batch = rows(vec![("word", words(&(0..n).map(word).collect::<Vec<_>>())), ("x", floats(&(0..n).map(x).collect::<Vec<_>>()))]);
    let all = predicted(&model, &batch);
    assert_eq!(all.iter().filter(|value| value.is_none()).count(), (0..n).filter(|row| row % 4 > 1 || row % 7 == 3).count());
    for row in (0..n).step_by(97) {
        assert_eq!(predicted(&model, &batch.slice(row, 1)), [all[row]], "row {row}");
    }
    assert_eq!(predicted(&model, &batch.slice(0, 0)), []);
}

#[tokio::test]
async fn factors_become_a_recommender() {
    let place = Place::new();
    let factors = |at: &str, ids: &[i32], factors: &[f32]| {
        let features: ArrayRef = Arc::new(Float32Array::from(factors.to_vec()));
        place.table(at, vec![("id", Arc::new(Int32Array::from(ids.to_vec()))), ("features", lists(&vec![2; ids.len()], features))]);
    };
    let params = json!({ "userCol": "user_id", "itemCol": "movie", "ratingCol": "stars", "coldStartStrategy": "drop" });
    place.metadata("als", "recommendation.ALSModel", params.clone(), json!({ "rank": 2 }));
    factors("als/userFactors", &[40, 3], &[1.0, 0.5, 0.25, 2.0]);
    factors("als/itemFactors", &[8, 7, 9], &[4.0, 0.0, 0.0, 8.0, 1.0, 1.0]);
    let model = place.recommender("als").await;
    assert_eq!((model.user_column().0, model.item_column().0, model.rating_column()), ("user_id", "movie", "stars"));
    assert_eq!(model.user_column().1, &DataType::Int32);
    let score = |user: i32, item: i32| model.predict(&user.into(), &item.into()).unwrap();
    assert_eq!((score(40, 8), score(40, 7), score(3, 7), score(3, 9)), (Some(4.0), Some(4.0), Some(16.0), Some(2.25)));
    assert_eq!((score(1, 8), score(3, 1)), (None, None));
    says(model.held_out().as_ref().unwrap_err(), Code::InvalidStatement, &["imported from Spark", "ML.EVALUATE(MODEL m, TABLE t)"]);
    // Words numbered by a pipeline.
    place.pipeline(
        "words",
        &[&|place, at| place.indexer(at, ("name", "user_id"), &["zoe", "adam"], "error"), &|place, at| {
            place.metadata(at, "recommendation.ALSModel", params.clone(), json!({ "rank": 2 }));
            factors(&format!("{at}/userFactors"), &[1, 0], &[1.0, 0.0, 0.0, 1.0]);
            factors(&format!("{at}/itemFactors"), &[5], &[2.0, 3.0]);
        }],
    );
    let model = place.recommender("words").await;
    assert_eq!(model.user_column(), ("name", &DataType::Utf8));
    assert_eq!(model.predict(&"adam".into(), &5.into()).unwrap(), Some(2.0));
    assert_eq!(model.predict(&"zoe".into(), &5.into()).unwrap(), Some(3.0));
    place.metadata("torn", "recommendation.ALSModel", params, json!({ "rank": 2 }));
    factors("torn/userFactors", &[1], &[1.0, 0.0]);
    let ragged = lists(&[1, 2], Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0])));
    place.table("torn/itemFactors", vec![("id", Arc::new(Int32Array::from(vec![1, 2]))), ("features", ragged)]);
    says(&place.refused("torn").await, Code::DataCorrupted, &["torn/itemFactors", "Id 2"]);
}

#[tokio::test]
async fn spark_2_indexers_have_one_list_of_labels() {
    let place = Place::new();
    place.pipeline(
        "old",
        &[
            &|place, at| {
                place.metadata(at, "feature.StringIndexerModel", json!({ "inputCol": "w", "outputCol": "i" }), json!({}));
                place.table(&format!("{at}/data"), vec![("labels", text_list(&["x", "y"]))]);
            },
            &|place, at| place.assembler(at, &["i"], "features", "error"),
            &|place, at| linear(place, at, &[1.0], 0.0),
        ],
    );
    let model = place.predictor("old").await;
    assert_eq!(predicted(&model, &rows(vec![("w", words(&[Some("y")]))])), [Some(1.0)]);
}

#[tokio::test]
async fn tables_name_the_columns_that_a_pipeline_reads() {
    let place = Place::new();
    let before = |place: &Place, at: &str, last: &dyn Fn(&Place, &str)| {
        place.pipeline(
            at,
            &[
                &|place, at| place.indexer(at, ("word", "index"), &["b", "a", "c"], "error"),
                &|place, at| {
                    let params = json!({ "inputCols": ["index"], "outputCols": ["hot"] });
                    place.metadata(at, "feature.OneHotEncoderModel", params, json!({}));
                    place.table(&format!("{at}/data"), vec![("categorySizes", nested(Arc::new(Int32Array::from(vec![3]))))]);
                },
                &|place, at| place.assembler(at, &["hot", "x"], "features", "error"),
                last,
            ],
        );
    };
    let texts = |batch: &RecordBatch, column: &str| -> Vec<Option<String>> {
        batch.column_by_name(column).unwrap().as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    };
    let doubles = |batch: &RecordBatch, column: &str| batch.column_by_name(column).unwrap().as_primitive::<Float64Type>().values().to_vec();
    let some = |text: &str| Some(text.to_owned());
    before(&place, "linear", &|place, at| linear(place, at, &[1.0, 2.0, 3.0], 4.0));
    let weights = place.predictor("linear").await.table(ModelTable::Weights).unwrap();
    assert_eq!(texts(&weights, "processed_input"), [some("__INTERCEPT__"), some("word"), some("word"), some("x")]);
    assert_eq!(texts(&weights, "category"), [None, some("b"), some("a"), None]);
    assert_eq!(doubles(&weights, "weight"), [4.0, 1.0, 2.0, 3.0]);
    before(&place, "tree", &|place, at| {
        place.metadata(at, "regression.DecisionTreeRegressionModel", json!({}), json!({ "numFeatures": 3 }));
        let table = vec![
            inner(0, 0, (1, 4), 0, &[0.5], -1),
            inner(0, 1, (2, 3), 2, &[0.5], -1),
            leaf(0, 2, 1.0, &[1.0, 1.0]),
            leaf(0, 3, 1.0, &[1.0, 1.0]),
            leaf(0, 4, 1.0, &[1.0, 1.0]),
        ];
        place.table(&format!("{at}/data"), nodes(&table, false));
    });
    let model = place.predictor("tree").await;
    let importance = model.table(ModelTable::FeatureImportance).unwrap();
    assert_eq!(texts(&importance, "feature"), [some("word"), some("x")]);
    assert_eq!(doubles(&importance, "importance"), [0.5, 0.5]);
    assert_eq!(model.table(ModelTable::Weights).unwrap_err().code, Code::WrongObject);
}
