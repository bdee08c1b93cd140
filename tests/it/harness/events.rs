//! The events that the streaming tests send: eight columns, about 142 bytes of JSON, the same for the same number.

use super::row_hash::{Kind, RowHash, text_number};
use chrono::DateTime;
use rdkafka::message::{BorrowedMessage, Message};
use serde::Deserialize;
use std::borrow::Cow;

/// The columns of a table of events, for its DDL.
pub const COLUMNS: &str = "event_id BIGINT, user_id BIGINT, item_id BIGINT, rating DOUBLE, price DOUBLE, action VARCHAR, \
                           device VARCHAR, event_time TIMESTAMP";
/// 2026-01-01, in microseconds.
const START_US: i64 = 1_767_225_600_000_000;
const ACTIONS: [&str; 5] = ["view", "click", "cart", "buy", "return"];
const DEVICES: [&str; 3] = ["phone", "tablet", "desktop"];

/// One event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Event<'a> {
    pub event_id: i64,
    pub user_id: i64,
    pub item_id: i64,
    pub rating: f64,
    pub price: f64,
    #[serde(borrow)]
    pub action: Cow<'a, str>,
    #[serde(borrow)]
    pub device: Cow<'a, str>,
    #[serde(borrow)]
    pub event_time: Cow<'a, str>,
}

impl Event<'static> {
    /// The event of a number. Its time is so many milliseconds after the beginning of 2026.
    pub fn number(n: u64) -> Self {
        let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 16;
        let part = |shift: u32, below: u64| i64::try_from((mixed >> shift) % below).expect("below 2^63");
        let event_id = i64::try_from(n).expect("a number of an event");
        Self {
            event_id,
            user_id: 100_000 + part(0, 900_000),
            item_id: 1_000 + part(7, 9_000),
            rating: part(13, 10) as f64 / 2.0 + 0.5,
            price: part(17, 100_000) as f64 / 100.0,
            action: ACTIONS[usize::try_from(part(5, 5)).expect("small")].into(),
            device: DEVICES[usize::try_from(part(3, 3)).expect("small")].into(),
            event_time: time_text(START_US + event_id * 1_000).into(),
        }
    }

    /// The events of these numbers, as JSON.
    pub fn json(numbers: std::ops::Range<u64>) -> impl Iterator<Item = String> {
        numbers.map(|n| Self::number(n).to_json())
    }
}

impl Event<'_> {
    /// By hand: without optimisation serde_json took a quarter of a machine of two cores for 20,000 events a second.
    fn to_json(&self) -> String {
        let Self { event_id, user_id, item_id, rating, price, action, device, event_time } = self;
        format!(
            r#"{{"event_id":{event_id},"user_id":{user_id},"item_id":{item_id},"rating":{rating:?},"price":{price:?},"action":"{action}","device":"{device}","event_time":"{event_time}"}}"#
        )
    }
}

/// As `%Y-%m-%dT%H:%M:%S%.6f`, which takes its time in a debug build.
fn time_text(micros: i64) -> String {
    let date = DateTime::from_timestamp_micros(micros).expect("a time of this millennium").date_naive();
    let seconds = micros / 1_000_000;
    format!("{date}T{:02}:{:02}:{:02}.{:06}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60, micros % 1_000_000)
}

/// The hash of a table of events.
pub fn hash() -> RowHash {
    RowHash::new(&[
        ("event_id", Kind::Integer),
        ("user_id", Kind::Integer),
        ("item_id", Kind::Integer),
        ("rating", Kind::Thousandths),
        ("price", Kind::Thousandths),
        ("action", Kind::Text),
        ("device", Kind::Text),
        ("event_time", Kind::Timestamp),
    ])
}

/// The numbers of an event for [`hash`]; None for what is no event.
pub fn decode(message: &BorrowedMessage<'_>) -> Option<Vec<Option<i64>>> {
    let event: Event<'_> = serde_json::from_slice(message.payload()?).ok()?;
    let time = chrono::NaiveDateTime::parse_from_str(&event.event_time, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    let numbers = [
        event.event_id,
        event.user_id,
        event.item_id,
        (event.rating * 1_000.0).round() as i64,
        (event.price * 1_000.0).round() as i64,
        text_number(&event.action),
        text_number(&event.device),
        time.and_utc().timestamp_micros(),
    ];
    Some(numbers.map(Some).to_vec())
}
