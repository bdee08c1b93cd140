//! Filters and order of the listings.

use super::*;
use crate::catalog::{Database, View};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::DataType;

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for name in ["Sales", "default"] {
        let database = Database { name: name.into(), location: None, comment: None, created_ms: 0 };
        snapshot.databases.insert(name.to_lowercase(), Arc::new(database));
    }
    for (database, name) in [("sales", "Zebra"), ("sales", "by_day"), ("sales", "byXday"), ("default", "ratings")] {
        let view = View {
            database: database.into(),
            name: name.into(),
            sql: String::new(),
            column_names: vec![],
            columns: vec![],
            search_database: "default".into(),
            comment: None,
            created_ms: 0,
            owner: "weir".into(),
        };
        snapshot.views.insert(ObjectKey::new(database, name), Arc::new(view));
    }
    snapshot
}

fn system() -> Vec<(String, String)> {
    vec![("system".into(), "queries".into())]
}

#[track_caller]
fn check_tables(command: &CommandGetTables, expected: &[&str]) {
    let listed = list(&snapshot(), &system(), command);
    let found: Vec<_> = listed.iter().map(|table| format!("{}.{} {}", table.database, table.name, table.table_type)).collect();
    assert_eq!(found, expected, "{command:?}");
}

fn pattern(database: Option<&str>, table: Option<&str>) -> CommandGetTables {
    CommandGetTables {
        db_schema_filter_pattern: database.map(str::to_owned),
        table_name_filter_pattern: table.map(str::to_owned),
        ..Default::default()
    }
}

#[test]
fn tables_by_filter() {
    check_tables(&CommandGetTables { catalog: Some(String::new()), ..Default::default() }, &[]);
    check_tables(&CommandGetTables { catalog: Some("other".into()), ..Default::default() }, &[]);
    check_tables(&pattern(Some(""), None), &[]);
    check_tables(&CommandGetTables { table_types: vec!["SEQUENCE".into()], ..Default::default() }, &[]);
    check_tables(
        &CommandGetTables { catalog: Some("weir".into()), ..Default::default() },
        &["Sales.Zebra VIEW", "Sales.byXday VIEW", "Sales.by_day VIEW", "default.ratings VIEW", "system.queries SYSTEM TABLE"],
    );
    check_tables(&pattern(Some("sales"), Some("by_day")), &["Sales.byXday VIEW", "Sales.by_day VIEW"]);
    check_tables(&pattern(Some("SALES"), Some(r"by\_day")), &["Sales.by_day VIEW"]);
    check_tables(
        &pattern(None, Some("%")),
        &["Sales.Zebra VIEW", "Sales.byXday VIEW", "Sales.by_day VIEW", "default.ratings VIEW", "system.queries SYSTEM TABLE"],
    );
    check_tables(
        &CommandGetTables { table_types: vec!["TABLE".into(), "system table".into()], ..Default::default() },
        &["system.queries SYSTEM TABLE"],
    );
}

#[test]
fn schemas_by_filter() {
    let names = |catalog: Option<&str>, pattern: Option<&str>| -> Vec<String> {
        let command = CommandGetDbSchemas { catalog: catalog.map(str::to_owned), db_schema_filter_pattern: pattern.map(str::to_owned) };
        let batch = schemas(&snapshot(), &system(), &command).unwrap();
        batch.column(1).as_string::<i32>().iter().map(|name| name.unwrap().to_owned()).collect()
    };
    assert!(names(Some(""), None).is_empty());
    assert!(names(None, Some("")).is_empty());
    assert_eq!(names(None, None), ["Sales", "default", "system"]);
    assert_eq!(names(Some("weir"), Some("s%")), ["Sales", "system"]);
}

#[test]
fn the_announced_schema_is_the_one_of_the_answer() {
    let table = Listed { database: "sales".into(), name: "t".into(), table_type: TABLE };
    for include_schema in [false, true] {
        let command = CommandGetTables { include_schema, ..Default::default() };
        let announced = answer_schema(&Command::CommandGetTables(command.clone())).unwrap();
        let schemas = include_schema.then(|| vec![vec![1, 2, 3]]);
        assert_eq!(tables_batch(std::slice::from_ref(&table), schemas, announced.clone()).unwrap().schema(), announced);
    }
    for (command, batch) in [
        (Command::CommandGetCatalogs(Default::default()), catalogs().unwrap()),
        (Command::CommandGetTableTypes(Default::default()), table_types(Default::default()).unwrap()),
        (Command::CommandGetSqlInfo(Default::default()), sql_info::answer(&[]).unwrap()),
        (Command::CommandGetXdbcTypeInfo(Default::default()), xdbc::answer(None).unwrap()),
        (Command::CommandGetImportedKeys(Default::default()), keys::foreign_keys()),
    ] {
        assert_eq!(answer_schema(&command).unwrap(), batch.schema(), "{command:?}");
    }
}

#[test]
fn fields_say_where_they_are_from_and_keep_what_they_said() {
    let field = Field::new("a", DataType::Int32, true)
        .with_metadata([("ARROW:FLIGHT:SQL:TYPE_NAME".to_owned(), "INTEGER".to_owned())].into_iter().collect());
    let table = Listed { database: "sales".into(), name: "t".into(), table_type: TABLE };
    let described = describe(&Schema::new(vec![field]), &table);
    let metadata = described.field(0).metadata();
    for (key, value) in [("TYPE_NAME", "INTEGER"), ("CATALOG_NAME", "weir"), ("SCHEMA_NAME", "sales"), ("TABLE_NAME", "t")] {
        assert_eq!(metadata.get(&format!("ARROW:FLIGHT:SQL:{key}")).map(String::as_str), Some(value));
    }
}
