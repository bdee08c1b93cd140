//! Certificates of one test: an authority, a server and clients, good ones and each kind of bad one, as PEM files.

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};
use std::path::{Path, PathBuf};

/// The files of a certificate and its key, with which a client shows who it is.
#[derive(Debug, Clone)]
pub struct ClientFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// PEM files in a directory of the test.
#[derive(Debug, Clone)]
pub struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    /// Makes all of them in `directory`.
    pub fn new(directory: &Path) -> Self {
        let made = Self { directory: directory.to_owned() };
        std::fs::create_dir_all(directory).expect("the directory of the certificates");
        let issuer = made.authority("ca.pem", "weir test authority");
        let stranger = made.authority("wrong-ca.pem", "another authority");
        let (certificate, key) = signed(server(), &issuer);
        made.write("server.pem", &certificate);
        made.write("server.key", &key);
        // Kafka wants key and certificate in one file.
        made.write("server-keystore.pem", &format!("{key}{certificate}"));
        for (name, params, issuer) in [
            ("client", client("weir"), &issuer),
            ("expired", expired(client("expired")), &issuer),
            ("expired-server", expired(server()), &issuer),
            ("stranger", client("stranger"), &stranger),
        ] {
            let (certificate, key) = signed(params, issuer);
            made.write(&format!("{name}.pem"), &certificate);
            made.write(&format!("{name}.key"), &key);
        }
        made
    }

    /// The authority that signed the server and the good client.
    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// An authority that signed neither.
    pub fn wrong_ca(&self) -> PathBuf {
        self.path("wrong-ca.pem")
    }

    /// The server's certificate for localhost and 127.0.0.1, and its key.
    pub fn server(&self) -> ClientFiles {
        self.pair("server", "server")
    }

    /// As the server's, valid for a day of 2020.
    pub fn expired_server(&self) -> ClientFiles {
        self.pair("expired-server", "expired-server")
    }

    /// Key and certificate of the server in one file.
    pub fn server_keystore(&self) -> PathBuf {
        self.path("server-keystore.pem")
    }

    /// What a client should show.
    pub fn client(&self) -> ClientFiles {
        self.pair("client", "client")
    }

    /// Signed by the right authority, valid for a day of 2020.
    pub fn expired_client(&self) -> ClientFiles {
        self.pair("expired", "expired")
    }

    /// Signed by the wrong authority.
    pub fn strange_client(&self) -> ClientFiles {
        self.pair("stranger", "stranger")
    }

    /// A good certificate with the key of another one.
    pub fn client_with_other_key(&self) -> ClientFiles {
        self.pair("client", "stranger")
    }

    fn pair(&self, certificate: &str, key: &str) -> ClientFiles {
        ClientFiles { certificate: self.path(&format!("{certificate}.pem")), key: self.path(&format!("{key}.key")) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn write(&self, name: &str, pem: &str) {
        std::fs::write(self.path(name), pem).expect("a PEM file");
    }

    fn authority(&self, name: &str, common_name: &str) -> Issuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        self.write(name, &params.self_signed(&key).expect("a certificate").pem());
        Issuer::new(params, key)
    }
}

fn server() -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn client(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2020, 1, 2);
    params
}

/// Certificate and key as PEM.
fn signed(params: CertificateParams, issuer: &Issuer<'_, KeyPair>) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}
