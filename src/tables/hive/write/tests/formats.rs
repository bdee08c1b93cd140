//! What lies in the files, byte for byte.

use super::*;
use datafusion::arrow::array::BinaryArray;

/// Writes one batch with COPY and returns the bytes.
async fn bytes(place: &Place, name: &str, format: Format, rows: RecordBatch) -> Result<Vec<u8>, String> {
    let location = place.storage.location(name, crate::storage::Access::Write).unwrap();
    let plan = copy_plan(&place.storage, &location, &format, &[], input(vec![rows])).map_err(|error| error.to_string())?;
    run(plan).await?;
    Ok(std::fs::read(&location.local).unwrap())
}

async fn text(place: &Place, format: Format, rows: RecordBatch) -> Result<String, String> {
    bytes(place, "f.txt", format, rows).await.map(|bytes| String::from_utf8(bytes).unwrap())
}

fn kinds() -> RecordBatch {
    let moment = TimestampMicrosecondArray::from(vec![Some(1_700_000_000_000_000), Some(1_700_000_000_123_456)]);
    let decimal = Decimal128Array::from(vec![Some(1_234), None]).with_precision_and_scale(10, 2).unwrap();
    batch(vec![
        ("b".into(), Arc::new(BooleanArray::from(vec![true, false])) as ArrayRef),
        ("f".into(), Arc::new(Float64Array::from(vec![1.5, 1e300])) as ArrayRef),
        ("d".into(), Arc::new(Date32Array::from(vec![Some(0), None])) as ArrayRef),
        ("t".into(), Arc::new(moment) as ArrayRef),
        ("n".into(), Arc::new(decimal) as ArrayRef),
    ])
}

#[tokio::test]
async fn text_is_written_so_that_it_is_read_back() {
    let place = place();
    let column = |values: &[Option<&str>]| batch(vec![texts("a", values), texts("b", &vec![Some("x"); values.len()])]);
    let values = [Some("plain"), Some("a,b"), Some("say \"hi\""), Some("two\nlines"), Some("cr\r"), None, Some("")];
    let expected = "a,b\nplain,x\n\"a,b\",x\n\"say \"\"hi\"\"\",x\n\"two\nlines\",x\n\"cr\r\",x\n,x\n\"\",x\n";
    assert_eq!(text(&place, Format::Text(csv()), column(&values)).await.unwrap(), expected);

    let expected = "true,1.5,1970-01-01,2023-11-14 22:13:20,12.34\nfalse,1e300,,2023-11-14 22:13:20.123456,\n";
    let plain = TextOptions { header: false, ..csv() };
    assert_eq!(text(&place, Format::Text(plain.clone()), kinds()).await.unwrap(), expected);
    let dated = TextOptions { timestamp_format: Some("%d/%m/%Y".into()), ..plain.clone() };
    assert!(text(&place, Format::Text(dated), kinds()).await.unwrap().contains(",14/11/2023,"));

    let lone = batch(vec![texts("a", &[None, Some("x")])]);
    assert_eq!(text(&place, Format::Text(plain.clone()), lone).await.unwrap(), "\"\"\nx\n", "an empty line would be skipped");
    assert_eq!(text(&place, Format::Text(textfile()), column(&[None, Some("a,\"b")])).await.unwrap(), "\\N\u{1}x\na,\"b\u{1}x\n");

    let double = |quote| TextOptions { delimiter: "::".into(), quote, header: false, ..csv() };
    assert_eq!(text(&place, Format::Text(double(Some(b'"'))), column(&[Some("a:")])).await.unwrap(), "\"a:\"::x\n");
    assert_eq!(text(&place, Format::Text(double(None)), column(&[Some("a:b")])).await.unwrap(), "a:b::x\n");
    let escaped = TextOptions { escape: Some(b'\\'), quote: None, ..plain.clone() };
    assert_eq!(text(&place, Format::Text(escaped), column(&[Some("a,b\\c\nd")])).await.unwrap(), "a\\,b\\\\c\\\nd,x\n");
    let both = TextOptions { escape: Some(b'\\'), ..plain.clone() };
    assert_eq!(text(&place, Format::Text(both), column(&[Some("a\\b\"c")])).await.unwrap(), "\"a\\\\b\"\"c\",x\n");
    let comment = TextOptions { comment: Some(b'#'), ..plain.clone() };
    assert_eq!(text(&place, Format::Text(comment), column(&[Some("#1")])).await.unwrap(), "\"#1\",x\n");
    let skip = TextOptions { skip_lines: 2, ..plain };
    assert_eq!(text(&place, Format::Text(skip), column(&[Some("1")])).await.unwrap(), "a,b\n\n1,x\n");

    for (options, value) in
        [(double(None), "a:"), (double(None), "a::b"), (textfile(), "\\N"), (textfile(), "two\nlines"), (textfile(), "a\u{1}b")]
    {
        let error = text(&place, Format::Text(options), column(&[Some(value)])).await.unwrap_err();
        assert!(error.contains("value of column \"a\" cannot be written"), "{value:?}: {error}");
    }
    until(|| place.leftovers().is_empty()).await;
}

