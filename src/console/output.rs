//! Where results go: standard output, or the file of `-o` and `\o`.

use crate::error::{Code, Error, Result};
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Stdout, Write};
use std::path::{Path, PathBuf};

/// The target of results.
#[derive(Debug)]
pub enum Output {
    Standard(BufWriter<Stdout>),
    File(PathBuf, BufWriter<File>),
}

impl Output {
    /// Standard output.
    pub fn standard() -> Self {
        Self::Standard(BufWriter::new(std::io::stdout()))
    }

    /// A new file, or an old one emptied.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn file(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| {
            Error::new(Code::Io, format!("could not write the file \"{}\"", path.display())).detail(format!("The system says: {error}."))
        })?;
        Ok(Self::File(path.to_owned(), BufWriter::new(file)))
    }

    /// Whether a person reads along.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Standard(_)) && std::io::stdout().is_terminal()
    }

    /// The columns of the terminal, when there is one.
    pub fn terminal_columns(&self) -> Option<usize> {
        if !self.is_terminal() {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
        (size.ws_col > 0).then_some(usize::from(size.ws_col))
    }

    /// Writes a text.
    ///
    /// # Errors
    /// When the disk is full, or nobody reads.
    pub fn write(&mut self, text: &str) -> std::io::Result<()> {
        match self {
            Self::Standard(out) => out.write_all(text.as_bytes()),
            Self::File(_, out) => out.write_all(text.as_bytes()),
        }
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Standard(out) => out.flush(),
            Self::File(_, out) => out.flush(),
        }
    }
}
