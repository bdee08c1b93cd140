//! How an [`Error`] travels: gRPC code and one line by the table in `error.rs`, SQLSTATE beside it.

use crate::error::{Code, Error};
use datafusion::error::DataFusionError;
use tonic::Status;
use tonic::metadata::{MetadataMap, MetadataValue};

/// Five characters, as PostgreSQL has them.
pub const SQLSTATE_HEADER: &str = "x-weir-sqlstate";
/// The name of the code in `error::CODES`.
pub const CODE_HEADER: &str = "x-weir-code";

/// gRPC libraries in C refuse a response whose headers exceed 8 KiB; the text is percent-encoded on its
/// way, so it is measured as it travels.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// The status of a failure.
pub fn status(error: &Error) -> Status {
    let row = error.code.row();
    if error.code == Code::Internal {
        tracing::error!(error = %error, "internal error");
    }
    let mut metadata = MetadataMap::new();
    metadata.insert(SQLSTATE_HEADER, MetadataValue::from_static(row.sqlstate));
    metadata.insert(CODE_HEADER, MetadataValue::from_static(row.name));
    Status::with_metadata(tonic::Code::from_i32(row.grpc), shorten(&error.one_line()), metadata)
}

/// Cuts a message where its encoded form would be too long.
fn shorten(message: &str) -> String {
    let mut encoded = 0;
    for (position, character) in message.char_indices() {
        encoded += if character.is_ascii_graphic() || character == ' ' { 1 } else { 3 * character.len_utf8() };
        if encoded > MESSAGE_BYTES_MAX {
            return format!("{} ..", &message[..position]);
        }
    }
    message.to_owned()
}

/// The failure of a running query. What our own code raised comes out whole, from however deep.
pub fn query_error(error: &DataFusionError) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(own) = current.downcast_ref::<Error>() {
            return own.clone();
        }
        cause = current.source();
    }
    let root = error.find_root();
    let code = match root {
        DataFusionError::ResourcesExhausted(_) => Code::LimitExceeded,
        DataFusionError::NotImplemented(_) => Code::NotSupported,
        DataFusionError::SQL(..) => Code::Syntax,
        DataFusionError::Plan(_) | DataFusionError::SchemaError(..) | DataFusionError::Configuration(_) => Code::InvalidStatement,
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => Code::Io,
        DataFusionError::ParquetError(_) => Code::DataCorrupted,
        DataFusionError::Execution(_) | DataFusionError::ArrowError(..) => Code::InvalidValue,
        _ => Code::Internal,
    };
    Error::new(code, root.strip_backtrace())
}

/// A message that is not what the protocol says.
pub fn malformed(what: &str) -> Error {
    Error::new(Code::InvalidParameter, format!("cannot read the client's {what}"))
        .hint("The client library may be older or newer than the Flight SQL protocol of this server.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CODES;
    use datafusion::arrow::error::ArrowError;

    #[test]
    fn every_code_keeps_its_grpc_number_and_sqlstate() {
        for row in CODES {
            let status = status(&Error::new(row.code, "something happened").hint("Do it again."));
            assert_eq!(status.code() as i32, row.grpc, "{}", row.name);
            assert_eq!(status.message(), "something happened. Do it again");
            assert_eq!(status.metadata().get(SQLSTATE_HEADER).unwrap(), row.sqlstate);
            assert_eq!(status.metadata().get(CODE_HEADER).unwrap(), row.name);
        }
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        for text in ["x".repeat(20_000), "ж".repeat(20_000), "\u{1F600}".repeat(20_000)] {
            let short = shorten(&text);
            assert!(short.ends_with(" ..") && short.len() < MESSAGE_BYTES_MAX + 8, "{}", short.len());
        }
        assert_eq!(shorten("table \"t\" does not exist"), "table \"t\" does not exist");
    }

    #[test]
    fn our_own_error_comes_out_of_the_query_engine_whole() {
        let own = Error::new(Code::DataCorrupted, "file \"a.csv\" has 3 columns").hint("Look at line 7.");
        let wrapped = DataFusionError::from(own.clone()).context("while reading").context("while joining");
        assert_eq!(query_error(&wrapped), own);
        let through_arrow = DataFusionError::from(ArrowError::ExternalError(Box::new(DataFusionError::from(own.clone()))));
        assert_eq!(query_error(&through_arrow), own);
    }
}
