//! Definitions: databases, tables, views, models, users, secrets, and the settings of a session.

pub mod database;
pub mod model;
pub mod partition;
pub mod stream;
pub mod table;
pub mod user;
pub mod view;

use crate::engine::dispatch::Call;
use crate::error::{Code, Error, Result};
use crate::parser::{ObjectName, Statement};
use futures::future::BoxFuture;

/// Runs a statement that answers nothing but its success.
pub fn run<'a>(call: &'a Call<'_>, statement: &'a Statement) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        match statement {
            Statement::CreateDatabase { name, if_not_exists, location, comment } => {
                database::create(call, name, *if_not_exists, location.as_deref(), comment.as_deref()).await
            }
            Statement::DropDatabase { name, if_exists, cascade } => database::drop(call, name, *if_exists, *cascade).await,
            Statement::Use { database } => call.session.set_current_database(database),
            Statement::CreateTable(create) => table::create(call, create).await,
            Statement::DropTable { name, if_exists } => table::drop(call, name, *if_exists).await,
            Statement::AlterTable { name, action } => table::alter(call, name, action).await,
            Statement::CreateStream(create) => stream::create(call, create).await,
            Statement::DropStream { name, if_exists } => stream::drop(call, name, *if_exists).await,
            Statement::AlterStream { name, action } => stream::alter(call, name, action).await,
            Statement::CreateView { name, or_replace, if_not_exists, columns, comment, query } => {
                let flags = view::Flags { or_replace: *or_replace, if_not_exists: *if_not_exists };
                view::create(call, name, flags, columns, comment.as_deref(), query).await
            }
            Statement::DropView { name, if_exists } => view::drop(call, name, *if_exists).await,
            Statement::CreateModel(create) => model::create(call, create).await,
            Statement::DropModel { name, if_exists } => model::drop(call, name, *if_exists).await,
            Statement::AlterModel { name, action } => model::alter(call, name, action).await,
            Statement::ExportModel { name, target } => model::export(call, name, target).await,
            Statement::CreateUser { name, if_not_exists, password, admin } => {
                user::create(call, name, *if_not_exists, password.as_ref(), *admin).await
            }
            Statement::AlterUser { name, password, admin } => user::alter(call, name, password.as_ref(), *admin).await,
            Statement::DropUser { name, if_exists } => user::drop(call, name, *if_exists).await,
            Statement::CreateSecret { name, or_replace, if_not_exists, source } => {
                user::create_secret(call, name, *or_replace, *if_not_exists, source).await
            }
            Statement::DropSecret { name, if_exists } => user::drop_secret(call, name, *if_exists).await,
            Statement::Set { name, value } => set(call, name, value.as_deref()),
            Statement::Reset { name } => call.session.change_settings(|settings| match name {
                None => {
                    settings.reset_all();
                    Ok(())
                }
                Some(name) => settings.set(name, None),
            }),
            Statement::MsckRepair { name } | Statement::RefreshTable { name } | Statement::AnalyzeTable { name } => exists(call, name),
            Statement::KillQuery { id } => {
                match call.session.cancel(id)? {
                    true => Ok(()),
                    false => Err(Error::new(Code::UndefinedObject, format!("query \"{id}\" is not running"))
                        .hint("SHOW PROCESSLIST lists what runs.")),
                }
            }
            Statement::Transaction(_) => Ok(()), // Every statement commits by itself.
            Statement::Query(_)
            | Statement::Explain(_)
            | Statement::Insert(_)
            | Statement::Delete(_)
            | Statement::Update(_)
            | Statement::Truncate { .. }
            | Statement::Optimize { .. }
            | Statement::Vacuum(_)
            | Statement::CopyTo(_)
            | Statement::Show(_)
            | Statement::Describe { .. } => Err(Error::internal("a statement with rows came to the definitions")),
        }
    })
}

fn set(call: &Call<'_>, name: &str, value: Option<&str>) -> Result<()> {
    // PostgreSQL's and JDBC's ways to say USE.
    if ["search_path", "schema", "current_schema"].iter().any(|known| known.eq_ignore_ascii_case(name)) {
        let first = value
            .unwrap_or("public")
            .split(',')
            .map(|part| part.trim().trim_matches('"'))
            .find(|part| !part.is_empty() && *part != "$user");
        return call.session.set_current_database(first.unwrap_or("public"));
    }
    call.session.change_settings(|settings| settings.set(name, value))
}

/// MSCK, REFRESH and ANALYZE are accepted: partitions and files are found when a query runs.
fn exists(call: &Call<'_>, name: &ObjectName) -> Result<()> {
    let planning = call.planning();
    crate::engine::dml::writable_table(&planning, &name.0).map(|_| ())
}
