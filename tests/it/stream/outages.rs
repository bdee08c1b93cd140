//! The broker stops, or cannot be reached: queries keep answering, and afterwards every record is there once.
//!
//! `WEIR_TEST_CUT_SECONDS` is how long the connection is cut.

use super::*;
use crate::harness::kafka::Options;

/// What a query takes at most, whatever happens to the broker.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long the broker stays away after its stop.
const STOPPED: Duration = Duration::from_secs(4);
const CUT_SECONDS: u64 = 30;
/// How long the cluster names no broker.
const BROKERLESS: Duration = Duration::from_secs(3);
/// How long a broker stands still: longer than its session of four seconds.
const FROZEN: Duration = Duration::from_secs(6);
/// Events a second, and how many there are at most, should the test fail and nobody stop the producer.
const RATE: u64 = 1_000;
const EVENTS_MAX: u64 = 600 * RATE;

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_stopped_broker_nor_a_cut_connection_costs_a_record_or_holds_a_query_up() {
    let kafka = Kafka::start(Options { is_proxied: true, ..Options::default() }).await;
    let topic = unique("away");
    kafka.create_topic(&topic, 2, &[]).await;
    let (server, idle) = (Server::start(), Server::start());
    let mut client = server.client().await;
    client.rows(&create_events("away", "", kafka.bootstrap(), &topic, ", 'commit.interval' = '500 ms'")).await.unwrap();
    let producing = Producing::start(&kafka, &topic, 2, RATE, EVENTS_MAX);
    goes_on(&mut client, &producing).await;
    let probing = Probing::start(&server, &idle, "away");

    tokio::task::block_in_place(|| kafka.stop());
    outlast(&mut client, STOPPED).await;
    // On the same port, with what it had.
    kafka.restart().await;
    goes_on(&mut client, &producing).await;

    // First every connection is refused, then none of them carries anything. The producer has a way past the proxy.
    let cut = Duration::from_secs(option("WEIR_TEST_CUT_SECONDS", CUT_SECONDS));
    kafka.proxy().cut();
    outlast(&mut client, cut / 2).await;
    kafka.proxy().stall();
    outlast(&mut client, cut / 2).await;
    kafka.proxy().restore();
    goes_on(&mut client, &producing).await;

    producing.stop();
    let truth = Truth::read(&kafka, &topic, &events::hash(), events::decode).await;
    until(&mut client, "SELECT count(*) FROM away", &truth.n_rows().to_string()).await;
    until(&mut client, "SELECT state, lag_messages, last_error FROM system.streams", "running\t0\tNULL").await;
    assert_equals_topic(&mut client, "away", &truth).await;
    let answers = probing.join();
    println!("{answers:?}");
    assert!(answers.n > 20 && answers.longest_own < ANSWER_MAX, "{answers:?}");
}

/// A broker that stood still longer than its session (a virtual machine that is moved, a long pause of its memory) is taken for
/// dead by its controller, and so is one that is about to stop: for a moment it answers that the cluster has no broker. The
/// client library forgets all brokers then, for good and without a word (librdkafka issue 5301).
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_names_no_broker_for_a_moment_is_read_on_in_seconds() {
    let kafka = Kafka::start(Options { is_proxied: true, ..Options::default() }).await;
    let topic = unique("away");
    kafka.create_topic(&topic, 2, &[]).await;
    let server = Server::start();
    let mut client = server.client().await;
    client.rows(&create_events("away", "", kafka.bootstrap(), &topic, ", 'commit.interval' = '500 ms'")).await.unwrap();
    let producing = Producing::start(&kafka, &topic, 2, RATE, EVENTS_MAX);
    goes_on(&mut client, &producing).await;

    kafka.proxy().hide_brokers();
    outlast(&mut client, BROKERLESS).await;
    kafka.proxy().restore();
    let begun = Instant::now();
    goes_on(&mut client, &producing).await;
    println!("read on after {:.1} s", begun.elapsed().as_secs_f64());

    // The process stands still: connections stay open, and then it is taken for dead.
    kafka.freeze();
    tokio::time::sleep(FROZEN).await;
    kafka.resume();
    goes_on(&mut client, &producing).await;

    producing.stop();
    let truth = Truth::read(&kafka, &topic, &events::hash(), events::decode).await;
    until(&mut client, "SELECT count(*) FROM away", &truth.n_rows().to_string()).await;
    assert_equals_topic(&mut client, "away", &truth).await;
    // The same client found its brokers again.
    assert_eq!(client.rows("SELECT restarts FROM system.streams").await.unwrap(), ["0"]);
}

/// Waits until everything that is sent by now has arrived, and nothing is wrong any more.
async fn goes_on(client: &mut Client, producing: &Producing) {
    let wanted = producing.n_sent().max(1);
    until_it(client, "SELECT count(*) FROM away", &format!("{wanted} or more"), |row| row.parse::<u64>().is_ok_and(|n| n >= wanted)).await;
    until(client, "SELECT last_error IS NULL FROM system.streams", "true").await;
}

/// Lets an outage last so long. From the moment in which the table notices it, it says all the time that it tries again.
async fn outlast(client: &mut Client, outage: Duration) {
    let over = Instant::now() + outage;
    until(client, "SELECT state FROM system.streams", "retrying").await;
    while Instant::now() < over {
        let shown = client.rows("SELECT state, last_error IS NULL FROM system.streams").await.unwrap();
        assert_eq!(shown, ["retrying\tfalse"]);
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks a table for its number of rows again and again, on a thread of its own, and measures what that takes.
struct Probing {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Answers>,
}

/// What the questions took.
#[derive(Debug, Default)]
struct Answers {
    n: usize,
    longest: Duration,
    /// The longest beyond what a server without streams took in the same moment: the machine runs other tests too.
    longest_own: Duration,
}

impl Probing {
    fn start(server: &Server, idle: &Server, table: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, address, idle) = (Arc::clone(&stop), server.address().to_owned(), idle.address().to_owned());
        let sql = format!("SELECT count(*) FROM {table}");
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(probe(&address, &idle, &sql, &stopped))
        });
        Self { stop, thread }
    }

    fn join(self) -> Answers {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("each question is answered")
    }
}

async fn probe(address: &str, idle: &str, sql: &str, stopped: &AtomicBool) -> Answers {
    let mut client = Client::connect(address, None).await.unwrap();
    let mut other = Client::connect(idle, None).await.unwrap();
    let (mut answers, mut n_rows) = (Answers::default(), 0);
    while !stopped.load(Ordering::SeqCst) {
        let asked = timed(&mut client, sql);
        let beside = timed(&mut other, "SELECT count(*) FROM (VALUES (1), (2)) AS v (n)");
        let ((rows, took), (_, took_beside)) = tokio::join!(asked, beside);
        let now: u64 = rows[0].parse().unwrap();
        assert!(now >= n_rows, "{n_rows} rows, then {now}");
        n_rows = now;
        answers.n += 1;
        answers.longest = answers.longest.max(took);
        answers.longest_own = answers.longest_own.max(took.saturating_sub(took_beside));
        tokio::time::sleep(LOOK).await;
    }
    answers
}

async fn timed(client: &mut Client, sql: &str) -> (Vec<String>, Duration) {
    let asked_at = Instant::now();
    let answer = tokio::time::timeout(PATIENCE, client.rows(sql)).await.expect("an answer in time");
    (answer.unwrap_or_else(|error| panic!("{sql}\n{error}")), asked_at.elapsed())
}
