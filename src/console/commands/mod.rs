//! The backslash commands: one table, from which help is printed and a misspelt name is corrected.

mod describe;
mod options;
mod words;

pub use describe::text;
pub use options::set_print_option;

use super::failure::Failure;
use super::help;
use super::output::Output;
use super::print::Expanded;
use super::session::{Console, Flow};
use super::variables::{SPECIAL, is_name};
use crate::error::{Code, Error};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::path::Path;

/// What a command gets: its words, and whether `+` stands behind its name.
pub struct Call {
    pub words: Vec<String>,
    pub is_verbose: bool,
}

impl Call {
    /// A word, when it is there.
    pub fn word(&self, idx: usize) -> Option<&str> {
        self.words.get(idx).map(String::as_str)
    }
}

type Run = for<'a> fn(&'a mut Console, Call) -> BoxFuture<'a, Result<Flow, Failure>>;

/// One backslash command.
pub struct Command {
    /// With its backslash.
    pub name: &'static str,
    pub args: &'static str,
    /// A fragment.
    pub help: &'static str,
    pub group: &'static str,
    run: Run,
}

const fn command(group: &'static str, name: &'static str, args: &'static str, help: &'static str, run: Run) -> Command {
    Command { name, args, help, group, run }
}

/// All backslash commands, in the order of `\?`.
pub static COMMANDS: &[Command] = &[
    command("General", "\\conninfo", "", "Show the server, the user and the database", |console, _| conninfo(console).boxed()),
    command("General", "\\c", "[DATABASE]", "Use a database, or show which one is used", |console, call| {
        use_database(console, call).boxed()
    }),
    command("General", "\\q", "", "Leave", |_, _| done(Ok(Flow::Quit))),
    command("General", "\\?", "", "Show these commands", |console, _| done(show_commands(console))),
    command("General", "\\h", "[STATEMENT]", "Show the syntax of statements", |console, call| done(show_syntax(console, &call))),
    command("Query", "\\g", "[FILE]", "Send the statement, or the last one again; rows go to FILE", |console, call| {
        go(console, call, false).boxed()
    }),
    command("Query", "\\gx", "[FILE]", "As \\g, with a line per column", |console, call| go(console, call, true).boxed()),
    command("Query", "\\p", "", "Show the statement that is being typed", |console, _| done(show_buffer(console))),
    command("Query", "\\r", "", "Forget the statement that is being typed", |console, _| done(reset_buffer(console))),
    command("Objects", "\\d", "[NAME]", "List tables and views, or describe one; \\d+ says more", |console, call| {
        describe::describe(console, call).boxed()
    }),
    command("Objects", "\\dt", "[PATTERN]", "List tables", |console, call| describe::tables(console, call).boxed()),
    command("Objects", "\\dv", "[PATTERN]", "List views", |console, call| describe::views(console, call).boxed()),
    command("Objects", "\\dm", "[PATTERN]", "List models; \\dm+ NAME describes one", |console, call| {
        describe::models(console, call).boxed()
    }),
    command("Objects", "\\df", "[PATTERN]", "List functions", |console, call| describe::functions(console, call).boxed()),
    command("Objects", "\\du", "", "List users", |console, call| describe::users(console, call).boxed()),
    command("Objects", "\\l", "[PATTERN]", "List databases", |console, call| describe::databases(console, call).boxed()),
    command("Files", "\\i", "FILE", "Run a file", |console, call| include(console, call).boxed()),
    command("Files", "\\o", "[FILE]", "Write results to a file, or to the terminal again", |console, call| done(redirect(console, &call))),
    command("Files", "\\echo", "[TEXT]", "Write a text to standard output", |console, call| done(echo(console, &call))),
    command("Output", "\\x", "[on|off|auto]", "Show a line per column", |console, call| done(options::expanded(console, &call))),
    command("Output", "\\a", "", "Switch between aligned and unaligned output", |console, _| done(options::unaligned(console))),
    command("Output", "\\t", "[on|off]", "Show rows only, without header and footer", |console, call| {
        done(options::tuples_only(console, &call))
    }),
    command(
        "Output",
        "\\pset",
        "[NAME [VALUE]]",
        "Set an option of output: format, null, fieldsep, expanded, tuples_only",
        |console, call| done(options::pset(console, &call)),
    ),
    command("Output", "\\timing", "[on|off]", "Show how long statements take", |console, call| done(options::timing(console, &call))),
    command("Variables", "\\set", "[NAME [VALUE]]", "Set a variable, or show all: used as :NAME, :'NAME', :\"NAME\"", |console, call| {
        done(set(console, &call))
    }),
    command("Variables", "\\unset", "NAME", "Remove a variable", |console, call| done(unset(console, &call))),
];

