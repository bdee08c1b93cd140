//! CPU time of this process, by groups of threads.

use std::collections::BTreeMap;

/// Linux counts in hundredths of a second whatever its timer does (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds (user and system) of this process, and of its live threads by their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ThreadCpu {
    /// Threads that have ended included.
    process: f64,
    threads: BTreeMap<(u64, String), f64>,
}

impl ThreadCpu {
    /// Reads the kernel's counters now; empty where there are none.
    pub fn now() -> Self {
        let mut threads = BTreeMap::new();
        for entry in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            if let Some((id, name, ticks)) = parse(&stat) {
                threads.insert((id, name), ticks as f64 / TICKS_PER_SECOND);
            }
        }
        let process = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| parse(&stat));
        Self { process: process.map_or(0.0, |(_, _, ticks)| ticks as f64 / TICKS_PER_SECOND), threads }
    }

    /// CPU seconds of the whole process since `before`.
    pub fn all_since(&self, before: &Self) -> f64 {
        self.process - before.process
    }

    /// CPU seconds since `before` of the threads whose names `is_wanted` takes; threads that ended are not counted.
    pub fn since(&self, before: &Self, is_wanted: impl Fn(&str) -> bool) -> f64 {
        let wanted = self.threads.iter().filter(|((_, name), _)| is_wanted(name));
        wanted.map(|(thread, seconds)| seconds - before.threads.get(thread).copied().unwrap_or(0.0)).sum()
    }
}

/// Thread id, name and ticks (user + system) of a line of `stat`.
fn parse(stat: &str) -> Option<(u64, String, u64)> {
    // The name stands in brackets and may hold anything.
    let (id, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((id.parse().ok()?, name.to_owned(), user + system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_and_spaces_are_read() {
        let stat = "42 (rdk:broker 1) x) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0";
        assert_eq!(parse(stat), Some((42, "rdk:broker 1) x".to_owned(), 150)));
    }

    #[test]
    fn a_busy_thread_is_seen_under_its_name() {
        let before = ThreadCpu::now();
        let busy = std::thread::Builder::new().name("busy bee".into()).spawn(move || {
            let begun = ThreadCpu::now();
            let mut n = 0_u64;
            loop {
                n = std::hint::black_box(n.wrapping_mul(31).wrapping_add(7));
                if n.is_multiple_of(1 << 20) && ThreadCpu::now().since(&begun, |name| name == "busy bee") >= 0.05 {
                    return ThreadCpu::now();
                }
            }
        });
        let after = busy.unwrap().join().unwrap();
        assert!(after.since(&before, |name| name == "busy bee") >= 0.05);
        assert!(ThreadCpu::now().all_since(&before) >= 0.05, "also after its end");
    }
}
