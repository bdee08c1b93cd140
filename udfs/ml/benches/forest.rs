//! How fast trees learn and predict: made-up tables of the shapes that churn and car prices have.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;
use weir_ml::control::Control;
use weir_ml::frame::{Column, Frame};
use weir_ml::random::Stream;
use weir_ml::tree::boost::{self, BoostParams};
use weir_ml::tree::forest::{self, FeatureSubset, ForestParams};

/// Half of the columns numbers, half categories, and a target that depends on the first of each.
fn table(n_rows: usize, n_columns: usize, n_values: u32) -> (Frame, Vec<f64>) {
    let draw = |column: usize, row: usize| Stream::new(column as u64, row as u64).uniform();
    let column = |column: usize| match column % 2 {
        0 => Column::Numeric((0..n_rows).map(|row| (draw(column, row) * f64::from(n_values)).floor()).collect()),
        _ => {
            // Squared: smaller codes are more frequent.
            let codes = (0..n_rows).map(|row| (draw(column, row).powi(2) * 30.0) as u32).collect();
            Column::Categorical { codes, n_categories: 30 }
        }
    };
    let target = |row: usize| 2.0 * draw(0, row) + ((draw(1, row).powi(2) * 30.0) as u32 % 3) as f64 + 0.3 * draw(99, row);
    let frame = Frame::new(n_rows, (0..n_columns).map(column).collect()).expect("columns of equal length");
    (frame, (0..n_rows).map(target).collect())
}

fn trees(criterion: &mut Criterion) {
    let cancel = AtomicBool::new(false);
    let control = Control { threads: NonZeroUsize::MIN, cancel: &cancel, progress: &|_| {} };
    let mut group = criterion.benchmark_group("trees");
    group.sample_size(10);

    let (rows, targets) = table(5_634, 19, 1_000);
    let labels: Vec<u32> = targets.iter().map(|target| u32::from(*target > 2.5)).collect();
    let params = ForestParams { n_trees: 100, max_depth: Some(8), max_bins: 255, ..ForestParams::default() };
    group.bench_function("classifier, 5,634 x 19, 100 trees of depth 8", |bencher| {
        bencher.iter(|| forest::train_classifier(black_box(&rows), &labels, 2, None, &params, &control));
    });
    group.bench_function("boosted classifier, 5,634 x 19, 20 trees of depth 6", |bencher| {
        bencher.iter(|| boost::train_classifier(black_box(&rows), &labels, 2, None, None, &BoostParams::default(), &control));
    });

    let (rows, targets) = table(67_224, 9, 20_000);
    let params =
        ForestParams { n_trees: 10, max_depth: None, max_bins: 255, feature_subset: FeatureSubset::All, ..ForestParams::default() };
    group.bench_function("regressor, 67,224 x 9, 10 trees without limit", |bencher| {
        bencher.iter(|| forest::train_regressor(black_box(&rows), &targets, None, &params, &control));
    });
    let forest = forest::train_regressor(&rows, &targets, None, &params, &control).expect("a table that can be learned");
    group.bench_function("prediction of 67,224 rows, 10 trees without limit", |bencher| bencher.iter(|| forest.predict(black_box(&rows))));
    let one = rows.take(&[7]);
    group.bench_function("prediction of 1 row, 10 trees without limit", |bencher| bencher.iter(|| forest.predict(black_box(&one))));
    group.bench_function("boosted regressor, 67,224 x 9, 20 trees of depth 6", |bencher| {
        bencher.iter(|| boost::train_regressor(black_box(&rows), &targets, None, None, &BoostParams::default(), &control));
    });
    group.finish();
}

criterion_group!(benches, trees);
criterion_main!(benches);
