//! Avro with a schema registry behind TLS and a password: schemas change in mid-stream, the registry may be away.

use super::security::{ARGUMENTS, Canaries, create_secret, pause_and_resume, publish};
use super::*;
use crate::harness::Registry;
use crate::harness::avro::Avro;
use base64::Engine;
use serde_json::{Value, json};

/// The user of the registry.
const READER: &str = "reader";
const PASSWORD: &str = "canary-3e9b-of-the-registry";
const WRONG_PASSWORD: &str = "canary-c40d-not-of-the-registry";

/// How the first producer writes an order.
fn first_schema() -> Value {
    json!({"type": "record", "name": "Order", "fields": [
        {"name": "order_id", "type": "long"},
        {"name": "customer", "type": ["null", "string"]},
        {"name": "amount", "type": "double"},
    ]})
}

/// The same fields in another order, and one more with a default.
fn second_schema() -> Value {
    json!({"type": "record", "name": "Order", "fields": [
        {"name": "currency", "type": "string", "default": "EUR"},
        {"name": "amount", "type": "double"},
        {"name": "order_id", "type": "long"},
        {"name": "customer", "type": ["null", "string"], "default": null},
    ]})
}

/// Narrower numbers.
fn third_schema() -> Value {
    json!({"type": "record", "name": "Order", "fields": [
        {"name": "customer", "type": ["null", "string"], "default": null},
        {"name": "order_id", "type": "int"},
        {"name": "amount", "type": "float"},
    ]})
}

/// An order by its number; every seventh has no customer.
#[derive(Debug, Clone, Copy)]
struct Order(i64);

impl Order {
    fn name(self) -> Option<String> {
        (self.0 % 7 != 0).then(|| format!("customer {}", self.0 % 10))
    }

    /// A number that a `float` has, too.
    fn amount(self) -> f64 {
        self.0 as f64 + 0.5
    }

    fn customer(self) -> Avro {
        Avro::nullable(self.name().map(|name| Avro::text(&name)))
    }

    fn first(self, schema_id: u32) -> Vec<u8> {
        Avro::Record(vec![Avro::Integer(self.0), self.customer(), Avro::Double(self.amount())]).framed(schema_id)
    }

    fn second(self, schema_id: u32) -> Vec<u8> {
        let fields = vec![Avro::text("USD"), Avro::Double(self.amount()), Avro::Integer(self.0), self.customer()];
        Avro::Record(fields).framed(schema_id)
    }

    fn third(self, schema_id: u32) -> Vec<u8> {
        Avro::Record(vec![self.customer(), Avro::Integer(self.0), Avro::Float(self.amount() as f32)]).framed(schema_id)
    }

    /// Its row.
    fn row(self) -> String {
        format!("{}\t{}\t{:?}", self.0, self.name().as_deref().unwrap_or("NULL"), self.amount())
    }
}

fn orders(numbers: std::ops::Range<i64>) -> impl Iterator<Item = Order> {
    numbers.map(Order)
}

fn create_orders(table: &str, kafka: &Kafka, topic: &str, registry: &Registry, secret: &str, more: &str) -> String {
    format!(
        "CREATE STREAMING TABLE {table} (order_id BIGINT, customer STRING, amount DOUBLE) WITH ('connector' = 'kafka', 'topic' = '{topic}', \
         'properties.bootstrap.servers' = '{}', 'format' = 'avro-confluent', 'commit.interval' = '300 ms', 'avro-confluent.url' = '{}', \
         'avro-confluent.basic-auth.user' = '{READER}', 'avro-confluent.basic-auth.password' = SECRET {secret}{more})",
        kafka.bootstrap(),
        registry.url()
    )
}

async fn assert_orders(client: &mut Client, table: &str, n_orders: i64) {
    until(client, &format!("SELECT count(*) FROM {table}"), &n_orders.to_string()).await;
    let found = client.rows(&format!("SELECT order_id, customer, amount FROM {table} ORDER BY order_id")).await.unwrap();
    let expected: Vec<String> = orders(0..n_orders).map(Order::row).collect();
    assert_eq!(found, expected, "{table}");
}

