//! Topics of the broker: made, changed, removed, and waited for; what consumer groups have committed of them.

use super::{Kafka, client_config};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the broker may take for what takes it milliseconds when nothing else runs.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(60);
/// One question for metadata.
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

impl Kafka {
    /// Makes a topic and waits until its partitions have leaders.
    pub async fn create_topic(&self, name: &str, n_partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, n_partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let made = self.admin().create_topics([&topic], &options()).await.expect("the broker answers");
        self.succeeded(&made);
        self.wait_for_leaders(name, n_partitions).await;
    }

    /// Removes a topic and waits until it is gone.
    pub async fn delete_topic(&self, name: &str) {
        let removed = self.admin().delete_topics(&[name], &options()).await.expect("the broker answers");
        self.succeeded(&removed);
        let deadline = Instant::now() + ADMIN_TIMEOUT;
        self.wait_for_metadata("the topic is gone", deadline, |metadata| metadata.topics().iter().all(|topic| topic.name() != name)).await;
    }

    /// Adds partitions, so that there are `n_partitions` of them.
    pub async fn add_partitions(&self, name: &str, n_partitions: i32) {
        let wanted = NewPartitions::new(name, usize::try_from(n_partitions).expect("a count"));
        let added = self.admin().create_partitions([&wanted], &options()).await.expect("the broker answers");
        self.succeeded(&added);
        self.wait_for_leaders(name, n_partitions).await;
    }

    /// Removes the records before an offset, as retention does.
    pub async fn delete_records(&self, name: &str, partition: i32, before: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(name, partition, Offset::Offset(before)).expect("an offset");
        let removed = self.admin().delete_records(&offsets, &options()).await.expect("the broker answers");
        for element in removed.elements() {
            element.error().unwrap_or_else(|error| panic!("{name}-{partition}: {error}"));
        }
    }

    /// The first offset that is there, and the next that will be written.
    pub async fn watermarks(&self, name: &str, partition: i32) -> (i64, i64) {
        let (consumer, name) = (self.probe(), name.to_owned());
        let asked = tokio::task::spawn_blocking(move || consumer.fetch_watermarks(&name, partition, ADMIN_TIMEOUT));
        asked.await.unwrap().expect("the broker answers")
    }

    /// The numbers of a topic's partitions.
    pub async fn partitions(&self, name: &str) -> Vec<i32> {
        let mut found = Vec::new();
        let deadline = Instant::now() + ADMIN_TIMEOUT;
        self.wait_for_metadata("the topic is there", deadline, |metadata| {
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            found = topic.map(|topic| topic.partitions().iter().map(|partition| partition.id()).collect()).unwrap_or_default();
            !found.is_empty()
        })
        .await;
        found.sort_unstable();
        found
    }

    /// The next offsets that a consumer group has committed, of the partitions of which it has one.
    pub async fn group_offsets(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let partitions = self.partitions(topic).await;
        let mut asked = TopicPartitionList::new();
        for partition in partitions {
            asked.add_partition(topic, partition);
        }
        let consumer = self.group_consumer(group);
        let answer = tokio::task::spawn_blocking(move || consumer.committed_offsets(asked, ADMIN_TIMEOUT)).await.unwrap();
        let answer = answer.expect("the broker answers");
        let known = |offset: Offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
        answer.elements().iter().filter_map(|element| Some((element.partition(), known(element.offset())?))).collect()
    }

    /// Commits an offset for a consumer group, as a consumer does.
    pub async fn set_group_offset(&self, group: &str, topic: &str, partition: i32, next_offset: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(next_offset)).expect("an offset");
        let consumer = self.group_consumer(group);
        let committed = tokio::task::spawn_blocking(move || consumer.commit(&offsets, CommitMode::Sync)).await.unwrap();
        committed.expect("the group's offset");
    }

    fn group_consumer(&self, group: &str) -> BaseConsumer {
        client_config(self.direct()).set("group.id", group).set("enable.auto.commit", "false").create().expect("a client")
    }

    async fn wait_for_leaders(&self, name: &str, n_partitions: i32) {
        let deadline = Instant::now() + ADMIN_TIMEOUT;
        self.wait_for_metadata("the partitions have leaders", deadline, |metadata| {
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            let n_led = topic.map_or(0, |topic| topic.partitions().iter().filter(|partition| partition.leader() >= 0).count());
            n_led == usize::try_from(n_partitions).expect("a count")
        })
        .await;
    }

    /// Asks for metadata until it is as wanted.
    pub(super) async fn wait_for_metadata(&self, what: &str, deadline: Instant, mut is_reached: impl FnMut(&Metadata) -> bool) {
        let consumer = self.probe();
        loop {
            let asked = Arc::clone(&consumer);
            let answer = tokio::task::spawn_blocking(move || asked.fetch_metadata(None, METADATA_TIMEOUT)).await.unwrap();
            let refused = match answer {
                Ok(metadata) if is_reached(&metadata) => return,
                Ok(_) => None,
                Err(error) => Some(error),
            };
            let ended = self.process.lock().unwrap().as_mut().map_or(Some("it was stopped".to_owned()), super::Process::ended);
            if let Some(status) = ended {
                panic!("the broker ended ({status}) before {what}\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "waited too long until {what}; the client says {refused:?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn probe(&self) -> Arc<BaseConsumer> {
        Arc::new(client_config(self.direct()).create().expect("a client"))
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        client_config(self.direct()).create().expect("a client")
    }

    #[track_caller]
    fn succeeded<T: std::fmt::Debug, E: std::fmt::Debug>(&self, results: &[Result<T, E>]) {
        assert!(results.iter().all(Result::is_ok), "the broker refused: {results:?}\n{}", self.log());
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT)).operation_timeout(Some(ADMIN_TIMEOUT))
}
