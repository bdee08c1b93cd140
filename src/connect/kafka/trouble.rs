//! What is wrong with a broker, in one line without secrets.

use super::batch::{Client, ClientEvent};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What an event of the client means for people; `None` when it is no trouble, or says less than one before.
pub(super) fn explain(event: &ClientEvent) -> Option<String> {
    match event {
        ClientEvent::Error { code: RDKafkaErrorCode::AllBrokersDown, .. } | ClientEvent::CommitFailed { .. } => None,
        ClientEvent::Log { text, .. } => explain_log(text),
        ClientEvent::Error { code, text } => Some(explain_error(*code, text)),
    }
}

/// Why a client could not be made. Values of properties are not repeated: one may be a secret.
pub(super) fn explain_creation(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientCreation(why) => format!("could not make a client: {why}"),
        KafkaError::ClientConfig(_, _, key, _) => format!("could not make a client: property \"{key}\" has an unusable value"),
        _ => "could not make a client: a property has an unusable value".to_string(),
    }
}

/// What a client has said about brokers that do not answer.
#[derive(Debug, Default)]
pub(super) struct Reason {
    text: Option<String>,
}

impl Reason {
    /// Hears what the client has to say; whether it was trouble.
    pub(super) fn hear(&mut self, client: &Client) -> bool {
        let mut is_troubled = false;
        while let Some(event) = client.next_event() {
            if let Some(text) = explain(&event) {
                is_troubled = true;
                // One address of several may not be reached: a broker that answers and refuses says more.
                if self.text.is_none() || !text.starts_with(UNREACHED) {
                    self.text = Some(text);
                }
            }
        }
        is_troubled
    }

    /// In one line for people.
    pub(super) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

/// How the explanation of a broker that cannot be reached begins.
const UNREACHED: &str = "could not reach";

/// What a line of the client's log means: a connection that is closed before the broker's first answer is not an error to
/// the client, and often all that is seen of a wrong `security.protocol`.
fn explain_log(text: &str) -> Option<String> {
    if !text.contains("Disconnected") || !text.contains("in state APIVERSION_QUERY") {
        return None;
    }
    let (broker, _) = split_broker(text);
    let why = if text.contains("sasl_ssl://") {
        "it may expect another security.protocol"
    } else if text.contains("ssl://") {
        "it may want another certificate of ours (ssl.certificate.location)"
    } else {
        "it may expect TLS (security.protocol)"
    };
    Some(format!("{UNREACHED} broker \"{}\": it closed the connection at once, {why}", broker.unwrap_or_default()))
}

/// What an error with its text means. The text begins with the broker: `ssl://host:9093/bootstrap: SSL handshake ..`.
pub(super) fn explain_error(code: RDKafkaErrorCode, text: &str) -> String {
    let (broker, reason) = split_broker(text);
    let has = |part: &str| reason.to_lowercase().contains(part);
    let at = match broker {
        Some(broker) => format!("broker \"{broker}\""),
        None => "the broker".to_string(),
    };
    let is_tls = code == RDKafkaErrorCode::SSL || has("ssl");
    if let Some((_, offered)) = reason.split_once("Unsupported SASL mechanism: broker's supported mechanisms: ") {
        return format!("authentication at {at} failed: it does not offer our sasl.mechanism, only {offered}");
    }
    if code == RDKafkaErrorCode::Authentication || has("sasl") && !has("broker might require sasl") {
        return format!("authentication at {at} failed: {}", last_part(reason));
    }
    if has("could not be verified") || has("certificate verify failed") {
        return format!(
            "the certificate of {at} could not be verified: it is not signed by an authority in ssl.ca.location, has expired, \
             or is for another host name"
        );
    }
    if is_tls && has("certificate expired") {
        return format!("{at} refuses our certificate: it has expired");
    }
    if is_tls && has("unknown ca") {
        return format!("{at} refuses our certificate: it does not know the authority that signed it");
    }
    if is_tls && (has("certificate required") || has("client ssl authentication might be required")) {
        return format!("{at} wants a certificate of ours: ssl.certificate.location and ssl.key.location");
    }
    if is_tls && (has("alert bad certificate") || has("certificate unknown") || has("certificate revoked") || has("alert decrypt error")) {
        return format!(
            "{at} refuses our certificate (ssl.certificate.location): there is none, it has expired, or its authority is not known there"
        );
    }
    // The size is the beginning of an alert of TLS.
    if has("apiversion") && has("security.protocol") || has("connecting to a ssl listener") || has("invalid response size 3525") {
        return format!("{at} closed the connection: it may expect TLS (security.protocol)");
    }
    if has("connecting to a plaintext broker listener") || has("wrong version number") || has("packet length too long") {
        return format!("{at} does not answer in TLS: it may expect security.protocol PLAINTEXT");
    }
    if has("broker might require sasl") {
        return format!("{at} closed the connection: it may expect SASL (security.protocol)");
    }
    if has("connection refused") {
        return format!("{UNREACHED} {at}: connection refused");
    }
    if code == RDKafkaErrorCode::Resolve || has("failed to resolve") {
        return format!("could not find the address of {at}");
    }
    if has("timed out") || has("timeout") {
        return format!("{UNREACHED} {at}: no answer in time");
    }
    if is_tls {
        return format!("TLS with {at} failed: {}", last_part(reason));
    }
    format!("{at}: {reason}")
}

/// The broker at the start of a text, without protocol and number, and the rest without its time.
fn split_broker(text: &str) -> (Option<&str>, &str) {
    // Log lines begin with the thread: `[thrd:..]: `.
    let text = match text.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: ")) {
        Some((_, rest)) => rest,
        None => text,
    };
    let (broker, reason) = match text.split_once(": ") {
        Some((broker, reason)) if broker.contains('/') && !broker.contains(' ') => (Some(broker), reason),
        _ => (None, text),
    };
    let broker = broker.map(|broker| {
        let broker = broker.split_once("://").map_or(broker, |(_, rest)| rest);
        broker.split_once('/').map_or(broker, |(address, _)| address)
    });
    let reason = match reason.rfind(" (after ") {
        Some(at) => &reason[..at],
        None => reason,
    };
    (broker, reason.trim())
}

