//! What held-out rows say while a model is trained, and that they change nothing of it.

use super::tests::{recommender, spec, train_on};
use crate::models::{TrainSpec, Trained, TrainingProgress};
use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch};
use futures::{StreamExt, stream};
use std::sync::{Arc, Mutex};
use weir_ml::random::Stream;

/// A row of the training query.
struct Rating {
    user: i64,
    item: i64,
    value: f64,
    is_held_out: bool,
}

/// Some 9,000 ratings of 200 users and 60 items, in this order; a fifth is held out by its mark.
fn ratings() -> Vec<Rating> {
    let mut random = Stream::new(3, 1);
    let mut rows = Vec::new();
    for user in 0..200 {
        for item in 0..60 {
            if random.uniform() < 0.75 {
                let value = 1.0 + ((user * 3 + item) % 4) as f64 + random.uniform();
                rows.push(Rating { user, item, value, is_held_out: random.uniform() < 0.2 });
            }
        }
    }
    rows
}

/// The columns user_id, movie_id, rating, held and at; the time goes round.
fn table<'a>(rows: impl IntoIterator<Item = &'a Rating>) -> RecordBatch {
    let rows: Vec<&Rating> = rows.into_iter().collect();
    let integers = |value: fn(&Rating) -> i64| -> ArrayRef { Arc::new(rows.iter().map(|row| Some(value(row))).collect::<Int64Array>()) };
    let values: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.value)).collect::<Float64Array>());
    let marks: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.is_held_out)).collect::<BooleanArray>());
    RecordBatch::try_from_iter_with_nullable([
        ("user_id", integers(|row| row.user), true),
        ("movie_id", integers(|row| row.item), true),
        ("rating", values, true),
        ("held", marks, true),
        ("at", integers(|row| (row.user * 17 + row.item * 29) % 101), true),
    ])
    .unwrap()
}

const SMALL: [(&str, &str); 2] = [("rank", "4"), ("maxIter", "5")];
const BY_MARK: [(&str, &str); 3] = [("data_split_method", "custom"), ("data_split_col", "held"), ("refit", "false")];

/// Trains, and returns what was told on the way.
async fn observed(options: &[(&str, &str)]) -> (Trained, Vec<TrainingProgress>) {
    let told: Arc<Mutex<Vec<TrainingProgress>>> = Arc::default();
    let observed = Arc::clone(&told);
    let options = [&SMALL[..], options].concat();
    let spec =
        TrainSpec { observer: Arc::new(move |progress: TrainingProgress| observed.lock().unwrap().push(progress)), ..spec(&options) };
    let trained = train_on(spec, vec![table(&ratings())]).await.unwrap();
    let told = told.lock().unwrap().clone();
    (trained, told)
}

/// The metric after each iteration of a phase.
fn metrics_of<'a>(told: &'a [TrainingProgress], phase: &str) -> Vec<Option<(&'a str, f64)>> {
    let of_phase = told.iter().filter(|progress| progress.phase == phase && progress.iteration > 0);
    of_phase.map(|progress| progress.metric.as_ref().map(|(name, value)| (name.as_str(), *value))).collect()
}

fn eval_losses(trained: &Trained) -> Vec<Option<f64>> {
    trained.report.iterations.iter().map(|row| row.eval_loss).collect()
}

/// The evaluation sums the same errors in another order, of scores that may differ in the last bit.
#[track_caller]
fn near(value: Option<f64>, expected: f64) {
    assert!(value.is_some_and(|value| (value - expected).abs() < 1e-5 * expected), "{value:?} is not {expected}");
}

#[tokio::test]
async fn the_last_loss_of_held_out_rows_is_their_rmse() {
    let splits: [&[(&str, &str)]; 5] = [
        &[("data_split_method", "random")],
        &[("data_split_method", "random_per_user")],
        &[("data_split_method", "auto_split")],
        &[("data_split_method", "custom"), ("data_split_col", "held")],
        &[("data_split_method", "seq"), ("data_split_col", "at")],
    ];
    for split in splits {
        for more in [("bias", "none"), ("bias", "static"), ("bias", "learned"), ("nonnegative", "true"), ("early_stop", "true")] {
            let options = [&SMALL[..], split, &[more, ("refit", "false")]].concat();
            let trained = train_on(spec(&options), vec![table(&ratings())]).await.unwrap();
            let losses = eval_losses(&trained);
            assert!((2..=5).contains(&losses.len()) && losses.iter().all(Option::is_some), "{options:?}: {losses:?}");
            near(losses[losses.len() - 1], trained.metrics["rmse"]);
        }
    }
}

