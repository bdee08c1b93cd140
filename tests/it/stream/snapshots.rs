//! Each statement sees one moment of a table: rows arrive and a commit happens each second, and self-joins look for a row
//! that is there twice, or on one side only.
//!
//! A server without optimisation wants two cores for itself at this rate: `tests/run` gives this test a turn of its own.
//! `weir bench kafka` asks 10,000 times. `WEIR_TEST_SNAPSHOTS` and `WEIR_TEST_RATE` change the number of statements and the
//! rows a second.

use super::*;

const SNAPSHOTS: u64 = 120;
const RATE: u64 = 50_000;
const PARTITIONS: u64 = 4;
/// The self-join has the rows of so many seconds: of several commits, and those of none.
const WINDOW_SECONDS: u64 = 4;
/// .. and so many rows at most.
const WINDOW_ROWS_MAX: u64 = 100_000;
/// Statements between two that count the whole table, which grows; the others count what they join.
const WHOLE_EVERY: u64 = 100;
/// Statements between two looks at the commits.
const LOOK_EVERY: u64 = 10;
/// Commits that must have happened between the statements.
const COMMITS_MIN: i64 = 3;

/// One partition as one statement sees it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    partition: i64,
    n_rows: i64,
    first: i64,
    last: i64,
    /// Pairs of rows of the same offset, from an offset on.
    n_joined: i64,
}

impl Seen {
    /// The statement; everything in it is about the same table. It counts from one offset on, and joins from another one.
    fn sql(counted_from: i64, from: i64) -> String {
        format!(
            "SELECT whole.p, whole.n_rows, whole.lo, whole.hi, joined.n_joined FROM \
             (SELECT k_partition AS p, count(*) AS n_rows, min(k_offset) AS lo, max(k_offset) AS hi FROM live \
             WHERE k_offset >= {counted_from} GROUP BY k_partition) AS whole \
             JOIN (SELECT a.k_partition AS p, count(*) AS n_joined FROM live AS a \
             JOIN live AS b ON a.k_partition = b.k_partition AND a.k_offset = b.k_offset \
             WHERE a.k_offset >= {from} AND b.k_offset >= {from} GROUP BY a.k_partition) AS joined ON whole.p = joined.p \
             ORDER BY whole.p"
        )
    }

    fn of(row: &str) -> Self {
        let numbers: Vec<i64> = row.split('\t').map(|cell| cell.parse().unwrap_or_else(|_| panic!("{row:?} is not numbers"))).collect();
        let [partition, n_rows, first, last, n_joined] = numbers[..] else { panic!("{row:?} is not five numbers") };
        Self { partition, n_rows, first, last, n_joined }
    }
}

/// Epoch of the newest commit, and rows that are in none.
async fn progress(client: &mut Client) -> (i64, i64) {
    let rows = client.rows("SELECT epoch, hot_rows FROM system.streams").await.unwrap();
    let (epoch, hot) = rows[0].split_once('\t').unwrap();
    (epoch.parse().unwrap(), hot.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_sees_each_row_once_while_rows_arrive_and_are_committed() {
    let (n_statements, rate) = (option("WEIR_TEST_SNAPSHOTS", SNAPSHOTS), option("WEIR_TEST_RATE", RATE));
    let window_rows = (rate * WINDOW_SECONDS).min(WINDOW_ROWS_MAX);
    let kafka = Kafka::shared().await;
    let topic = unique("snapshots");
    // Minutes of rows: the broker's disk is not for this test alone.
    let retention = [("retention.bytes", "536870912"), ("segment.bytes", "67108864")];
    kafka.create_topic(&topic, PARTITIONS as i32, &retention).await;
    let server = Server::start();
    let mut client = server.client().await;
    client.rows(&create_events("live", "", kafka.bootstrap(), &topic, ", 'commit.interval' = '1 s'")).await.unwrap();
    client.rows("SET stream_read = 'hot'").await.unwrap();
    let producing = Producing::start(kafka, &topic, PARTITIONS, rate, u64::MAX);
    let is_filled = |row: &str| row.parse::<u64>().is_ok_and(|n_rows| n_rows >= window_rows);
    until_it(&mut client, "SELECT count(*) FROM live", &format!("{window_rows} or more"), is_filled).await;
    until(&mut client, "SELECT count(DISTINCT k_partition) FROM live", &PARTITIONS.to_string()).await;

    let (begun, sent_before) = (Instant::now(), producing.n_sent());
    let (first_epoch, _) = progress(&mut client).await;
    let (mut n_looks_with_hot_rows, mut from, mut before) = (0, 0, Vec::<Seen>::new());
    for statement in 0..n_statements {
        let counted_from = if statement.is_multiple_of(WHOLE_EVERY) { 0 } else { from };
        let sql = Seen::sql(counted_from, from);
        let rows = client.rows(&sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
        let seen: Vec<Seen> = rows.iter().map(|row| Seen::of(row)).collect();
        let what =
            format!("statement {statement}, counted from offset {counted_from}, joined from {from}\nnow    {seen:?}\nbefore {before:?}");
        assert_eq!(seen.len() as u64, PARTITIONS, "a partition is missing: {what}");
        for (now, idx) in seen.iter().zip(0_i64..) {
            assert_eq!((now.partition, now.first), (idx, counted_from), "the first row is missing: {what}");
            assert_eq!(now.n_rows, now.last - now.first + 1, "a row is missing or there twice: {what}");
            assert_eq!(now.n_joined, now.last - from + 1, "the sides of a self-join differ: {what}");
        }
        for (now, then) in seen.iter().zip(&before) {
            assert!(now.last >= then.last, "a count went back: {what}");
        }
        // Offsets of all partitions grow alike; the bound is a constant, so that old files are not read twice.
        let newest = seen.iter().map(|now| now.last).min().unwrap_or_default();
        from = (newest + 1 - (window_rows / PARTITIONS) as i64).max(0);
        before = seen;
        if statement.is_multiple_of(LOOK_EVERY) {
            n_looks_with_hot_rows += u64::from(progress(&mut client).await.1 > 0);
        }
    }
    let (last_epoch, _) = progress(&mut client).await;
    let (n_commits, seconds) = (last_epoch - first_epoch, begun.elapsed().as_secs_f64());
    println!(
        "{n_statements} statements in {seconds:.1} s at {:.0} of {rate} rows/s, {n_commits} commits meanwhile",
        (producing.n_sent() - sent_before) as f64 / seconds
    );
    assert!(
        n_commits >= COMMITS_MIN,
        "only {n_commits} commits happened in {seconds:.1} s: raise WEIR_TEST_SNAPSHOTS, or the server stalls"
    );
    assert!(n_looks_with_hot_rows > 0, "no statement had a row that was not committed");

    producing.stop();
    let mut n_produced = 0;
    for partition in 0..PARTITIONS as i32 {
        n_produced += kafka.watermarks(&topic, partition).await.1 as u64;
    }
    // On a slow machine the statements have left the stream far behind.
    until_counted(&mut client, "SELECT count(*) FROM live", n_produced).await;
}
