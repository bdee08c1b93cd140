//! The type table of the edge, row by row.

use super::*;
use crate::error::Code;
use arrow::array::types::{Int32Type, IntervalDayTime, IntervalMonthDayNano};
use arrow::array::*;
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{IntervalUnit, UnionFields, i256};
use datafusion::physical_plan::EmptyRecordBatchStream;

/// Runs one column through the edge; schema and batch must agree.
#[track_caller]
fn convert(array: ArrayRef) -> Result<ArrayRef> {
    let field = Field::new("c", array.data_type().clone(), false).with_metadata([("k".to_owned(), "v".to_owned())].into());
    let schema =
        Schema::new_with_metadata(vec![Field::new("c", array.data_type().clone(), true)], [("k".to_owned(), "v".to_owned())].into());
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field.with_nullable(true)])), vec![Arc::clone(&array)]).unwrap();
    let edge = edge_schema(&schema);
    // The edge of the edge is the edge: announcing twice changes nothing.
    assert_eq!(edge_schema(&edge), edge, "{}", array.data_type());
    let converted = edge_batch(&batch, &edge)?;
    assert_eq!(converted.schema(), edge, "{}", array.data_type());
    assert_eq!(converted.num_rows(), array.len());
    let field = edge.field(0);
    assert!(field.is_nullable() && edge.metadata().is_empty() && !field.metadata().contains_key("k"));
    assert!(field.metadata().contains_key("ARROW:FLIGHT:SQL:TYPE_NAME"), "{}", array.data_type());
    // The same values from the middle of a larger array.
    if array.len() > 1 {
        let part = edge_batch(&batch.slice(1, array.len() - 1), &edge)?;
        assert_eq!(part.column(0).to_data(), converted.column(0).slice(1, array.len() - 1).to_data(), "{}", array.data_type());
    }
    Ok(Arc::clone(converted.column(0)))
}

#[track_caller]
fn check(array: impl Array + 'static, expected: impl Array + 'static) {
    let data_type = array.data_type().clone();
    let converted = convert(Arc::new(array)).unwrap_or_else(|error| panic!("{data_type}: {error}"));
    assert_eq!(converted.data_type(), expected.data_type(), "{data_type}");
    assert_eq!(converted.to_data(), expected.to_data(), "{data_type}");
}

/// Types that stay: the very same buffers come out.
#[track_caller]
fn keeps(array: impl Array + 'static) {
    let array: ArrayRef = Arc::new(array);
    let converted = convert(Arc::clone(&array)).unwrap();
    assert!(Arc::ptr_eq(&array, &converted), "{} was copied", array.data_type());
}

#[test]
fn values_without_a_place_are_refused_by_name() {
    let error = convert(Arc::new(UInt64Array::from(vec![Some(1), None, Some(u64::MAX)]))).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::InvalidValue, "column \"c\" has a value out of range for BIGINT"));
    assert!(error.detail.unwrap().contains("18446744073709551615"));
    let large = Decimal256Array::from(vec![i256::from_string(&"9".repeat(40)).unwrap()]).with_precision_and_scale(50, 2).unwrap();
    let error = convert(Arc::new(large)).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::InvalidValue, "column \"c\" has a value that does not fit DECIMAL(38,2)"));
}

#[test]
fn a_value_behind_null_or_outside_a_slice_does_not_fail() {
    let hidden = UInt64Array::new(ScalarBuffer::from(vec![u64::MAX, 7]), Some(vec![false, true].into()));
    check(hidden, Int64Array::from(vec![None, Some(7)]));
    let field = Arc::new(Field::new("item", DataType::UInt64, true));
    let values = Arc::new(UInt64Array::from(vec![u64::MAX, 1, 2]));
    let list = ListArray::new(field, OffsetBuffer::from_lengths([1, 2]), values, None).slice(1, 1);
    check(list, ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([Some([Some(1), Some(2)])]));
}

