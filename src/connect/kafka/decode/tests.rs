//! What each kind of record becomes: bad ones first.

use super::*;
use crate::connect::SourceColumn;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, TimeUnit};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

fn field(name: &str, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type, true))
}

fn columns(fields: Vec<FieldRef>) -> SourceColumns {
    let columns = fields.into_iter().map(|field| SourceColumn { field, origin: Origin::Payload }).collect();
    SourceColumns { columns, event_time: None }
}

fn new_rows(options: &[(&str, &str)], columns: &SourceColumns) -> Rows {
    Rows::new(&KafkaOptions::of_topic("events", "localhost:1", options).unwrap(), columns).unwrap()
}

/// The declared columns of each row, then its offset.
fn shown(decoded: &Decoded) -> Vec<String> {
    let n_declared = decoded.rows.num_columns() - 3;
    let options = FormatOptions::new().with_null("NULL");
    let formats = decoded.rows.columns()[..n_declared].iter().map(|array| ArrayFormatter::try_new(array, &options).unwrap());
    let formats = formats.collect::<Vec<_>>();
    let offsets = decoded.rows.column(n_declared + 1).as_primitive::<Int64Type>();
    (0..decoded.rows.num_rows())
        .map(|row| {
            let values = formats.iter().map(|format| format.value(row).to_string()).collect::<Vec<_>>();
            format!("{}@{}", values.join("|"), offsets.value(row))
        })
        .collect()
}

fn decode(rows: &mut Rows, payloads: &[&[u8]]) -> Decoded {
    for (offset, payload) in payloads.iter().enumerate() {
        rows.push(&Record { offset: offset as i64, timestamp_ms: Some(7), payload: Some(payload), ..Record::default() });
    }
    rows.finish().unwrap()
}

/// Between two good records a bad one: both good ones are there, the bad one is a dead letter that says why.
#[track_caller]
fn is_buried(rows: &mut Rows, good: &[u8], bad: &[u8], why: &str) {
    let decoded = decode(rows, &[good, bad, good]);
    let found = shown(&decoded);
    let text = String::from_utf8_lossy(bad).into_owned();
    assert_eq!(found.len(), 2, "{text}: {found:?}");
    assert!(found[0].ends_with("@0") && found[1].ends_with("@2"), "{text}: {found:?}");
    let [letter] = decoded.dead_letters.as_slice() else { panic!("{text}: {:?}", decoded.dead_letters) };
    assert_eq!((letter.offset, letter.partition, letter.topic.as_str()), (1, 0, "events"), "{text}");
    assert_eq!((letter.payload.as_slice(), letter.is_truncated, letter.timestamp_ms), (bad, false, Some(7)), "{text}");
    assert!(letter.error.contains(why), "{text}: {}", letter.error);
}

fn json_columns() -> SourceColumns {
    let list = DataType::List(field("item", DataType::Int64));
    let inner = DataType::Struct(vec![field("x", DataType::Int64), field("y", DataType::Utf8)].into());
    let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)];
    let map = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair.into()), false)), false);
    let mut fields = vec![
        field("id", DataType::Int64),
        field("small", DataType::Int32),
        field("price", DataType::Float64),
        field("name", DataType::Utf8),
        field("ok", DataType::Boolean),
        field("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
        field("list", list),
        field("inner", inner),
        field("map", map),
    ];
    fields.push(Arc::new(Field::new("must", DataType::Int64, false)));
    columns(fields)
}

