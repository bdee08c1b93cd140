//! A pipeline of Spark as one function from columns to predictions.
//!
//! Only the stages that lead to the prediction are kept: the indexer of the label gives its words to the classes and
//! is not run, so rows to be scored need no label.

use super::column::Values;
use super::model::Model;
use super::params::Invalid;
use super::read::{Goal, ModelSpec, Part, StepSpec, unsupported};
use super::stage::{Op, Rows, Step};
use super::tree::Trees;
use crate::error::{Code, Error, Result};
use crate::models::artefact::{Files, Parts, unwritable};
use crate::models::predictor::ModelTable;
use crate::models::predictor::learned::{Holds, Input, Learned, LearnedKind, Predictions, Task};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

const TREES: &str = "spark_trees.parquet";

/// Numbers in the vectors of the rows that are computed together: 8 MiB.
const CHUNK: usize = 1 << 20;

/// A pipeline, or a model alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::models) struct SparkPipeline {
    inputs: Vec<Input>,
    /// Columns are numbered: the inputs first, then what steps write.
    steps: Vec<Step>,
    features: u32,
    features_column: String,
    offset: Option<u32>,
    /// The classes of a classifier as text, for tables about it.
    class_names: Vec<String>,
    model: Model,
}

/// What a column holds, known when a pipeline is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Texts,
    Numbers,
    Vectors,
}

/// Numbers the columns of the kept steps.
#[derive(Debug, Default)]
struct Places {
    kinds: Vec<Kind>,
    /// How many numbers a row has; `None` for vectors of a query.
    widths: Vec<Option<usize>>,
    /// What steps have written so far, by folded name.
    written: HashMap<String, u32>,
}

impl Places {
    fn add(&mut self, kind: Kind, width: Option<usize>) -> u32 {
        self.kinds.push(kind);
        self.widths.push(width);
        (self.kinds.len() - 1) as u32
    }
}

/// Spark does not tell names by case.
fn fold(name: &str) -> String {
    name.to_lowercase()
}

impl Op {
    /// What the step takes, of columns that no step wrote.
    fn holds(&self) -> Holds {
        match self {
            Self::Index { .. } => Holds::Category,
            Self::OneHot { .. } | Self::Assemble { .. } | Self::Impute { .. } | Self::Bucket { .. } | Self::Binarize { .. } => {
                Holds::Number
            }
            Self::Affine { .. } | Self::Normalize { .. } | Self::IndexVector { .. } => Holds::Vector,
        }
    }

    fn takes(&self, kind: Kind) -> bool {
        match self {
            Self::Index { .. } => kind != Kind::Vectors,
            Self::Assemble { .. } | Self::Binarize { .. } => kind != Kind::Texts,
            Self::OneHot { .. } | Self::Impute { .. } | Self::Bucket { .. } => kind == Kind::Numbers,
            Self::Affine { .. } | Self::Normalize { .. } | Self::IndexVector { .. } => kind == Kind::Vectors,
        }
    }

    fn gives(&self, taken: Kind) -> Kind {
        match self {
            Self::Index { .. } | Self::Impute { .. } | Self::Bucket { .. } => Kind::Numbers,
            Self::OneHot { .. } | Self::Assemble { .. } => Kind::Vectors,
            Self::Affine { .. } | Self::Normalize { .. } | Self::IndexVector { .. } => Kind::Vectors,
            Self::Binarize { .. } => taken,
        }
    }
}

impl Op {
    /// Whether the output is as wide as the input.
    fn keeps_width(&self) -> bool {
        matches!(self, Self::Affine { .. } | Self::IndexVector { .. })
    }

    /// How many numbers a row of the output has, given those of the inputs; `None` when that is not known.
    fn width(&self, inputs: &[Option<usize>]) -> Option<usize> {
        match self {
            Self::Index { .. } | Self::Impute { .. } | Self::Bucket { .. } => Some(1),
            Self::OneHot { n_categories, drop_last, keep_invalid } => {
                Some((*n_categories as usize + usize::from(*keep_invalid)).saturating_sub(usize::from(*drop_last)))
            }
            Self::Assemble { .. } => inputs.iter().copied().sum(),
            Self::Affine { shift, .. } => Some(shift.len()),
            Self::IndexVector { n_features, .. } => Some(*n_features),
            Self::Binarize { .. } | Self::Normalize { .. } => inputs.first().copied().flatten(),
        }
    }
}

