//! Models that follow the streams of their training queries: rows since the training are folded in (`online_update`).
//!
//! The training says how far it read the streams ([`Cursor`]); the catalog keeps that with the version. A follower asks for
//! the rows since then, again and again, and moves its cursor on with each answer: every row counts once. It keeps
//! nothing on disk: after a start it begins with the training's cursor.

use crate::catalog::{Model, ModelVersion, ObjectKey};
use crate::engine::execute::{self, AbortOnDrop, Runnable};
use crate::engine::planning::Planning;
use crate::engine::queries::now_ms;
use crate::engine::settings::Settings;
use crate::engine::{Engine, dml, errors, new_rows};
use crate::error::{Code, Error, Result};
use crate::models::{NewRatings, Online, RecommenderModel};
use crate::parser::{QueryStatement, Statement};
use crate::tables::streaming::Cursor;
use crate::telemetry::task;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// Rows that are folded in at a time: what waits takes memory.
const ROWS_MAX: u64 = 200_000;

/// How far the streaming tables of a training query were read, by table id.
type Cursors = BTreeMap<String, Cursor>;
/// Is told the next offset of each partition whenever rows arrive.
type Arrivals = watch::Receiver<BTreeMap<i32, i64>>;

/// Refuses a training query whose new rows cannot be told.
pub async fn check_query(model: &ObjectKey, planning: &Planning, plan: &LogicalPlan) -> Result<()> {
    let refused = |error: Error| {
        let what =
            format!("option \"online_update\" of model \"{model}\": new rows of the training query cannot be told: {}", error.message);
        Error::new(error.code, what).hint(
            "Filters, projections, joins of a stream with tables at rest, and UNION ALL can be followed. Or leave online_update out, and train the \
             model again when there are new rows.",
        )
    };
    if planning.cursors().await.is_empty() {
        let what = format!("option \"online_update\" of model \"{model}\": the training query reads no streaming table");
        return Err(Error::new(Code::InvalidStatement, what).hint("Leave online_update out, or train on a streaming table."));
    }
    if new_rows::of(&planning.analysed(plan.clone())?).map_err(refused)?.is_none() || planning.hides_streams() {
        let error = Error::new(Code::NotSupported, "a streaming table is read inside an ML function or by its dead letters");
        return Err(refused(error));
    }
    Ok(())
}

/// The cursors as the catalog keeps them.
pub fn to_catalog(cursors: &Cursors) -> Result<BTreeMap<String, String>> {
    let text = |cursor: &Cursor| serde_json::to_string(cursor).map_err(|error| Error::internal(format!("place in a stream: {error}")));
    cursors.iter().map(|(id, cursor)| Ok((id.clone(), text(cursor)?))).collect()
}

fn from_catalog(kept: &BTreeMap<String, String>) -> Result<Cursors> {
    let cursor = |text: &str| {
        let broken = |error| Error::new(Code::DataCorrupted, format!("the catalog has a place in a stream that cannot be read: {error}"));
        serde_json::from_str(text).map_err(broken)
    };
    kept.iter().map(|(id, text)| Ok((id.clone(), cursor(text)?))).collect()
}

/// Folds the new rows of one version of a model in. When it goes, the version is as it was trained.
#[derive(Debug)]
pub struct ModelFollower {
    engine: Arc<Engine>,
    id: String,
    version: u64,
    online: Arc<Online>,
    /// Loaded when it is needed.
    model: Option<Arc<RecommenderModel>>,
    /// `None`: as the training had read.
    cursors: Option<Cursors>,
    /// Rows of an answer are folded in that has not come to its end.
    is_torn: Arc<AtomicBool>,
}

impl Engine {
    /// The models whose default version follows its streams: id and version.
    pub fn followed_models(&self) -> Vec<(String, u64)> {
        let snapshot = self.catalog().snapshot();
        let is_followed = |model: &&Arc<Model>| model.default().is_some_and(|version| version.followed.is_some());
        snapshot.models.values().filter(is_followed).map(|model| (model.id.clone(), model.default_version)).collect()
    }

    /// Begins to follow: nothing is folded in yet.
    pub fn follow_model(self: &Arc<Self>, id: &str, version: u64) -> ModelFollower {
        ModelFollower {
            engine: Arc::clone(self),
            id: id.to_owned(),
            version,
            online: self.models().follow(id, version),
            model: None,
            cursors: None,
            is_torn: Arc::default(),
        }
    }

    fn model_by_id(&self, id: &str) -> Result<Arc<Model>> {
        let snapshot = self.catalog().snapshot();
        let model = snapshot.models.values().find(|model| model.id == id).cloned();
        model.ok_or_else(|| Error::new(Code::UndefinedObject, "the model was dropped"))
    }
}

impl Drop for ModelFollower {
    fn drop(&mut self) {
        self.engine.models().unfollow(&self.id, self.version, &self.online);
    }
}

impl ModelFollower {
    /// What is told of the model.
    pub fn online(&self) -> &Arc<Online> {
        &self.online
    }