#[test]
fn common_types_are_shared_not_copied() {
    keeps(BooleanArray::from(vec![Some(true), None]));
    keeps(Int8Array::from(vec![Some(1), None]));
    keeps(Int16Array::from(vec![1, 2]));
    keeps(Int32Array::from(vec![1, 2]));
    keeps(Int64Array::from(vec![1, 2]));
    keeps(Float32Array::from(vec![1.5, f32::NAN]));
    keeps(Float64Array::from(vec![1.5, -0.0]));
    keeps(StringArray::from(vec![Some("a"), None]));
    keeps(BinaryArray::from_vec(vec![b"a", b""]));
    keeps(Date32Array::from(vec![0, -1]));
    keeps(Decimal128Array::from(vec![1, -1]).with_precision_and_scale(10, 2).unwrap());
    keeps(TimestampSecondArray::from(vec![0, -1]));
    keeps(TimestampNanosecondArray::from(vec![0, -1]).with_timezone("Europe/Paris"));
    keeps(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)]), None]));
}

#[test]
fn every_row_of_the_type_table_is_converted() {
    check(UInt8Array::from(vec![Some(255), None]), Int16Array::from(vec![Some(255), None]));
    check(UInt16Array::from(vec![65535]), Int32Array::from(vec![65535]));
    check(UInt32Array::from(vec![u32::MAX]), Int64Array::from(vec![4_294_967_295]));
    check(UInt64Array::from(vec![i64::MAX as u64]), Int64Array::from(vec![i64::MAX]));
    check(Float16Array::from(vec![half_of(1.5)]), Float32Array::from(vec![1.5]));
    check(
        StringViewArray::from(vec![Some("longer than twelve bytes"), None]),
        StringArray::from(vec![Some("longer than twelve bytes"), None]),
    );
    check(LargeStringArray::from(vec!["é"]), StringArray::from(vec!["é"]));
    check(LargeBinaryArray::from_vec(vec![b"\0a"]), BinaryArray::from_vec(vec![b"\0a"]));
    check(BinaryViewArray::from(vec![Some(b"\0a".as_slice()), None]), BinaryArray::from(vec![Some(b"\0a".as_slice()), None]));
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some(b"ab"), None].into_iter(), 2).unwrap();
    check(fixed, BinaryArray::from(vec![Some(b"ab".as_slice()), None]));
    check(DictionaryArray::<Int32Type>::from_iter([Some("a"), None, Some("a")]), StringArray::from(vec![Some("a"), None, Some("a")]));
    let small = Decimal32Array::from(vec![Some(150), None]).with_precision_and_scale(9, 2).unwrap();
    check(small, Decimal128Array::from(vec![Some(150), None]).with_precision_and_scale(9, 2).unwrap());
    let middle = Decimal64Array::from(vec![150]).with_precision_and_scale(18, 2).unwrap();
    check(middle, Decimal128Array::from(vec![150]).with_precision_and_scale(18, 2).unwrap());
    let wide = Decimal256Array::from(vec![i256::from(-150)]).with_precision_and_scale(50, 2).unwrap();
    check(wide, Decimal128Array::from(vec![-150]).with_precision_and_scale(38, 2).unwrap());
    check(Date64Array::from(vec![86_400_000]), Date32Array::from(vec![1]));
    check(Time32SecondArray::from(vec![3600]), Time64NanosecondArray::from(vec![3_600_000_000_000]));
    check(Time32MillisecondArray::from(vec![1]), Time64NanosecondArray::from(vec![1_000_000]));
    check(Time64MicrosecondArray::from(vec![Some(1), None]), Time64NanosecondArray::from(vec![Some(1_000), None]));
    check(NullArray::new(2), StringArray::from(vec![None::<&str>, None]));
}

fn half_of(value: f32) -> <arrow::datatypes::Float16Type as ArrowPrimitiveType>::Native {
    let array = arrow::compute::cast(&Float32Array::from(vec![value]), &DataType::Float16).unwrap();
    array.as_primitive::<arrow::datatypes::Float16Type>().value(0)
}