fn kind_of(holds: Holds) -> Kind {
    match holds {
        Holds::Category => Kind::Texts,
        Holds::Number => Kind::Numbers,
        Holds::Vector => Kind::Vectors,
    }
}

/// Puts a pipeline together: the last model among the parts, and what leads to it.
///
/// # Errors
/// `NotSupported` for a pipeline without a model, and naming a class that is needed and not known.
pub(super) fn assemble(directory: &str, parts: Vec<Part>) -> Result<(Task, SparkPipeline)> {
    let Some(last) = parts.iter().rposition(|part| matches!(part, Part::Model(_))) else {
        if let Some(Part::Unknown { class, .. }) = parts.iter().rfind(|part| matches!(part, Part::Unknown { .. })) {
            return Err(unsupported(directory, class));
        }
        let error = Error::new(Code::NotSupported, format!("\"{directory}\" has no stage that predicts"));
        return Err(error.hint("Save a pipeline that ends with a model."));
    };
    let mut parts = parts;
    let after = parts.split_off(last + 1);
    let Some(Part::Model(spec)) = parts.pop() else {
        return Err(Error::internal("a model of a Spark pipeline went away"));
    };
    let task = task_of(&spec, &parts, &after);
    let steps = needed_steps(directory, &spec, parts)?;
    let mut pipeline = number(directory, *spec, steps)?;
    if let Task::Classification { classes, .. } = &task {
        pipeline.class_names = class_names(classes)?;
    }
    Ok((task, pipeline))
}

/// The labels of an indexer, and of a handled invalid value.
fn labels_of(op: &Op) -> Option<Vec<String>> {
    let Op::Index { labels, invalid } = op else { return None };
    let mut names = labels.names().to_vec();
    if *invalid == Invalid::Keep {
        names.push("__unknown".into());
    }
    Some(names)
}

fn task_of(spec: &ModelSpec, before: &[Part], after: &[Part]) -> Task {
    let is_label = |step: &&StepSpec| fold(&step.output) == fold(&spec.label) && matches!(step.op, Op::Index { .. });
    let mut steps = before.iter().flat_map(|part| if let Part::Steps(steps) = part { steps.as_slice() } else { &[] });
    let indexer = steps.rfind(is_label);
    let label = indexer.and_then(|step| step.inputs.first()).unwrap_or(&spec.label).clone();
    match spec.goal {
        Goal::Number => Task::Regression { label: spec.label.clone() },
        Goal::Cluster => Task::Clustering { n_clusters: spec.model.width(), first_id: 0 },
        Goal::Class => {
            let words = after.iter().find_map(|part| match part {
                Part::Words { input, labels } if fold(input) == fold(&spec.prediction) && !labels.is_empty() => Some(labels.clone()),
                _ => None,
            });
            let words = words.or_else(|| indexer.and_then(|step| labels_of(&step.op)));
            Task::Classification { label, classes: classes(words, spec.model.width()) }
        }
    }
}

/// The words of the classes, or the numbers that Spark predicts.
fn classes(words: Option<Vec<String>>, width: usize) -> ArrayRef {
    match words {
        None => Arc::new((0..width).map(|class| Some(class as f64)).collect::<Float64Array>()),
        Some(words) => {
            let word = |class: usize| words.get(class).cloned().unwrap_or_else(|| format!("{class}.0"));
            Arc::new((0..width).map(|class| Some(word(class))).collect::<StringArray>())
        }
    }
}

/// Classes as text.
fn class_names(classes: &ArrayRef) -> Result<Vec<String>> {
    let words = cast(classes, &DataType::Utf8).map_err(|error| Error::internal(format!("could not name classes: {error}")))?;
    Ok(words.as_string::<i32>().iter().flatten().map(str::to_owned).collect())
}

