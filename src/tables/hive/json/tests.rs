//! JSON lines: broken ones, values that do not fit, nested ones; the scanner against serde_json.

use super::*;
use crate::tables::hive::tests::{Bench, check_error, fields, lines};
use datafusion::arrow::datatypes::{DataType, Field};
use rand::{Rng, SeedableRng};

type Options<'a> = &'a [(&'a str, &'a str)];

async fn fails(content: &str, options: Options<'_>, columns: Vec<Field>, code: Code, parts: &[&str]) {
    let bench = Bench::new();
    bench.file("t/a.json", content);
    bench.register(bench.def("t", "JSON", options, columns, ""));
    check_error(&bench.error("SELECT * FROM t").await, code, parts);
}

async fn reads(content: &str, options: Options<'_>, columns: Vec<Field>, rows: &[&str]) {
    let bench = Bench::new();
    bench.file("t/a.json", content);
    bench.register(bench.def("t", "JSON", options, columns, ""));
    assert_eq!(bench.rows("SELECT * FROM t").await, rows, "{content}");
}

#[tokio::test]
async fn broken_lines_are_named() {
    for (line, why) in [
        ("{\"a\":1}{\"a\":2}", "more text follows the object"),
        ("{\"a\":1", "the object does not end"),
        ("{\"a\":1,}", "must begin with"),
        ("{\"a\":01}", "is missing in an object"),
        ("{\"a\":1.}", "a number has no digits"),
        ("{'a':1}", "must begin with"),
        ("{\"a\":\"x}", "a text does not end"),
        ("{\"a\":\"\\x\"}", "unknown escape"),
        ("[{\"a\":1}]", "the line is not a JSON object"),
        ("{\"a\":nul}", "a value is expected"),
        ("hello", "a value is expected"),
    ] {
        let content = format!("{{\"a\":0}}\n\n{line}\n{{\"a\":3}}\n");
        fails(&content, &[], fields("a BIGINT"), Code::DataCorrupted, &["\"t/a.json\", line 3", why]).await;
        fails(&content, &[("on_bad_field", "null")], fields("a BIGINT"), Code::DataCorrupted, &["line 3", why]).await;
    }
    for (depth, value) in [(100_000, ""), (128, "1"), (128, "true")] {
        let deep = format!("{{\"a\":{}{value}{}}}", "[".repeat(depth), "]".repeat(depth));
        fails(&deep, &[], fields("a STRING"), Code::DataCorrupted, &["line 1", "nested too deeply"]).await;
    }
}

#[tokio::test]
async fn values_that_do_not_fit_are_named() {
    for (value, sql_type) in [
        ("1.5", "BIGINT"),
        ("1e3", "BIGINT"),
        ("9223372036854775808", "BIGINT"),
        ("true", "INT"),
        ("\"x\"", "DOUBLE"),
        ("1", "BOOLEAN"),
        ("{}", "INT"),
        ("[1]", "DATE"),
        ("20260131", "DATE"),
        ("1769817600000", "TIMESTAMP"),
    ] {
        let content = format!("{{\"a\":null}}\n{{\"a\":{value}}}\n");
        let columns = fields(&format!("a {sql_type}"));
        fails(
            &content,
            &[],
            columns.clone(),
            Code::InvalidValue,
            &["\"t/a.json\", line 2: column \"a\" is", &format!("not of type {sql_type}")],
        )
        .await;
        reads(&content, &[("on_bad_field", "null")], columns, &["NULL", "NULL"]).await;
    }
    let nested = vec![Field::new("s", DataType::Struct(fields("x INT").into()), true)];
    fails("{\"s\":{\"x\":\"?\"}}", &[], nested, Code::InvalidValue, &["column \"s.x\" is \"\"?\"\", not of type INT"]).await;
}

