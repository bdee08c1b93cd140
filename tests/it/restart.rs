//! kill -9 in the middle of everything: what was acknowledged is there, what was not is absent or whole.
//!
//! ```text
//! round: clients run random statements -- kill -9 --> start again --> observe --> compare with the clients' ledgers
//! ```
//! Each client changes objects of its own, so that after a restart there are two right answers only: the world
//! before the statement that was under way, or the world after it. Two tables are shared: there each client
//! answers for its own rows.
//!
//! `WEIR_TEST_ROUNDS` and `WEIR_TEST_SEED` change the number of rounds and the statements.

mod world;

use crate::harness::{Client, Server};
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use world::{World, id_base, shared_tables};

const N_CLIENTS: u64 = 3;
const ROUNDS: u64 = 50;
const SEED: u64 = 0x0077_6569_7221;
/// Nothing that the clients run takes this long.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// What one client knows when its server is gone.
struct Ledger {
    /// Everything acknowledged.
    acknowledged: World,
    /// The statement without an answer, and the world if it was carried out.
    unanswered: Option<(String, World)>,
    n_statements: usize,
}

fn option(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Runs random statements until the server is killed.
async fn work(address: &str, client: u64, mut world: World, seed: u64, killed: &AtomicBool) -> Ledger {
    let mut random = StdRng::seed_from_u64(seed);
    let mut n_statements = 0;
    let mut connection = match Client::connect(address, None).await {
        Ok(connection) => connection,
        Err(error) => {
            assert!(killed.load(Ordering::SeqCst), "client {client} could not connect: {error}");
            return Ledger { acknowledged: world, unanswered: None, n_statements };
        }
    };
    while !killed.load(Ordering::SeqCst) {
        let (sql, after) = world.next(client, &mut random);
        let answer = tokio::time::timeout(STATEMENT_TIMEOUT, connection.rows(&sql)).await;
        match answer.unwrap_or_else(|_| panic!("no answer, not even a lost connection: {sql}")) {
            Ok(_) => world = after,
            Err(error) => {
                assert!(killed.load(Ordering::SeqCst), "refused: {sql}\n{error}");
                return Ledger { acknowledged: world, unanswered: Some((sql, after)), n_statements };
            }
        }
        n_statements += 1;
    }
    Ledger { acknowledged: world, unanswered: None, n_statements }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_and_the_rest_is_absent_or_whole() {
    let (n_rounds, seed) = (option("WEIR_TEST_ROUNDS", ROUNDS), option("WEIR_TEST_SEED", SEED));
    println!("{n_rounds} rounds, WEIR_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = Server::start();
    let mut setup = server.client().await;
    for sql in shared_tables() {
        setup.rows(&sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
    }
    for client in 0..N_CLIENTS {
        setup.rows(&format!("CREATE DATABASE c{client}")).await.unwrap();
    }
    drop(setup);
    let mut worlds: Vec<World> = (0..N_CLIENTS).map(World::new).collect();
    let (mut n_statements, mut n_unanswered, mut n_done_anyway) = (0, 0, 0);
    for round in 0..n_rounds {
        let killed = AtomicBool::new(false);
        let address = server.address().to_owned();
        let starts = worlds.drain(..).zip(0..).map(|(world, client)| (world, client, random.random())).collect::<Vec<(_, _, u64)>>();
        let clients = starts.into_iter().map(|(world, client, seed)| work(&address, client, world, seed, &killed));
        let kill = async {
            tokio::time::sleep(Duration::from_millis(random.random_range(50..1_000))).await;
            killed.store(true, Ordering::SeqCst);
            server.kill();
        };
        let (ledgers, ()) = tokio::join!(join_all(clients), kill);
        server = server.restart();
        let mut observer = server.client().await;
        for (client, ledger) in (0..).zip(ledgers) {
            n_statements += ledger.n_statements;
            let found = World::observe(client, &mut observer, &server.data()).await.unwrap_or_else(|error| {
                panic!(
                    "round {round}: client {client} cannot look: {error}\nunanswered: {:?}",
                    ledger.unanswered.as_ref().map(|(sql, _)| sql)
                )
            });
            match &ledger.unanswered {
                Some((_, after)) if found == *after => n_done_anyway += 1,
                _ => assert!(
                    found == ledger.acknowledged,
                    "round {round}, client {client}, unanswered: {}\n{}",
                    ledger.unanswered.as_ref().map_or("nothing", |(sql, _)| sql),
                    ledger.acknowledged.difference(&found),
                ),
            }
            n_unanswered += usize::from(ledger.unanswered.is_some());
            worlds.push(found.continue_after(&ledger.acknowledged));
        }
        assert_nothing_left(round, &server, &mut observer).await;
        assert!(!server.log().contains("ERROR"), "round {round}: the start complains:\n{}", server.log());
    }
    println!("{n_statements} statements acknowledged, {n_unanswered} unanswered, of those {n_done_anyway} were carried out");
    assert!(n_statements as u64 > n_rounds, "the clients did nothing");
}

/// Every file and directory below, as paths.
fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_path_buf()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// No file of no table, no staged file, no journal, no model of no definition. All tables have been read before.
async fn assert_nothing_left(round: u64, server: &Server, observer: &mut Client) {
    let warehouse = server.data_dir().join("warehouse");
    let models = server.data_dir().join("models");
    for path in [&warehouse, &models, &server.data()].into_iter().flat_map(|directory| walk(directory)) {
        let is_left = name(&path).starts_with(".weir-")
            || name(&path) == "_weir_staging"
            || path.parent().is_some_and(|parent| name(parent) == "_weir_journal");
        assert!(!is_left, "round {round}: {} was left", path.display());
    }
    let sql = "SELECT location FROM system.tables WHERE kind = 'managed'";
    let known: BTreeSet<PathBuf> = observer.rows(sql).await.unwrap().into_iter().map(PathBuf::from).collect();
    let directories = |parent: &Path| std::fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let databases = directories(&warehouse).into_iter().filter(|path| !["_weir_journal", "_weir_owner"].contains(&name(path)));
    let there: BTreeSet<PathBuf> = databases.flat_map(|database| directories(&database)).collect();
    let known: BTreeSet<PathBuf> = known.into_iter().map(|path| path.canonicalize().unwrap()).collect();
    let there: BTreeSet<PathBuf> = there.into_iter().map(|path| path.canonicalize().unwrap()).collect();
    assert_eq!(there, known, "round {round}: directories of tables");
    for table in &known {
        assert_files_are_in_the_log(round, table);
    }
    let versions: usize = directories(&models).iter().map(|model| directories(model).len()).sum();
    let sql = "SELECT count(*) FROM system.model_versions";
    assert_eq!(observer.rows(sql).await.unwrap(), [versions.to_string()], "round {round}: files of models");
}

/// Each data file of a managed table was added by a version.
fn assert_files_are_in_the_log(round: u64, table: &Path) {
    let mut added = BTreeSet::new();
    for entry in std::fs::read_dir(table.join("_delta_log")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "json") {
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let action: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                added.extend(action["add"]["path"].as_str().map(|path| table.join(path)));
            }
        }
    }
    for path in walk(table) {
        let is_data = path.extension().is_some_and(|ending| ending == "parquet") && !path.starts_with(table.join("_delta_log"));
        assert!(!is_data || added.contains(&path), "round {round}: {} is in no version", path.display());
    }
}

/// The client that owns a row.
fn owner(id: i64) -> u64 {
    (0..N_CLIENTS).rev().find(|client| id >= id_base(*client)).unwrap_or_default()
}
