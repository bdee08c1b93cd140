//! From rows to recommendations, through the disk.

use super::*;
use crate::catalog::{Model, ObjectKey, Snapshot, Training};
use crate::error::{Code, Error, Result};
use crate::models::training::Rows;
use crate::models::{CatalogLookup, Loaded, ModelOption, ModelOptions, Models, TrainSpec, Trained, TrainedModel};
use datafusion::arrow::array::{
    Array, ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, StringViewArray, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, stream};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use weir_functions::{Given, RecommendOptions, Recommender, model_functions};

pub(super) fn spec(options: &[(&str, &str)]) -> TrainSpec {
    let options: Vec<(&str, ModelOption)> = options.iter().map(|(key, value)| (*key, ModelOption::Text((*value).into()))).collect();
    spec_of(&options)
}

pub(super) fn spec_of(options: &[(&str, ModelOption)]) -> TrainSpec {
    let mut all = vec![("model_type".to_owned(), ModelOption::Text("als".into()))];
    all.extend(options.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    TrainSpec {
        name: "m".into(),
        options: ModelOptions::parse("m", &all).unwrap(),
        threads: None,
        memory: Arc::new(UnboundedMemoryPool::default()),
        observer: Arc::new(|_| {}),
        previous: None,
    }
}

/// Lists with or without what the user has rated.
pub(super) fn listing(exclude_seen: bool) -> RecommendOptions {
    RecommendOptions { exclude_seen, items: None }
}

pub(super) fn batch(user: ArrayRef, item: ArrayRef, rating: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("user_id", user, true), ("movie_id", item, true), ("rating", rating, true)]).unwrap()
}

pub(super) async fn train_on(spec: TrainSpec, batches: Vec<RecordBatch>) -> Result<Trained> {
    let schema = batches[0].schema();
    crate::models::train(spec, &schema, stream::iter(batches.into_iter().map(Ok)).boxed(), &CancellationToken::new()).await
}

/// The recommender that was trained.
pub(super) fn recommender(model: &TrainedModel) -> &Arc<RecommenderModel> {
    let TrainedModel::Recommender(model) = model else { panic!("{model:?} is no recommender") };
    model
}

/// Trains on batches that train.
pub(super) async fn trained_on(options: &[(&str, &str)], batches: Vec<RecordBatch>) -> Arc<RecommenderModel> {
    Arc::clone(recommender(&train_on(spec(options), batches).await.unwrap().model))
}

/// 30 users and 20 items in two tastes: even users like even items, odd users odd ones. Every user leaves
/// out the items that agree with it modulo 5.
pub(super) fn tastes() -> Vec<(i64, i64, f64)> {
    let mut rows = Vec::new();
    for user in 0..30 {
        for item in (0..20).filter(|item| item % 5 != user % 5) {
            rows.push((user, item * 10, if (user + item) % 2 == 0 { 5.0 } else { 1.0 }));
        }
    }
    rows
}

pub(super) fn tastes_batch() -> RecordBatch {
    let rows = tastes();
    batch(
        Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Float64Array>()),
    )
}

pub(super) fn items_of(model: &RecommenderModel, user: i64, k: usize, exclude_seen: bool) -> Vec<i64> {
    let list = model.recommend(&ScalarValue::from(user), k, &listing(exclude_seen)).unwrap();
    list.iter().map(|scored| scored.item.to_string().parse().unwrap()).collect()
}

