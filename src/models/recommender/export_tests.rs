//! The files of EXPORT MODEL for a recommender, as another program reads them.

use super::tests::{batch, definition, recommender, spec, tastes, train_on};
use crate::error::Code;
use crate::models::{Models, Trained};
use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Int64Type, UInt32Type};
use datafusion::common::ScalarValue;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::path::Path;
use std::sync::Arc;
use weir_functions::Recommender;
use weir_ml::als::Factors;

fn movie(item: i64) -> String {
    format!("movie {item:03}")
}

/// 30 users, numbered, and 20 items with names.
async fn trained(options: &[(&str, &str)]) -> Trained {
    let rows = tastes();
    let users: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.0 as i32)).collect::<Int32Array>());
    let items: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| movie(row.1))));
    let ratings: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Float64Array>());
    train_on(spec(options), vec![batch(users, items, ratings)]).await.unwrap()
}

fn file_names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn json(directory: &Path, file: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(directory.join(file)).unwrap()).unwrap()
}

/// The rows of a Parquet file; no column has NULL.
fn rows_of(directory: &Path, file: &str) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(directory.join(file)).unwrap()).unwrap();
    let schema = Arc::clone(builder.schema());
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(|batch| batch.unwrap()).collect();
    assert!(schema.fields().iter().all(|field| !field.is_nullable()), "{schema}");
    concat_batches(&schema, &batches).unwrap()
}

/// The columns, in order; a list as the type of its values behind `lists of`.
fn columns(rows: &RecordBatch) -> Vec<(String, String)> {
    let shown = |data_type: &DataType| match data_type {
        DataType::LargeList(element) => format!("lists of {}", element.data_type()),
        other => other.to_string(),
    };
    rows.schema().fields().iter().map(|field| (field.name().clone(), shown(field.data_type()))).collect()
}

fn expected(columns: &[(&str, &str)]) -> Vec<(String, String)> {
    columns.iter().map(|(name, data_type)| ((*name).to_owned(), (*data_type).to_owned())).collect()
}

fn values<T: ArrowPrimitiveType>(rows: &RecordBatch, column: &str) -> Vec<T::Native> {
    rows.column_by_name(column).unwrap().as_primitive::<T>().values().to_vec()
}

fn lists<T: ArrowPrimitiveType>(rows: &RecordBatch, column: &str) -> Vec<Vec<T::Native>> {
    let lists = rows.column_by_name(column).unwrap().as_list::<i64>();
    lists.iter().map(|list| list.unwrap().as_primitive::<T>().values().to_vec()).collect()
}

fn rows_of_factors(factors: &Factors) -> Vec<Vec<f32>> {
    factors.rows().map(<[f32]>::to_vec).collect()
}

