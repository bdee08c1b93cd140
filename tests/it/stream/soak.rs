//! Minutes of steady rows with a commit each second: memory, files, the log and the time of a commit stay as they are.
//!
//! ```text
//! |-- warm-up --|-- first quarter --|--        --|--        --|-- last quarter --|-- producer stops: lag 0
//! ```
//! `WEIR_TEST_SOAK_MINUTES` and `WEIR_TEST_RATE` change how long it is and the rows a second. `tests/run` runs what has
//! no stream beside it.

use super::*;

/// How long it is by default.
const DEFAULT_MINUTES: u64 = 10;
const RATE: u64 = 20_000;
const PARTITIONS: u64 = 4;
/// The first sixth warms up (ten minutes of an hour), a minute at least.
const WARM_UP_SHARE: u64 = 6;
const WARM_UP_MIN: Duration = Duration::from_secs(60);
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// Samples between two looks at the live files.
const FILES_EVERY: u64 = 10;
/// Live files of a partition of the table.
const FILES_MAX: usize = 200;
/// Files in `_delta_log`.
const LOG_ENTRIES_MAX: usize = 300;
/// From the first quarter to the last, of a run whose warm-up lasts ten minutes: an hour.
const MEMORY_DRIFT_MAX: f64 = 0.05;
/// In a shorter one the caches and the merged files, and with them what a merge takes, still grow to their final size.
const MEMORY_DRIFT_MAX_SHORT: f64 = 0.4;
const SHORT_MINUTES: u64 = 60;
/// A merge takes memory for a while and gives it back: this share of the samples is below what is compared.
const MEMORY_SHARE: f64 = 0.25;
/// The median commit of the last quarter to that of the first, besides a fixed amount for what else the machine does.
const COMMIT_GROWTH_MAX: f64 = 2.0;
const COMMIT_NOISE_SECONDS: f64 = 0.1;
/// What is left in the topic when the producer stops is read in less.
const BACKLOG_TIMEOUT: Duration = Duration::from_secs(30);
/// Of the rows that were asked for, so many must have been produced: a slow machine sends fewer, and shows the same.
const PRODUCED_SHARE_MIN: f64 = 0.5;

/// The value that `share` of the samples are below: of the first quarter, and of the last.
fn first_and_last(samples: &[f64], share: f64) -> (f64, f64) {
    let n_quarter = samples.len() / 4;
    assert!(n_quarter > 0, "only {} samples", samples.len());
    let of = |part: &[f64]| {
        let mut sorted = part.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[(sorted.len() as f64 * share) as usize]
    };
    (of(&samples[..n_quarter]), of(&samples[samples.len() - n_quarter..]))
}

