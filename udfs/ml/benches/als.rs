//! How fast factors are trained, against the arithmetic that this machine can do.
//!
//! First a table: CPU seconds per iteration at the shape of MovieLens-1M (and 20M with `WEIR_BENCH_20M=1`), the
//! useful GFLOP/s, and their share of the measured peak of fused multiply-adds. Then criterion's statistics.
#![allow(unsafe_code)] // The clock of the process and the peak of the machine.

use criterion::{Criterion, criterion_group};
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use weir_ml::als::{AlsParams, Bias, Control, Csr, Feedback, FoldIn, Solver, train};
use weir_ml::synthetic::{self, Ratings};

const ZIPF_EXPONENT: f64 = 1.2;
const SEED: u64 = 42;

static NO_CANCEL: AtomicBool = AtomicBool::new(false);

fn control(threads: usize) -> Control<'static> {
    Control { threads: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN), cancel: &NO_CANCEL, progress: &|_| {} }
}

/// CPU time of all threads of the process.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Memory in use, where the system tells.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}

fn cpu_seconds<T>(work: impl FnOnce() -> T) -> (f64, f64, T) {
    let (cpu, wall) = (cpu_time(), Instant::now());
    let result = work();
    ((cpu_time() - cpu).as_secs_f64(), wall.elapsed().as_secs_f64(), result)
}

/// Fused multiply-adds of one core, in GFLOP/s: 16 independent sums, nothing from memory; the best of 20 times 5 ms.
fn peak_gflops() -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;

        #[target_feature(enable = "avx512f")]
        fn avx512(rounds: usize) -> f64 {
            let mut sums = [_mm512_set1_ps(1.0); 16];
            let factor = _mm512_set1_ps(black_box(0.999));
            for _ in 0..rounds {
                for sum in &mut sums {
                    *sum = _mm512_fmadd_ps(*sum, factor, factor);
                }
            }
            black_box(sums);
            (rounds * 16 * 16 * 2) as f64
        }

        #[target_feature(enable = "avx2,fma")]
        fn avx2(rounds: usize) -> f64 {
            let mut sums = [_mm256_set1_ps(1.0); 12];
            let factor = _mm256_set1_ps(black_box(0.999));
            for _ in 0..rounds {
                for sum in &mut sums {
                    *sum = _mm256_fmadd_ps(*sum, factor, factor);
                }
            }
            black_box(sums);
            (rounds * 12 * 8 * 2) as f64
        }

        let best = |run: &dyn Fn(usize) -> f64| {
            (0..20).map(|_| cpu_seconds(|| run(1_000_000))).map(|(cpu, _, flops)| flops / cpu / 1e9).fold(0.0, f64::max)
        };
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the instructions are there.
            return best(&|rounds| unsafe { avx512(rounds) });
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the instructions are there.
            return best(&|rounds| unsafe { avx2(rounds) });
        }
    }
    f64::NAN
}

/// Ratings of a shape; users and items follow Zipf's law.
fn generate(n_users: usize, n_items: usize, n_ratings: usize) -> Ratings {
    synthetic::zipf_ratings(n_users, n_items, n_ratings, ZIPF_EXPONENT, SEED).expect("the shape has room for the ratings")
}

fn matrix(n_users: usize, n_items: usize, ratings: &Ratings) -> Csr {
    Csr::new(n_users, n_items, &ratings.users, &ratings.items, &ratings.values).expect("the generator makes valid ratings")
}

fn movielens_1m() -> Csr {
    matrix(6_040, 3_706, &generate(6_040, 3_706, 1_000_000))
}

/// The floating-point operations of one iteration that no exact method can avoid: for each rating, twice, half the
/// outer product and the right side; for each row, a decomposition and two substitutions.
fn useful_gflop(ratings: &Csr, rank: usize) -> f64 {
    let k = rank as f64;
    let rows = (0..ratings.n_rows()).filter(|row| ratings.row_len(*row) > 0).count() + ratings.n_columns();
    (2.0 * ratings.n_ratings() as f64 * (k * (k + 1.0) + 2.0 * k) + rows as f64 * (k * k * k / 3.0 + 2.0 * k * k)) / 1e9
}

fn report(name: &str, ratings: &Csr, params: &AlsParams, threads: usize, peak: f64) {
    let iterations = params.max_iterations as f64;
    let (cpu, wall, _) = cpu_seconds(|| train(ratings, params, &control(threads)).expect("the generator makes trainable ratings"));
    let gflops = useful_gflop(ratings, params.rank) * iterations / cpu;
    if matches!(params.solver, Solver::Cg { .. }) {
        // It does other arithmetic: its flops are not those of the formula.
        return println!("{name:<28} rank {:>3}  {:.4} CPU-s and {:.4} s per iteration", params.rank, cpu / iterations, wall / iterations);
    }
    println!(
        "{name:<28} rank {:>3}  {:.4} CPU-s and {:.4} s per iteration, {gflops:.0} GFLOP/s = {:.0} % of {peak:.0}",
        params.rank,
        cpu / iterations,
        wall / iterations,
        100.0 * gflops / peak
    );
}

