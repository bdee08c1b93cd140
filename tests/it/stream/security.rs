//! TLS, certificates and passwords at the broker: they let a table in, what is wrong with them is said, they are never shown.

use super::*;
use crate::harness::Registry;
use crate::harness::certificates::ClientFiles;
use crate::harness::kafka::{PASSWORD, USER};
use std::path::PathBuf;
use std::process::Command;

/// What is wrong is said so long after the statement at the latest.
const SAID_WITHIN: Duration = Duration::from_secs(10);
const N_EVENTS: u64 = 500;
/// The environment variable of a secret.
const VARIABLE: &str = "WEIR_TEST_KAFKA_PASSWORD";
const WRONG_PASSWORD: &str = "canary-7f3a-not-the-password";
const WRITTEN_OUT: &str = "canary-51c8-written-out";
/// The log has what librdkafka says, too.
pub(super) const ARGUMENTS: [&str; 3] = ["--dev", "--set", "telemetry.log_level=info,weir=debug"];

/// A topic of events on two partitions, and what it holds.
async fn filled_topic(kafka: &Kafka, name: &str) -> (String, Truth) {
    let topic = unique(name);
    kafka.create_topic(&topic, 2, &[]).await;
    kafka.produce(&topic, Some(0), events::Event::json(0..N_EVENTS / 2)).await;
    kafka.produce(&topic, Some(1), events::Event::json(N_EVENTS / 2..N_EVENTS)).await;
    let truth = Truth::read(kafka, &topic, &events::hash(), events::decode).await;
    (topic, truth)
}

fn create(table: &str, bootstrap: &str, topic: &str, security: &str) -> String {
    create_events(table, "", bootstrap, topic, &format!(", 'commit.interval' = '300 ms'{security}"))
}

/// Options for a broker that wants a certificate; all three are names of files.
fn tls(ca: &str, certificate: &str, key: &str) -> String {
    format!(
        ", 'properties.security.protocol' = 'SSL', 'properties.ssl.ca.location' = '{ca}', \
         'properties.ssl.certificate.location' = '{certificate}', 'properties.ssl.key.location' = '{key}'"
    )
}

/// Options for a broker that wants a user and password.
fn sasl(ca: &str, mechanism: &str, user: &str, secret: &str) -> String {
    format!(
        ", 'properties.security.protocol' = 'SASL_SSL', 'properties.ssl.ca.location' = '{ca}', \
         'properties.sasl.mechanism' = '{mechanism}', 'properties.sasl.username' = '{user}', 'properties.sasl.password' = SECRET {secret}"
    )
}

/// Puts a file where the options of a table may name it; answers that name.
pub(super) fn publish(server: &Server, name: &str, from: &Path) -> String {
    let directory = server.data().join("tls");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::copy(from, directory.join(name)).unwrap();
    format!("/data/tls/{name}")
}

/// Makes a secret of a file that statements cannot read; answers the file, which may change.
pub(super) async fn create_secret(server: &Server, client: &mut Client, name: &str, value: &str) -> PathBuf {
    let directory = server.directory().join("secrets");
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join(name);
    std::fs::write(&file, value).unwrap();
    client.rows(&format!("CREATE SECRET {name} FROM FILE '{}'", file.display())).await.unwrap();
    file
}

