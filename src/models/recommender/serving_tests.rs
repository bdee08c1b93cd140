//! Answers of trained models: lists, histories, explanations, splits, and what training is told.

use super::rows::RecommendRequest;
use super::tests::{batch, definition, items_of, listing, recommender, spec, spec_of, tastes, tastes_batch, train_on, trained_on};
use super::*;
use crate::models::option::ModelOption;
use crate::models::{Models, TrainSpec, TrainedModel, TrainingProgress};
use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use futures::StreamExt;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;
use weir_functions::{Given, RecommendOptions, Recommender};

const SMALL: [(&str, &str); 2] = [("rank", "4"), ("regParam", "0.02")];

fn with(options: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    SMALL.iter().chain(options).copied().collect()
}

fn request(k: usize) -> RecommendRequest {
    RecommendRequest { k, exclude_seen: true, allowed: None, threads: 2.try_into().unwrap() }
}

/// (user, item, score, rank) of every row.
fn rows_of(model: &Arc<RecommenderModel>, rows: RecommendedRows) -> Vec<(i64, i64, f64, i64)> {
    let batches: Vec<RecordBatch> = rows.map(|batch| batch.unwrap()).collect();
    let all = concat_batches(&model.recommend_schema(), &batches).unwrap();
    let integers = |column: usize| all.column(column).as_primitive::<Int64Type>().values().to_vec();
    let (users, items, ranks) = (integers(0), integers(1), integers(3));
    let scores = all.column(2).as_primitive::<Float64Type>().values().to_vec();
    (0..all.num_rows()).map(|row| (users[row], items[row], scores[row], ranks[row])).collect()
}

fn given(items: Vec<i64>, ratings: Vec<f64>) -> Given {
    Given { items: Arc::new(Int64Array::from(items)), ratings: Some(Float64Array::from(ratings)) }
}

#[tokio::test]
async fn a_training_that_does_not_fit_into_memory_is_refused_by_name() {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1 << 20));
    let error = train_on(TrainSpec { memory: Arc::clone(&pool), ..spec(&[]) }, vec![tastes_batch()]).await.unwrap_err();
    assert_eq!(error.code, Code::LimitExceeded, "{error}");
    assert!(error.to_string().contains("training of model \"m\" needs 16 MiB") && error.to_string().contains("'limits.memory'"), "{error}");
    assert_eq!(pool.reserved(), 0);
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(64 << 20));
    train_on(TrainSpec { memory: Arc::clone(&pool), ..spec(&[]) }, vec![tastes_batch()]).await.unwrap();
    assert_eq!(pool.reserved(), 0);
}

#[tokio::test]
async fn lists_of_many_users_are_those_of_each() {
    for options in [with(&[]), with(&[("bias", "static")]), with(&[("ranking", "implicit")]), with(&[("implicitPrefs", "true")])] {
        let model = trained_on(&options, vec![tastes_batch()]).await;
        let list = |user: i64, k: usize| -> Vec<(i64, i64, f64, i64)> {
            let list = model.recommend(&user.into(), k, &listing(true)).unwrap();
            list.iter().map(|item| (user, item.item.to_string().parse().unwrap(), item.score, item.rank)).collect()
        };
        let cancel = CancellationToken::new();
        let all = rows_of(&model, model.recommend_rows(None, request(3), &cancel).unwrap());
        assert_eq!(all, (0..30).flat_map(|user| list(user, 3)).collect::<Vec<_>>(), "{options:?}");
        // In the order given; NULL has no rows, an unknown user what is popular.
        let users: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None, Some(99), Some(7)]));
        let some = rows_of(&model, model.recommend_rows(Some(&users), request(2), &cancel).unwrap());
        assert_eq!(some, [list(7, 2), list(99, 2), list(7, 2)].concat(), "{options:?}");
        cancel.cancel();
        let error = model.recommend_rows(None, request(3), &cancel).unwrap().next().unwrap().unwrap_err();
        assert_eq!(error.code, Code::Cancelled);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
        let error = model.recommend_rows(Some(&texts), request(3), &cancel).err().unwrap();
        assert!(error.to_string().contains("holds integers"), "{error}");
    }
}

