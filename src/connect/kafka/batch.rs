//! librdkafka where the Rust crate has no safe call: records in batches without a copy, events, identities of topics.
//!
//! The client's main queue (logs, errors) is kept apart from the queue of records: the batch call would drop what it
//! finds there.

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka_sys as sys;
use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

/// Records taken at once out of the queue of a client that ends.
const DRAIN_RECORDS: usize = 4_096;
/// The queue is empty when nothing comes for so long.
const DRAIN_WAIT: Duration = Duration::from_millis(50);
const DRAIN_WAIT_MAX: Duration = Duration::from_secs(5);

/// A consumer and its queues.
pub(super) struct Client {
    // Fields are dropped in this order: a queue must go before its client.
    records: Queue,
    events: Queue,
    consumer: BaseConsumer,
}

/// What the client says by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClientEvent {
    Log { level: i32, text: String },
    Error { code: RDKafkaErrorCode, text: String },
    CommitFailed { text: String },
}

struct Queue(NonNull<sys::rd_kafka_queue_t>);

// SAFETY: queues of librdkafka may be used from any thread, several at once.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a call that hands over a reference, and this gives it back once.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) };
    }
}

impl Client {
    /// Makes a client; it connects when it is used. The configuration must have a `group.id`.
    pub(super) fn new(config: &ClientConfig) -> Result<Self, KafkaError> {
        let consumer: BaseConsumer = config.create()?;
        let native = consumer.client().native_ptr();
        let missing = || KafkaError::ClientCreation("the client has no queue".into());
        // SAFETY: `native` is alive; both calls give a new reference or null.
        let (events, records) = unsafe { (sys::rd_kafka_queue_get_main(native), sys::rd_kafka_queue_get_consumer(native)) };
        let events = Queue(NonNull::new(events).ok_or_else(missing)?);
        let records = Queue(NonNull::new(records).ok_or_else(missing)?);
        // SAFETY: the queue is alive; null ends the forwarding that the crate set up.
        unsafe { sys::rd_kafka_queue_forward(events.0.as_ptr(), ptr::null_mut()) };
        Ok(Self { records, events, consumer })
    }

    /// The safe part of the client.
    pub(super) fn consumer(&self) -> &BaseConsumer {
        &self.consumer
    }

    /// Tells the client of brokers once more, as `bootstrap.servers` names them. It keeps the list: not to be called often.
    pub(super) fn add_brokers(&self, servers: &CStr) {
        // SAFETY: the client is alive, the text ends in a zero byte and is copied.
        let n_added = unsafe { sys::rd_kafka_brokers_add(self.consumer.client().native_ptr(), servers.as_ptr()) };
        tracing::debug!(n_added, "the client was told of its brokers again");
    }

