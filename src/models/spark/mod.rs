//! Models saved by Spark ML: a directory of JSON and Parquet becomes a model of ours.
//!
//! ```text
//! model_path ─► Directory ─► Part, a stage each (read) ─┬─► SparkPipeline ─► PredictorModel
//!               (files)      Metadata, tables           └─► factors ───────► RecommenderModel
//! ```
//! What a stage computes is in `stage`, what a model computes in `model` and `tree`: with Spark's treatment of NULL,
//! NaN, unknown values and ties. Of a row that Spark leaves out (`handleInvalid` 'skip') the prediction is NULL.

mod als;
mod cells;
mod column;
mod directory;
mod exact;
mod link;
mod model;
mod params;
mod pipeline;
mod read;
mod stage;
mod table;
mod tree;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod tests;

use self::directory::{Directory, Place};
use self::params::Metadata;
use self::pipeline::SparkPipeline;
use self::read::Part;
use super::artefact::Files;
use super::predictor::PredictorModel;
use super::report::TrainingReport;
use super::training::{Trained, TrainedModel};
use crate::error::{Code, Error, Result};
use crate::models::option::{Kind, Known, ModelOption, Reader, known};
use crate::storage::Storage;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of the model type.
pub(super) const MODEL_TYPE: &str = "spark";

/// The most numbers that a vector or a matrix may have: more is a damaged file.
const FEATURES_MAX: usize = 1 << 26;

/// Pipelines in pipelines, at most.
const DEPTH_MAX: usize = 8;

static KNOWN: &[Known] = &[known("model_type", &[], Kind::Supported), known("model_path", &["path"], Kind::Supported)];

/// The checked options of an import.
#[derive(Debug, Clone)]
pub struct SparkOptions {
    /// The model's name, for messages.
    pub model: String,
    /// A directory inside the configured roots, as written.
    pub model_path: String,
}

impl SparkOptions {
    /// Reads the options of `CREATE MODEL <model>`.
    ///
    /// # Errors
    /// `InvalidParameter` with the option's name.
    pub fn parse(model: &str, options: &[(String, ModelOption)]) -> Result<Self> {
        let reader = Reader::new(model, options, KNOWN)?;
        let Some(model_path) = reader.text("model_path")? else {
            let error = Error::new(Code::InvalidParameter, format!("model \"{model}\" has no option \"model_path\""));
            return Err(error.hint("Add OPTIONS (model_type='spark', model_path='..'): the directory that Spark's save(..) wrote."));
        };
        if model_path.trim().is_empty() {
            return Err(reader.wrong("model_path", "empty", "the directory that Spark's save(..) wrote"));
        }
        Ok(Self { model: model.to_owned(), model_path })
    }
}

/// Reads the directory and makes a model of it: a recommender from ALS, a predictor from everything else. The model
/// does not need the directory any more.
///
/// # Errors
/// Those of the roots for the path; `InvalidParameter` when it is no saved model; `DataCorrupted` naming the file;
/// `NotSupported` naming the stage.
pub async fn import(options: &SparkOptions, storage: &Arc<Storage>) -> Result<Trained> {
    let begun = std::time::Instant::now();
    let directory = Directory::open(storage, &options.model_path).await?;
    let metadata = directory.root().metadata().await?;
    let mut parameters = BTreeMap::from([
        ("model_type".to_owned(), MODEL_TYPE.to_owned()),
        ("model_path".to_owned(), options.model_path.clone()),
        ("spark_class".to_owned(), metadata.class.clone()),
        ("spark_uid".to_owned(), metadata.uid.clone()),
        ("spark_version".to_owned(), metadata.spark_version.clone()),
    ]);
    let mut stages = Stages { parts: Vec::new(), classes: Vec::new(), recommender: None };
    stages.read(&directory, String::new(), metadata, 0).await?;
    if stages.classes.len() > 1 {
        parameters.insert("spark_stages".to_owned(), stages.classes.join(", "));
    }
    let model = match stages.recommender {
        Some((prefix, metadata)) => {
            let model = als::recommender(&options.model, directory.at(&prefix), &metadata, &stages.parts).await?;
            TrainedModel::Recommender(Arc::new(model))
        }
        None => {
            let (task, pipeline) = pipeline::assemble(&options.model_path, stages.parts)?;
            TrainedModel::Predictor(Arc::new(PredictorModel::imported(&options.model, MODEL_TYPE, task, Arc::new(pipeline))))
        }
    };
    let train_seconds = begun.elapsed().as_secs_f64();
    tracing::info!(model = %options.model, seconds = train_seconds, "model imported");
    Ok(Trained { model, report: TrainingReport::default(), metrics: BTreeMap::new(), parameters, train_seconds })
}

/// Reads a pipeline that an import wrote; `None` when the parts do not fit together.
///
/// # Errors
/// `DataCorrupted` naming the file.
pub(super) fn read_learned(manifest: serde_json::Value, files: &Files) -> Result<Option<SparkPipeline>> {
    SparkPipeline::read(manifest, files)
}

/// The stages of a model, pipelines in pipelines laid flat.
#[derive(Debug)]
struct Stages {
    parts: Vec<Part>,
    /// Their classes, for the model's parameters.
    classes: Vec<String>,
    /// Where the factors of the last ALS model are.
    recommender: Option<(String, Metadata)>,
}

impl Stages {
    fn read<'a>(&'a mut self, directory: &'a Directory, prefix: String, metadata: Metadata, depth: usize) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let place = directory.at(&prefix);
            if depth > DEPTH_MAX {
                return Err(Error::new(Code::LimitExceeded, format!("the pipelines in \"{}\" are nested too deeply", place.text())));
            }
            match metadata.class.as_str() {
                "org.apache.spark.ml.PipelineModel" => {
                    for stage in stages_of(place, &metadata)? {
                        let metadata = directory.at(&stage).metadata().await?;
                        self.read(directory, stage, metadata, depth + 1).await?;
                    }
                    Ok(())
                }
                "org.apache.spark.ml.tuning.CrossValidatorModel" | "org.apache.spark.ml.tuning.TrainValidationSplitModel" => {
                    let best = format!("{prefix}bestModel/");
                    let metadata = directory.at(&best).metadata().await?;
                    self.read(directory, best, metadata, depth + 1).await
                }
                _ => {
                    self.classes.push(metadata.class_name().to_owned());
                    match read::part(place, metadata).await? {
                        Part::Recommender(metadata) => self.recommender = Some((prefix.clone(), metadata)),
                        part => self.parts.push(part),
                    }
                    Ok(())
                }
            }
        })
    }
}

/// The places of the stages of a pipeline in order: `stages/<number>_<uid>/`, numbers with as many digits as the last.
fn stages_of(place: Place<'_>, metadata: &Metadata) -> Result<Vec<String>> {
    let uids = metadata.texts("stageUids")?.ok_or_else(|| metadata.wrong("stageUids", "a list of stages"))?;
    let directories = place.children("stages");
    let find = |(number, uid): (usize, &String)| {
        let is_it = |name: &&&str| name.split_once('_').is_some_and(|(digits, of)| digits.parse() == Ok(number) && of == uid);
        match directories.iter().find(is_it) {
            Some(name) => Ok(format!("{}stages/{name}/", place.prefix())),
            None => {
                let what = format!("\"{}\" is not whole: the directory of stage {number} is missing", place.text());
                Err(Error::new(Code::DataCorrupted, what).detail(format!("It is called \"stages/{number}_{uid}\".")))
            }
        }
    };
    uids.iter().enumerate().map(find).collect()
}