#[tokio::test]
async fn values_of_every_type() {
    let columns = "userId BIGINT, d DOUBLE, m DECIMAL(38,10), b BOOLEAN, y DATE, t TIMESTAMP, x STRING";
    let content = concat!(
        "\u{feff}{\"userid\":1,\"D\":1e-3,\"m\":1234567890123456789012345678.0123456789,\"b\":true,\"y\":\"2026-01-31\",",
        "\"t\":\"2026-01-31T10:00:00+02:00\",\"x\":\"a\\n\\u00e9\\ud83d\\ude00\"}\r\n",
        "{\"x\":{\"a\": [1, 2]},\"unknown\":[{}]}\n",
        "  \n",
        "{\"x\":1.50,\"USERID\":3,\"userId\":4,\"userid\":5,\"d\":\"2\"}"
    );
    let rows = [
        "1|0.001|1234567890123456789012345678.0123456789|true|2026-01-31|2026-01-31T08:00:00|a\né😀",
        "NULL|NULL|NULL|NULL|NULL|NULL|{\"a\": [1, 2]}",
        "4|2.0|NULL|NULL|NULL|NULL|1.50",
    ];
    reads(content, &[], fields(columns), &rows).await;
    let ms = &[("json.timestamp-format", "epoch_ms")];
    reads(
        "{\"t\":1769817600123}\n{\"t\":1769817600123.5}",
        ms,
        fields("t TIMESTAMP"),
        &["2026-01-31T00:00:00.123", "2026-01-31T00:00:00.123500"],
    )
    .await;
    reads("{\"t\":1769817600.25}", &[("json.timestamp-format", "epoch_s")], fields("t TIMESTAMP"), &["2026-01-31T00:00:00.250"]).await;
}

#[tokio::test]
async fn nested_values() {
    let item = Field::new("item", DataType::Struct(fields("Id INT, tags STRING").into()), true);
    let list = Field::new("l", DataType::List(Arc::new(item)), true);
    let pair = DataType::Struct(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)].into());
    let map = Field::new("m", DataType::Map(Arc::new(Field::new("entries", pair, false)), false), true);
    let content = "{\"l\":[{\"id\":1},null,{\"ID\":2,\"tags\":[\"x\"]}],\"m\":{\"a\":1,\"b\":null}}\n{\"l\":[],\"m\":{}}\n{}\n";
    let rows = ["[{Id: 1, tags: NULL}, NULL, {Id: 2, tags: [\"x\"]}]|{a: 1, b: NULL}", "[]|{}", "NULL|NULL"];
    reads(content, &[], vec![list, map], &rows).await;
}

#[test]
fn the_scanner_accepts_what_serde_json_accepts() {
    // No large exponents: 1e999 is JSON, but no f64 for serde_json.
    let seed = 7;
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let pieces = ["{", "}", "[", "]", "\"a\"", "\"", ":", ",", "1", "-", "0", ".5", "e-3", "true", "null", " ", "\\", "\\u00e9", "x"];
    let mut n_valid = 0;
    for _ in 0..200_000 {
        let count = random.random_range(1..9);
        let text = (0..count).map(|_| pieces[random.random_range(0..pieces.len())]).collect::<String>();
        let mut scanner = Scanner::new(text.as_bytes());
        let ours = scanner.value().is_ok() && scanner.is_at_end();
        let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        assert_eq!(ours, theirs, "{text}");
        n_valid += usize::from(theirs);
    }
    assert!(n_valid > 1_000, "only {n_valid} texts were JSON: the test shows nothing");
}

/// A number as JSON writes it, in any of its ways.
fn random_number(random: &mut rand::rngs::StdRng) -> String {
    let mut digits = |n_max| -> String {
        let n_digits = random.random_range(1..=n_max);
        (0..n_digits).map(|_| char::from(b'0' + random.random_range(0..10_u8))).collect()
    };
    let (whole, decimals, exponent) = (digits(21), digits(20), digits(2));
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let sign = if random.random_bool(0.3) { "-" } else { "" };
    let decimals = if random.random_bool(0.5) { format!(".{decimals}") } else { String::new() };
    let exponent = if random.random_bool(0.1) { format!("e-{exponent}") } else { String::new() };
    format!("{sign}{whole}{decimals}{exponent}")
}

