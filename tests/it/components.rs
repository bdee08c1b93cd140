//! The components that other tests rely on do what those tests think they do.

use crate::harness::avro::Avro;
use crate::harness::certificates::{Certificates, ClientFiles};
use crate::harness::events::{self, Event};
use crate::harness::kafka::{Options, Outcome, PASSWORD, Placed, Record, USER};
use crate::harness::python::{run_python, succeeded};
use crate::harness::row_hash::{Kind, RowHash};
use crate::harness::{Kafka, Registry, S3, Server, Truth, repository};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a client that is refused tries.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

fn tls(bootstrap: &str, ca: &Path, client: Option<&ClientFiles>) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("security.protocol", "SSL").set("ssl.ca.location", ca.to_string_lossy());
    if let Some(files) = client {
        config.set("ssl.certificate.location", files.certificate.to_string_lossy());
        config.set("ssl.key.location", files.key.to_string_lossy());
    }
    config
}

fn sasl(kafka: &Kafka, mechanism: &str, password: &str) -> ClientConfig {
    let mut config = tls(&kafka.sasl_bootstrap(), &kafka.certificates().ca(), None);
    config.set("security.protocol", "SASL_SSL").set("sasl.mechanism", mechanism);
    config.set("sasl.username", USER).set("sasl.password", password);
    config
}