#[tokio::test]
async fn names_of_the_columns_say_what_the_scores_are() {
    let name = async |options: &[(&str, &str)]| trained_on(options, vec![tastes_batch()]).await.recommend_schema().field(2).name().clone();
    assert_eq!(name(&[]).await, "predicted_rating");
    assert_eq!(name(&[("implicitPrefs", "true")]).await, "predicted_rating_confidence");
    assert_eq!(name(&[("ranking", "implicit")]).await, "predicted_rating_confidence");
}

#[tokio::test]
async fn only_the_items_asked_for_are_in_lists() {
    let model = trained_on(&SMALL, vec![tastes_batch()]).await;
    // Of user 3 items 30, 80, 130 and 180 are unseen; 5 is no item.
    let items: ArrayRef = Arc::new(Int64Array::from(vec![Some(130), Some(10), Some(5), None, Some(80)]));
    let only = |exclude_seen| RecommendOptions { exclude_seen, items: Some(Arc::clone(&items)) };
    let listed = |options: &RecommendOptions| -> Vec<String> {
        model.recommend(&3i64.into(), 10, options).unwrap().iter().map(|item| item.item.to_string()).collect()
    };
    assert_eq!(listed(&only(true)), ["130", "80"]);
    assert_eq!(listed(&only(false)).len(), 3);
    let request = RecommendRequest { allowed: Some(Arc::clone(&items)), ..request(10) };
    let rows = rows_of(&model, model.recommend_rows(None, request, &CancellationToken::new()).unwrap());
    assert!(rows.iter().all(|(_, item, _, _)| [130, 10, 80].contains(item)), "{rows:?}");
    assert_eq!(model.recommend(&99i64.into(), 10, &only(true)).unwrap().len(), 3);
}

#[tokio::test]
async fn a_user_who_is_folded_in_gets_what_training_gives() {
    for options in [
        with(&[]),
        with(&[("bias", "static")]),
        with(&[("bias", "learned")]),
        with(&[("implicitPrefs", "true")]),
        with(&[("nonnegative", "true")]),
    ] {
        let options = [options, vec![("data_split_method", "no_split")]].concat();
        let model = trained_on(&options, vec![tastes_batch()]).await;
        let (items, ratings): (Vec<i64>, Vec<f64>) = tastes().into_iter().filter(|row| row.0 == 4).map(|row| (row.1, row.2)).unzip();
        let folded = model.recommend_from(&given(items, ratings), 4, &listing(true)).unwrap();
        let trained = model.recommend(&4i64.into(), 4, &listing(true)).unwrap();
        assert_eq!(folded.len(), 4);
        for (folded, trained) in folded.iter().zip(&trained) {
            assert_eq!(folded.item, trained.item, "{options:?}");
            assert!((folded.score - trained.score).abs() <= 1e-3 * trained.score.abs().max(0.1), "{options:?}: {folded:?}, {trained:?}");
        }
    }
    // Without a known item: what is popular.
    let model = trained_on(&SMALL, vec![tastes_batch()]).await;
    let popular = model.recommend(&99i64.into(), 3, &listing(true)).unwrap();
    assert_eq!(model.recommend_from(&given(vec![5], vec![1.0]), 3, &listing(true)).unwrap(), popular);
    let error = model.recommend_from(&given(vec![10], vec![f64::NAN]), 3, &listing(true)).unwrap_err();
    assert!(error.to_string().contains("NULL or no finite number"), "{error}");
}

