//! The bench on which the tests of all formats run, and the rules that all formats share.

use super::*;
use crate::error::{Code, Error};
use crate::storage::Access;
use datafusion::arrow::datatypes::TimeUnit;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::path::Path;

/// A warehouse in a temporary directory, and a session that reads it.
pub(super) struct Bench {
    pub(super) directory: tempfile::TempDir,
    pub(super) storage: Arc<Storage>,
    pub(super) session: SessionContext,
}

/// The rows as `a|b`, NULL as `NULL`.
pub(super) fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect::<Vec<_>>();
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|")).collect()
}

/// `a BIGINT, b STRING` as fields; nested types are given as Arrow fields by the tests that need them.
pub(super) fn fields(columns: &str) -> Vec<Field> {
    let columns = columns.split(", ").filter(|column| !column.is_empty());
    let field = |column: &str| {
        let (name, sql_type) = column.rsplit_once(' ').unwrap();
        let data_type = match sql_type {
            "TINYINT" => DataType::Int8,
            "SMALLINT" => DataType::Int16,
            "INT" => DataType::Int32,
            "BIGINT" => DataType::Int64,
            "FLOAT" => DataType::Float32,
            "DOUBLE" => DataType::Float64,
            "DECIMAL(10,2)" => DataType::Decimal128(10, 2),
            "DECIMAL(38,10)" => DataType::Decimal128(38, 10),
            "BOOLEAN" => DataType::Boolean,
            "DATE" => DataType::Date32,
            "TIMESTAMP" => DataType::Timestamp(TimeUnit::Microsecond, None),
            "STRING" => DataType::Utf8,
            "BINARY" => DataType::Binary,
            other => panic!("no type {other}"),
        };
        Field::new(name, data_type, true)
    };
    columns.map(field).collect()
}

impl Bench {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(directory.path(), Vec::new()).unwrap();
        let runtime = RuntimeEnvBuilder::new().with_object_store_registry(storage.registry()).build_arc().unwrap();
        let session = SessionContext::new_with_config_rt(SessionConfig::new().with_target_partitions(2), runtime);
        Self { directory, storage, session }
    }

    pub(super) fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(super) fn parquet(&self, name: &str, batch: &RecordBatch) {
        let properties = ::parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(100)).build();
        let mut writer = ::parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(batch).unwrap();
        self.file(name, writer.into_inner().unwrap());
    }

    pub(super) fn def(
        &self,
        location: &str,
        format: &str,
        options: &[(&str, &str)],
        columns: Vec<Field>,
        partitions: &str,
    ) -> HiveTableDef {
        let options = options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        HiveTableDef {
            name: "public.t".into(),
            location: self.storage.location(location, Access::Read).unwrap(),
            schema: Arc::new(Schema::new(columns)),
            partition_columns: fields(partitions).into_iter().map(Arc::new).collect(),
            format: Format::parse(format, "table \"t\"", options).unwrap(),
            partition_locations: BTreeMap::new(),
        }
    }

    pub(super) fn register(&self, def: HiveTableDef) {
        let table = HiveTable::new(def, Arc::clone(&self.storage));
        self.session.deregister_table("t").unwrap();
        self.session.register_table("t", Arc::new(table)).unwrap();
    }

    /// Makes `t` a table over `location`.
    pub(super) fn table(&self, location: &str, format: &str, options: &[(&str, &str)], columns: &str, partitions: &str) {
        self.register(self.def(location, format, options, fields(columns), partitions));
    }

    /// The rows as `a|b`, NULL as `NULL`.
    pub(super) async fn query(&self, sql: &str) -> Result<Vec<String>> {
        let batches = async { self.session.sql(sql).await?.collect().await }.await.map_err(ours)?;
        Ok(batches.iter().flat_map(lines).collect())
    }

    pub(super) async fn rows(&self, sql: &str) -> Vec<String> {
        self.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub(super) async fn error(&self, sql: &str) -> Error {
        self.query(sql).await.expect_err(sql)
    }

    pub(super) async fn infer(&self, location: &str, format: &str, options: &[(&str, &str)]) -> Result<(SchemaRef, Vec<FieldRef>)> {
        let def = self.def(location, format, options, Vec::new(), "");
        HiveTable::infer(&self.session.state(), &self.storage, "t", &def.location, &def.format).await
    }

    /// The inferred columns as `a BIGINT, b STRING`, partition columns after ` / `.
    pub(super) async fn inferred(&self, location: &str, format: &str, options: &[(&str, &str)]) -> String {
        let (schema, partitions) = self.infer(location, format, options).await.unwrap();
        let text = |fields: Vec<&FieldRef>| {
            fields.iter().map(|field| format!("{} {}", field.name(), sql_type(field.data_type()))).collect::<Vec<_>>().join(", ")
        };
        let columns = text(schema.fields().iter().collect());
        if partitions.is_empty() { columns } else { format!("{columns} / {}", text(partitions.iter().collect())) }
    }
}

