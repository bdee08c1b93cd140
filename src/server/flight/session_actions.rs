//! SetSessionOptions, GetSessionOptions, CloseSession: messages that arrow-flight does not generate.

use super::CATALOG_NAME;
use super::sessions::ClientSession;
use super::status::malformed;
use crate::error::Result;
use prost::{Enumeration, Message, Oneof};
use std::collections::HashMap;

/// The action that changes options of the session.
pub const SET_SESSION_OPTIONS: &str = "SetSessionOptions";
/// The action that lists them.
pub const GET_SESSION_OPTIONS: &str = "GetSessionOptions";
/// The action that ends the session.
pub const CLOSE_SESSION: &str = "CloseSession";

/// The options that a session has.
const CATALOG: &str = "catalog";
const SCHEMA: &str = "schema";

/// The protocol's value of an option.
#[derive(Clone, PartialEq, Message)]
pub struct SessionOptionValue {
    /// None of them: the option is to be unset.
    #[prost(oneof = "OptionValue", tags = "1, 2, 3, 4, 5")]
    pub option_value: Option<OptionValue>,
}

/// The kinds of value.
#[derive(Clone, PartialEq, Oneof)]
pub enum OptionValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Flag(bool),
    #[prost(sfixed64, tag = "3")]
    Number(i64),
    #[prost(double, tag = "4")]
    Real(f64),
    #[prost(message, tag = "5")]
    TextList(StringListValue),
}

/// A list of texts.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StringListValue {
    #[prost(string, repeated, tag = "1")]
    pub values: Vec<String>,
}

/// The protocol's message: options to change.
#[derive(Clone, PartialEq, Message)]
pub struct SetSessionOptionsRequest {
    #[prost(map = "string, message", tag = "1")]
    pub session_options: HashMap<String, SessionOptionValue>,
}

/// The protocol's answer: what went wrong, by option.
#[derive(Clone, PartialEq, Message)]
pub struct SetSessionOptionsResult {
    /// The options that could not be set; none is good news.
    #[prost(map = "string, message", tag = "1")]
    pub errors: HashMap<String, OptionError>,
}

/// Why an option was not changed.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct OptionError {
    #[prost(enumeration = "OptionErrorKind", tag = "1")]
    pub value: i32,
}

/// The protocol's reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum OptionErrorKind {
    Unspecified = 0,
    InvalidName = 1,
    InvalidValue = 2,
    Error = 3,
}

/// The protocol's answer: the options.
#[derive(Clone, PartialEq, Message)]
pub struct GetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    pub session_options: HashMap<String, SessionOptionValue>,
}

/// The protocol's answer to the end of a session.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct CloseSessionResult {
    #[prost(enumeration = "CloseSessionStatus", tag = "1")]
    pub status: i32,
}

/// How the session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum CloseSessionStatus {
    Unspecified = 0,
    Closed = 1,
    Closing = 2,
    NotCloseable = 3,
}

impl ClientSession {
    /// Sets what can be set; the answer names what cannot.
    pub fn set_options(&self, body: &[u8]) -> Result<Vec<u8>> {
        let request = SetSessionOptionsRequest::decode(body).map_err(|_| malformed("session options"))?;
        let errors = refused(request, |schema| self.engine.set_current_database(schema).is_ok());
        Ok(SetSessionOptionsResult { errors }.encode_to_vec())
    }

    /// Answers the options of the session, as the protocol encodes them.
    pub fn options(&self) -> Vec<u8> {
        let text = |value: String| SessionOptionValue { option_value: Some(OptionValue::Text(value)) };
        let options = [(CATALOG, CATALOG_NAME.to_owned()), (SCHEMA, self.engine.current_database())];
        let session_options = options.into_iter().map(|(name, value)| (name.to_owned(), text(value))).collect();
        GetSessionOptionsResult { session_options }.encode_to_vec()
    }
}

/// Applies options; returns those that were refused, with the reason.
fn refused(request: SetSessionOptionsRequest, use_schema: impl Fn(&str) -> bool) -> HashMap<String, OptionError> {
    let verdict = |name: &str, value: SessionOptionValue| match (name, value.option_value) {
        // Our catalog is always the current one; unsetting it changes nothing.
        (CATALOG, None) => None,
        (CATALOG, Some(OptionValue::Text(catalog))) if catalog.is_empty() || catalog.eq_ignore_ascii_case(CATALOG_NAME) => None,
        (SCHEMA, Some(OptionValue::Text(schema))) if use_schema(&schema) => None,
        (CATALOG | SCHEMA, _) => Some(OptionErrorKind::InvalidValue),
        _ => Some(OptionErrorKind::InvalidName),
    };
    request
        .session_options
        .into_iter()
        .filter_map(|(name, value)| {
            let kind = verdict(&name, value)?;
            Some((name, OptionError { value: kind as i32 }))
        })
        .collect()
}

/// The answer to CloseSession, also when there was nothing to close.
pub fn closed() -> Vec<u8> {
    CloseSessionResult { status: CloseSessionStatus::Closed as i32 }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, value: Option<OptionValue>, expected: Option<OptionErrorKind>) {
        let session_options = [(name.to_owned(), SessionOptionValue { option_value: value })].into_iter().collect();
        // Through the wire form, as a client sends it.
        let bytes = SetSessionOptionsRequest { session_options }.encode_to_vec();
        let errors = refused(SetSessionOptionsRequest::decode(&*bytes).unwrap(), |schema| schema == "sales");
        assert_eq!(errors.get(name).map(|error| error.value), expected.map(|kind| kind as i32), "{name}");
    }

    fn text(value: &str) -> Option<OptionValue> {
        Some(OptionValue::Text(value.to_owned()))
    }

    #[test]
    fn options_that_are_refused_and_options_that_are_set() {
        check("colour", text("red"), Some(OptionErrorKind::InvalidName));
        check("catalog", text("other"), Some(OptionErrorKind::InvalidValue));
        check("schema", text("nowhere"), Some(OptionErrorKind::InvalidValue));
        check("schema", Some(OptionValue::Number(-7)), Some(OptionErrorKind::InvalidValue));
        check("schema", None, Some(OptionErrorKind::InvalidValue));
        check("catalog", text("Weir"), None);
        check("catalog", None, None);
        check("schema", text("sales"), None);
    }

    #[test]
    fn integers_travel_in_eight_bytes() {
        let value = SessionOptionValue { option_value: Some(OptionValue::Number(1)) };
        assert_eq!(value.encode_to_vec(), [0x19, 1, 0, 0, 0, 0, 0, 0, 0], "sfixed64 with tag 3");
    }
}