#[tokio::test]
async fn rows_with_ratings_fold_new_users_in() {
    let model = trained_on(&[("cold_start_strategy", "fold_in")], vec![tastes_batch()]).await;
    // User 100 likes even items, user 101 odd ones; 102 has rated nothing that is known.
    let rows = |users: Vec<Option<i64>>, items: Vec<i64>, ratings: Vec<f64>| {
        batch(Arc::new(Int64Array::from(users)), Arc::new(Int64Array::from(items)), Arc::new(Float64Array::from(ratings)))
    };
    let first = rows(vec![Some(101), Some(100), None, Some(101)], vec![10, 20, 20, 20], vec![5.0, 5.0, 5.0, 1.0]);
    let second = rows(vec![Some(100), Some(102), Some(100)], vec![30, 5, 40], vec![1.0, 3.0, 5.0]);
    let cancel = CancellationToken::new();
    let answer = rows_of(&model, model.fold_in_rows(&[first, second], request(5), &cancel).unwrap());
    let of = |user: i64| -> Vec<i64> { answer.iter().filter(|row| row.0 == user).map(|row| row.1).collect() };
    assert_eq!(answer.iter().map(|row| row.0).collect::<Vec<_>>(), [[101; 5], [100; 5], [102; 5]].concat());
    assert!(of(100).iter().all(|item| item / 10 % 2 == 0 && ![20, 40].contains(item)), "{:?}", of(100));
    assert!(of(101).iter().all(|item| item / 10 % 2 == 1 && *item != 10), "{:?}", of(101));
    assert_eq!(of(102), items_of(&model, 999, 5, true));
    // A known user's own ratings stay.
    let more = rows(vec![Some(3)], vec![30], vec![5.0]);
    let with_more = rows_of(&model, model.fold_in_rows(&[more], request(10), &cancel).unwrap());
    assert_eq!(with_more.len(), 3);
    // .. but for one that is given again: with the ratings that he has the list is his own, with another one it is not.
    let (items, ratings): (Vec<i64>, Vec<f64>) = tastes().into_iter().filter(|row| row.0 == 3).map(|row| (row.1, row.2)).unzip();
    let listed = |items: Vec<i64>, ratings: Vec<f64>| -> Vec<i64> {
        let given = rows(vec![Some(3); items.len()], items, ratings);
        rows_of(&model, model.fold_in_rows(&[given], request(2), &cancel).unwrap()).iter().map(|row| row.1).collect()
    };
    let own = items_of(&model, 3, 2, true);
    assert_eq!(listed(items.clone(), ratings.clone()), own);
    let opposite = listed(items, ratings.iter().map(|rating| 6.0 - rating).collect());
    assert!(opposite.iter().all(|item| !own.contains(item)), "{opposite:?}, {own:?}");
    let bad = rows(vec![Some(1)], vec![10], vec![f64::INFINITY]);
    let error = model.fold_in_rows(&[bad], request(5), &cancel).err().unwrap();
    assert!(error.to_string().contains("column \"rating\" is NULL or no finite number in row 1"), "{error}");
    assert_eq!(model.fold_in_rows(&[], request(5), &cancel).unwrap().count(), 0);
}

#[tokio::test]
async fn similar_is_what_is_liked_by_the_same() {
    let model = trained_on(&SMALL, vec![tastes_batch()]).await;
    let ids =
        |list: Vec<weir_functions::ItemScore>| -> Vec<i64> { list.iter().map(|item| item.item.to_string().parse().unwrap()).collect() };
    let items = model.similar_items(&20i64.into(), 9).unwrap();
    assert!(items.windows(2).all(|pair| pair[0].score >= pair[1].score) && items[0].score <= 1.0);
    let items = ids(items);
    assert!(items.len() == 9 && items.iter().all(|item| item / 10 % 2 == 0 && *item != 20), "{items:?}");
    let users = ids(model.similar_users(&3i64.into(), 14).unwrap());
    assert!(users.len() == 14 && users.iter().all(|user| user % 2 == 1 && *user != 3), "{users:?}");
    assert_eq!(model.similar_items(&5i64.into(), 9).unwrap(), []);
    assert_eq!(model.similar_users(&ScalarValue::Int64(None), 9).unwrap(), []);
}

