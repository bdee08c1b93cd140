//! Who gets in, and what one session sees of another.

use super::wire::{Wire, prepared_query, statement};
use crate::harness::Server;
use crate::harness::client::cells;
use arrow_flight::{BasicAuth, HandshakeRequest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use prost::Message;
use tonic::Code;

const PASSWORD: &str = "pass:words";

fn locked() -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("password");
    std::fs::write(&file, PASSWORD).expect("the password file");
    let server = Server::start_with(&["--admin-password-file", &file.display().to_string()]);
    (directory, server)
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn payload(user: &str, password: &str) -> Vec<HandshakeRequest> {
    let auth = BasicAuth { username: user.to_owned(), password: password.to_owned() };
    vec![HandshakeRequest { protocol_version: 0, payload: auth.encode_to_vec().into() }]
}

/// A shaken hand gives a token, in header and payload, that opens a session.
async fn check_handshake(server: &Server, header: Option<&str>, messages: Vec<HandshakeRequest>) {
    let headers: Vec<_> = header.iter().map(|value| ("authorization", *value)).collect();
    let mut wire = Wire::connect(server.address(), &headers).await;
    let (bearer, token) = wire.handshake(messages).await.unwrap_or_else(|status| panic!("{header:?}: {status}"));
    assert_eq!(bearer, format!("Bearer {token}"));
    let other_connection = Wire::connect(server.address(), &[("authorization", &bearer)]).await;
    assert_eq!(cells(&other_connection.query("SELECT 1").await.unwrap().batches), [["1"]], "{header:?}");
    // Who has a token may shake hands again.
    let mut again = other_connection.clone();
    assert_eq!(again.handshake(Vec::new()).await.unwrap().1, token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_may_take_every_form() {
    let (_directory, server) = locked();
    let padded = basic("admin", PASSWORD);
    assert!(padded.ends_with('='), "the case without padding differs");
    let unpadded = format!("Basic {}", STANDARD_NO_PAD.encode(format!("admin:{PASSWORD}")));
    for header in [padded.as_str(), unpadded.as_str(), &padded.replace("Basic", "basic")] {
        check_handshake(&server, Some(header), Vec::new()).await;
        check_handshake(&server, Some(header), vec![HandshakeRequest::default()]).await;
        // Every call may carry it, without a handshake.
        let wire = Wire::connect(server.address(), &[("authorization", header)]).await;
        assert_eq!(cells(&wire.query("SELECT 2").await.unwrap().batches), [["2"]]);
    }
    check_handshake(&server, None, payload("admin", PASSWORD)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_password_stays_outside() {
    let (_directory, server) = locked();
    let wrong = [
        None,
        Some(basic("admin", "wrong")),
        Some(basic("admin", "")),
        Some(basic("", "")),
        Some(basic("nobody", PASSWORD)),
        Some("Basic %%%".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Bearer invented".to_owned()),
        Some("Digest abc".to_owned()),
    ];
    let mut n_failed = 0;
    for header in wrong {
        let headers: Vec<_> = header.iter().map(|value| ("authorization", value.as_str())).collect();
        let mut wire = Wire::connect(server.address(), &headers).await;
        let refused = [
            wire.handshake(vec![HandshakeRequest::default()]).await.map(|_| ()),
            wire.info(statement("SELECT 1")).await.map(|_| ()),
            wire.schema(statement("SELECT 1")).await.map(|_| ()),
            wire.prepare("SELECT 1").await.map(|_| ()),
            wire.act("CancelFlightInfo", Vec::new()).await.map(|_| ()),
            wire.inner().list_actions(arrow_flight::Empty {}).await.map(|_| ()),
        ];
        for (idx, answer) in refused.into_iter().enumerate() {
            let status = answer.err().unwrap_or_else(|| panic!("call {idx} of {header:?} was let in"));
            n_failed += usize::from(header.as_ref().is_some_and(|header| header.starts_with("Basic")));
            // Who fails again and again has to wait, whatever the password.
            let waits = n_failed > 1 && status.code() == Code::ResourceExhausted && status.message().starts_with("too many failed logins");
            assert!(status.code() == Code::Unauthenticated || waits, "call {idx} of {header:?}: {status}");
            assert!(!status.message().is_empty() && !status.message().contains('\n'));
        }
    }
    // Another server: here both have to wait by now.
    let (_directory, server) = locked();
    for (user, password) in [("admin", "wrong"), ("nobody", PASSWORD), ("", "")] {
        let mut wire = Wire::connect(server.address(), &[]).await;
        let status = wire.handshake(payload(user, password)).await.expect_err(user);
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_this_machine_development_needs_no_password_but_a_wrong_one_is_wrong() {
    let server = Server::start();
    check_handshake(&server, None, Vec::new()).await;
    check_handshake(&server, None, vec![HandshakeRequest { protocol_version: 0, payload: b"\xff\xffnoop"[..].into() }]).await;
    check_handshake(&server, Some(&basic("admin", "")), Vec::new()).await;
    let mut wire = Wire::connect(server.address(), &[("authorization", &basic("admin", "wrong"))]).await;
    assert_eq!(wire.handshake(Vec::new()).await.expect_err("a wrong password").code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_session_is_closed() {
    let (_directory, server) = locked();
    let mut wire = Wire::connect(server.address(), &[("authorization", &basic("admin", PASSWORD))]).await;
    let (bearer, _) = wire.handshake(Vec::new()).await.unwrap();
    wire.set_header("authorization", &bearer);
    wire.query("SELECT 1").await.unwrap();
    wire.act("CloseSession", Vec::new()).await.unwrap();
    let Err(status) = wire.query("SELECT 1").await else { panic!("the session is still open") };
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
    wire.act("CloseSession", Vec::new()).await.expect("closing twice is no error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_do_not_see_each_other() {
    let (_directory, server) = locked();
    let credentials = basic("admin", PASSWORD);
    let session = async || {
        let mut wire = Wire::connect(server.address(), &[("authorization", &credentials)]).await;
        let (bearer, _) = wire.handshake(Vec::new()).await.expect("a handshake");
        wire.set_header("authorization", &bearer);
        wire
    };
    let (one, two) = (session().await, session().await);
    one.query("CREATE DATABASE shop").await.unwrap();
    one.query("USE shop").await.unwrap();
    one.query("SET timezone = 'Europe/Berlin'").await.unwrap();
    let ask = async |wire: &Wire, sql: &str| cells(&wire.query(sql).await.unwrap().batches)[0].join(" ");
    assert_eq!(ask(&one, "SELECT current_schema()").await, "shop");
    assert_eq!(ask(&two, "SELECT current_schema()").await, "public");
    assert!(ask(&one, "SHOW timezone").await.contains("Europe/Berlin"));
    assert!(!ask(&two, "SHOW timezone").await.contains("Europe/Berlin"));

    let prepared = one.prepare("SELECT 7").await.unwrap();
    let foreign = two.info(prepared_query(&prepared.handle)).await.expect_err("the handle of another session");
    assert_eq!(foreign.code(), Code::NotFound, "{foreign}");
    two.close(prepared.handle.clone()).await.expect("closing an unknown handle is no error");
    one.info(prepared_query(&prepared.handle)).await.expect("and closes nothing of the other session");

    let running = one.info(statement("SELECT * FROM generate_series(1, 100000000)")).await.unwrap();
    let cancel = arrow_flight::CancelFlightInfoRequest::new(running.clone()).encode_to_vec();
    assert!(two.act("CancelFlightInfo", cancel).await.is_err(), "the statement of another session cannot be cancelled");
    let mut stream = one.stream(running.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(futures::StreamExt::next(&mut stream).await.is_some_and(|batch| batch.is_ok()), "it still runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_string_may_name_the_database() {
    let (_directory, server) = locked();
    let credentials = basic("admin", PASSWORD);
    let admin = Wire::connect(server.address(), &[("authorization", &credentials)]).await;
    admin.query("CREATE DATABASE shop").await.unwrap();
    let mut wire = Wire::connect(server.address(), &[("authorization", &credentials), ("database", "shop")]).await;
    let (bearer, _) = wire.handshake(Vec::new()).await.unwrap();
    let wire = Wire::connect(server.address(), &[("authorization", &bearer)]).await;
    assert_eq!(cells(&wire.query("SELECT current_schema()").await.unwrap().batches), [["shop"]]);
    let mut nowhere = Wire::connect(server.address(), &[("authorization", &credentials), ("database", "nowhere")]).await;
    assert_eq!(nowhere.handshake(Vec::new()).await.expect_err("no such database").code(), Code::NotFound);
}