/// Whether the broker tells this client its topics.
async fn answers(config: ClientConfig, timeout: Duration) -> bool {
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: Result<BaseConsumer, _> = config.create();
        consumer.and_then(|consumer| consumer.fetch_metadata(None, timeout)).is_ok()
    });
    asked.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_lets_in_whom_it_should() {
    let started = Instant::now();
    let kafka = Kafka::shared().await;
    println!("the shared broker answers after {:.1} s", started.elapsed().as_secs_f64());
    let (certificates, address) = (kafka.certificates(), kafka.ssl_bootstrap());
    assert!(answers(tls(&address, &certificates.ca(), Some(&certificates.client())), ANSWER_TIMEOUT).await);
    for (what, ca, client) in [
        ("the wrong authority", certificates.wrong_ca(), Some(certificates.client())),
        ("no certificate", certificates.ca(), None),
        ("an expired certificate", certificates.ca(), Some(certificates.expired_client())),
        ("a certificate of another authority", certificates.ca(), Some(certificates.strange_client())),
        ("the wrong key", certificates.ca(), Some(certificates.client_with_other_key())),
    ] {
        assert!(!answers(tls(&address, &ca, client.as_ref()), REFUSED_TIMEOUT).await, "{what}");
    }
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        assert!(answers(sasl(kafka, mechanism, PASSWORD), ANSWER_TIMEOUT).await, "{mechanism}");
        assert!(!answers(sasl(kafka, mechanism, "wrong"), REFUSED_TIMEOUT).await, "{mechanism} with a wrong password");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_changes_topics() {
    let kafka = Kafka::shared().await;
    kafka.create_topic("components", 2, &[("retention.ms", "-1")]).await;
    let placed = kafka.produce("components", Some(1), ["a", "b", "c"]).await;
    assert_eq!(placed.iter().map(|placed| (placed.partition, placed.offset)).collect::<Vec<_>>(), [(1, 0), (1, 1), (1, 2)]);
    assert_eq!(kafka.watermarks("components", 1).await, (0, 3));
    kafka.delete_records("components", 1, 2).await;
    assert_eq!(kafka.watermarks("components", 1).await, (2, 3));
    kafka.add_partitions("components", 3).await;
    assert_eq!(kafka.partitions("components").await, [0, 1, 2]);
    // Each transaction ends with a marker that takes an offset.
    kafka.produce_in_transaction("components", Some(2), ["x", "y"], Outcome::Abort).await;
    let placed = kafka.produce_in_transaction("components", Some(2), ["z"], Outcome::Commit).await;
    assert_eq!(placed[0].offset, 3);
    kafka.delete_topic("components").await;
    kafka.create_topic("components", 1, &[]).await;
    assert_eq!(kafka.watermarks("components", 0).await, (0, 0));
    kafka.delete_topic("components").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_stops_comes_back_and_can_be_cut_off() {
    let kafka = Kafka::start(Options { is_proxied: true, ..Options::default() }).await;
    kafka.create_topic("kept", 1, &[]).await;
    kafka.produce("kept", None, ["before"]).await;
    let through_proxy = || {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka.bootstrap());
        config
    };
    assert!(answers(through_proxy(), ANSWER_TIMEOUT).await);
    for (what, close) in [("cut", true), ("stalled", false)] {
        if close {
            kafka.proxy().cut()
        } else {
            kafka.proxy().stall()
        }
        assert!(!answers(through_proxy(), REFUSED_TIMEOUT).await, "{what}");
        kafka.produce("kept", None, [what]).await;
        kafka.proxy().restore();
        assert!(answers(through_proxy(), ANSWER_TIMEOUT).await, "restored after {what}");
    }
    assert!(kafka.proxy().n_accepted() >= 3, "the clients came through the proxy");
    kafka.freeze();
    assert!(!answers(through_proxy(), REFUSED_TIMEOUT).await, "frozen");
    kafka.resume();
    assert!(answers(through_proxy(), ANSWER_TIMEOUT).await, "resumed");
    let started = Instant::now();
    kafka.restart().await;
    println!("stopped in order and started again in {:.1} s", started.elapsed().as_secs_f64());
    kafka.produce("kept", None, ["after"]).await;
    kafka.kill();
    let started = Instant::now();
    kafka.restart().await;
    println!("started again after kill -9 in {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(kafka.watermarks("kept", 0).await, (0, 4));
}

const N_RACES: usize = 50;
const N_RACERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_conditional_puts_on_s3_one_wins() {
    let started = Instant::now();
    let s3 = S3::start();
    println!("the S3 server answers after {:.1} s", started.elapsed().as_secs_f64());
    let store = |access_key: &str| {
        let builder = AmazonS3Builder::new().with_endpoint(s3.endpoint()).with_allow_http(true).with_region(s3.region());
        let builder = builder.with_bucket_name(s3.bucket()).with_access_key_id(access_key).with_secret_access_key(s3.secret_key());
        Arc::new(builder.build().expect("a store"))
    };
    let good = store(s3.access_key());
    for race in 0..N_RACES {
        let path = ObjectPath::from(format!("log/{race:020}.json"));
        let racers = (0..N_RACERS).map(|racer| {
            let (store, path) = (Arc::clone(&good), path.clone());
            async move { store.put_opts(&path, format!("racer {racer}").into(), PutMode::Create.into()).await }
        });
        let results = futures::future::join_all(racers).await;
        let winners: Vec<usize> = results.iter().enumerate().filter(|(_, result)| result.is_ok()).map(|(racer, _)| racer).collect();
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error:?}");
        }
        assert_eq!(winners.len(), 1, "race {race}");
        let kept = good.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(kept, format!("racer {}", winners[0]), "race {race}");
    }
    assert!(store("somebody").head(&ObjectPath::from("log/x")).await.is_err(), "another access key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_registry_keeps_schemas_and_wants_the_password() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(directory.path());
    let registry = Registry::start_with(Some(("reader", "registry-password")), Some(&certificates.server()));
    let schema = serde_json::json!({"type": "record", "name": "r", "fields": [{"name": "a", "type": "long"}]});
    let ca = reqwest::Certificate::from_pem(&std::fs::read(certificates.ca()).unwrap()).unwrap();
    let client = reqwest::Client::builder().add_root_certificate(ca).build().unwrap();
    let body = serde_json::json!({"schema": schema.to_string()}).to_string();
    let post = |password: &'static str| {
        let request = client.post(format!("{}/subjects/t-value/versions", registry.url())).body(body.clone());
        async move { request.basic_auth("reader", Some(password)).send().await.unwrap() }
    };
    assert_eq!(post("wrong").await.status(), 401);
    assert_eq!(post("registry-password").await.text().await.unwrap(), r#"{"id":1}"#);
    assert_eq!(registry.register(&schema), 1, "the same schema keeps its number");
    assert_eq!(registry.register(&serde_json::json!("string")), 2);
    let get = |id: u32| {
        let request = client.get(format!("{}/schemas/ids/{id}", registry.url()));
        async move { request.basic_auth("reader", Some("registry-password")).send().await.unwrap() }
    };
    let found: serde_json::Value = serde_json::from_str(&get(1).await.text().await.unwrap()).unwrap();
    assert_eq!(found["schema"], schema.to_string());
    assert_eq!(get(3).await.status(), 404);
    registry.set_down(true);
    assert_eq!(get(1).await.status(), 503);
    assert_eq!(registry.requests().last().unwrap(), "GET /schemas/ids/1");
    let without_ca = reqwest::Client::new().get(registry.url()).send().await;
    assert!(without_ca.is_err(), "a client that does not know the authority");
    let open = Registry::start();
    assert_eq!(client.get(format!("{}/schemas/ids/1", open.url())).send().await.unwrap().status(), 404, "nobody asked for a password");
}

/// The examples of Avro's specification, and the frame.
#[test]
fn avro_is_encoded_as_specified() {
    let record = Avro::Record(vec![Avro::Integer(27), Avro::text("foo")]);
    assert_eq!(record.framed(258), [0, 0, 0, 1, 2, 0x36, 0x06, 0x66, 0x6f, 0x6f]);
    for (value, encoded) in [
        (Avro::Integer(0), &[0][..]),
        (Avro::Integer(-1), &[1]),
        (Avro::Integer(-64), &[0x7f]),
        (Avro::Integer(64), &[0x80, 0x01]),
        (Avro::Integer(i64::MIN), &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        (Avro::Array(vec![Avro::Integer(3), Avro::Integer(27)]), &[0x04, 0x06, 0x36, 0x00]),
        (Avro::nullable(Some(Avro::text("a"))), &[0x02, 0x02, 0x61]),
        (Avro::nullable(None), &[0x00]),
        (Avro::Boolean(true), &[1]),
        (Avro::Double(1.5), &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f]),
        (Avro::Float(1.5), &[0, 0, 0xc0, 0x3f]),
    ] {
        assert_eq!(value.framed(1)[5..], *encoded, "{value:?}");
    }
}

/// A table of events that was not fed by a stream: the same rows, put there by INSERT.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_and_a_table_are_compared_in_the_same_numbers() {
    let kafka = Kafka::shared().await;
    kafka.create_topic("truth", 3, &[]).await;
    let placed = kafka.produce("truth", None, Event::json(0..500)).await;
    kafka.produce_in_transaction("truth", Some(0), Event::json(500..510), Outcome::Abort).await;
    kafka.produce("truth", Some(1), [Record::default().key("k"), Record::new("not json")]).await;
    let truth = Truth::read(kafka, "truth", &events::hash(), events::decode).await;
    assert_eq!(truth.n_rows(), 500);
    assert_eq!(truth.difference(placed.iter().copied()), "");
    let shifted = placed.iter().map(|row| Placed { offset: row.offset + 1, ..*row });
    assert!(truth.difference(shifted).starts_with("3 missing: 0:0 1:0 2:0\n3 not in the topic: "), "three partitions begin with 0");

    let server = Server::start();
    let mut client = server.client().await;
    let columns = events::COLUMNS;
    client.rows(&format!("CREATE TABLE t ({columns}, _kafka_partition INT, _kafka_offset BIGINT)")).await.unwrap();
    let rows: Vec<String> = placed
        .iter()
        .zip(0..)
        .map(|(row, n)| {
            let Event { event_id, user_id, item_id, rating, price, action, device, event_time } = Event::number(n);
            format!(
                "({event_id}, {user_id}, {item_id}, {rating}, {price}, '{action}', '{device}', TIMESTAMP '{event_time}', {}, {})",
                row.partition, row.offset
            )
        })
        .collect();
    client.rows(&format!("INSERT INTO t VALUES {}", rows.join(", "))).await.unwrap();
    let query = events::hash().sql("t", "_kafka_partition", "_kafka_offset");
    assert_eq!(client.rows(&query).await.unwrap(), truth.rows());
    let location = client.rows("DESCRIBE FORMATTED t").await.unwrap();
    let location = location.iter().find_map(|row| row.strip_prefix("Location\t")).unwrap().split('\t').next().unwrap().to_owned();
    let expected = server.directory().join("expected.json");
    std::fs::write(&expected, truth.json().to_string()).unwrap();
    let arguments = [location, expected.display().to_string()];
    let compare = move || run_python("tests/clients/stream_compare.py", &arguments);
    let output = tokio::task::spawn_blocking(compare.clone()).await.unwrap();
    assert_eq!(succeeded(&output), "ok deltalake: 500 rows\nok duckdb: 500 rows\n");
    // What a table of events does not have: booleans, NULL, negative numbers.
    let other = RowHash::new(&[("b", Kind::Boolean), ("i", Kind::Integer)]);
    let values = "(SELECT 1 AS p, CAST(7 AS BIGINT) AS o, true AS b, CAST(-5 AS BIGINT) AS i UNION ALL SELECT 1, 8, NULL, NULL) AS v";
    let halves = [other.of(1, 7, &[Some(1), Some(-5)]), other.of(1, 8, &[None, None])];
    let sums = [0, 1].map(|half| halves[0][half] + halves[1][half]);
    assert_eq!(client.rows(&other.sql(values, "p", "o")).await.unwrap(), [format!("1\t2\t2\t7\t8\t{}\t{}", sums[0], sums[1])]);
    // One row less is seen, and named.
    client.rows("INSERT OVERWRITE TABLE t SELECT * FROM t WHERE event_id <> 7").await.unwrap();
    assert_ne!(client.rows(&query).await.unwrap(), truth.rows());
    let output = tokio::task::spawn_blocking(compare).await.unwrap();
    let (stdout, row) = (String::from_utf8_lossy(&output.stdout), placed[7]);
    assert!(!output.status.success() && stdout.contains(&format!("1 missing: {}:{}", row.partition, row.offset)), "{stdout}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weir_produce_sends_a_file() {
    let kafka = Kafka::shared().await;
    kafka.create_topic("produced", 2, &[]).await;
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        std::fs::write(directory.path().join(name), text).unwrap();
        directory.path().join(name).display().to_string()
    };
    let run = |arguments: Vec<String>| async move {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.arg("produce").args(arguments).current_dir(repository());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    let to = |bootstrap: &str, topic: &str, more: &[&str]| {
        let mut arguments: Vec<String> = ["--bootstrap", bootstrap, "--topic", topic].map(str::to_owned).to_vec();
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        arguments
    };
    let events = write("events.jsonl", Event::json(0..200).collect::<Vec<_>>().join("\n"));
    let started = Instant::now();
    let output = run(to(kafka.bootstrap(), "produced", &["--rate", "400/s", "--key-column", "user_id", &events])).await;
    let stdout = succeeded(&output);
    assert!(started.elapsed() >= Duration::from_millis(490), "200 records at 400 a second take half a second");
    assert!(stdout.starts_with("sent 200 records, ") && stdout.ends_with("; 200 delivered\n"), "{stdout}");
    let truth = Truth::read(kafka, "produced", &events::hash(), events::decode).await;
    assert_eq!(truth.n_rows(), 200);

    // Through the secure door, from CSV.
    let password = format!("sasl.password={PASSWORD}");
    let ca = format!("ssl.ca.location={}", kafka.certificates().ca().display());
    let user = format!("sasl.username={USER}");
    let secure = |password: &str, file: &str| {
        let mut more = vec!["--property", "security.protocol=SASL_SSL", "--property", "sasl.mechanism=SCRAM-SHA-256"];
        more.extend(["--property", &ca, "--property", &user, "--property", password, file]);
        to(&kafka.sasl_bootstrap(), "produced", &more)
    };
    let csv = write("cars.csv", "event_id,action\n1,\"a, b\"\n2,c\n".to_owned());
    assert!(succeeded(&run(secure(&password, &csv)).await).starts_with("sent 2 records"));

    for (arguments, parts) in [
        (secure("sasl.password=canary-4711", &csv), &["broker"][..]),
        (to(kafka.bootstrap(), "produced", &["--property", "canary-4711", &csv]), &["has no \"=\""]),
        (to(kafka.bootstrap(), "produced", &["--property", "sasl.pasword=canary-4711", &csv]), &["no property \"sasl.pasword\""]),
        (to(kafka.bootstrap(), "no-such-topic", &[&csv]), &["topic \"no-such-topic\" does not exist"]),
        (to(kafka.bootstrap(), "produced", &["--rate", "fast", &csv]), &["1000/s"]),
    ] {
        let output = run(arguments).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{parts:?}");
        assert!(!stderr.contains("canary"), "{stderr}");
        for part in parts {
            assert!(stderr.contains(part), "{part:?} is not said:\n{stderr}");
        }
    }
}