#[tokio::test]
async fn contributions_of_the_history_sum_to_the_score() {
    for options in [with(&[]), with(&[("implicitPrefs", "true")])] {
        let options = [options, vec![("data_split_method", "no_split")]].concat();
        let model = trained_on(&options, vec![tastes_batch()]).await;
        let score = model.predict(&4i64.into(), &40i64.into()).unwrap().unwrap();
        let past = model.explain(&4i64.into(), &40i64.into(), 100).unwrap();
        assert_eq!(past.len(), 16);
        let sum: f64 = past.iter().map(|past| past.contribution).sum();
        assert!((sum - score).abs() < 1e-3 * score.abs().max(0.1), "{options:?}: {sum}, {score}");
        assert!((past.iter().map(|past| past.share).sum::<f64>() - 1.0).abs() < 1e-6);
        assert!(past.windows(2).all(|pair| pair[0].contribution >= pair[1].contribution));
        assert_eq!(model.explain(&4i64.into(), &40i64.into(), 2).unwrap(), past[..2]);
    }
    let model = trained_on(&SMALL, vec![tastes_batch()]).await;
    assert_eq!(model.explain(&99i64.into(), &40i64.into(), 5).unwrap(), []);
    assert_eq!(model.explain(&4i64.into(), &5i64.into(), 5).unwrap(), []);
}

#[tokio::test]
async fn everything_of_a_model_is_there_after_a_restart() {
    let cases = [with(&[("bias", "learned"), ("ranking", "implicit")]), with(&[("implicitPrefs", "true"), ("wals_alpha", "5")])];
    for (version, options) in (1..).zip(cases) {
        let directory = tempfile::tempdir().unwrap();
        let trained = train_on(spec(&options), vec![tastes_batch()]).await.unwrap();
        Models::open(directory.path()).unwrap().save(&trained, "id", version).unwrap();
        let loaded = Models::open(directory.path()).unwrap().load(&definition("id", version), version).unwrap();
        assert_eq!(*loaded.report, trained.report);
        let (loaded, model) = (recommender(&loaded.model), recommender(&trained.model));
        assert_eq!((loaded.factors(), loaded.companion_factors()), (model.factors(), model.companion_factors()));
        assert_eq!((&loaded.seen, &loaded.fit, loaded.ranking), (&model.seen, &model.fit, model.ranking));
        let history = || given(vec![10, 30], vec![5.0, 1.0]);
        let [ours, theirs] = [loaded, model].map(|model| model.recommend_from(&history(), 5, &listing(true)).unwrap());
        assert_eq!(ours, theirs);
        let [ours, theirs] = [loaded, model].map(|model| model.explain(&4i64.into(), &40i64.into(), 5).unwrap());
        assert_eq!(ours, theirs);
    }
}

#[tokio::test]
async fn implicit_feedback_needs_no_ratings() {
    let liked: Vec<(i64, i64, f64)> = tastes().into_iter().filter(|row| row.2 > 4.0).collect();
    let users: ArrayRef = Arc::new(liked.iter().map(|row| Some(row.0)).collect::<Int64Array>());
    let items: ArrayRef = Arc::new(liked.iter().map(|row| Some(row.1)).collect::<Int64Array>());
    let rows = RecordBatch::try_from_iter([("user_id", users), ("movie_id", items)]).unwrap();
    let trained = train_on(spec(&with(&[("feedback_type", "implicit"), ("ranking_k", "3")])), vec![rows.clone()]).await.unwrap();
    assert!(!trained.parameters.contains_key("rating_col") && !trained.metrics.contains_key("rmse"));
    assert!(trained.metrics["ndcg_at_k"] > 2.0 * trained.metrics["popularity_ndcg_at_k"], "{:?}", trained.metrics);
    let model = recommender(&trained.model);
    for user in 0..30i64 {
        assert!(items_of(model, user, 2, true).iter().all(|item| (user + item / 10) % 2 == 0), "user {user}");
    }
    let evaluated = model.evaluate(&rows.schema(), futures::stream::iter([Ok(rows)]).boxed()).await.unwrap();
    assert_eq!(evaluated.schema().unwrap(), model.evaluation_form().schema().unwrap());
    assert!(evaluated.get("ndcg_at_k").unwrap() > 0.8, "{evaluated:?}");
    let error = train_on(spec(&[]), vec![tastes_batch().project(&[0, 1]).unwrap()]).await.unwrap_err();
    assert_eq!(error.code, Code::InvalidStatement);
}