/// Records of a topic go by what the scanner has found; lines of a file by the text of each value.
#[test]
fn numbers_found_by_the_scanner_are_those_of_their_texts() {
    let columns = "d DOUBLE, f FLOAT, b BIGINT, i INT, s SMALLINT, m DECIMAL(38,10), x STRING, y BOOLEAN";
    let seed = 11;
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut texts = (0..30_000).map(|_| random_number(&mut random)).collect::<Vec<_>>();
    let edges = ["-0", "-0.0", "0.0", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "2147483648", "-2147483648"];
    texts.extend(edges.iter().chain(&["9007199254740993", "9007199254740993.0", "0.1", "1.0", "true", "null"]).map(ToString::to_string));
    for (name, timestamps, text_format) in [
        (columns, JsonTimestamp::Iso8601, TimestampText::Iso),
        ("t TIMESTAMP", JsonTimestamp::EpochMs, TimestampText::Epoch(1_000)),
        ("t TIMESTAMP", JsonTimestamp::EpochS, TimestampText::Epoch(1_000_000)),
    ] {
        for field in fields(name) {
            let mut rows = JsonRows::new(vec![Arc::new(field.clone())], timestamps, true).unwrap();
            let mut column = JsonColumn::new(&field, &text_format).unwrap();
            let mut n_nulled = 0;
            for text in &texts {
                rows.push(&format!("{{\"{}\": {text}}}", field.name())).unwrap();
                column.append(text.as_bytes(), &mut OnBad::Null(&mut n_nulled)).unwrap();
            }
            let (found, expected) = (rows.finish().unwrap().remove(0).to_data(), column.finish().unwrap().to_data());
            // By their bytes: minus zero is not zero.
            assert_eq!(found.nulls(), expected.nulls(), "{field}");
            assert!(found.buffers() == expected.buffers(), "{field}");
            assert_eq!(rows.take_nulled(), n_nulled, "{field}");
            assert!(n_nulled < texts.len() && expected.null_count() < texts.len(), "{field}: nothing was compared");
        }
    }
}

#[test]
fn a_known_key_is_taken_at_every_length_and_nothing_near_it() {
    let text = br#""a_key_of_some_length_or_other": 1"#;
    for length in 0..=text.len() {
        let known = &text[..length];
        let mut scanner = Scanner::new(text);
        assert!(scanner.take_all(known), "{length}");
        // One byte is another, wherever it stands; one is missing at the end.
        for place in 0..length {
            let mut near = known.to_vec();
            near[place] ^= 1;
            assert!(!Scanner::new(text).take_all(&near), "{length} {place}");
        }
        assert!(length == 0 || !Scanner::new(&text[..length - 1]).take_all(known), "{length}");
    }
}

#[test]
fn rows_follow_the_keys_wherever_they_stand() {
    let texts = [
        (r#"{"a":1,"b":"x"}"#, "1|x"),
        (r#"{"a":2,"b":"x\n"}"#, "2|x\n"),
        (r#"{"b":"y","a":3}"#, "3|y"),
        (r#"{ "a" : 4 , "bb":0, "b" : "z" }"#, "4|z"),
        (r#"{"a":5,"A":6,"b":"1","b":"2"}"#, "5|2"),
        (r#"{"A":7,"\u0062":"escaped"}"#, "7|escaped"),
        (r#"{"ab":8}"#, "NULL|NULL"),
        (r#"{"a":"9","b":10.50}"#, "9|10.50"),
        (r#"{"a":null,"b":null}"#, "NULL|NULL"),
        ("{}", "NULL|NULL"),
    ];
    let columns = fields("a BIGINT, b STRING").into_iter().map(Arc::new).collect::<Vec<_>>();
    let mut rows = JsonRows::new(columns.clone(), JsonTimestamp::Iso8601, false).unwrap();
    // Each order of two neighbours: what is remembered of one must not be taken for the other.
    for order in [texts.iter().collect::<Vec<_>>(), texts.iter().rev().collect()] {
        order.iter().for_each(|(text, _)| rows.push(text).unwrap());
        let batch = RecordBatch::try_new(Arc::new(Schema::new(columns.clone())), rows.finish().unwrap()).unwrap();
        let expected = order.iter().map(|(_, row)| (*row).to_string()).collect::<Vec<_>>();
        assert_eq!(lines(&batch), expected);
    }
}
