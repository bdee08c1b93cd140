//! Errors first; then what lies in the files, byte for byte; then crashes, cancelled and overlapping writes.

mod formats;

use super::journal::{Journal, decode, encode};
use super::transaction::{STAGING, Stop, Transaction};
use super::*;
use crate::storage::Root;
use crate::tables::hive::directory::{escape, unescape};
use crate::tables::hive::{JsonOptions, JsonTimestamp, ParquetOptions, TextOptions};
use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type, UInt64Type};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{SendableRecordBatchStream, collect};
use futures::StreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

struct Place {
    top: tempfile::TempDir,
    storage: Arc<Storage>,
}

fn open(top: &Path) -> Arc<Storage> {
    let root = Root { prefix: "/other".into(), path: top.join("other"), writable: true };
    Storage::open(&top.join("warehouse"), vec![root]).unwrap()
}

fn place() -> Place {
    let top = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(top.path().join("other")).unwrap();
    let storage = open(top.path());
    Place { top, storage }
}

fn csv() -> TextOptions {
    TextOptions::csv()
}

fn textfile() -> TextOptions {
    TextOptions::textfile()
}

fn json(timestamp_format: JsonTimestamp) -> Format {
    Format::Json(JsonOptions { timestamp_format, bad_field_is_null: false, compression: Compression::None })
}

fn parquet() -> Format {
    Format::Parquet(ParquetOptions { compression: "zstd(1)".into() })
}

fn ints(name: &str, values: impl IntoIterator<Item = i64>) -> (String, ArrayRef) {
    (name.into(), Arc::new(values.into_iter().collect::<Int64Array>()) as ArrayRef)
}

fn texts(name: &str, values: &[Option<&str>]) -> (String, ArrayRef) {
    (name.into(), Arc::new(StringArray::from(values.to_vec())) as ArrayRef)
}

fn batch(columns: Vec<(String, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn input(batches: Vec<RecordBatch>) -> Arc<dyn ExecutionPlan> {
    let schema = batches[0].schema();
    MemorySourceConfig::try_new_exec(&[batches], schema, None).unwrap()
}

impl Place {
    fn def(&self, location: &str, data: &[(&str, DataType)], partitions: &[(&str, DataType)], format: Format) -> HiveTableDef {
        let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
        HiveTableDef {
            name: format!("db.{location}"),
            location: self.storage.location(location, crate::storage::Access::Write).unwrap(),
            schema: Arc::new(Schema::new(data.iter().map(field).collect::<Vec<_>>())),
            partition_columns: partitions.iter().map(|column| Arc::new(field(column))).collect(),
            format,
            partition_locations: BTreeMap::new(),
        }
    }

    async fn insert(&self, def: &HiveTableDef, batches: Vec<RecordBatch>, mode: WriteMode) -> Result<u64, String> {
        let plan = insert_plan(def, &self.storage, input(batches), mode).map_err(|error| error.to_string())?;
        run(plan).await
    }

    async fn files(&self, def: &HiveTableDef) -> Vec<String> {
        let (listings, _pin) = list(&self.storage, std::slice::from_ref(&def.location)).await.unwrap();
        listings.concat().into_iter().map(|file| file.relative).collect()
    }

    /// The directories of the files, without their names, with how many lie in each.
    async fn partitions(&self, def: &HiveTableDef) -> Vec<String> {
        let mut names = self
            .files(def)
            .await
            .into_iter()
            .map(|file| file.rsplit_once('/').map(|(directory, _)| directory.to_owned()).unwrap_or_default());
        names.by_ref().collect()
    }

    /// All values of an INT64 column "v", sorted, as a reader through weir finds them.
    async fn values(&self, def: &HiveTableDef) -> Vec<i64> {
        let (listings, _pin) = list(&self.storage, std::slice::from_ref(&def.location)).await.unwrap();
        let mut values = listings.concat().iter().flat_map(|file| read_values(&file.local)).collect::<Vec<_>>();
        values.sort_unstable();
        values
    }

    fn leftovers(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.top.path().to_path_buf()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if path.is_dir() && name != STAGING {
                    open.push(path);
                } else if name == STAGING
                    || name.starts_with(".weir-")
                    || [".journal", ".published", ".begun"].iter().any(|ending| name.ends_with(ending))
                {
                    found.push(path);
                }
            }
        }
        found
    }
}