#[tokio::test]
async fn the_split_column_decides_what_is_held_out() {
    let rows = tastes_batch();
    let n = rows.num_rows() as i64;
    let with_column = |name: &str, column: ArrayRef| {
        let schema = rows.schema();
        let columns = schema.fields().iter().map(|field| field.name().clone()).zip(rows.columns().iter().cloned());
        RecordBatch::try_from_iter_with_nullable(columns.chain([(name.to_owned(), column)]).map(|(name, column)| (name, column, true)))
            .unwrap()
    };
    // Every seventh row, and one whose mark is NULL.
    let marks: BooleanArray = (0..n).map(|row| (row != 3).then_some(row % 7 == 0)).collect();
    let marked = with_column("held", Arc::new(marks));
    let custom = [("data_split_method", "custom"), ("data_split_col", "held"), ("refit", "false")];
    let trained = train_on(spec(&custom), vec![marked.clone()]).await.unwrap();
    assert_eq!(trained.metrics["rows_eval"], (0..n).filter(|row| row % 7 == 0 || *row == 3).count() as f64);
    // The newest tenth; the time of a row falls with its number.
    let times: ArrayRef = Arc::new((0..n).map(|row| Some(-row as f64)).collect::<Float64Array>());
    let timed = with_column("at", times);
    let seq = [("data_split_method", "seq"), ("data_split_col", "at"), ("data_split_eval_fraction", "0.1"), ("refit", "false")];
    let trained = train_on(spec(&seq), vec![timed.clone()]).await.unwrap();
    assert_eq!((trained.metrics["rows_eval"], trained.metrics["rows_train"]), (48.0, 432.0));
    // The first three users are in the first 48 rows: nothing is left of them.
    assert_eq!((trained.metrics["n_users"], trained.metrics["rows_eval_dropped"]), (27.0, 48.0));
    for (options, rows, message) in [
        (&custom[..], &timed, "has no column \"held\""),
        (&[("data_split_method", "custom"), ("data_split_col", "at")], &timed, "not a boolean"),
        (&[("data_split_method", "seq"), ("data_split_col", "held")], &marked, "not a time or a number"),
    ] {
        let error = train_on(spec(options), vec![rows.clone()]).await.unwrap_err();
        assert!(error.to_string().contains(message), "{message}: {error}");
    }
    let auto = train_on(spec(&[("data_split_method", "auto_split")]), vec![rows.clone()]).await.unwrap();
    assert!(recommender(&auto.model).held_out().is_err(), "480 rows are too few to hold some out");
}

