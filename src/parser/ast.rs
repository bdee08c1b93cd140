//! Statements as the engine sees them: plain values, no IO.
//!
//! Queries stay `sqlparser` trees, because the planner takes them; everything that is ours (tables,
//! models, users ..) is taken apart here.

use sqlparser::ast::{DataType, Expr, Query};

/// One SQL statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// SELECT, VALUES, WITH, TABLE t.
    Query(QueryStatement),
    Explain(Explain),
    CreateDatabase {
        name: String,
        if_not_exists: bool,
        location: Option<String>,
        comment: Option<String>,
    },
    DropDatabase {
        name: String,
        if_exists: bool,
        cascade: bool,
    },
    Use {
        database: String,
    },
    CreateTable(CreateTable),
    DropTable {
        name: ObjectName,
        if_exists: bool,
    },
    AlterTable {
        name: ObjectName,
        action: AlterTable,
    },
    CreateStream(CreateStream),
    DropStream {
        name: ObjectName,
        if_exists: bool,
    },
    AlterStream {
        name: ObjectName,
        action: AlterStream,
    },
    CreateView {
        name: ObjectName,
        or_replace: bool,
        if_not_exists: bool,
        columns: Vec<String>,
        comment: Option<String>,
        query: QueryStatement,
    },
    DropView {
        name: ObjectName,
        if_exists: bool,
    },
    Insert(Insert),
    Delete(Delete),
    Update(Update),
    /// `TRUNCATE [TABLE] t`.
    Truncate {
        name: ObjectName,
    },
    /// `OPTIMIZE [TABLE] t`.
    Optimize {
        name: ObjectName,
    },
    Vacuum(Vacuum),
    CopyTo(CopyTo),
    CreateModel(CreateModel),
    DropModel {
        name: ObjectName,
        if_exists: bool,
    },
    AlterModel {
        name: ObjectName,
        action: AlterModel,
    },
    /// EXPORT MODEL m TO 'directory'.
    ExportModel {
        name: ObjectName,
        target: String,
    },
    CreateUser {
        name: String,
        if_not_exists: bool,
        password: Option<Password>,
        admin: bool,
    },
    AlterUser {
        name: String,
        password: Option<Password>,
        admin: Option<bool>,
    },
    DropUser {
        name: String,
        if_exists: bool,
    },
    CreateSecret {
        name: String,
        or_replace: bool,
        if_not_exists: bool,
        source: SecretSource,
    },
    DropSecret {
        name: String,
        if_exists: bool,
    },
    /// `SET name = value`; the value is the text without quotes. `value: None` is `SET name = DEFAULT`.
    Set {
        name: String,
        value: Option<String>,
    },
    /// `RESET name`; `None` is `RESET ALL` or `DISCARD ALL`.
    Reset {
        name: Option<String>,
    },
    Show(Show),
    /// `DESCRIBE [FORMATTED|EXTENDED] t`, `DESCRIBE MODEL m`, `DESCRIBE <query>`.
    Describe {
        target: DescribeTarget,
        formatted: bool,
    },
    MsckRepair {
        name: ObjectName,
    },
    RefreshTable {
        name: ObjectName,
    },
    /// `ANALYZE TABLE t COMPUTE STATISTICS ..`
    AnalyzeTable {
        name: ObjectName,
    },
    KillQuery {
        id: String,
    },
    /// BEGIN, COMMIT, ROLLBACK: accepted, every statement commits by itself.
    Transaction(Transaction),
}

/// The words around a transaction; every statement commits by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transaction {
    Begin,
    Commit,
    Rollback,
}

/// A name of one to three parts, as written: quotes removed, case kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ObjectName(pub Vec<String>);

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// A query and the `ML.` table functions that were taken out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryStatement {
    /// The query; each ML call stands in it as a table named `__weir_ml_<n>` (n = index into `ml_calls`).
    pub query: Box<Query>,
    pub ml_calls: Vec<MlCall>,
    /// The text as written (views keep it), trimmed, without the final semicolon.
    pub text: String,
    /// Number of parameters (`?` and `$n`) of the whole statement: all have become `$1..$n`, numbered across
    /// the statement, so that the inputs of ML calls count with the query around them.
    pub n_parameters: usize,
}