#[tokio::test]
async fn json_is_one_object_a_line_and_timestamps_are_as_asked() {
    let place = place();
    let rows = || batch(vec![texts("s", &[Some("a\"b\n"), None]), ("t".into(), Arc::clone(kinds().column(3)))]);
    let iso = "{\"s\":\"a\\\"b\\n\",\"t\":\"2023-11-14T22:13:20\"}\n{\"t\":\"2023-11-14T22:13:20.123456\"}\n";
    assert_eq!(text(&place, json(JsonTimestamp::Iso8601), rows()).await.unwrap(), iso);
    let first = || rows().slice(0, 1);
    assert!(text(&place, json(JsonTimestamp::EpochMs), first()).await.unwrap().contains("\"t\":1700000000000}"));
    assert!(text(&place, json(JsonTimestamp::EpochS), first()).await.unwrap().contains("\"t\":1700000000}"));
    assert!(text(&place, json(JsonTimestamp::EpochMs), rows()).await.unwrap().contains("\"t\":1700000000123.456}"));
    assert!(text(&place, json(JsonTimestamp::EpochS), rows()).await.unwrap().contains("\"t\":1700000000.123456}"));
    let bad = batch(vec![("f".into(), Arc::new(Float64Array::from(vec![f64::NAN])) as ArrayRef)]);
    assert!(text(&place, json(JsonTimestamp::EpochS), bad).await.unwrap_err().contains("column \"f\" has NaN"));
    let far = batch(vec![("d".into(), Arc::new(Date32Array::from(vec![i32::MAX])) as ArrayRef)]);
    assert!(text(&place, json(JsonTimestamp::EpochS), far.clone()).await.unwrap_err().contains("column \"d\" has a date beyond"));
    assert!(text(&place, Format::Text(csv()), far).await.unwrap_err().contains("value cannot be written as text"));
    let binary = batch(vec![("x".into(), Arc::new(BinaryArray::from(vec![&b"\xff"[..]])) as ArrayRef)]);
    assert!(text(&place, json(JsonTimestamp::EpochS), binary).await.unwrap_err().contains("JSON files cannot hold column \"x\""));
}

#[tokio::test]
async fn the_ending_of_a_file_decides_its_compression() {
    let place = place();
    let rows = || batch(vec![ints("v", [1, 2])]);
    for (name, format) in [
        ("f.csv.gz", Format::Text(csv())),
        ("f.csv.zst", Format::Text(csv())),
        ("f.csv.bz2", Format::Text(csv())),
        ("f.csv", Format::Text(csv())),
    ] {
        let written = bytes(&place, name, format, rows()).await.unwrap();
        let mut plain = String::new();
        match name.rsplit_once('.').unwrap().1 {
            "gz" => flate2::read::GzDecoder::new(&*written).read_to_string(&mut plain).unwrap(),
            "zst" => zstd::Decoder::new(&*written).unwrap().read_to_string(&mut plain).unwrap(),
            "bz2" => bzip2::read::BzDecoder::new(&*written).read_to_string(&mut plain).unwrap(),
            _ => (&*written).read_to_string(&mut plain).unwrap(),
        };
        assert_eq!(plain, "v\n1\n2\n", "{name}");
    }
    for compression in ["zstd(1)", "snappy", "gzip(6)", "lz4_raw", "uncompressed"] {
        let format = Format::Parquet(ParquetOptions { compression: compression.into() });
        bytes(&place, "f.parquet", format, rows()).await.unwrap();
        let path = place.storage.warehouse().join("f.parquet");
        assert_eq!(read_values(&path), [1, 2], "{compression}");
        let metadata = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&path).unwrap()).unwrap().metadata().clone();
        let written = metadata.row_group(0).column(0).compression().to_string().to_lowercase();
        assert!(written.starts_with(compression.split('(').next().unwrap()), "{written} for {compression}");
    }
    let unknown = Format::Parquet(ParquetOptions { compression: "lzma".into() });
    assert!(bytes(&place, "g.parquet", unknown, rows()).await.unwrap_err().contains("compression \"lzma\""));
    assert!(!place.storage.warehouse().join("g.parquet").exists());
}
