//! Passwords: verifiers are made and checked, the password itself is nowhere.
//!
//! Both verifiers are made when a password is set, because one cannot be derived from the other: argon2id for
//! doors that are sent the password, SCRAM-SHA-256 for PostgreSQL clients that prove they know it.

use super::backoff::Backoff;
use crate::catalog::User;
use crate::config::Secret;
use crate::error::{Code, Error, Result};
use crate::telemetry::metrics::{AUTH_FAILURES_TOTAL, LOGINS_TOTAL};
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use rand::{Rng, RngCore};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Semaphore;

/// Iterations of PBKDF2 in a SCRAM verifier; the client does them at each login. RFC 7677 asks for 4,096 or more.
const SCRAM_ITERATIONS: u32 = 10_000;
const SALT_BYTES: usize = 16;

/// OWASP's first choice for argon2id: 19 MiB, two passes, one lane.
const ARGON2_MEMORY_KIB: u32 = 19_456;
const ARGON2_PASSES: u32 = 2;
const ARGON2_LANES: u32 = 1;

/// A verifier that no password fits, for users that do not exist: checking it costs the same.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A longer password is a mistake or an attack.
const PASSWORD_BYTES_MAX: usize = 1_024;

/// Logins that wait for their turn; more are refused at once.
const WAITING_MAX: usize = 64;

/// What is stored for a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifiers {
    /// argon2id, PHC text.
    pub argon2: String,
    /// `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`.
    pub scram: String,
}

impl std::fmt::Debug for Verifiers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifiers { *** }")
    }
}

/// Makes and checks passwords, one at a time: a flood of logins cannot take more than one core.
#[derive(Debug)]
pub struct Passwords {
    turn: Semaphore,
    waiting: Semaphore,
    backoff: Mutex<Backoff>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), waiting: Semaphore::new(WAITING_MAX), backoff: Mutex::default() }
    }
}

impl Passwords {
    /// Nobody has failed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the verifiers of a new password.
    pub async fn set(&self, password: Secret) -> Result<Verifiers> {
        let _turn = self.turn.acquire().await.map_err(|_| stopping())?;
        on_blocking_thread(move || make_verifiers(&password)).await?
    }

    /// Checks a password. `user` is what the catalog has under `name`, if anything.
    ///
    /// The answer for an unknown user and for a wrong password is the same and takes the same work.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`], and [`Code::LimitExceeded`] after too many failures.
    pub async fn verify(&self, name: &str, user: Option<&User>, address: IpAddr, password: Secret) -> Result<()> {
        let _waiting = self.waiting.try_acquire().map_err(|_| {
            Error::new(Code::LimitExceeded, "too many logins at once")
                .detail(format!("{WAITING_MAX} logins are waiting."))
                .hint("Try again in a few seconds.")
        })?;
        let _turn = self.turn.acquire().await.map_err(|_| stopping())?;
        // Only now: attempts that were sent all at once wait for the failures before them.
        let wait = self.backoff(|backoff| backoff.wait(name, address, Instant::now()));
        if !wait.is_zero() {
            return Err(
                Error::new(Code::LimitExceeded, "too many failed logins").hint(format!("Try again in {} s.", wait.as_secs_f64().ceil()))
            );
        }
        let verifier = user.and_then(|user| user.argon2.clone());
        let is_known = verifier.is_some();
        let verifier = verifier.unwrap_or_else(|| NOBODY.to_owned());
        let fits = on_blocking_thread(move || fits(&verifier, &password)).await?;
        if fits && is_known {
            self.backoff(|backoff| backoff.succeeded(name));
            LOGINS_TOTAL.increment();
            return Ok(());
        }
        AUTH_FAILURES_TOTAL.increment();
        self.backoff(|backoff| backoff.failed(name, address, Instant::now()));
        Err(wrong())
    }

