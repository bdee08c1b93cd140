//! Logs: to stderr, as text or as JSON lines.
//!
//! Levels (see CONTRIBUTING): ERROR when data is lost or the service is down, WARN when something unexpected
//! happened and we go on, INFO for a change of state, DEBUG for why. A user's mistake is an answer, not a log line.

use crate::error::{Code, Error, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging for this process. A second call keeps the first logger.
///
/// `level`: a level, or a filter by module (`info,weir::catalog=debug`).
pub fn init(level: &str, json: bool) -> Result<()> {
    let registry = tracing_subscriber::registry().with(filter(level)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = if json {
        registry.with(lines.json().flatten_event(true)).try_init()
    } else {
        registry.with(lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))).try_init()
    };
    // Only tests start it twice.
    if let Err(error) = started {
        tracing::debug!(error = %error, "logging was started before");
    }
    Ok(())
}

/// A lone level is ours; libraries only warn, or their messages hide ours.
fn filter(level: &str) -> Result<EnvFilter> {
    let level = level.trim();
    let is_lone = !level.is_empty() && level.chars().all(char::is_alphabetic) && level != "off";
    let directives = if is_lone { format!("warn,weir={level},weir_ml={level},weir_functions={level}") } else { level.to_owned() };
    EnvFilter::builder().parse(directives).map_err(|error| {
        Error::new(Code::InvalidParameter, format!("the log level \"{level}\" is not usable: {error}"))
            .hint("Write error, warn, info, debug or trace, or a filter such as \"info,weir::catalog=debug\".")
    })
}

/// An error with all its causes on one line, for a log field: `error = %chain(&error)`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some libraries repeat the cause in their own message.
        if !said.contains(&text) {
            said.push_str(": ");
            said.push_str(&text);
        }
        cause = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn an_unknown_level_is_refused_with_what_is_possible() {
        for level in ["loud", "info,weir=loud", "weir=info=debug"] {
            let error = filter(level).unwrap_err();
            assert_eq!(error.code, Code::InvalidParameter, "{level}");
        }
        for level in ["info", "off", "warn,weir::catalog=debug", "TRACE"] {
            filter(level).unwrap();
        }
    }

    #[test]
    fn a_lone_level_does_not_make_libraries_talk() {
        let text = filter("debug").unwrap().to_string();
        assert!(text.contains("weir=debug") && text.contains("warn"), "{text}");
    }

    #[test]
    fn a_chain_says_every_cause_once() {
        let error = Layer("cannot open: disk full", Some(Box::new(Layer("disk full", Some(Box::new(Layer("quota", None)))))));
        assert_eq!(chain(&error), "cannot open: disk full: quota");
    }

    #[test]
    fn it_starts_twice_without_harm() {
        init("off", false).unwrap();
        init("off", true).unwrap();
    }
}
