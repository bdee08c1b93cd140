//! The prompt: lines from a person, edited and remembered.

use super::completion::Completion;
use super::failure::{Exit, Failure};
use super::session::{Console, Flow};
use crate::error::{Code, Error};
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::history::{DefaultHistory, History};
use rustyline::{CompletionType, Config, Editor};
use std::path::{Path, PathBuf};

const HISTORY_ENTRIES_MAX: usize = 10_000;

/// The editor of lines.
pub type LineEditor = Editor<Completion, DefaultHistory>;

/// Makes the line editor. It takes over SIGINT when it is made; who listens for Ctrl-C must do so after it
/// (handlers are chained then), or would never hear of it.
///
/// # Errors
/// When the terminal cannot be used.
pub fn editor() -> Result<LineEditor, Failure> {
    let made = || {
        let config = Config::builder().history_ignore_space(true).bracketed_paste(true).completion_type(CompletionType::List).build();
        let mut editor = LineEditor::with_config(config)?;
        editor.set_max_history_size(HISTORY_ENTRIES_MAX)?;
        editor.set_auto_add_history(false);
        editor.set_helper(Some(Completion::default()));
        Ok(editor)
    };
    made().map_err(|error: ReadlineError| Error::new(Code::Io, format!("could not use the terminal: {error}")).into())
}

/// Talks with a person until `\q` or Ctrl-D.
pub async fn run(console: &mut Console, mut editor: LineEditor) -> Exit {
    console.is_interactive = true;
    if let Err(failure) = console.connect().await {
        return super::fatal(&failure);
    }
    let history = history_path();
    if let Some(path) = &history {
        load(&mut editor, path);
    }
    if !console.is_quiet {
        println!(
            "weir {}, connected to {}\nType \\? for commands, \\h for SQL, \\q to leave.\n",
            env!("CARGO_PKG_VERSION"),
            console.connector.address()
        );
    }
    let exit = talk(console, &mut editor).await;
    if let Some(path) = &history {
        save(&mut editor, path);
    }
    exit
}

async fn talk(console: &mut Console, editor: &mut LineEditor) -> Exit {
    let mut typed = String::new();
    loop {
        let prompt = format!("weir{}> ", console.scanner.prompt());
        if let Some(completion) = editor.helper_mut() {
            completion.client = console.session();
            completion.statement = console.scanner.text().to_owned();
        }
        // The editor blocks; the connection is kept alive by other threads meanwhile.
        match tokio::task::block_in_place(|| editor.readline(&prompt)) {
            Ok(text) => {
                typed.push_str(&text);
                typed.push('\n');
                console.interrupts.forget();
                let text = plain_word(&text).filter(|_| console.scanner.is_empty()).map_or(text, str::to_owned);
                let mut flow = Flow::Next;
                // A statement that was called back from history has several lines.
                for line in text.split('\n') {
                    flow = console.line(&format!("{line}\n")).await;
                    if flow != Flow::Next {
                        break;
                    }
                }
                if console.scanner.is_empty() || flow != Flow::Next {
                    remember(editor, &std::mem::take(&mut typed));
                }
                match flow {
                    Flow::Quit => return Exit::Success,
                    // Nobody can read on; everything else a person survives.
                    Flow::Stop(_) if console.after(console_is_readable()) != Flow::Next => return Exit::Fatal,
                    Flow::Stop(_) => {
                        console.scanner.take();
                    }
                    Flow::Next => {}
                }
            }
            Err(ReadlineError::Interrupted) => {
                typed.clear();
                console.scanner.take();
            }
            // Ctrl-C of an earlier statement, which the editor heard as well; or a terminal that changed its size.
            Err(ReadlineError::Signal(_)) => {}
            Err(ReadlineError::Eof) => {
                println!("\\q");
                return Exit::Success;
            }
            Err(error) => {
                console.say(&format!("ERROR:  could not read from the terminal: {error}"));
                return Exit::Fatal;
            }
        }
    }
}

/// The command that a word alone means, as in psql.
fn plain_word(text: &str) -> Option<&'static str> {
    match text.trim().trim_end_matches(';').to_ascii_lowercase().as_str() {
        "help" => Some("\\?"),
        "quit" | "exit" => Some("\\q"),
        _ => None,
    }
}

fn console_is_readable() -> Result<(), Failure> {
    use std::io::Write;
    std::io::stdout().flush().map_err(Failure::from)
}

/// Keeps what was typed, as one entry; no passwords.
fn remember(editor: &mut LineEditor, typed: &str) {
    let typed = typed.trim_end();
    if may_be_remembered(typed) {
        // The worst is a statement that must be typed again.
        let _ = editor.add_history_entry(typed);
    }
}

fn may_be_remembered(typed: &str) -> bool {
    !typed.trim().is_empty() && !typed.to_ascii_lowercase().contains("password")
}

/// `$XDG_STATE_HOME/weir/history`, by default `~/.local/state/weir/history`.
fn history_path() -> Option<PathBuf> {
    let directory = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = directory("XDG_STATE_HOME").or_else(|| Some(directory("HOME")?.join(".local/state")))?;
    Some(state.join("weir").join("history"))
}

fn load(editor: &mut LineEditor, path: &Path) {
    // A first start has no history; one that cannot be read is not worth a refusal.
    let _ = editor.load_history(path);
}

fn save(editor: &mut LineEditor, path: &Path) {
    if editor.history().is_empty() {
        return;
    }
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let saved = made.map_err(ReadlineError::from).and_then(|()| editor.append_history(path));
    if let Err(error) = saved {
        eprintln!("could not save the history to \"{}\": {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_remembered() {
        assert!(!may_be_remembered("ALTER USER ann\nPassword 'x';"));
        assert!(!may_be_remembered(" \n"));
        assert!(may_be_remembered("SELECT 1;"));
    }
}
