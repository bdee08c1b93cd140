//! Wall and processor seconds of a piece of work.

use std::time::Instant;

/// Linux counts processor time for user space in hundredths of a second, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running measurement.
pub struct Clock {
    start: Instant,
    cpu_start: Option<f64>,
}

impl Clock {
    /// Starts measuring.
    pub fn start() -> Self {
        Self { cpu_start: cpu_seconds(), start: Instant::now() }
    }

    /// Wall seconds, and processor seconds of all threads where the system tells (Linux).
    pub fn stop(self) -> (f64, Option<f64>) {
        let wall = self.start.elapsed().as_secs_f64();
        (wall, cpu_seconds().zip(self.cpu_start).map(|(end, start)| end - start))
    }
}

/// What all threads of this process used so far, ended ones too, in user space and kernel.
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, which may hold anything.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}
