//! Users and secrets.

use crate::catalog::{Change, Secret, SecretSource, User};
use crate::engine::dispatch::Call;
use crate::engine::queries::now_ms;
use crate::error::{Code, Error, Result};
use crate::parser::{self, Password};

/// Runs CREATE USER.
pub async fn create(call: &Call<'_>, name: &str, if_not_exists: bool, password: Option<&Password>, admin: bool) -> Result<()> {
    let Some(password) = password else {
        return Err(Error::new(Code::InvalidStatement, format!("user \"{name}\" needs a password")).hint("CREATE USER name PASSWORD '..'."));
    };
    let verifiers = verifiers(call, password).await?;
    let user = User { name: name.to_owned(), admin, argon2: Some(verifiers.argon2), scram: Some(verifiers.scram), created_ms: now_ms() };
    call.session
        .engine()
        .catalog()
        .update(move |snapshot| match snapshot.users.contains_key(name) {
            true if if_not_exists => Ok((Vec::new(), ())),
            true => {
                Err(Error::new(Code::DuplicateObject, format!("user \"{name}\" already exists")).hint("ALTER USER changes its password."))
            }
            false => Ok((vec![Change::PutUser(user.clone())], ())),
        })
        .await
}

async fn verifiers(call: &Call<'_>, password: &Password) -> Result<crate::auth::Verifiers> {
    call.session.engine().passwords().set(crate::config::Secret::new(password.0.clone())).await
}

/// Runs ALTER USER.
pub async fn alter(call: &Call<'_>, name: &str, password: Option<&Password>, admin: Option<bool>) -> Result<()> {
    let verifiers = match password {
        Some(password) => Some(verifiers(call, password).await?),
        None => None,
    };
    call.session
        .engine()
        .catalog()
        .update(move |snapshot| {
            let Some(user) = snapshot.users.get(name) else { return Err(undefined(snapshot, name)) };
            let mut user = (**user).clone();
            if let Some(verifiers) = &verifiers {
                user.argon2 = Some(verifiers.argon2.clone());
                user.scram = Some(verifiers.scram.clone());
            }
            user.admin = admin.unwrap_or(user.admin);
            last_administrator(snapshot, name, user.admin)?;
            Ok((vec![Change::PutUser(user)], ()))
        })
        .await
}

/// Runs DROP USER.
pub async fn drop(call: &Call<'_>, name: &str, if_exists: bool) -> Result<()> {
    call.session
        .engine()
        .catalog()
        .update(move |snapshot| match snapshot.users.contains_key(name) {
            false if if_exists => Ok((Vec::new(), ())),
            false => Err(undefined(snapshot, name)),
            true => {
                last_administrator(snapshot, name, false)?;
                Ok((vec![Change::DropUser(name.to_owned())], ()))
            }
        })
        .await
}

/// Without an administrator nobody could make one again.
fn last_administrator(snapshot: &crate::catalog::Snapshot, name: &str, stays: bool) -> Result<()> {
    let other = snapshot.users.values().any(|user| user.admin && user.name != name);
    if !stays && !other {
        return Err(Error::new(Code::WrongObject, format!("user \"{name}\" is the last administrator"))
            .hint("Make another user an administrator first."));
    }
    Ok(())
}

fn undefined(snapshot: &crate::catalog::Snapshot, name: &str) -> Error {
    Error::unknown(Code::UndefinedObject, format!("user \"{name}\" does not exist"), name, snapshot.users.keys().map(String::as_str))
}

/// Runs CREATE SECRET: the value stays where it is, and must be readable now. What uses a replaced secret takes the new
/// value when it is started next.
pub async fn create_secret(
    call: &Call<'_>,
    name: &str,
    or_replace: bool,
    if_not_exists: bool,
    source: &parser::SecretSource,
) -> Result<()> {
    let source = match source {
        parser::SecretSource::Env(variable) => {
            if std::env::var_os(variable).is_none() {
                return Err(Error::new(Code::InvalidParameter, format!("the server has no environment variable \"{variable}\"")));
            }
            SecretSource::Env(variable.clone())
        }
        parser::SecretSource::File(path) => {
            // Opened, not only looked at: a file that the server may not read is of no use.
            let is_file = std::fs::File::open(path)
                .and_then(|file| file.metadata())
                .map_err(|error| Error::new(Code::Io, format!("could not read the file of secret \"{name}\": {}", error.kind())))?
                .is_file();
            if !is_file {
                return Err(Error::new(Code::Io, format!("could not read the file of secret \"{name}\": it is not a file")));
            }
            SecretSource::File(path.clone())
        }
    };
    let secret = Secret { name: name.to_owned(), source, created_ms: now_ms() };
    call.session
        .engine()
        .catalog()
        .update(move |snapshot| match snapshot.secret(name).is_ok() {
            true if if_not_exists => Ok((Vec::new(), ())),
            true if !or_replace => Err(Error::new(Code::DuplicateObject, format!("secret \"{name}\" already exists"))
                .hint("CREATE OR REPLACE SECRET says where its value is found now.")),
            _ => Ok((vec![Change::PutSecret(secret.clone())], ())),
        })
        .await
}

/// A streaming table whose source needs the secret.
fn user_of_secret<'a>(snapshot: &'a crate::catalog::Snapshot, name: &str) -> Option<&'a crate::catalog::Table> {
    let needs = |table: &crate::catalog::Table| {
        table.stream.iter().flat_map(|stream| &stream.secret_options).any(|(_, secret)| secret.eq_ignore_ascii_case(name))
    };
    snapshot.tables.values().map(AsRef::as_ref).find(|table| needs(table))
}

/// Runs DROP SECRET.
pub async fn drop_secret(call: &Call<'_>, name: &str, if_exists: bool) -> Result<()> {
    call.session
        .engine()
        .catalog()
        .update(move |snapshot| match snapshot.secret(name) {
            Ok(_) => match user_of_secret(snapshot, name) {
                Some(table) => Err(Error::new(Code::WrongObject, format!("secret \"{name}\" is in use"))
                    .detail(format!("The streaming table \"{}.{}\" needs it.", table.database, table.name))
                    .hint("Drop the table first; CREATE OR REPLACE SECRET gives the secret another value.")),
                None => Ok((vec![Change::DropSecret(name.to_owned())], ())),
            },
            Err(_) if if_exists => Ok((Vec::new(), ())),
            Err(error) => Err(error),
        })
        .await
}
