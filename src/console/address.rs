//! The URL of a server, taken apart and checked.

use crate::error::{Code, Error, Result};
use url::Url;

const DEFAULT_PORT: u16 = 32010;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Name or number; numbers of IPv6 stand in brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// `grpc://user@host`.
    pub user: Option<String>,
    /// `grpc://host/database`.
    pub database: Option<String>,
}

impl Address {
    /// Reads `grpc://[user@]host[:port][/database]`, or `grpc+tls://`; without a scheme it is `grpc`.
    ///
    /// # Errors
    /// `InvalidParameter` for what is no such URL, and for one with a password: command lines are no secret.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |why: &str| {
            Error::new(Code::InvalidParameter, format!("cannot use the URL \"{}\": {why}", without_password(text)))
                .hint("Write grpc://host:port or grpc+tls://host:port.")
        };
        let whole = if text.contains("://") { text.to_owned() } else { format!("grpc://{text}") };
        let url = Url::parse(&whole).map_err(|error| invalid(&error.to_string()))?;
        let tls = match url.scheme() {
            "grpc" | "grpc+tcp" => false,
            "grpc+tls" => true,
            other => return Err(invalid(&format!("scheme \"{other}\" is not known"))),
        };
        if url.password().is_some() {
            let error = Error::new(Code::InvalidParameter, "a URL cannot hold a password");
            return Err(error.hint("Set WEIR_PASSWORD, use --password-file, or type it when it is asked for."));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| invalid("it names no host"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it has parameters"));
        }
        let database = url.path().trim_matches('/');
        if database.contains('/') {
            return Err(invalid("the path is more than a database"));
        }
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(Self {
            host: host.to_owned(),
            port: url.port().unwrap_or(DEFAULT_PORT),
            tls,
            user: some(url.username()),
            database: some(database),
        })
    }

    /// As the transport takes it.
    pub fn endpoint(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "grpc+tls" } else { "grpc" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// For messages: whatever stands before an `@` is left out.
fn without_password(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, host)) => format!("..@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(text: &str, why: &str) {
        let error = Address::parse(text).unwrap_err();
        assert!(error.message.contains(why), "{text}: {error}");
        assert!(!error.one_line().contains("secret"), "{error}");
    }

    #[test]
    fn what_is_no_server_is_refused() {
        refuses("http://host:1", "scheme \"http\" is not known");
        refuses("grpc://", "no host");
        refuses("grpc://host:99999", "invalid port");
        refuses("grpc://host/a/b", "more than a database");
        refuses("grpc://host?x=1", "parameters");
        refuses("grpc://u:secret@host", "cannot hold a password");
        refuses("http://u:secret@host", "not known");
    }

    #[track_caller]
    fn check(text: &str, expected: &str, endpoint: &str) {
        let address = Address::parse(text).unwrap();
        assert_eq!((address.to_string().as_str(), address.endpoint().as_str()), (expected, endpoint));
    }

    #[test]
    fn urls_and_short_forms() {
        check("grpc://127.0.0.1:1", "grpc://127.0.0.1:1", "http://127.0.0.1:1");
        check("localhost", "grpc://localhost:32010", "http://localhost:32010");
        check("localhost:5", "grpc://localhost:5", "http://localhost:5");
        check("grpc+tls://[::1]:5", "grpc+tls://[::1]:5", "https://[::1]:5");
        let address = Address::parse("grpc://ann@h:1/lake").unwrap();
        assert_eq!((address.user.as_deref(), address.database.as_deref()), (Some("ann"), Some("lake")));
    }
}
