//! What can go wrong, and how each door says it.
//!
//! Every failure that reaches a user is one [`Error`]: a [`Code`], one line of message, and where
//! possible a detail and a hint. The table [`CODES`] maps a code to SQLSTATE, gRPC and HTTP; a door
//! never invents a status of its own.

use std::fmt;

/// The kind of a failure. Each row of [`CODES`] says how the doors spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The text is not a statement we know.
    Syntax,
    /// The statement is understood and wrong: types, ambiguous names, misuse.
    InvalidStatement,
    /// An option, setting or argument has an unknown name or an unusable value.
    InvalidParameter,
    /// A value cannot be converted: bad cast, division by zero, overflow, a bad field in a file.
    InvalidValue,
    UndefinedDatabase,
    UndefinedTable,
    UndefinedColumn,
    UndefinedFunction,
    /// A model, user, secret, query or prepared statement that is not there.
    UndefinedObject,
    DuplicateDatabase,
    DuplicateTable,
    DuplicateColumn,
    DuplicateObject,
    /// The object is of another kind (a view where a table is needed), or is still in use.
    WrongObject,
    /// A NULL where the table forbids one.
    NotNull,
    /// We understand it and do not do it (yet).
    NotSupported,
    /// Bad or missing credentials.
    Unauthenticated,
    /// Known user, not allowed.
    Forbidden,
    /// A location outside the allowed roots.
    ForbiddenLocation,
    /// Cancelled by the client or by KILL QUERY.
    Cancelled,
    /// The statement timeout passed.
    Timeout,
    /// A limit of the server: memory, size, count.
    LimitExceeded,
    /// Another writer took over, or the object changed meanwhile; a retry may help.
    Conflict,
    /// A file or directory is missing or unreadable.
    Io,
    /// A file is not what it should be; the message names it.
    DataCorrupted,
    /// The server is shutting down or a dependency is away.
    Unavailable,
    /// Our bug. No statement of a user may reach it.
    Internal,
}

/// One row of the table that maps a [`Code`] to what each door speaks.
#[derive(Debug, Clone, Copy)]
pub struct CodeRow {
    pub code: Code,
    /// Name in documentation and logs.
    pub name: &'static str,
    /// Five characters, as PostgreSQL has them.
    pub sqlstate: &'static str,
    /// gRPC status number.
    pub grpc: i32,
    /// HTTP status.
    pub http: u16,
}

const fn row(code: Code, name: &'static str, sqlstate: &'static str, grpc: i32, http: u16) -> CodeRow {
    CodeRow { code, name, sqlstate, grpc, http }
}

/// The one table from [`Code`] to SQLSTATE, gRPC status and HTTP status.
pub static CODES: &[CodeRow] = &[
    row(Code::Syntax, "syntax_error", "42601", 3, 400),
    row(Code::InvalidStatement, "invalid_statement", "42000", 3, 400),
    row(Code::InvalidParameter, "invalid_parameter", "22023", 3, 400),
    row(Code::InvalidValue, "invalid_value", "22000", 3, 400),
    row(Code::UndefinedDatabase, "undefined_database", "3F000", 5, 404),
    row(Code::UndefinedTable, "undefined_table", "42P01", 5, 404),
    row(Code::UndefinedColumn, "undefined_column", "42703", 3, 400),
    row(Code::UndefinedFunction, "undefined_function", "42883", 3, 400),
    row(Code::UndefinedObject, "undefined_object", "42704", 5, 404),
    row(Code::DuplicateDatabase, "duplicate_database", "42P06", 6, 409),
    row(Code::DuplicateTable, "duplicate_table", "42P07", 6, 409),
    row(Code::DuplicateColumn, "duplicate_column", "42701", 3, 400),
    row(Code::DuplicateObject, "duplicate_object", "42710", 6, 409),
    row(Code::WrongObject, "wrong_object_type", "42809", 9, 409),
    row(Code::NotNull, "not_null_violation", "23502", 3, 400),
    row(Code::NotSupported, "feature_not_supported", "0A000", 12, 501),
    row(Code::Unauthenticated, "invalid_authorization", "28000", 16, 401),
    row(Code::Forbidden, "insufficient_privilege", "42501", 7, 403),
    row(Code::ForbiddenLocation, "forbidden_location", "42501", 7, 403),
    row(Code::Cancelled, "query_canceled", "57014", 1, 499),
    row(Code::Timeout, "statement_timeout", "57014", 4, 504),
    row(Code::LimitExceeded, "limit_exceeded", "53400", 8, 429),
    row(Code::Conflict, "conflict", "40001", 10, 409),
    row(Code::Io, "io_error", "58030", 9, 500),
    row(Code::DataCorrupted, "data_corrupted", "XX001", 15, 500),
    row(Code::Unavailable, "unavailable", "57P03", 14, 503),
    row(Code::Internal, "internal_error", "XX000", 13, 500),
];

