//! What is wrong with a broker, in one line without secrets.

use super::batch::ClientEvent;
use rdkafka::error::RDKafkaErrorCode;

/// What an event of the client means for people; `None` when it is no trouble, or says less than one before.
pub(super) fn explain(event: &ClientEvent) -> Option<String> {
    match event {
        ClientEvent::Error { code: RDKafkaErrorCode::AllBrokersDown, .. } | ClientEvent::Log { .. } | ClientEvent::CommitFailed { .. } => {
            None
        }
        ClientEvent::Error { code, text } => Some(explain_error(*code, text)),
    }
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
        return format!("{at} refuses our certificate");
    }
    if has("apiversion") && has("security.protocol") || has("connecting to a ssl listener") {
        return format!("{at} closed the connection: it may expect TLS (security.protocol)");
    }
    if has("connecting to a plaintext broker listener") || has("wrong version number") || has("packet length too long") {
        return format!("{at} does not answer in TLS: it may expect security.protocol PLAINTEXT");
    }
    if has("broker might require sasl") {
        return format!("{at} closed the connection: it may expect SASL (security.protocol)");
    }
    if has("connection refused") {
        return format!("could not reach {at}: connection refused");
    }
    if code == RDKafkaErrorCode::Resolve || has("failed to resolve") {
        return format!("could not find the address of {at}");
    }
    if has("timed out") || has("timeout") {
        return format!("could not reach {at}: no answer in time");
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
            "broker \"localhost:9093\" refuses our certificate",
        );
        check(
            Code::Authentication,
            "sasl_ssl://localhost:9095/bootstrap: SASL authentication error: Authentication failed during authentication due to \
             invalid credentials with SASL mechanism SCRAM-SHA-512 (after 316ms in state AUTH_REQ)",
            "authentication at broker \"localhost:9095\" failed: Authentication failed during authentication due to invalid \
             credentials with SASL mechanism SCRAM-SHA-512",
        );
        check(
            Code::BrokerTransportFailure,
            "localhost:9093/bootstrap: Disconnected while requesting ApiVersion: might be caused by incorrect security.protocol \
             configuration (connecting to a SSL listener?) or broker version is < 0.10 (after 3ms in state APIVERSION_QUERY)",
            "broker \"localhost:9093\" closed the connection: it may expect TLS (security.protocol)",
        );
    }
}