    /// Ends a wait in [`Batch::fill`]. From any thread.
    pub(super) fn wake(&self) {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_yield(self.records.0.as_ptr()) };
    }

    /// The next thing that the client has to say, without waiting.
    pub(super) fn next_event(&self) -> Option<ClientEvent> {
        loop {
            // SAFETY: the queue is alive; the event is ours until it is destroyed below.
            let event = NonNull::new(unsafe { sys::rd_kafka_queue_poll(self.events.0.as_ptr(), 0) })?;
            // SAFETY: the event is alive, and its texts are copied before it goes.
            let found = unsafe { read_event(event.as_ptr()) };
            // SAFETY: destroyed once.
            unsafe { sys::rd_kafka_event_destroy(event.as_ptr()) };
            if found.is_some() {
                return found;
            }
        }
    }

    /// First and next offset of a partition as the last answers of the broker said; no question is asked.
    pub(super) fn cached_watermarks(&self, topic: &CStr, partition: i32) -> (Option<i64>, Option<i64>) {
        let (mut low, mut high) = (-1, -1);
        let native = self.consumer.client().native_ptr();
        // SAFETY: the client is alive, the text ends in a zero byte, both numbers are written before the call returns.
        unsafe { sys::rd_kafka_get_watermark_offsets(native, topic.as_ptr(), partition, &mut low, &mut high) };
        (Some(low).filter(|low| *low >= 0), Some(high).filter(|high| *high >= 0))
    }

    /// A number that another topic of the same name does not have; `None` when the broker does not say.
    pub(super) fn topic_id(&self, topic: &CStr, timeout: Duration) -> Option<i64> {
        let timeout_ms = timeout.as_millis().min(60_000) as i32;
        let native = self.consumer.client().native_ptr();
        let mut message = [0; 256];
        // SAFETY: every object is made here, used while alive and destroyed once; `native` outlives them all. The event
        // owns the descriptions, which are read before it is destroyed.
        unsafe {
            let queue = Queue(NonNull::new(sys::rd_kafka_queue_new(native))?);
            let options = sys::rd_kafka_AdminOptions_new(native, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, message.as_mut_ptr(), message.len());
            let mut names = [topic.as_ptr()];
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
            sys::rd_kafka_DescribeTopics(native, topics, options, queue.0.as_ptr());
            sys::rd_kafka_TopicCollection_destroy(topics);
            sys::rd_kafka_AdminOptions_destroy(options);
            let event = NonNull::new(sys::rd_kafka_queue_poll(queue.0.as_ptr(), timeout_ms + 500))?;
            let id = described_id(event.as_ptr());
            sys::rd_kafka_event_destroy(event.as_ptr());
            id
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A record in the queue keeps its broker's thread alive, and the client waits for that thread without end.
        if self.consumer.unassign().is_ok() {
            let end = Instant::now() + DRAIN_WAIT_MAX;
            let mut batch = Batch::new(self, DRAIN_RECORDS);
            loop {
                batch.fill(DRAIN_RECORDS, DRAIN_WAIT);
                if batch.is_empty() || Instant::now() > end {
                    break;
                }
                batch.clear();
            }
        }
    }
}

/// Reads what an event says.
///
/// # Safety
/// The event must be alive.
unsafe fn read_event(event: *mut sys::rd_kafka_event_t) -> Option<ClientEvent> {
    // SAFETY: the caller's promise; the texts belong to the event and end in a zero byte.
    unsafe {
        match sys::rd_kafka_event_type(event) {
            sys::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
                (sys::rd_kafka_event_log(event, &mut facility, &mut text, &mut level) == 0)
                    .then(|| ClientEvent::Log { level, text: text_at(text) })
            }
            sys::RD_KAFKA_EVENT_ERROR => {
                let code = RDKafkaErrorCode::from(sys::rd_kafka_event_error(event));
                Some(ClientEvent::Error { code, text: text_at(sys::rd_kafka_event_error_string(event)) })
            }
            sys::RD_KAFKA_EVENT_OFFSET_COMMIT => match RDKafkaErrorCode::from(sys::rd_kafka_event_error(event)) {
                RDKafkaErrorCode::NoError | RDKafkaErrorCode::NoOffset => None,
                code => Some(ClientEvent::CommitFailed { text: code.to_string() }),
            },
            _ => None,
        }
    }
}

/// The identity in the answer to DescribeTopics.
///
/// # Safety
/// The event must be alive.
unsafe fn described_id(event: *mut sys::rd_kafka_event_t) -> Option<i64> {
    // SAFETY: the caller's promise; each pointer is checked, and belongs to the event.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return None;
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return None;
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(*topics);
        if id.is_null() {
            return None;
        }
        let (most, least) = (sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id));
        (most != 0 || least != 0).then_some((most ^ least.rotate_left(32)) & i64::MAX)
    }
}

/// # Safety
/// Null, or a text that ends in a zero byte.
unsafe fn text_at(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_string()
}

/// A topic's name as librdkafka takes it.
pub(super) fn topic_text(topic: &str) -> CString {
    // Names of topics are checked before: they hold no zero byte.
    CString::new(topic).unwrap_or_default()
}

/// Records out of the client's queue, until they are cleared.
pub(super) struct Batch<'c> {
    client: &'c Client,
    messages: Vec<*mut sys::rd_kafka_message_t>,
}

