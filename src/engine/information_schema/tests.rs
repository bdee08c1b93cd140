//! What clients read of the catalog.

use super::*;
use crate::catalog::{Column, Database, Table, TableKind, View};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider};
use datafusion::prelude::{SessionConfig, SessionContext};

fn column(name: &str, sql_type: &str, nullable: bool) -> Column {
    Column { name: name.to_owned(), sql_type: sql_type.to_owned(), nullable, comment: None }
}

fn table(
    database: &str,
    name: &str,
    columns: Vec<Column>,
    partition_columns: Vec<Column>,
    primary_key: &[&str],
) -> (ObjectKey, Arc<Table>) {
    let table = Table {
        id: name.to_owned(),
        database: database.to_owned(),
        name: name.to_owned(),
        kind: TableKind::External,
        columns,
        partition_columns,
        primary_key: primary_key.iter().map(|name| (*name).to_owned()).collect(),
        format: "PARQUET".to_owned(),
        location: "ratings".to_owned(),
        located: false,
        comment: None,
        properties: Vec::new(),
        options: Vec::new(),
        partition_locations: std::collections::BTreeMap::new(),
        inferred: false,
        created_ms: 0,
        owner: "admin".to_owned(),
        stream: None,
    };
    (ObjectKey::new(database, name), Arc::new(table))
}

fn snapshot() -> Arc<Snapshot> {
    let mut snapshot = Snapshot::default();
    for name in ["public", "Lake"] {
        let database = Database { name: name.to_owned(), location: None, comment: None, created_ms: 0 };
        snapshot.databases.insert(name.to_lowercase(), Arc::new(database));
    }
    let columns = vec![column("userId", "BIGINT", false), column("rating", "DECIMAL(10,2)", true), column("at", "TIMESTAMP", true)];
    let hive = table("lake", "Ratings", columns, vec![column("dt", "STRING", true)], &["USERID", "dt"]);
    let columns = vec![column("day", "DATE", true), column("tags", "ARRAY<STRING>", true), column("odd", "PIZZA", true)];
    let managed = table("public", "t", columns, vec![column("day", "DATE", true)], &[]);
    snapshot.tables.extend([hive, managed]);
    let view = View {
        database: "public".to_owned(),
        name: "v".to_owned(),
        sql: "SELECT 1.5 AS x".to_owned(),
        column_names: Vec::new(),
        columns: vec![column("x", "DOUBLE", true)],
        search_database: "public".to_owned(),
        comment: None,
        created_ms: 0,
        owner: "admin".to_owned(),
    };
    snapshot.views.insert(ObjectKey::new("public", "v"), Arc::new(view));
    Arc::new(snapshot)
}

/// Rows as `a,b,c`, as they come.
async fn answer(sql: &str) -> Vec<String> {
    let mut config = SessionConfig::new().with_information_schema(false);
    config.options_mut().catalog.create_default_catalog_and_schema = false;
    let context = SessionContext::new_with_config(config);
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(NAME, Arc::new(InformationSchema::new(snapshot()))).unwrap();
    context.register_catalog("datafusion", Arc::new(catalog));
    let batches = context.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")).collect().await.unwrap();
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in &batches {
        let columns: Vec<_> = batch.columns().iter().map(|array| ArrayFormatter::try_new(array, &options).unwrap()).collect();
        rows.extend(
            (0..batch.num_rows()).map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(",")),
        );
    }
    rows
}

#[track_caller]
fn check(sql: &str, expected: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(answer(sql)), expected, "{sql}");
}

#[tokio::test]
async fn unknown_tables_are_not_there_and_case_does_not_matter() {
    let schema = InformationSchema::new(snapshot());
    assert!(schema.table("pg_class").await.unwrap().is_none() && !schema.table_exist("pg_class"));
    assert!(schema.table("COLUMNS").await.unwrap().is_some() && schema.table_exist("Tables"));
    for name in schema.table_names() {
        let table = schema.table(&name).await.unwrap().unwrap();
        assert!(table.schema().fields().iter().all(|field| field.is_nullable() && field.name() == &field.name().to_lowercase()), "{name}");
    }
}

#[test]
fn names_are_shown_as_written() {
    check("SELECT schema_name FROM information_schema.schemata", &["Lake", "public", "information_schema", "system"]);
    check(
        "SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables WHERE table_schema IN ('Lake', 'public')",
        &["weir,Lake,Ratings,BASE TABLE", "weir,public,t,BASE TABLE", "weir,public,v,VIEW"],
    );
    check("SELECT table_name, view_definition FROM information_schema.views", &["v,SELECT 1.5 AS x"]);
}

#[test]
fn columns_have_postgresql_types_and_partition_columns_come_last() {
    check(
        "SELECT column_name, ordinal_position, is_nullable, data_type, numeric_precision, numeric_scale, datetime_precision, udt_name, column_default
         FROM information_schema.columns WHERE table_name = 'Ratings' ORDER BY ordinal_position",
        &[
            "userId,1,NO,bigint,64,0,NULL,int8,NULL",
            "rating,2,YES,numeric,10,2,NULL,numeric,NULL",
            "at,3,YES,timestamp without time zone,NULL,NULL,6,timestamp,NULL",
            "dt,4,YES,character varying,NULL,NULL,NULL,varchar,NULL",
        ],
    );
    check(
        "SELECT column_name, ordinal_position, data_type FROM information_schema.columns WHERE table_name = 't' ORDER BY ordinal_position",
        &["day,1,date", "tags,2,ARRAY", "odd,3,character varying"],
    );
    check("SELECT data_type FROM information_schema.columns WHERE table_name = 'v'", &["double precision"]);
}

#[test]
fn the_schema_describes_itself() {
    check(
        "SELECT data_type FROM information_schema.columns WHERE table_schema = 'information_schema' AND table_name = 'columns' AND column_name = 'ordinal_position'",
        &["integer"],
    );
    check("SELECT count(DISTINCT table_name) = 11 FROM information_schema.columns WHERE table_schema = 'information_schema'", &["true"]);
}

#[test]
fn declared_keys_are_found_by_the_joins_of_clients() {
    check(
        "SELECT kc.column_name, kc.ordinal_position, tc.constraint_name, tc.enforced
         FROM information_schema.table_constraints tc
         JOIN information_schema.key_column_usage kc
           ON tc.constraint_name = kc.constraint_name AND tc.table_schema = kc.table_schema AND tc.table_name = kc.table_name
         WHERE tc.constraint_type = 'PRIMARY KEY' AND tc.table_schema = 'Lake' ORDER BY kc.ordinal_position",
        &["userId,1,Ratings_pkey,NO", "dt,2,Ratings_pkey,NO"],
    );
    check("SELECT count(*) FROM information_schema.referential_constraints", &["0"]);
    check("SELECT character_set_name FROM information_schema.character_sets", &["UTF8"]);
    check(
        "SELECT routine_type FROM information_schema.routines WHERE routine_name IN ('ucase', 'collect_set') ORDER BY 1",
        &["AGGREGATE", "FUNCTION"],
    );
}
