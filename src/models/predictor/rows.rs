//! The rows of a training query, collected column by column, and what is learned from them before training:
//! features, classes, an order that does not depend on how the rows arrived.

use super::columns::{self, wrong_type, wrong_value};
use super::features::{Feature, FeatureValues};
use super::labels::{self, ClassEncoder};
use super::options::{DataSplit, PredictorOptions, TaskKind};
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use std::collections::HashSet;
use std::sync::Arc;
use weir_ml::error::LearnError;
use weir_ml::frame::{Column, Frame};
use weir_ml::random::Stream;
use weir_ml::split::{self, RowSplit};

/// What a learner is to predict.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    None,
    Numbers(Vec<f64>),
    /// The class of every row, and how many classes there are.
    Classes(Vec<u32>, u32),
}

/// Features, target and weights of rows: what a learner reads.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub frame: Frame,
    pub target: Target,
    pub weights: Option<Vec<f64>>,
}

impl Part {
    /// The rows at these places.
    pub fn take(&self, places: &[u32]) -> Self {
        let target = match &self.target {
            Target::None => Target::None,
            Target::Numbers(values) => Target::Numbers(taken(values, places)),
            Target::Classes(codes, n_classes) => Target::Classes(taken(codes, places), *n_classes),
        };
        Self { frame: self.frame.take(places), target, weights: self.weights.as_ref().map(|weights| taken(weights, places)) }
    }
}

/// The values at these places.
pub(super) fn taken<T: Copy>(values: &[T], places: &[u32]) -> Vec<T> {
    places.iter().map(|place| values[*place as usize]).collect()
}

/// The rows of a training query, in an order that depends on their values only.
#[derive(Debug)]
pub(super) struct TrainingSet {
    pub features: Vec<Feature>,
    pub part: Part,
    /// The values of the label, for classifiers.
    pub classes: Option<ArrayRef>,
    /// The row of the query (from 0) at each place.
    pub origin: Vec<u32>,
    split: SplitValues,
    /// The memory of the rows, until training ends.
    pub reservation: MemoryReservation,
}

/// What a split goes by.
#[derive(Debug)]
enum SplitValues {
    None,
    /// True for held-out rows.
    Marks(Vec<bool>),
    Times(Vec<OwnedRow>),
}

impl TrainingSet {
    /// Which rows are held out; `None` when none are. Folds are not made here: beside them a fifth is held out of a search.
    pub fn hold_out(&self, options: &PredictorOptions) -> Result<Option<RowSplit>, LearnError> {
        let n_rows = self.part.frame.n_rows();
        let random = |fraction: f64| match &self.part.target {
            Target::Classes(codes, _) => split::stratified(codes, fraction, options.seed),
            _ => split::rows(n_rows, fraction, options.seed),
        };
        let rows = match (options.split, &self.split) {
            (DataSplit::NoSplit, _) => return Ok(None),
            (DataSplit::Auto, _) if n_rows < AUTO_SPLIT_ROWS_MIN => return Ok(None),
            (DataSplit::Auto, _) => random((AUTO_SPLIT_EVAL_ROWS_MAX / n_rows as f64).min(EVAL_FRACTION))?,
            (DataSplit::Sequential { eval_fraction }, SplitValues::Times(times)) => split::sequential_rows(times, eval_fraction)?,
            (DataSplit::Custom, SplitValues::Marks(marks)) => split::custom_rows(marks)?,
            (DataSplit::Random { eval_fraction } | DataSplit::Sequential { eval_fraction }, _) => random(eval_fraction)?,
            (DataSplit::Folds { .. }, _) => random(EVAL_FRACTION)?,
            (DataSplit::Custom, _) => return Ok(None),
        };
        Ok(Some(rows).filter(|rows| !rows.eval.is_empty()))
    }

    /// Splits some of the rows by time; `None` when the rows have none.
    pub fn split_by_time(&self, places: &[u32], eval_fraction: f64) -> Option<Result<RowSplit, LearnError>> {
        let SplitValues::Times(times) = &self.split else { return None };
        let times: Vec<OwnedRow> = places.iter().map(|place| times[*place as usize].clone()).collect();
        Some(split::sequential_rows(&times, eval_fraction))
    }
}

/// BigQuery's AUTO_SPLIT: below so many rows all are trained on,
const AUTO_SPLIT_ROWS_MIN: usize = 500;
/// and never more than so many are held out.
const AUTO_SPLIT_EVAL_ROWS_MAX: f64 = 10_000.0;
/// The share held out when nothing else says.
pub(super) const EVAL_FRACTION: f64 = 0.2;