#[tokio::test]
async fn bad_rows_are_named_by_row_and_column() {
    let good: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let ratings: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0]));
    let with_null: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
    let cases: Vec<(RecordBatch, Code, &str)> = vec![
        (batch(with_null.clone(), good.clone(), ratings.clone()), Code::InvalidValue, "column \"user_id\" is NULL in row 5"),
        (batch(good.clone(), with_null, ratings.clone()), Code::InvalidValue, "column \"movie_id\" is NULL in row 5"),
        (
            batch(good.clone(), good.clone(), Arc::new(Float64Array::from(vec![Some(1.0), Some(2.0), None]))),
            Code::InvalidValue,
            "column \"rating\" is NULL in row 6",
        ),
        (
            batch(good.clone(), good.clone(), Arc::new(Float64Array::from(vec![f64::NAN, 1.0, 2.0]))),
            Code::InvalidValue,
            "column \"rating\" is NaN in row 4",
        ),
        (
            batch(good.clone(), good.clone(), Arc::new(Float64Array::from(vec![1e300, 1.0, 2.0]))),
            Code::InvalidValue,
            "too large for a rating in row 4",
        ),
    ];
    for (bad, code, message) in cases {
        let error = train_on(spec(&[]), vec![batch(good.clone(), good.clone(), ratings.clone()), bad]).await.unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.to_string().contains(message), "{message}: {error}");
    }
    let large: ArrayRef = Arc::new(UInt64Array::from(vec![1, 2, u64::MAX]));
    let error = train_on(spec(&[]), vec![batch(large, good.clone(), ratings.clone())]).await.unwrap_err();
    assert!(error.to_string().contains("column \"user_id\" is larger than a BIGINT in row 3"), "{error}");
}

#[tokio::test]
async fn unusable_queries_are_refused() {
    let good: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let float: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    let check = async |options: &[(&str, &str)], batch: RecordBatch, code: Code, message: &str| {
        let error = train_on(spec(options), vec![batch]).await.unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.to_string().contains(message), "{message}: {error}");
    };
    let usable = || batch(good.clone(), good.clone(), float.clone());
    check(&[("user_col", "usr_id")], usable(), Code::UndefinedColumn, "has no column \"usr_id\" (\"user_col\")").await;
    check(&[("user_col", "usr_id")], usable(), Code::UndefinedColumn, "Did you mean \"user_id\"?").await;
    check(&[("user_col", "rating"), ("rating_col", "rating")], usable(), Code::InvalidParameter, "name the same column").await;
    check(&[], batch(float.clone(), good.clone(), float.clone()), Code::InvalidStatement, "\"user_id\" of the query for model \"m\"").await;
    check(&[], batch(good.clone(), good.clone(), text.clone()), Code::InvalidStatement, "not a number").await;
    check(&[], usable().project(&[0, 1]).unwrap(), Code::InvalidStatement, "has no column for \"rating_col\"").await;
    check(&[], usable().slice(0, 0), Code::InvalidValue, "returned no row").await;
    check(&[("data_split_eval_fraction", "0.999")], usable(), Code::InvalidValue, "too few rows to hold some out").await;
}

#[tokio::test]
async fn an_error_of_the_query_is_passed_on_whole() {
    let schema = tastes_batch().schema();
    let error = Error::new(Code::InvalidValue, "division by zero").hint("Do not.");
    let rows = stream::iter([Ok(tastes_batch()), Err(error.clone())]).boxed();
    assert_eq!(crate::models::train(spec(&[]), &schema, rows, &CancellationToken::new()).await.unwrap_err(), error);
}

#[tokio::test]
async fn tastes_are_learned_and_seen_items_left_out() {
    let trained = train_on(spec(&[("rank", "4"), ("regParam", "0.02")]), vec![tastes_batch()]).await.unwrap();
    let model = recommender(&trained.model);
    for user in 0..30i64 {
        // Four unseen items, two to the user's taste.
        let unseen = items_of(model, user, 10, true);
        assert_eq!(unseen.len(), 4, "user {user}");
        assert!(unseen[..2].iter().all(|item| (user + item / 10) % 2 == 0), "user {user}: {unseen:?}");
        assert_eq!(items_of(model, user, 1000, false).len(), 20);
    }
    let metric = |name: &str| trained.metrics[name];
    assert_eq!((metric("n_users"), metric("n_items")), (30.0, 20.0));
    assert_eq!(metric("rows_train") + metric("rows_eval"), 480.0);
    assert!(metric("rmse") < 0.5 && metric("mae") <= metric("rmse"), "{:?}", trained.metrics);
    assert_eq!(trained.parameters["user_col"], "user_id");
    let held_out = model.held_out().unwrap();
    assert_eq!((held_out.get("rmse"), held_out.get("rows_eval")), (Some(metric("rmse")), Some(metric("rows_eval"))));
    assert_eq!(held_out.schema().unwrap(), model.evaluation_form().schema().unwrap());
}

