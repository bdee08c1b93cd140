//! The live part of the demo: a broker in this process (or a real one), a generator of user events, a streaming table.

use crate::connect::kafka::{KafkaOptions, MockBroker, Outgoing, Producer, create_topic};
use crate::engine::Session;
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::AsArray;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The streaming table, with `${bootstrap}` and `${create}` to be filled in.
static SCRIPT: &str = include_str!("../../sql/pipelines/recommender/06_events.sql");
const TOPIC: &str = "user_events";
const PARTITIONS: i32 = 4;
/// Between two events: about fifty a second.
const PAUSE: Duration = Duration::from_millis(20);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// A stream of events that goes on until it is stopped.
#[derive(Debug)]
pub struct Events {
    stop: Arc<AtomicBool>,
    generator: Option<JoinHandle<()>>,
    /// Dropped last: the broker outlives who talks to it.
    _broker: Option<MockBroker>,
}

impl Events {
    /// Starts the broker (unless `kafka` names a real one), the generator, and creates the table `user_events`.
    pub async fn start(session: &Session, kafka: Option<&str>) -> Result<Self> {
        let broker = match kafka {
            Some(_) => None,
            None => Some(MockBroker::start()?),
        };
        let bootstrap = kafka.or(broker.as_ref().map(MockBroker::bootstrap_servers)).unwrap_or_default().to_owned();
        let options = KafkaOptions::of_topic(TOPIC, &bootstrap, &[])?;
        match &broker {
            Some(broker) => broker.create_topic(TOPIC, PARTITIONS)?,
            // A topic that is there already stays as it is.
            None => {
                let options = options.clone();
                let made = tokio::task::spawn_blocking(move || create_topic(&options, PARTITIONS, &[])).await;
                made.map_err(|error| Error::internal(format!("the topic of the demo: {error}")))??;
            }
        }
        // The broker inside the process forgets everything with it: its topic begins anew, and so must the table. A table
        // goes on when it is fed from the same broker as before.
        let goes_on = broker.is_none() && is_fed_from(session, &bootstrap).await;
        let create = if goes_on { "CREATE STREAMING TABLE IF NOT EXISTS" } else { "CREATE OR REPLACE STREAMING TABLE" };
        for statement in crate::parser::split(&SCRIPT.replace("${create}", create).replace("${bootstrap}", &bootstrap)).0 {
            session.rows(&statement).await?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let generator = std::thread::Builder::new().name("demo events".into()).spawn(move || {
            if let Err(error) = generate(&options, &stopped) {
                tracing::error!(%error, "the generator of the demo's events ended");
            }
        });
        let generator = generator.map_err(|error| Error::new(Code::LimitExceeded, format!("could not start a thread: {error}")))?;
        Ok(Self { stop, generator: Some(generator), _broker: broker })
    }
}

/// Whether the table is there, and its definition names these brokers.
async fn is_fed_from(session: &Session, bootstrap: &str) -> bool {
    // An error: there is no such table yet.
    let Ok(rows) = session.rows("SHOW CREATE TABLE user_events").await else { return false };
    let text = rows.first().filter(|batch| batch.num_rows() > 0).and_then(|batch| batch.column(0).as_string_opt::<i32>());
    text.is_some_and(|text| text.value(0).contains(&format!("'{bootstrap}'")))
}

impl Drop for Events {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(generator) = self.generator.take() {
            drop(generator.join());
        }
    }
}

/// People who look at movies, and sometimes rate one.
fn generate(options: &KafkaOptions, stop: &AtomicBool) -> Result<()> {
    let producer = Producer::new(&options.properties, &[])?;
    let mut random: u64 = 0x9E37_79B9_7F4A_7C15 ^ u64::from(std::process::id());
    let mut below = |n: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % n
    };
    while !stop.load(Ordering::SeqCst) {
        let user = 1 + below(610);
        let event = match below(10) {
            0..6 => "view",
            6..9 => "play",
            _ => "rate",
        };
        let rating = if event == "rate" { format!("{}", (1 + below(10)) as f64 / 2.0) } else { "null".to_owned() };
        let time = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%S%.6f");
        // Low numbers are the popular ones.
        let most = 1 + below(4_000);
        let movie = 1 + below(most);
        let payload = format!(r#"{{"user_id":{user},"movie_id":{movie},"event":"{event}","rating":{rating},"event_time":"{time}"}}"#);
        let key = user.to_string();
        producer.send(TOPIC, Outgoing { key: Some(key.as_bytes()), payload: Some(payload.as_bytes()), ..Outgoing::default() })?;
        std::thread::sleep(PAUSE);
    }
    producer.flush(TOPIC, FLUSH_TIMEOUT)
}
