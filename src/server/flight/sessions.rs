//! From credentials to a session: tokens, idle expiry, a bounded number.
//!
//! A Bearer token names one engine session. Clients that send a password with every call, and trusted
//! clients that send nothing, get a session per connection, found again by a keyed digest: the
//! password itself is kept nowhere.

use super::statements::Statements;
use crate::engine::Session;
use crate::error::{Code, Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use rand::RngCore;
use sha2::Sha256;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What one client has open: its engine session, prepared statements, tickets and running queries.
#[derive(Debug)]
pub struct ClientSession {
    pub engine: Arc<Session>,
    pub statements: Statements,
}

impl Drop for ClientSession {
    fn drop(&mut self) {
        self.engine.close();
    }
}

/// The digest that finds a session again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey([u8; 32]);

/// Makes session keys with a secret of this process, so that a dump of the table reveals no password.
pub struct KeyMaker([u8; 32]);

impl KeyMaker {
    pub fn new() -> Self {
        let mut secret = [0; 32];
        rand::rng().fill_bytes(&mut secret);
        Self(secret)
    }

    /// The key of a token or of credentials, given as parts.
    pub fn key(&self, parts: &[&[u8]]) -> SessionKey {
        let mut digest = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length is accepted");
        for part in parts {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        SessionKey(digest.finalize().into_bytes().into())
    }
}

impl std::fmt::Debug for KeyMaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyMaker(***)")
    }
}

/// A new Bearer token: 256 random bits as text.
pub fn new_token() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A bounded table whose entries expire when nobody asks for them.
///
/// An entry is in use while somebody outside holds its `Arc`; those neither expire nor make room.
#[derive(Debug)]
pub struct IdleTable<V> {
    entries: Mutex<HashMap<SessionKey, Entry<V>>>,
    entries_max: usize,
    idle_max: Duration,
}

#[derive(Debug)]
struct Entry<V> {
    value: Arc<V>,
    used: Instant,
}

impl<V> Entry<V> {
    fn idle_since(&self, now: Instant) -> Option<Duration> {
        (Arc::strong_count(&self.value) == 1).then(|| now.saturating_duration_since(self.used))
    }
}

/// An entry that was used within this time is not closed to make room for a new one.
const IDLE_BEFORE_EVICTION: Duration = Duration::from_secs(60);

impl<V> IdleTable<V> {
    pub fn new(entries_max: usize, idle_max: Duration) -> Self {
        Self { entries: Mutex::default(), entries_max, idle_max }
    }

    /// The entry, if it is there and has not expired; it counts as used now.
    pub fn get(&self, key: &SessionKey, now: Instant) -> Option<Arc<V>> {
        let mut entries = self.lock();
        let entry = entries.get_mut(key)?;
        if entry.idle_since(now).is_some_and(|idle| idle > self.idle_max) {
            let expired = entries.remove(key);
            drop(entries);
            drop(expired);
            return None;
        }
        entry.used = now;
        Some(Arc::clone(&entry.value))
    }

    /// Adds an entry; the longest idle one makes room. When all are in use, `Code::LimitExceeded`.
    pub fn insert(&self, key: SessionKey, value: Arc<V>, now: Instant) -> Result<()> {
        let mut evicted = None;
        {
            let mut entries = self.lock();
            if entries.len() >= self.entries_max && !entries.contains_key(&key) {
                let oldest = entries
                    .iter()
                    .filter_map(|(key, entry)| Some((*key, entry.idle_since(now)?)))
                    .filter(|(_, idle)| *idle >= IDLE_BEFORE_EVICTION)
                    .max_by_key(|(_, idle)| *idle);
                let Some((oldest, _)) = oldest else {
                    return Err(Error::new(Code::LimitExceeded, "too many sessions are open")
                        .detail(format!("The server holds {} sessions at most.", self.entries_max))
                        .hint("Close sessions that are no longer needed, or raise the limit."));
                };
                evicted = entries.remove(&oldest);
            }
            entries.insert(key, Entry { value, used: now });
        }
        // Closing a session may take a while: not under the lock.
        drop(evicted);
        Ok(())
    }

    /// Takes a session out of the table.
    pub fn remove(&self, key: &SessionKey) -> Option<Arc<V>> {
        self.lock().remove(key).map(|entry| entry.value)
    }

    /// Removes what has expired; returns how many.
    pub fn sweep(&self, now: Instant) -> usize {
        let expired: Vec<_> = {
            let mut entries = self.lock();
            let keys: Vec<_> = entries
                .iter()
                .filter(|(_, entry)| entry.idle_since(now).is_some_and(|idle| idle > self.idle_max))
                .map(|(key, _)| *key)
                .collect();
            keys.iter().filter_map(|key| entries.remove(key)).collect()
        };
        expired.len()
    }

    /// Every entry, in use or not.
    pub fn all(&self) -> Vec<Arc<V>> {
        self.lock().values().map(|entry| Arc::clone(&entry.value)).collect()
    }

    /// Forgets all sessions.
    pub fn clear(&self) {
        let entries = std::mem::take(&mut *self.lock());
        drop(entries);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionKey, Entry<V>>> {
        // No code that can panic runs under this lock, and the table is whole after each step.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE_MAX: Duration = Duration::from_secs(600);

    fn table(entries_max: usize) -> (IdleTable<&'static str>, KeyMaker, Instant) {
        (IdleTable::new(entries_max, IDLE_MAX), KeyMaker::new(), Instant::now())
    }

    #[test]
    fn a_full_table_of_busy_sessions_refuses_and_an_idle_one_makes_room() {
        let (table, keys, start) = table(2);
        let (a, b, c) = (keys.key(&[b"a"]), keys.key(&[b"b"]), keys.key(&[b"c"]));
        table.insert(a, Arc::new("a"), start).unwrap();
        table.insert(b, Arc::new("b"), start).unwrap();
        let soon = start + Duration::from_secs(59);
        assert_eq!(table.insert(c, Arc::new("c"), soon).unwrap_err().code, Code::LimitExceeded, "both were just used");

        let later = start + Duration::from_secs(120);
        let held = table.get(&a, start).unwrap();
        table.insert(c, Arc::new("c"), later).unwrap();
        assert!(table.get(&b, later).is_none(), "the idle one went");
        assert_eq!(*table.get(&a, later).unwrap(), *held, "the one in use stayed");
    }

    #[test]
    fn idle_sessions_expire_and_busy_ones_do_not() {
        let (table, keys, start) = table(10);
        let (a, b) = (keys.key(&[b"a"]), keys.key(&[b"b"]));
        table.insert(a, Arc::new("a"), start).unwrap();
        table.insert(b, Arc::new("b"), start).unwrap();
        let held = table.get(&b, start).unwrap();
        let late = start + IDLE_MAX + Duration::from_secs(1);
        assert_eq!(table.sweep(start + IDLE_MAX), 0);
        assert!(table.get(&a, late).is_none(), "expired although not yet swept");
        assert_eq!(table.sweep(late), 0, "b is held");
        drop(held);
        assert_eq!(table.sweep(late), 1);
    }

    #[test]
    fn keys_differ_by_part_and_by_process() {
        let keys = KeyMaker::new();
        assert_ne!(keys.key(&[b"ab", b"c"]), keys.key(&[b"a", b"bc"]));
        assert_ne!(keys.key(&[b"a"]), KeyMaker::new().key(&[b"a"]));
        assert_eq!(keys.key(&[b"a"]), keys.key(&[b"a"]));
        assert_ne!(new_token(), new_token());
    }
}
