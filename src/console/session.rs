//! One run of the console: what the prompt, scripts and backslash commands share.

use super::client::Client;
use super::connector::Connector;
use super::failure::{self, Exit, Failure};
use super::interrupts::{Interrupts, Running};
use super::output::Output;
use super::print::{Expanded, Options, Printer, Row};
use super::progress::timing;
use super::scan::{Found, Input, Scanner};
use super::tag::tag;
use super::training;
use super::variables::Variables;
use super::{commands, print};
use crate::error::{Code, Error};
use arrow_flight::FlightInfo;
use futures::TryStreamExt;
use std::io::Write;

/// What happens after a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The next line.
    Next,
    /// `\q`: this input is over, with success.
    Quit,
    /// All is over.
    Stop(Exit),
}

/// Where a line of a script stands, for messages.
#[derive(Debug, Clone)]
pub struct Place {
    pub file: String,
    pub line: usize,
}

/// The console.
pub struct Console {
    pub connector: Connector,
    client: Option<Client>,
    pub options: Options,
    pub output: Output,
    pub variables: Variables,
    pub interrupts: Interrupts,
    /// A person types: the console survives every failure.
    pub is_interactive: bool,
    /// The text of a `-c` ends at its first error, whatever ON_ERROR_STOP says.
    pub stops_at_error: bool,
    /// Ctrl-C ended a script: what else the command line asks for is not done.
    pub is_interrupted: bool,
    pub is_timing: bool,
    pub is_quiet: bool,
    /// The statement being typed.
    pub scanner: Scanner,
    /// The last statement that was sent: `\g` alone sends it again.
    pub last_statement: String,
    /// Where the lines come from; `None` at the prompt.
    pub place: Option<Place>,
    /// Scripts inside scripts.
    pub script_depth: usize,
}

impl Console {
    /// A console that is not connected yet.
    pub fn new(connector: Connector, interrupts: Interrupts) -> Self {
        Self {
            connector,
            client: None,
            options: Options::default(),
            output: Output::standard(),
            variables: Variables::default(),
            interrupts,
            is_interactive: false,
            stops_at_error: false,
            is_interrupted: false,
            is_timing: false,
            is_quiet: false,
            scanner: Scanner::default(),
            last_statement: String::new(),
            place: None,
            script_depth: 0,
        }
    }