/// One user of 165 ratings at a time.
fn fold_in(ratings: &Csr, params: &AlsParams) {
    let model = train(ratings, &AlsParams { max_iterations: 1, ..*params }, &control(1)).expect("as before");
    let mut fold_in = FoldIn::new(&model.items, params, None);
    let (items, values) = ratings.row(0);
    let (items, values) = (&items[..165], &values[..165]);
    let mut factors = vec![0.0; params.rank];
    let (cpu, _, _) = cpu_seconds(|| (0..10_000).for_each(|_| assert!(fold_in.solve(black_box(items), values, &mut factors))));
    println!("fold-in of a user with 165 ratings, rank {}: {:.1} us", params.rank, cpu * 100.0);
    let (cpu, _, _) = cpu_seconds(|| (0..1_000).for_each(|_| drop(fold_in.explain(black_box(items), values, 7))));
    println!("explanation of a score by 165 ratings, rank {}: {:.1} us", params.rank, cpu * 1000.0);
}

fn table() {
    if let Ok(rank) = std::env::var("WEIR_BENCH_RANK") {
        // For a profiler: one training, some hundred iterations.
        let params = AlsParams { rank: rank.parse().unwrap_or(64), max_iterations: 50, ..Default::default() };
        return report("1M explicit", &movielens_1m(), &params, 1, peak_gflops());
    }
    let peak = peak_gflops();
    println!("peak of one core: {peak:.0} GFLOP/s (f32, fused multiply-add)");
    let ratings = movielens_1m();
    let base = AlsParams { rank: 64, lambda: 0.06, max_iterations: 10, ..Default::default() };
    for threads in [1, 2] {
        report(&format!("1M explicit, {threads} thread(s)"), &ratings, &base, threads, peak);
    }
    for rank in [10, 16, 32, 128] {
        report("1M explicit", &ratings, &AlsParams { rank, ..base }, 1, peak);
    }
    let implicit = Feedback::Implicit { alpha: 1.0 };
    report("1M implicit", &ratings, &AlsParams { feedback: implicit, ..base }, 1, peak);
    report("1M nonnegative", &ratings, &AlsParams { nonnegative: true, ..base }, 1, peak);
    report("1M explicit, CG", &ratings, &AlsParams { solver: Solver::CG, ..base }, 1, peak);
    report("1M implicit, CG", &ratings, &AlsParams { solver: Solver::CG, feedback: implicit, ..base }, 1, peak);
    report("1M static bias", &ratings, &AlsParams { bias: Bias::Static { damping: 5.0 }, ..base }, 1, peak);
    report("1M learned bias", &ratings, &AlsParams { rank: 63, bias: Bias::Learned, ..base }, 1, peak);
    fold_in(&ratings, &base);
    if std::env::var_os("WEIR_BENCH_20M").is_some() {
        let (cpu, wall, made) = cpu_seconds(|| generate(138_493, 26_744, 20_000_000));
        println!("20M ratings made in {cpu:.1} CPU-s, {wall:.1} s");
        let (cpu, wall, ratings) = cpu_seconds(|| matrix(138_493, 26_744, &made));
        println!("20M ratings into a matrix: {cpu:.2} CPU-s, {wall:.2} s");
        drop(made);
        let (cpu, wall, _) = cpu_seconds(|| ratings.transpose());
        println!("20M ratings transposed: {cpu:.2} CPU-s, {wall:.2} s");
        let before = resident_mib();
        let (sample, most) = (AtomicBool::new(true), std::sync::atomic::AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while sample.load(Ordering::Relaxed) {
                    most.fetch_max(resident_mib(), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            report("20M explicit, 2 threads", &ratings, &base, 2, peak);
            sample.store(false, Ordering::Relaxed);
        });
        println!(
            "20M explicit: {} MiB more than the ratings' {} MiB",
            most.into_inner().saturating_sub(before),
            (ratings.n_ratings() * 8) >> 20
        );
        report("20M explicit, CG, 2 threads", &ratings, &AlsParams { solver: Solver::CG, ..base }, 2, peak);
        report("20M nonnegative, 2 threads", &ratings, &AlsParams { nonnegative: true, ..base }, 2, peak);
    }
}

fn statistics(criterion: &mut Criterion) {
    let ratings = movielens_1m();
    let params = AlsParams { rank: 64, lambda: 0.06, max_iterations: 1, ..Default::default() };
    let mut group = criterion.benchmark_group("als");
    group.sample_size(10);
    group.bench_function("explicit, 1M shape, rank 64, 1 iteration", |bencher| {
        bencher.iter(|| train(black_box(&ratings), &params, &control(1)));
    });
    group.finish();
}

criterion_group!(benches, statistics);

fn main() {
    table();
    if !std::env::args().any(|argument| argument == "--table") {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}