impl<'c> Batch<'c> {
    /// Room for `capacity` records of `client`.
    pub(super) fn new(client: &'c Client, capacity: usize) -> Self {
        Self { client, messages: Vec::with_capacity(capacity) }
    }

    /// Waits at most `timeout` until `count` more are there, or the room is full.
    pub(super) fn fill(&mut self, count: usize, timeout: Duration) {
        let (len, room) = (self.messages.len(), self.messages.capacity() - self.messages.len());
        let timeout_ms = timeout.as_millis().min(60_000) as i32;
        // SAFETY: the queue is alive, and the call writes at most as many pointers as there is room for; it says how many
        // it wrote, or -1. Each of them is ours until it is destroyed.
        unsafe {
            let into = self.messages.as_mut_ptr().add(len);
            let n_written = sys::rd_kafka_consume_batch_queue(self.client.records.0.as_ptr(), timeout_ms, into, room.min(count));
            self.messages.set_len(len + usize::try_from(n_written).unwrap_or(0));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether there is no room for more.
    pub(super) fn is_full(&self) -> bool {
        self.messages.len() == self.messages.capacity()
    }

    /// The records in the order of their arrival.
    pub(super) fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        // SAFETY: every pointer came from the batch call and is not destroyed before `self` changes.
        self.messages.iter().map(|message| Message { message: unsafe { &**message }, batch: PhantomData })
    }

    /// Gives the records back.
    pub(super) fn clear(&mut self) {
        for message in self.messages.drain(..) {
            // SAFETY: taken out of the list: destroyed once.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A record, or a note about a partition.
pub(super) struct Message<'b> {
    message: &'b sys::rd_kafka_message_t,
    batch: PhantomData<&'b Batch<'b>>,
}

impl<'b> Message<'b> {
    /// `None`: it is a record.
    pub(super) fn error(&self) -> Option<RDKafkaErrorCode> {
        // Asked of every record: the conversion to the crate's code is a table.
        let is_record = self.message.err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        (!is_record).then(|| RDKafkaErrorCode::from(self.message.err))
    }

    /// What is wrong, when [`Self::error`] says that something is.
    pub(super) fn error_text(&self) -> String {
        // SAFETY: the message is alive; the text is its own or static, or null.
        unsafe { text_at(sys::rd_kafka_message_errstr(self.message)) }
    }

    pub(super) fn partition(&self) -> i32 {
        self.message.partition
    }

    pub(super) fn offset(&self) -> i64 {
        self.message.offset
    }

    /// Milliseconds since 1970.
    pub(super) fn timestamp_ms(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        let timestamp_ms = unsafe { sys::rd_kafka_message_timestamp(self.message, &mut kind) };
        (kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && timestamp_ms >= 0).then_some(timestamp_ms)
    }

    pub(super) fn key(&self) -> Option<&'b [u8]> {
        // SAFETY: so many bytes belong to the message.
        unsafe { bytes_at(self.message.key.cast(), self.message.key_len) }
    }

    /// `None`: a tombstone.
    pub(super) fn payload(&self) -> Option<&'b [u8]> {
        // SAFETY: so many bytes belong to the message.
        unsafe { bytes_at(self.message.payload.cast(), self.message.len) }
    }

    /// Names and values; a name that is no UTF-8 is left out.
    pub(super) fn headers(&self) -> Vec<(&'b str, Option<&'b [u8]>)> {
        let mut found = Vec::new();
        let mut headers = ptr::null_mut();
        // SAFETY: the headers, their names (which end in a zero byte) and values belong to the message.
        unsafe {
            if sys::rd_kafka_message_headers(self.message, &mut headers) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return found;
            }
            for idx in 0.. {
                let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
                let got = sys::rd_kafka_header_get_all(headers, idx, &mut name, &mut value, &mut size);
                if got != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    break;
                }
                if let Ok(name) = CStr::from_ptr(name).to_str() {
                    found.push((name, bytes_at(value.cast(), size)));
                }
            }
        }
        found
    }
}

/// # Safety
/// Null, or the start of so many bytes that live as long as `'b`.
unsafe fn bytes_at<'b>(start: *const u8, len: usize) -> Option<&'b [u8]> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, len) })
}
