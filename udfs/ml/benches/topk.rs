//! How long a list takes: one user among 27,000 items, and all users of MovieLens-1M's shape (rank 64, top 10); and how
//! long it takes to build an index and to evaluate a model.
//!
//! Besides criterion's estimates it prints percentiles, as a server's users feel them.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use weir_ml::als::{Csr, Factors};
use weir_ml::control::Control;
use weir_ml::metrics::{RankingMetrics, RankingTask};
use weir_ml::random::Stream;
use weir_ml::topk::{Batch, CosineIndex, Filter, ItemIndex};

const RANK: usize = 64;
const K: usize = 10;

/// Factors of equal expected length: pruning has nothing to do, every score is computed.
fn factors(n_rows: usize, seed: u64) -> Factors {
    let mut stream = Stream::new(seed, 0);
    Factors::from_vec(RANK, (0..n_rows * RANK).map(|_| 0.125 * stream.gaussian() as f32).collect())
}

/// Factors whose lengths fall as those of an implicit model do: with the square root of a Zipf popularity.
fn skewed_factors(n_rows: usize, seed: u64) -> Factors {
    let mut factors = factors(n_rows, seed);
    for (place, row) in factors.rows_mut().enumerate() {
        let scale = (1.0 + place as f32 / 20.0).powf(-0.4);
        row.iter_mut().for_each(|factor| *factor *= scale);
    }
    factors
}

/// 165 seen items per user, as MovieLens-1M has on average.
fn seen(n_users: usize, n_items: usize) -> Vec<Vec<u32>> {
    (0..n_users)
        .map(|user| {
            let mut stream = Stream::new(3, user as u64);
            let mut items: Vec<u32> = (0..165).map(|_| (stream.next_u64() % n_items as u64) as u32).collect();
            items.sort_unstable();
            items.dedup();
            items
        })
        .collect()
}

fn percentiles(name: &str, mut run: impl FnMut(usize)) {
    let mut times: Vec<Duration> = (0..5000)
        .map(|place| {
            let start = Instant::now();
            run(place);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize].as_secs_f64() * 1e6;
    println!("{name}: p50 {:.1} us, p90 {:.1} us, p99 {:.1} us", at(0.5), at(0.9), at(0.99));
}

fn one_user(criterion: &mut Criterion) {
    let n_items = 27_000;
    let users = factors(1000, 1);
    let seen = seen(1000, n_items);
    for (name, items) in [("equal lengths", factors(n_items, 2)), ("skewed lengths", skewed_factors(n_items, 2))] {
        let index = ItemIndex::new(&items, None).unwrap();
        let run = |place: usize| {
            let user = place % 1000;
            let filter = Filter { excluded: &seen[user], allowed: None };
            black_box(index.top(users.row(user), K, &filter).unwrap());
        };
        percentiles(&format!("one user of 27,000 items, {name}"), run);
        let mut place = 0;
        criterion.bench_function(&format!("one user of 27,000 items, {name}"), |bencher| {
            bencher.iter(|| {
                place += 1;
                run(place);
            });
        });
    }
    let index = CosineIndex::new(&factors(n_items, 2)).unwrap();
    percentiles("similar items of 27,000", |place| {
        black_box(index.similar(place as u32, K, &Filter::default()));
    });
}

fn all_users(criterion: &mut Criterion) {
    let (n_users, n_items) = (6040, 3706);
    let users = factors(n_users, 1);
    let rows: Vec<u32> = (0..n_users as u32).collect();
    let seen = seen(n_users, n_items);
    let excluded = |user: u32| seen[user as usize].as_slice();
    let cancel = AtomicBool::new(false);
    let mut group = criterion.benchmark_group("top 10 of 3,706 items for 6,040 users");
    group.sample_size(20);
    for (name, items) in [("equal lengths", factors(n_items, 2)), ("skewed lengths", skewed_factors(n_items, 2))] {
        let index = ItemIndex::new(&items, None).unwrap();
        for threads in [1, 2] {
            let control = Control { threads: NonZeroUsize::new(threads).unwrap(), cancel: &cancel, progress: &|_| {} };
            let batch = Batch { users: &users, rows: &rows, k: K, excluded: Some(&excluded), allowed: None };
            group.bench_function(format!("{name}, {threads} threads"), |bencher| {
                bencher.iter(|| black_box(index.top_of_many(&batch, &control).unwrap()));
            });
        }
    }
    group.finish();
}

fn index_and_evaluation(criterion: &mut Criterion) {
    let items = factors(27_000, 2);
    criterion.bench_function("index of 27,000 items", |bencher| bencher.iter(|| black_box(ItemIndex::new(&items, None).unwrap())));

    let (n_users, n_items) = (6040, 3706);
    let (users, items) = (factors(n_users, 1), skewed_factors(n_items, 2));
    let index = ItemIndex::new(&items, None).unwrap();
    let pairs: Vec<(u32, u32)> =
        (0u32..).zip(seen(n_users, n_items)).flat_map(|(user, seen)| seen.into_iter().map(move |item| (user, item))).collect();
    let (rows, columns): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
    let ratings = Csr::new(n_users, n_items, &rows, &columns, &vec![1.0; rows.len()]).unwrap();
    let split = weir_ml::split::random_per_user(&ratings, 0.2, 1).unwrap();
    let task = RankingTask { train: &split.train, eval: &split.eval, k: K, min_relevant: 0.0, catalogue: None };
    let cancel = AtomicBool::new(false);
    let control = Control { threads: NonZeroUsize::MIN, cancel: &cancel, progress: &|_| {} };
    let mut group = criterion.benchmark_group("evaluation of 6,040 users, 3,706 items, 200,000 held-out ratings, 1 thread");
    group.sample_size(10);
    group.bench_function("model", |bencher| bencher.iter(|| black_box(RankingMetrics::evaluate(&index, &users, &task, &control))));
    group.bench_function("popularity", |bencher| {
        bencher.iter(|| black_box(RankingMetrics::evaluate_popularity(&task, task.train, &control)))
    });
    group.bench_function("split per user", |bencher| bencher.iter(|| black_box(weir_ml::split::random_per_user(&ratings, 0.2, 1))));
    group.finish();
}

criterion_group!(benches, one_user, all_users, index_and_evaluation);
criterion_main!(benches);
