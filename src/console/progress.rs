//! The line on stderr that says how far a long statement is; erased before anything else is printed.

use std::io::{IsTerminal, Write};
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// Shorter statements need no line.
const FIRST_AFTER: Duration = Duration::from_secs(1);
const THEN_EVERY: Duration = Duration::from_millis(250);

/// The progress of one statement.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    ticks: Interval,
    n_rows: u64,
    /// What the server says about the statement.
    note: Option<String>,
    is_terminal: bool,
    is_shown: bool,
}

impl Progress {
    /// Starts the clock.
    pub fn start() -> Self {
        let started = Instant::now();
        let mut ticks = interval_at(started + FIRST_AFTER, THEN_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { started, ticks, n_rows: 0, note: None, is_terminal: std::io::stderr().is_terminal(), is_shown: false }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Rows seen so far.
    pub fn add(&mut self, n_rows: usize) {
        self.n_rows += n_rows as u64;
    }

    /// Ends when the line is due.
    pub async fn due(&mut self) {
        self.ticks.tick().await;
    }

    /// Whether somebody can see the line.
    pub fn is_visible(&self) -> bool {
        self.is_terminal
    }

    /// What the line says besides the time from now on; the last note stays when there is no new one.
    pub fn say(&mut self, note: Option<String>) {
        self.note = note.or(self.note.take());
    }

    /// Draws the line, on a terminal only.
    pub fn draw(&mut self) {
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r{}\x1b[K", line(self.n_rows, self.note.as_deref(), self.elapsed()));
            self.is_shown = true;
        }
    }

    /// Takes the line away.
    pub fn erase(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(n_rows: u64, note: Option<&str>, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    match n_rows {
        0 if note.is_some() => format!("{}, {seconds:.1} s", note.unwrap_or_default()),
        0 => format!("{seconds:.1} s"),
        1 => format!("1 row, {seconds:.1} s"),
        _ => format!("{} rows, {seconds:.1} s", grouped(n_rows)),
    }
}

/// `12,345,678`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (digit_idx, digit) in digits.chars().enumerate() {
        if digit_idx > 0 && (digits.len() - digit_idx).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `Time: 12.345 ms`, as psql prints it.
pub fn timing(elapsed: Duration) -> String {
    let milliseconds = elapsed.as_secs_f64() * 1000.0;
    let seconds = elapsed.as_secs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, elapsed.as_secs_f64() % 60.0);
    match seconds {
        0 => format!("Time: {milliseconds:.3} ms"),
        1..3600 => format!("Time: {milliseconds:.3} ms ({minutes:02}:{rest:06.3})"),
        _ => format!("Time: {milliseconds:.3} ms ({hours:02}:{minutes:02}:{rest:06.3})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_rows_and_seconds() {
        assert_eq!(line(0, None, Duration::from_millis(1_234)), "1.2 s");
        assert_eq!(line(0, Some("reading"), Duration::from_millis(1_234)), "reading, 1.2 s");
        assert_eq!(line(1, None, Duration::from_secs(2)), "1 row, 2.0 s");
        assert_eq!(line(1_234_567, None, Duration::from_secs(75)), "1,234,567 rows, 75.0 s");
        assert_eq!(line(999, None, Duration::from_secs(1)), "999 rows, 1.0 s");
    }

    #[test]
    fn timing_is_that_of_psql() {
        assert_eq!(timing(Duration::from_micros(12_345)), "Time: 12.345 ms");
        assert_eq!(timing(Duration::from_millis(62_500)), "Time: 62500.000 ms (01:02.500)");
        assert_eq!(timing(Duration::from_secs(3_723)), "Time: 3723000.000 ms (01:02:03.000)");
    }
}
