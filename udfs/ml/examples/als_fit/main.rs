//! Makes ratings and times ALS on them: weir's side of `tests/bench/als_compare.py`.
//!
//! ```text
//! als_fit generate --shape 1m|20m|USERSxITEMSxRATINGS --out DIR [--exponent 1.2] [--seed 42]
//! als_fit fit --data DIR [--rank 64] [--iterations 10] [--threads 2] [--feedback explicit|implicit] [--alpha 1]
//!             [--reg 0.1] [--scaling rating|row] [--offset 0] [--seed 42] [--repeat 5] [--factors DIR]
//! als_fit peak [--threads 2]
//! ```
//!
//! `generate` writes NumPy arrays: `shape` (users, items), `{train,test}_{users,items,values}`; nine tenths of the ratings are
//! for training. `fit` prints a line of JSON per fit and one with the medians; only `als::train` is timed, with the ratings in
//! a `Csr`. Run `n` of `--repeat` has the seed `--seed` + `n`. `--offset` is subtracted from every rating first.

mod clock;
mod loss;
mod npy;
mod options;
mod peak;

use loss::HeldOut;
use options::Options;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use weir_ml::als::{self, AlsModel, AlsParams, Control, Csr, Factors, Feedback, LambdaScale};
use weir_ml::random::Stream;
use weir_ml::synthetic;

/// Gives the most popular tenth of the items of the 1M shape 52 % of the ratings.
const ZIPF_EXPONENT: f64 = 1.2;
/// Of the ratings, how many are held out.
const HELD_OUT_FRACTION: f64 = 0.1;
/// Keeps the stream of the split apart from those of the generator.
const SPLIT: u64 = 0x5711_7000_0000_0001;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some("generate") => Options::parse(arguments).and_then(generate),
        Some("fit") => Options::parse(arguments).and_then(fit),
        Some("peak") => Options::parse(arguments).and_then(peak),
        _ => Err("expected generate, fit or peak".to_owned()),
    };
    if let Err(message) = result {
        eprintln!("als_fit: {message}");
        std::process::exit(2);
    }
}

fn generate(mut options: Options) -> Result<(), String> {
    let (n_users, n_items, n_ratings) = match options.required("shape")?.as_str() {
        "1m" => (6_040, 3_706, 1_000_000),
        "20m" => (138_493, 26_744, 20_000_000),
        custom => parse_shape(custom)?,
    };
    let directory = PathBuf::from(options.required("out")?);
    let exponent: f64 = options.number("exponent", ZIPF_EXPONENT)?;
    let seed: u64 = options.number("seed", 42)?;
    options.finish()?;
    let ratings = synthetic::zipf_ratings(n_users, n_items, n_ratings, exponent, seed).map_err(|error| error.to_string())?;
    let is_test: Vec<bool> = (0..n_ratings).map(|place| Stream::new(seed ^ SPLIT, place as u64).uniform() < HELD_OUT_FRACTION).collect();
    let save = || -> std::io::Result<()> {
        std::fs::create_dir_all(&directory)?;
        npy::write(&directory.join("shape.npy"), &[2], [n_users as u32, n_items as u32])?;
        for (part, wanted) in [("train", false), ("test", true)] {
            let n = is_test.iter().filter(|is_test| **is_test == wanted).count();
            write_part(&directory.join(format!("{part}_users.npy")), n, &ratings.users, &is_test, wanted)?;
            write_part(&directory.join(format!("{part}_items.npy")), n, &ratings.items, &is_test, wanted)?;
            write_part(&directory.join(format!("{part}_values.npy")), n, &ratings.values, &is_test, wanted)?;
        }
        std::fs::write(
            directory.join("about.json"),
            format!(
                "{{\"n_users\": {n_users}, \"n_items\": {n_items}, \"n_ratings\": {n_ratings}, \"exponent\": {exponent}, \"seed\": {seed}}}\n"
            ),
        )
    };
    save().map_err(|error| format!("{}: {error}", directory.display()))
}

fn parse_shape(text: &str) -> Result<(usize, usize, usize), String> {
    let numbers: Vec<usize> = text.split('x').filter_map(|part| part.parse().ok()).collect();
    match numbers[..] {
        [n_users, n_items, n_ratings] => Ok((n_users, n_items, n_ratings)),
        _ => Err(format!("shape is {text}, it must be 1m, 20m or USERSxITEMSxRATINGS")),
    }
}

fn write_part<T: npy::Element>(path: &Path, n: usize, values: &[T], is_test: &[bool], wanted: bool) -> std::io::Result<()> {
    let chosen = values.iter().zip(is_test).filter(|(_, is_test)| **is_test == wanted).map(|(value, _)| *value);
    npy::write(path, &[n], chosen)
}

/// What to fit, how, and how often.
struct Fit {
    params: AlsParams,
    threads: NonZeroUsize,
    repeat: u64,
    factors: Option<PathBuf>,
}