#[tokio::test]
async fn the_order_of_rows_and_batches_and_threads_does_not_matter() {
    let whole = tastes_batch();
    let reversed: Vec<RecordBatch> = (0..whole.num_rows()).rev().map(|row| whole.slice(row, 1)).collect();
    let first = train_on(spec(&[]), vec![whole]).await.unwrap();
    let second = train_on(TrainSpec { threads: Some(3.try_into().unwrap()), ..spec(&[]) }, reversed).await.unwrap();
    assert_eq!(first.metrics, second.metrics);
    let [first, second] = [&first, &second].map(|trained| recommender(&trained.model));
    assert_eq!(first.factors(), second.factors());
    assert_eq!(first.seen, second.seen);
}

#[tokio::test]
async fn any_integer_and_string_ids_and_decimal_ratings_give_the_same_model() {
    let rows = tastes();
    let ratings: ArrayRef =
        Arc::new(Decimal128Array::from_iter_values(rows.iter().map(|row| (row.2 * 10.0) as i128)).with_precision_and_scale(3, 1).unwrap());
    let users: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.0 as i32)).collect::<Int32Array>());
    // Padded, so that the order of strings is that of the numbers.
    let items: ArrayRef = Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| format!("{:04}", row.1))));
    let other = trained_on(&[], vec![batch(users, items, ratings)]).await;
    let model = trained_on(&[], vec![tastes_batch()]).await;
    assert_eq!(other.factors(), model.factors());
    assert_eq!(other.user_column(), ("user_id", &DataType::Int32));
    assert_eq!(other.item_column(), ("movie_id", &DataType::Utf8));
    let best = other.recommend(&ScalarValue::from(3i64), 1, &listing(true)).unwrap();
    assert_eq!(best[0].item, ScalarValue::from(format!("{:04}", items_of(&model, 3, 1, true)[0])));
}

#[tokio::test]
async fn unknown_and_null_ids_follow_the_strategy() {
    let (known, unknown, null) = (ScalarValue::from(3i64), ScalarValue::from(999i64), ScalarValue::Int64(None));
    for (strategy, n_items, prediction) in [("popular", 5, None), ("drop", 0, None), ("nan", 0, Some(f64::NAN))] {
        let model = trained_on(&[("cold_start_strategy", strategy)], vec![tastes_batch()]).await;
        let shown = |value: Option<f64>| format!("{value:?}");
        assert_eq!(model.recommend(&unknown, 5, &listing(true)).unwrap().len(), n_items, "{strategy}");
        // Ratings of items that nobody knows are no ratings.
        let given = Given { items: Arc::new(Int64Array::from(vec![5])), ratings: Some(Float64Array::from(vec![1.0])) };
        assert_eq!(model.recommend_from(&given, 5, &listing(true)).unwrap().len(), n_items, "{strategy}");
        assert_eq!(shown(model.predict(&unknown, &known).unwrap()), shown(prediction), "{strategy}");
        assert_eq!(shown(model.predict(&known, &unknown).unwrap()), shown(prediction), "{strategy}");
        assert_eq!(model.predict(&known, &null).unwrap(), None, "{strategy}");
        assert_eq!(model.recommend(&null, 5, &listing(true)).unwrap(), [], "{strategy}");
    }
    let model = trained_on(&[], vec![tastes_batch()]).await;
    let error = model.recommend(&ScalarValue::from("x"), 5, &listing(true)).unwrap_err();
    assert!(error.to_string().contains("holds integers"), "{error}");
    // As a column: known, unknown, NULL.
    let users: ArrayRef = Arc::new(Int32Array::from(vec![Some(3), Some(999), None]));
    let lists = model.recommend_many(&users, &[4, 5, 6], &listing(true)).unwrap();
    assert_eq!(lists.lengths, [Some(4), Some(5), None]);
    assert_eq!((lists.items.len(), lists.scores.len()), (9, 9));
}