/// The secrets of a table are read when its stream is started.
pub(super) async fn pause_and_resume(client: &mut Client, table: &str) {
    client.rows(&format!("ALTER STREAMING TABLE {table} PAUSE")).await.unwrap();
    until(client, &format!("SELECT state FROM system.streams WHERE table_name = '{table}'"), "paused").await;
    client.rows(&format!("ALTER STREAMING TABLE {table} RESUME")).await.unwrap();
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Texts that must not be seen anywhere: passwords, and pieces of keys.
pub(super) struct Canaries(Vec<String>);

impl Canaries {
    pub(super) fn new<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self(texts.into_iter().map(Into::into).collect())
    }

    /// A piece of a private key: in the second line of its PEM are bytes that no other key has.
    fn of_key(file: &Path) -> String {
        let pem = read(file);
        pem.lines().nth(2).expect("a key has two lines and more")[..24].to_owned()
    }

    #[track_caller]
    pub(super) fn check(&self, place: &str, text: &str) {
        for canary in &self.0 {
            let line = text.lines().find(|line| line.contains(canary.as_str()));
            assert!(line.is_none(), "{place} shows {canary}: {line:?}");
        }
    }

    /// Looks at what a server tells about its streaming tables, and at what it writes.
    pub(super) async fn check_all(&self, server: &Server, client: &mut Client) {
        let sql = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ('system', 'information_schema')";
        let relations = client.rows(sql).await.unwrap();
        for known in ["system\tstreams", "system\tqueries", "system\tmetrics", "information_schema\ttables"] {
            assert!(relations.iter().any(|row| row == known), "{known} is not among {relations:?}");
        }
        let mut statements: Vec<String> = relations.iter().map(|row| format!("SELECT * FROM {}", row.replace('\t', "."))).collect();
        statements.extend(["SHOW STREAMS", "SHOW SECRETS", "SHOW PROCESSLIST", "SHOW ALL"].map(str::to_owned));
        for table in client.rows("SELECT table_name FROM system.streams").await.unwrap() {
            statements.push(format!("SHOW CREATE TABLE {table}"));
            statements.push(format!("DESCRIBE FORMATTED {table}"));
            statements.push(format!("EXPLAIN VERBOSE SELECT * FROM {table}"));
            statements.push(format!("EXPLAIN ANALYZE SELECT * FROM {table}"));
            statements.push(format!("SELECT * FROM dead_letters('{table}')"));
        }
        for statement in statements {
            let rows = client.rows(&statement).await.unwrap_or_else(|error| panic!("{statement}\n{error}"));
            self.check(&statement, &rows.join("\n"));
        }
        self.check("the log", &server.log());
        self.check("the standard output", server.greeting());
        assert!(self.check_files(&server.data_dir()) > 3, "the server has a catalog and tables");
        self.check_files(&server.data());
        let printed = Command::new(env!("CARGO_BIN_EXE_weir"))
            .arg("check-config")
            .env(VARIABLE, PASSWORD)
            .current_dir(server.directory())
            .output()
            .unwrap();
        for text in [&printed.stdout, &printed.stderr] {
            self.check("check-config", &String::from_utf8_lossy(text));
        }
    }

    /// Looks into every file below a directory; says how many there are.
    fn check_files(&self, directory: &Path) -> usize {
        // What is gone when it is opened was temporary.
        let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
        let mut n_files = 0;
        for entry in entries.flatten() {
            let path = entry.path();
            if path.ends_with("data/tls") {
                // The keys themselves, of [`publish`].
                continue;
            }
            if path.is_dir() {
                n_files += self.check_files(&path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                self.check(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
                n_files += 1;
            }
        }
        n_files
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_passwords_let_a_table_in() {
    let kafka = Kafka::shared().await;
    let (topic, truth) = filled_topic(kafka, "secure").await;
    let server = Server::start_with(&ARGUMENTS).restart_in(&[(VARIABLE, PASSWORD)]);
    let mut client = server.client().await;
    let ClientFiles { certificate, key } = kafka.certificates().client();
    create_secret(&server, &mut client, "client_certificate", &read(&certificate)).await;
    create_secret(&server, &mut client, "client_key", &read(&key)).await;
    create_secret(&server, &mut client, "password_in_file", PASSWORD).await;
    client.rows(&format!("CREATE SECRET password_in_variable FROM ENV '{VARIABLE}'")).await.unwrap();
    let ca = publish(&server, "ca.pem", &kafka.certificates().ca());
    let certificate_name = publish(&server, "client.pem", &certificate);
    let key_name = publish(&server, "client.key", &key);
    let by_secrets = format!(
        ", 'properties.security.protocol' = 'SSL', 'properties.ssl.ca.location' = '{ca}', \
         'properties.ssl.certificate.pem' = SECRET client_certificate, 'properties.ssl.key.pem' = SECRET client_key"
    );
    let tables = [
        ("by_secrets", kafka.ssl_bootstrap(), by_secrets),
        ("by_files", kafka.ssl_bootstrap(), tls(&ca, &certificate_name, &key_name)),
        ("by_scram_256", kafka.sasl_bootstrap(), sasl(&ca, "SCRAM-SHA-256", USER, "password_in_variable")),
        ("by_scram_512", kafka.sasl_bootstrap(), sasl(&ca, "SCRAM-SHA-512", USER, "password_in_file")),
        ("by_plain", kafka.sasl_bootstrap(), sasl(&ca, "PLAIN", USER, "password_in_file")),
    ];
    for (table, bootstrap, security) in &tables {
        client.rows(&create(table, bootstrap, &topic, security)).await.unwrap();
    }
    for (table, ..) in &tables {
        until(&mut client, &format!("SELECT count(*) FROM {table}"), &N_EVENTS.to_string()).await;
        assert_equals_topic(&mut client, table, &truth).await;
    }
    // Committed, so that the files can be looked into.
    let n_committed = N_EVENTS * tables.len() as u64;
    until(&mut client, "SELECT sum(committed) FROM system.stream_partitions", &n_committed.to_string()).await;
    let states = "SELECT count(*), count(last_error) FROM system.streams WHERE state = 'running'";
    until(&mut client, states, &format!("{}\t0", tables.len())).await;
    // The names of secrets are shown, and make the same table again.
    let shown = client.rows("SHOW CREATE TABLE by_secrets").await.unwrap().remove(0);
    assert!(shown.contains("'properties.ssl.key.pem' = SECRET `client_key`"), "{shown}");
    Canaries::new([PASSWORD.to_owned(), Canaries::of_key(&key)]).check_all(&server, &mut client).await;
}

/// A table that cannot reach its broker, and words of the message that says why.
struct Case {
    table: &'static str,
    bootstrap: String,
    security: String,
    says: &'static [&'static str],
}

impl Case {
    fn new(table: &'static str, bootstrap: &str, security: String, says: &'static [&'static str]) -> Self {
        Self { table, bootstrap: bootstrap.to_owned(), security, says }
    }

    /// Whether a row of `system.streams` or SHOW STREAMS is this table's, which is tried again and says why.
    fn is_said(&self, row: &str) -> bool {
        let has_cell = |wanted: &str| row.split('\t').any(|cell| cell == wanted);
        has_cell(self.table) && has_cell("retrying") && self.says.iter().all(|word| row.contains(word))
    }
}

/// Asks until every case is said; none may take longer than [`SAID_WITHIN`] from its moment on.
async fn until_said(client: &mut Client, sql: &str, cases: &[Case], since: &[Instant]) {
    let mut open: Vec<usize> = (0..cases.len()).collect();
    loop {
        let rows = client.rows(sql).await.unwrap();
        open.retain(|case_idx| !rows.iter().any(|row| cases[*case_idx].is_said(row)));
        let Some(late_idx) = open.iter().find(|case_idx| since[**case_idx].elapsed() > SAID_WITHIN) else {
            if open.is_empty() {
                return;
            }
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let Case { table, says, .. } = &cases[*late_idx];
        panic!("{table} is not \"retrying\" with {says:?} after {} s:\n{}", SAID_WITHIN.as_secs(), rows.join("\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_in_ten_seconds_and_can_be_mended() {
    let kafka = Kafka::shared().await;
    let (topic, truth) = filled_topic(kafka, "refused").await;
    let server = Server::start_with(&ARGUMENTS);
    let mut client = server.client().await;
    let certificates = kafka.certificates();
    let ca = publish(&server, "ca.pem", &certificates.ca());
    let wrong_ca = publish(&server, "wrong-ca.pem", &certificates.wrong_ca());
    let publish_pair = |name: &str, files: ClientFiles| {
        let certificate = publish(&server, &format!("{name}.pem"), &files.certificate);
        (certificate, publish(&server, &format!("{name}.key"), &files.key))
    };
    let with_pair = |name: &str, files: ClientFiles| {
        let (certificate, key) = publish_pair(name, files);
        tls(&ca, &certificate, &key)
    };
    let (certificate, key) = publish_pair("client", certificates.client());
    let wrong_password_file = create_secret(&server, &mut client, "wrong_password", WRONG_PASSWORD).await;
    create_secret(&server, &mut client, "right_password", PASSWORD).await;
    // Any server with this certificate does: the client looks at it before it says a word of Kafka's.
    let expired = Registry::start_with(None, Some(&certificates.expired_server()));
    let expired_address = expired.url().replace("https://", "");
    let (ssl_address, sasl_address) = (kafka.ssl_bootstrap(), kafka.sasl_bootstrap());
    let without_certificate = format!(", 'properties.security.protocol' = 'SSL', 'properties.ssl.ca.location' = '{ca}'");
    let cases = [
        Case::new("wrong_ca", &ssl_address, tls(&wrong_ca, &certificate, &key), &["could not be verified", "ssl.ca.location"]),
        Case::new("expired_broker", &expired_address, tls(&ca, &certificate, &key), &["could not be verified", "has expired"]),
        Case::new(
            "wrong_key",
            &ssl_address,
            with_pair("mismatched", certificates.client_with_other_key()),
            &["could not make a client", "ssl.key.location", "key values mismatch"],
        ),
        Case::new(
            "expired_certificate",
            &ssl_address,
            with_pair("expired", certificates.expired_client()),
            &["refuses our certificate", "has expired"],
        ),
        // The client library keeps back a certificate of an authority that the broker does not name.
        Case::new("strange_certificate", &ssl_address, with_pair("stranger", certificates.strange_client()), &["ssl.certificate.location"]),
        Case::new("no_certificate", &ssl_address, without_certificate, &["ssl.certificate.location"]),
        Case::new(
            "wrong_password",
            &sasl_address,
            sasl(&ca, "SCRAM-SHA-256", USER, "wrong_password"),
            &["authentication at broker", "invalid credentials", "SCRAM-SHA-256"],
        ),
        Case::new(
            "wrong_plain_password",
            &sasl_address,
            sasl(&ca, "PLAIN", USER, "wrong_password"),
            &["authentication at broker", "Invalid username or password"],
        ),
        Case::new(
            "unknown_user",
            &sasl_address,
            sasl(&ca, "SCRAM-SHA-512", "nobody", "right_password"),
            &["authentication at broker", "invalid credentials", "SCRAM-SHA-512"],
        ),
        Case::new(
            "wrong_mechanism",
            &sasl_address,
            sasl(&ca, "SCRAM-SHA-1", USER, "right_password"),
            &["authentication at broker", "sasl.mechanism", "SCRAM-SHA-512"],
        ),
        Case::new("no_tls", &ssl_address, String::new(), &["may expect TLS", "security.protocol"]),
        Case::new("tls_to_plaintext", kafka.bootstrap(), tls(&ca, &certificate, &key), &["security.protocol PLAINTEXT"]),
    ];
    let mut since = Vec::new();
    for case in &cases {
        client.rows(&create(case.table, &case.bootstrap, &topic, &case.security)).await.unwrap();
        since.push(Instant::now());
    }
    until_said(&mut client, "SELECT table_name, state, last_error FROM system.streams", &cases, &since).await;
    until_said(&mut client, "SHOW STREAMS", &cases, &vec![Instant::now(); cases.len()]).await;
    for case in &cases {
        assert_eq!(client.rows(&format!("SELECT count(*) FROM {}", case.table)).await.unwrap(), ["0"], "{}", case.table);
    }

    let canaries = Canaries::new([
        PASSWORD.to_owned(),
        WRONG_PASSWORD.to_owned(),
        WRITTEN_OUT.to_owned(),
        Canaries::of_key(&certificates.client().key),
        Canaries::of_key(&certificates.strange_client().key),
        Canaries::of_key(&certificates.expired_client().key),
    ]);
    assert_answers_hide(&canaries, &server, &topic, &sasl_address, &sasl(&ca, "PLAIN", USER, "wrong_password")).await;

    // A key in a file is read at each attempt to make a client.
    std::fs::copy(certificates.client().key, server.data().join("tls/mismatched.key")).unwrap();
    std::fs::write(&wrong_password_file, PASSWORD).unwrap();
    pause_and_resume(&mut client, "wrong_password").await;
    let other = create("wrong_mechanism", &sasl_address, &topic, &sasl(&ca, "SCRAM-SHA-512", USER, "right_password"));
    client.rows(&other.replacen("CREATE", "CREATE OR REPLACE", 1)).await.unwrap();
    for table in ["wrong_key", "wrong_password", "wrong_mechanism"] {
        until(&mut client, &format!("SELECT count(*) FROM {table}"), &N_EVENTS.to_string()).await;
        assert_equals_topic(&mut client, table, &truth).await;
        until(&mut client, &format!("SELECT state, last_error FROM system.streams WHERE table_name = '{table}'"), "running\tNULL").await;
    }
    canaries.check_all(&server, &mut client).await;
}

/// Statements that fail answer without what they, or the secrets that they name, hold.
async fn assert_answers_hide(canaries: &Canaries, server: &Server, topic: &str, sasl_address: &str, wrong: &str) {
    let mut client = server.client().await;
    let latest = ["SET stream_read = 'latest'", "SET stream_read_timeout = '1 s'"];
    let error = client.rows_with(&latest, "SELECT count(*) FROM wrong_password").await.unwrap_err();
    assert!(error.contains("wrong_password"), "{error}");
    canaries.check("stream_read = 'latest'", &error);

    let with = |address: &str, more: &str| {
        format!("WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{address}'{more})")
    };
    let infer = format!("CREATE STREAMING TABLE inferred INFER FROM TOPIC {}", with(sasl_address, wrong));
    let error = client.rows(&infer).await.unwrap_err();
    assert!(error.contains("authentication at broker"), "{error}");
    canaries.check("INFER", &error);

    for (option, part) in [
        (format!(", 'properties.sasl.password' = '{WRITTEN_OUT}'"), "must be a secret"),
        (format!(", 'properties.ssl.key.pem' = '{WRITTEN_OUT}'"), "must be a secret"),
        (format!(", 'avro-confluent.url' = 'http://reader:{WRITTEN_OUT}@127.0.0.1:1'"), "must be a secret"),
        // Not well formed.
        (format!(", 'properties.sasl.password' = '{WRITTEN_OUT}' = 'x'"), "unexpected"),
        (format!(", 'properties.sasl.password' == '{WRITTEN_OUT}'"), ""),
    ] {
        let error = client.rows(&format!("CREATE STREAMING TABLE written (v INT) {}", with("127.0.0.1:1", &option))).await.unwrap_err();
        canaries.check("CREATE STREAMING TABLE", &error);
        assert!(error.contains(part), "{error}");
    }
    // The history has the statements, without the values.
    let sql = "SELECT count(*) FROM system.queries WHERE sql LIKE 'CREATE STREAMING TABLE written%***%'";
    assert_eq!(client.rows(sql).await.unwrap(), ["3"]);
}