fn fit(mut options: Options) -> Result<(), String> {
    let directory = PathBuf::from(options.required("data")?);
    let offset: f32 = options.number("offset", 0.0)?;
    let feedback = match options.one_of("feedback", &["explicit", "implicit"])? {
        "implicit" => Feedback::Implicit { alpha: options.number("alpha", 1.0)? },
        _ => Feedback::Explicit,
    };
    let lambda_scale = match options.one_of("scaling", &["rating", "row"])? {
        "row" => LambdaScale::Row,
        _ => LambdaScale::Rating,
    };
    let params = AlsParams {
        rank: options.number("rank", 64)?,
        lambda: options.number("reg", 0.1)?,
        lambda_scale,
        max_iterations: options.number("iterations", 10)?,
        seed: options.number("seed", 42)?,
        feedback,
        ..AlsParams::default()
    };
    let job = Fit {
        params,
        threads: options.number("threads", NonZeroUsize::MIN.saturating_add(1))?,
        repeat: options.number("repeat", 5)?,
        factors: options.take("factors").map(PathBuf::from),
    };
    options.finish()?;
    let shape: Vec<u32> = npy::read(&directory.join("shape.npy")).map_err(|error| error.to_string())?;
    let [n_users, n_items] = shape[..] else { return Err("shape.npy must hold two numbers".to_owned()) };
    let train = read_part(&directory, "train", (n_users, n_items), offset)?;
    let test = read_part(&directory, "test", (n_users, n_items), offset)?;
    job.run(&train, &HeldOut::new(&train, &test))
}

fn read_part(directory: &Path, part: &str, (n_users, n_items): (u32, u32), offset: f32) -> Result<Csr, String> {
    let path = |what: &str| directory.join(format!("{part}_{what}.npy"));
    let read = || -> std::io::Result<(Vec<u32>, Vec<u32>, Vec<f32>)> {
        Ok((npy::read(&path("users"))?, npy::read(&path("items"))?, npy::read(&path("values"))?))
    };
    let (users, items, mut values) = read().map_err(|error| error.to_string())?;
    for value in &mut values {
        *value -= offset;
    }
    Csr::new(n_users as usize, n_items as usize, &users, &items, &values).map_err(|error| error.to_string())
}

impl Fit {
    fn run(&self, train: &Csr, held_out: &HeldOut) -> Result<(), String> {
        let flops = useful_flops(train, self.params.rank) * self.params.max_iterations as f64;
        let cancel = AtomicBool::new(false);
        let (mut walls, mut cpus, mut losses) = (Vec::new(), Vec::new(), Vec::new());
        for run in 0..self.repeat {
            let params = AlsParams { seed: self.params.seed.wrapping_add(run), ..self.params.clone() };
            let clock = clock::Clock::start();
            let trained = als::train(train, &params, &Control { threads: self.threads, cancel: &cancel, progress: &|_| {} });
            let (wall, cpu) = clock.stop();
            let model = trained.map_err(|error| error.to_string())?;
            let loss = held_out.loss(&model, self.params.feedback);
            println!("{}", json(&format!("\"run\": {run}"), wall, cpu, loss, flops));
            walls.push(wall);
            cpus.extend(cpu);
            losses.push(loss);
            if let Some(directory) = self.factors.as_ref().filter(|_| run + 1 == self.repeat) {
                save(&model, directory).map_err(|error| format!("{}: {error}", directory.display()))?;
            }
        }
        if let (Some(wall), Some(loss)) = (median(walls), median(losses)) {
            println!("{}", json("\"run\": \"median\"", wall, median(cpus), loss, flops));
        }
        Ok(())
    }
}

/// A line of results. GFLOP/s are useful ones per wall second: a kernel gets no credit for work that a better one avoids.
fn json(first: &str, wall: f64, cpu: Option<f64>, loss: f64, flops: f64) -> String {
    let cpu = cpu.map_or_else(|| "null".to_owned(), |cpu| format!("{cpu:.2}"));
    let gflops = flops / wall / 1e9;
    format!("{{{first}, \"wall_seconds\": {wall:.6}, \"cpu_seconds\": {cpu}, \"heldout_loss\": {loss:.8}, \"gflops\": {gflops:.2}}}")
}

/// The arithmetic of an iteration that an exact solver cannot avoid: per rating, on each side, a symmetric rank-1 update and
/// an update of the right side; per row with ratings, Cholesky and two triangular solutions.
fn useful_flops(train: &Csr, rank: usize) -> f64 {
    let rank = rank as f64;
    let n_users = (0..train.n_rows()).filter(|row| train.row_len(*row) > 0).count();
    let mut is_rated = vec![false; train.n_columns()];
    for (_, item, _) in train.entries() {
        is_rated[item as usize] = true;
    }
    let n_rows = n_users + is_rated.into_iter().filter(|is_rated| *is_rated).count();
    let per_rating = 2.0 * (rank * (rank + 1.0) + 2.0 * rank);
    let per_row = rank.powi(3) / 3.0 + 2.0 * rank * rank;
    train.n_ratings() as f64 * per_rating + n_rows as f64 * per_row
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(0.5 * (values[middle - 1] + values[middle])),
    }
}

fn save(model: &AlsModel, directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let write = |name: &str, factors: &Factors| {
        npy::write(&directory.join(name), &[factors.n_rows(), factors.rank()], factors.as_slice().iter().copied())
    };
    write("users.npy", &model.users)?;
    write("items.npy", &model.items)
}

fn peak(mut options: Options) -> Result<(), String> {
    let threads: usize = options.number("threads", 2)?;
    options.finish()?;
    match peak::measure(threads.max(1)) {
        Some((name, gflops)) => println!("{{\"instructions\": \"{name}\", \"threads\": {threads}, \"gflops\": {gflops:.1}}}"),
        None => println!("{{\"instructions\": null, \"threads\": {threads}, \"gflops\": null}}"),
    }
    Ok(())
}