fn read_values(path: &Path) -> Vec<i64> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap().build().unwrap();
    reader.flat_map(|batch| batch.unwrap().column_by_name("v").unwrap().as_primitive::<Int64Type>().values().to_vec()).collect()
}

async fn run(plan: Arc<dyn ExecutionPlan>) -> Result<u64, String> {
    let batches = collect(plan, Arc::new(TaskContext::default())).await.map_err(|error| error.to_string())?;
    Ok(batches[0].column(0).as_primitive::<UInt64Type>().value(0))
}

/// An input that yields batches and then what the test wants: an error, or nothing for ever.
#[derive(Debug)]
struct Script {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    fails: bool,
}

impl PartitionStream for Script {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = futures::stream::iter(self.batches.clone().into_iter().map(Ok));
        let error = Error::new(Code::InvalidValue, "the input broke");
        let end = match self.fails {
            true => futures::stream::iter([Err(error.into())]).boxed(),
            false => futures::stream::pending().boxed(),
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches.chain(end)))
    }
}

fn script(batches: Vec<RecordBatch>, fails: bool) -> Arc<dyn ExecutionPlan> {
    let schema = batches[0].schema();
    let script = Arc::new(Script { schema: Arc::clone(&schema), batches, fails });
    Arc::new(StreamingTableExec::try_new(schema, vec![script], None, vec![], false, None).unwrap())
}

const V: (&str, DataType) = ("v", DataType::Int64);

#[tokio::test]
async fn what_cannot_be_written_is_refused_before_anything_is() {
    let place = place();
    let rows = || batch(vec![ints("v", [1])]);
    let error =
        place.insert(&place.def("t", &[V], &[("p", DataType::Utf8)], parquet()), vec![rows()], WriteMode::Append).await.unwrap_err();
    assert!(error.starts_with("table \"db.t\" has 2 columns, the query yields 1"), "{error}");

    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)])]);
    let nested = batch(vec![("l".into(), Arc::new(list) as ArrayRef)]);
    let nested_type = nested.schema().field(0).data_type().clone();
    let def = place.def("n", &[("l", nested_type.clone())], &[], Format::Text(csv()));
    let error = place.insert(&def, vec![nested.clone()], WriteMode::Append).await.unwrap_err();
    assert!(error.starts_with("text files cannot hold column \"l\""), "{error}");
    let def = place.def("n", &[V], &[("l", nested_type)], parquet());
    let both = batch(vec![ints("v", [1]), ("l".into(), Arc::clone(nested.column(0)))]);
    let error = place.insert(&def, vec![both], WriteMode::Append).await.unwrap_err();
    assert!(error.starts_with("column \"l\" cannot be a partition column"), "{error}");

    std::fs::write(place.storage.warehouse().join("one.csv"), "v\n1\n").unwrap();
    let def = place.def("one.csv", &[V], &[], Format::Text(csv()));
    let error = place.insert(&def, vec![rows()], WriteMode::Append).await.unwrap_err();
    assert!(error.contains("its location is a single file"), "{error}");
    let mut def = place.def("t", &[V], &[], parquet());
    def.location.local = place.storage.warehouse().to_path_buf();
    assert!(place.insert(&def, vec![rows()], WriteMode::OverwriteTable).await.unwrap_err().contains("warehouse"));
    let mode = WriteMode::OverwritePartitions { fixed: vec![("dy".into(), None)] };
    let def = place.def("t", &[], &[("v", DataType::Int64), ("day", DataType::Utf8)], parquet());
    assert!(place.insert(&def, vec![batch(vec![ints("v", [1]), texts("day", &[None])])], mode).await.unwrap_err().contains("no column"));
    assert_eq!(place.leftovers(), Vec::<PathBuf>::new());
    assert!(!place.storage.warehouse().join("t").exists() && !place.storage.warehouse().join("n").exists());
}

