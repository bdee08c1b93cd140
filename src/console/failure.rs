//! What can go wrong in the console, how it is shown, and the exit code that it means.

use crate::error::{CODES, Code, Error};
use arrow_flight::error::FlightError;
use std::process::ExitCode;
use tonic::Status;

/// How the console ends: psql's exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Success = 0,
    /// Our own fatal error: a file that is not there, an argument that is wrong, `-c` that failed.
    Fatal = 1,
    /// No connection, or none any more, and nobody there to try again.
    Connection = 2,
    /// A script ended at an error, because ON_ERROR_STOP is set.
    Script = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a statement or a command did not do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The statement or command is wrong; the console goes on.
    Statement(Error),
    /// The server cannot be reached, or let the session go.
    Connection(Error),
    /// Ctrl-C.
    Interrupted(Error),
    /// Nobody reads the output any more.
    OutputClosed,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Statement(error)
    }
}

/// What a program says that has no console.
impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Statement(error) | Failure::Connection(error) | Failure::Interrupted(error) => error,
            Failure::OutputClosed => Self::new(Code::Io, "nobody reads the output any more"),
        }
    }
}

/// Writing the output failed.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Statement(Error::new(Code::Io, format!("could not write the output: {error}"))),
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let named = status.metadata().get("x-weir-code").and_then(|name| name.to_str().ok());
        let row = named.and_then(|name| CODES.iter().find(|row| row.name == name));
        match row {
            // The session is gone: the server forgot it, or was started anew.
            Some(row) if row.code == Code::Unauthenticated => Self::Connection(parts(row.code, status.message())),
            Some(row) => Self::Statement(parts(row.code, status.message())),
            // Without the server's own name of the error it is the transport that speaks.
            None if is_transport(&status) => {
                let error = Error::new(Code::Unavailable, "the connection to the server was lost");
                Self::Connection(match reason(&status) {
                    Some(reason) => error.detail(format!("The transport says: {reason}.")),
                    None => error,
                })
            }
            None => {
                let code = CODES.iter().find(|row| row.grpc == status.code() as i32).map_or(Code::Internal, |row| row.code);
                Self::Statement(Error::new(code, status.message()))
            }
        }
    }
}

impl From<FlightError> for Failure {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => Self::from(*status),
            other => Self::Statement(Error::new(Code::Internal, format!("cannot read the server's answer: {other}"))),
        }
    }
}

fn is_transport(status: &Status) -> bool {
    use tonic::Code as Grpc;
    matches!(status.code(), Grpc::Unavailable)
        || (status.code() == Grpc::Unknown || status.code() == Grpc::Internal || status.code() == Grpc::Cancelled)
            && std::error::Error::source(status).is_some()
}

/// The innermost cause.
fn reason(error: &dyn std::error::Error) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Some(cause.to_string().trim_end_matches('.').to_owned())
}

/// Takes the line of [`Error::one_line`] apart again: the message has no full stop, detail and hint are sentences.
fn parts(code: Code, line: &str) -> Error {
    let Some(end) = sentence_end(line) else { return Error::new(code, line) };
    let error = Error::new(code, &line[..end]);
    let rest = line[end + 2..].trim_end_matches(['.', '?']);
    // "Did you mean" is the one hint that is known by its words, and always the last sentence.
    match rest.find("Did you mean ") {
        Some(0) => error.hint(format!("{rest}?")),
        Some(at) => error.detail(rest[..at].trim()).hint(format!("{}?", &rest[at..])),
        None => error.detail(format!("{rest}.")),
    }
}

/// The first full stop outside quotes that a new sentence follows; `ALTER TABLE .. ADD COLUMN` has none.
fn sentence_end(line: &str) -> Option<usize> {
    let mut is_quoted = false;
    for (at, character) in line.char_indices() {
        match character {
            '"' => is_quoted = !is_quoted,
            '.' if !is_quoted && !line[..at].ends_with('.') => {
                let mut after = line[at + 1..].chars();
                if after.next() == Some(' ') && after.next().is_some_and(char::is_uppercase) {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// An error as psql shows it; `place` is `file:line` in scripts.
pub fn text(error: &Error, place: Option<&str>) -> String {
    let mut text = match place {
        Some(place) => format!("{place}: ERROR:  {}", printable(&error.message)),
        None => format!("ERROR:  {}", printable(&error.message)),
    };
    for (label, more) in [("DETAIL", &error.detail), ("HINT", &error.hint)] {
        if let Some(more) = more {
            text.push_str(&format!("\n{label}:  {}", printable(more)));
        }
    }
    text
}

/// Without characters that would steer the terminal: a message may repeat what stands in a file.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::metadata::{MetadataMap, MetadataValue};

    #[track_caller]
    fn check(line: &str, message: &str, detail: Option<&str>, hint: Option<&str>) {
        let error = parts(Code::Syntax, line);
        assert_eq!((error.message.as_str(), error.detail.as_deref(), error.hint.as_deref()), (message, detail, hint), "{line}");
    }

    #[test]
    fn a_line_comes_apart_where_its_sentences_end() {
        check("table \"t\" does not exist", "table \"t\" does not exist", None, None);
        check("table \"a. B\" is empty", "table \"a. B\" is empty", None, None);
        check("version 1.5 is old", "version 1.5 is old", None, None);
        check("COPY .. FROM is no statement. Use INSERT", "COPY .. FROM is no statement", Some("Use INSERT."), None);
        check("no table \"t\". Did you mean \"u\"", "no table \"t\"", None, Some("Did you mean \"u\"?"));
        check("no table \"t\". Did you mean \"u\"?", "no table \"t\"", None, Some("Did you mean \"u\"?"));
        check("bad row. It is at line 3. Remove it", "bad row", Some("It is at line 3. Remove it."), None);
        check("bad key. It has 2. Did you mean \"u\"", "bad key", Some("It has 2."), Some("Did you mean \"u\"?"));
    }

    #[test]
    fn errors_look_as_in_psql() {
        let error = Error::new(Code::Syntax, "unexpected \"x\"").detail("It is at line 1.").hint("Remove it.");
        assert_eq!(text(&error, None), "ERROR:  unexpected \"x\"\nDETAIL:  It is at line 1.\nHINT:  Remove it.");
        assert_eq!(text(&Error::new(Code::Io, "no \u{1b}[2J file"), Some("a.sql:3")), "a.sql:3: ERROR:  no \u{fffd}[2J file");
    }

    #[test]
    fn the_servers_own_errors_are_told_from_a_lost_connection() {
        let mut metadata = MetadataMap::new();
        metadata.insert("x-weir-code", MetadataValue::from_static("undefined_table"));
        let status = Status::with_metadata(tonic::Code::NotFound, "table \"t\" does not exist", metadata.clone());
        assert_eq!(Failure::from(status), Failure::Statement(Error::new(Code::UndefinedTable, "table \"t\" does not exist")));
        metadata.insert("x-weir-code", MetadataValue::from_static("invalid_authorization"));
        let ended = Status::with_metadata(tonic::Code::Unauthenticated, "the session has ended", metadata);
        assert!(matches!(Failure::from(ended), Failure::Connection(_)));
        assert!(matches!(Failure::from(Status::unavailable("tcp connect error")), Failure::Connection(_)));
        assert!(matches!(Failure::from(Status::invalid_argument("of another server")), Failure::Statement(_)));
    }

    #[test]
    fn exit_codes_are_those_of_psql() {
        assert_eq!([Exit::Success, Exit::Fatal, Exit::Connection, Exit::Script].map(|exit| exit as u8), [0, 1, 2, 3]);
    }
}
