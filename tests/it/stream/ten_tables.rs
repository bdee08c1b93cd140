//! Ten streaming tables at once, one of them on a dead broker: the other nine do not notice.

use super::*;
use crate::harness::port::free_port;
use crate::harness::proxy::Proxy;

const N_LIVE: usize = 9;
/// Events a second for each table, and how many there are at most, should the test fail and nobody stop the producers.
const RATE: u64 = 100;
const EVENTS_MAX: u64 = 600 * RATE;
/// Queries of one measurement; a round has two measurements with the tenth table and two without.
const QUERIES: usize = 100;
/// What else the machine does disturbs some rounds. A table that holds others up does so in all of them.
const ROUNDS_MAX: usize = 5;
/// How much longer queries may take with the tenth table than without it: half of them, and all but one in a hundred.
const RATIO_MAX: f64 = 1.5;

#[tokio::test(flavor = "multi_thread")]
async fn nine_tables_do_not_notice_that_the_broker_of_the_tenth_is_dead() {
    nine_tables_do_not_notice(&format!("127.0.0.1:{}", free_port())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nine_tables_do_not_notice_that_the_broker_of_the_tenth_never_answers() {
    // Connections are taken, and nothing passes.
    let proxy = Proxy::start(Kafka::shared().await.bootstrap().parse().expect("an address"));
    proxy.stall();
    nine_tables_do_not_notice(&proxy.address()).await;
}

/// What the tenth does at the address of `dead`, where no broker is.
async fn nine_tables_do_not_notice(dead: &str) {
    let kafka = Kafka::shared().await;
    let server = Server::start();
    let mut client = server.client().await;
    let options = ", 'commit.interval' = '1 s'";
    let mut producers = Vec::new();
    for n in 0..N_LIVE {
        let topic = unique(&format!("ten-{n}"));
        kafka.create_topic(&topic, 2, &[]).await;
        client.rows(&create_events(&format!("live_{n}"), "", kafka.bootstrap(), &topic, options)).await.unwrap();
        producers.push(Producing::start(kafka, &topic, 2, RATE, EVENTS_MAX));
    }
    client.rows(&create_events("dead", "", dead, "nobody", options)).await.unwrap();
    for n in 0..N_LIVE {
        until(&mut client, &format!("SELECT count(*) > 0 FROM live_{n}"), "true").await;
    }

    let mut ratios: Vec<[f64; 2]> = Vec::new();
    for round in 1..=ROUNDS_MAX {
        let mut times: [Vec<Duration>; 2] = Default::default();
        // In this order what changes slowly, such as the number of files, counts on both sides.
        for is_there in [false, true, true, false] {
            set_tenth(&mut client, is_there).await;
            measure(&mut client, &mut times[usize::from(is_there)]).await;
        }
        ratios.push([50, 99].map(|hundredths| {
            let [without, with] = times.each_ref().map(|times| percentile(times, hundredths));
            println!("round {round}: p{hundredths} {without:.1?} without the tenth table, {with:.1?} with it");
            with.as_secs_f64() / without.as_secs_f64()
        }));
        if is_unnoticed(&ratios[round - 1]) {
            break;
        }
    }
    assert!(ratios.iter().any(is_unnoticed), "p50 and p99 with the tenth table to those without it: {ratios:.2?}");

    set_tenth(&mut client, true).await;
    for (n, producing) in producers.into_iter().enumerate() {
        let n_sent = Arc::clone(&producing.n_sent);
        producing.stop();
        until(&mut client, &format!("SELECT count(*) FROM live_{n}"), &n_sent.load(Ordering::SeqCst).to_string()).await;
    }
    let sql = "SELECT count(*) FROM system.streams WHERE table_name <> 'dead' AND state = 'running' AND lag_messages = 0";
    until(&mut client, sql, &N_LIVE.to_string()).await;
    let shown = client.rows("SELECT state, last_error FROM system.streams WHERE table_name = 'dead'").await.unwrap();
    assert!(shown.len() == 1 && shown[0].starts_with("retrying\t") && shown[0].contains(dead), "{shown:?}");
    assert_eq!(client.rows("SELECT count(*) FROM dead").await.unwrap(), ["0"], "the tenth answers too");
}

/// Whether queries take as long with the tenth table as without it.
fn is_unnoticed(ratios: &[f64; 2]) -> bool {
    ratios.iter().all(|ratio| *ratio <= RATIO_MAX)
}

/// Lets the tenth table look for its broker, or rest.
async fn set_tenth(client: &mut Client, is_there: bool) {
    let (action, state) = if is_there { ("RESUME", "retrying") } else { ("PAUSE", "paused") };
    client.rows(&format!("ALTER STREAMING TABLE dead {action}")).await.unwrap();
    until(client, "SELECT state FROM system.streams WHERE table_name = 'dead'", state).await;
}

/// Asks the nine in turn.
async fn measure(client: &mut Client, times: &mut Vec<Duration>) {
    for query in 0..QUERIES {
        let sql = format!("SELECT count(*), max(event_id) FROM live_{}", query % N_LIVE);
        let asked_at = Instant::now();
        client.rows(&sql).await.unwrap();
        times.push(asked_at.elapsed());
    }
}

/// What so many hundredths of the queries did not exceed.
fn percentile(times: &[Duration], hundredths: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() * hundredths).div_ceil(100) - 1]
}
