//! From rows to predictions, through the disk: what every model type must hold.

mod errors;
mod folds;
mod measures;
mod options;
mod prediction;
mod real_data;
mod training;

use super::*;
use crate::catalog::{Model, Training};
use crate::models::{ModelOption, ModelOptions, Models, Observer, TrainSpec, Trained, TrainedModel, train};
use datafusion::arrow::array::{
    Array, AsArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, ListArray, StringArray, StructArray, UInt32Array,
};
use datafusion::arrow::compute::{cast, concat_batches, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef};
use datafusion::execution::memory_pool::{GreedyMemoryPool, UnboundedMemoryPool};
use futures::stream;
use std::num::NonZeroUsize;
use tokio_util::sync::CancellationToken;
use weir_ml::random::Stream;

fn text(text: &str) -> ModelOption {
    ModelOption::Text(text.to_owned())
}

fn number(number: impl ToString) -> ModelOption {
    ModelOption::Number(number.to_string())
}

/// Options in the order given; values that parse as numbers are numbers.
fn options(model_type: &str, given: &[(&str, &str)]) -> Vec<(String, ModelOption)> {
    let value = |value: &str| if value.parse::<f64>().is_ok() { number(value) } else { text(value) };
    std::iter::once(("model_type".to_owned(), text(model_type)))
        .chain(given.iter().map(|(key, given)| ((*key).to_owned(), value(given))))
        .collect()
}

fn spec(options: &[(String, ModelOption)], threads: usize) -> Result<TrainSpec> {
    let observer: Observer = Arc::new(|_| ());
    Ok(TrainSpec {
        name: "m".into(),
        options: ModelOptions::parse("m", options)?,
        threads: NonZeroUsize::new(threads),
        memory: Arc::new(UnboundedMemoryPool::default()),
        observer,
        previous: None,
    })
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn try_train_with(spec: TrainSpec, batches: Vec<RecordBatch>, schema: &SchemaRef) -> Result<Trained> {
    run(train(spec, schema, stream::iter(batches.into_iter().map(Ok)).boxed(), &CancellationToken::new()))
}

fn try_train(model_type: &str, given: &[(&str, &str)], batch: &RecordBatch) -> Result<Trained> {
    // In pieces, as a query delivers them.
    let n_rows = batch.num_rows();
    let pieces = (0..n_rows).step_by(997).map(|first| batch.slice(first, 997.min(n_rows - first))).collect();
    try_train_with(spec(&options(model_type, given), 2)?, pieces, &batch.schema())
}

#[track_caller]
fn trained(model_type: &str, given: &[(&str, &str)], batch: &RecordBatch) -> Trained {
    try_train(model_type, given, batch).unwrap_or_else(|error| panic!("{model_type}: {error}"))
}

fn predictor(trained: &Trained) -> &Arc<PredictorModel> {
    match &trained.model {
        TrainedModel::Predictor(model) => model,
        TrainedModel::Recommender(_) => panic!("a recommender"),
    }
}

#[track_caller]
fn error_of<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("no error"),
        Err(error) => error,
    }
}

#[track_caller]
fn check_error<T>(result: Result<T>, code: Code, parts: &[&str]) {
    let error = error_of(result);
    let line = error.one_line();
    assert_eq!(error.code, code, "{line}");
    parts.iter().for_each(|part| assert!(line.contains(part), "{line}\ndoes not contain {part}"));
}

fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn floats(values: impl IntoIterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

fn strings<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// A number for a row and a purpose.
fn uniform(row: usize, purpose: u64) -> f64 {
    Stream::new(purpose, row as u64).uniform()
}

/// `n` rows of what a seller knows: `size` and `colour` decide the price, `noise` and `constant` do not; some sizes
/// and colours are missing. `bought` is yes for large rows and red ones, with exceptions.
fn shop(n: usize) -> RecordBatch {
    const COLOURS: [&str; 3] = ["red", "green", "blue"];
    let size = |row: usize| (uniform(row, 1) * 100.0).round() / 10.0;
    let colour = |row: usize| COLOURS[(uniform(row, 2) * 3.0) as usize];
    let is_missing = |row: usize, purpose: u64| uniform(row, purpose) < 0.02;
    let price = |row: usize| 20.0 + 3.0 * size(row) + if colour(row) == "red" { 15.0 } else { 0.0 } + uniform(row, 4);
    let bought = |row: usize| (price(row) > 45.0) != (uniform(row, 5) < 0.05);
    let rows = || 0..n;
    table(vec![
        ("size", Arc::new(rows().map(|row| (!is_missing(row, 6)).then(|| size(row))).collect::<Float64Array>())),
        ("colour", Arc::new(rows().map(|row| (!is_missing(row, 7)).then(|| colour(row))).collect::<StringArray>())),
        ("noise", floats(rows().map(|row| uniform(row, 3)))),
        ("constant", floats(rows().map(|_| 7.0))),
        ("price", floats(rows().map(price))),
        ("bought", strings(rows().map(|row| if bought(row) { "yes" } else { "no" }))),
    ])
}

/// The shop without some columns.
fn without(batch: &RecordBatch, names: &[&str]) -> RecordBatch {
    let kept: Vec<usize> =
        (0..batch.num_columns()).filter(|place| !names.contains(&batch.schema().field(*place).name().as_str())).collect();
    batch.project(&kept).unwrap()
}

fn permuted(batch: &RecordBatch) -> RecordBatch {
    let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
    order.sort_by_key(|row| Stream::new(99, u64::from(*row)).next_u64());
    take_record_batch(batch, &UInt32Array::from(order)).unwrap()
}

/// Options of a model, by name.
type Options = Vec<(&'static str, &'static str)>;

/// Every model type with small options, and what it learns from the shop.
fn every_type() -> Vec<(&'static str, Options, RecordBatch)> {
    let prices = without(&shop(1500), &["bought"]);
    let purchases = without(&shop(1500), &["price"]);
    let plain = without(&prices, &["price"]);
    let (price, bought) = (("input_label_cols", "price"), ("input_label_cols", "bought"));
    vec![
        ("linear_reg", vec![price], prices.clone()),
        ("linear_reg", vec![price, ("l2_reg", "1"), ("category_encoding_method", "label_encoding")], prices.clone()),
        ("elastic_net", vec![price, ("l1_reg", "0.5"), ("l2_reg", "0.5")], prices.clone()),
        ("glm", vec![price, ("family", "poisson")], prices.clone()),
        ("glm", vec![price, ("family", "gamma")], prices.clone()),
        ("random_forest_regressor", vec![price, ("num_parallel_tree", "10")], prices.clone()),
        ("boosted_tree_regressor", vec![price], prices),
        ("logistic_reg", vec![bought], purchases.clone()),
        ("random_forest_classifier", vec![bought, ("num_parallel_tree", "10")], purchases.clone()),
        ("boosted_tree_classifier", vec![bought], purchases.clone()),
        ("naive_bayes", vec![bought], purchases),
        ("kmeans", vec![("num_clusters", "3")], plain.clone()),
        ("pca", vec![("num_principal_components", "2")], plain),
    ]
}

/// The bits of all predictions.
fn predictions(model: &PredictorModel, batch: &RecordBatch) -> Vec<ArrayRef> {
    model.predict(batch, None).unwrap()
}

fn held_out_table(model: &PredictorModel, table: ScoreTable) -> RecordBatch {
    model.score_table(table, model.held_out_scores(table).unwrap()).unwrap()
}