/// The files that a reader of another project finds in the newest version.
async fn n_live_files(directory: &Path) -> usize {
    let url = url::Url::from_directory_path(directory).expect("an absolute path");
    let table = Box::pin(deltalake_core::open_table(url)).await.expect("a table that is written to can be read");
    table.get_file_uris().expect("a loaded table").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_grows_but_the_rows() {
    let (minutes, rate) = (option("WEIR_TEST_SOAK_MINUTES", DEFAULT_MINUTES), option("WEIR_TEST_RATE", RATE));
    let duration = Duration::from_secs(60 * minutes);
    let warm_up = (duration / WARM_UP_SHARE as u32).max(WARM_UP_MIN);
    assert!(duration > warm_up, "WEIR_TEST_SOAK_MINUTES={minutes} has no time behind the warm-up of {} s", warm_up.as_secs());
    let kafka = Kafka::shared().await;
    let topic = unique("soak");
    // The broker's disk does not grow either; what is dropped was read minutes ago.
    let retention = [("retention.bytes", "268435456"), ("segment.bytes", "16777216")];
    kafka.create_topic(&topic, PARTITIONS as i32, &retention).await;
    // Statements that are remembered would be memory that grows.
    let server = Server::start_with(&["--dev", "--set", "limits.history_rows=100"]);
    let mut client = server.client().await;
    client.rows(&create_events("soak", "", kafka.bootstrap(), &topic, ", 'commit.interval' = '1 s'")).await.unwrap();
    until(&mut client, "SELECT state FROM system.streams", "running").await;
    let place = location(&mut client, "soak").await;
    let (directory, log) = (Path::new(&place), Path::new(&place).join("_delta_log"));

    // A producer remembers where each record lies: a new one takes over each minute.
    let start = || Producing::start(kafka, &topic, PARTITIONS, rate, rate * 60);
    let mut producing = start();
    let (begun, mut ticks) = (Instant::now(), tokio::time::interval(SAMPLE_INTERVAL));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut resident, mut commits) = (Vec::new(), Vec::new());
    let (mut n_files_max, mut n_entries_max, mut n_samples) = (0, 0, 0_u64);
    while begun.elapsed() < duration {
        ticks.tick().await;
        if producing.n_sent() >= rate * 60 {
            std::mem::replace(&mut producing, start()).join();
        }
        let row = client.rows("SELECT commit_seconds, restarts FROM system.streams").await.unwrap().remove(0);
        let (seconds, restarts) = row.split_once('\t').unwrap();
        assert_eq!(restarts, "0", "the stream was started again:\n{}", server.log());
        let n_entries = std::fs::read_dir(&log).expect("the log's directory").count();
        assert!(n_entries < LOG_ENTRIES_MAX, "{n_entries} files in _delta_log after {} s", begun.elapsed().as_secs());
        n_entries_max = n_entries.max(n_entries_max);
        if n_samples.is_multiple_of(FILES_EVERY) {
            let n_files = n_live_files(directory).await;
            assert!(n_files < FILES_MAX, "{n_files} live files after {} s", begun.elapsed().as_secs());
            n_files_max = n_files.max(n_files_max);
        }
        n_samples += 1;
        if begun.elapsed() > warm_up {
            resident.push(server.resident_bytes() as f64);
            commits.push(seconds.parse::<f64>().unwrap_or_else(|_| panic!("no commit in {} s", warm_up.as_secs())));
        }
    }

    let stopped = Instant::now();
    let ran = begun.elapsed();
    producing.stop();
    let mut n_produced = 0;
    for partition in 0..PARTITIONS as i32 {
        n_produced += kafka.watermarks(&topic, partition).await.1;
    }
    until(&mut client, "SELECT count(*) FROM soak", &n_produced.to_string()).await;
    until(&mut client, "SELECT state, lag_messages FROM system.streams", "running\t0").await;
    let backlog = stopped.elapsed();
    let n_commits = client.rows("SELECT epoch FROM system.streams").await.unwrap().remove(0);

    let (memory_first, memory_last) = first_and_last(&resident, MEMORY_SHARE);
    let drift = memory_last / memory_first - 1.0;
    let (commit_first, commit_last) = first_and_last(&commits, 0.5);
    println!(
        "{minutes} min at {rate} rows/s: {n_produced} rows, {n_commits} commits, at most {n_files_max} files and {n_entries_max} in the log; \
         memory {:.0} MiB -> {:.0} MiB ({:+.1} %), commits {:.0} ms -> {:.0} ms, lag 0 after {:.1} s",
        memory_first / 1_048_576.0,
        memory_last / 1_048_576.0,
        100.0 * drift,
        1_000.0 * commit_first,
        1_000.0 * commit_last,
        backlog.as_secs_f64()
    );
    let asked = rate as f64 * ran.as_secs_f64();
    assert!(n_produced as f64 > asked * PRODUCED_SHARE_MIN, "only {n_produced} of {asked:.0} rows were produced");
    assert!(backlog < BACKLOG_TIMEOUT, "the stream was behind: lag 0 took {:.1} s", backlog.as_secs_f64());
    let drift_max = if minutes < SHORT_MINUTES { MEMORY_DRIFT_MAX_SHORT } else { MEMORY_DRIFT_MAX };
    assert!(drift < drift_max, "memory grew by {:.1} %", 100.0 * drift);
    let commit_max = commit_first * COMMIT_GROWTH_MAX + COMMIT_NOISE_SECONDS;
    assert!(commit_last < commit_max, "a commit took {commit_first:.3} s in the first quarter, {commit_last:.3} s in the last");
}
