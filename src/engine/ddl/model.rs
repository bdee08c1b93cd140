//! CREATE and DROP MODEL: training runs inside the statement, the new version appears in one step.

use crate::catalog::{Change, Model, ModelVersion, ObjectKey, Snapshot};
use crate::engine::dispatch::Call;
use crate::engine::execute::{self, Runnable};
use crate::engine::queries::now_ms;
use crate::engine::{dml, errors};
use crate::error::{Code, Error, Result};
use crate::models::{self, ModelOption, ModelOptions, TrainSpec, TrainedModel};
use crate::parser::{CreateModel, ObjectName, OptionValue, SqlOption};
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use std::sync::Arc;

/// Versions of a model that are kept, the default one among them.
const VERSIONS_KEPT: usize = 5;

/// Runs CREATE MODEL.
pub async fn create(call: &Call<'_>, create: &CreateModel) -> Result<()> {
    let planning = call.planning();
    let key = planning.key(&create.name.0)?;
    super::table::check_database(planning.snapshot(), &key.database)?;
    let existing = planning.snapshot().models.get(&key).cloned();
    if existing.is_some() && !create.or_replace {
        return if create.if_not_exists { Ok(()) } else { Err(exists(&key)) };
    }
    let options = create.options.iter().map(|option| Ok((option.key.clone(), model_option(option)?))).collect::<Result<Vec<_>>>()?;
    let options = ModelOptions::parse(&key.to_string(), &options)?;
    let Some(query) = &create.query else {
        return Err(Error::new(Code::InvalidStatement, format!("model \"{key}\" needs AS SELECT .. with its training rows")));
    };
    let engine = Arc::clone(call.session.engine());
    let statement = query.clone();
    let runnable = engine
        .planning_threads()
        .run(async move {
            let plan = planning.query(&statement, Some(&[])).await?;
            Runnable::new(planning, dml::bind(plan, &[])?).await
        })
        .await?;
    let previous = match &existing {
        Some(model) => Some(engine.models().load(model, model.default_version)?.model),
        None => None,
    };
    let model_type = options.model_type().to_owned();
    let trained = train(call, runnable, key.to_string(), options, previous).await?;
    let id = existing.as_ref().map_or_else(|| uuid::Uuid::new_v4().to_string(), |model| model.id.clone());
    let number = existing.as_ref().and_then(|model| model.versions.iter().map(|version| version.version).max()).unwrap_or(0) + 1;
    let (models, saved, id_of_artefact) = (Arc::clone(engine.models()), trained.clone(), id.clone());
    tokio::task::spawn_blocking(move || models.save(&saved, &id_of_artefact, number)).await.map_err(|_| errors::panicked())??;
    let version = ModelVersion {
        version: number,
        trained_ms: now_ms(),
        train_seconds: trained.train_seconds,
        metrics: trained.metrics.clone(),
        parameters: trained.parameters.clone(),
    };
    let result = publish(call, create, &key, &id, version, &model_type).await;
    match &result {
        Ok(dropped) => {
            for version in dropped {
                engine.models().remove_version(&id, *version)?;
            }
        }
        Err(_) => engine.models().remove_version(&id, number)?,
    }
    result.map(|_| ())
}

/// Reads the rows and trains on the query threads: other statements go on.
async fn train(
    call: &Call<'_>,
    runnable: Runnable,
    name: String,
    options: ModelOptions,
    previous: Option<TrainedModel>,
) -> Result<models::Trained> {
    let query = Arc::clone(call.guard.query());
    execute::run_to_end(call.session.engine(), &call.guard, call.timeout(), async move {
        let context = execute::task_context(&runnable, &query);
        let memory = Arc::clone(context.memory_pool());
        let rows = execute_stream(runnable.yielding(&query)?, context).map_err(errors::from_datafusion)?;
        let schema = rows.schema();
        let rows = rows.map(|batch| batch.map_err(errors::from_datafusion)).boxed();
        let spec = TrainSpec { name, options, threads: None, memory, observer: Arc::new(|_| {}), previous };
        models::train(spec, &schema, rows, query.cancel_token()).await
    })
    .await
}