#[tokio::test]
async fn each_user_gives_his_share_and_keeps_a_row_whatever_the_order_and_the_threads() {
    // 16 rows of each of 30 users, and one user with a single row.
    let rows = tastes().into_iter().chain([(30, 0, 5.0)]).collect::<Vec<_>>();
    let whole = batch(
        Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Float64Array>()),
    );
    let reversed: Vec<RecordBatch> = (0..whole.num_rows()).rev().map(|row| whole.slice(row, 1)).collect();
    let per_user = [("data_split_method", "random_per_user"), ("relevant_rating", "1"), ("refit", "false")];
    let first = train_on(spec(&with(&per_user)), vec![whole.clone()]).await.unwrap();
    let second = train_on(TrainSpec { threads: Some(3.try_into().unwrap()), ..spec(&with(&per_user)) }, reversed).await.unwrap();
    assert_eq!(first.metrics, second.metrics);
    assert_eq!(recommender(&first.model).factors(), recommender(&second.model).factors());
    // The nearest to a fifth of 16 is 3; the single row is trained on, so all users are known without a fit on all rows.
    assert_eq!((first.metrics["rows_eval"], first.metrics["rows_train"]), (90.0, 391.0));
    assert_eq!((first.metrics["users_eval"], first.metrics["n_users"]), (30.0, 31.0));
    let other = train_on(spec(&with(&[&per_user[..], &[("seed", "7")]].concat())), vec![whole.clone()]).await.unwrap();
    assert_ne!(first.metrics["rmse"], other.metrics["rmse"]);
    // The half of 16 rows.
    let half = train_on(spec(&with(&[per_user[0], ("data_split_eval_fraction", "0.5")])), vec![whole.clone()]).await.unwrap();
    assert_eq!((half.metrics["rows_eval"], half.parameters["data_split_method"].as_str()), (240.0, "random_per_user"));

    // A search splits the rest again in the same way: the nearest to a fifth of 13 is 3.
    let candidates = ModelOption::Call("HPARAM_CANDIDATES".into(), ["1", "4"].map(|rank| ModelOption::Number(rank.into())).into());
    let search = [("rank", candidates), ("data_split_method", ModelOption::Text("random_per_user".into()))];
    let searched = train_on(spec_of(&search), vec![whole.clone()]).await.unwrap();
    assert!(searched.report.trials.iter().all(|trial| trial.metrics["rows_eval"] == 90.0), "{:?}", searched.report.trials);

    let single = whole.slice(whole.num_rows() - 1, 1);
    let error = train_on(spec(&per_user), vec![single]).await.unwrap_err();
    assert_eq!(error.code, Code::InvalidValue, "{error}");
    assert!(error.to_string().contains("no user of the training query of model \"m\" has enough rows to hold some out"), "{error}");
}

#[tokio::test]
async fn trials_are_scored_on_other_rows_than_the_model() {
    let candidates = |values: &[&str]| {
        ModelOption::Call("HPARAM_CANDIDATES".into(), values.iter().map(|value| ModelOption::Number((*value).into())).collect())
    };
    let search = [("rank", candidates(&["1", "2", "6"])), ("regParam", candidates(&["0.01", "0.1", "10"]))];
    let told: Arc<Mutex<Vec<TrainingProgress>>> = Arc::default();
    let observed = Arc::clone(&told);
    let spec = TrainSpec { observer: Arc::new(move |progress| observed.lock().unwrap().push(progress)), ..spec_of(&search) };
    let trained = train_on(spec, vec![tastes_batch()]).await.unwrap();
    let trials = &trained.report.trials;
    assert_eq!((trials.len(), trials.iter().filter(|trial| trial.is_optimal).count()), (9, 1));
    let best = trials.iter().find(|trial| trial.is_optimal).unwrap();
    assert!(trials.iter().all(|trial| trial.metrics["rmse"] >= best.metrics["rmse"]));
    assert_eq!(trained.parameters["num_factors"], best.hyperparameters["num_factors"]);
    assert_ne!(trained.metrics["rmse"], best.metrics["rmse"]);
    // Trials are trained on 64 of 100 rows, the model that is scored on 80.
    assert!(best.metrics["rows_eval"] < trained.metrics["rows_train"] / 3.0);
    let told = told.lock().unwrap();
    let phases: Vec<&str> = told.iter().map(|progress| progress.phase.as_str()).collect();
    for phase in ["reading", "trial 1 of 9", "trial 9 of 9", "fitting", "evaluating", "fitting on all rows"] {
        assert!(phases.contains(&phase), "{phase} is not among {phases:?}");
    }
    assert!(
        told.iter().any(|progress| progress.phase == "trial 9 of 9" && progress.metric.as_ref().is_some_and(|(name, _)| name == "rmse"))
    );
    let iterations = &trained.report.iterations;
    assert_eq!(iterations.iter().map(|row| row.iteration).collect::<Vec<_>>(), (1..=13).collect::<Vec<_>>());
    assert!(iterations[..10].windows(2).all(|pair| pair[1].loss.unwrap() <= pair[0].loss.unwrap() * 1.0001), "{iterations:?}");
}