/// Our error out of the engine's.
fn ours(error: datafusion::common::DataFusionError) -> Error {
    match error {
        datafusion::common::DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => Error::internal(other.to_string()),
        },
        datafusion::common::DataFusionError::Shared(inner) => match &*inner {
            datafusion::common::DataFusionError::External(inner) if inner.is::<Error>() => inner.downcast_ref::<Error>().unwrap().clone(),
            other => Error::internal(other.to_string()),
        },
        datafusion::common::DataFusionError::Context(_, inner) => ours(*inner),
        other => Error::internal(other.to_string()),
    }
}

/// The directory with real data.
pub(super) fn test_data() -> std::path::PathBuf {
    let directory = std::env::var("WEIR_TEST_DATA").unwrap_or_else(|_| "../shared/data".into());
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    assert!(directory.is_dir(), "set WEIR_TEST_DATA to the directory with ml-latest-small, telco-churn and used-cars");
    directory
}

#[track_caller]
pub(super) fn check_error(error: &Error, code: Code, parts: &[&str]) {
    let line = error.to_string();
    for part in parts {
        assert!(line.contains(part), "{line:?} does not say {part:?}");
    }
    assert_eq!(error.code, code, "{line}");
}

#[tokio::test]
async fn a_directory_that_is_not_of_the_declared_type_is_named() {
    let bench = Bench::new();
    bench.file("t/year=2001/a.csv", "v\n1\n");
    bench.file("t/year=x/a.csv", "v\n1\n");
    bench.table("t", "CSV", &[], "v BIGINT", "year INT");
    check_error(
        &bench.error("SELECT * FROM t").await,
        Code::InvalidValue,
        &["partition directory \"year=x\"", "is not of type INT", "STRING"],
    );
}

#[tokio::test]
async fn a_file_outside_the_partitions_is_named() {
    let bench = Bench::new();
    bench.file("t/stray.csv", "v\n1\n");
    bench.table("t", "CSV", &[], "v BIGINT", "year INT");
    check_error(&bench.error("SELECT * FROM t").await, Code::DataCorrupted, &["t/stray.csv", "lies outside the partitions", "year=.."]);
}

#[test]
fn formats_refuse_what_they_do_not_know() {
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Code, &'a str);
    let cases: &[Case<'_>] = &[
        ("AVRO", &[], Code::NotSupported, "format \"AVRO\" is not supported"),
        ("CSV", &[("delimitr", ";")], Code::InvalidParameter, "has no option \"delimitr\". Did you mean \"delimiter\"?"),
        ("CSV", &[("header", "maybe")], Code::InvalidParameter, "option \"header\" is \"maybe\""),
        ("CSV", &[("delimiter", "")], Code::InvalidParameter, "delimiter is empty"),
        ("CSV", &[("quote", "''")], Code::InvalidParameter, "not one ASCII character"),
        ("CSV", &[("delimiter", "\"")], Code::InvalidParameter, "quote \"\"\" is also in the delimiter"),
        ("CSV", &[("on_bad_field", "skip")], Code::InvalidParameter, "Use one of: null, error"),
        ("CSV", &[("compression", "snappy")], Code::InvalidParameter, "option \"compression\" is \"snappy\""),
        ("CSV", &[("timestampFormat", "QQQ")], Code::InvalidParameter, "\"QQQ\" is not understood"),
        ("CSV", &[("encoding", "latin1")], Code::InvalidParameter, "utf-8"),
        ("PARQUET", &[("header", "true")], Code::InvalidParameter, "has no option \"header\""),
        ("PARQUET", &[("parquet.compression", "bzip3")], Code::InvalidParameter, "Use one of: zstd"),
        ("JSON", &[("json.timestamp-format", "iso")], Code::InvalidParameter, "epoch_ms"),
    ];
    for (format, options, code, part) in cases {
        let options = options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        check_error(&Format::parse(format, "table \"t\"", options).unwrap_err(), *code, &[part]);
    }
}