    fn backoff<T>(&self, act: impl FnOnce(&mut Backoff) -> T) -> T {
        act(&mut self.backoff.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The one answer to a login that did not work.
pub fn wrong() -> Error {
    Error::new(Code::Unauthenticated, "the user name or the password is wrong")
}

/// A random password that can be read aloud and typed: 24 of 57 characters, 140 bits.
pub fn generate() -> Secret {
    // Without 0 O 1 l I, which look alike.
    const LETTERS: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    const LENGTH: usize = 24;
    let mut random = rand::rng();
    Secret::new((0..LENGTH).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect::<String>())
}

/// Refuses a password that cannot be used.
fn check_password(password: &Secret) -> Result<()> {
    let bytes = password.expose().len();
    if bytes == 0 {
        return Err(Error::new(Code::InvalidParameter, "the password cannot be empty"));
    }
    if bytes > PASSWORD_BYTES_MAX {
        return Err(Error::new(Code::InvalidParameter, "the password is too long")
            .detail(format!("It has {bytes} bytes, the limit is {PASSWORD_BYTES_MAX}.")));
    }
    Ok(())
}

/// Makes both verifiers with fresh salts. Slow by design: call it on a thread that may block.
pub fn make_verifiers(password: &Secret) -> Result<Verifiers> {
    check_password(password)?;
    let failed = |error: &dyn std::fmt::Display| Error::internal(format!("could not hash a password: {error}"));
    let mut salt = [0_u8; SALT_BYTES];
    rand::rng().fill_bytes(&mut salt);
    let salt = SaltString::encode_b64(&salt).map_err(|error| failed(&error))?;
    let hash = argon2()?.hash_password(password.expose().as_bytes(), &salt).map_err(|error| failed(&error))?;
    let mut salt = [0_u8; SALT_BYTES];
    rand::rng().fill_bytes(&mut salt);
    Ok(Verifiers { argon2: hash.to_string(), scram: scram(password.expose(), SCRAM_ITERATIONS, &salt) })
}

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES, None)
        .map_err(|error| Error::internal(format!("the parameters of argon2 are wrong: {error}")))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// True when the password fits the verifier; the comparison takes the same time wherever they differ.
fn fits(verifier: &str, password: &Secret) -> bool {
    // The parameters are those of the verifier, so that old ones stay good when ours change.
    let cut = &password.expose().as_bytes()[..password.expose().len().min(PASSWORD_BYTES_MAX + 1)];
    let verify = |verifier: &str| -> Result<bool> {
        let hash = PasswordHash::new(verifier).map_err(|error| Error::internal(error.to_string()))?;
        Ok(argon2()?.verify_password(cut, &hash).is_ok())
    };
    verify(verifier).unwrap_or_else(|error| {
        tracing::error!(error = %error, "a stored password verifier is not readable");
        false
    })
}

/// The SCRAM-SHA-256 verifier as PostgreSQL stores it (RFC 5802, section 3; RFC 7677).
///
/// The password is taken as it is, without SASLprep: for ASCII that is the same.
fn scram(password: &str, iterations: u32, salt: &[u8]) -> String {
    let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), salt, iterations);
    let stored_key = Sha256::digest(hmac(&salted, b"Client Key"));
    let server_key = hmac(&salted, b"Server Key");
    format!("SCRAM-SHA-256${iterations}:{}${}:{}", STANDARD.encode(salt), STANDARD.encode(stored_key), STANDARD.encode(server_key))
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Runs hashing away from the threads that answer queries.
async fn on_blocking_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| if error.is_panic() { Error::internal("hashing a password panicked") } else { stopping() })
}