#[tokio::test]
async fn folds_hold_every_row_out_once() {
    let trained = train_on(spec(&with(&[("k_folds", "4")])), vec![tastes_batch()]).await.unwrap();
    assert_eq!((trained.metrics["rows_eval"], trained.metrics["rows_train"]), (480.0, 480.0));
    assert!(trained.metrics["rmse"] < 0.5, "{:?}", trained.metrics);
    assert_eq!(trained.parameters["k_folds"], "4");
    // With a search the folds are those of the trials; the model is scored on a fifth that no trial saw.
    let candidates = ModelOption::Call("HPARAM_CANDIDATES".into(), ["1", "4"].map(|rank| ModelOption::Number(rank.into())).into());
    let searched =
        train_on(spec_of(&[("rank", candidates), ("numFolds", ModelOption::Number("4".into()))]), vec![tastes_batch()]).await.unwrap();
    let rows_train = searched.metrics["rows_train"];
    assert!(rows_train < 400.0 && rows_train + searched.metrics["rows_eval"] == 480.0, "{:?}", searched.metrics);
    assert!(searched.report.trials.iter().all(|trial| trial.metrics["rows_eval"] == rows_train), "{:?}", searched.report.trials);
}

#[tokio::test]
async fn training_stops_when_it_does_not_pay_and_starts_where_it_was() {
    let no_split = [("data_split_method", "no_split"), ("rank", "4")];
    let options = [&no_split[..], &[("early_stop", "true"), ("min_rel_progress", "0.2"), ("maxIter", "50")]].concat();
    let stopped = train_on(spec(&options), vec![tastes_batch()]).await.unwrap();
    let n = stopped.report.iterations.len();
    assert!((2..20).contains(&n), "{n} iterations");
    // Whole or in steps: the same model.
    let iterations = n.to_string();
    let whole = train_on(spec(&[&no_split[..], &[("maxIter", iterations.as_str())]].concat()), vec![tastes_batch()]).await.unwrap();
    assert_eq!(recommender(&whole.model).factors(), recommender(&stopped.model).factors());
    // One iteration from the version before is better than one from nothing.
    let once = [&no_split[..], &[("maxIter", "1"), ("warm_start", "true")]].concat();
    let loss = async |previous: Option<TrainedModel>| {
        let trained = train_on(TrainSpec { previous, ..spec(&once) }, vec![tastes_batch()]).await.unwrap();
        trained.report.iterations[0].loss.unwrap()
    };
    let (cold, warm) = (loss(None).await, loss(Some(whole.model.clone())).await);
    assert!(warm < 0.9 * cold, "cold {cold}, warm {warm}");
    // The version before knows the rows that are held out now, and its score of them must not show.
    for refit in ["true", "false"] {
        let options = [("rank", "4"), ("maxIter", "1"), ("warm_start", "true"), ("refit", refit)];
        let train =
            async |previous: Option<TrainedModel>| train_on(TrainSpec { previous, ..spec(&options) }, vec![tastes_batch()]).await.unwrap();
        let (cold, warm) = (train(None).await, train(Some(whole.model.clone())).await);
        assert_eq!(warm.metrics["rmse"], cold.metrics["rmse"], "refit {refit}");
        assert_ne!(recommender(&warm.model).factors(), recommender(&cold.model).factors(), "refit {refit}");
    }
}
