//! Models that follow the streams of their training queries: rows since the training are folded in (`online_update`).
//!
//! The training says how far it read the streams ([`Cursor`]); the catalog keeps that with the version. A follower asks for
//! the rows since then, again and again, and moves its cursor on with each answer: every row counts once. It keeps
//! nothing on disk: after a start it begins with the training's cursor.

use crate::catalog::{Model, ObjectKey, Training};
use crate::engine::execute::{self, Runnable};
use crate::engine::planning::Planning;
use crate::engine::queries::now_ms;
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
use tokio::sync::watch;

/// Rows that are folded in at a time: what waits takes memory.
const ROWS_MAX: u64 = 1_000_000;

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
    let n_streams = planning.cursors().await.len();
    if n_streams == 0 {
        let what = format!("option \"online_update\" of model \"{model}\": the training query reads no streaming table");
        return Err(Error::new(Code::InvalidStatement, what).hint("Leave online_update out, or train on a streaming table."));
    }
    let new = new_rows::of(plan).map_err(refused)?;
    if new.is_none_or(|new| new_rows::n_streams(&new) < n_streams) {
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
    cursors: Cursors,
    /// Some rows of an answer that broke off are folded in.
    is_torn: bool,
}

impl Engine {
    /// The models whose default version follows its streams: id and version.
    pub fn followed_models(&self) -> Vec<(String, u64)> {
        let snapshot = self.catalog().snapshot();
        let is_followed = |model: &&Arc<Model>| model.default().is_some_and(|version| version.followed.is_some());
        snapshot.models.values().filter(is_followed).map(|model| (model.id.clone(), model.default_version)).collect()
    }

    /// Begins to follow: nothing is folded in yet. Blocks on the disk.
    pub fn follow_model(self: &Arc<Self>, id: &str, version: u64) -> Result<ModelFollower> {
        let model = self.model_by_id(id)?;
        let online = self.models().follow(&model, version)?;
        let mut follower =
            ModelFollower { engine: Arc::clone(self), id: id.to_owned(), version, online, cursors: Cursors::new(), is_torn: false };
        follower.begin_anew(&model)?;
        Ok(follower)
    }

    fn model_by_id(&self, id: &str) -> Result<Arc<Model>> {
        let snapshot = self.catalog().snapshot();
        let model = snapshot.models.values().find(|model| model.id == id).cloned();
        model.ok_or_else(|| Error::new(Code::UndefinedObject, "the model was dropped"))
    }
}

impl Drop for ModelFollower {
    fn drop(&mut self) {
        self.engine.models().unfollow(&self.id, self.version);
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
            let mut arrivals = Vec::with_capacity(self.cursors.len());
            for id in self.cursors.keys() {
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
            let model = self.engine.model_by_id(&self.id)?;
            if self.is_torn {
                self.begin_anew(&model)?;
            }
            let training =
                model.versions.iter().find(|version| version.version == self.version).and_then(|version| version.training.clone());
            let Some(training) = training else { return Err(Error::new(Code::UndefinedObject, "the version of the model is gone")) };
            let runnable = self.plan(&model, training).await?;
            let end = runnable.planning.cursors().await;
            let engine = Arc::clone(&self.engine);
            let (version, online) = (self.version, Arc::clone(&self.online));
            // Until the last row is in, the cursor does not say what is folded in.
            self.is_torn = true;
            let work = task::spawn_on(
                &engine.cpu(),
                format!("follow {}", model.name),
                fold_in(Arc::clone(&engine), model, version, online, runnable),
            );
            let n_parts = work.await.map_err(|_| errors::panicked())??;
            tracing::trace!(model = %self.id, n_parts, "new rows were folded in");
            (self.is_torn, self.cursors) = (false, end);
            Ok(())
        })
    }

    /// From the training on: nothing is folded in.
    fn begin_anew(&mut self, model: &Model) -> Result<()> {
        let kept = model.versions.iter().find(|version| version.version == self.version).and_then(|version| version.followed.as_ref());
        self.cursors = kept.map_or_else(|| Err(Error::new(Code::UndefinedObject, "the version of the model is gone")), from_catalog)?;
        self.online.clear();
        self.is_torn = false;
        Ok(())
    }

    /// The training query over rows that are new.
    async fn plan(&self, model: &Model, training: Training) -> Result<Runnable> {
        let database = if training.search_database.is_empty() { &model.database } else { &training.search_database };
        let planning = Planning::new(&self.engine, &model.owner, database, &Default::default()).since(self.cursors.clone());
        self.engine
            .planning_threads()
            .run(async move {
                let statement = parse(&training.query)?;
                let plan = dml::bind(planning.query(&statement, Some(&[])).await?, &[])?;
                let new = new_rows::of(&plan)?;
                let new = new.ok_or_else(|| Error::new(Code::NotSupported, "the training query reads no streaming table any more"))?;
                Runnable::new(planning, new).await
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

/// Reads the rows and folds them in; returns in how many parts.
async fn fold_in(engine: Arc<Engine>, model: Arc<Model>, version: u64, online: Arc<Online>, runnable: Runnable) -> Result<usize> {
    let (models, of) = (Arc::clone(engine.models()), Arc::clone(&model));
    let load = move || models.recommender(&of, version);
    let model = tokio::task::spawn_blocking(load).await.map_err(|_| errors::panicked())??;
    let context = execute::background_context(&runnable);
    let mut rows = execute_stream(runnable.physical, context).map_err(errors::from_datafusion)?;
    let mut new = NewRatings::default();
    let mut n_parts = 0;
    while let Some(batch) = rows.next().await {
        model.read_new(&batch.map_err(errors::from_datafusion)?, &mut new)?;
        if new.n_rows() >= ROWS_MAX {
            fold_in_part(&engine, &model, &online, std::mem::take(&mut new)).await?;
            n_parts += 1;
        }
    }
    fold_in_part(&engine, &model, &online, new).await?;
    Ok(n_parts + 1)
}

async fn fold_in_part(engine: &Arc<Engine>, model: &Arc<RecommenderModel>, online: &Arc<Online>, new: NewRatings) -> Result<()> {
    let (model, online, pool) = (Arc::clone(model), Arc::clone(online), engine.memory_pool());
    let fold = move || model.fold_in_new(&online, new, &pool, now_ms());
    tokio::task::spawn_blocking(fold).await.map_err(|_| errors::panicked())?
}
