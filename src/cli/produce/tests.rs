//! Files as records, rates as times.

use super::lines::{Lines, Record};
use super::rate::{Pace, Rate};
use std::time::{Duration, Instant};

fn open(name: &str, text: &str, is_raw: bool, key: Option<&str>) -> crate::error::Result<Lines> {
    let directory = tempfile::tempdir().unwrap();
    // The file stays open after it is removed.
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    Lines::open(&path, is_raw, key)
}

/// `key payload` of each record, the key in brackets.
fn records(lines: &mut Lines) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let shown = |record: Record| format!("{:?} {}", record.key.map(|key| text(&key)), text(&record.payload));
    std::iter::from_fn(|| lines.next_record().unwrap()).map(shown).collect()
}

#[test]
fn json_lines_are_sent_as_they_stand() {
    let text = "{\"a\": 1.50, \"k\": \"x\\\"y\"}\r\n\n{\"k\": 7}\n{\"k\": null}\nnot json\n{\"a\": 2}";
    let mut lines = open("events.jsonl", text, false, Some("k")).unwrap();
    let expected = [
        "Some(\"x\\\"y\") {\"a\": 1.50, \"k\": \"x\\\"y\"}",
        "Some(\"7\") {\"k\": 7}",
        "None {\"k\": null}",
        "None not json",
        "None {\"a\": 2}",
    ];
    assert_eq!(records(&mut lines), expected);
    lines.rewind().unwrap();
    assert_eq!(records(&mut lines), expected, "again from the beginning");
    assert!(open("nothing.json", "\n\n", false, None).unwrap().is_empty());
}

#[test]
fn csv_records_become_objects_with_typed_values() {
    let text = "id,price,code,is_new,note\n1,1.50,007,true,\"a, \"\"b\"\"\nc\"\n-2,1e3,12,false,\n\n3,,5\n4,2,6,,\"\"\n";
    let mut lines = open("cars.csv", text, false, Some("id")).unwrap();
    let expected = [
        r#"Some("1") {"id":1,"price":1.50,"code":"007","is_new":true,"note":"a, \"b\"\nc"}"#,
        r#"Some("-2") {"id":-2,"price":1e3,"code":"12","is_new":false,"note":null}"#,
        r#"Some("3") {"id":3,"price":null,"code":"5"}"#,
        r#"Some("4") {"id":4,"price":2,"code":"6","is_new":null,"note":""}"#,
    ];
    assert_eq!(records(&mut lines), expected);
    lines.rewind().unwrap();
    assert_eq!(records(&mut lines), expected, "again without the header");
}

#[test]
fn csv_lines_can_stay_as_they_are() {
    let mut lines = open("cars.CSV", "id,note\r\n1,\"a\nb\"\r\n2,c\r\n", true, Some("note")).unwrap();
    assert_eq!(records(&mut lines), ["Some(\"a\\nb\") 1,\"a\nb\"", "Some(\"c\") 2,c"]);
}

#[test]
fn what_cannot_be_sent_is_said() {
    for (name, text, is_raw, key, part) in [
        ("a.json", "{}", true, None, "does not end in .csv"),
        ("a.csv", "", false, None, "no header line"),
        ("a.csv", "id,name\n", false, Some("nam"), "no column \"nam\""),
        ("a.csv", "id\n\"1\n2\n3", false, None, ""),
    ] {
        match open(name, text, is_raw, key) {
            Ok(_) => assert_eq!(part, "", "{text:?}"),
            Err(error) => assert!(!part.is_empty() && error.message.contains(part), "{text:?}: {error:?}"),
        }
    }
}

#[test]
fn rates_have_units() {
    for (text, per_second) in [("1000", 1000.0), ("1000/s", 1000.0), ("1_000/s", 1000.0), ("90/min", 1.5), ("7200/h", 2.0)] {
        assert_eq!(text.parse::<Rate>().unwrap().per_second, per_second, "{text}");
    }
    for text in ["", "0", "-1/s", "10/day", "ten/s", "10/"] {
        assert!(text.parse::<Rate>().is_err(), "{text}");
    }
}

#[test]
fn records_are_due_one_after_the_other() {
    let started = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
    let never = std::sync::atomic::AtomicBool::new(false);
    let mut pace = Pace::new(Some(Rate { per_second: 4.0 }), started);
    for record_idx in 0..20 {
        assert_eq!(pace.due(), started + Duration::from_millis(250) * record_idx);
        assert!(pace.wait(&never));
    }
    let mut unlimited = Pace::new(None, started);
    assert!(unlimited.wait(&never) && unlimited.due() == started);
    assert!(!unlimited.wait(&std::sync::atomic::AtomicBool::new(true)), "it was stopped");
}