/// The most particular part of a chain of reasons.
fn last_part(reason: &str) -> &str {
    let reason = reason.trim_end_matches([':', ' ', '.']);
    reason.rsplit(": ").find(|part| part.chars().filter(|letter| letter.is_alphabetic()).count() > 3).unwrap_or(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: RDKafkaErrorCode, text: &str, expected: &str) {
        assert_eq!(explain_error(code, text), expected);
    }

    #[test]
    fn a_broker_that_closes_the_connection_at_once_may_want_another_protocol() {
        let closed = "Disconnected: connection closed by peer: receive 0 after POLLIN (after 3ms in state APIVERSION_QUERY)";
        for (log, expected) in [
            (
                format!("[thrd:127.0.0.1:9093/bootstrap]: 127.0.0.1:9093/bootstrap: {closed}"),
                Some("could not reach broker \"127.0.0.1:9093\": it closed the connection at once, it may expect TLS (security.protocol)"),
            ),
            (
                format!("[thrd:ssl://b:9093/bootstrap]: ssl://b:9093/bootstrap: {closed}"),
                Some(
                    "could not reach broker \"b:9093\": it closed the connection at once, it may want another certificate of ours \
                     (ssl.certificate.location)",
                ),
            ),
            ("[thrd:b:9092/1]: b:9092/1: Disconnected: connection closed by peer (after 60000ms in state UP)".to_string(), None),
        ] {
            let event = ClientEvent::Log { level: 6, text: log };
            assert_eq!(explain(&event).as_deref(), expected, "{event:?}");
        }
    }

    #[test]
    fn errors_are_one_line_that_says_what_to_look_at() {
        use RDKafkaErrorCode as Code;
        check(
            Code::BrokerTransportFailure,
            "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)",
            "could not reach broker \"127.0.0.1:1\": connection refused",
        );
        check(
            Code::Resolve,
            "nowhere:9092/bootstrap: Failed to resolve 'nowhere:9092': Name or service not known (after 2ms in state CONNECT)",
            "could not find the address of broker \"nowhere:9092\"",
        );
        check(
            Code::SSL,
            "ssl://localhost:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker \
             certificate could not be verified, verify that ssl.ca.location is correctly configured (after 5ms in state SSL_HANDSHAKE)",
            "the certificate of broker \"localhost:9093\" could not be verified: it is not signed by an authority in ssl.ca.location, \
             has expired, or is for another host name",
        );
        check(
            Code::SSL,
            "ssl://localhost:9093/1: SSL handshake failed: error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert \
             number 42 (after 5ms in state SSL_HANDSHAKE)",
            "broker \"localhost:9093\" refuses our certificate (ssl.certificate.location): there is none, it has expired, or its \
             authority is not known there",
        );
        check(
            Code::Authentication,
            "sasl_ssl://localhost:9095/bootstrap: SASL authentication error: Authentication failed during authentication due to \
             invalid credentials with SASL mechanism SCRAM-SHA-512 (after 316ms in state AUTH_REQ)",
            "authentication at broker \"localhost:9095\" failed: Authentication failed during authentication due to invalid \
             credentials with SASL mechanism SCRAM-SHA-512",
        );
        check(
            Code::Authentication,
            "sasl_ssl://localhost:9095/bootstrap: SASL SCRAM-SHA-1 mechanism handshake failed: Broker: Unsupported SASL mechanism: \
             broker's supported mechanisms: PLAIN,SCRAM-SHA-512 (after 3ms in state AUTH_HANDSHAKE)",
            "authentication at broker \"localhost:9095\" failed: it does not offer our sasl.mechanism, only PLAIN,SCRAM-SHA-512",
        );
        check(
            Code::BrokerTransportFailure,
            "ssl://localhost:9093/bootstrap: Receive failed: error:0A000416:SSL routines::ssl/tls alert certificate unknown: SSL alert \
             number 46 (after 2ms in state APIVERSION_QUERY)",
            "broker \"localhost:9093\" refuses our certificate (ssl.certificate.location): there is none, it has expired, or its \
             authority is not known there",
        );
        check(
            Code::BrokerTransportFailure,
            "localhost:9093/bootstrap: Disconnected while requesting ApiVersion: might be caused by incorrect security.protocol \
             configuration (connecting to a SSL listener?) or broker version is < 0.10 (after 3ms in state APIVERSION_QUERY)",
            "broker \"localhost:9093\" closed the connection: it may expect TLS (security.protocol)",
        );
    }
}