#[tokio::test]
async fn without_refit_what_was_only_held_out_is_unknown() {
    // Items with one rating each: a part of them is held out and must not be recommended with a zero score.
    let n = 200i64;
    let users: ArrayRef = Arc::new((0..n).map(|row| Some(row % 10)).collect::<Int64Array>());
    let items: ArrayRef = Arc::new((0..n).map(Some).collect::<Int64Array>());
    let ratings: ArrayRef = Arc::new((0..n).map(|row| Some((row % 5 + 1) as f64)).collect::<Float64Array>());
    let rows = batch(users, items, ratings);
    let trained = train_on(spec(&[("refit", "false")]), vec![rows.clone()]).await.unwrap();
    assert_eq!(trained.metrics["rows_eval"], trained.metrics["rows_eval_dropped"]);
    assert!(!trained.metrics.contains_key("rmse"));
    assert_eq!(trained.metrics["n_items"], trained.metrics["rows_train"]);
    let model = recommender(&trained.model);
    let evaluation = model.held_out().unwrap();
    assert_eq!((evaluation.get("rmse"), evaluation.get("rows_eval")), (None, evaluation.get("rows_eval_dropped")));
    for user in 0..10 {
        assert!(items_of(model, user, 1000, true).iter().all(|item| item % 10 != user), "user {user}");
    }
    let refitted = train_on(spec(&[]), vec![rows]).await.unwrap();
    assert_eq!(refitted.metrics["n_items"], n as f64);
}

#[tokio::test]
async fn evaluation_scores_given_rows_and_counts_the_unknown() {
    let trained = train_on(spec(&[("data_split_method", "no_split")]), vec![tastes_batch()]).await.unwrap();
    let error = recommender(&trained.model).held_out().unwrap_err();
    assert!(error.to_string().contains("has no held-out rows"), "{error}");

    let score = async |batch: RecordBatch| recommender(&trained.model).evaluate(&batch.schema(), stream::iter([Ok(batch)]).boxed()).await;
    let known = score(tastes_batch()).await.unwrap();
    assert_eq!((known.get("rows_eval"), known.get("rows_eval_dropped")), (Some(480.0), Some(0.0)));
    let mut sum = 0.0;
    for (user, item, rating) in tastes() {
        sum += (recommender(&trained.model).predict(&user.into(), &item.into()).unwrap().unwrap() - rating).powi(2);
    }
    assert!((known.get("rmse").unwrap() - (sum / 480.0).sqrt()).abs() < 1e-9);

    // Columns by name, whatever their place; unknown users and NULL ids are dropped.
    let users: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(99), None]));
    let items: ArrayRef = Arc::new(Int64Array::from(vec![10, 10, 10]));
    let ratings: ArrayRef = Arc::new(Float64Array::from(vec![5.0, 5.0, 5.0]));
    let shuffled = RecordBatch::try_from_iter([("Rating", ratings), ("USER_ID", users), ("movie_id", items)]).unwrap();
    let partly = score(shuffled.clone()).await.unwrap();
    assert_eq!((partly.get("rows_eval"), partly.get("rows_eval_dropped")), (Some(3.0), Some(2.0)));
    let error = score(shuffled.project(&[1, 2]).unwrap()).await.unwrap_err();
    assert_eq!(error.code, Code::UndefinedColumn, "{error}");
}

/// Enough work for minutes.
fn endless() -> (TrainSpec, RecordBatch) {
    let n = 200_000i64;
    let users: ArrayRef = Arc::new((0..n).map(|row| Some(row % 500)).collect::<Int64Array>());
    let items: ArrayRef = Arc::new((0..n).map(|row| Some(row * 7919 % 3001)).collect::<Int64Array>());
    let ratings: ArrayRef = Arc::new((0..n).map(|row| Some((row % 5) as f64)).collect::<Float64Array>());
    (spec(&[("rank", "1024"), ("max_iterations", "1000")]), batch(users, items, ratings))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn training_is_cancelled_at_once() {
    let (spec, rows) = endless();
    let cancel = CancellationToken::new();
    let schema = rows.schema();
    let mut training = Box::pin(crate::models::train(spec, &schema, stream::iter([Ok(rows)]).boxed(), &cancel));
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut training).await.is_err());
    let cancelled_at = Instant::now();
    cancel.cancel();
    assert_eq!(training.await.unwrap_err().code, Code::Cancelled);
    // The promise is 100 ms; the machine of a test may be busy.
    assert!(cancelled_at.elapsed() < Duration::from_secs(1), "{:?} after the cancellation", cancelled_at.elapsed());
    // A source that never answers.
    let never: Rows<'_> = stream::pending().boxed();
    assert_eq!(crate::models::train(self::spec(&[]), &schema, never, &cancel).await.unwrap_err().code, Code::Cancelled);
}

