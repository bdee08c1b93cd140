//! The psql-style client: `weir sql` and `weir run`.
//!
//! It speaks Flight SQL like any other client and knows nothing of the engine: what it shows of tables and
//! models it asks for in SQL.
//!
//! ```text
//! interactive ─┐            ┌─ commands (\d, \x ..) ─┐
//! script ──────┼─► session ─┤                        ├─► client ═► server
//! -c ──────────┘   (scan)   └─ statements ───────────┘      │
//!                                          print ◄── rows ──┘
//! ```
//!
//! Later: `\watch` and `\copy` as rows of `commands::COMMANDS`, a pager in
//! `output`, markdown as a [`print::Format`], an embedded server behind `client`.

mod address;
mod arguments;
mod client;
mod commands;
mod completion;
mod connector;
mod failure;
pub mod help;
mod interactive;
mod interrupts;
mod output;
mod password;
mod print;
mod progress;
mod scan;
mod script;
mod session;
mod tag;
mod training;
mod variables;

pub use arguments::{Arguments, ConnectionArguments, RunArguments};
pub use client::{Client, Prepared};
pub use connector::Connector;
pub use failure::Failure;

use arguments::{Action, OutputArguments};
use failure::Exit;
use interrupts::Interrupts;
use output::Output;
use session::Console;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

/// `weir sql`: runs `-c` and `-f`, or standard input, or asks a person.
pub async fn run(arguments: Arguments) -> ExitCode {
    start(&arguments).await.unwrap_or_else(|failure| fatal(&failure)).into()
}

async fn start(arguments: &Arguments) -> Result<Exit, Failure> {
    let is_person = arguments.work.actions.is_empty() && std::io::stdin().is_terminal();
    // Before the console begins to listen for Ctrl-C: see there.
    let editor = if is_person { Some(interactive::editor()?) } else { None };
    let mut console = prepare(&arguments.connection, &arguments.output)?;
    let exit = match editor {
        Some(editor) => interactive::run(&mut console, editor).await,
        None => work(&mut console, &arguments.work.actions).await,
    };
    console.close().await;
    Ok(exit)
}

/// `weir run FILE`: a script that ends at its first error.
pub async fn run_file(arguments: RunArguments) -> ExitCode {
    let exit = match prepare(&arguments.connection, &arguments.output) {
        Ok(mut console) => {
            if console.variables.get("ON_ERROR_STOP").is_none() {
                console.variables.set("ON_ERROR_STOP", "on");
            }
            let exit = work(&mut console, &[Action::File(arguments.file)]).await;
            console.close().await;
            exit
        }
        Err(failure) => fatal(&failure),
    };
    exit.into()
}

/// A console by the switches of the command line, not connected yet.
fn prepare(connection: &ConnectionArguments, output: &OutputArguments) -> Result<Console, Failure> {
    let connector = Connector::new(connection)?;
    let mut console = Console::new(connector, Interrupts::listen()?);
    console.variables = output.variables()?;
    console.options = output.options();
    for setting in &output.print_options {
        let (name, value) = match setting.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (setting.as_str(), None),
        };
        commands::set_print_option(&mut console.options, name, value)?;
    }
    console.is_quiet = output.quiet;
    if let Some(path) = &output.output {
        console.output = Output::file(path)?;
    }
    Ok(console)
}

/// Does the work of the command line in its order; without any it is standard input.
async fn work(console: &mut Console, actions: &[Action]) -> Exit {
    if let Err(failure) = console.connect().await {
        return fatal(&failure);
    }
    let standard_input = [Action::File("-".into())];
    let mut exit = Exit::Success;
    for action in if actions.is_empty() { &standard_input } else { actions } {
        exit = match action {
            Action::Text(text) => console.text(text).await,
            Action::File(path) => console.whole_file(path as &Path).await,
        };
        let goes_on = exit == Exit::Success || (exit == Exit::Fatal && !console.variables.is_on("ON_ERROR_STOP"));
        if !goes_on || console.is_interrupted {
            break;
        }
    }
    exit
}

/// Shows what kept the console from starting.
fn fatal(failure: &Failure) -> Exit {
    match failure {
        Failure::Connection(error) => {
            eprintln!("{}", failure::text(error, None));
            Exit::Connection
        }
        Failure::Statement(error) | Failure::Interrupted(error) => {
            eprintln!("{}", failure::text(error, None));
            Exit::Fatal
        }
        Failure::OutputClosed => Exit::Fatal,
    }
}
