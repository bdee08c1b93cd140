//! Ctrl-C while a statement runs: the server is asked to stop it, and the console goes on.

use super::client::Client;
use super::failure::Failure;
use super::progress::Progress;
use super::training;
use crate::error::{Code, Error};
use arrow_flight::FlightInfo;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long the server may take to say that it stopped.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// The presses of Ctrl-C.
#[derive(Debug)]
pub struct Interrupts {
    presses: Signal,
}

impl Interrupts {
    /// From now on Ctrl-C does not end the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { presses: signal(SignalKind::interrupt())? })
    }

    /// The next press.
    pub async fn pressed(&mut self) {
        self.presses.recv().await;
    }

    /// Forgets presses that nothing waited for.
    pub fn forget(&mut self) {
        while self.presses.recv().now_or_never().is_some() {}
    }

    /// Waits for `work`, unless Ctrl-C comes first.
    ///
    /// # Errors
    /// `Interrupted` after Ctrl-C, and what `work` says.
    pub async fn or<T>(&mut self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.pressed() => Err(interrupted()),
            result = work => result,
        }
    }
}

/// What the user sees after Ctrl-C.
pub fn interrupted() -> Failure {
    Failure::Interrupted(Error::new(Code::Cancelled, "the statement was cancelled"))
}

/// The answer to the question that is open; never, without one.
async fn answer(look: &mut Option<BoxFuture<'_, Option<String>>>) -> Option<String> {
    match look {
        Some(look) => look.await,
        None => std::future::pending().await,
    }
}

/// A statement that runs on the server.
pub struct Running<'a> {
    pub client: Client,
    pub interrupts: &'a mut Interrupts,
    pub progress: Progress,
    /// What to cancel; `None` while there is nothing on the server but planning.
    pub info: Option<FlightInfo>,
    /// Asks the server how far the statement is, while it runs.
    pub watch: Option<String>,
    is_cancelled: bool,
}

impl<'a> Running<'a> {
    /// A statement that is about to be prepared.
    pub fn new(client: Client, interrupts: &'a mut Interrupts) -> Self {
        Self { client, interrupts, progress: Progress::start(), info: None, watch: None, is_cancelled: false }
    }

    /// Waits for a step of the statement, drawing progress. Ctrl-C cancels the statement on the server and
    /// then waits for what becomes of this step, for a while: an INSERT may have been faster.
    ///
    /// # Errors
    /// `Interrupted` after Ctrl-C, unless the step came to its end all the same; and what the step says.
    pub async fn wait<T>(&mut self, step: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let mut step = std::pin::pin!(step);
        // One question at a time; a slow answer holds up nothing.
        let mut look: Option<BoxFuture<'_, Option<String>>> = None;
        let result = loop {
            tokio::select! {
                biased;
                () = self.interrupts.pressed() => break self.cancel(step).await,
                result = &mut step => break result,
                () = self.progress.due() => {
                    self.progress.draw();
                    if look.is_none() && self.progress.is_visible() {
                        look = self.watch.clone().map(|sql| training::note(self.client.clone(), sql).boxed());
                    }
                }
                note = answer(&mut look) => {
                    look = None;
                    self.progress.say(note);
                }
            }
        };
        self.progress.erase();
        match result {
            // The server's own words for it are no better.
            Err(Failure::Statement(_)) if self.is_cancelled => Err(interrupted()),
            result => result,
        }
    }

    /// Whether Ctrl-C was pressed: what still arrives is not printed.
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    async fn cancel<T>(&mut self, step: std::pin::Pin<&mut impl Future<Output = Result<T, Failure>>>) -> Result<T, Failure> {
        self.progress.erase();
        self.is_cancelled = true;
        // Without a name for the server the dropped call is the message.
        let Some(info) = self.info.clone() else { return Err(interrupted()) };
        let client = self.client.clone();
        let cancelled = async {
            // An error says that the statement is over already: the step knows.
            let (_, result) = futures::future::join(client.cancel(info), step).await;
            result
        };
        tokio::select! {
            biased;
            () = self.interrupts.pressed() => Err(interrupted()),
            result = tokio::time::timeout(CANCEL_TIMEOUT, cancelled) => result.unwrap_or_else(|_| Err(interrupted())),
        }
    }
}
