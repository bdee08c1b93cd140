//! The first administrator, and new passwords: what ties verifiers to the catalog.

use super::password::{Passwords, generate};
use crate::catalog::{Catalog, Change, User};
use crate::config::Secret;
use crate::error::{Code, Error, Result};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The user that the first start makes.
pub const FIRST_ADMIN: &str = "admin";

/// Makes the user `admin` when the catalog has no user at all.
///
/// Its password is that of `password_file`, or a generated one, which is returned: print it once, it is kept
/// nowhere. `None` when there was nothing to tell.
pub async fn ensure_admin(catalog: &Catalog, passwords: &Passwords, password_file: Option<&Path>) -> Result<Option<Secret>> {
    if !catalog.snapshot().users.is_empty() {
        return Ok(None);
    }
    let (password, to_tell) = match password_file {
        Some(file) => (read_password(file)?, None),
        None => {
            let generated = generate();
            (generated.clone(), Some(generated))
        }
    };
    let verifiers = passwords.set(password).await?;
    let made = catalog
        .update(|snapshot| {
            if !snapshot.users.is_empty() {
                return Ok((vec![], false));
            }
            let user = User {
                name: FIRST_ADMIN.into(),
                admin: true,
                argon2: Some(verifiers.argon2.clone()),
                scram: Some(verifiers.scram.clone()),
                created_ms: now_ms(),
            };
            Ok((vec![Change::PutUser(user)], true))
        })
        .await?;
    Ok(to_tell.filter(|_| made))
}

/// Gives a user that exists a new password. Ending the user's sessions is up to the caller.
pub async fn set_password(catalog: &Catalog, passwords: &Passwords, name: &str, password: Secret) -> Result<()> {
    // Before the hashing: a misspelt name is told at once.
    catalog.snapshot().user(name)?;
    let verifiers = passwords.set(password).await?;
    catalog
        .update(|snapshot| {
            let mut user = User::clone(snapshot.user(name)?);
            user.argon2 = Some(verifiers.argon2.clone());
            user.scram = Some(verifiers.scram.clone());
            Ok((vec![Change::PutUser(user)], ()))
        })
        .await
}

/// The first line of a password file.
fn read_password(file: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::new(Code::Io, format!("could not read the password file \"{}\": {error}", file.display())))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Error::new(Code::InvalidParameter, format!("the password file \"{}\" is empty", file.display()))
            .hint("Write the password into its first line."));
    }
    Ok(Secret::new(line))
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    async fn login(catalog: &Catalog, passwords: &Passwords, password: &str) -> Result<()> {
        let snapshot = catalog.snapshot();
        let user = snapshot.users.get(FIRST_ADMIN).map(|user| &**user);
        passwords.verify(FIRST_ADMIN, user, HOME, Secret::new(password)).await
    }

    #[tokio::test]
    async fn a_password_file_that_cannot_be_used_makes_no_user() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&directory.path().join("meta.db")).unwrap();
        let passwords = Passwords::new();
        let file = directory.path().join("password");
        for (text, code) in [(None, Code::Io), (Some(""), Code::InvalidParameter), (Some("\nx\n"), Code::InvalidParameter)] {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let error = ensure_admin(&catalog, &passwords, Some(&file)).await.unwrap_err();
            assert_eq!((error.code, error.message.contains("password\"")), (code, true), "{error}");
            assert!(catalog.snapshot().users.is_empty());
        }
        std::fs::write(&file, "from a file\nsecond line\n").unwrap();
        assert_eq!(ensure_admin(&catalog, &passwords, Some(&file)).await.unwrap(), None);
        login(&catalog, &passwords, "from a file").await.unwrap();
    }

    #[tokio::test]
    async fn a_generated_password_is_told_once_and_survives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("meta.db");
        let passwords = Passwords::new();
        let catalog = Catalog::open(&path).unwrap();
        let generated = ensure_admin(&catalog, &passwords, None).await.unwrap().unwrap();
        assert_eq!(ensure_admin(&catalog, &passwords, None).await.unwrap(), None);
        drop(catalog);
        let catalog = Catalog::open(&path).unwrap();
        login(&catalog, &passwords, generated.expose()).await.unwrap();
        assert!(catalog.snapshot().user(FIRST_ADMIN).unwrap().admin);
        // The password itself is in no file.
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let needle = generated.expose().as_bytes();
            assert!(!bytes.windows(needle.len()).any(|window| window == needle));
        }
        set_password(&catalog, &passwords, FIRST_ADMIN, Secret::new("new one")).await.unwrap();
        login(&catalog, &passwords, generated.expose()).await.unwrap_err();
        login(&catalog, &passwords, "new one").await.unwrap();
        let error = set_password(&catalog, &passwords, "amdin", Secret::new("x")).await.unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("Did you mean \"admin\"?"));
    }
}