fn done(result: Result<Flow, Failure>) -> BoxFuture<'static, Result<Flow, Failure>> {
    std::future::ready(result).boxed()
}

/// Runs the command that a text starts with; returns how much of the text was its own.
pub async fn run(console: &mut Console, text: &str) -> (usize, Result<Flow, Failure>) {
    // A double backslash only ends the command before it.
    if text.starts_with("\\\\") {
        return (2, Ok(Flow::Next));
    }
    let name_end = text[1..].find(|character: char| character.is_whitespace() || character == '\\').map_or(text.len(), |end| end + 1);
    let (words, words_length) = words::words(&text[name_end..], &console.variables);
    let mut used = name_end + words_length;
    let typed = text[..name_end].trim_end_matches(';');
    let (name, is_verbose) = match typed.strip_suffix('+') {
        Some(name) if name.starts_with("\\d") || name == "\\l" => (name, true),
        _ => (typed, false),
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        // What stands behind an unknown name cannot be understood either.
        used = text.len();
        let known = COMMANDS.iter().map(|command| command.name);
        let error = Error::unknown(Code::Syntax, format!("command {typed} is not known"), typed, known);
        let error = if error.hint.is_some() { error } else { error.hint("\\? shows all commands.") };
        return (used, Err(error.into()));
    };
    let mut call = Call { words, is_verbose };
    if let Some(last) = call.words.last_mut().filter(|_| !matches!(name, "\\echo" | "\\set" | "\\pset")) {
        // Out of habit: \d t;
        while last.ends_with(';') {
            last.pop();
        }
    }
    call.words.retain(|word| !word.is_empty() || matches!(name, "\\pset" | "\\set" | "\\echo"));
    (used, (command.run)(console, call).await)
}

async fn conninfo(console: &mut Console) -> Result<Flow, Failure> {
    if !console.is_connected() {
        console.output.write(&format!("Not connected to {}.\n", console.connector.address()))?;
        return Ok(Flow::Next);
    }
    let database = describe::current_database(console).await?;
    let user = console.connector.user().map_or_else(String::new, |user| format!(" as user \"{user}\""));
    let tls = if console.connector.address().tls { ", with TLS" } else { "" };
    let address = console.connector.address().to_string();
    console.output.write(&format!("Connected to {address}{user}, database \"{database}\"{tls}.\n"))?;
    Ok(Flow::Next)
}

async fn use_database(console: &mut Console, call: Call) -> Result<Flow, Failure> {
    let Some(name) = call.word(0) else { return conninfo(console).await };
    let name = describe::Name::parse(name);
    let options = console.options.clone();
    console.statement_as(&format!("USE {}", name.sql()), options, None).await?;
    let database = describe::current_database(console).await?;
    console.connector.set_database(&database);
    Ok(Flow::Next)
}

