//! Scripts: files, standard input, and the texts of `-c`.

use super::failure::{Exit, Failure};
use super::session::{Console, Flow, Place};
use crate::error::{Code, Error};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Scripts that may stand inside scripts: a file that includes itself ends with a message.
const DEPTH_MAX: usize = 16;

/// The lines of a script, read as they are needed.
type Lines = Box<dyn BufRead + Send>;

impl Console {
    /// Runs the text of one `-c`: it ends at its first error.
    pub async fn text(&mut self, text: &str) -> Exit {
        self.stops_at_error = true;
        let mut flow = Flow::Next;
        for line in text.split_inclusive('\n') {
            flow = self.line(line).await;
            if flow != Flow::Next {
                break;
            }
        }
        if flow == Flow::Next {
            flow = self.end_of_input().await;
        }
        self.stops_at_error = false;
        self.scanner.take();
        match ended(flow) {
            // 3 is for scripts.
            Some(Exit::Script) => Exit::Fatal,
            Some(exit) => exit,
            None => Exit::Success,
        }
    }

    /// Runs a file; `-` is standard input.
    ///
    /// # Errors
    /// When the file cannot be opened, or includes itself.
    pub async fn file(&mut self, path: &Path) -> Result<Flow, Failure> {
        if self.script_depth >= DEPTH_MAX {
            return Err(Error::new(Code::LimitExceeded, format!("file \"{}\" is included too deep", path.display()))
                .detail(format!("Scripts may stand {DEPTH_MAX} deep inside each other."))
                .into());
        }
        let (name, lines): (String, Lines) = if path == Path::new("-") {
            ("<stdin>".to_owned(), Box::new(BufReader::new(std::io::stdin())))
        } else {
            let file = File::open(path).and_then(|file| if file.metadata()?.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(file) });
            let file = file.map_err(|error| {
                Error::new(Code::Io, format!("could not read the file \"{}\"", path.display())).detail(format!("The system says: {error}."))
            })?;
            (path.display().to_string(), Box::new(BufReader::new(file)))
        };
        let outer_place = self.place.replace(Place { file: name.clone(), line: 0 });
        let outer_scanner = std::mem::take(&mut self.scanner);
        let outer_stops = std::mem::replace(&mut self.stops_at_error, false);
        self.script_depth += 1;
        let flow = self.lines(&name, lines).await;
        self.stops_at_error = outer_stops;
        self.script_depth -= 1;
        self.scanner = outer_scanner;
        self.place = outer_place;
        Ok(flow)
    }

    async fn lines(&mut self, name: &str, mut lines: Lines) -> Flow {
        let mut n_lines = 0;
        loop {
            // Reading waits for whoever writes into a pipe; Ctrl-C must be heard meanwhile.
            let reading = tokio::task::spawn_blocking(move || {
                let mut line = Vec::new();
                let result = lines.read_until(b'\n', &mut line);
                (lines, line, result)
            });
            let read = self.interrupts.or(async { reading.await.map_err(|_| Failure::from(Error::internal("reading the script ended"))) }).await;
            let (returned, line, result) = match read {
                Ok(read) => read,
                Err(failure) => return self.after(Err(failure)),
            };
            lines = returned;
            n_lines += 1;
            match result {
                Ok(0) => return outcome(self.end_of_input().await),
                Ok(_) => {}
                Err(error) => {
                    let error = Error::new(Code::Io, format!("could not read \"{name}\": {error}"));
                    self.after(Err(error.into()));
                    return Flow::Stop(Exit::Fatal);
                }
            }
            let Ok(line) = String::from_utf8(line) else {
                self.place = Some(Place { file: name.to_owned(), line: n_lines });
                self.after(Err(Error::new(Code::InvalidValue, "the line is not UTF-8").into()));
                return Flow::Stop(Exit::Fatal);
            };
            let line = if n_lines == 1 { line.strip_prefix('\u{feff}').unwrap_or(&line) } else { &line };
            // A message names the line where its statement begins.
            if self.scanner.is_empty() || self.place.is_none() {
                self.place = Some(Place { file: name.to_owned(), line: n_lines });
            }
            match Box::pin(self.line(line)).await {
                Flow::Next => {}
                flow => return outcome(flow),
            }
        }
    }

    /// Runs one file as the whole of the work.
    pub async fn whole_file(&mut self, path: &Path) -> Exit {
        match self.file(path).await {
            Ok(flow) => ended(flow).unwrap_or(Exit::Success),
            Err(failure) => {
                self.after(Err(failure));
                Exit::Fatal
            }
        }
    }
}

/// `\q` in a script ends this script only.
fn outcome(flow: Flow) -> Flow {
    match flow {
        Flow::Quit => Flow::Next,
        flow => flow,
    }
}

fn ended(flow: Flow) -> Option<Exit> {
    match flow {
        Flow::Next => None,
        Flow::Quit => Some(Exit::Success),
        Flow::Stop(exit) => Some(exit),
    }
}