#[test]
fn intervals_and_durations_are_iso_8601_text() {
    let interval = |months, days, nanoseconds| Some(IntervalMonthDayNano { months, days, nanoseconds });
    check(
        IntervalMonthDayNanoArray::from(vec![
            interval(14, 3, 3_661_500_000_000),
            interval(-14, -3, -1_500_000_000),
            interval(0, 0, 0),
            interval(0, 0, 1),
            interval(0, 0, 86_400_000_000_000),
            None,
        ]),
        StringArray::from(vec![
            Some("P1Y2M3DT1H1M1.5S"),
            Some("P-1Y-2M-3DT-1.5S"),
            Some("PT0S"),
            Some("PT0.000000001S"),
            Some("PT24H"),
            None,
        ]),
    );
    check(IntervalYearMonthArray::from(vec![13]), StringArray::from(vec!["P1Y1M"]));
    check(IntervalDayTimeArray::from(vec![IntervalDayTime { days: 1, milliseconds: 60_000 }]), StringArray::from(vec!["P1DT1M"]));
    check(
        DurationSecondArray::from(vec![Some(i64::MIN), Some(90), None]),
        StringArray::from(vec![Some("PT-2562047788015215H-30M-8S"), Some("PT1M30S"), None]),
    );
    check(DurationNanosecondArray::from(vec![-1]), StringArray::from(vec!["PT-0.000000001S"]));
}

#[test]
fn nested_types_are_converted_inside() {
    let strings: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None]));
    let counts: ArrayRef = Arc::new(UInt64Array::from(vec![1, 2]));
    let entry = |name: &str, array: &ArrayRef| (Arc::new(Field::new(name, array.data_type().clone(), false)), Arc::clone(array));
    let edge_entry = |name: &str, array: ArrayRef| (Arc::new(Field::new(name, array.data_type().clone(), true)), array);
    let nullable = (Arc::new(Field::new("s", DataType::Utf8View, true)), strings);
    let expected = StructArray::from(vec![
        edge_entry("s", Arc::new(StringArray::from(vec![Some("a"), None]))),
        edge_entry("n", Arc::new(Int64Array::from(vec![1, 2]))),
    ]);
    check(StructArray::from(vec![nullable, entry("n", &counts)]), expected);

    let mut maps = MapBuilder::new(None, StringViewBuilder::new(), UInt8Builder::new());
    maps.keys().append_value("k");
    maps.values().append_value(7);
    maps.append(true).unwrap();
    maps.append(false).unwrap();
    let mut expected = MapBuilder::new(None, StringBuilder::new(), Int16Builder::new());
    expected.keys().append_value("k");
    expected.values().append_value(7);
    expected.append(true).unwrap();
    expected.append(false).unwrap();
    check(maps.finish(), expected.finish());

    let field = Arc::new(Field::new("item", DataType::UInt8, true));
    let fixed = FixedSizeListArray::new(field, 2, Arc::new(UInt8Array::from(vec![1, 2, 3, 4])), None);
    let field = Arc::new(Field::new("item", DataType::Int16, true));
    check(fixed, FixedSizeListArray::new(field, 2, Arc::new(Int16Array::from(vec![1, 2, 3, 4])), None));

    let field = Arc::new(Field::new("item", DataType::UInt8, true));
    let values = Arc::new(UInt8Array::from(vec![1, 2, 3]));
    let view = ListViewArray::new(field, vec![1, 0].into(), vec![2, 1].into(), values, None);
    check(view, ListArray::from_iter_primitive::<arrow::datatypes::Int16Type, _, _>([Some(vec![Some(2), Some(3)]), Some(vec![Some(1)])]));
}