/// Puts the new version into the catalog in one change; returns the versions that it pushes out.
async fn publish(
    call: &Call<'_>,
    create: &CreateModel,
    key: &ObjectKey,
    id: &str,
    version: ModelVersion,
    model_type: &str,
) -> Result<Vec<u64>> {
    let query = create.query.as_ref().map(|query| query.text.clone()).unwrap_or_default();
    let options: Vec<(String, String)> = create.options.iter().map(|option| (option.key.clone(), option_text(&option.value))).collect();
    call.session
        .engine()
        .catalog()
        .update(|snapshot| {
            super::table::check_database(snapshot, &key.database)?;
            let mut versions = match snapshot.models.get(key) {
                Some(model) if model.id == id => model.versions.clone(),
                Some(_) => return Err(exists(key)),
                None => Vec::new(),
            };
            if versions.iter().any(|known| known.version == version.version) {
                return Err(Error::new(Code::Conflict, format!("model \"{key}\" was trained by another statement meanwhile"))
                    .hint("Train it again."));
            }
            versions.push(version.clone());
            let n_dropped = versions.len().saturating_sub(VERSIONS_KEPT);
            let dropped = versions.drain(..n_dropped).map(|version| version.version).collect();
            let model = Model {
                id: id.to_owned(),
                database: key.database.clone(),
                name: create.name.0.last().cloned().unwrap_or_default(),
                model_type: model_type.to_owned(),
                options: options.clone(),
                query: query.clone(),
                default_version: version.version,
                versions,
                created_ms: snapshot.models.get(key).map_or_else(now_ms, |model| model.created_ms),
                owner: call.session.user().to_owned(),
            };
            Ok((vec![Change::PutModel(model)], dropped))
        })
        .await
}

/// Runs DROP MODEL.
pub async fn drop(call: &Call<'_>, name: &ObjectName, if_exists: bool) -> Result<()> {
    let key = call.planning().key(&name.0)?;
    let engine = call.session.engine();
    let dropped = engine
        .catalog()
        .update(|snapshot| match snapshot.models.get(&key) {
            Some(model) => Ok((vec![Change::DropModel(key.clone())], Some(Arc::clone(model)))),
            None if if_exists => Ok((Vec::new(), None)),
            None => Err(undefined(snapshot, &key)),
        })
        .await?;
    match dropped {
        Some(model) => engine.models().remove(&model.id),
        None => Ok(()),
    }
}

/// `model "x" does not exist`, with what is near.
pub fn undefined(snapshot: &Snapshot, key: &ObjectKey) -> Error {
    let near: Vec<&str> =
        snapshot.models.iter().filter(|(known, _)| known.database == key.database).map(|(_, model)| model.name.as_str()).collect();
    Error::unknown(Code::UndefinedObject, format!("model \"{key}\" does not exist"), &key.name, near)
}

fn exists(key: &ObjectKey) -> Error {
    Error::new(Code::DuplicateObject, format!("model \"{key}\" already exists")).hint("Use CREATE OR REPLACE MODEL for a new version.")
}

fn model_option(option: &SqlOption) -> Result<ModelOption> {
    value(&option.value)
        .ok_or_else(|| Error::new(Code::InvalidParameter, format!("option \"{}\" of a model cannot be a secret", option.key)))
}

fn value(given: &OptionValue) -> Option<ModelOption> {
    Some(match given {
        OptionValue::Text(text) => ModelOption::Text(text.clone()),
        OptionValue::Number(number) => ModelOption::Number(number.clone()),
        OptionValue::Bool(flag) => ModelOption::Bool(*flag),
        OptionValue::Null => ModelOption::Null,
        OptionValue::List(values) => ModelOption::List(values.iter().map(value).collect::<Option<_>>()?),
        OptionValue::Call(name, arguments) => ModelOption::Call(name.clone(), arguments.iter().map(value).collect::<Option<_>>()?),
        OptionValue::Secret(_) => return None,
    })
}

fn option_text(value: &OptionValue) -> String {
    match value {
        OptionValue::List(values) => format!("[{}]", values.iter().map(option_text).collect::<Vec<_>>().join(", ")),
        OptionValue::Call(name, values) => format!("{name}({})", values.iter().map(option_text).collect::<Vec<_>>().join(", ")),
        OptionValue::Secret(name) => format!("SECRET {name}"),
        other => other.as_text().unwrap_or_default(),
    }
}
