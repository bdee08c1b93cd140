//! Quality on real ratings: MovieLens ml-latest-small, from `WEIR_TEST_DATA` (default: `../shared/data` beside the repository).

use super::*;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

static NO_CANCEL: AtomicBool = AtomicBool::new(false);

/// The ratings, or `None` with a note when the data is not there; CI requires it by setting `WEIR_TEST_DATA`.
fn ratings() -> Option<Csr> {
    let configured = std::env::var_os("WEIR_TEST_DATA").map(PathBuf::from);
    let required = configured.is_some();
    let directory = configured.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")));
    let path = directory.join("ml-latest-small/ratings.csv");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if required => panic!("could not read {}: {error}", path.display()),
        Err(_) => {
            eprintln!("no MovieLens data at {}: set WEIR_TEST_DATA", path.display());
            return None;
        }
    };
    let rows: Vec<(u32, u32, f32)> = text
        .lines()
        .skip(1)
        .map(|line| {
            let mut fields = line.split(',');
            let mut next = || fields.next().unwrap_or_default();
            (next().parse().unwrap(), next().parse().unwrap(), next().parse().unwrap())
        })
        .collect();
    let dense = |ids: BTreeSet<u32>| -> Vec<u32> { ids.into_iter().collect() };
    let user_ids = dense(rows.iter().map(|row| row.0).collect());
    let item_ids = dense(rows.iter().map(|row| row.1).collect());
    let place = |ids: &[u32], id: u32| ids.binary_search(&id).unwrap() as u32;
    let users: Vec<u32> = rows.iter().map(|row| place(&user_ids, row.0)).collect();
    let items: Vec<u32> = rows.iter().map(|row| place(&item_ids, row.1)).collect();
    let values: Vec<f32> = rows.iter().map(|row| row.2).collect();
    Some(Csr::new(user_ids.len(), item_ids.len(), &users, &items, &values).unwrap())
}

/// Root of the mean squared error on held-out ratings whose user and item are known, and how many are not.
fn evaluate(model: &AlsModel, split: &crate::split::Split) -> (f64, usize) {
    let by_item = split.train.transpose();
    let mut errors = crate::metrics::RatingErrors::default();
    let mut dropped = 0;
    for (user, item, rating) in split.eval.entries() {
        if split.train.row_len(user as usize) == 0 || by_item.row_len(item as usize) == 0 {
            dropped += 1;
        } else {
            errors.add(f64::from(model.predict(user, item)), f64::from(rating));
        }
    }
    (errors.rmse().unwrap(), dropped)
}

#[test]
fn movielens_small_is_as_good_as_the_reference() {
    let Some(ratings) = ratings() else { return };
    assert_eq!(ratings.n_ratings(), 100_836);
    let control = Control { threads: NonZeroUsize::new(2).unwrap(), cancel: &NO_CANCEL, progress: &|_| {} };
    // The reference measured 0.891-0.893 nonnegative and 0.886-0.889 without the constraint.
    for (nonnegative, range) in [(true, 0.875..0.895), (false, 0.870..0.895)] {
        let mut sum = 0.0;
        for seed in [1, 2, 3] {
            let split = crate::split::random(&ratings, 0.2, seed).unwrap();
            let start = std::time::Instant::now();
            let params = AlsParams { rank: 10, lambda: 0.1, max_iterations: 10, nonnegative, seed, ..Default::default() };
            let model = train(&split.train, &params, &control).unwrap();
            let (rmse, dropped) = evaluate(&model, &split);
            eprintln!(
                "nonnegative {nonnegative}, seed {seed}: rmse {rmse:.4}, {dropped} of {} dropped, {:?}",
                split.eval.n_ratings(),
                start.elapsed()
            );
            assert!((500..1200).contains(&dropped), "{dropped} rows dropped");
            sum += rmse;
        }
        let mean = sum / 3.0;
        assert!(range.contains(&mean), "nonnegative {nonnegative}: mean rmse {mean}");
    }
}