#[test]
fn dropping_the_future_stops_the_thread() {
    let (spec, rows) = endless();
    let schema = rows.schema();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let cancel = CancellationToken::new();
        let training = crate::models::train(spec, &schema, stream::iter([Ok(rows)]).boxed(), &cancel);
        assert!(tokio::time::timeout(Duration::from_millis(300), training).await.is_err());
    });
    // Dropping the runtime waits for its blocking threads.
    let start = Instant::now();
    drop(runtime);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

pub(super) fn definition(id: &str, version: u64) -> Model {
    Model {
        id: id.into(),
        database: "default".into(),
        name: "Movie_Recs".into(),
        training: Training {
            model_type: "matrix_factorization".into(),
            options: Vec::new(),
            query: String::new(),
            search_database: String::new(),
            timezone: String::new(),
        },
        default_version: version,
        versions: Vec::new(),
        created_ms: 0,
        owner: "admin".into(),
    }
}

#[tokio::test]
async fn a_saved_model_is_the_same_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let rows = tastes();
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| format!("ü{}", row.1))));
    let users: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.0 as i32)).collect::<Int32Array>());
    let ratings: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Float64Array>());
    let trained = train_on(spec(&[("cold_start_strategy", "nan")]), vec![batch(users, names, ratings)]).await.unwrap();
    let models = Models::open(directory.path()).unwrap();
    models.save(&trained, "id-1", 1).unwrap();
    assert_eq!(models.save(&trained, "id-1", 1).unwrap_err().code, Code::Conflict);

    let cached = models.load(&definition("id-1", 1), 1).unwrap();
    let model = recommender(&trained.model);
    assert!(Arc::ptr_eq(recommender(&cached.model), model));
    let loaded = Models::open(directory.path()).unwrap().load(&definition("id-1", 1), 1).unwrap();
    assert_eq!(*loaded.report, trained.report);
    let loaded = recommender(&loaded.model);
    assert_eq!(loaded.name(), "Movie_Recs");
    assert_eq!(loaded.factors(), model.factors());
    assert_eq!(loaded.seen, model.seen);
    assert_eq!(loaded.popularity, model.popularity);
    assert_eq!((loaded.cold_start, &loaded.held_out), (model.cold_start, &model.held_out));
    assert_eq!((loaded.user_column(), loaded.item_column()), (model.user_column(), model.item_column()));
    let user = ScalarValue::from(4i64);
    assert_eq!(loaded.recommend(&user, 10, &listing(true)).unwrap(), model.recommend(&user, 10, &listing(true)).unwrap());
}

#[tokio::test]
async fn users_and_items_of_many_blocks_are_the_same_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let rows: Vec<(i64, i64)> = (0..9_000).flat_map(|user| [(user, user % 4_500), (user, (user * 7 + 1) % 4_500)]).collect();
    let users: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| format!("user {}", row.0))));
    let items: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>());
    let ratings: ArrayRef = Arc::new(rows.iter().map(|row| Some((row.0 % 5) as f64)).collect::<Float64Array>());
    let options = [("rank", "3"), ("max_iterations", "1"), ("bias", "learned"), ("ranking", "implicit"), ("data_split_method", "no_split")];
    let trained = train_on(spec(&options), vec![batch(users, items, ratings)]).await.unwrap();
    let model = recommender(&trained.model);
    assert_eq!((model.n_users(), model.n_items()), (9_000, 4_500));
    Models::open(directory.path()).unwrap().save(&trained, "id", 1).unwrap();
    let loaded = Models::open(directory.path()).unwrap().load(&definition("id", 1), 1).unwrap();
    let loaded = recommender(&loaded.model);
    assert_eq!(loaded.primary.als, model.primary.als);
    assert_eq!(loaded.companion.as_ref().unwrap().als, model.companion.as_ref().unwrap().als);
    assert_eq!((&loaded.seen, &loaded.popularity), (&model.seen, &model.popularity));
    assert_eq!((loaded.users.stored(), loaded.items.stored()), (model.users.stored(), model.items.stored()));
}