impl Code {
    /// The row of this code in [`CODES`].
    pub fn row(self) -> &'static CodeRow {
        CODES.iter().find(|row| row.code == self).expect("a test walks CODES: every code has a row")
    }
}

/// Anything that can be told to a user: `Display` is the one-line message.
pub trait Report: std::error::Error {
    /// The kind of failure.
    fn code(&self) -> Code;
    /// What to do next, as a full sentence.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// A failure as a user sees it.
///
/// `message` is one fact in lower case without a full stop, names quoted with their kind; `detail`
/// holds full sentences with the numbers; `hint` is an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub code: Code,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// The result of everything that can fail towards a user.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with a code and a one-line message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        // One line, whatever a library put into it.
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { code, message, detail: None, hint: None }
    }

    /// Our own bug; the message is logged and shown as such.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// Adds the numbers behind the message.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An unknown name among known ones, with "did you mean" when one is near.
    ///
    /// `what` is the sentence before the hint, for example `table has no option "delimitr"`.
    pub fn unknown<'a>(code: Code, what: impl Into<String>, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let error = Self::new(code, what);
        match nearest(name, known) {
            Some(near) => error.hint(format!("Did you mean \"{near}\"?")),
            None => error,
        }
    }

    /// The whole error as one line: message, then detail and hint in sentences.
    pub fn one_line(&self) -> String {
        let mut line = self.message.clone();
        for more in [&self.detail, &self.hint].into_iter().flatten() {
            line.push_str(". ");
            line.push_str(more.trim_end_matches('.'));
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.one_line())
    }
}

impl std::error::Error for Error {}

impl<R: Report> From<R> for Error {
    fn from(report: R) -> Self {
        let error = Self::new(report.code(), report.to_string());
        match report.hint() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// An [`Error`] travels through the query engine as its external error and comes out whole
/// (`engine::errors` takes it out again).
impl From<Error> for datafusion::error::DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

/// The known name nearest to a misspelt one, when it is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(name.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_is_found_by_its_own_code_and_names_are_unique() {
        let mut names = BTreeSet::new();
        for row in CODES {
            assert_eq!(row.code.row().name, row.name);
            assert!(names.insert(row.name), "{} is listed twice", row.name);
            assert_eq!(row.sqlstate.len(), 5, "{}", row.name);
            assert!((1..=16).contains(&row.grpc) && (400..600).contains(&row.http), "{}", row.name);
        }
    }

    #[test]
    fn a_message_is_one_line_with_its_hint() {
        let error = Error::new(Code::Syntax, "unexpected\n  token").detail("It is at line 3.").hint("Remove it.");
        assert_eq!(error.to_string(), "unexpected token. It is at line 3. Remove it");
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        assert_eq!(nearest("topik", ["topic", "format"]), Some("topic"));
        assert_eq!(nearest("regparam", ["regParam", "rank"]), Some("regParam"));
        assert_eq!(nearest("elephant", ["topic", "format"]), None);
    }
}