#[test]
fn runs_and_unions_are_readable() {
    let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2, 3]), &StringArray::from(vec!["a", "b"])).unwrap();
    check(runs, StringArray::from(vec!["a", "a", "b"]));
    let fields: UnionFields =
        [(0, Arc::new(Field::new("n", DataType::UInt64, true))), (5, Arc::new(Field::new("s", DataType::Utf8View, true)))]
            .into_iter()
            .collect();
    let children: Vec<ArrayRef> = vec![Arc::new(UInt64Array::from(vec![Some(1), None])), Arc::new(StringViewArray::from(vec!["a\"b"]))];
    let union = UnionArray::try_new(fields, vec![0_i8, 5, 0].into(), Some(vec![0_i32, 0, 1].into()), children).unwrap();
    check(union, StringArray::from(vec![Some("1"), Some("\"a\\\"b\""), None]));
}

#[test]
fn metadata_says_precision_and_scale() {
    let schema = Schema::new(vec![
        Field::new("d", DataType::Decimal128(10, 2), false),
        Field::new("i", DataType::Interval(IntervalUnit::DayTime), false),
    ]);
    let edge = edge_schema(&schema);
    let of = |index: usize, key: &str| edge.field(index).metadata().get(&format!("ARROW:FLIGHT:SQL:{key}")).map(String::as_str);
    assert_eq!((of(0, "TYPE_NAME"), of(0, "PRECISION"), of(0, "SCALE")), (Some("DECIMAL"), Some("10"), Some("2")));
    assert_eq!((of(0, "IS_SEARCHABLE"), of(0, "IS_CASE_SENSITIVE"), of(0, "IS_AUTO_INCREMENT")), (Some("1"), Some("0"), Some("0")));
    assert_eq!((of(1, "TYPE_NAME"), of(1, "PRECISION"), of(1, "IS_CASE_SENSITIVE")), (Some("VARCHAR"), None, Some("1")));
}

#[tokio::test]
async fn large_batches_are_cut_and_rows_stay_in_order() {
    let text = "x".repeat(1000);
    let rows: Vec<String> = (0..10_000).map(|row| format!("{row} {text}")).chain(["y".repeat(3 * BATCH_BYTES_MAX)]).collect();
    let column: ArrayRef = Arc::new(StringViewArray::from_iter_values(&rows));
    let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
    let schema = edge_schema(&batch.schema());
    let empty = batch.slice(0, 0);
    let source = futures::stream::iter([Ok(empty), Ok(batch.clone())]);
    let source = Box::pin(RecordBatchStreamAdapter::new(batch.schema(), source));
    let cut: Vec<RecordBatch> = edge_stream(source, Arc::clone(&schema)).try_collect().await.unwrap();
    assert!((6..=12).contains(&cut.len()), "{} batches", cut.len());
    let mut seen = Vec::new();
    for batch in &cut {
        let strings = batch.column(0).as_string::<i32>();
        let bytes: usize = strings.iter().flatten().map(str::len).sum();
        assert!(bytes <= BATCH_BYTES_MAX || batch.num_rows() == 1, "{bytes} bytes in {} rows", batch.num_rows());
        assert_eq!(batch.schema(), schema);
        seen.extend(strings.iter().flatten().map(str::to_owned));
    }
    assert_eq!(seen, rows);
}

#[tokio::test]
async fn a_stream_without_rows_keeps_its_schema() {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::UInt64, false)]));
    let stream = edge_stream(Box::pin(EmptyRecordBatchStream::new(Arc::clone(&schema))), edge_schema(&schema));
    assert_eq!(stream.schema().field(0).data_type(), &DataType::Int64);
    assert_eq!(stream.try_collect::<Vec<_>>().await.unwrap().len(), 0);
}

#[test]
fn batches_without_columns_keep_their_row_count() {
    let options = RecordBatchOptions::new().with_row_count(Some(3));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    assert_eq!(edge_batch(&batch, &edge_schema(&batch.schema())).unwrap().num_rows(), 3);
}