fn stopping() -> Error {
    Error::new(Code::Unavailable, "the server is shutting down")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn user(verifiers: Option<&Verifiers>) -> User {
        let (argon2, scram) = (verifiers.map(|v| v.argon2.clone()), verifiers.map(|v| v.scram.clone()));
        User { name: "ann".into(), admin: false, argon2, scram, created_ms: 0 }
    }

    #[tokio::test]
    async fn a_wrong_password_an_unknown_user_and_a_user_without_password_get_the_same_answer() {
        let passwords = Passwords::new();
        let verifiers = passwords.set(Secret::new("correct horse")).await.unwrap();
        let ann = user(Some(&verifiers));
        let attempts = [(Some(&ann), "wrong horse"), (Some(&ann), ""), (None, "correct horse"), (Some(&user(None)), "correct horse")];
        for (idx, (user, password)) in attempts.into_iter().enumerate() {
            let error = passwords.verify(&format!("name{idx}"), user, HOME, Secret::new(password)).await.unwrap_err();
            assert_eq!(error, wrong(), "attempt {idx}");
        }
        passwords.verify("ann", Some(&ann), HOME, Secret::new("correct horse")).await.unwrap();
    }

    #[tokio::test]
    async fn attempts_sent_at_once_run_into_the_wait() {
        let passwords = Passwords::new();
        let attempts = (0..8).map(|_| passwords.verify("ann", None, HOME, Secret::new("guess")));
        let codes: Vec<_> = futures::future::join_all(attempts).await.into_iter().map(|result| result.unwrap_err().code).collect();
        assert_eq!(codes.iter().filter(|code| **code == Code::Unauthenticated).count(), 4, "{codes:?}");
        assert_eq!(codes.iter().filter(|code| **code == Code::LimitExceeded).count(), 4, "{codes:?}");
    }

    #[tokio::test]
    async fn a_flood_is_refused_instead_of_queued() {
        let passwords = Passwords::new();
        let _busy = passwords.turn.acquire().await.unwrap();
        let mut waiting: Vec<_> =
            (0..WAITING_MAX).map(|n| Box::pin(passwords.verify("ann", None, HOME, Secret::new(n.to_string())))).collect();
        for attempt in &mut waiting {
            assert!(futures::poll!(attempt).is_pending());
        }
        let error = passwords.verify("ann", None, HOME, Secret::new("x")).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (Code::LimitExceeded, "too many logins at once"));
    }

    #[tokio::test]
    async fn unusable_passwords_are_refused() {
        let passwords = Passwords::new();
        for password in [String::new(), "x".repeat(PASSWORD_BYTES_MAX + 1)] {
            assert_eq!(passwords.set(Secret::new(password)).await.unwrap_err().code, Code::InvalidParameter);
        }
    }

    #[test]
    fn a_verifier_that_cannot_be_read_fits_nothing() {
        for verifier in
            ["", "plain", "$argon2id$v=19$m=19456,t=2,p=1$AAAA", "$argon2id$v=19$m=99999999999,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA"]
        {
            assert!(!fits(verifier, &Secret::new(verifier)), "{verifier}");
        }
    }

    #[test]
    fn the_dummy_verifier_costs_what_a_real_one_costs() {
        let verifiers = make_verifiers(&Secret::new("x")).unwrap();
        let (nobody, real) = (PasswordHash::new(NOBODY).unwrap(), PasswordHash::new(&verifiers.argon2).unwrap());
        assert_eq!((nobody.algorithm, nobody.version, &nobody.params), (real.algorithm, real.version, &real.params));
        let lengths = |hash: &PasswordHash<'_>| (hash.salt.unwrap().as_str().len(), hash.hash.unwrap().len());
        assert_eq!(lengths(&nobody), lengths(&real));
        assert!(!fits(NOBODY, &Secret::new("")));
    }

    /// RFC 7677, section 3: user "user", password "pencil". The stored key and the server key must reproduce its
    /// proof and its server signature.
    #[test]
    fn scram_agrees_with_the_example_of_the_standard() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = scram("pencil", 4_096, &salt);
        let (head, keys) = verifier.rsplit_once('$').unwrap();
        assert_eq!(head, "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==");
        let (stored, server) = keys.split_once(':').unwrap();
        let (stored, server) = (STANDARD.decode(stored).unwrap(), STANDARD.decode(server).unwrap());
        let auth_message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
             r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
             c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        assert_eq!(STANDARD.encode(hmac(&server, auth_message.as_bytes())), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        // The proof is the client key, hidden by the client signature.
        let proof = STANDARD.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let signature = hmac(&stored, auth_message.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        assert_eq!(Sha256::digest(client_key).as_slice(), stored);
    }

    #[test]
    fn generated_passwords_are_long_and_differ() {
        let (one, other) = (generate(), generate());
        assert_eq!(one.expose().len(), 24);
        assert_ne!(one.expose(), other.expose());
        let verifiers = make_verifiers(&one).unwrap();
        assert!(fits(&verifiers.argon2, &one) && !fits(&verifiers.argon2, &other));
        assert_ne!(make_verifiers(&one).unwrap(), verifiers, "salts are fresh");
        assert!(!format!("{verifiers:?}").contains("argon2id"));
    }

    #[test]
    fn known_and_unknown_users_take_about_the_same_time() {
        let verifiers = make_verifiers(&Secret::new("right")).unwrap();
        let fastest = |verifier: &str| {
            let once = |_| {
                let start = Instant::now();
                assert!(!fits(verifier, &Secret::new("guess")));
                start.elapsed()
            };
            (0..5).map(once).min().unwrap_or(Duration::MAX).as_secs_f64()
        };
        let ratio = fastest(&verifiers.argon2) / fastest(NOBODY);
        // Other work on the machine disturbs a single measure; skipping the hash would give a ratio of thousands.
        assert!((0.2..5.0).contains(&ratio), "known over unknown: {ratio}");
    }
}
