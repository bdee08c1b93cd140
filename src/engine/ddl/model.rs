//! CREATE, ALTER, EXPORT and DROP MODEL: training runs inside the statement, the new version appears in one step.

use crate::catalog::{Change, Model, ModelVersion, ObjectKey, Snapshot, Training};
use crate::engine::dispatch::Call;
use crate::engine::execute::{self, Runnable};
use crate::engine::model_runs::RunOf;
use crate::engine::queries::now_ms;
use crate::engine::{dml, errors, model_updates};
use crate::error::{Code, Error, Result};
use crate::models::{self, ModelOption, ModelOptions, Observer, TrainSpec, Trained};
use crate::parser::{AlterModel, CreateModel, ObjectName, OptionValue, SqlOption};
use crate::storage::Access;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Versions of a model that are kept, the default one among them.
const VERSIONS_KEPT: usize = 5;
/// So many numbers after the newest version may be taken by others.
const NUMBERS_TAKEN_MAX: u64 = 1_000;
/// So often others may give the name to a new model while ours is being published.
const PUBLISHED_FIRST_MAX: usize = 10;

/// How far the streaming tables of a training query were read, by table id, as the catalog keeps it.
type Followed = BTreeMap<String, String>;

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
    check_query(&key, &options, create)?;
    let engine = Arc::clone(call.session.engine());
    let query_id = call.guard.query().id.clone();
    let run = engine.model_runs().start(&RunOf {
        query_id: &query_id,
        session: call.session.id(),
        database: &key.database,
        model: create.name.0.last().map_or("", String::as_str),
        model_type: options.model_type(),
        user: call.session.user(),
    });
    let result = match train(call, create, &key, options.clone(), existing.as_deref(), run.observer()).await {
        Ok((trained, followed)) => keep(call, create, &key, options.model_type(), Arc::new(trained), followed).await,
        Err(error) => Err(error),
    };
    run.end(result.as_ref().copied());
    result.map(|_| ())
}

/// A trained model has a training query, an imported one has none.
fn check_query(key: &ObjectKey, options: &ModelOptions, create: &CreateModel) -> Result<()> {
    match (options.needs_rows(), &create.query) {
        (true, None) => {
            let error = Error::new(Code::InvalidStatement, format!("model \"{key}\" needs AS SELECT .. with its training rows"));
            Err(error)
        }
        (false, Some(_)) => {
            let what = format!("model \"{key}\" of type {} is not trained here and takes no query", options.model_type());
            Err(Error::new(Code::InvalidStatement, what).hint("Leave AS SELECT .. out."))
        }
        _ => Ok(()),
    }
}

/// Reads the rows and trains on the query threads: other statements go on.
async fn train(
    call: &Call<'_>,
    create: &CreateModel,
    key: &ObjectKey,
    options: ModelOptions,
    existing: Option<&Model>,
    observer: Observer,
) -> Result<(Trained, Option<Followed>)> {
    let engine = Arc::clone(call.session.engine());
    let query = Arc::clone(call.guard.query());
    if let ModelOptions::Spark(options) = options {
        let storage = Arc::clone(engine.storage());
        let import = async move { models::import(&options, &storage).await };
        return execute::run_to_end(&engine, &call.guard, call.timeout(), import).await.map(|trained| (trained, None));
    }
    let previous = match existing {
        // A version that cannot be read any more must not keep a better one from being trained.
        Some(model) => engine.models().load(model, model.default_version).ok().map(|loaded| loaded.model),
        None => None,
    };
    let Some(statement) = create.query.clone() else {
        return Err(Error::internal("a training without a query"));
    };
    let planning = call.planning();
    let follows = options.follows_new_rows().then(|| key.clone());
    let (runnable, followed) = engine
        .planning_threads()
        .run(async move {
            let plan = dml::bind(planning.query(&statement, Some(&[])).await?, &[])?;
            let followed = match follows {
                Some(key) => {
                    model_updates::check_query(&key, &planning, &plan).await?;
                    Some(model_updates::to_catalog(&planning.cursors().await)?)
                }
                None => None,
            };
            Ok((Runnable::new(planning, plan).await?, followed))
        })
        .await?;
    let name = key.to_string();
    let trained = execute::run_to_end(&engine, &call.guard, call.timeout(), async move {
        let context = execute::task_context(&runnable, &query);
        let memory = Arc::clone(context.memory_pool());
        let rows = execute_stream(runnable.yielding(&query)?, context).map_err(errors::from_datafusion)?;
        let schema = rows.schema();
        let rows = rows.map(|batch| batch.map_err(errors::from_datafusion)).boxed();
        let spec = TrainSpec { name, options, threads: None, memory, observer, previous };
        models::train(spec, &schema, rows, query.cancel_token()).await
    });
    Ok((trained.await?, followed))
}

