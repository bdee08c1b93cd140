//! What is learned from real ratings, beside what others learn from them.

use super::tests::{items_of, recommender, spec, spec_of, train_on};
use crate::models::option::ModelOption;
use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;

/// The rows of a query over MovieLens; `None`, with a word about it, where the data are not at hand.
async fn movielens(query: &str) -> Option<Vec<RecordBatch>> {
    let configured = std::env::var_os("WEIR_TEST_DATA").map(std::path::PathBuf::from);
    let required = configured.is_some();
    let directory = configured.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data").into());
    let path = directory.join("ml-latest-small/ratings.csv");
    if !path.is_file() {
        assert!(!required, "no MovieLens data at {}", path.display());
        eprintln!("no MovieLens data at {}: set WEIR_TEST_DATA", path.display());
        return None;
    }
    let context = SessionContext::new();
    context.register_csv("ratings", path.to_str().unwrap(), Default::default()).await.unwrap();
    Some(context.sql(query).await.unwrap().collect().await.unwrap())
}

const RATINGS: &str = "SELECT \"userId\", \"movieId\", rating FROM ratings";

#[tokio::test]
async fn movielens_is_learned_from_sql_rows_as_well_as_the_reference() {
    let Some(batches) = movielens(RATINGS).await else { return };
    let (mut sum, mut dropped) = (0.0, 0.0);
    for seed in ["1", "2", "3"] {
        let options =
            [("rank", "10"), ("regParam", "0.1"), ("nonnegative", "true"), ("maxIter", "10"), ("userCol", "userid"), ("seed", seed)];
        let trained = train_on(spec(&options), batches.clone()).await.unwrap();
        assert_eq!((trained.metrics["n_users"], trained.metrics["n_items"]), (610.0, 9724.0));
        eprintln!("seed {seed}: {:?} in {:.2} s", trained.metrics, trained.train_seconds);
        sum += trained.metrics["rmse"];
        dropped += trained.metrics["rows_eval_dropped"];
        assert_eq!(items_of(recommender(&trained.model), 1, 10_000, true).len(), 9724 - 232);
    }
    assert!((0.875..0.895).contains(&(sum / 3.0)), "mean rmse {}", sum / 3.0);
    assert!((1500.0..3600.0).contains(&dropped), "{dropped} rows dropped in three runs");
}

#[tokio::test]
async fn a_search_finds_a_better_model_on_rows_that_it_never_saw() {
    let Some(batches) = movielens(RATINGS).await else { return };
    let candidates = |values: &[&str]| {
        ModelOption::Call("HPARAM_CANDIDATES".into(), values.iter().map(|value| ModelOption::Number((*value).into())).collect())
    };
    let mut sum = 0.0;
    for seed in ["1", "2", "3"] {
        let options = [
            ("rank", candidates(&["5", "10", "20"])),
            ("regParam", candidates(&["0.05", "0.1", "0.15", "0.2"])),
            ("nonnegative", ModelOption::Bool(true)),
            ("seed", ModelOption::Number(seed.into())),
        ];
        let trained = train_on(spec_of(&options), batches.clone()).await.unwrap();
        let best: Vec<_> = trained.report.trials.iter().filter(|trial| trial.is_optimal).collect();
        eprintln!("seed {seed}: {:?} in {:.2} s; best {best:?}", trained.metrics, trained.train_seconds);
        assert_eq!((trained.report.trials.len(), best.len()), (12, 1));
        assert!(trained.report.trials.iter().all(|trial| trial.metrics["rmse"] >= best[0].metrics["rmse"]));
        sum += trained.metrics["rmse"];
    }
    assert!(sum / 3.0 < 0.875, "mean rmse {}", sum / 3.0);
}

#[tokio::test]
async fn implicit_lists_beat_popularity_and_a_companion_ranks_better_than_ratings() {
    let Some(liked) = movielens(&format!("{RATINGS} WHERE rating >= 4")).await else { return };
    let Some(all) = movielens(RATINGS).await else { return };
    for seed in ["1", "2", "3"] {
        let per_user = ("data_split_method", "random_per_user");
        let options = [("implicitPrefs", "true"), ("rank", "32"), ("regParam", "0.2"), ("seed", seed), per_user];
        let trained = train_on(spec(&options), liked.clone()).await.unwrap();
        eprintln!("seed {seed}: {:?} in {:.2} s", trained.metrics, trained.train_seconds);
        // The nearest to a fifth of each user's likes, whatever the seed.
        assert_eq!((trained.metrics["rows_train"], trained.metrics["rows_eval"]), (38_871.0, 9_709.0));
        let (ndcg, popularity) = (trained.metrics["ndcg_at_k"], trained.metrics["popularity_ndcg_at_k"]);
        assert!(ndcg >= 1.4 * popularity, "seed {seed}: ndcg {ndcg}, popularity {popularity}");
    }
    let ndcg = async |ranking: &str| {
        let options = [("ranking", ranking), ("relevant_rating", "4"), ("rank", "32"), ("regParam", "0.2")];
        let trained = train_on(spec(&options), all.clone()).await.unwrap();
        eprintln!("ranking {ranking}: {:?} in {:.2} s", trained.metrics, trained.train_seconds);
        trained.metrics["ndcg_at_k"]
    };
    let (by_rating, by_companion) = (ndcg("rating").await, ndcg("implicit").await);
    assert!(by_companion > 3.0 * by_rating, "by rating {by_rating}, by the companion {by_companion}");
}