/// The steps that lead to the features of the model, in order.
fn needed_steps(directory: &str, spec: &ModelSpec, parts: Vec<Part>) -> Result<Vec<StepSpec>> {
    let mut needed: Vec<String> = std::iter::once(&spec.features).chain(&spec.offset).map(|name| fold(name)).collect();
    let mut steps = Vec::new();
    for part in parts.into_iter().rev() {
        match part {
            Part::Steps(of_part) => {
                // Stages that leave rows out also do so for columns that nobody reads; a prediction needs no such column.
                let mut kept: Vec<StepSpec> = Vec::new();
                let mut inputs = Vec::new();
                for step in of_part {
                    if needed.contains(&fold(&step.output)) {
                        inputs.extend(step.inputs.iter().map(|name| fold(name)));
                        kept.push(step);
                    }
                }
                needed.retain(|name| !kept.iter().any(|step| fold(&step.output) == *name));
                needed.extend(inputs);
                steps.extend(kept.into_iter().rev());
            }
            Part::Unknown { class, outputs } => {
                if outputs.is_empty() || outputs.iter().any(|output| needed.contains(&fold(output))) {
                    return Err(unsupported(directory, &class));
                }
            }
            Part::Model(earlier) => {
                if earlier.outputs.iter().any(|output| needed.contains(&fold(output))) {
                    let what = format!("\"{directory}\" feeds the predictions of a {} to another model", earlier.class);
                    return Err(Error::new(Code::NotSupported, what).hint("Import a pipeline with one model."));
                }
            }
            Part::Words { .. } | Part::Recommender(_) => {}
        }
    }
    steps.reverse();
    Ok(steps)
}

/// Numbers the columns.
fn number(directory: &str, spec: ModelSpec, specs: Vec<StepSpec>) -> Result<SparkPipeline> {
    let unfit = |column: &str, class: &str| {
        let what = format!("the stages in \"{directory}\" do not fit together");
        Error::new(Code::DataCorrupted, what).detail(format!("Column \"{column}\" is not what {class} works on."))
    };
    // All inputs come first: they are found before the steps are numbered.
    let mut inputs: Vec<Input> = Vec::new();
    let mut written: Vec<String> = Vec::new();
    let mut raw = |name: &str, holds: Holds, written: &[String]| {
        let is_known = inputs.iter().any(|input| fold(&input.name) == fold(name) && input.holds == holds);
        if !written.contains(&fold(name)) && !is_known {
            inputs.push(Input { name: name.to_owned(), holds });
        }
    };
    for step in &specs {
        step.inputs.iter().for_each(|name| raw(name, step.op.holds(), &written));
        written.push(fold(&step.output));
    }
    raw(&spec.features, Holds::Vector, &written);
    spec.offset.iter().for_each(|name| raw(name, Holds::Number, &written));
    let mut places = Places::default();
    for input in &inputs {
        places.add(kind_of(input.holds), (input.holds != Holds::Vector).then_some(1));
    }
    let find = |places: &Places, name: &str, holds: Holds| {
        let raw = || inputs.iter().position(|input| fold(&input.name) == fold(name) && input.holds == holds).map(|place| place as u32);
        places.written.get(&fold(name)).copied().or_else(raw)
    };
    let n_features = spec.model.n_features();
    let mut steps = Vec::with_capacity(specs.len());
    for step in specs {
        let class = match step.op.holds() {
            Holds::Category => "a StringIndexer",
            Holds::Number | Holds::Vector => "a stage after it",
        };
        let mut of_step = Vec::with_capacity(step.inputs.len());
        for name in &step.inputs {
            let place = find(&places, name, step.op.holds()).filter(|place| step.op.takes(places.kinds[*place as usize]));
            of_step.push(place.ok_or_else(|| unfit(name, class))?);
        }
        let taken = of_step.first().map_or(Kind::Numbers, |place| places.kinds[*place as usize]);
        let widths: Vec<Option<usize>> = of_step.iter().map(|place| places.widths[*place as usize]).collect();
        let width = step.op.width(&widths);
        // Scalers keep the width; and nothing on the way is wider than what the model takes. Files that say otherwise
        // would ask for any amount of memory.
        let is_kept = widths.first().copied().flatten().is_none_or(|taken| !step.op.keeps_width() || width == Some(taken));
        if !is_kept || width.is_some_and(|width| width > n_features) {
            return Err(unfit(&step.output, &spec.class));
        }
        let output = places.add(step.op.gives(taken), width);
        places.written.insert(fold(&step.output), output);
        let column = match step.op {
            Op::Assemble { .. } => step.output,
            _ => step.inputs.first().cloned().unwrap_or_default(),
        };
        steps.push(Step { op: step.op, inputs: of_step, output, column });
    }
    let of_kind = |name: &str, holds: Holds| {
        let place = find(&places, name, holds).filter(|place| places.kinds[*place as usize] == kind_of(holds));
        place.ok_or_else(|| unfit(name, &spec.class))
    };
    let features = of_kind(&spec.features, Holds::Vector)?;
    if places.widths[features as usize].is_some_and(|width| width != n_features) {
        return Err(unfit(&spec.features, &spec.class));
    }
    let offset = spec.offset.as_deref().map(|name| of_kind(name, Holds::Number)).transpose()?;
    Ok(SparkPipeline { inputs, steps, features, features_column: spec.features, offset, class_names: Vec::new(), model: spec.model })
}