fn show_commands(console: &mut Console) -> Result<Flow, Failure> {
    let width = COMMANDS.iter().map(|command| command.name.len() + 1 + command.args.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut group = "";
    for command in COMMANDS {
        if command.group != group {
            text.push_str(if group.is_empty() { "" } else { "\n" });
            text.push_str(&format!("{}\n", command.group));
            group = command.group;
        }
        text.push_str(&format!("  {:<width$}  {}\n", format!("{} {}", command.name, command.args), command.help));
    }
    text.push_str("\nSwitches among the variables\n");
    for (name, help) in SPECIAL {
        text.push_str(&format!("  {name:<width$}  {help}\n"));
    }
    console.output.write(&text)?;
    Ok(Flow::Next)
}

fn show_syntax(console: &mut Console, call: &Call) -> Result<Flow, Failure> {
    let text = help::syntax(&call.words.join(" "))?;
    console.output.write(&text)?;
    Ok(Flow::Next)
}

async fn go(console: &mut Console, call: Call, is_expanded: bool) -> Result<Flow, Failure> {
    let typed = console.scanner.take();
    let sql = if typed.is_empty() { console.last_statement.clone() } else { typed };
    if sql.is_empty() {
        return Err(Error::new(Code::Syntax, "there is no statement to send").into());
    }
    console.last_statement.clone_from(&sql);
    let mut options = console.options.clone();
    if is_expanded {
        options.expanded = Expanded::On;
    }
    let before = match call.word(0) {
        Some(path) => Some(std::mem::replace(&mut console.output, Output::file(Path::new(path))?)),
        None => None,
    };
    let result = console.statement_as(&sql, options, None).await;
    if let Some(before) = before {
        console.output = before;
    }
    result.map(|()| Flow::Next)
}

fn show_buffer(console: &mut Console) -> Result<Flow, Failure> {
    let text = match console.scanner.text() {
        "" => console.last_statement.clone(),
        text => text.to_owned(),
    };
    console.output.write(&format!("{}\n", if text.is_empty() { "Nothing was typed." } else { &text }))?;
    Ok(Flow::Next)
}

fn reset_buffer(console: &mut Console) -> Result<Flow, Failure> {
    console.scanner.take();
    if console.is_interactive {
        console.say("The statement was forgotten.");
    }
    Ok(Flow::Next)
}

async fn include(console: &mut Console, call: Call) -> Result<Flow, Failure> {
    let path = call.word(0).ok_or_else(|| missing("\\i", "FILE"))?;
    match Box::pin(console.file(Path::new(path))).await? {
        Flow::Quit => Ok(Flow::Next),
        flow => Ok(flow),
    }
}

fn redirect(console: &mut Console, call: &Call) -> Result<Flow, Failure> {
    console.output.flush()?;
    console.output = match call.word(0) {
        Some(path) => Output::file(Path::new(path))?,
        None => Output::standard(),
    };
    Ok(Flow::Next)
}

fn echo(console: &mut Console, call: &Call) -> Result<Flow, Failure> {
    // Always to standard output, also while results go to a file.
    let mut standard = Output::standard();
    console.output.flush()?;
    standard.write(&format!("{}\n", call.words.join(" ")))?;
    standard.flush()?;
    Ok(Flow::Next)
}

fn set(console: &mut Console, call: &Call) -> Result<Flow, Failure> {
    let Some(name) = call.word(0) else {
        let all: String = console.variables.iter().map(|(name, value)| format!("{name} = '{value}'\n")).collect();
        console.output.write(&all)?;
        return Ok(Flow::Next);
    };
    if !is_name(name) {
        let error = Error::new(Code::InvalidParameter, format!("\"{name}\" cannot name a variable"));
        return Err(error.hint("Names have letters, digits and underscores.").into());
    }
    // As in psql, further words are joined without blanks.
    let value = call.words[1..].concat();
    console.variables.set(name, value);
    Ok(Flow::Next)
}

fn unset(console: &mut Console, call: &Call) -> Result<Flow, Failure> {
    let name = call.word(0).ok_or_else(|| missing("\\unset", "NAME"))?;
    console.variables.unset(name);
    Ok(Flow::Next)
}

/// A command without the word that it needs.
fn missing(command: &str, word: &str) -> Failure {
    Error::new(Code::Syntax, format!("command {command} needs {word}")).hint(format!("Write {command} {word}.")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn commands_are_unique_and_explained() {
        let mut seen = BTreeSet::new();
        for command in COMMANDS {
            assert!(seen.insert(command.name), "{} is listed twice", command.name);
            assert!(command.name.starts_with('\\') && !command.name.ends_with('+'), "{}", command.name);
            assert!(!command.help.is_empty() && !command.help.ends_with('.'), "{}: help is a fragment", command.name);
        }
        let groups: Vec<&str> = COMMANDS.iter().map(|command| command.group).collect();
        let mut deduplicated = groups.clone();
        deduplicated.dedup();
        assert_eq!(deduplicated.len(), groups.iter().collect::<BTreeSet<_>>().len(), "a group stands together");
    }

    #[test]
    fn the_commands_of_psql_users_are_there() {
        for name in ["\\d", "\\dt", "\\dv", "\\dm", "\\l", "\\c", "\\x", "\\timing", "\\i", "\\o", "\\conninfo", "\\?", "\\h", "\\q"] {
            assert!(COMMANDS.iter().any(|command| command.name == name), "{name}");
        }
    }
}
