//! Bearer tokens: random, kept only as a hash, gone after idleness or age, bounded in number.

use crate::config::Secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Random bytes of a token: nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;

/// The hash is the key: finding an entry by comparison tells nothing about the token.
type Key = [u8; 32];

/// Limits of all tokens.
#[derive(Debug, Clone, Copy)]
pub struct TokenLimits {
    /// A token that is not used for this long is gone.
    pub idle: Duration,
    /// A token of this age is gone.
    pub lifetime: Duration,
    /// When there are more, the one idle for the longest time is gone.
    pub count_max: usize,
}

#[derive(Debug)]
struct Entry<S> {
    user: String,
    value: S,
    issued: Instant,
    used: Instant,
}

/// The tokens that were issued, each with what it stands for (a session).
#[derive(Debug)]
pub struct Tokens<S> {
    limits: TokenLimits,
    entries: Mutex<HashMap<Key, Entry<S>>>,
}

impl<S: Clone> Tokens<S> {
    /// No tokens yet.
    pub fn new(limits: TokenLimits) -> Self {
        Self { limits, entries: Mutex::default() }
    }

    /// Makes a token for a value. The text is shown to the client once, and kept nowhere.
    pub fn issue(&self, user: &str, value: S, now: Instant) -> Secret {
        let mut bytes = [0_u8; TOKEN_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        let token = Secret::new(URL_SAFE_NO_PAD.encode(bytes));
        let mut entries = self.lock();
        if entries.len() >= self.limits.count_max {
            entries.retain(|_, entry| !self.is_expired(entry, now));
        }
        while entries.len() >= self.limits.count_max.max(1) {
            let Some(oldest) = entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key) else { break };
            entries.remove(&oldest);
        }
        entries.insert(hash(token.expose()), Entry { user: user.to_owned(), value, issued: now, used: now });
        token
    }

    /// The value of a token that is still good; its idle time starts afresh.
    pub fn find(&self, token: &str, now: Instant) -> Option<S> {
        let key = hash(token);
        let mut entries = self.lock();
        let entry = entries.get_mut(&key)?;
        if self.is_expired(entry, now) {
            entries.remove(&key);
            return None;
        }
        entry.used = entry.used.max(now);
        Some(entry.value.clone())
    }

    /// Ends one token; returns what it stood for.
    pub fn revoke(&self, token: &str) -> Option<S> {
        self.lock().remove(&hash(token)).map(|entry| entry.value)
    }

    /// Ends all tokens of a user: the password was changed, or the user dropped.
    pub fn revoke_user(&self, user: &str) -> Vec<S> {
        self.lock().extract_if(|_, entry| entry.user == user).map(|(_, entry)| entry.value).collect()
    }

    /// Takes out what has expired, so that sessions end also when nobody asks for them.
    pub fn sweep(&self, now: Instant) -> Vec<S> {
        self.lock().extract_if(|_, entry| self.is_expired(entry, now)).map(|(_, entry)| entry.value).collect()
    }

    /// Tokens that were issued and not removed yet.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// True when no token is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_expired(&self, entry: &Entry<S>, now: Instant) -> bool {
        now.saturating_duration_since(entry.used) >= self.limits.idle || now.saturating_duration_since(entry.issued) >= self.limits.lifetime
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry<S>>> {
        // Every change of the map is one call: a panic cannot leave it half-done.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(token: &str) -> Key {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);
    const LIFETIME: Duration = Duration::from_secs(200);

    fn tokens(count_max: usize) -> Tokens<u32> {
        Tokens::new(TokenLimits { idle: IDLE, lifetime: LIFETIME, count_max })
    }

    #[test]
    fn wrong_tokens_find_nothing() {
        let (tokens, now) = (tokens(9), Instant::now());
        let token = tokens.issue("ann", 1, now);
        let mut cut = token.expose().to_owned();
        cut.pop();
        for wrong in ["", "x", &cut, &format!("{} ", token.expose()), &token.expose().to_lowercase()] {
            assert_eq!(tokens.find(wrong, now), None, "{wrong}");
        }
        assert_eq!(tokens.find(token.expose(), now), Some(1));
        assert_eq!(format!("{token:?} {token}"), "*** ***");
    }

    #[test]
    fn idleness_slides_and_age_does_not() {
        let (tokens, start) = (tokens(9), Instant::now());
        let token = tokens.issue("ann", 1, start);
        for seconds in [50, 100, 150, 199] {
            assert_eq!(tokens.find(token.expose(), start + Duration::from_secs(seconds)), Some(1), "{seconds} s");
        }
        assert_eq!(tokens.find(token.expose(), start + LIFETIME), None);
        let token = tokens.issue("ann", 2, start);
        assert_eq!(tokens.find(token.expose(), start + IDLE), None);
        // Gone for good, whatever the time.
        assert_eq!(tokens.find(token.expose(), start), None);
        assert!(tokens.is_empty());
    }

    #[test]
    fn the_longest_idle_one_makes_room() {
        let (tokens, start) = (tokens(2), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = tokens.issue("ann", 1, at(0));
        let second = tokens.issue("ann", 2, at(1));
        tokens.find(first.expose(), at(2));
        let third = tokens.issue("ann", 3, at(3));
        assert_eq!([&first, &second, &third].map(|token| tokens.find(token.expose(), at(4))), [Some(1), None, Some(3)]);
        assert_eq!(tokens.len(), 2);
    }

    #[test]
    fn tokens_are_revoked_alone_by_user_and_by_sweep() {
        let (tokens, now) = (tokens(9), Instant::now());
        let ann = tokens.issue("ann", 1, now);
        let other = tokens.issue("ann", 2, now);
        let bob = tokens.issue("bob", 3, now + Duration::from_secs(30));
        assert_eq!((tokens.revoke(ann.expose()), tokens.revoke(ann.expose())), (Some(1), None));
        assert_eq!((tokens.revoke_user("ann"), tokens.find(other.expose(), now)), (vec![2], None));
        assert_eq!(tokens.sweep(now + IDLE), Vec::<u32>::new());
        assert_eq!(tokens.sweep(now + IDLE + Duration::from_secs(30)), [3]);
        assert_eq!(tokens.find(bob.expose(), now), None);
    }
}