#[tokio::test]
async fn damage_is_found_in_every_file() {
    let directory = tempfile::tempdir().unwrap();
    let trained = train_on(spec(&[]), vec![tastes_batch()]).await.unwrap();
    Models::open(directory.path()).unwrap().save(&trained, "id", 7).unwrap();
    let load = || Models::open(directory.path()).unwrap().load(&definition("id", 7), 7);
    load().unwrap();
    let version = directory.path().join("id/7");
    let mut names: Vec<String> =
        std::fs::read_dir(&version).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["SHA256SUMS", "item_factors.parquet", "model.json", "training.json", "user_factors.parquet"]);
    for name in names {
        let path = version.join(&name);
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for damaged in [&flipped[..], &whole[..whole.len() / 2], b""] {
            std::fs::write(&path, damaged).unwrap();
            let error = load().unwrap_err();
            assert_eq!(error.code, Code::DataCorrupted, "{name}: {error}");
            assert!(error.message.contains("Movie_Recs"), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(load().is_err(), "{name} is missing");
        std::fs::write(&path, whole).unwrap();
    }
    load().unwrap();
    let error = Models::open(directory.path()).unwrap().load(&definition("id", 8), 8).unwrap_err();
    assert_eq!(error.code, Code::DataCorrupted, "{error}");
}

#[tokio::test]
async fn the_sweep_removes_what_is_not_live_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let trained = train_on(spec(&[]), vec![tastes_batch()]).await.unwrap();
    let models = Models::open(directory.path()).unwrap();
    for (id, version) in [("a", 1), ("a", 2), ("b", 1), ("c", 1), ("d", 1)] {
        models.save(&trained, id, version).unwrap();
    }
    std::fs::create_dir(directory.path().join("a/.weir-1.tmp")).unwrap();
    models.remove_version("c", 1).unwrap();
    models.remove("d").unwrap();
    models.remove("never").unwrap();
    assert!(models.remove("../a").is_err());
    let live = BTreeSet::from([("a".to_owned(), 2)]);
    // Version 1 of a, the unfinished directory, b, and c without versions.
    assert_eq!(models.sweep(&live).unwrap(), 4);
    assert_eq!(models.sweep(&live).unwrap(), 0);
    let models = Models::open(directory.path()).unwrap();
    models.load(&definition("a", 2), 2).unwrap();
    assert!(models.load(&definition("a", 1), 1).is_err());
}

#[tokio::test]
async fn the_cache_keeps_what_was_used_last() {
    let directory = tempfile::tempdir().unwrap();
    let trained = train_on(spec(&[]), vec![tastes_batch()]).await.unwrap();
    // Room for two.
    let models = Models::open_with_cache(directory.path(), trained.model.bytes() * 5 / 2).unwrap();
    for id in ["a", "b"] {
        models.save(&trained, id, 1).unwrap();
    }
    let load = |id: &str| -> Loaded { models.load(&definition(id, 1), 1).unwrap() };
    let is_kept = |id: &str| Arc::ptr_eq(recommender(&load(id).model), recommender(&trained.model));
    assert!(is_kept("b") && is_kept("a"));
    models.save(&trained, "c", 1).unwrap();
    assert!(is_kept("a") && is_kept("c"));
    assert!(!is_kept("b"));
    // Loading never fails for want of room.
    let none = Models::open_with_cache(directory.path(), 0).unwrap();
    none.load(&definition("a", 1), 1).unwrap();
}

pub(super) fn lookup(models: &Arc<Models>, defined: Vec<Model>) -> CatalogLookup {
    let models_by_key = defined.into_iter().map(|model| (ObjectKey::new(&model.database, &model.name), Arc::new(model))).collect();
    let snapshot = Snapshot { models: models_by_key, ..Snapshot::default() };
    CatalogLookup { models: Arc::clone(models), snapshot: Arc::new(snapshot), current_database: "default".into() }
}