#[test]
fn bad_json_is_buried_and_good_json_stays() {
    let good = br#"{"id":1,"small":2,"price":1.5,"name":"a","ok":true,"at":"2026-01-02T03:04:05Z","list":[1,2],"inner":{"x":1,"y":"z"},"map":{"k":1},"must":1}"#;
    let rows = &mut new_rows(&[], &json_columns());
    let cases: &[(&[u8], &str)] = &[
        (br#"{"id":1,"must":1"#, "does not end"),
        (br#"{"id":1,"must":1}}"#, "more text follows"),
        (br#"{"id":1,"must":1}{"id":2,"must":1}"#, "more text follows"),
        (br#"{"id":,"must":1}"#, "a value is expected"),
        (br#"{"id":1 "must":1}"#, "is missing in an object"),
        (br#"{'id':1}"#, "must begin with"),
        (br#"{"id":tru,"must":1}"#, "a value is expected"),
        (br#"{"id":1e,"must":1}"#, "has no digits"),
        (b"", "is empty"),
        (b" \n ", "is empty"),
        (b"null", "is not a JSON object"),
        (b"[{\"id\":1}]", "is not a JSON object"),
        (b"17", "is not a JSON object"),
        (b"\"text\"", "is not a JSON object"),
        (b"{\"name\":\"\xff\xfe\",\"must\":1}", "not valid UTF-8"),
        (b"{\"other\":\"\xff\",\"must\":1}", "not valid UTF-8"),
        (br#"{"name":"\ud800","must":1}"#, "\"name\" is not valid UTF-8"),
        (br#"{"id":1.5,"must":1}"#, "column \"id\" is 1.5, not of type BIGINT"),
        (br#"{"id":1e2,"must":1}"#, "column \"id\" is 1e2, not of type BIGINT"),
        (br#"{"id":"x","must":1}"#, "column \"id\" is \"x\", not of type BIGINT"),
        (br#"{"id":[1],"must":1}"#, "column \"id\" is [1], not of type BIGINT"),
        (br#"{"id":9223372036854775808,"must":1}"#, "column \"id\""),
        (br#"{"small":2147483648,"must":1}"#, "not of type INT"),
        (br#"{"price":1e999,"must":1}"#, "not of type DOUBLE"),
        (br#"{"ok":1,"must":1}"#, "not of type BOOLEAN"),
        (br#"{"at":"yesterday","must":1}"#, "not of type TIMESTAMP"),
        (br#"{"list":[1,"x",3],"must":1}"#, "column \"list[]\" is \"x\""),
        (br#"{"list":{"a":1},"must":1}"#, "column \"list\""),
        (br#"{"inner":{"x":1.5,"y":"z"},"must":1}"#, "column \"inner.x\" is 1.5"),
        (br#"{"inner":3,"must":1}"#, "column \"inner\""),
        (br#"{"map":{"a":1,"b":"x","c":2},"must":1}"#, "column \"map.value\""),
        (br#"{"id":1}"#, "column \"must\" is NOT NULL"),
        (br#"{"id":1,"must":null}"#, "column \"must\" is NOT NULL"),
    ];
    for (bad, why) in cases {
        is_buried(rows, good, bad, why);
    }
    let deep = [b"{\"other\":".to_vec(), b"[".repeat(100_000), b"]".repeat(100_000), b",\"must\":1}".to_vec()].concat();
    is_buried(rows, good, &deep, "nested too deeply");
    // All in one batch, each with its own offset.
    let all = cases.iter().flat_map(|(bad, _)| [bad, good.as_slice()]).collect::<Vec<_>>();
    let decoded = decode(rows, &all);
    assert_eq!((decoded.rows.num_rows(), decoded.dead_letters.len()), (cases.len(), cases.len()));
    assert!(decoded.dead_letters.iter().all(|letter| letter.offset % 2 == 0));
    let expected = "1|2|1.5|a|true|2026-01-02T03:04:05|[1, 2]|{x: 1, y: z}|{k: 1}|1@";
    assert!(shown(&decoded).iter().all(|row| row.starts_with(expected)), "{:?}", shown(&decoded));
}

#[test]
fn json_that_is_read() {
    let fields = vec![field("userId", DataType::Int64), field("name", DataType::Utf8), field("price", DataType::Float64)];
    let rows = &mut new_rows(&[], &columns(fields));
    let payloads: &[&[u8]] = &[
        br#"{"userId":1,"name":"a","price":2}"#,
        br#" {"price":"2.5","name":3.50,"userId":"7"} "#,
        br#"{"USERID":4,"unknown":{"deep":[1,2,{"x":null}]}}"#,
        br#"{"userid":5,"userId":6}"#,
        br#"{"userId":6,"userid":5}"#,
        br#"{"userId":1,"userId":2}"#,
        br#"{"name":"tab\t\u00e9\ud83d\ude00 and more than eight bytes \"quoted\"","userId":null}"#,
        b"{}",
        br#"{"name":{"raw":1},"price":-1e-3}"#,
    ];
    let decoded = decode(rows, payloads);
    assert_eq!(decoded.dead_letters, []);
    assert_eq!(
        shown(&decoded),
        [
            "1|a|2.0@0",
            "7|3.50|2.5@1",
            "4|NULL|NULL@2",
            "6|NULL|NULL@3",
            "6|NULL|NULL@4",
            "2|NULL|NULL@5",
            "NULL|tab\té😀 and more than eight bytes \"quoted\"|NULL@6",
            "NULL|NULL|NULL@7",
            "NULL|{\"raw\":1}|-0.001@8",
        ]
    );
    let at = columns(vec![field("at", DataType::Timestamp(TimeUnit::Microsecond, None))]);
    for (format, text) in [("epoch_ms", "1767323045000"), ("epoch_s", "1767323045"), ("iso8601", "\"2026-01-02 03:04:05\"")] {
        let payload = format!("{{\"at\":{text}}}");
        let decoded = decode(&mut new_rows(&[("json.timestamp-format", format)], &at), &[payload.as_bytes()]);
        assert_eq!(shown(&decoded), ["2026-01-02T03:04:05@0"], "{format}");
    }
}

#[test]
fn a_conflict_may_become_null() {
    let mut table = json_columns();
    table.columns.pop();
    let rows = &mut new_rows(&[("on_type_conflict", "null")], &table);
    let decoded = decode(
        rows,
        &[br#"{"id":1.5,"small":1,"name":"a"}"#, br#"{"id":2,"list":[1,"x",3],"inner":{"x":"?","y":"z"}}"#, b"{\"id\":", br#"{"id":3}"#],
    );
    let null = "NULL|NULL|NULL";
    assert_eq!(
        shown(&decoded),
        [
            format!("NULL|1|NULL|a|NULL|NULL|{null}@0"),
            format!("2|{null}|NULL|NULL|[1, , 3]|{{x: , y: z}}|NULL@1").replace("[1, , 3]|{x: , y: z}", "[1, NULL, 3]|{x: NULL, y: z}"),
            format!("3|{null}|NULL|NULL|{null}@3"),
        ]
    );
    assert_eq!((decoded.n_nulled_fields, decoded.dead_letters.len()), (3, 1));
}

#[test]
fn large_records_tombstones_and_counts() {
    let rows = &mut new_rows(&[("record_bytes_max", "1 KiB")], &columns(vec![field("name", DataType::Utf8)]));
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(5 << 20));
    rows.push(&Record { partition: 3, offset: 9, key: Some(b"k"), payload: Some(long.as_bytes()), ..Record::default() });
    rows.push(&Record { partition: 3, offset: 10, timestamp_ms: Some(5), ..Record::default() });
    rows.push(&Record { partition: 3, offset: 11, timestamp_ms: Some(4), payload: Some(b"{\"name\":\"y\"}"), ..Record::default() });
    let decoded = rows.finish().unwrap();
    let letter = &decoded.dead_letters[0];
    assert_eq!((letter.offset, letter.payload.len(), letter.is_truncated, letter.key.as_deref()), (9, 1024, true, Some(b"k".as_slice())));
    assert!(letter.error.contains("5242891 bytes") && letter.error.contains("record_bytes_max"), "{}", letter.error);
    assert_eq!((decoded.n_tombstones, decoded.timestamp_max_ms, decoded.n_bytes), (1, Some(5), long.len() as u64 + 12));
    assert_eq!(shown(&decoded), ["y@11"]);
    // Nothing is left for the next batch.
    let decoded = rows.finish().unwrap();
    assert_eq!((decoded.rows.num_rows(), decoded.dead_letters.len(), decoded.n_tombstones, decoded.n_bytes), (0, 0, 0, 0));
}

#[test]
fn csv_by_position() {
    let fields = vec![field("id", DataType::Int64), field("name", DataType::Utf8), field("price", DataType::Float64)];
    let rows = &mut new_rows(&[("format", "csv"), ("csv.field-delimiter", ";")], &columns(fields));
    let good = b"1;\"a;\"\"b\"\"\";2.5";
    for (bad, why) in [
        (&b"1;a"[..], "has 2 fields, not 3"),
        (b"1;a;2;3", "has 4 fields, not 3"),
        (b"", "is empty"),
        (b"1;\"a;2", "does not end"),
        (b"1;a;2\n3;b;4", "more text follows"),
        (b"1.5;a;2", "column \"id\" is \"1.5\", not of type BIGINT"),
        (b"1;\xff;2", "column \"name\" is not valid UTF-8"),
        (b"1;a;x", "column \"price\""),
    ] {
        is_buried(rows, good, bad, why);
    }
    assert_eq!(shown(&decode(rows, &[good, b";;\n", b"2;x;3\r\n"])), ["1|a;\"b\"|2.5@0", "NULL|NULL|NULL@1", "2|x|3.0@2"]);
}

#[test]
fn raw_takes_payloads_as_they_are() {
    let text = &mut new_rows(&[("format", "raw")], &columns(vec![field("line", DataType::Utf8)]));
    is_buried(text, b"{broken", b"\xff\x00", "not of type STRING");
    let bytes = &mut new_rows(&[("format", "raw")], &columns(vec![field("line", DataType::Binary)]));
    assert_eq!(shown(&decode(bytes, &[b"\xff\x00", b""])), ["ff00@0", "@1"]);
    let options = KafkaOptions::of_topic("t", "b:1", &[("format", "raw")]).unwrap();
    let two = columns(vec![field("a", DataType::Utf8), field("b", DataType::Utf8)]);
    let Err(error) = Rows::new(&options, &two) else { panic!("two columns were taken") };
    assert!(error.message.contains("feeds one column, not 2"), "{error}");
}

fn with_metadata(kinds: &[(MetadataKind, DataType)]) -> SourceColumns {
    let mut all = columns(vec![field("id", DataType::Int64)]);
    for (idx, (kind, data_type)) in kinds.iter().enumerate() {
        all.columns.push(SourceColumn { field: field(&format!("m{idx}"), data_type.clone()), origin: Origin::Metadata(*kind) });
    }
    all
}

#[test]
fn metadata_columns_take_their_declared_types() {
    use MetadataKind as Kind;
    let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)];
    let map = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair.into()), false)), false);
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let table = with_metadata(&[
        (Kind::Topic, DataType::Utf8),
        (Kind::Partition, DataType::Int32),
        (Kind::Offset, DataType::Int64),
        (Kind::Timestamp, time),
        (Kind::Timestamp, DataType::Int64),
        (Kind::Key, DataType::Utf8),
        (Kind::Key, DataType::Binary),
        (Kind::Headers, map),
        (Kind::Headers, DataType::Utf8),
    ]);
    let rows = &mut new_rows(&[], &table);
    assert!(rows.wants_headers());
    let record = Record {
        partition: 2,
        offset: 40,
        timestamp_ms: Some(1_767_323_045_678),
        key: Some(b"k1"),
        payload: Some(b"{\"id\":1}"),
        headers: vec![("a", Some(b"x")), ("b", None), ("a", Some(b"y"))],
    };
    rows.push(&record);
    rows.push(&Record { offset: 41, timestamp_ms: None, key: None, headers: Vec::new(), ..record.clone() });
    rows.push(&Record { offset: 42, payload: Some(b"{"), ..record.clone() });
    rows.push(&Record { offset: 43, key: Some(b"\xff"), ..record });
    let decoded = rows.finish().unwrap();
    assert_eq!(
        shown(&decoded),
        [
            "1|events|2|40|2026-01-02T03:04:05.678|1767323045678|k1|6b31|{a: y, b: NULL}|{\"a\":\"y\",\"b\":null}@40",
            "1|events|2|41|NULL|NULL|NULL|NULL|{}|{}@41",
        ]
    );
    let errors = decoded.dead_letters.iter().map(|letter| (letter.offset, letter.error.as_str())).collect::<Vec<_>>();
    assert_eq!(errors, [(42, "the object does not end"), (43, "column \"m5\": the key is not of type STRING")]);

    let numbers = &mut new_rows(&[], &with_metadata(&[(Kind::Key, DataType::Int64), (Kind::Key, DataType::Int32)]));
    for (offset, key) in [&b"12"[..], b"\0\0\0\x05", &9_i64.to_be_bytes()].iter().enumerate() {
        numbers.push(&Record { offset: offset as i64, key: Some(key), payload: Some(b"{}"), ..Record::default() });
    }
    let decoded = numbers.finish().unwrap();
    assert_eq!((shown(&decoded), decoded.dead_letters.len()), (vec!["NULL|12|12@0".to_string()], 2));

    let options = KafkaOptions::of_topic("t", "b:1", &[]).unwrap();
    for (kind, data_type) in [(Kind::Offset, DataType::Float64), (Kind::Headers, DataType::Int64), (Kind::Topic, DataType::Int32)] {
        let Err(error) = Rows::new(&options, &with_metadata(&[(kind, data_type)])) else { panic!("{kind:?} was taken") };
        assert!(error.message.contains("cannot be fed from this metadata"), "{error}");
    }
}

#[test]
fn event_times_are_known_by_partition() {
    let mut table = columns(vec![field("at", DataType::Timestamp(TimeUnit::Microsecond, None))]);
    table.event_time = Some(0);
    let rows = &mut new_rows(&[("json.timestamp-format", "epoch_ms")], &table);
    for (offset, (partition, payload)) in
        [(0, "{\"at\":5}"), (1, "{\"at\":9}"), (0, "{\"at\":7}"), (0, "{\"at\":6}"), (1, "{}"), (2, "{}"), (1, "{\"at\":\"x\"}")]
            .iter()
            .enumerate()
    {
        let payload = Some(payload.as_bytes());
        rows.push(&Record { partition: *partition, offset: offset as i64, payload, ..Record::default() });
    }
    let decoded = rows.finish().unwrap();
    assert_eq!(decoded.event_time_max_us, BTreeMap::from([(0, 7_000), (1, 9_000)]));
}
