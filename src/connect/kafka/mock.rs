//! A broker in the process: librdkafka's mock cluster, for the demo and for tests of faults.
//!
//! It keeps 5 MiB a partition and knows no TLS, no transactions and no retention. It lives on a thread of its own.

use crate::error::{Code, Error, Result};
use rdkafka::mocking::MockCluster;
use rdkafka::types::RDKafkaRespErr;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// A cluster on the loopback interface; it ends when it is dropped.
pub struct MockBroker {
    servers: String,
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

struct Order {
    what: What,
    done: mpsc::Sender<Result<(), String>>,
}

enum What {
    CreateTopic { topic: String, n_partitions: i32 },
    Down,
    Up,
    TopicError { topic: String, error: RDKafkaRespErr },
}

impl MockBroker {
    /// Starts a cluster of one broker.
    pub fn start() -> Result<Self> {
        let (orders, received) = mpsc::channel::<Order>();
        let (started, servers) = mpsc::channel();
        let failed = |why: String| Error::new(Code::Unavailable, format!("could not start the broker of the demo: {why}"));
        let thread = std::thread::Builder::new()
            .name("mock broker".into())
            .spawn(move || match MockCluster::new(1) {
                Ok(cluster) => {
                    let _ = started.send(Ok(cluster.bootstrap_servers()));
                    for order in received {
                        let done = match order.what {
                            What::CreateTopic { topic, n_partitions } => cluster.create_topic(&topic, n_partitions, 1),
                            What::Down => cluster.broker_down(-1),
                            What::Up => cluster.broker_up(-1),
                            What::TopicError { topic, error } => cluster.topic_error(&topic, error),
                        };
                        let _ = order.done.send(done.map_err(|error| error.to_string()));
                    }
                }
                Err(error) => {
                    let _ = started.send(Err(error.to_string()));
                }
            })
            .map_err(|error| failed(error.to_string()))?;
        let servers = servers.recv().map_err(|error| failed(error.to_string()))?.map_err(failed)?;
        Ok(Self { servers, orders: Some(orders), thread: Some(thread) })
    }

    /// For `properties.bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> &str {
        &self.servers
    }

    /// Makes a topic.
    pub fn create_topic(&self, topic: &str, n_partitions: i32) -> Result<()> {
        self.order(What::CreateTopic { topic: topic.to_string(), n_partitions })
    }

    /// Cuts all connections and takes no new ones.
    pub fn go_down(&self) -> Result<()> {
        self.order(What::Down)
    }

    /// Takes connections again.
    pub fn come_up(&self) -> Result<()> {
        self.order(What::Up)
    }

    /// Answers questions about a topic with an error; `NO_ERROR` ends it.
    pub fn topic_error(&self, topic: &str, error: RDKafkaRespErr) -> Result<()> {
        self.order(What::TopicError { topic: topic.to_string(), error })
    }

    fn order(&self, what: What) -> Result<()> {
        let failed = |why: String| Error::new(Code::Unavailable, format!("the broker of the demo: {why}"));
        let (done, answer) = mpsc::channel();
        let orders = self.orders.as_ref().ok_or_else(|| failed("it has ended".into()))?;
        orders.send(Order { what, done }).map_err(|_| failed("it has ended".into()))?;
        answer.recv().map_err(|_| failed("it has ended".into()))?.map_err(failed)
    }
}

impl std::fmt::Debug for MockBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MockBroker").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Drop for MockBroker {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}