/// `ML.EVALUATE(MODEL m [, TABLE t | (query)] [, STRUCT(1 AS a, ..)])`.
#[derive(Debug, Clone, PartialEq)]
pub struct MlCall {
    /// Lower case, without the prefix: `evaluate`, `recommend`, `predict`, `trial_info` ..
    pub function: String,
    pub model: ObjectName,
    /// `TABLE t` becomes `SELECT * FROM t`.
    pub input: Option<Box<QueryStatement>>,
    /// The entries of STRUCT(..), key in lower case.
    pub options: Vec<SqlOption>,
}

/// `EXPLAIN [ANALYZE] [VERBOSE]` of a statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Explain {
    pub analyze: bool,
    pub verbose: bool,
    pub statement: Box<Statement>,
}

/// Every spelling of CREATE TABLE: Hive, Spark, and plain SQL.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CreateTable {
    pub external: bool,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub temporary: bool,
    pub name: ObjectName,
    /// Declared columns without the partition columns; empty = inferred, or from `query`.
    pub columns: Vec<ColumnDef>,
    /// `PARTITIONED BY (dt STRING)` (typed) or `PARTITIONED BY (dt)` (type `None`: a column of the table).
    pub partitioned_by: Vec<PartitionColumn>,
    /// `PRIMARY KEY (..)` and the like: kept for clients, not enforced.
    pub primary_key: Vec<String>,
    pub comment: Option<String>,
    pub row_format: Option<RowFormat>,
    /// Upper case: PARQUET, CSV, TEXTFILE, JSON, DELTA ..
    pub stored_as: Option<String>,
    pub location: Option<String>,
    /// `TBLPROPERTIES`: kept for SHOW CREATE TABLE; the known ones act.
    pub properties: Vec<SqlOption>,
    /// `OPTIONS (..)` and `WITH (..)`.
    pub options: Vec<SqlOption>,
    /// `AS SELECT`.
    pub query: Option<QueryStatement>,
}

/// A column as CREATE TABLE and ADD COLUMN declare it.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDef {
    /// As written, quotes removed.
    pub name: String,
    pub data_type: DataType,
    /// The type as written, for SHOW CREATE TABLE (`STRING`, `DECIMAL(10,2)` ..).
    pub type_text: String,
    pub nullable: bool,
    pub comment: Option<String>,
}

/// A column of PARTITIONED BY.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionColumn {
    pub name: String,
    /// `None`: the column is one of the table's own.
    pub data_type: Option<DataType>,
    pub type_text: Option<String>,
    pub comment: Option<String>,
}

/// `ROW FORMAT DELIMITED ..` or `ROW FORMAT SERDE '..' [WITH SERDEPROPERTIES (..)]`; texts are unescaped (`'\001'` is one byte 1).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowFormat {
    pub fields_terminated_by: Option<String>,
    pub escaped_by: Option<String>,
    pub collection_items_terminated_by: Option<String>,
    pub map_keys_terminated_by: Option<String>,
    pub lines_terminated_by: Option<String>,
    pub null_defined_as: Option<String>,
    pub serde: Option<String>,
    pub serde_properties: Vec<SqlOption>,
}

/// One `key = value`, `'key' 'value'` and so on. Keys keep their case.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlOption {
    pub key: String,
    pub value: OptionValue,
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionValue {
    Text(String),
    /// The digits as written, with sign.
    Number(String),
    Bool(bool),
    Null,
    /// `['a', 'b']` or `ARRAY[..]`.
    List(Vec<OptionValue>),
    /// `SECRET name`.
    Secret(String),
    /// `HPARAM_RANGE(0.1, 1)`, `HPARAM_CANDIDATES([1, 2])`: name in upper case, arguments.
    Call(String, Vec<OptionValue>),
}

impl OptionValue {
    /// The value as text, as an option bag sees it; `None` for lists, calls and secrets.
    pub fn as_text(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text.clone()),
            Self::Bool(flag) => Some(flag.to_string()),
            Self::Null => Some(String::new()),
            Self::List(_) | Self::Secret(_) | Self::Call(..) => None,
        }
    }
}

/// What ALTER TABLE changes.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterTable {
    AddColumns(Vec<ColumnDef>),
    Rename(ObjectName),
    /// Each partition: its column values, and its location when given.
    AddPartitions {
        if_not_exists: bool,
        partitions: Vec<(Vec<PartitionValue>, Option<String>)>,
    },
    DropPartitions {
        if_exists: bool,
        partitions: Vec<Vec<PartitionValue>>,
    },
    SetProperties(Vec<SqlOption>),
}