#[tokio::test]
async fn not_null_and_values_that_do_not_fit_end_the_write_with_the_name_of_the_column() {
    let place = place();
    let mut def = place.def("t", &[("a", DataType::Int32), ("b", DataType::Utf8)], &[], parquet());
    let good = batch(vec![ints("x", [1]), texts("y", &[Some("a")])]);
    let null = batch(vec![ints("x", [1, 2]), texts("y", &[Some("a"), None])]);
    let large = batch(vec![ints("x", [1 << 40]), texts("y", &[Some("a")])]);
    def.schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, false)]));
    let error = place.insert(&def, vec![good.clone(), null], WriteMode::Append).await.unwrap_err();
    assert!(error.contains("column \"b\" of table \"db.t\" is NOT NULL") && error.contains("1 rows"), "{error}");
    let error = place.insert(&def, vec![good.clone(), large], WriteMode::Append).await.unwrap_err();
    assert!(error.contains("value does not fit column \"a\""), "{error}");
    assert!(place.files(&def).await.is_empty());
    assert_eq!(place.insert(&def, vec![good], WriteMode::Append).await.unwrap(), 1);
}

#[test]
fn partition_values_are_escaped_as_hive_does() {
    for (text, escaped) in [
        ("2026-01-01", "2026-01-01"),
        ("12:30", "12%3A30"),
        ("a/b", "a%2Fb"),
        ("100%", "100%25"),
        ("a=b", "a%3Db"),
        ("é ü", "é ü"),
        ("{[^'\"#*?\\]}", "%7B%5B%5E%27%22%23%2A%3F%5C%5D}"),
        ("\t\n\u{7f}", "%09%0A%7F"),
        ("..", ".."),
        ("a+b ~", "a+b ~"),
    ] {
        assert_eq!(escape(text), escaped);
        assert_eq!(unescape(escaped), text);
    }
    assert_eq!(unescape("100%"), "100%");
    assert_eq!(unescape("%zz%+1"), "%zz%+1");
}

