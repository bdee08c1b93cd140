//! Directories that cannot be imported: each error names the file or the stage.

use super::fixture::{Node, Place, inner, leaf, nested, nodes, number};
use super::tests::{floats, linear, predicted, rows, says};
use crate::error::Code;
use datafusion::arrow::array::Int32Array;
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn directories_that_are_no_models() {
    let place = Place::new();
    says(&place.refused("nothing").await, Code::Io, &["no files"]);
    says(&place.refused("/etc").await, Code::ForbiddenLocation, &[]);
    says(&place.refused("../up").await, Code::ForbiddenLocation, &[]);
    place.write("plain/data.csv", b"a,b");
    says(&place.refused("plain").await, Code::InvalidParameter, &["not a saved Spark model", "metadata"]);
    says(&place.refused("plain/data.csv").await, Code::Io, &["is a file"]);
    says(&place.refused("plain/*").await, Code::InvalidParameter, &["pattern"]);
    place.write("torn/metadata/part-00000", b"{\"class\": ");
    says(&place.refused("torn").await, Code::DataCorrupted, &["torn/metadata/part-00000"]);
}

#[tokio::test]
async fn damaged_parts_are_named() {
    let place = Place::new();
    place.metadata("no_data", "regression.LinearRegressionModel", json!({}), json!({}));
    says(&place.refused("no_data").await, Code::DataCorrupted, &["no_data/data", "no Parquet"]);
    place.metadata("torn", "regression.LinearRegressionModel", json!({}), json!({}));
    place.write("torn/data/part-0.parquet", b"PAR1 and no more");
    says(&place.refused("torn").await, Code::DataCorrupted, &["torn/data/part-0.parquet"]);
    linear(&place, "nan", &[1.0, f64::NAN], 0.0);
    says(&place.refused("nan").await, Code::DataCorrupted, &["nan/data", "NaN"]);
    place.metadata("columns", "regression.LinearRegressionModel", json!({}), json!({}));
    place.table("columns/data", vec![("intercept", number(1.0))]);
    says(&place.refused("columns").await, Code::DataCorrupted, &["no column \"coefficients\"", "intercept"]);
    place.metadata("lost", "PipelineModel", json!({ "stageUids": ["a", "b"] }), json!({}));
    place.metadata("lost/stages/0_a", "feature.Normalizer", json!({ "inputCol": "a", "outputCol": "b" }), json!({}));
    says(&place.refused("lost").await, Code::DataCorrupted, &["stage 1", "stages/1_b"]);
    place.metadata("params", "feature.Bucketizer", json!({ "inputCol": "a", "outputCol": "b", "splits": [1, 0] }), json!({}));
    says(&place.refused("params").await, Code::DataCorrupted, &["params/metadata", "splits"]);
    // Files that fit each other but not together: a scaler, and a model, of other vectors than the stages before make.
    place.pipeline(
        "wide",
        &[&|place, at| place.assembler(at, &["a", "b"], "features", "error"), &|place, at| linear(place, at, &[1.0], 0.0)],
    );
    says(&place.refused("wide").await, Code::DataCorrupted, &["\"wide\"", "\"features\""]);
    place.pipeline(
        "hot",
        &[
            &|place, at| {
                place.metadata(at, "feature.OneHotEncoderModel", json!({ "inputCols": ["a"], "outputCols": ["hot"] }), json!({}));
                place.table(&format!("{at}/data"), vec![("categorySizes", nested(Arc::new(Int32Array::from(vec![60_000_000]))))]);
            },
            &|place, at| place.assembler(at, &["hot", "vector"], "features", "error"),
            &|place, at| linear(place, at, &[1.0, 2.0], 0.0),
        ],
    );
    says(&place.refused("hot").await, Code::DataCorrupted, &["\"hot\""]);
    let broken: &[(&str, Vec<Node>)] = &[
        ("circle", vec![inner(0, 0, (1, 0), 0, &[0.5], -1), leaf(0, 1, 1.0, &[1.0, 1.0])]),
        ("feature", vec![inner(0, 0, (1, 2), 9, &[0.5], -1), leaf(0, 1, 1.0, &[1.0, 1.0]), leaf(0, 2, 1.0, &[1.0, 1.0])]),
        ("hole", vec![inner(0, 0, (1, 2), 0, &[0.5], -1), leaf(0, 2, 1.0, &[1.0, 1.0])]),
        ("category", vec![inner(0, 0, (1, 2), 0, &[3.0], 2), leaf(0, 1, 1.0, &[1.0, 1.0]), leaf(0, 2, 1.0, &[1.0, 1.0])]),
    ];
    for (at, table) in broken {
        place.metadata(at, "regression.DecisionTreeRegressionModel", json!({}), json!({ "numFeatures": 1 }));
        place.table(&format!("{at}/data"), nodes(table, false));
        says(&place.refused(at).await, Code::DataCorrupted, &[&format!("{at}/data"), "Tree 0"]);
    }
}

#[tokio::test]
async fn stages_that_are_not_supported_are_named() {
    let place = Place::new();
    place.pipeline(
        "words",
        &[
            &|place, at| place.metadata(at, "feature.Tokenizer", json!({ "inputCol": "text", "outputCol": "features" }), json!({})),
            &|place, at| linear(place, at, &[1.0], 0.0),
        ],
    );
    says(&place.refused("words").await, Code::NotSupported, &["org.apache.spark.ml.feature.Tokenizer", "StringIndexer", "k-means"]);
    place.metadata("untrained", "Pipeline", json!({ "stageUids": [] }), json!({}));
    says(&place.refused("untrained").await, Code::NotSupported, &["fit(..)"]);
    place.assembler("stage", &["a"], "features", "error");
    says(&place.refused("stage").await, Code::NotSupported, &["no stage that predicts"]);
    // What nobody reads does not matter.
    place.pipeline(
        "beside",
        &[
            &|place, at| place.metadata(at, "feature.Tokenizer", json!({ "inputCol": "text", "outputCol": "tokens" }), json!({})),
            &|place, at| place.assembler(at, &["a", "B"], "features", "error"),
            &|place, at| linear(place, at, &[2.0, 10.0], 1.0),
        ],
    );
    let model = place.predictor("beside").await;
    assert_eq!(predicted(&model, &rows(vec![("b", floats(&[Some(0.5)])), ("A", floats(&[Some(3.0)]))])), [Some(12.0)]);
}