/// `dt = '2026-01-01'`, or `dt` alone (dynamic).
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionValue {
    pub column: String,
    /// `None`: dynamic, the value comes from the rows.
    pub value: Option<Expr>,
}

/// INSERT INTO and INSERT OVERWRITE.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    pub table: ObjectName,
    /// `INSERT INTO t (a, b)`; empty = all, by position.
    pub columns: Vec<String>,
    pub overwrite: bool,
    /// The PARTITION clause.
    pub partition: Vec<PartitionValue>,
    pub source: QueryStatement,
}

/// CREATE STREAMING TABLE.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CreateStream {
    /// Everything that CREATE TABLE has too; the options of the source are its `options`.
    pub table: CreateTable,
    /// Columns with METADATA [FROM '..']: name as written, what the record says, lower case.
    pub metadata_columns: Vec<(String, String)>,
    pub watermark: Option<Watermark>,
    /// INFER FROM TOPIC: the columns come from so many records.
    pub infer_records: Option<u64>,
}

/// `WATERMARK FOR column AS column - INTERVAL ..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    pub column: String,
    pub delay_ms: i64,
}

/// What ALTER STREAMING TABLE changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterStream {
    Pause,
    Resume,
    Seek(SeekTarget),
    Rename(ObjectName),
}

/// Where SEEK TO goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeekTarget {
    Earliest,
    Latest,
    /// As written.
    Timestamp(String),
    /// Partition and offset, in the order written.
    Offsets(Vec<(i32, i64)>),
}

/// DELETE FROM t [WHERE ..].
#[derive(Debug, Clone, PartialEq)]
pub struct Delete {
    pub table: ObjectName,
    /// `SELECT * FROM t WHERE ..`: the rows that go.
    pub source: QueryStatement,
}

/// UPDATE t SET a = 1 [WHERE ..].
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    pub table: ObjectName,
    /// The columns that change, as written.
    pub columns: Vec<String>,
    /// `SELECT 1 FROM t WHERE ..`: the new values of these columns, for the rows that change.
    pub source: QueryStatement,
}

/// `VACUUM [TABLE] t [RETAIN n HOURS] [DRY RUN]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Vacuum {
    pub name: ObjectName,
    pub retain_hours: Option<f64>,
    pub dry_run: bool,
}

/// COPY .. TO a file or directory.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyTo {
    /// `COPY t TO` becomes `SELECT * FROM t`.
    pub source: QueryStatement,
    pub target: String,
    /// Upper case; `None`: from the ending of the target.
    pub stored_as: Option<String>,
    pub partitioned_by: Vec<String>,
    pub options: Vec<SqlOption>,
}

/// CREATE MODEL with its options and training query.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateModel {
    pub name: ObjectName,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub options: Vec<SqlOption>,
    /// `None` for imported models.
    pub query: Option<QueryStatement>,
}

/// The changes of ALTER MODEL.
#[derive(Debug, Clone, PartialEq)]
pub enum AlterModel {
    /// The version that queries use from now on.
    SetDefaultVersion(u64),
    Rename(ObjectName),
}

/// A password in SQL: shown as `***` by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret's value is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// `FROM ENV 'NAME'`.
    Env(String),
    /// `FROM FILE 'path'`.
    File(String),
}

/// The objects of SHOW.
#[derive(Debug, Clone, PartialEq)]
pub enum Show {
    /// SHOW DATABASES, SHOW SCHEMAS [LIKE 'p'].
    Databases {
        like: Option<String>,
    },
    /// SHOW TABLES [IN|FROM db] [LIKE 'p'].
    Tables {
        database: Option<String>,
        like: Option<String>,
    },
    Views {
        database: Option<String>,
        like: Option<String>,
    },
    /// SHOW COLUMNS IN|FROM t.
    Columns {
        table: ObjectName,
    },
    Partitions {
        table: ObjectName,
    },
    CreateTable {
        name: ObjectName,
    },
    CreateView {
        name: ObjectName,
    },
    Models {
        like: Option<String>,
    },
    Streams {
        like: Option<String>,
    },
    Users,
    Secrets,
    Functions {
        like: Option<String>,
    },
    ProcessList,
    /// SHOW name; SHOW ALL is `None`.
    Setting {
        name: Option<String>,
    },
    TblProperties {
        name: ObjectName,
    },
}

/// What DESCRIBE describes.
#[derive(Debug, Clone, PartialEq)]
pub enum DescribeTarget {
    Object(ObjectName),
    Model(ObjectName),
    Database(String),
    Query(QueryStatement),
}
