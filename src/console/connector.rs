//! Makes sessions: the address, the login, and the question for a password.

use super::address::Address;
use super::arguments::{ConnectionArguments, DEFAULT_URL, PASSWORD_VARIABLE, URL_VARIABLE, USER_VARIABLE};
use super::client::{Client, Login, Refused, open};
use super::password::{self, Secret};
use crate::error::{Code, Error, Result};
use std::io::IsTerminal;

/// The first user of every server.
const DEFAULT_USER: &str = "admin";

/// All that is needed to connect, and to connect again.
#[derive(Debug)]
pub struct Connector {
    address: Address,
    login: Login,
    tls_ca: Option<Vec<u8>>,
    /// Whether a person can be asked.
    may_ask: bool,
}

impl Connector {
    /// From the command line and the environment.
    ///
    /// # Errors
    /// For a URL that is none, and files that cannot be read.
    pub fn new(arguments: &ConnectionArguments) -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let url = arguments.url.clone().or_else(|| variable(URL_VARIABLE));
        let address = Address::parse(url.as_deref().unwrap_or(DEFAULT_URL))?;
        let password = match &arguments.password_file {
            Some(path) => Some(password::of_file(path)?),
            None => variable(PASSWORD_VARIABLE).map(Secret::new),
        };
        let mut user = arguments.user.clone().or_else(|| address.user.clone()).or_else(|| variable(USER_VARIABLE));
        if password.is_some() && user.is_none() {
            user = Some(DEFAULT_USER.to_owned());
        }
        let tls_ca = match &arguments.tls_ca {
            Some(path) => Some(std::fs::read(path).map_err(|error| {
                Error::new(Code::Io, format!("could not read the TLS authority \"{}\"", path.display())).detail(format!("The system says: {error}."))
            })?),
            None => None,
        };
        if tls_ca.is_some() && !address.tls {
            return Err(Error::new(Code::InvalidParameter, format!("--tls-ca is given, but {address} is without TLS")).hint("Write grpc+tls://host:port."));
        }
        let database = arguments.database.clone().or_else(|| address.database.clone());
        let may_ask = !arguments.no_password && std::io::stdin().is_terminal();
        Ok(Self { address, login: Login { user, password, database }, tls_ca, may_ask })
    }

    /// Where the server is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Who logs in; `None` leaves it to the server.
    pub fn user(&self) -> Option<&str> {
        self.login.user.as_deref()
    }

    /// The database that the next session begins in.
    pub fn set_database(&mut self, database: &str) {
        self.login.database = Some(database.to_owned());
    }

    /// Opens a session. Asks for a password when the server wants one and a person is there.
    ///
    /// # Errors
    /// When the server cannot be reached, or does not let us in.
    pub async fn connect(&mut self) -> Result<Client> {
        let channel = open(&self.address, self.tls_ca.as_deref()).await?;
        if self.login.password.is_none() && self.login.user.is_some() {
            // A name without a password is enough for a server that trusts us. Who it does not trust must not
            // send an empty password: that would count as a failed login.
            let nobody = Login { user: None, password: None, database: None };
            match Client::login(channel.clone(), &nobody).await {
                Ok(client) => client.close_session().await,
                Err(Refused::Credentials(error)) => self.ask(error)?,
                Err(Refused::Other(error)) => return Err(error),
            }
        }
        match Client::login(channel.clone(), &self.login).await {
            Ok(client) => Ok(client),
            Err(Refused::Other(error)) => Err(error),
            Err(Refused::Credentials(error)) if self.login.password.is_some() => Err(error),
            Err(Refused::Credentials(error)) => {
                self.ask(error)?;
                let client = Client::login(channel, &self.login).await;
                client.map_err(|refused| {
                    // A wrong password is not tried again by itself; the next attempt asks anew.
                    self.login.password = None;
                    match refused {
                        Refused::Credentials(error) | Refused::Other(error) => error,
                    }
                })
            }
        }
    }

    fn ask(&mut self, refusal: Error) -> Result<()> {
        if !self.may_ask {
            return Err(refusal.hint(format!("Set {PASSWORD_VARIABLE}, or use --password-file; -U names the user.")));
        }
        let user = self.login.user.get_or_insert_with(|| DEFAULT_USER.to_owned());
        self.login.password = Some(password::ask(user)?);
        Ok(())
    }
}