/// Which columns of a query are what.
#[derive(Debug)]
struct Places {
    label: Option<usize>,
    weight: Option<usize>,
    split: Option<usize>,
    features: Vec<usize>,
}

impl Places {
    fn of(model: &str, options: &PredictorOptions, schema: &Schema) -> Result<Self> {
        let what = format!("model \"{model}\"");
        let mut seen = HashSet::new();
        if let Some(field) = schema.fields().iter().find(|field| !seen.insert(field.name())) {
            let error = Error::new(Code::InvalidStatement, format!("the query for {what} has two columns \"{}\"", field.name()));
            return Err(error.hint("Give one of them another name with AS."));
        }
        let find = |option: &str, name: &str| {
            columns::find(&what, name, schema).map_err(|mut error| {
                error.message = format!("{} (option \"{option}\")", error.message);
                error
            })
        };
        let label = match (options.task(), &options.label) {
            (TaskKind::Clustering | TaskKind::Reduction, _) => None,
            (_, Some(name)) => Some(find("input_label_cols", name)?),
            (_, None) => Some(columns::find(&what, "label", schema).map_err(|_| {
                Error::new(Code::InvalidParameter, format!("{what} has no option \"input_label_cols\""))
                    .detail("Without it, the column \"label\" of the training query would be learned.")
                    .hint("Add input_label_cols=['..'] with the column to predict.")
            })?),
        };
        let weight = options.weight_col.as_ref().map(|name| find("weight_col", name)).transpose()?;
        let split = options.split_col.as_ref().map(|name| find("data_split_col", name)).transpose()?;
        if weight.is_some() && weight == label || split.is_some() && (split == label || split == weight) {
            let error = Error::new(Code::InvalidParameter, format!("two options of {what} name the same column"));
            return Err(error.detail("The label, the weights and the split are columns of their own."));
        }
        let not_a_feature = |place: &usize| [label, weight, split].contains(&Some(*place));
        let features: Vec<usize> = (0..schema.fields().len()).filter(|place| !not_a_feature(place)).collect();
        if features.is_empty() {
            let error = Error::new(Code::InvalidStatement, format!("the training query of {what} has no column to learn from"));
            return Err(error.hint("Select the features beside the label."));
        }
        Ok(Self { label, weight, split, features })
    }
}

/// Takes the batches of the training query.
#[derive(Debug)]
pub(super) struct RowCollector {
    schema: SchemaRef,
    places: Places,
    features: Vec<FeatureValues>,
    label: LabelValues,
    weights: Vec<f64>,
    split: SplitValues,
    split_converter: Option<RowConverter>,
    n_rows: usize,
    reservation: MemoryReservation,
}

#[derive(Debug)]
enum LabelValues {
    None,
    Numbers(Vec<f64>),
    Classes(Box<ClassEncoder>),
}

impl RowCollector {
    /// For a query of this schema.
    ///
    /// # Errors
    /// `UndefinedColumn` for columns that the options name, `InvalidStatement` for columns of a type that cannot be
    /// learned from.
    pub fn new(model: &str, options: &PredictorOptions, schema: &SchemaRef, memory: &Arc<dyn MemoryPool>) -> Result<Self> {
        let what = format!("model \"{model}\"");
        let places = Places::of(model, options, schema)?;
        let feature = |place: &usize| {
            let field = schema.field(*place);
            FeatureValues::new(field.data_type()).ok_or_else(|| {
                wrong_type(&what, field, "a number, text, boolean, date or time to be a feature")
                    .hint(format!("Leave \"{}\" out of the query, or CAST it.", field.name()))
            })
        };
        let features = places.features.iter().map(feature).collect::<Result<_>>()?;
        let label = match (options.task(), places.label) {
            (TaskKind::Classification, Some(place)) => LabelValues::Classes(Box::new(ClassEncoder::new(model, schema.field(place))?)),
            (TaskKind::Regression, Some(place)) => {
                let field = schema.field(place);
                if !columns::is_number(field.data_type()) {
                    let error = wrong_type(&what, field, "a number to be the label of a regression");
                    return Err(error.hint(format!("CAST \"{0}\" to DOUBLE, or use a classifier.", field.name())));
                }
                LabelValues::Numbers(Vec::new())
            }
            _ => LabelValues::None,
        };
        if let Some(field) = places.weight.map(|place| schema.field(place)).filter(|field| !columns::is_number(field.data_type())) {
            return Err(wrong_type(&what, field, "a number to be a weight"));
        }
        let mut split_converter = None;
        let split = match (options.split, places.split.map(|place| schema.field(place))) {
            (DataSplit::Custom, Some(field)) if *field.data_type() == DataType::Boolean => SplitValues::Marks(Vec::new()),
            (DataSplit::Custom, Some(field)) => {
                return Err(wrong_type(&what, field, "a boolean, TRUE for the rows to hold out (\"data_split_col\")"));
            }
            (DataSplit::Sequential { .. }, Some(field)) => {
                let unusable = |_| wrong_type(&what, field, "a type with an order (\"data_split_col\")");
                split_converter = Some(RowConverter::new(vec![SortField::new(field.data_type().clone())]).map_err(unusable)?);
                SplitValues::Times(Vec::new())
            }
            _ => SplitValues::None,
        };
        let reservation = MemoryConsumer::new(format!("rows of model {model}")).register(memory);
        Ok(Self {
            schema: Arc::clone(schema),
            places,
            features,
            label,
            weights: Vec::new(),
            split,
            split_converter,
            n_rows: 0,
            reservation,
        })
    }