#[tokio::test]
async fn held_out_rows_are_told_of_after_each_iteration_and_then_as_they_were_scored() {
    let (trained, told) = observed(&[]).await;
    let losses = eval_losses(&trained);
    // Three iterations on all rows, of which none is held out any more.
    assert_eq!(losses.len(), 8);
    assert!(losses[..5].iter().all(Option::is_some) && losses[5..].iter().all(Option::is_none), "{losses:?}");
    assert!(trained.report.iterations.iter().all(|row| row.loss.is_some()));
    let rmse = trained.metrics["rmse"];
    near(losses[4], rmse);
    let fitting: Vec<_> = losses[..5].iter().map(|loss| loss.map(|loss| ("rmse", loss))).collect();
    assert_eq!(metrics_of(&told, "fitting"), fitting);
    assert_eq!(metrics_of(&told, "fitting on all rows"), vec![Some(("rmse", rmse)); 3]);

    let (trained, told) = observed(&[("k_folds", "3")]).await;
    for fold in ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3"] {
        let metrics = metrics_of(&told, fold);
        assert!(metrics.len() == 5 && metrics.iter().all(|metric| metric.is_some_and(|(name, _)| name == "rmse")), "{fold}: {metrics:?}");
    }
    assert_eq!(eval_losses(&trained), [None; 5]);
    assert_eq!(metrics_of(&told, "fitting on all rows"), vec![Some(("rmse", trained.metrics["rmse"])); 5]);
}

#[tokio::test]
async fn implicit_factors_and_fits_to_all_rows_have_no_loss_of_held_out_ones() {
    let (trained, told) = observed(&[("implicitPrefs", "true")]).await;
    assert_eq!(eval_losses(&trained), [None; 8]);
    assert_eq!(metrics_of(&told, "fitting"), [None; 5]);
    assert_eq!(metrics_of(&told, "fitting on all rows"), vec![Some(("ndcg_at_k", trained.metrics["ndcg_at_k"])); 3]);

    let (trained, told) = observed(&[("ranking", "implicit"), ("refit", "false")]).await;
    assert!(eval_losses(&trained).iter().all(Option::is_some));
    assert_eq!(metrics_of(&told, "fitting, implicit companion"), [None; 5]);

    let (trained, told) = observed(&[("data_split_method", "no_split")]).await;
    assert_eq!(eval_losses(&trained), [None; 5]);
    assert_eq!(metrics_of(&told, "fitting"), [None; 5]);
}

#[tokio::test]
async fn held_out_rows_change_no_factor() {
    let rows = ratings();
    for bias in ["none", "static", "learned"] {
        let options = [&SMALL[..], &BY_MARK, &[("bias", bias)]].concat();
        let split = train_on(spec(&options), vec![table(&rows)]).await.unwrap();
        assert!(eval_losses(&split).iter().all(Option::is_some));
        // The same rows, and nobody looks.
        let options = [&SMALL[..], &[("bias", bias), ("data_split_method", "no_split")]].concat();
        let alone = train_on(spec(&options), vec![table(rows.iter().filter(|row| !row.is_held_out))]).await.unwrap();
        assert_eq!(recommender(&split.model).factors(), recommender(&alone.model).factors(), "{bias}");
    }
}

#[tokio::test]
async fn threads_change_no_bit_of_the_loss_of_held_out_rows() {
    let losses = async |threads: usize| {
        let options = [&SMALL[..], &[("data_split_eval_fraction", "0.6"), ("refit", "false")]].concat();
        let spec = TrainSpec { threads: Some(threads.try_into().unwrap()), ..spec(&options) };
        let trained = train_on(spec, vec![table(&ratings())]).await.unwrap();
        // Enough for several threads.
        assert!(trained.metrics["rows_eval"] > 4_096.0, "{:?}", trained.metrics);
        eval_losses(&trained).into_iter().map(|loss| loss.unwrap().to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(losses(1).await, losses(4).await);
}

#[tokio::test]
async fn rows_that_were_held_out_score_the_same_when_they_are_given() {
    // Two items have no other rows: the model does not know them, so they are in no list.
    let mut rows = ratings();
    rows.iter_mut().filter(|row| matches!(row.item, 3 | 17)).for_each(|row| row.is_held_out = true);
    for more in [("bias", "none"), ("bias", "learned"), ("ranking", "implicit"), ("implicitPrefs", "true")] {
        let options = [&SMALL[..], &BY_MARK, &[more]].concat();
        let trained = train_on(spec(&options), vec![table(&rows)]).await.unwrap();
        let model = recommender(&trained.model);
        let held_out = model.held_out().unwrap();
        assert_eq!(trained.metrics["n_items"], 58.0);
        assert!(held_out.get("rows_eval_dropped").is_some_and(|n_rows| n_rows > 200.0), "{held_out:?}");
        assert!(held_out.get("coverage").is_some_and(|coverage| coverage > 0.0), "{held_out:?}");
        let given = table(rows.iter().filter(|row| row.is_held_out));
        let scored = model.evaluate(&given.schema(), stream::iter([Ok(given)]).boxed()).await.unwrap();
        assert_eq!(scored, *held_out, "{more:?}");
    }
}