#[test]
fn options_are_understood_in_every_spelling() {
    let text = |format: &str, options: &[(&str, &str)]| {
        let options = options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        match Format::parse(format, "table \"t\"", options).unwrap() {
            Format::Text(text) => text,
            other => panic!("{other:?}"),
        }
    };
    let csv = TextOptions::csv();
    assert_eq!(text("csv", &[]), csv);
    assert_eq!(text("TEXTFILE", &[]), TextOptions::textfile());
    for key in ["delimiter", "sep", "field.delim", "format.delimiter", "FIELD.DELIM"] {
        assert_eq!(text("CSV", &[(key, "::")]), TextOptions { delimiter: "::".into(), ..csv.clone() }, "{key}");
    }
    for key in ["header", "has_header", "format.has_header"] {
        assert_eq!(text("CSV", &[(key, "false")]), TextOptions { header: false, ..csv.clone() }, "{key}");
    }
    for written in ["\t", "\\t", "\\011", "\\x09", "\\u0009"] {
        assert_eq!(text("CSV", &[("delimiter", written)]).delimiter, "\t", "{written:?}");
    }
    assert_eq!(text("CSV", &[("skip.header.line.count", "1")]), csv);
    assert_eq!(text("TEXTFILE", &[("skip.header.line.count", "1")]), TextOptions { skip_lines: 1, ..TextOptions::textfile() });
    assert_eq!(text("CSV", &[("quote", ""), ("escape", "\\")]), TextOptions { quote: None, escape: Some(b'\\'), ..csv.clone() });
    assert_eq!(text("CSV", &[("escape", "\"")]), csv);
    assert_eq!(text("CSV", &[("timestampFormat", "dd/MM/yyyy HH:mm:ss.SSS")]).timestamp_format.as_deref(), Some("%d/%m/%Y %H:%M:%S%.f"));
    for key in PROPERTY_KEYS {
        let known = ["CSV", "PARQUET", "JSON"].iter().any(|format| {
            let message = Format::parse(format, "t", vec![((*key).into(), "?".into())]).err().map(|error| error.message);
            !message.is_some_and(|message| message.contains("has no option"))
        });
        assert!(known, "no format takes {key}");
    }
}

#[tokio::test]
async fn partitions_are_found_typed_and_pruned_before_files_are_opened() {
    let bench = Bench::new();
    for year in 2000..2010 {
        bench.file(&format!("t/year={year}/month=1/a.csv"), format!("v\n{year}1\n"));
        bench.file(&format!("t/year={year}/month=10/a.csv"), format!("v\n{year}10\n"));
    }
    bench.file("t/year=2005/month=2/_SUCCESS", "");
    bench.file("t/year=2005/month=2/.a.csv.crc", "junk");
    bench.file("t/_temporary/year=2005/a.csv", "junk");
    // Would be an error if it were opened.
    bench.file("t/year=1999/month=1/broken.csv", "v\n\"\n");
    bench.table("t", "CSV", &[], "v BIGINT", "year INT, month BIGINT");
    assert_eq!(bench.rows("SELECT v, year, month FROM t WHERE year = 2003 ORDER BY v").await, ["20031|2003|1", "200310|2003|10"]);
    assert_eq!(bench.rows("SELECT count(*), sum(v) FROM t WHERE year BETWEEN 2001 AND 2002 AND month > 1").await, ["2|400320"]);
    assert_eq!(bench.rows("SELECT sum(month) FROM t WHERE year IN (2001) AND v > 20011").await, ["10"]);
    assert_eq!(bench.rows("SELECT month FROM t WHERE year = 1980").await, [""; 0]);
    let plan = bench.rows("EXPLAIN SELECT v FROM t WHERE year >= 2009").await.join("\n");
    assert!(plan.contains("partitions=2/21, files=2/21"), "{plan}");
    assert!(!plan.contains("FilterExec"), "the filter is decided by the directories:\n{plan}");
    let plan = bench.rows("EXPLAIN SELECT v FROM t WHERE year = 1980").await.join("\n");
    assert!(plan.contains("partitions=0/21, files=0/21"), "{plan}");
}

