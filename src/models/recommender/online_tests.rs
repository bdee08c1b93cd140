//! Ratings since the training: who is folded in, what statements see of it.

use super::online::{NewRatings, Online};
use super::tests::{batch, listing, tastes, tastes_batch, trained_on};
use super::*;
use datafusion::arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::common::ScalarValue;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool, UnboundedMemoryPool};
use weir_functions::{Given, ItemScore, Recommender};

/// New ratings of users with numbers.
fn ratings(rows: &[(Option<i64>, i64, Option<f64>)]) -> RecordBatch {
    let users: ArrayRef = Arc::new(rows.iter().map(|(user, ..)| *user).collect::<Int64Array>());
    let items: ArrayRef = Arc::new(rows.iter().map(|(_, item, _)| *item).collect::<Int64Array>());
    let values: ArrayRef = Arc::new(rows.iter().map(|(.., rating)| *rating).collect::<Float64Array>());
    batch(users, items, values)
}

fn fold_in(model: &RecommenderModel, online: &Online, rows: &RecordBatch) -> Result<()> {
    fold_in_within(model, online, rows, &(Arc::new(UnboundedMemoryPool::default()) as _))
}

fn fold_in_within(model: &RecommenderModel, online: &Online, rows: &RecordBatch, pool: &Arc<dyn MemoryPool>) -> Result<()> {
    let mut new = NewRatings::default();
    model.read_new(rows, &mut new)?;
    model.fold_in_new(online, new, pool, 1)
}

fn items_and_scores(list: &[ItemScore]) -> Vec<(String, i64)> {
    list.iter().map(|entry| (entry.item.to_string(), (entry.score * 1e4).round() as i64)).collect()
}

/// All that a user of the training rated, and `more`, as the argument of `recommend_from`.
fn given(user: i64, more: &[(i64, f64)]) -> Given {
    let all: Vec<(i64, f64)> = tastes().into_iter().filter(|(of, ..)| *of == user).map(|(_, item, rating)| (item, rating)).collect();
    let all: Vec<(i64, f64)> = all.into_iter().chain(more.iter().copied()).collect();
    Given {
        items: Arc::new(all.iter().map(|(item, _)| *item).collect::<Int64Array>()),
        ratings: Some(all.iter().map(|(_, rating)| *rating).collect::<Float64Array>()),
    }
}

#[tokio::test]
async fn lists_are_those_of_all_ratings_whatever_the_kind_of_model() {
    let kinds: [&[(&str, &str)]; 5] = [
        &[("rank", "4")],
        &[("rank", "4"), ("nonnegative", "true")],
        &[("rank", "4"), ("bias", "static")],
        &[("rank", "4"), ("feedback_type", "implicit")],
        &[("rank", "4"), ("ranking", "implicit")],
    ];
    for options in kinds {
        let model = trained_on(options, vec![tastes_batch()]).await;
        let online = Arc::new(Online::default());
        model.attach(Some(Arc::clone(&online)));
        let user = |id: i64| ScalarValue::Int64(Some(id));
        let before = model.recommend(&user(3), 5, &listing(true)).unwrap();
        fold_in(&model, &online, &ratings(&[(Some(2), 20, Some(5.0)), (Some(99), 10, Some(5.0))])).unwrap();
        fold_in(&model, &online, &ratings(&[(Some(2), 70, Some(1.0)), (Some(99), 30, Some(4.0))])).unwrap();
        let known = model.recommend(&user(2), 5, &listing(true)).unwrap();
        let expected = model.recommend_from(&given(2, &[(20, 5.0), (70, 1.0)]), 5, &listing(true)).unwrap();
        assert_eq!(items_and_scores(&known), items_and_scores(&expected), "{options:?}: a user of the training");
        let new = model.recommend(&user(99), 5, &listing(true)).unwrap();
        let expected = model.recommend_from(&given(99, &[(10, 5.0), (30, 4.0)]), 5, &listing(true)).unwrap();
        assert_eq!(items_and_scores(&new), items_and_scores(&expected), "{options:?}: a new user");
        assert_eq!(items_and_scores(&model.recommend(&user(3), 5, &listing(true)).unwrap()), items_and_scores(&before), "nobody else");
        assert!(model.predict(&user(99), &user(10)).unwrap().is_some());
        let numbers = online.numbers();
        assert_eq!((numbers.rows, numbers.users, numbers.new_users), (4, 2, 1));

        online.clear();
        assert_eq!(model.predict(&user(99), &user(10)).unwrap(), None, "{options:?}: as it was trained");
    }
}

