//! Where a password comes from: the environment, a file, or a person. It is never an argument and never shown.

use crate::error::{Code, Error, Result};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use std::io::{Read, Write};
use std::path::Path;

const CTRL_C: u8 = 3;
/// What a terminal holds of a line at most.
const LINE_BYTES_MAX: usize = 4096;

/// A password on its way to the server: `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the handshake only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// The first line of a file.
///
/// # Errors
/// When the file cannot be read, or has no first line.
pub fn of_file(path: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::new(Code::Io, format!("could not read the password file \"{}\"", path.display())).detail(format!("The system says: {error}."))
    })?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret::new(line)),
        _ => Err(Error::new(Code::InvalidParameter, format!("the password file \"{}\" is empty", path.display()))),
    }
}

/// Asks at the terminal, without echo.
///
/// # Errors
/// When there is no terminal, or nothing was typed.
pub fn ask(user: &str) -> Result<Secret> {
    let no_terminal = |error: std::io::Error| {
        Error::new(Code::Io, "could not ask for the password").detail(format!("The terminal says: {error}."))
    };
    let mut terminal = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    let before = tcgetattr(&terminal).map_err(|error| no_terminal(error.into()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
    silent.local_modes.insert(LocalModes::ECHONL);
    // Ctrl-C ends the line instead of the process, or the terminal would stay without echo.
    silent.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
    write!(terminal, "Password for user {user}: ").and_then(|()| terminal.flush()).map_err(no_terminal)?;
    tcsetattr(&terminal, OptionalActions::Flush, &silent).map_err(|error| no_terminal(error.into()))?;
    // The terminal hands over one line per read.
    let mut line = [0_u8; LINE_BYTES_MAX];
    let read = terminal.read(&mut line);
    // First of all the terminal gets its echo back, whatever was read.
    let restored = tcsetattr(&terminal, OptionalActions::Flush, &before);
    let n_bytes = read.map_err(no_terminal)?;
    restored.map_err(|error| no_terminal(error.into()))?;
    typed(&line[..n_bytes])
}

/// The password in a line of the terminal.
fn typed(line: &[u8]) -> Result<Secret> {
    if line.ends_with(&[CTRL_C]) {
        let _ = writeln!(std::io::stderr());
        return Err(Error::new(Code::Cancelled, "no password was given"));
    }
    let line = std::str::from_utf8(line).map_err(|_| Error::new(Code::InvalidValue, "the password is not UTF-8"))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() { Err(Error::new(Code::Unauthenticated, "no password was given")) } else { Ok(Secret::new(password)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_hold_one_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        assert_eq!(of_file(&path).unwrap_err().code, Code::Io);
        std::fs::write(&path, "\nx").unwrap();
        assert!(of_file(&path).unwrap_err().message.ends_with("is empty"));
        std::fs::write(&path, " s3cret \r\nignored\n").unwrap();
        let secret = of_file(&path).unwrap();
        assert_eq!(secret.reveal(), " s3cret ");
        assert_eq!(format!("{secret:?}"), "***");
    }

    #[test]
    fn typed_lines() {
        assert_eq!(typed(b"pass\x03").unwrap_err().code, Code::Cancelled);
        assert_eq!(typed(b"\n").unwrap_err().code, Code::Unauthenticated);
        assert_eq!(typed(b"").unwrap_err().code, Code::Unauthenticated);
        assert_eq!(typed(b" a b \r\n").unwrap(), Secret::new(" a b "));
    }
}