#[tokio::test]
async fn names_are_found_as_sql_finds_them() {
    let directory = tempfile::tempdir().unwrap();
    let models = Models::open(directory.path()).unwrap();
    let trained = train_on(spec(&[]), vec![tastes_batch()]).await.unwrap();
    models.save(&trained, "id", 1).unwrap();
    let lookup = lookup(&models, vec![definition("id", 1)]);
    for name in ["movie_recs", "MOVIE_RECS", "default.movie_recs", "Default.\"Movie_Recs\"", "`movie_recs`"] {
        assert!(lookup.recommender_model(name).is_ok(), "{name}");
    }
    let check = |name: &str, code: Code, message: &str| {
        let error = lookup.recommender_model(name).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert_eq!(error.to_string(), message);
    };
    check("movie_rec", Code::UndefinedObject, "model \"movie_rec\" does not exist. Did you mean \"Movie_Recs\"?");
    check("other.movie_recs", Code::UndefinedObject, "model \"other.movie_recs\" does not exist");
}

#[tokio::test]
async fn sql_reaches_a_model_of_the_catalog() {
    let directory = tempfile::tempdir().unwrap();
    let models = Models::open(directory.path()).unwrap();
    let trained = train_on(spec(&[]), vec![tastes_batch()]).await.unwrap();
    models.save(&trained, "id", 1).unwrap();
    let context = SessionContext::new();
    let (scalar, table) = model_functions(Arc::new(lookup(&models, vec![definition("id", 1)])));
    scalar.into_iter().for_each(|function| context.register_udf(function));
    table.into_iter().for_each(|(name, function)| context.register_udtf(name, function));
    context.register_batch("ratings", tastes_batch()).unwrap();

    let schema: SchemaRef = Arc::new(context.sql("SELECT * FROM recommend('movie_recs', 3, 5)").await.unwrap().schema().as_arrow().clone());
    assert_eq!(schema.field(0).name(), "movie_id");
    let count = async |sql: &str| -> i64 {
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        ScalarValue::try_from_array(batches[0].column(0), 0).unwrap().to_string().parse().unwrap()
    };
    assert_eq!(count("SELECT count(*) FROM recommend('movie_recs', 3, 10)").await, 4);
    // No seen item is recommended, to any user; and the score is the prediction.
    let lists = "SELECT u, unnest(r) AS r FROM (SELECT user_id AS u, recommend_items('movie_recs', user_id, 10) AS r FROM ratings GROUP BY user_id)";
    assert_eq!(count(&format!("SELECT count(*) FROM ({lists})")).await, 120);
    assert_eq!(count(&format!("SELECT count(*) FROM ({lists}) l JOIN ratings t ON t.user_id = l.u AND t.movie_id = l.r['item']")).await, 0);
    let equal = "count(*) FILTER (WHERE als_predict('movie_recs', u, r['item']) = r['score'])";
    assert_eq!(count(&format!("SELECT {equal} FROM ({lists})")).await, 120);

    // The other functions of a model, with lists as arguments.
    assert_eq!(count("SELECT count(*) FROM recommend('movie_recs', 3, 10, FALSE, [30, 10, 7])").await, 2);
    assert_eq!(count("SELECT count(*) FROM recommend_from('movie_recs', [10, 30], [5, 4.5], 6) WHERE movie_id NOT IN (10, 30)").await, 6);
    assert_eq!(count("SELECT count(*) FROM similar_items('movie_recs', 20, 4) WHERE movie_id <> 20 AND score <= 1").await, 4);
    assert_eq!(count("SELECT count(user_id) FROM similar_users('movie_recs', 3, 4)").await, 4);
    assert_eq!(count("SELECT count(*) FROM explain_recommendation('movie_recs', 3, 80, 5) WHERE share > 0").await, 5);
    assert_eq!(count("SELECT cardinality(recommend_items('movie_recs', 3, 10, TRUE, [80, 130]))").await, 2);
    for sql in [
        "SELECT * FROM ratings r, similar_items('movie_recs', r.movie_id, 2)",
        "SELECT * FROM recommend_from('movie_recs', [1], [1, 2], 5)",
    ] {
        assert!(context.sql(sql).await.is_err(), "{sql}");
    }

    let error = context.sql("SELECT * FROM recommend('movie_rec', 3, 5)").await.unwrap_err();
    let datafusion::error::DataFusionError::External(inner) = error.find_root() else { panic!("{error}") };
    assert_eq!(inner.downcast_ref::<Error>().map(|error| error.code), Some(Code::UndefinedObject));
}