/// Keeps what was trained: as a version of the model that has the name by now, which may be another one than when the
/// training began. Returns its number.
async fn keep(
    call: &Call<'_>,
    create: &CreateModel,
    key: &ObjectKey,
    model_type: &str,
    trained: Arc<Trained>,
    followed: Option<Followed>,
) -> Result<u64> {
    let mut attempt = 0;
    loop {
        let existing = call.session.engine().catalog().snapshot().models.get(key).cloned();
        match existing.as_deref() {
            Some(model) if !create.or_replace && create.if_not_exists => return Ok(model.default_version),
            Some(_) if !create.or_replace => return Err(exists(key)),
            existing => match save(call, create, key, existing, model_type, &trained, followed.clone()).await {
                Err(error) if error.code == Code::DuplicateObject && attempt < PUBLISHED_FIRST_MAX => attempt += 1,
                saved => return saved,
            },
        }
    }
}

/// Writes the version and makes it the one that queries use; returns its number.
async fn save(
    call: &Call<'_>,
    create: &CreateModel,
    key: &ObjectKey,
    existing: Option<&Model>,
    model_type: &str,
    trained: &Arc<Trained>,
    followed: Option<Followed>,
) -> Result<u64> {
    let engine = call.session.engine();
    let trained = Arc::clone(trained);
    let id = existing.map_or_else(|| uuid::Uuid::new_v4().to_string(), |model| model.id.clone());
    let next = existing.and_then(|model| model.versions.iter().map(|version| version.version).max()).unwrap_or(0) + 1;
    let (trained_ms, train_seconds) = (now_ms(), trained.train_seconds);
    let (metrics, parameters) = (trained.metrics.clone(), trained.parameters.clone());
    let (models, id_of_artefact) = (Arc::clone(engine.models()), id.clone());
    let written = tokio::task::spawn_blocking(move || {
        // A directory that is there already belongs to a statement that is about to publish it, or that was cancelled when
        // it was: its number is not used again.
        let mut number = next;
        loop {
            match models.save(&trained, &id_of_artefact, number) {
                Err(error) if error.code == Code::Conflict && number < next + NUMBERS_TAKEN_MAX => number += 1,
                saved => return saved.map(|()| number),
            }
        }
    });
    let number = written.await.map_err(|_| errors::panicked())??;
    let training = Training {
        model_type: model_type.to_owned(),
        options: create.options.iter().map(|option| (option.key.clone(), option_text(&option.value))).collect(),
        query: create.query.as_ref().map(|query| query.text.clone()).unwrap_or_default(),
        search_database: call.session.current_database(),
        timezone: call.session.settings().timezone().to_owned(),
    };
    let version = ModelVersion { version: number, trained_ms, train_seconds, metrics, parameters, training: Some(training), followed };
    match publish(call, create, key, &id, version).await {
        Ok(dropped) => {
            for version in dropped {
                engine.models().remove_version(&id, version)?;
            }
            Ok(number)
        }
        Err(error) => {
            engine.models().remove_version(&id, number)?;
            Err(error)
        }
    }
}