    /// Rows so far.
    pub fn n_rows(&self) -> u64 {
        self.n_rows as u64
    }

    /// Appends a batch.
    ///
    /// # Errors
    /// `InvalidValue` with row and column, `LimitExceeded` for memory.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let first_row = self.n_rows as u64 + 1;
        let name = |place: usize| self.schema.field(place).name().as_str();
        for (values, place) in self.features.iter_mut().zip(&self.places.features) {
            values.add(batch.column(*place), name(*place), first_row)?;
        }
        if let Some(place) = self.places.label {
            match &mut self.label {
                LabelValues::None => {}
                LabelValues::Numbers(values) => labels::add_numbers(batch.column(place), name(place), first_row, values)?,
                LabelValues::Classes(encoder) => encoder.add(batch.column(place), first_row)?,
            }
        }
        if let Some(place) = self.places.weight {
            let begin = self.weights.len();
            labels::add_numbers(batch.column(place), name(place), first_row, &mut self.weights)?;
            if let Some(row) = self.weights[begin..].iter().position(|weight| *weight < 0.0) {
                let is = format!("{}, a negative weight,", self.weights[begin + row]);
                return Err(wrong_value(name(place), first_row + row as u64, &is));
            }
        }
        if let Some(place) = self.places.split {
            self.add_split(batch.column(place))?;
        }
        self.n_rows += batch.num_rows();
        if u32::try_from(self.n_rows).is_err() {
            return Err(Error::new(Code::LimitExceeded, "a model is trained on at most 4,294,967,295 rows"));
        }
        self.reserve()
    }

    fn add_split(&mut self, array: &ArrayRef) -> Result<()> {
        match &mut self.split {
            SplitValues::None => {}
            // As in BigQuery: a row without a mark is held out.
            SplitValues::Marks(marks) => marks.extend(array.as_boolean().iter().map(|mark| mark != Some(false))),
            SplitValues::Times(times) => {
                let converter = self.split_converter.as_ref().ok_or_else(|| Error::internal("a split has no order"))?;
                let rows = converter.convert_columns(std::slice::from_ref(array));
                let rows = rows.map_err(|error| Error::internal(format!("could not read the split: {error}")))?;
                times.extend(rows.iter().map(|row| row.owned()));
            }
        }
        Ok(())
    }

    /// Reserves what the columns take now, twice: training copies the rows into its own order and parts.
    fn reserve(&self) -> Result<()> {
        let features: usize = self.features.iter().map(FeatureValues::bytes).sum();
        let label = match &self.label {
            LabelValues::None => 0,
            LabelValues::Numbers(values) => values.capacity() * size_of::<f64>(),
            LabelValues::Classes(encoder) => encoder.bytes(),
        };
        let split = match &self.split {
            SplitValues::None => 0,
            SplitValues::Marks(marks) => marks.capacity(),
            SplitValues::Times(times) => times.capacity() * 48,
        };
        let bytes = 2 * (features + label + self.weights.capacity() * size_of::<f64>() + split);
        if bytes > self.reservation.size() {
            self.reservation.try_grow(bytes - self.reservation.size()).map_err(|error| {
                let what = format!("there is not enough memory for the {} rows read so far", self.n_rows);
                Error::new(Code::LimitExceeded, what)
                    .detail(format!("{}.", error.message()))
                    .hint("Train on fewer rows or columns, or raise the server's memory limit.")
            })?;
        }
        Ok(())
    }

    /// The rows in their own order.
    ///
    /// # Errors
    /// `InvalidValue` when there is no row, or fewer than two classes.
    pub fn finish(self, model: &str) -> Result<TrainingSet> {
        if self.n_rows == 0 {
            return Err(Error::new(Code::InvalidValue, format!("the training query of model \"{model}\" returned no row")));
        }
        let names = self.places.features.iter().map(|place| self.schema.field(*place).name());
        let (features, columns): (Vec<Feature>, Vec<Column>) =
            self.features.into_iter().zip(names).map(|(values, name)| values.finish(name)).unzip();
        let frame =
            Frame::new(self.n_rows, columns).map_err(|error| Error::internal(format!("could not put features together: {error}")))?;
        let (target, classes) = match self.label {
            LabelValues::None => (Target::None, None),
            LabelValues::Numbers(values) => (Target::Numbers(values), None),
            LabelValues::Classes(encoder) => {
                let (classes, codes) = encoder.finish()?;
                if classes.len() < 2 {
                    let label = self.places.label.map_or("", |place| self.schema.field(place).name().as_str());
                    let what = format!("all rows of the training query of model \"{model}\" have the same \"{label}\"");
                    return Err(Error::new(Code::InvalidValue, what).hint("Train on rows of at least two classes."));
                }
                (Target::Classes(codes, classes.len() as u32), Some(classes))
            }
        };
        let weights = self.places.weight.map(|_| self.weights);
        if weights.as_ref().is_some_and(|weights| weights.iter().all(|weight| *weight == 0.0)) {
            return Err(Error::new(Code::InvalidValue, format!("all rows of the training query of model \"{model}\" have weight 0")));
        }
        let part = Part { frame, target, weights };
        let origin = order_by_value(&part, &self.split);
        let split = match self.split {
            SplitValues::None => SplitValues::None,
            SplitValues::Marks(marks) => SplitValues::Marks(taken(&marks, &origin)),
            SplitValues::Times(times) => SplitValues::Times(origin.iter().map(|row| times[*row as usize].clone()).collect()),
        };
        let part = part.take(&origin);
        Ok(TrainingSet { features, part, classes, origin, split, reservation: self.reservation })
    }
}

