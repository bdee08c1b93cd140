//! What a source tells of itself: offsets, and what is wrong.

use super::{REMINDERS_AT_FIRST, REMINDERS_AT_LAST, Reader, WARN_INTERVAL};
use crate::connect::kafka::batch::{Client, ClientEvent};
use crate::connect::kafka::lookup::Trouble;
use crate::connect::kafka::trouble::explain;
use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::time::Instant;

impl Reader {
    /// First and next offsets as the brokers said, into the status.
    pub(super) fn see(&self, lows: &BTreeMap<i32, i64>, highs: &BTreeMap<i32, i64>) {
        let mut status = self.shared.status.lock();
        for (partition, position) in &self.positions {
            let seen = status.partitions.entry(*partition).or_default();
            seen.position = *position;
            seen.low_watermark = lows.get(partition).copied().or(seen.low_watermark);
            seen.high_watermark = highs.get(partition).copied().or(seen.high_watermark);
            // A partition that the topic does not have has nothing more.
            seen.at_end = seen.high_watermark.is_some_and(|high| *position >= high) || !self.assigned.contains(partition);
        }
    }

    /// A partition is at its end, and nothing of it is on its way.
    pub(super) fn see_end(&self, partition: i32, position: i64) {
        let mut status = self.shared.status.lock();
        let seen = status.partitions.entry(partition).or_default();
        (seen.position, seen.at_end) = (position, true);
    }

    pub(super) fn see_cached(&self, client: &Client) {
        let mut status = self.shared.status.lock();
        for (partition, seen) in &mut status.partitions {
            let (_, high) = client.cached_watermarks(&self.topic, *partition);
            seen.high_watermark = high.max(seen.high_watermark);
        }
    }

    /// Hears what the client has to say; whether it was trouble.
    pub(super) fn drain_events(&mut self, client: &Client) -> bool {
        let mut troubled = false;
        while let Some(event) = client.next_event() {
            match &event {
                ClientEvent::Log { level, text } => tracing::debug!(table = %self.shared.table, level, text, "librdkafka"),
                ClientEvent::CommitFailed { text } => {
                    tracing::debug!(table = %self.shared.table, error = text, "could not publish the progress");
                }
                ClientEvent::Error { code, .. } => self.doubts |= *code == RDKafkaErrorCode::AllBrokersDown,
            }
            if let Some(trouble) = explain(&event) {
                self.note(false, trouble);
                self.watchdog.heard();
                troubled = true;
            }
        }
        troubled
    }

    pub(super) fn note_trouble(&mut self, trouble: &Trouble) {
        let options = &self.shared.options;
        let text = trouble.explain(&options.topic, options.properties.get("bootstrap.servers").unwrap_or(""));
        self.note(*trouble != Trouble::Away, text);
    }

    pub(super) fn note(&mut self, connected: bool, text: String) {
        let mut status = self.shared.status.lock();
        status.connected = connected;
        if status.last_error.as_deref() == Some(&text) {
            return;
        }
        // Several brokers that are away take turns: one line in a while is enough.
        if status.last_error.is_none() || self.warned_at.elapsed() >= WARN_INTERVAL {
            self.warned_at = Instant::now();
            tracing::warn!(table = %self.shared.table, error = %text, "source in trouble");
        } else {
            tracing::debug!(table = %self.shared.table, error = %text, "source in trouble");
        }
        status.last_error = Some(text);
    }

    /// The brokers answer: what was wrong is over.
    pub(super) fn settle(&mut self) {
        self.n_unanswered = 0;
        let mut status = self.shared.status.lock();
        status.connected = true;
        if status.last_error.take().is_some() {
            tracing::info!(table = %self.shared.table, "source is well again");
        }
    }

    /// A question was not answered, and the client does not say why: it may have lost its brokers.
    ///
    /// Where a broker names none in an answer (it is taken for dead by its controller, or is about to stop), librdkafka forgets
    /// all of them, and asks nobody any more (its issue 5301). The addresses of the options are given to it again; in vain
    /// while it is still busy with forgetting them.
    pub(super) fn remind(&mut self, client: &Client) {
        self.n_unanswered = self.n_unanswered.saturating_add(1);
        let n = self.n_unanswered;
        if n <= REMINDERS_AT_FIRST || n.is_power_of_two() || n.is_multiple_of(REMINDERS_AT_LAST) {
            client.add_brokers(&self.servers);
        }
    }
}