/// Puts the new version into the catalog in one change; returns the versions that it pushes out.
async fn publish(call: &Call<'_>, create: &CreateModel, key: &ObjectKey, id: &str, version: ModelVersion) -> Result<Vec<u64>> {
    let training = version.training.clone().ok_or_else(|| Error::internal("a new version without its training"))?;
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
                training: training.clone(),
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

/// Runs ALTER MODEL.
pub async fn alter(call: &Call<'_>, name: &ObjectName, action: &AlterModel) -> Result<()> {
    match action {
        AlterModel::SetDefaultVersion(version) => set_default_version(call, name, *version).await,
        AlterModel::Rename(to) => rename(call, name, to).await,
    }
}

async fn set_default_version(call: &Call<'_>, name: &ObjectName, version: u64) -> Result<()> {
    let key = call.planning().key(&name.0)?;
    let engine = call.session.engine();
    let snapshot = engine.catalog().snapshot();
    let model = snapshot.models.get(&key).ok_or_else(|| undefined(&snapshot, &key))?;
    check_version(&key, model, version)?;
    // Queries must not be pointed at a version that cannot be read.
    let (models, model) = (Arc::clone(engine.models()), Arc::clone(model));
    tokio::task::spawn_blocking(move || models.load(&model, version)).await.map_err(|_| errors::panicked())??;
    engine
        .catalog()
        .update(|snapshot| {
            let model = snapshot.models.get(&key).ok_or_else(|| undefined(snapshot, &key))?;
            check_version(&key, model, version)?;
            let mut model = Model { default_version: version, ..Model::clone(model) };
            if let Some(training) = model.default().and_then(|version| version.training.clone()) {
                model.training = training;
            }
            Ok((vec![Change::PutModel(model)], ()))
        })
        .await
}

fn check_version(key: &ObjectKey, model: &Model, version: u64) -> Result<()> {
    if model.versions.iter().any(|known| known.version == version) {
        return Ok(());
    }
    let known: Vec<String> = model.versions.iter().map(|known| known.version.to_string()).collect();
    Err(Error::new(Code::UndefinedObject, format!("model \"{key}\" has no version {version}"))
        .detail(format!("Its versions are {}.", known.join(", "))))
}

async fn rename(call: &Call<'_>, from: &ObjectName, to: &ObjectName) -> Result<()> {
    let planning = call.planning();
    let from = planning.key(&from.0)?;
    // RENAME TO b stays in the model's own database.
    let target = if to.0.len() == 1 { ObjectKey::new(&from.database, &to.0[0]) } else { planning.key(&to.0)? };
    call.session
        .engine()
        .catalog()
        .update(|snapshot| {
            let model = snapshot.models.get(&from).ok_or_else(|| undefined(snapshot, &from))?;
            super::table::check_database(snapshot, &target.database)?;
            if snapshot.models.contains_key(&target) && target != from {
                return Err(Error::new(Code::DuplicateObject, format!("model \"{target}\" already exists")));
            }
            let name = to.0.last().cloned().unwrap_or_default();
            let renamed = Model { database: target.database.clone(), name, ..Model::clone(model) };
            Ok((vec![Change::DropModel(from.clone()), Change::PutModel(renamed)], ()))
        })
        .await
}

/// Runs EXPORT MODEL: the files of the default version, in a directory of the user's.
pub async fn export(call: &Call<'_>, name: &ObjectName, target: &str) -> Result<()> {
    let planning = call.planning();
    let key = planning.key(&name.0)?;
    let model = planning.snapshot().models.get(&key).cloned().ok_or_else(|| undefined(planning.snapshot(), &key))?;
    let engine = call.session.engine();
    let location = engine.storage().location(target, Access::Write)?;
    if location.glob.is_some() || !location.is_directory {
        return Err(Error::new(Code::InvalidStatement, format!("\"{target}\" is not a directory to export a model to")));
    }
    let (models, local, written) = (Arc::clone(engine.models()), location.local, target.to_owned());
    tokio::task::spawn_blocking(move || models.export(&model, model.default_version, &local, &written))
        .await
        .map_err(|_| errors::panicked())?
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