#[tokio::test]
async fn rows_go_to_the_directories_of_their_values() {
    let place = place();
    let def = place.def("t", &[V], &[("Day", DataType::Date32), ("k", DataType::Utf8)], parquet());
    let days = Arc::new(Date32Array::from(vec![Some(0), None, Some(0), Some(1)])) as ArrayRef;
    let rows = batch(vec![ints("v", 1..5), ("d".into(), days), texts("k", &[Some("a:b"), Some(""), Some("a:b"), Some("../..")])]);
    assert_eq!(place.insert(&def, vec![rows], WriteMode::Append).await.unwrap(), 4);
    let null = "__HIVE_DEFAULT_PARTITION__";
    let expected = ["Day=1970-01-01/k=a%3Ab".into(), "Day=1970-01-02/k=..%2F..".into(), format!("Day={null}/k={null}")];
    assert_eq!(place.partitions(&def).await, expected);
    assert_eq!(place.values(&def).await, [1, 2, 3, 4]);
    for (value, part) in [(null, "stands for NULL"), (&*"x".repeat(254), "too long")] {
        let rows = batch(vec![ints("v", [1]), ("d".into(), Arc::new(Date32Array::from(vec![0])) as ArrayRef), texts("k", &[Some(value)])]);
        let error = place.insert(&def, vec![rows], WriteMode::Append).await.unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(place.files(&def).await.len(), 3);
}

#[tokio::test]
async fn a_partition_is_replaced_by_its_value_not_by_its_spelling() {
    let place = place();
    let def = place.def("t", &[V], &[("m", DataType::Int32)], parquet());
    let rows = |v, m: i32| batch(vec![ints("v", [v]), ("m".into(), Arc::new(Int32Array::from(vec![m])) as ArrayRef)]);
    for month in [1, 2, 3] {
        place.insert(&def, vec![rows(i64::from(month), month)], WriteMode::Append).await.unwrap();
    }
    std::fs::rename(def.location.local.join("m=1"), def.location.local.join("m=01")).unwrap();
    let mode = |fixed: &[(&str, &str)]| WriteMode::OverwritePartitions {
        fixed: fixed.iter().map(|(name, value)| ((*name).into(), Some((*value).into()))).collect(),
    };
    place.insert(&def, vec![rows(10, 1)], mode(&[])).await.unwrap();
    assert_eq!(place.values(&def).await, [2, 3, 10]);
    let nothing = rows(0, 2).slice(0, 0);
    place.insert(&def, vec![nothing.clone()], mode(&[("M", "02")])).await.unwrap();
    assert_eq!(place.values(&def).await, [3, 10], "the fixed partition is emptied although no row came");
    place.insert(&def, vec![nothing.clone()], mode(&[])).await.unwrap();
    assert_eq!(place.values(&def).await, [3, 10]);
    assert!(place.insert(&def, vec![nothing.clone()], mode(&[("m", "x")])).await.unwrap_err().contains("does not fit"));
    std::fs::write(def.location.local.join("_SUCCESS"), "").unwrap();
    place.insert(&def, vec![nothing], WriteMode::OverwriteTable).await.unwrap();
    assert!(place.values(&def).await.is_empty());
    assert!(def.location.local.join("_SUCCESS").exists(), "hidden files are not the table's");
    assert_eq!(place.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_partition_with_its_own_location_is_written_there() {
    let place = place();
    let mut def = place.def("t", &[V], &[("m", DataType::Int32)], parquet());
    let other = place.storage.location("/other/m2", crate::storage::Access::Write).unwrap();
    def.partition_locations.insert("m=02".into(), other.clone());
    let rows = || batch(vec![ints("v", [1, 2]), ("m".into(), Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef)]);
    place.insert(&def, vec![rows()], WriteMode::Append).await.unwrap();
    let (listings, pin) = list(&place.storage, &[def.location.clone(), other.clone()]).await.unwrap();
    assert_eq!((listings[0].len(), listings[1].len()), (1, 1));
    drop(pin);
    place.insert(&def, vec![rows()], WriteMode::OverwriteTable).await.unwrap();
    let (listings, _pin) = list(&place.storage, &[def.location.clone(), other]).await.unwrap();
    assert_eq!((listings[0].len(), listings[1].len()), (1, 1), "both places were replaced");
}

#[tokio::test]
async fn copy_makes_a_file_or_a_new_directory_and_never_mixes() {
    let place = place();
    let rows = || batch(vec![texts("k", &[Some("a"), Some("b")]), ints("v", [1, 2])]);
    let copy = async |name: &str, partitions: &[&str], rows: RecordBatch| {
        let location = place.storage.location(name, crate::storage::Access::Write).unwrap();
        let partitions = partitions.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let plan = copy_plan(&place.storage, &location, &parquet(), &partitions, input(vec![rows])).map_err(|error| error.to_string())?;
        run(plan).await
    };
    assert_eq!(copy("out", &["K"], rows()).await.unwrap(), 2);
    let def = place.def("out", &[V], &[("k", DataType::Utf8)], parquet());
    assert_eq!(place.partitions(&def).await, ["k=a", "k=b"]);
    assert!(copy("out", &[], rows()).await.unwrap_err().contains("is not empty"));
    assert!(copy("x.parquet", &["k"], rows()).await.unwrap_err().contains("cannot have partitions"));
    assert!(copy("x", &["q"], rows()).await.unwrap_err().contains("has no column \"q\""));
    assert!(copy("x", &["k", "K"], rows()).await.unwrap_err().contains("has no column \"K\""));
    copy("dir.parquet/", &[], rows()).await.unwrap();
    assert!(place.storage.warehouse().join("dir.parquet").is_dir());
    copy("none", &[], rows().slice(0, 0)).await.unwrap();
    let none = place.def("none", &[V], &[], parquet());
    assert_eq!((place.files(&none).await.len(), place.values(&none).await.len()), (1, 0), "an empty result tells its columns");
    copy("f.parquet", &[], rows()).await.unwrap();
    copy("f.parquet", &[], rows().slice(0, 1)).await.unwrap();
    assert_eq!(read_values(&place.storage.warehouse().join("f.parquet")), [1]);
    let location = place.storage.location("f.parquet", crate::storage::Access::Write).unwrap();
    let plan = copy_plan(&place.storage, &location, &parquet(), &[], script(vec![rows()], true)).unwrap();
    assert!(run(plan).await.unwrap_err().contains("the input broke"));
    assert_eq!(read_values(&location.local), [1], "a failed COPY leaves the old file");
    until(|| place.leftovers().is_empty()).await;
}

/// Waits until a condition holds that a blocking thread brings about.
async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_failed_or_cancelled_write_leaves_nothing() {
    let place = place();
    let def = place.def("t", &[V], &[("k", DataType::Utf8)], parquet());
    let rows = || batch(vec![ints("v", [1, 2]), texts("k", &[Some("a"), Some("b")])]);
    place.insert(&def, vec![rows()], WriteMode::Append).await.unwrap();
    let plan = insert_plan(&def, &place.storage, script(vec![rows(), rows()], true), WriteMode::OverwriteTable).unwrap();
    assert!(run(plan).await.unwrap_err().contains("the input broke"));
    until(|| place.leftovers().is_empty()).await;

    let plan = insert_plan(&def, &place.storage, script(vec![rows(), rows()], false), WriteMode::OverwriteTable).unwrap();
    let mut stream = plan.execute(0, Arc::new(TaskContext::default())).unwrap();
    let mut staged = std::pin::pin!(until(|| def.location.local.join(STAGING).exists()));
    tokio::select! {
        _ = stream.next() => panic!("the input never ends"),
        () = &mut staged => {}
    }
    drop(stream);
    until(|| place.leftovers().is_empty()).await;
    assert_eq!(place.values(&def).await, [1, 2]);
}

#[tokio::test]
async fn a_scan_goes_on_reading_what_it_has_listed() {
    let place = place();
    let def = place.def("t", &[V], &[], parquet());
    let rows = |v| vec![batch(vec![ints("v", [v])])];
    place.insert(&def, rows(1), WriteMode::Append).await.unwrap();
    let (old, pin) = list(&place.storage, std::slice::from_ref(&def.location)).await.unwrap();
    place.insert(&def, rows(2), WriteMode::OverwriteTable).await.unwrap();
    assert_eq!(place.values(&def).await, [2], "a new reader sees the new rows only");
    assert_eq!(read_values(&old[0][0].local), [1], "the old reader still has its file");
    place.insert(&def, rows(3), WriteMode::OverwriteTable).await.unwrap();
    assert_eq!(place.values(&def).await, [3]);
    // The process ends while the scan runs: the next one removes what was removed.
    let next = Place { storage: open(place.top.path()), top: place.top };
    assert_eq!(next.values(&def).await, [3]);
    assert!(!old[0][0].local.exists());
    drop(pin);
    until(|| next.leftovers().is_empty()).await;
}

#[tokio::test]
async fn readers_see_all_of_a_write_or_nothing_while_many_overlap() {
    let place = Arc::new(place());
    let def = place.def("t", &[V], &[("k", DataType::Int64)], parquet());
    let rows = |value: i64| vec![batch(vec![ints("v", [value; 7]), ints("k", 0..7)])];
    place.insert(&def, rows(0), WriteMode::Append).await.unwrap();
    let writers = (0..2).map(|writer| {
        let (place, def) = (&place, &def);
        async move {
            for round in 1..8 {
                place.insert(def, rows(round * 2 + writer), WriteMode::OverwriteTable).await.unwrap();
            }
        }
    });
    let reader = async {
        for _ in 0..60 {
            let values = place.values(&def).await;
            assert_eq!(values.len(), 7, "a mix was read: {values:?}");
            assert_eq!(values[0], values[6], "a mix was read: {values:?}");
        }
    };
    futures::future::join(futures::future::join_all(writers), reader).await;
    until(|| place.leftovers().is_empty()).await;
}

#[tokio::test]
async fn a_crash_at_any_step_leaves_the_old_rows_or_the_new_ones() {
    let steps = [
        (Stop::BeforeJournal, false),
        (Stop::AfterJournal, true),
        (Stop::AfterPublish, true),
        (Stop::HalfRemoved, true),
        (Stop::BeforeForget, true),
    ];
    for (stop, is_committed) in steps {
        let place = place();
        let def = place.def("t", &[V], &[], parquet());
        for v in [1, 2] {
            place.insert(&def, vec![batch(vec![ints("v", [v])])], WriteMode::Append).await.unwrap();
        }
        let old = place.files(&def).await.into_iter().map(|file| def.location.local.join(file)).collect::<BTreeSet<_>>();
        let donor = place.def("donor", &[V], &[], parquet());
        for v in [3, 4] {
            place.insert(&donor, vec![batch(vec![ints("v", [v])])], WriteMode::Append).await.unwrap();
        }
        let mut transaction = Transaction::begin(&place.storage, vec![def.location.local.clone()]);
        for (number, file) in place.files(&donor).await.into_iter().enumerate() {
            let target = def.location.local.join(format!("new/{number}.parquet"));
            let staged = transaction.stage(&def.location.local, target).unwrap();
            std::fs::copy(donor.location.local.join(file), staged).unwrap();
        }
        transaction.commit_until(stop, move || Ok(old)).await.unwrap_err();
        assert!(!place.leftovers().is_empty(), "{stop:?} was no crash");

        let next = Place { storage: open(place.top.path()), top: place.top };
        let expected = if is_committed { vec![3, 4] } else { vec![1, 2] };
        assert_eq!(next.values(&def).await, expected, "{stop:?}");
        assert_eq!(next.leftovers(), Vec::<PathBuf>::new(), "{stop:?}");
        // And again: recovery of nothing does nothing.
        let again = Place { storage: open(next.top.path()), top: next.top };
        assert_eq!(again.values(&def).await, expected, "{stop:?}");
    }
}

#[tokio::test]
async fn a_damaged_journal_was_never_a_commit_and_a_foreign_one_does_no_harm() {
    let place = place();
    let def = place.def("t", &[V], &[], parquet());
    place.insert(&def, vec![batch(vec![ints("v", [1])])], WriteMode::Append).await.unwrap();
    let file = def.location.local.join(&place.files(&def).await[0]);
    let journal = Journal { directories: vec![def.location.local.clone()], renames: vec![], removals: vec![file], staging: vec![] };
    let whole = encode(&journal).unwrap();
    assert_eq!(decode::<Journal>(&whole).unwrap(), journal);
    for at in 0..whole.len() {
        assert!(decode::<Journal>(&whole[..at]).is_none(), "cut at {at}");
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        assert!(decode::<Journal>(&flipped).is_none(), "flipped at {at}");
    }
    let outside = place.top.path().join("outside.txt");
    std::fs::write(&outside, "mine").unwrap();
    let foreign = Journal { directories: vec![place.top.path().join("other")], removals: vec![outside.clone()], ..journal };
    let directory = place.storage.warehouse().join("_weir_journal");
    std::fs::write(directory.join("a.journal"), &whole[..whole.len() - 1]).unwrap();
    std::fs::write(directory.join("b.journal"), encode(&foreign).unwrap()).unwrap();
    std::fs::write(directory.join("c.begun"), encode(&vec![place.top.path().join("other")]).unwrap()).unwrap();
    let next = Place { storage: open(place.top.path()), top: place.top };
    assert_eq!(next.values(&def).await, [1], "a journal that is not whole was applied");
    assert!(directory.join("a.damaged").exists());
    assert!(outside.exists(), "a journal reached outside the roots");
    assert!(next.top.path().join("other").exists(), "only staging directories are removed");
    let blocked = next.storage.location("/other", crate::storage::Access::Read).unwrap();
    let error = list(&next.storage, &[blocked]).await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable, "{error}");
}

#[tokio::test]
async fn a_committed_write_that_cannot_be_put_in_place_is_completed_by_the_next_listing() {
    let place = place();
    let def = place.def("t", &[V], &[("k", DataType::Utf8)], parquet());
    let rows = batch(vec![ints("v", [1, 2]), texts("k", &[Some("a"), Some("b")])]);
    std::fs::create_dir_all(&def.location.local).unwrap();
    // In the way of the directory "k=b".
    std::fs::write(def.location.local.join("k=b"), "").unwrap();
    let error = place.insert(&def, vec![rows], WriteMode::Append).await.unwrap_err();
    assert!(error.contains("write is committed"), "{error}");
    let error = list(&place.storage, std::slice::from_ref(&def.location)).await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable, "half a write can be read");
    std::fs::remove_file(def.location.local.join("k=b")).unwrap();
    assert_eq!(place.values(&def).await, [1, 2]);
    assert_eq!(place.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn more_partitions_than_open_files_are_written_whole() {
    let place = place();
    let def = place.def("t", &[V], &[("k", DataType::Int64)], parquet());
    let rows = || batch(vec![ints("v", 0..30), ints("k", 0..30)]);
    assert_eq!(place.insert(&def, vec![rows(), rows()], WriteMode::Append).await.unwrap(), 60);
    let values = place.values(&def).await;
    assert_eq!(values.len(), 60);
    assert_eq!(place.partitions(&def).await.into_iter().collect::<BTreeSet<_>>().len(), 30);
    assert_eq!(place.leftovers(), Vec::<PathBuf>::new());
}

#[test]
fn the_count_is_one_row_of_one_column() {
    let place = place();
    let def = place.def("t", &[V], &[], parquet());
    let plan = insert_plan(&def, &place.storage, input(vec![batch(vec![ints("v", [1])])]), WriteMode::Append).unwrap();
    assert_eq!(plan.schema().field(0).name(), "count");
    assert_eq!(DataType::UInt64, *plan.schema().field(0).data_type());
}
