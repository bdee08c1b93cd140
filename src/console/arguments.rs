//! What stands on the command line of `weir sql` and `weir run`; switches are psql's.

use super::print::{Expanded, Format, Options};
use super::variables::{Variables, is_name};
use crate::error::{Code, Error, Result};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use std::path::PathBuf;

/// Where the server is when nobody says otherwise.
pub const DEFAULT_URL: &str = "grpc://127.0.0.1:32010";
/// Environment variable with the server's URL.
pub const URL_VARIABLE: &str = "WEIR_URL";
/// Environment variable with the user's name.
pub const USER_VARIABLE: &str = "WEIR_USER";
/// Environment variable with the password.
pub const PASSWORD_VARIABLE: &str = "WEIR_PASSWORD";

/// `weir sql [URL]`
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pub(super) connection: ConnectionArguments,
    #[command(flatten)]
    pub(super) work: Work,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// `weir run FILE [URL]`
#[derive(Debug, Args)]
pub struct RunArguments {
    /// File of SQL statements and backslash commands; - is standard input
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) connection: ConnectionArguments,
    #[command(flatten)]
    pub(super) output: OutputArguments,
}

/// Which server, and who asks.
#[derive(Debug, Default, Args)]
pub struct ConnectionArguments {
    /// Server: grpc://host:port or grpc+tls://host:port [env: WEIR_URL] [default: grpc://127.0.0.1:32010]
    #[arg(value_name = "URL")]
    pub(super) url: Option<String>,
    /// User name [env: WEIR_USER]; the password comes from WEIR_PASSWORD, a file, or is asked for
    #[arg(short = 'U', long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// Never ask for a password
    #[arg(short = 'w', long)]
    pub(super) no_password: bool,
    /// Database to begin in
    #[arg(short = 'd', long, value_name = "NAME")]
    pub(super) database: Option<String>,
    /// PEM file with the authorities that may sign the server's certificate
    #[arg(long, value_name = "FILE")]
    pub(super) tls_ca: Option<PathBuf>,
}

/// How answers look and where they go.
#[derive(Debug, Default, Args)]
pub struct OutputArguments {
    /// Set a variable: -v name=value, used as :name, :'name' or :"name"
    #[arg(short = 'v', long = "set", visible_alias = "variable", value_name = "NAME=VALUE")]
    pub(super) variables: Vec<String>,
    /// Unaligned output
    #[arg(short = 'A', long)]
    pub(super) no_align: bool,
    /// CSV output
    #[arg(long, conflicts_with = "no_align")]
    pub(super) csv: bool,
    /// Rows only: no header, no footer
    #[arg(short = 't', long)]
    pub(super) tuples_only: bool,
    /// Expanded output: a line per column
    #[arg(short = 'x', long)]
    pub(super) expanded: bool,
    /// Between the columns of unaligned output
    #[arg(short = 'F', long, value_name = "TEXT")]
    pub(super) field_separator: Option<String>,
    /// Any option of \pset: -P null=NULL
    #[arg(short = 'P', long = "pset", value_name = "NAME[=VALUE]")]
    pub(super) print_options: Vec<String>,
    /// Results only: no command tags, no greeting
    #[arg(short = 'q', long)]
    pub(super) quiet: bool,
    /// Write results to a file
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

impl OutputArguments {
    /// The variables of the command line.
    ///
    /// # Errors
    /// For a name that `:name` could not refer to.
    pub(super) fn variables(&self) -> Result<Variables> {
        let mut variables = Variables::default();
        for assignment in &self.variables {
            let (name, value) = assignment.split_once('=').unwrap_or((assignment, ""));
            if !is_name(name) {
                return Err(Error::new(Code::InvalidParameter, format!("\"{name}\" cannot name a variable"))
                    .hint("Names have letters, digits and underscores: -v name=value."));
            }
            variables.set(name, value);
        }
        Ok(variables)
    }

    /// How results look.
    pub(super) fn options(&self) -> Options {
        let mut options = Options { tuples_only: self.tuples_only, ..Options::default() };
        if self.no_align {
            options.format = Format::Unaligned;
        }
        if self.csv {
            options.format = Format::Csv;
        }
        if self.expanded {
            options.expanded = Expanded::On;
        }
        if let Some(separator) = &self.field_separator {
            options.field_separator.clone_from(separator);
        }
        options
    }
}

/// One thing to do, in the order of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `-c`: statements, or one backslash command.
    Text(String),
    /// `-f`: a file; `-` is standard input.
    File(PathBuf),
}

/// All `-c` and `-f`. Derived arguments would lose the order between the two.
#[derive(Debug, Default)]
pub struct Work {
    pub(super) actions: Vec<Action>,
}

impl Args for Work {
    fn augment_args(command: Command) -> Command {
        let text = clap::Arg::new("command").short('c').long("command").value_name("SQL").action(clap::ArgAction::Append);
        let file = clap::Arg::new("file").short('f').long("file").value_name("FILE").action(clap::ArgAction::Append);
        command
            .arg(text.help("Run statements or one backslash command, and end (may be repeated)").allow_hyphen_values(true))
            .arg(file.help("Run a file of statements, and end; - is standard input (may be repeated)").value_parser(clap::value_parser!(PathBuf)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Work {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let texts = matches.get_many::<String>("command").unwrap_or_default().map(|text| Action::Text(text.clone()));
        let files = matches.get_many::<PathBuf>("file").unwrap_or_default().map(|file| Action::File(file.clone()));
        let places = |name| matches.indices_of(name).into_iter().flatten();
        let mut actions: Vec<(usize, Action)> = places("command").zip(texts).chain(places("file").zip(files)).collect();
        actions.sort_by_key(|(place, _)| *place);
        Ok(Self { actions: actions.into_iter().map(|(_, action)| action).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Arguments {
        let command = Arguments::augment_args(Command::new("sql").no_binary_name(true));
        Arguments::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
    }

    #[test]
    fn the_order_of_work_is_kept() {
        let arguments = parse(&["-c", "A", "-f", "b.sql", "grpc://h:1", "-c", "-- C", "-f", "-"]);
        let expected = [Action::Text("A".into()), Action::File("b.sql".into()), Action::Text("-- C".into()), Action::File("-".into())];
        assert_eq!(arguments.work.actions, expected);
        assert_eq!(arguments.connection.url.as_deref(), Some("grpc://h:1"));
    }

    #[test]
    fn variables_need_names() {
        let error = parse(&["-v", "a-b=1"]).output.variables().unwrap_err();
        assert_eq!(error.message, "\"a-b\" cannot name a variable");
        let variables = parse(&["-v", "a=1=2", "-v", "ON_ERROR_STOP"]).output.variables().unwrap();
        assert_eq!((variables.get("a"), variables.get("ON_ERROR_STOP")), (Some("1=2"), Some("")));
    }

    #[test]
    fn switches_are_those_of_psql() {
        let options = parse(&["-At", "-F", ";", "-x"]).output.options();
        assert_eq!((options.format, options.tuples_only, options.field_separator.as_str()), (Format::Unaligned, true, ";"));
        assert_eq!(options.expanded, Expanded::On);
        assert_eq!(parse(&["--csv"]).output.options().format, Format::Csv);
    }
}