/// Asks until a table is tried again because of what the words say.
async fn until_retrying(client: &mut Client, table: &str, words: &[&str]) {
    let sql = format!("SELECT state, last_error FROM system.streams WHERE table_name = '{table}'");
    let is_said = |row: &str| row.starts_with("retrying\t") && words.iter().all(|word| row.contains(word));
    until_it(client, &sql, &format!("retrying with {words:?}"), is_said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_change_in_mid_stream_and_the_registry_may_be_away() {
    let kafka = Kafka::shared().await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1, &[]).await;
    let registry = Registry::start_with(Some((READER, PASSWORD)), Some(&kafka.certificates().server()));
    let (first_id, second_id) = (registry.register(&first_schema()), registry.register(&second_schema()));
    let server = Server::start_with(&ARGUMENTS);
    let mut client = server.client().await;
    create_secret(&server, &mut client, "registry_password", PASSWORD).await;
    let wrong_file = create_secret(&server, &mut client, "wrong_password", WRONG_PASSWORD).await;
    let ca = format!(", 'avro-confluent.ssl.ca.location' = '{}'", publish(&server, "ca.pem", &kafka.certificates().ca()));
    client.rows(&create_orders("orders", kafka, &topic, &registry, "registry_password", &ca)).await.unwrap();
    kafka.produce(&topic, Some(0), orders(0..50).map(|order| order.first(first_id))).await;
    assert_orders(&mut client, "orders", 50).await;

    // The new schema, with records among its own that nobody can read, and an old producer that goes on.
    let mut cut_off = Order(3).first(first_id);
    cut_off.truncate(cut_off.len() - 4);
    let broken = [
        (Order(3).first(999), "has no schema 999"),
        (cut_off, "the record"),
        (br#"{"order_id":3}"#.to_vec(), "zero byte"),
        (vec![0, 0], "shorter than"),
    ];
    let mut records: Vec<Vec<u8>> = orders(50..75).map(|order| order.second(second_id)).collect();
    let first_broken_idx = records.len();
    records.extend(broken.iter().map(|(payload, _)| payload.clone()));
    records.extend(orders(75..100).map(|order| order.second(second_id)));
    records.extend(orders(100..110).map(|order| order.first(first_id)));
    let placed = kafka.produce(&topic, Some(0), records).await;
    assert_orders(&mut client, "orders", 110).await;
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'orders'";
    assert_eq!(client.rows(columns).await.unwrap(), ["3"], "the columns are those of the table");
    let dead = "SELECT \"offset\", error FROM dead_letters('orders') ORDER BY \"offset\"";
    let letters = client.rows(dead).await.unwrap();
    assert_eq!(letters.len(), broken.len(), "{letters:#?}");
    for (((_, says), placed), letter) in broken.iter().zip(&placed[first_broken_idx..]).zip(&letters) {
        assert!(letter.starts_with(&format!("{}\t", placed.offset)) && letter.contains(says), "{says}: {letter}");
    }
    let n_asked = |schema_id: u32| {
        let request = format!("GET /schemas/ids/{schema_id}");
        registry.requests().iter().filter(|asked| **asked == request).count()
    };
    assert_eq!((n_asked(first_id), n_asked(second_id)), (1, 1), "a schema is asked for once");

    // The registry is away when it is needed: the stream waits, and nothing is lost or buried.
    registry.set_down(true);
    let third_id = registry.register(&third_schema());
    kafka.produce(&topic, Some(0), orders(110..120).map(|order| order.third(third_id))).await;
    kafka.produce(&topic, Some(0), orders(120..130).map(|order| order.second(second_id))).await;
    until_retrying(&mut client, "orders", &["schema registry", "HTTP 503"]).await;
    let deadline = Instant::now() + PATIENCE;
    while n_asked(third_id) < 4 {
        assert!(Instant::now() < deadline, "the registry is asked again: {:?}", registry.requests());
        tokio::time::sleep(LOOK).await;
    }
    assert_orders(&mut client, "orders", 110).await;
    registry.set_down(false);
    assert_orders(&mut client, "orders", 130).await;
    until(&mut client, "SELECT state, last_error FROM system.streams", "running\tNULL").await;
    assert_eq!(client.rows(dead).await.unwrap(), letters, "only what was broken is a dead letter");

    // What is wrong with the way to the registry is said.
    client.rows(&create_orders("locked", kafka, &topic, &registry, "wrong_password", &ca)).await.unwrap();
    client.rows(&create_orders("unverified", kafka, &topic, &registry, "registry_password", "")).await.unwrap();
    until_retrying(&mut client, "locked", &["refuses the user and password", "HTTP 401"]).await;
    until_retrying(&mut client, "unverified", &["could not reach schema registry", "certificate"]).await;
    std::fs::write(&wrong_file, PASSWORD).unwrap();
    pause_and_resume(&mut client, "locked").await;
    assert_orders(&mut client, "locked", 130).await;
    assert_eq!(client.rows(&dead.replace("orders", "locked")).await.unwrap(), letters, "what waited is no dead letter");

    let logins = [PASSWORD, WRONG_PASSWORD].map(|password| base64::prelude::BASE64_STANDARD.encode(format!("{READER}:{password}")));
    let canaries = Canaries::new([PASSWORD.to_owned(), WRONG_PASSWORD.to_owned()].into_iter().chain(logins));
    canaries.check_all(&server, &mut client).await;
}