#[tokio::test]
async fn partition_values_are_decoded_and_may_be_null() {
    let bench = Bench::new();
    bench.file("t/d=2026-01-31/s=a%2Fb%3D c/x.csv", "v\n1\n");
    bench.file("t/d=__HIVE_DEFAULT_PARTITION__/s=100%/x.csv", "v\n2\n");
    bench.file("t/D=2026-02-01/s=/x.csv", "v\n3\n");
    bench.table("t", "CSV", &[], "v INT", "d DATE, s STRING");
    assert_eq!(bench.rows("SELECT v, d, s FROM t ORDER BY v").await, ["1|2026-01-31|a/b= c", "2|NULL|100%", "3|2026-02-01|"]);
    assert_eq!(bench.rows("SELECT v FROM t WHERE d IS NULL").await, ["2"]);
    assert_eq!(bench.rows("SELECT v FROM t WHERE d > DATE '2026-01-31'").await, ["3"]);
    assert_eq!(bench.rows("SELECT v FROM t WHERE s = 'a/b= c'").await, ["1"]);
    let table = bench.session.table_provider("t").await.unwrap();
    let table = (table.as_ref() as &dyn std::any::Any).downcast_ref::<HiveTable>().unwrap();
    assert_eq!(
        table.partitions().await.unwrap(),
        ["d=__HIVE_DEFAULT_PARTITION__/s=100%25", "d=2026-01-31/s=a%2Fb%3D c", "d=2026-02-01/s="]
    );
}

#[tokio::test]
async fn a_partition_with_a_location_of_its_own_replaces_the_directory() {
    let bench = Bench::new();
    bench.file("t/dt=1/a.csv", "v\n1\n");
    bench.file("t/dt=2/a.csv", "v\n2\n");
    bench.file("elsewhere/a.csv", "v\n20\n");
    let mut def = bench.def("t", "CSV", &[], fields("v INT"), "dt INT");
    def.partition_locations.insert("dt=2".into(), bench.storage.location("elsewhere", Access::Read).unwrap());
    def.partition_locations.insert("dt=3".into(), bench.storage.location("nothing", Access::Read).unwrap());
    let table = HiveTable::new(def.clone(), Arc::clone(&bench.storage));
    assert_eq!(table.partitions().await.unwrap(), ["dt=1", "dt=2", "dt=3"]);
    bench.register(def);
    assert_eq!(bench.rows("SELECT dt, v FROM t ORDER BY 1").await, ["1|1", "2|20"]);
}

#[tokio::test]
async fn the_hidden_column_names_the_file_as_the_user_writes_it() {
    let bench = Bench::new();
    bench.file("t/a.csv", "v\n1\n2\n");
    bench.file("t/sub/b.csv", "v\n3\n");
    bench.table("t/", "CSV", &[], "v INT", "");
    assert_eq!(bench.rows("SELECT * FROM t ORDER BY v").await, ["1", "2", "3"]);
    let table = bench.session.deregister_table("t").unwrap().unwrap();
    let table = (table.as_ref() as &dyn std::any::Any).downcast_ref::<HiveTable>().unwrap().with_file_column();
    bench.session.register_table("t", Arc::new(table)).unwrap();
    assert_eq!(bench.rows("SELECT _file, count(*) FROM t GROUP BY _file ORDER BY 1").await, ["t/a.csv|2", "t/sub/b.csv|1"]);
    let plan = bench.rows("EXPLAIN SELECT v FROM t WHERE _file LIKE '%b.csv'").await.join("\n");
    assert!(plan.contains("files=1/2"), "{plan}");
    bench.table("t/a.csv", "CSV", &[], "v INT", "");
    assert_eq!(bench.rows("SELECT sum(v) FROM t").await, ["3"]);
    bench.table("t/*.csv", "CSV", &[], "v INT", "");
    assert_eq!(bench.rows("SELECT sum(v) FROM t").await, ["3"]);
}

#[tokio::test]
async fn a_table_sees_files_that_come_and_go() {
    let bench = Bench::new();
    bench.table("t", "CSV", &[], "v INT", "");
    assert_eq!(bench.rows("SELECT count(*) FROM t").await, ["0"]);
    bench.file("t/a.csv", "v\n1\n");
    assert_eq!(bench.rows("SELECT v FROM t").await, ["1"]);
    bench.file("t/a.csv", "v\n2\n");
    assert_eq!(bench.rows("SELECT v FROM t").await, ["2"]);
    std::fs::remove_file(bench.directory.path().join("t/a.csv")).unwrap();
    assert_eq!(bench.rows("SELECT v FROM t").await, [""; 0]);
}
