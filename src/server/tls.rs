//! TLS from PEM files: read, checked as a whole, and explained when something does not fit.

use crate::error::{Code, Error, Result};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The PEM files of a TLS listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by its intermediates.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// With it, every client must show a certificate that one of these authorities signed.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// Reads the files and checks that they belong together.
    pub fn load(&self) -> Result<ServerTlsConfig> {
        install_provider();
        let certificate = read(&self.certificate, "certificate")?;
        let key = read(&self.key, "private key")?;

        let chain = certificates(&certificate, &self.certificate)?;
        let parsed_key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| not_pem(&self.key, "private key", &error))?;
        rustls::sign::CertifiedKey::from_der(chain, parsed_key, &rustls::crypto::ring::default_provider()).map_err(
            |error| match error {
                rustls::Error::InconsistentKeys(_) => Error::new(
                    Code::InvalidParameter,
                    format!("private key \"{}\" does not belong to certificate \"{}\"", self.key.display(), self.certificate.display()),
                ),
                other => Error::new(Code::InvalidParameter, format!("cannot use private key \"{}\": {other}", self.key.display()))
                    .hint("Supply an RSA, ECDSA or Ed25519 key in PKCS#8, PKCS#1 or SEC1 form."),
            },
        )?;

        let mut config = ServerTlsConfig::new().identity(Identity::from_pem(&certificate, &key)).timeout(HANDSHAKE_TIMEOUT);
        if let Some(path) = &self.client_ca {
            let authorities = read(path, "client authority")?;
            certificates(&authorities, path)?;
            config = config.client_ca_root(Certificate::from_pem(&authorities));
        }
        Ok(config)
    }
}

/// rustls wants one cryptography provider per process; whoever comes first installs it.
pub(super) fn install_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error means that another part of the process was quicker with the same choice.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::new(Code::Io, format!("could not read the TLS {what} \"{}\"", path.display())).detail(format!("The system says: {error}."))
    })
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| not_pem(path, "certificate", &error))?;
    if chain.is_empty() {
        return Err(not_pem(path, "certificate", &pem::Error::NoItemsFound));
    }
    Ok(chain)
}

fn not_pem(path: &Path, what: &str, error: &pem::Error) -> Error {
    let error = match error {
        pem::Error::NoItemsFound => Error::new(Code::InvalidParameter, format!("file \"{}\" holds no {what} in PEM form", path.display())),
        other => Error::new(Code::InvalidParameter, format!("file \"{}\" is not valid PEM: {other}", path.display())),
    };
    error.hint(format!("The file must contain a block \"-----BEGIN {}-----\".", what.to_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    struct Pair {
        certificate: String,
        key: String,
    }

    fn pair() -> Pair {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        Pair { certificate: cert.pem(), key: signing_key.serialize_pem() }
    }

    #[track_caller]
    fn check(certificate: Option<&str>, key: &str, expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        let files =
            TlsFiles { certificate: directory.path().join("server.crt"), key: directory.path().join("server.key"), client_ca: None };
        if let Some(certificate) = certificate {
            std::fs::write(&files.certificate, certificate).unwrap();
        }
        std::fs::write(&files.key, key).unwrap();
        match files.load() {
            Ok(_) => assert_eq!(expected, "", "accepted"),
            Err(error) => {
                let message = error.message.replace(&directory.path().display().to_string(), "");
                assert!(!expected.is_empty() && message.contains(expected), "{message}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (one, other) = (pair(), pair());
        check(None, &one.key, "could not read the TLS certificate \"/server.crt\"");
        check(Some("hello"), &one.key, "file \"/server.crt\" holds no certificate in PEM form");
        check(Some(&one.key), &one.key, "file \"/server.crt\" holds no certificate in PEM form");
        check(Some(&one.certificate), "hello", "file \"/server.key\" holds no private key in PEM form");
        check(Some(&one.certificate), &other.key, "does not belong to certificate");
        check(Some(&one.certificate), &one.key, "");
    }

    #[test]
    fn an_empty_client_authority_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (pair, path) = (pair(), |name: &str| directory.path().join(name));
        std::fs::write(path("server.crt"), &pair.certificate).unwrap();
        std::fs::write(path("server.key"), &pair.key).unwrap();
        std::fs::write(path("ca.crt"), "").unwrap();
        let files = TlsFiles { certificate: path("server.crt"), key: path("server.key"), client_ca: Some(path("ca.crt")) };
        assert_eq!(files.load().unwrap_err().code, Code::InvalidParameter);
    }
}