    /// Each is told when rows arrive in a table that the model follows. Ask before [`Self::fold_in_new`]: nothing is missed.
    pub fn arrivals(&self) -> BoxFuture<'_, Result<Vec<Arrivals>>> {
        Box::pin(async move {
            let snapshot = self.engine.catalog().snapshot();
            let kept = self.definition()?.followed.unwrap_or_default();
            let mut arrivals = Vec::with_capacity(kept.len());
            for id in kept.keys() {
                let Some(table) = snapshot.table_by_id(id) else {
                    return Err(Error::new(Code::UndefinedTable, "a streaming table of the training query was dropped")
                        .hint("Train the model again with CREATE OR REPLACE MODEL."));
                };
                arrivals.push(self.engine.stream_table(table).await?.arrivals());
            }
            Ok(arrivals)
        })
    }

    /// Folds in what arrived since the last call. After an error nothing is lost, and nothing counts twice.
    pub fn fold_in_new(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let version = self.definition()?;
            if self.is_torn.swap(false, Ordering::SeqCst) {
                self.online.clear();
                self.cursors = None;
            }
            let since = match &self.cursors {
                Some(cursors) => cursors.clone(),
                None => from_catalog(&version.followed.clone().unwrap_or_default())?,
            };
            let model = self.model().await?;
            let (runnable, end) = self.plan(&version, since).await?;
            let part = Part {
                engine: Arc::clone(&self.engine),
                model: Arc::clone(&model),
                online: Arc::clone(&self.online),
                is_torn: Arc::clone(&self.is_torn),
            };
            let work = task::spawn_on(&self.engine.cpu(), format!("follow {}", model.name()), part.fold_in(runnable));
            // A follower that goes takes its work along.
            let mut work = AbortOnDrop(work);
            (&mut work.0).await.map_err(|_| errors::panicked())??;
            self.is_torn.store(false, Ordering::SeqCst);
            self.cursors = Some(end);
            Ok(())
        })
    }

    fn definition(&self) -> Result<ModelVersion> {
        let model = self.engine.model_by_id(&self.id)?;
        let version = model.versions.iter().find(|version| version.version == self.version).cloned();
        version.ok_or_else(|| Error::new(Code::UndefinedObject, "the version of the model is gone"))
    }

    async fn model(&mut self) -> Result<Arc<RecommenderModel>> {
        if let Some(model) = &self.model {
            return Ok(Arc::clone(model));
        }
        let (models, model, version) = (Arc::clone(self.engine.models()), self.engine.model_by_id(&self.id)?, self.version);
        let load = move || models.recommender(&model, version);
        let model = tokio::task::spawn_blocking(load).await.map_err(|_| errors::panicked())??;
        self.model = Some(Arc::clone(&model));
        Ok(model)
    }

    /// The training query over rows that are new, and where it ends.
    async fn plan(&self, version: &ModelVersion, since: Cursors) -> Result<(Runnable, Cursors)> {
        let model = self.engine.model_by_id(&self.id)?;
        let Some(training) = version.training.clone() else { return Err(Error::internal("a version without its training is followed")) };
        let database = if training.search_database.is_empty() { &model.database } else { &training.search_database };
        let mut settings = Settings::default();
        if !training.timezone.is_empty() {
            settings.set("timezone", Some(&training.timezone))?;
        }
        let planning = Planning::new(&self.engine, &model.owner, database, &settings).since(since);
        self.engine
            .planning_threads()
            .run(async move {
                let statement = parse(&training.query)?;
                let plan = dml::bind(planning.query(&statement, Some(&[])).await?, &[])?;
                let new = new_rows::of(&planning.analysed(plan)?)?;
                let new = new.ok_or_else(|| Error::new(Code::NotSupported, "the training query reads no streaming table any more"))?;
                let end = planning.cursors().await;
                Ok((Runnable::new(planning, new).await?, end))
            })
            .await
    }
}

fn parse(query: &str) -> Result<QueryStatement> {
    match crate::parser::parse_one(query)? {
        Statement::Query(statement) => Ok(statement),
        _ => Err(Error::internal("the text of a training query is not a query")),
    }
}

/// What folds the rows of one answer in. It may outlive its follower: then nobody sees what it does.
struct Part {
    engine: Arc<Engine>,
    model: Arc<RecommenderModel>,
    online: Arc<Online>,
    is_torn: Arc<AtomicBool>,
}

impl Part {
    async fn fold_in(self, runnable: Runnable) -> Result<()> {
        let context = execute::background_context(&runnable);
        let mut rows = execute_stream(runnable.physical, context).map_err(errors::from_datafusion)?;
        let mut new = NewRatings::default();
        while let Some(batch) = rows.next().await {
            self.model.read_new(&batch.map_err(errors::from_datafusion)?, &mut new)?;
            if new.n_rows() >= ROWS_MAX {
                self.show(std::mem::take(&mut new)).await?;
            }
        }
        self.show(new).await
    }

    async fn show(&self, new: NewRatings) -> Result<()> {
        let (model, online, pool, is_torn) =
            (Arc::clone(&self.model), Arc::clone(&self.online), self.engine.memory_pool(), Arc::clone(&self.is_torn));
        let fold = move || {
            model.fold_in_new(&online, new, &pool, now_ms())?;
            // Until the last row is in, no cursor says what is.
            is_torn.store(true, Ordering::SeqCst);
            Ok(())
        };
        tokio::task::spawn_blocking(fold).await.map_err(|_| errors::panicked())?
    }
}
