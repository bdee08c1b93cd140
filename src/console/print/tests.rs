//! What is printed, as texts to read.

use super::*;
use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array, ListArray, StringArray, StructArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Int64Type};
use std::sync::Arc;

fn people() -> RecordBatch {
    let id: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(20), None]));
    let name: ArrayRef = Arc::new(StringArray::from(vec![Some("Ann"), None, Some("日本, \"x\"")]));
    RecordBatch::try_from_iter([("id", id), ("full_name", name)]).unwrap()
}

fn one(name: &str, values: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter([(name, values)]).unwrap()
}

fn printed(batches: &[RecordBatch], change: impl FnOnce(&mut Options)) -> String {
    let mut options = Options::default();
    change(&mut options);
    let mut printer = Printer::new(&options, &batches[0].schema());
    let mut out = String::new();
    for batch in batches {
        printer.rows(batch, &mut out).unwrap();
    }
    printer.finish(&mut out);
    out
}

#[track_caller]
fn check(batch: &RecordBatch, change: impl FnOnce(&mut Options), expected: &str) {
    let printed = printed(std::slice::from_ref(batch), change);
    assert_eq!(printed, expected, "\n{printed}");
}

#[test]
fn aligned() {
    let expected = " id | full_name \n----+-----------\n  1 | Ann\n 20 | \n    | 日本, \"x\"\n(3 rows)\n\n";
    check(&people(), |_| {}, expected);
    check(&people().slice(0, 1), |_| {}, " id | full_name \n----+-----------\n  1 | Ann\n(1 row)\n\n");
    check(&people().slice(0, 0), |_| {}, " id | full_name \n----+-----------\n(0 rows)\n\n");
    check(&people().slice(0, 2), |options| options.tuples_only = true, "  1 | Ann\n 20 | \n\n");
    check(&people().slice(2, 1), |options| options.null = "∅".into(), " id | full_name \n----+-----------\n  ∅ | 日本, \"x\"\n(1 row)\n\n");
}

#[test]
fn cells_of_several_lines_go_on_with_a_plus() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a\nbcd", "e"]));
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let batch = RecordBatch::try_from_iter([("t", text), ("n", number)]).unwrap();
    check(&batch, |_| {}, "  t  | n \n-----+---\n a  +| 1\n bcd |  \n e   | 2\n(2 rows)\n\n");
}

#[test]
fn a_terminal_is_not_steered_by_data() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["\u{1b}[2J\r", "a\tb"]));
    check(&one("t", text), |_| {}, "     t     \n-----------\n \\x1B[2J\\r\n a       b\n(2 rows)\n\n");
}

#[test]
fn expanded() {
    let on = |options: &mut Options| options.expanded = Expanded::On;
    let expected = "-[ RECORD 1 ]--\nid        | 1\nfull_name | Ann\n-[ RECORD 2 ]--\nid        | 20\nfull_name |\n\n";
    check(&people().slice(0, 2), on, expected);
    let wide: ArrayRef = Arc::new(StringArray::from(vec!["a rather long text"]));
    check(&one("a_rather_long_name", wide), on, "-[ RECORD 1 ]------+-------------------\na_rather_long_name | a rather long text\n\n");
    check(&people().slice(0, 0), on, "(0 rows)\n\n");
}

#[test]
fn expanded_when_the_terminal_is_too_narrow() {
    let auto = |columns| {
        move |options: &mut Options| {
            options.expanded = Expanded::Auto;
            options.terminal_columns = Some(columns);
        }
    };
    assert!(printed(&[people()], auto(16)).starts_with(" id |"));
    assert!(printed(&[people()], auto(15)).starts_with("-[ RECORD 1 ]"));
}

#[test]
fn csv_tells_null_from_an_empty_text() {
    let csv = |options: &mut Options| options.format = Format::Csv;
    check(&people(), csv, "id,full_name\n1,Ann\n20,\n,\"日本, \"\"x\"\"\"\n");
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some(""), None, Some("a\nb")]));
    check(&one("a,b", text), csv, "\"a,b\"\n\"\"\n\n\"a\nb\"\n");
    let only = |options: &mut Options| {
        csv(options);
        options.tuples_only = true;
    };
    check(&people().slice(0, 1), only, "1,Ann\n");
}

#[test]
fn unaligned() {
    let tabs = |options: &mut Options| {
        options.format = Format::Unaligned;
        options.field_separator = "\t".into();
    };
    check(&people().slice(0, 2), tabs, "id\tfull_name\n1\tAnn\n20\t\n(2 rows)\n");
    let bare = |options: &mut Options| {
        tabs(options);
        options.tuples_only = true;
    };
    check(&people().slice(0, 2), bare, "1\tAnn\n20\t\n");
    let records = |options: &mut Options| {
        tabs(options);
        options.expanded = Expanded::On;
    };
    check(&people().slice(0, 2), records, "id\t1\nfull_name\tAnn\n\nid\t20\nfull_name\t\n");
}

#[test]
fn values_are_readable() {
    let cell = |array: ArrayRef| Cells::new(&one("c", array)).unwrap().row(0).unwrap().remove(0).unwrap();
    assert_eq!(cell(Arc::new(Float64Array::from(vec![0.5]))), "0.5");
    assert_eq!(cell(Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..]]))), "\\x00ff");
    assert_eq!(cell(Arc::new(TimestampMicrosecondArray::from(vec![1_500_000]))), "1970-01-01 00:00:01.500");
    assert_eq!(cell(Arc::new(TimestampMicrosecondArray::from(vec![0]))), "1970-01-01 00:00:00");
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None])]);
    assert_eq!(cell(Arc::new(list)), "[1, NULL]");
    let item: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let structure = StructArray::from(vec![(Arc::new(Field::new("item", DataType::Utf8, true)), item)]);
    assert_eq!(cell(Arc::new(structure)), "{item: x}");
}

#[test]
fn rows_are_printed_while_they_arrive() {
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..MEASURED_ROWS_MAX as i64 + 10));
    let batch = one("n", values);
    let mut printer = Printer::new(&Options::default(), &batch.schema());
    let mut out = String::new();
    printer.rows(&batch, &mut out).unwrap();
    assert_eq!(out.lines().count(), 2 + MEASURED_ROWS_MAX, "the header and the rows that were measured");
    printer.finish(&mut out);
    assert!(out.ends_with("1009\n(1010 rows)\n\n"), "{}", &out[out.len() - 40..]);
}
