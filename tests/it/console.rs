//! The console as a process: switches, scripts, output forms, exit codes, Ctrl-C.

use crate::harness::Server;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A query that runs until it is cancelled.
const ENDLESS: &str =
    "SELECT count(*) AS n FROM generate_series(1, 10000000) AS a(x), generate_series(1, 10000000) AS b(y) WHERE x % 7 < y % 5";

/// What a console printed, and how it ended.
struct Outcome {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

/// `weir` with these words against a server; nothing of the tester's environment gets in.
fn console(server: &Server, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(words).env("WEIR_URL", format!("grpc://{}", server.address())).current_dir(server.directory());
    for name in ["WEIR_USER", "WEIR_PASSWORD"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(server: &Server, words: &[&str]) -> Outcome {
    run_with_input(server, words, "")
}

fn run_with_input(server: &Server, words: &[&str], input: &str) -> Outcome {
    let mut child = console(server, words).stdin(Stdio::piped()).spawn().expect("the console starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A console that has ended does not read: that is for the assertions to see.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    end_of(child)
}

fn end_of(child: Child) -> Outcome {
    let output = child.wait_with_output().expect("the console ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the console prints UTF-8");
    Outcome { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() }
}

#[track_caller]
fn check(outcome: &Outcome, code: i32, stdout: &str, stderr: &str) {
    let found = (outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str());
    assert_eq!(found, (Some(code), stdout, stderr), "\n--- stdout\n{}--- stderr\n{}", outcome.stdout, outcome.stderr);
}

#[test]
fn exit_codes_are_those_of_psql() {
    let server = Server::start();
    let good_after_bad = "SELECT 1;\nSELECT nothing;\nSELECT 3;\n";
    let no_column = |outcome: &Outcome, place: &str| {
        assert!(outcome.stderr.starts_with(&format!("{place}ERROR:  ")) && outcome.stderr.contains("nothing"), "{}", outcome.stderr);
    };

    let goes_on = run_with_input(&server, &["sql", "-At"], good_after_bad);
    assert_eq!((goes_on.code, goes_on.stdout.as_str()), (Some(0), "1\n3\n"));
    no_column(&goes_on, "<stdin>:2: ");

    let stops = run_with_input(&server, &["sql", "-At", "-v", "ON_ERROR_STOP=1"], good_after_bad);
    assert_eq!((stops.code, stops.stdout.as_str()), (Some(3), "1\n"));

    let command = run(&server, &["sql", "-At", "-c", "SELECT 1; SELECT nothing; SELECT 3"]);
    assert_eq!((command.code, command.stdout.as_str()), (Some(1), "1\n"));
    no_column(&command, "");

    check(&run(&server, &["sql", "-At", "-c", "SELECT nothing", "-c", "SELECT 4"]), 0, "4\n", &command.stderr);

    let missing = run(&server, &["sql", "-f", "missing.sql"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.starts_with("ERROR:  could not read the file \"missing.sql\"\nDETAIL:  "), "{}", missing.stderr);

    let away = run(&server, &["sql", "grpc://127.0.0.1:1", "-c", "SELECT 1"]);
    assert_eq!(away.code, Some(2));
    assert!(away.stderr.starts_with("ERROR:  could not connect to grpc://127.0.0.1:1: "), "{}", away.stderr);

    let wrong = run(&server, &["sql", "http://127.0.0.1", "-c", "SELECT 1"]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.stderr.contains("scheme \"http\" is not known"), "{}", wrong.stderr);
}

#[test]
fn a_script_names_file_and_line() {
    let server = Server::start();
    let directory = server.directory();
    std::fs::write(directory.join("outer.sql"), "SELECT 'outer';\n\\i inner.sql\nSELECT 'not reached';\n").unwrap();
    std::fs::write(directory.join("inner.sql"), "-- a comment\n\nSELECT :'v'\n  AS v;\n\nSELECT\n nothing;\n").unwrap();
    let outcome = run(&server, &["run", "outer.sql", "-At", "-v", "v=it's"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(3), "outer\nit's\n"), "{}", outcome.stderr);
    assert!(outcome.stderr.starts_with("inner.sql:6: ERROR:  "), "{}", outcome.stderr);

    std::fs::write(directory.join("itself.sql"), "\\i itself.sql\n").unwrap();
    let outcome = run(&server, &["run", "itself.sql"]);
    assert_eq!(outcome.code, Some(3));
    assert!(outcome.stderr.contains("ERROR:  file \"itself.sql\" is included too deep"), "{}", outcome.stderr);

    std::fs::write(directory.join("bytes.sql"), b"SELECT 1;\nSELECT '\xff';\n").unwrap();
    let outcome = run(&server, &["run", "bytes.sql", "-At"]);
    check(&outcome, 1, "1\n", "bytes.sql:2: ERROR:  the line is not UTF-8\n");
}

#[test]
fn tags_tables_and_descriptions() {
    let server = Server::start();
    let words = ["sql", "-c", "CREATE TABLE people (id INT, name STRING)", "-c", "INSERT INTO people VALUES (1, 'Ann'), (20, NULL)"];
    check(&run(&server, &words), 0, "CREATE TABLE\nINSERT 0 2\n", "");
    check(&run(&server, &["sql", "-q", "-c", "CREATE VIEW grown AS SELECT * FROM people WHERE id > 17"]), 0, "", "");

    let table = " id | name \n----+------\n  1 | Ann\n 20 | \n(2 rows)\n\n";
    check(&run(&server, &["sql", "-c", "SELECT id, name FROM people ORDER BY id"]), 0, table, "");
    let described = "Columns of people\n col_name | data_type | comment \n----------+-----------+---------\n id       | INT       | \n name     | STRING    | \n(2 rows)\n\n";
    check(&run(&server, &["sql", "-c", "\\d people"]), 0, described, "");

    check(&run(&server, &["sql", "-At", "-c", "\\dt"]), 0, "public|people|managed|admin\n", "");
    check(&run(&server, &["sql", "-At", "-c", "\\dv"]), 0, "public|grown|view|admin\n", "");
    check(&run(&server, &["sql", "-At", "-c", "\\dt x*"]), 0, "", "");
    check(&run(&server, &["sql", "-At", "-c", "\\d peo*"]), 0, "public|people|TABLE\n", "");
    check(&run(&server, &["sql", "-At", "-c", "\\dm"]), 0, "", "");
    check(&run(&server, &["sql", "-At", "-c", "\\l p*"]), 0, "public\n", "");
    let detailed = run(&server, &["sql", "-At", "-c", "\\d+ people"]);
    assert!(detailed.stdout.contains("Owner|admin|"), "{}", detailed.stdout);

    let gone = run(&server, &["sql", "-c", "\\d peopel"]);
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.starts_with("ERROR:  ") && gone.stderr.contains("\"peopel\" does not exist"), "{}", gone.stderr);
    let unknown = run(&server, &["sql", "-c", "\\tming"]);
    check(&unknown, 1, "", "ERROR:  command \\tming is not known\nHINT:  Did you mean \"\\timing\"?\n");
}

#[test]
fn output_for_programs() {
    let server = Server::start();
    let query = "SELECT * FROM (VALUES (1, 'a,b'), (2, ''), (3, NULL)) AS t(n, s) ORDER BY n";
    check(&run(&server, &["sql", "--csv", "-c", query]), 0, "n,s\n1,\"a,b\"\n2,\"\"\n3,\n", "");
    check(&run(&server, &["sql", "--csv", "-t", "-P", "null=NULL", "-c", query]), 0, "1,\"a,b\"\n2,\"\"\n3,NULL\n", "");
    check(&run(&server, &["sql", "-A", "-F", ";", "-c", query]), 0, "n;s\n1;a,b\n2;\n3;\n(3 rows)\n", "");
    let expanded = run(&server, &["sql", "-x", "-c", "SELECT 1 AS one, [1, 2] AS list"]);
    check(&expanded, 0, "-[ RECORD 1 ]\none  | 1\nlist | [1, 2]\n\n", "");

    check(&run(&server, &["sql", "--csv", "-o", "rows.csv", "-c", query]), 0, "", "");
    assert_eq!(std::fs::read_to_string(server.directory().join("rows.csv")).unwrap(), "n,s\n1,\"a,b\"\n2,\"\"\n3,\n");

    let script = "\\o there.txt\nSELECT 1 AS a;\n\\o\nSELECT 2 AS a \\g file.txt\nSELECT 3 AS a;SELECT 4 AS a \\gx\n\\echo done\n";
    check(&run_with_input(&server, &["sql"], script), 0, " a \n---\n 3\n(1 row)\n\n-[ RECORD 1 ]\na | 4\n\ndone\n", "");
    assert_eq!(std::fs::read_to_string(server.directory().join("there.txt")).unwrap(), " a \n---\n 1\n(1 row)\n\n");
    assert_eq!(std::fs::read_to_string(server.directory().join("file.txt")).unwrap(), " a \n---\n 2\n(1 row)\n\n");

    let timed = run(&server, &["sql", "-At", "-c", "\\timing", "-c", "SELECT 1"]);
    assert!(timed.stdout.starts_with("1\nTime: ") && timed.stdout.contains(" ms"), "{}", timed.stdout);
}

#[test]
fn large_results_are_streamed() {
    let server = Server::start();
    let outcome = run(&server, &["sql", "--csv", "-t", "-c", "SELECT x FROM generate_series(1, 200000) AS t(x) ORDER BY x"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let mut expected = 0;
    for line in outcome.stdout.lines() {
        expected += 1;
        assert_eq!(line, expected.to_string());
    }
    assert_eq!(expected, 200_000);

    // Who reads two lines and goes away ends the console, without a message.
    let mut child = console(&server, &["sql", "-c", "SELECT x FROM generate_series(1, 5000000) AS t(x)"]).spawn().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    drop(stdout);
    let outcome = end_of(child);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_cancels_on_the_server() {
    let server = Server::start();
    for (statement, state) in [(ENDLESS.to_owned(), "a query"), (format!("CREATE TABLE endless AS {ENDLESS}"), "an update")] {
        let words = ["sql", "-c", statement.as_str(), "-c", "SELECT 'not reached'"];
        let child = console(&server, &words).spawn().expect("the console starts");
        let mark = format!("sql = '{}'", statement.replace('\'', "''"));
        wait_for(&server, &format!("SELECT count(*) FROM system.queries WHERE state = 'running' AND {mark}"), "1").await;
        let interrupted = Instant::now();
        let signalled = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(signalled.success());
        let outcome = tokio::task::spawn_blocking(move || end_of(child)).await.unwrap();
        check(&outcome, 1, "", "ERROR:  the statement was cancelled\n");
        assert!(interrupted.elapsed() < Duration::from_secs(30), "{state}: {:?}", interrupted.elapsed());
        wait_for(&server, &format!("SELECT state FROM system.queries WHERE {mark}"), "cancelled").await;
    }
    assert!(server.client().await.rows("SELECT * FROM endless").await.is_err(), "nothing was made");
}

/// Both ends of a new terminal: what is written to the second can be read from the first.
#[allow(unsafe_code)]
fn terminal() -> (File, OwnedFd) {
    let (mut screen, mut inside) = (-1, -1);
    // SAFETY: both places are ours, and no name, settings or size are asked for or given.
    let opened = unsafe { libc::openpty(&mut screen, &mut inside, std::ptr::null_mut(), std::ptr::null(), std::ptr::null()) };
    assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: these were opened just now and belong to nobody else.
    unsafe { (File::from_raw_fd(screen), OwnedFd::from_raw_fd(inside)) }
}

#[test]
fn a_terminal_shows_how_far_a_training_is() {
    let server = Server::start();
    let train = "CREATE MODEL endless OPTIONS (model_type='als', user_col='u', item_col='i', rating_col='r', rank=64, max_iterations=1000) \
                 AS SELECT value % 500 AS u, value % 93 AS i, value % 5 AS r FROM generate_series(1, 40000)";
    let (mut screen, inside) = terminal();
    let child = console(&server, &["sql", "-c", train]).stderr(inside).spawn().expect("the console starts");
    let (mut shown, mut part) = (String::new(), [0; 4096]);
    // `fitting, iteration 12 of 1000, loss 3.1416, 1.3 s`, drawn again and again; the end of the console ends it too.
    while !shown.contains(" of 1000, loss ") {
        let n_bytes = screen.read(&mut part).unwrap_or(0);
        assert!(n_bytes > 0, "the console ended: {shown}");
        shown.push_str(&String::from_utf8_lossy(&part[..n_bytes]));
    }
    assert!(shown.contains("fitting, iteration "), "{shown}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(end_of(child).code, Some(1));
}

/// A console on a terminal of its own, with somebody at the keyboard.
struct Typist {
    child: Child,
    screen: File,
    keyboard: File,
}

impl Typist {
    /// What the editor draws last: the prompt, and the cursor after it.
    const PROMPT: &str = "\u{1b}[7C\u{1b}[?2026l";

    fn sit_down(server: &Server) -> Self {
        let (screen, inside) = terminal();
        let keyboard = screen.try_clone().expect("a terminal");
        let side = || Stdio::from(inside.try_clone().expect("a terminal"));
        let mut console = console(server, &["sql"]);
        console.env("XDG_STATE_HOME", server.directory()).env("TERM", "xterm").stdin(side()).stdout(side()).stderr(side());
        let child = console.spawn().expect("the console starts");
        Self { child, screen, keyboard }
    }

    /// Types, and reads the screen up to the next prompt.
    fn shown_after(&mut self, typed: &str) -> String {
        self.keyboard.write_all(typed.as_bytes()).unwrap();
        let (mut shown, mut part) = (String::new(), [0; 4096]);
        while !shown.ends_with(Self::PROMPT) {
            let n_bytes = self.screen.read(&mut part).unwrap_or(0);
            assert!(n_bytes > 0, "{typed:?}: the console ended: {shown}");
            shown.push_str(&String::from_utf8_lossy(&part[..n_bytes]));
        }
        shown
    }

    fn leave(mut self) {
        self.keyboard.write_all(b"exit\r").unwrap();
        assert_eq!(end_of(self.child).code, Some(0));
    }
}

#[test]
fn on_a_terminal_help_and_exit_are_words() {
    let server = Server::start();
    let mut typist = Typist::sit_down(&server);
    for (typed, expected) in [("", "\\q to leave"), ("Help\r", "\\dt"), ("SELECT 40 + 2 AS\r", "weir->"), ("exit;\r", "42")] {
        let shown = typist.shown_after(typed);
        assert!(shown.contains(expected), "{typed:?}: {shown}");
    }
    typist.leave();
}

#[test]
fn on_a_terminal_tab_completes_names_and_words() {
    let server = Server::start();
    let mut typist = Typist::sit_down(&server);
    let cases = [
        ("", "\\q to leave"),
        ("CREATE TABLE watched (titleText TEXT, \"order\" INT);\r", "\nCREATE TABLE"),
        ("INSERT INTO wat\t VALUES ('Heat', 7);\r", "INSERT 0 1"),
        ("sel\t 'hund' || 'red' from wat\t w wher\t w.TITLE\t = 'Heat' AND w.ord\t = 7;\r", "hundred"),
        ("\\d wat\t\r", "titleText"),
    ];
    for (typed, expected) in cases {
        let shown = typist.shown_after(typed);
        assert!(shown.contains(expected), "{typed:?}: {shown}");
    }
    typist.leave();
}

async fn wait_for(server: &Server, sql: &str, expected: &str) {
    let mut client = server.client().await;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let rows = client.rows(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
        if rows == [expected] {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {rows:?}, expected {expected}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn passwords_come_from_the_environment_or_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "a-long-password-1\n").unwrap();
    let path = file.to_str().unwrap();
    let server = Server::start_with(&["--admin-password-file", path]);

    let refused = run(&server, &["sql", "-c", "SELECT 1"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("HINT:  Set WEIR_PASSWORD, or use --password-file"), "{}", refused.stderr);
    check(&run(&server, &["sql", "-At", "--password-file", path, "-c", "SELECT 1"]), 0, "1\n", "");

    let with_password = |password: &str| {
        end_of(console(&server, &["sql", "-U", "admin", "-At", "-c", "SELECT 2"]).env("WEIR_PASSWORD", password).spawn().unwrap())
    };
    check(&with_password("a-long-password-1"), 0, "2\n", "");
    let wrong = with_password("not-the-password");
    assert_eq!(wrong.code, Some(2));
    assert!(!wrong.stderr.contains("not-the-password"), "{}", wrong.stderr);
}

#[test]
fn tls_with_an_authority() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(path("server.crt"), made.cert.pem()).unwrap();
    std::fs::write(path("server.key"), made.signing_key.serialize_pem()).unwrap();
    let (certificate, key) = (format!("server.tls_cert={}", path("server.crt")), format!("server.tls_key={}", path("server.key")));
    let server = Server::start_with(&["--dev", "--set", &certificate, "--set", &key]);
    let port = server.address().rsplit(':').next().unwrap().to_owned();
    let url = format!("grpc+tls://localhost:{port}");
    check(&run(&server, &["sql", &url, "--tls-ca", &path("server.crt"), "-At", "-c", "SELECT 1"]), 0, "1\n", "");
    let without = run(&server, &["sql", &url, "-c", "SELECT 1"]);
    assert_eq!(without.code, Some(2));
    assert!(without.stderr.contains("a TLS connection needs --tls-ca"), "{}", without.stderr);
    let plain = run(&server, &["sql", &format!("grpc://localhost:{port}"), "-c", "SELECT 1"]);
    assert_eq!(plain.code, Some(2), "{}", plain.stderr);
}

#[test]
fn a_server_that_goes_away_ends_a_script() {
    let mut server = Server::start();
    let mut child = console(&server, &["sql", "-At"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    stdin.write_all(b"SELECT 1;\n").unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    assert_eq!(line, "1\n");
    server.kill();
    stdin.write_all(b"SELECT 2;\nSELECT 3;\n").unwrap();
    drop(stdin);
    let outcome = end_of(child);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.starts_with("<stdin>:2: ERROR:  the connection to the server was lost"), "{}", outcome.stderr);
}

#[test]
fn a_query_is_measured() {
    let server = Server::start();
    let bench = |words: &[&str]| run(&server, &[&["bench", "query"], words].concat());
    let quick = ["--seconds", "0.5", "--connections", "2"];
    let outcome =
        bench(&[&["SELECT * FROM generate_series(1, $1) AS t(a) WHERE a <> $2", "--param", "4..4", "--param", "1,2"], &quick[..]].concat());
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stdout.contains(" 2 connections, 3.0 rows an answer"), "{}", outcome.stdout);
    // At a rate there are as many answers as were due.
    let outcome = bench(&[&["SELECT 1", "--rate", "40"], &quick[..]].concat());
    assert!(outcome.stdout.starts_with("20 answers in ") && outcome.stdout.contains("the clients' own lag"), "{}", outcome.stdout);
    for (words, expected) in [
        (&["SELECT $1 + 1"][..], "error: the statement has 1 parameters, --param is given 0 times"),
        (&["SELECT $1 + 1", "--param", "x"], "error: 20 of 20 requests failed"),
        (&["SELECT 1 / 0", "--param", "7"], "error: the statement has 0 parameters, --param is given 1 times"),
        (&["SELECT 1 / $1", "--param", "0"], "error: 20 of 20 requests failed"),
        (&["CREATE VIEW v AS SELECT 1"], "error: the statement answers no rows"),
        (&["SELECT 1", "--rate", "0"], "error: --seconds and --rate must be above 0"),
    ] {
        let outcome = bench(words);
        assert!(outcome.code == Some(1) && outcome.stderr.contains(expected), "{words:?}: {}{}", outcome.stdout, outcome.stderr);
    }
}
