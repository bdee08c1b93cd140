//! CREATE and DROP VIEW: views are kept as SQL and planned again when they are used.

use crate::catalog::{Change, View};
use crate::engine::dispatch::Call;
use crate::engine::queries::now_ms;
use crate::engine::{dml, planning, providers};
use crate::error::{Code, Error, Result};
use crate::parser::{ObjectName, QueryStatement};

/// OR REPLACE and IF NOT EXISTS.
#[derive(Debug, Clone, Copy)]
pub struct Flags {
    pub or_replace: bool,
    pub if_not_exists: bool,
}

/// Runs CREATE VIEW: the query must plan now.
pub async fn create(
    call: &Call<'_>,
    name: &ObjectName,
    flags: Flags,
    columns: &[String],
    comment: Option<&str>,
    query: &QueryStatement,
) -> Result<()> {
    let planning = call.planning();
    let key = planning.key(&name.0)?;
    super::table::check_database(planning.snapshot(), &key.database)?;
    if query.n_parameters > 0 {
        return Err(Error::new(Code::InvalidStatement, "a view cannot have parameters"));
    }
    let statement = query.clone();
    let names = columns.to_vec();
    if let Some(twice) = columns.iter().enumerate().find_map(|(idx, name)| columns[..idx].contains(name).then_some(name)) {
        return Err(Error::new(Code::DuplicateColumn, format!("column \"{twice}\" occurs twice in the view")));
    }
    // A view that reads itself, also through others, would never end: refused while the old one is still there.
    let planning = planning.defining(key.clone());
    let engine = call.session.engine();
    let schema = engine
        .planning_threads()
        .run(async move {
            let mut plan = planning.query(&statement, None).await?;
            if !names.is_empty() {
                plan = planning::rename_columns(plan, &names)?;
            }
            Ok(plan.schema().as_arrow().clone())
        })
        .await?;
    let mut seen = std::collections::BTreeSet::new();
    if let Some(twice) = schema.fields().iter().find(|field| !seen.insert(field.name().clone())) {
        return Err(Error::new(Code::DuplicateColumn, format!("column \"{}\" occurs twice in the view", twice.name()))
            .hint("Give one of them another name with AS."));
    }
    let view = View {
        database: key.database.clone(),
        name: name.0.last().cloned().unwrap_or_default(),
        sql: query.text.clone(),
        column_names: columns.to_vec(),
        columns: providers::columns(&schema),
        search_database: call.session.current_database(),
        comment: comment.map(str::to_owned),
        created_ms: now_ms(),
        owner: call.session.user().to_owned(),
    };
    engine
        .catalog()
        .update(|snapshot| {
            if snapshot.tables.contains_key(&key) {
                return Err(super::table::exists(&key));
            }
            match snapshot.views.contains_key(&key) {
                true if flags.if_not_exists => Ok((Vec::new(), ())),
                true if !flags.or_replace => Err(Error::new(Code::DuplicateTable, format!("view \"{key}\" already exists"))
                    .hint("Use CREATE OR REPLACE VIEW, or drop it first.")),
                _ => Ok((vec![Change::PutView(view.clone())], ())),
            }
        })
        .await
}

/// Runs DROP VIEW.
pub async fn drop(call: &Call<'_>, name: &ObjectName, if_exists: bool) -> Result<()> {
    let key = call.planning().key(&name.0)?;
    call.session
        .engine()
        .catalog()
        .update(|snapshot| match snapshot.views.contains_key(&key) {
            true => Ok((vec![Change::DropView(key.clone())], ())),
            false if snapshot.tables.contains_key(&key) => {
                Err(Error::new(Code::WrongObject, format!("\"{name}\" is a table, not a view")).hint("Use DROP TABLE."))
            }
            false if if_exists => Ok((Vec::new(), ())),
            false => {
                let mut error = dml::not_a_table(snapshot, &key, &name.to_string());
                if let Some(named) = error.message.strip_prefix("table ") {
                    error.message = format!("view {named}");
                }
                Err(error)
            }
        })
        .await
}