#[tokio::test]
async fn exported_files_hold_the_factors_with_their_ids() {
    let directory = tempfile::tempdir().unwrap();
    let trained = trained(&[("rank", "4"), ("bias", "learned"), ("ranking", "implicit"), ("maxIter", "5")]).await;
    let models = Models::open(&directory.path().join("models")).unwrap();
    models.save(&trained, "id", 1).unwrap();
    let target = directory.path().join("of/recs");
    models.export(&definition("id", 1), 1, &target, "of/recs").unwrap();

    // What is exported is what is kept.
    let names = file_names(&target);
    assert_eq!(names, ["SHA256SUMS", "item_factors.parquet", "model.json", "training.json", "user_factors.parquet"]);
    assert_eq!(file_names(&directory.path().join("of")), ["recs"]);
    let sums = std::fs::read_to_string(target.join("SHA256SUMS")).unwrap();
    for name in &names {
        let kept = std::fs::read(directory.path().join("models/id/1").join(name)).unwrap();
        assert_eq!(std::fs::read(target.join(name)).unwrap(), kept, "{name}");
        assert_eq!(sums.contains(&format!("  {name}\n")), name != "SHA256SUMS", "{name}: {sums}");
    }
    let error = models.export(&definition("id", 1), 1, &target, "of/recs").unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::DuplicateObject, "\"of/recs\" is not empty"));

    let model = recommender(&trained.model);
    let (als, companion) = (model.factors(), model.companion_factors().unwrap());
    let (users, items) = (rows_of(&target, "user_factors.parquet"), rows_of(&target, "item_factors.parquet"));
    let of_both = [("id", "Int64"), ("features", "lists of Float32"), ("bias", "Float32"), ("ranking_features", "lists of Float32")];
    assert_eq!(columns(&users), expected(&[&of_both[..], &[("seen", "lists of UInt32"), ("ratings", "lists of Float32")]].concat()));
    assert_eq!(columns(&items), expected(&[&[("id", "Utf8")][..], &of_both[1..], &[("popularity", "Float32")]].concat()));

    assert_eq!(values::<Int64Type>(&users, "id"), (0..30).collect::<Vec<i64>>());
    let names: Vec<String> = items.column_by_name("id").unwrap().as_string::<i32>().iter().map(|name| name.unwrap().to_owned()).collect();
    assert_eq!(names, (0..20).map(|item| movie(item * 10)).collect::<Vec<_>>());
    for (rows, factors, of_companion, bias, n_rows) in
        [(&users, &als.users, &companion.users, &als.user_bias, 30), (&items, &als.items, &companion.items, &als.item_bias, 20)]
    {
        let features = lists::<Float32Type>(rows, "features");
        assert!(features.len() == n_rows && features.iter().all(|row| row.len() == 4));
        assert_eq!(features, rows_of_factors(factors));
        assert_eq!(lists::<Float32Type>(rows, "ranking_features"), rows_of_factors(of_companion));
        assert_eq!(values::<Float32Type>(rows, "bias"), *bias);
    }
    assert_eq!(values::<Float32Type>(&items, "popularity"), model.popularity);
    let (seen, ratings) = (lists::<UInt32Type>(&users, "seen"), lists::<Float32Type>(&users, "ratings"));
    let of_model: Vec<(Vec<u32>, Vec<f32>)> =
        (0..30).map(|user| model.seen.row(user)).map(|(items, ratings)| (items.to_vec(), ratings.to_vec())).collect();
    assert_eq!(seen.into_iter().zip(ratings).collect::<Vec<_>>(), of_model);

    let manifest = json(&target, "model.json");
    assert_eq!(manifest["format"], 3);
    assert_eq!(manifest["kind"], "recommender");
    assert_eq!(manifest["parameters"]["num_factors"], "4");
    assert_eq!(manifest["parameters"]["bias"], "learned");
    let about = &manifest["model"];
    assert_eq!(about["user"], serde_json::json!({ "name": "user_id", "data_type": "Int32" }));
    assert_eq!(about["item"], serde_json::json!({ "name": "movie_id", "data_type": "Utf8" }));
    assert_eq!(about["rating_column"], "rating");
    assert_eq!(about["n_users"], 30);
    assert_eq!(about["n_items"], 20);
    assert_eq!(about["has_companion"], true);
    let losses: Vec<Option<f64>> =
        json(&target, "training.json")["iterations"].as_array().unwrap().iter().map(|row| row["eval_loss"].as_f64()).collect();
    assert_eq!(losses, trained.report.iterations.iter().map(|row| row.eval_loss).collect::<Vec<_>>());

    // Whoever has the files can predict.
    let mean = about["mean"].as_f64().unwrap();
    let (of_users, of_items) = (lists::<Float32Type>(&users, "features"), lists::<Float32Type>(&items, "features"));
    let (user_bias, item_bias) = (values::<Float32Type>(&users, "bias"), values::<Float32Type>(&items, "bias"));
    for (user, item) in [(0usize, 0usize), (7, 19), (29, 4)] {
        let product: f64 = of_users[user].iter().zip(&of_items[item]).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum();
        let predicted = mean + f64::from(user_bias[user]) + f64::from(item_bias[item]) + product;
        let asked = model.predict(&ScalarValue::from(user as i64), &ScalarValue::from(names[item].as_str())).unwrap().unwrap();
        assert!((predicted - asked).abs() < 1e-5, "user {user}, item {item}: {predicted} for {asked}");
    }
}

#[tokio::test]
async fn places_of_items_are_deltas_and_not_looked_up_in_a_dictionary() {
    let directory = tempfile::tempdir().unwrap();
    let models = Models::open(&directory.path().join("models")).unwrap();
    models.save(&trained(&[("rank", "2"), ("data_split_method", "no_split")]).await, "id", 1).unwrap();
    let target = directory.path().join("recs");
    models.export(&definition("id", 1), 1, &target, "recs").unwrap();
    let file = std::fs::File::open(target.join("user_factors.parquet")).unwrap();
    let metadata = Arc::clone(ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata());
    let seen = metadata.row_group(0).columns().iter().find(|column| column.column_path().string().starts_with("seen")).unwrap();
    assert_eq!(seen.dictionary_page_offset(), None);
    assert!(seen.encodings().any(|encoding| encoding == parquet::basic::Encoding::DELTA_BINARY_PACKED));
}

#[tokio::test]
async fn a_plain_model_has_neither_biases_nor_factors_that_rank() {
    let directory = tempfile::tempdir().unwrap();
    let trained = trained(&[("rank", "3"), ("data_split_method", "no_split")]).await;
    let models = Models::open(&directory.path().join("models")).unwrap();
    models.save(&trained, "id", 1).unwrap();
    let target = directory.path().join("recs");
    models.export(&definition("id", 1), 1, &target, "recs").unwrap();
    let (users, items) = (rows_of(&target, "user_factors.parquet"), rows_of(&target, "item_factors.parquet"));
    let features = ("features", "lists of Float32");
    assert_eq!(columns(&users), expected(&[("id", "Int64"), features, ("seen", "lists of UInt32"), ("ratings", "lists of Float32")]));
    assert_eq!(columns(&items), expected(&[("id", "Utf8"), features, ("popularity", "Float32")]));
    let als = recommender(&trained.model).factors();
    assert_eq!(lists::<Float32Type>(&users, "features"), rows_of_factors(&als.users));
    assert_eq!(lists::<Float32Type>(&items, "features"), rows_of_factors(&als.items));
    let manifest = json(&target, "model.json");
    let about = &manifest["model"];
    assert_eq!(about["has_companion"], false);
    assert!(about["mean"].is_null() && about["held_out"].is_null(), "{about}");
}
