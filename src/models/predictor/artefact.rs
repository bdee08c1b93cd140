//! A predictor as files: `model.json` says its task and who learned it, the rest is the learner's.

use super::PredictorModel;
use super::learned::{Learned, LearnedKind, Task};
use super::scoring::Scores;
use super::stored;
use crate::error::Result;
use crate::models::artefact::{Files, Parts, parquet_file, unwritable};
use crate::models::spark;
use datafusion::arrow::array::ArrayRef;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The values of the label, in their own type.
const CLASSES: &str = "predictor_classes.parquet";

/// The predictor's part of `model.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    model_type: String,
    task: TaskManifest,
    kind: LearnedKind,
    /// What the learner says about itself.
    learned: Value,
    held_out: Option<Scores>,
}

/// A [`Task`]; the classes are in [`CLASSES`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "lowercase")]
enum TaskManifest {
    Regression { label: String },
    Classification { label: String },
    Clustering { n_clusters: usize, first_id: i64 },
    Reduction { n_components: usize },
}

/// What is written of a model.
pub(in crate::models) fn write(model: &PredictorModel) -> Result<Parts> {
    let learned = model.learned.write()?;
    let mut files = learned.files;
    let task = match &model.task {
        Task::Regression { label } => TaskManifest::Regression { label: label.clone() },
        Task::Classification { label, classes } => {
            files.push((CLASSES, parquet_file(vec![("class", ArrayRef::clone(classes))])?));
            TaskManifest::Classification { label: label.clone() }
        }
        Task::Clustering { n_clusters, first_id } => TaskManifest::Clustering { n_clusters: *n_clusters, first_id: *first_id },
        Task::Reduction { n_components } => TaskManifest::Reduction { n_components: *n_components },
    };
    let manifest = Manifest {
        model_type: model.model_type.clone(),
        task,
        kind: model.learned.kind(),
        learned: learned.manifest,
        held_out: model.held_out.clone(),
    };
    Ok(Parts { manifest: serde_json::to_value(&manifest).map_err(unwritable)?, files })
}

/// Reads what [`write`] wrote; `None` when the parts do not fit together.
pub(in crate::models) fn read(manifest: Value, files: &Files) -> Result<Option<PredictorModel>> {
    let Ok(manifest) = serde_json::from_value::<Manifest>(manifest) else { return Ok(None) };
    let task = match manifest.task {
        TaskManifest::Regression { label } => Task::Regression { label },
        TaskManifest::Classification { label } => {
            let stored = files.parquet(CLASSES)?;
            let Some(classes) = stored.column_by_name("class") else { return Ok(None) };
            Task::Classification { label, classes: Arc::clone(classes) }
        }
        TaskManifest::Clustering { n_clusters, first_id } => Task::Clustering { n_clusters, first_id },
        TaskManifest::Reduction { n_components } => Task::Reduction { n_components },
    };
    let Some(learned) = read_learned(manifest.kind, manifest.learned, files)? else { return Ok(None) };
    let name = files.name().to_owned();
    Ok(Some(PredictorModel { name, model_type: manifest.model_type, task, learned, held_out: manifest.held_out }))
}

/// Asks the one who wrote it; `None` when the parts do not fit together.
fn read_learned(kind: LearnedKind, learned: Value, files: &Files) -> Result<Option<Arc<dyn Learned>>> {
    match kind {
        LearnedKind::Trained => Ok(stored::read(learned, files)?.map(|trained| Arc::new(trained) as Arc<dyn Learned>)),
        LearnedKind::Spark => Ok(spark::read_learned(learned, files)?.map(|pipeline| Arc::new(pipeline) as Arc<dyn Learned>)),
    }
}
