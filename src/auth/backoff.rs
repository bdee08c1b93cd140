//! A wait after failed logins, per user name and per address, in bounded memory.
//!
//! The wait per user stays short: nobody shall be able to lock an administrator out by failing in their name.
//! Names that do not exist are counted like those that do, or the wait would tell them apart.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How a wait grows: `free` failures cost nothing, then the wait doubles from `first` up to `longest`.
#[derive(Debug, Clone, Copy)]
struct Growth {
    free: u32,
    first: Duration,
    longest: Duration,
}

const PER_USER: Growth = Growth { free: 3, first: Duration::from_millis(500), longest: Duration::from_secs(5) };
/// An address can be that of many users behind one router.
const PER_ADDRESS: Growth = Growth { free: 10, first: Duration::from_millis(500), longest: Duration::from_secs(60) };

/// Failures are forgotten after this time without another one.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Names and addresses remembered at once; beyond it the oldest failure is forgotten.
const ENTRIES_MAX: usize = 10_000;

/// A longer user name does not exist, and is not worth remembering whole.
const NAME_BYTES_MAX: usize = 255;

/// The failures of one name or address.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn wait(&self, growth: Growth, now: Instant) -> Duration {
        let Some(doublings) = self.count.checked_sub(growth.free + 1) else { return Duration::ZERO };
        let wait = growth.first.saturating_mul(2_u32.saturating_pow(doublings)).min(growth.longest);
        (self.last + wait).saturating_duration_since(now)
    }

    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= FORGET_AFTER
    }
}

/// Who failed lately.
#[derive(Debug, Default)]
pub struct Backoff {
    users: HashMap<String, Failures>,
    addresses: HashMap<IpAddr, Failures>,
}

impl Backoff {
    /// How long this user at this address must wait before the next attempt is looked at.
    pub fn wait(&self, user: &str, address: IpAddr, now: Instant) -> Duration {
        let user = self.users.get(cut(user)).map_or(Duration::ZERO, |failures| failures.wait(PER_USER, now));
        let address = self.addresses.get(&address).map_or(Duration::ZERO, |failures| failures.wait(PER_ADDRESS, now));
        user.max(address)
    }

    /// Counts a failed attempt.
    pub fn failed(&mut self, user: &str, address: IpAddr, now: Instant) {
        count(&mut self.users, cut(user).to_owned(), now);
        count(&mut self.addresses, address, now);
    }

    /// A login that worked: the user starts afresh. The address does not, or one good account behind it
    /// would let it try all the others without a wait.
    pub fn succeeded(&mut self, user: &str) {
        self.users.remove(cut(user));
    }
}

fn cut(user: &str) -> &str {
    let end = (0..=NAME_BYTES_MAX.min(user.len())).rev().find(|end| user.is_char_boundary(*end));
    &user[..end.unwrap_or(0)]
}

fn count<K: Hash + Eq + Clone>(map: &mut HashMap<K, Failures>, key: K, now: Instant) {
    if map.len() >= ENTRIES_MAX && !map.contains_key(&key) {
        map.retain(|_, failures| !failures.is_forgotten(now));
        if map.len() >= ENTRIES_MAX
            && let Some(oldest) = map.iter().min_by_key(|(_, failures)| failures.last).map(|(key, _)| key.clone())
        {
            map.remove(&oldest);
        }
    }
    let failures = map.entry(key).or_insert(Failures { count: 0, last: now });
    if failures.is_forgotten(now) {
        failures.count = 0;
    }
    *failures = Failures { count: failures.count.saturating_add(1), last: now };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const AWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn the_wait_of_a_user_doubles_up_to_its_limit_and_is_forgotten() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        let mut waits_ms = Vec::new();
        for n in 0..9_u8 {
            let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, n));
            backoff.failed("ann", address, now);
            waits_ms.push(backoff.wait("ann", AWAY, now).as_millis());
        }
        assert_eq!(waits_ms, [0, 0, 0, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        assert_eq!(backoff.wait("ann", AWAY, now + Duration::from_secs(2)), Duration::from_secs(3));
        assert_eq!(backoff.wait("bob", AWAY, now), Duration::ZERO);
        let later = now + FORGET_AFTER;
        backoff.failed("ann", AWAY, later);
        assert_eq!(backoff.wait("ann", AWAY, later), Duration::ZERO);
    }

    #[test]
    fn an_address_that_tries_many_names_waits_even_after_a_login_that_worked() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for n in 0..30 {
            backoff.failed(&format!("user{n}"), HOME, now);
        }
        assert_eq!(backoff.wait("new", HOME, now), PER_ADDRESS.longest);
        backoff.succeeded("mallory");
        assert_eq!(backoff.wait("new", HOME, now), PER_ADDRESS.longest);
        assert_eq!(backoff.wait("new", AWAY, now), Duration::ZERO);
    }

    #[test]
    fn a_user_who_gets_in_starts_afresh() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        (0..5).for_each(|_| backoff.failed("ann", HOME, now));
        assert!(!backoff.wait("ann", HOME, now).is_zero());
        backoff.succeeded("ann");
        assert!(backoff.wait("ann", HOME, now).is_zero());
    }

    #[test]
    fn memory_is_bounded_and_long_names_are_cut_at_a_character() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for n in 0..ENTRIES_MAX as u64 + 5 {
            backoff.failed(&format!("user{n}"), HOME, now + Duration::from_micros(n));
        }
        assert_eq!(backoff.users.len(), ENTRIES_MAX);
        assert!(!backoff.users.contains_key("user0") && backoff.users.contains_key("user10004"));
        let long = "é".repeat(10_000);
        backoff.failed(&long, HOME, now);
        assert!(backoff.users.keys().all(|name| name.len() <= NAME_BYTES_MAX));
    }
}