    /// Connects for the first time.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub async fn connect(&mut self) -> Result<(), Failure> {
        let client = self.interrupts.or(async { self.connector.connect().await.map_err(Failure::Connection) }).await?;
        self.client = Some(client);
        Ok(())
    }

    /// The session; one attempt to make a new one when it was lost.
    async fn client(&mut self) -> Result<Client, Failure> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        self.connect().await?;
        self.say("Connected again. Settings of the earlier session are gone.");
        self.client.clone().ok_or_else(|| Failure::Statement(Error::internal("connected without a session")))
    }

    /// The session, as far as is known.
    pub fn session(&self) -> Option<Client> {
        self.client.clone()
    }

    /// Whether there is one.
    pub fn is_connected(&self) -> bool {
        self.client.is_some()
    }

    /// Ends the session.
    pub async fn close(&mut self) {
        if let Some(client) = self.client.take() {
            client.close_session().await;
        }
    }

    /// Tells a person something that is not a result.
    pub fn say(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Runs a line, with its line feed, or the rest of one.
    pub async fn line(&mut self, line: &str) -> Flow {
        let mut input = Input::new(line);
        loop {
            let flow = match self.scanner.scan(&mut input, &self.variables) {
                Found::End => return Flow::Next,
                Found::Statement(sql) => {
                    let result = self.statement(&sql).await;
                    self.after(result)
                }
                Found::Command => {
                    let text = input.rest().to_owned();
                    let (used, result) = commands::run(self, &text).await;
                    input.skip(used);
                    // A person sees what a command prints before the next prompt.
                    match result.and_then(|flow| self.output.flush().map(|()| flow).map_err(Failure::from)) {
                        Ok(flow) => flow,
                        Err(failure) => self.after(Err(failure)),
                    }
                }
            };
            if flow != Flow::Next {
                return flow;
            }
        }
    }

    /// Sends what has no semicolon at the end of an input.
    pub async fn end_of_input(&mut self) -> Flow {
        if self.scanner.is_empty() {
            self.scanner.take();
            return Flow::Next;
        }
        let sql = self.scanner.take();
        let result = self.statement(&sql).await;
        self.after(result)
    }

    /// Shows a failure and decides how to go on.
    pub fn after(&mut self, result: Result<(), Failure>) -> Flow {
        let Err(failure) = result else { return Flow::Next };
        if failure != Failure::OutputClosed {
            // What was printed so far comes before the message.
            let _ = self.output.flush();
        }
        match failure {
            Failure::OutputClosed => Flow::Stop(Exit::Fatal),
            Failure::Statement(error) => {
                self.report(&error);
                if self.stops_at_error || self.variables.is_on("ON_ERROR_STOP") { Flow::Stop(Exit::Script) } else { Flow::Next }
            }
            Failure::Interrupted(error) => {
                self.report(&error);
                self.is_interrupted = true;
                if self.is_interactive && self.script_depth == 0 { Flow::Next } else { Flow::Stop(Exit::Script) }
            }
            Failure::Connection(error) => {
                self.client = None;
                self.report(&error);
                if self.is_interactive {
                    self.say("The next statement connects again.");
                    Flow::Next
                } else {
                    Flow::Stop(Exit::Connection)
                }
            }
        }
    }

    fn report(&self, error: &Error) {
        let place = self.place.as_ref().map(|place| format!("{}:{}", place.file, place.line));
        self.say(&failure::text(error, place.as_deref()));
    }

    /// Runs a statement and prints its answer.
    ///
    /// # Errors
    /// As the server says, or the terminal.
    pub async fn statement(&mut self, sql: &str) -> Result<(), Failure> {
        let options = self.options.clone();
        self.last_statement = sql.to_owned();
        self.statement_as(sql, options, None).await
    }

    /// Runs a statement; `title` stands above its rows.
    pub async fn statement_as(&mut self, sql: &str, mut options: Options, title: Option<&str>) -> Result<(), Failure> {
        options.terminal_columns = (options.expanded == Expanded::Auto).then(|| self.output.terminal_columns()).flatten();
        let client = self.client().await?;
        let mut running = Running::new(client.clone(), &mut self.interrupts);
        let prepared = running.wait(client.prepare(sql)).await?;
        let result = if prepared.is_update() {
            running.info = Some(prepared.flight_info());
            running.watch = training::watch(sql);
            let count = running.wait(client.update(&prepared)).await;
            count.and_then(|count| {
                if !self.is_quiet {
                    self.output.write(&format!("{}\n", tag(sql, count)))?;
                }
                Ok(())
            })
        } else {
            let mut printer = Printer::new(&options, &prepared.schema);
            if let Some(title) = title.filter(|_| !options.tuples_only && options.format == print::Format::Aligned) {
                self.output.write(&format!("{title}\n"))?;
            }
            let info = running.wait(client.info(&prepared)).await;
            match info {
                Ok(info) => print_rows(&mut running, info, &mut printer, &mut self.output).await,
                Err(failure) => Err(failure),
            }
        };
        let elapsed = running.progress.elapsed();
        if !matches!(result, Err(Failure::Connection(_))) {
            client.close(prepared).await;
        }
        result?;
        if self.is_timing {
            self.output.write(&format!("{}\n", timing(elapsed)))?;
        }
        self.output.flush()?;
        Ok(())
    }

    /// Runs a query of the console itself and returns its rows.
    ///
    /// # Errors
    /// As the server says; `LimitExceeded` when there are more rows than a command needs.
    pub async fn fetch(&mut self, sql: &str) -> Result<Vec<Row>, Failure> {
        const ROWS_MAX: usize = 10_000;
        let client = self.client().await?;
        let mut running = Running::new(client.clone(), &mut self.interrupts);
        let prepared = running.wait(client.prepare(sql)).await?;
        let info = running.wait(client.info(&prepared)).await?;
        running.info = Some(info.clone());
        let mut rows = Vec::new();
        for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
            let mut stream = running.wait(client.rows(ticket)).await?;
            while let Some(batch) = running.wait(async { stream.try_next().await.map_err(Failure::from) }).await? {
                let cells = print::Cells::new(&batch)?;
                for row_idx in 0..batch.num_rows() {
                    rows.push(cells.row(row_idx)?);
                }
                if rows.len() > ROWS_MAX {
                    return Err(Error::new(Code::LimitExceeded, "the server answers more rows than the command needs").into());
                }
            }
        }
        client.close(prepared).await;
        Ok(rows)
    }
}

/// Prints rows while they arrive.
async fn print_rows(running: &mut Running<'_>, info: FlightInfo, printer: &mut Printer, output: &mut Output) -> Result<(), Failure> {
    running.info = Some(info.clone());
    let client = running.client.clone();
    let mut text = String::new();
    for ticket in info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket) {
        let mut stream = running.wait(client.rows(ticket)).await?;
        while let Some(batch) = running.wait(async { stream.try_next().await.map_err(Failure::from) }).await? {
            if running.is_cancelled() {
                return Err(super::interrupts::interrupted());
            }
            running.progress.add(batch.num_rows());
            printer.rows(&batch, &mut text)?;
            output.write(&text)?;
            text.clear();
        }
    }
    printer.finish(&mut text);
    output.write(&text)?;
    Ok(())
}
