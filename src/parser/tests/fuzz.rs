//! Random texts never panic, and what parses once parses again from its own text.

use super::*;
use rand::prelude::*;

const SEED: u64 = 0x5eed_0002;

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "CREATE",
    "TABLE",
    "EXTERNAL",
    "VIEW",
    "MODEL",
    "INSERT",
    "INTO",
    "OVERWRITE",
    "PARTITION",
    "PARTITIONED",
    "BY",
    "STORED",
    "AS",
    "ROW",
    "FORMAT",
    "DELIMITED",
    "FIELDS",
    "TERMINATED",
    "OPTIONS",
    "WITH",
    "TBLPROPERTIES",
    "LOCATION",
    "COMMENT",
    "SHOW",
    "DESCRIBE",
    "TABLES",
    "SET",
    "USER",
    "PASSWORD",
    "KILL",
    "EXPLAIN",
    "ANALYZE",
    "COPY",
    "TO",
    "ALTER",
    "ADD",
    "DROP",
    "IF",
    "NOT",
    "EXISTS",
    "NULL",
    "PRIMARY",
    "KEY",
    "ML",
    "EVALUATE",
    "STRUCT",
    "TOP",
    "FETCH",
    "FIRST",
    "ROWS",
    "ONLY",
    "OFFSET",
    "LIMIT",
    "CONVERT",
    "TIMESTAMPADD",
    "month",
    "INTERVAL",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "UNION",
    "ALL",
    "ARRAY",
    "MAP",
    "INT",
    "STRING",
    "a",
    "t",
    "é",
    "fn",
    "ts",
    "STREAM",
    "LATERAL",
    "JOIN",
    "ON",
    "VALUES",
    "(",
    ")",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    ",",
    ",",
    ".",
    ";",
    "=",
    "*",
    "+",
    "-",
    "||",
    "::",
    ":",
    "?",
    "$1",
    "$2",
    "1",
    "2.5",
    "'x'",
    "'",
    "\"q\"",
    "\"",
    "`b`",
    "`",
    "/*",
    "*/",
    "--",
    "\n",
    "\\",
    "%",
    "@",
    "#",
    "!",
    "~",
    "$$",
    "\u{0}",
    "\u{202e}",
    "'dir/*.parquet'",
    "'\\001'",
];

/// Complete statements whose tokens are shuffled a little.
const STATEMENTS: &[&str] = &[
    "CREATE EXTERNAL TABLE IF NOT EXISTS t ( a INT COMMENT 'x' , b MAP < STRING , ARRAY < INT > > ) PARTITIONED BY ( dt STRING ) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' STORED AS TEXTFILE LOCATION 'l' TBLPROPERTIES ( 'a' = 'b' )",
    "SELECT TOP 5 [ a ] , { fn CONVERT ( b , SQL_INTEGER ) } FROM t WHERE c = ? AND d [ 1 ] > 2 ORDER BY a OFFSET 3 ROWS",
    "SELECT * FROM ML . RECOMMEND ( MODEL m , ( SELECT 42 AS u ) , STRUCT ( 10 AS k ) ) x JOIN u ON true",
    "INSERT OVERWRITE TABLE t PARTITION ( dt = 'x' , h ) ( a , b ) SELECT 1 , 2 FROM u",
    "CREATE OR REPLACE MODEL m OPTIONS ( a = 'x' , b = HPARAM_RANGE ( 1 , 2 ) , c = [ 'y' ] ) AS SELECT 1",
    "COPY ( SELECT 1 ) TO 'f' STORED AS CSV OPTIONS ( 'a' 'b' )",
    "ALTER TABLE t ADD IF NOT EXISTS PARTITION ( dt = 'x' ) LOCATION 'l'",
    "EXPLAIN ANALYZE SELECT CASE WHEN a THEN b ELSE c END , timestampadd ( month , 1 , ts ) FROM ( VALUES ( 1 ) ) t",
    "CREATE USER u WITH PASSWORD 'secret' ADMIN",
];

fn check(sql: &str) {
    let (statements, _) = split(sql);
    let parsed = parse(sql);
    if let Err(error) = &parsed {
        assert!(error.code != Code::Internal && !error.message.is_empty() && !error.message.contains('\n'), "{sql:?}: {error}");
    }
    for text in statements {
        let _ = parse(&text);
    }
    for statement in parsed.into_iter().flatten() {
        if let Statement::Query(query) = statement {
            let again = parse_one(&query.text).unwrap_or_else(|error| panic!("{sql:?}\n{:?}\n{error}", query.text));
            assert_eq!(again, Statement::Query(query), "{sql:?}");
        }
    }
}

#[test]
fn token_soups_never_panic() {
    println!("seed {SEED}");
    let mut random = StdRng::seed_from_u64(SEED);
    for _ in 0..6_000 {
        let n_words = random.random_range(1..30);
        let glue = if random.random_bool(0.2) { "" } else { " " };
        let words: Vec<_> = (0..n_words).map(|_| *WORDS.choose(&mut random).unwrap()).collect();
        check(&words.join(glue));
    }
}

#[test]
fn damaged_statements_never_panic() {
    println!("seed {SEED}");
    let mut random = StdRng::seed_from_u64(SEED);
    for _ in 0..6_000 {
        let mut words: Vec<&str> = STATEMENTS.choose(&mut random).unwrap().split(' ').collect();
        for _ in 0..random.random_range(1..4) {
            let idx = random.random_range(0..words.len());
            match random.random_range(0..4) {
                0 => drop(words.remove(idx)),
                1 => words.insert(idx, WORDS.choose(&mut random).unwrap()),
                2 => words[idx] = WORDS.choose(&mut random).unwrap(),
                _ => words.truncate(idx + 1),
            }
            if words.is_empty() {
                break;
            }
        }
        check(&words.join(" "));
    }
}

#[test]
fn random_characters_never_panic() {
    println!("seed {SEED}");
    let mut random = StdRng::seed_from_u64(SEED);
    let alphabet: Vec<char> = "aSE1'\"`$[]{}()<>;:,.?\\/*-+=|&%#@!~^ \n\tué\u{1F600}\u{0}".chars().collect();
    for _ in 0..6_000 {
        let text: String = (0..random.random_range(0..40)).map(|_| *alphabet.choose(&mut random).unwrap()).collect();
        check(&text);
        check(&format!("SELECT {text}"));
        let _ = parse_type(&text);
    }
}