/// An order of the rows that depends on what they hold, not on how they came: parallel scans deliver rows in
/// another order each time, and the same rows with the same seed are to give the same model. Rows are ordered
/// by a hash of their values; rows with the same values are interchangeable.
fn order_by_value(part: &Part, split: &SplitValues) -> Vec<u32> {
    let mut hashes = vec![0u64; part.frame.n_rows()];
    let mut add = |bits: &mut dyn Iterator<Item = u64>| {
        hashes.iter_mut().zip(bits).for_each(|(hash, bits)| *hash = Stream::new(*hash, bits).next_u64());
    };
    // Adding zero makes -0 and 0 the same.
    let number = |value: &f64| if value.is_nan() { u64::MAX } else { (value + 0.0).to_bits() };
    for column in part.frame.columns() {
        match column {
            Column::Numeric(values) => add(&mut values.iter().map(number)),
            Column::Categorical { codes, .. } => add(&mut codes.iter().map(|code| u64::from(*code))),
        }
    }
    match &part.target {
        Target::None => {}
        Target::Numbers(values) => add(&mut values.iter().map(number)),
        Target::Classes(codes, _) => add(&mut codes.iter().map(|code| u64::from(*code))),
    }
    if let Some(weights) = &part.weights {
        add(&mut weights.iter().map(number));
    }
    match split {
        SplitValues::None => {}
        SplitValues::Marks(marks) => add(&mut marks.iter().map(|mark| u64::from(*mark))),
        SplitValues::Times(times) => add(&mut times.iter().map(|time| {
            let bytes = time.as_ref().chunks(8);
            bytes.fold(0, |hash, chunk| Stream::new(hash, chunk.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))).next_u64())
        })),
    }
    let mut order: Vec<u32> = (0..hashes.len() as u32).collect();
    order.sort_by_key(|row| hashes[*row as usize]);
    order
}
