//! What is said and done when the broker or the topic is not as it should be.

use super::*;
use crate::connect::FailureKind;
use crate::error::Code;

#[tokio::test]
async fn records_that_are_gone_fail_or_are_skipped() {
    // The mock cluster keeps 5 MiB of a partition.
    let bench = Bench::new(1);
    let long = format!("{{\"id\":1,\"pad\":\"{}\"}}", "x".repeat(900_000));
    for _ in 0..10 {
        bench.send(0, &[Some(&long)]);
    }
    let mut reading = bench.start(&[], &[(0, 1)], false);
    reading.until("the failure", |reading| reading.failure.is_some()).await;
    let failure = reading.failure.clone().unwrap();
    assert_eq!(failure.kind, FailureKind::DataLost);
    let detail = failure.error.detail.clone().unwrap();
    assert!(detail.contains("offsets 1 to "), "{detail}");
    assert!(reading.rows.is_empty());
    let ends = async {
        while !reading.handle.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(WAIT_MAX, ends).await.is_ok(), "the thread goes on after the failure");

    let mut reading = bench.start(&[("on_data_loss", "skip")], &[(0, 1)], false);
    reading.until("the end", |reading| reading.positions.get(&0) == Some(&10)).await;
    let [(0, 1, low)] = reading.skipped.as_slice() else { panic!("{:?}", reading.skipped) };
    assert!(*low > 1 && reading.rows.first().map(|(_, offset, _)| *offset) == Some(*low), "{low}: {:?}", reading.rows);
    reading.handle.stop();
}

#[tokio::test]
async fn a_topic_that_ends_before_the_position_is_another_one() {
    let bench = Bench::new(1);
    bench.send_ids(0, 0..3);
    let mut reading = bench.start(&[], &[(0, 8)], false);
    reading.until("the failure", |reading| reading.failure.is_some()).await;
    let failure = reading.failure.clone().unwrap();
    assert_eq!((failure.kind, failure.error.code), (FailureKind::TopicRecreated, Code::WrongObject));
    assert!(failure.error.to_string().contains("SEEK TO EARLIEST"), "{}", failure.error);
    assert!(reading.rows.is_empty());
}

#[tokio::test]
async fn a_broker_that_is_away_is_named_and_waited_for() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let options = KafkaOptions::of_topic("events", &closed, &[]).unwrap();
    let mut reading = Reading::start(options, &[], true, 8);
    let wanted = format!("could not reach broker \"{closed}\": connection refused");
    reading.until_status("the refusal", |status| status.last_error.as_deref() == Some(&wanted)).await;
    assert!(!reading.status.lock().connected);
    let error = reading.handle.high_watermarks(Duration::from_millis(200)).unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    let asked_at = std::time::Instant::now();
    reading.handle.stop();
    assert!(asked_at.elapsed() < Duration::from_secs(8));
}

#[tokio::test]
async fn a_topic_that_is_missing_is_waited_for() {
    let bench = Bench::new(1);
    let options = KafkaOptions::of_topic("later", bench.broker.bootstrap_servers(), &[]).unwrap();
    let mut reading = Reading::start(options, &[], true, 8);
    reading.until_status("the error", |status| status.last_error.as_deref() == Some("topic \"later\" does not exist")).await;
    assert!(reading.status.lock().connected);
    bench.broker.create_topic("later", 1).unwrap();
    bench.producer.send("later", Outgoing { payload: Some(b"{\"id\":7}"), ..Outgoing::default() }).unwrap();
    bench.producer.flush("later", WAIT_MAX).unwrap();
    reading.until_rows(1).await;
    reading.until_status("the end of the error", |status| status.last_error.is_none()).await;
    reading.handle.stop();
}

#[tokio::test]
async fn reading_goes_on_after_the_broker_was_away() {
    let bench = Bench::new(1);
    bench.send_ids(0, 0..3);
    let mut reading = bench.start(&[], &[], true);
    reading.until_rows(3).await;
    bench.broker.go_down().unwrap();
    reading.until_status("the trouble", |status| status.last_error.is_some()).await;
    bench.broker.come_up().unwrap();
    bench.send_ids(0, 3..6);
    reading.until_rows(6).await;
    reading.until_status("the end of the trouble", |status| status.last_error.is_none() && status.connected).await;
    assert_eq!(reading.ids(), [0, 1, 2, 3, 4, 5]);
    reading.handle.stop();
}

#[test]
fn a_question_without_an_answer_says_why() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let options = KafkaOptions::of_topic("events", &closed, &[]).unwrap();
    let error = n_partitions(&options, WAIT_MAX).unwrap_err();
    assert_eq!((error.code, error.message), (Code::Unavailable, format!("could not reach broker \"{closed}\": connection refused")));
    let bench = Bench::new(1);
    let options = KafkaOptions::of_topic("nowhere", bench.broker.bootstrap_servers(), &[]).unwrap();
    let error = n_partitions(&options, WAIT_MAX).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::UndefinedObject, "topic \"nowhere\" does not exist"));
}

#[test]
fn a_producer_says_why_records_did_not_arrive() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let options = KafkaOptions::of_topic("events", &closed, &[]).unwrap();
    let producer = Producer::new(&options.properties, &[("message.timeout.ms", "3000")]).unwrap();
    producer.send("events", Outgoing { payload: Some(b"x"), ..Outgoing::default() }).unwrap();
    let error = producer.flush("events", WAIT_MAX).unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert!(error.message.contains("connection refused"), "{error}");
    assert!(error.to_string().contains("0 of 1 records have arrived"), "{error}");
}