#[tokio::test]
async fn rows_that_mean_nothing_are_counted_and_a_full_pool_changes_nothing() {
    let model = trained_on(&[("rank", "4")], vec![tastes_batch()]).await;
    let online = Arc::new(Online::default());
    model.attach(Some(Arc::clone(&online)));
    let rows = ratings(&[
        (Some(1), 500, Some(5.0)),
        (None, 10, Some(5.0)),
        (Some(1), 10, None),
        (Some(1), 10, Some(f64::NAN)),
        (Some(1), 10, Some(1e300)),
        (Some(1), 10, Some(2.0)),
    ]);
    fold_in(&model, &online, &rows).unwrap();
    let numbers = online.numbers();
    assert_eq!((numbers.rows, numbers.unknown_items, numbers.rows_skipped, numbers.users), (1, 1, 4, 1));

    let full: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100));
    let other = Arc::new(Online::default());
    let error = fold_in_within(&model, &other, &rows, &full).unwrap_err();
    assert_eq!(error.code, Code::LimitExceeded);
    assert!(error.message.contains("since the training of model \"m\""), "{error}");
    assert!(other.is_full() && other.numbers().rows == 0);
    let busy: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100_000));
    let held = MemoryConsumer::new("a statement").register(&busy);
    held.grow(100_000);
    let after = Online::default();
    assert_eq!(fold_in_within(&model, &after, &rows, &busy).unwrap_err().code, Code::LimitExceeded);
    assert!(!after.is_full() && after.numbers().rows == 0, "there may be memory at another time");
    drop(held);
    fold_in_within(&model, &after, &rows, &busy).unwrap();
    assert!(!after.is_full() && busy.reserved() as u64 == after.numbers().memory_bytes);
    after.clear();
    assert_eq!(busy.reserved(), 0);

    let wrong = RecordBatch::try_from_iter([("user_id", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    assert_eq!(fold_in(&model, &online, &wrong).unwrap_err().code, Code::UndefinedColumn);
}

#[tokio::test]
async fn without_a_penalty_one_rating_at_a_time_is_the_same_as_all_at_once() {
    let model = trained_on(&[("rank", "3"), ("regParam", "0")], vec![tastes_batch()]).await;
    let online = Arc::new(Online::default());
    model.attach(Some(Arc::clone(&online)));
    let user = ScalarValue::Int64(Some(99));
    // The first ones alone leave the three factors open.
    for (item, rating) in [(10, 5.0), (20, 1.0), (30, 4.0), (50, 2.0)] {
        fold_in(&model, &online, &ratings(&[(Some(99), item, Some(rating))])).unwrap();
    }
    let list = model.recommend(&user, 5, &listing(true)).unwrap();
    let expected = model.recommend_from(&given(99, &[(10, 5.0), (20, 1.0), (30, 4.0), (50, 2.0)]), 5, &listing(true)).unwrap();
    assert_eq!(items_and_scores(&list), items_and_scores(&expected));
    assert_eq!(online.numbers().rows, 4);
}

#[tokio::test]
async fn users_with_names_are_listed_after_those_of_the_training() {
    let text = |ids: Vec<String>| Arc::new(StringArray::from(ids)) as ArrayRef;
    let rows = tastes();
    let named = batch(
        text(rows.iter().map(|(user, ..)| format!("u{user:02}")).collect()),
        Arc::new(rows.iter().map(|(_, item, _)| *item).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|(.., rating)| *rating).collect::<Float64Array>()),
    );
    let model = trained_on(&[("rank", "4")], vec![named]).await;
    let online = Arc::new(Online::default());
    model.attach(Some(Arc::clone(&online)));
    let new = batch(
        text(vec!["zoe".into(), "adam".into(), "u03".into()]),
        Arc::new(Int64Array::from(vec![10, 20, 30])),
        Arc::new(Float64Array::from(vec![5.0, 5.0, 5.0])),
    );
    fold_in(&model, &online, &new).unwrap();
    let request = RecommendRequest { k: 2, exclude_seen: true, allowed: None, threads: std::num::NonZeroUsize::MIN };
    let lists = model.recommend_rows(None, request, &tokio_util::sync::CancellationToken::new()).unwrap();
    let users: Vec<String> = lists
        .flat_map(|batch| {
            let batch = batch.unwrap();
            let users = batch.column(0).as_any().downcast_ref::<StringArray>().unwrap().clone();
            (0..users.len()).map(|row| users.value(row).to_owned()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(users.len(), 2 * 32);
    assert_eq!(users[60..], ["adam", "adam", "zoe", "zoe"]);
    let alike = model.similar_users(&ScalarValue::from("u02"), 40).unwrap();
    assert_eq!(alike.len(), 31, "everybody else, the new ones among them");
    assert!(alike.iter().any(|entry| entry.item == ScalarValue::from("adam")));
}