impl SparkPipeline {
    /// Reads what [`Learned::write`] wrote; `None` when the parts do not fit together.
    pub fn read(manifest: serde_json::Value, files: &Files) -> Result<Option<Self>> {
        let Ok(mut pipeline) = serde_json::from_value::<Self>(manifest) else { return Ok(None) };
        if let Model::Trees { n_features, width, trees, .. } = &mut pipeline.model {
            *trees = Trees::read(&files.parquet(TREES)?, *n_features, *width).map(Arc::new);
        }
        Ok(pipeline.model.is_whole().then_some(pipeline))
    }

    /// The last stage.
    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// The columns that it reads: the first ones by number.
    pub(super) fn raw_inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The stages before the last; each writes the next column.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The number of the column of features.
    pub(super) fn features_place(&self) -> usize {
        self.features as usize
    }

    /// The name of the column of features.
    pub(super) fn features_column(&self) -> &str {
        &self.features_column
    }

    /// The classes of a classifier.
    pub(super) fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn chunk(&self, columns: &[ArrayRef], first: usize, n_rows: usize, to: &mut Predictions) -> Result<()> {
        let mut rows = Rows { n_rows, first_row: first + 1, columns: Vec::new(), kept: vec![true; n_rows] };
        for (array, input) in columns.iter().zip(&self.inputs) {
            rows.columns.push(Some(Values::of_query(&array.slice(first, n_rows), input, first + 1)?));
        }
        for step in &self.steps {
            step.run(&mut rows)?;
        }
        let offset = self.offset.map(|place| rows.offsets(place)).transpose()?;
        self.model.score(&self.features_column, rows.vectors(self.features)?, offset.as_deref(), &rows.kept, to)
    }
}

impl Learned for SparkPipeline {
    fn kind(&self) -> LearnedKind {
        LearnedKind::Spark
    }

    fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    fn predict(&self, columns: &[ArrayRef], n_rows: usize) -> Result<Predictions> {
        if columns.len() != self.inputs.len() || columns.iter().any(|column| column.len() != n_rows) {
            return Err(Error::internal("a Spark pipeline was given other columns than it asked for"));
        }
        let mut predictions = Predictions { values: Vec::with_capacity(n_rows * self.model.width()), chosen: None };
        let chunk = (CHUNK / self.model.n_features().max(1)).clamp(8, 1024);
        for first in (0..n_rows).step_by(chunk) {
            self.chunk(columns, first, chunk.min(n_rows - first), &mut predictions)?;
        }
        Ok(predictions)
    }

    fn bytes(&self) -> usize {
        let of_step = |step: &Step| match &step.op {
            Op::Index { labels, .. } => labels.names().iter().map(|name| 2 * name.len() + 80).sum(),
            Op::Affine { shift, .. } => 24 * shift.len(),
            Op::IndexVector { categories, .. } => categories.iter().map(|of| 16 * of.values.len() + 56).sum(),
            _ => 64,
        };
        let of_model = match &self.model {
            Model::Trees { trees, importances, .. } => trees.as_ref().map_or(0, |trees| trees.bytes()) + importances.len() * 8,
            other => 8 * other.n_features() * other.width().max(1),
        };
        self.steps.iter().map(of_step).sum::<usize>() + of_model + size_of::<Self>()
    }

    fn table(&self, table: ModelTable) -> Result<Option<RecordBatch>> {
        super::table::table(self, table)
    }

    fn write(&self) -> Result<Parts> {
        let mut files = Vec::new();
        if let Model::Trees { trees: Some(trees), .. } = &self.model {
            files.push((TREES, trees.write()?));
        }
        Ok(Parts { manifest: serde_json::to_value(self).map_err(unwritable)?, files })
    }
}
