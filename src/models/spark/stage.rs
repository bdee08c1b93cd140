//! What a stage of a pipeline does to its columns, with Spark's treatment of NULL, NaN and unknown values.
//!
//! Stages over many columns are taken apart: a [`Step`] writes one column.

use super::column::{NumberKind, Numbers, Values, Vectors};
use super::exact;
use super::params::Invalid;
use crate::error::{Code, Error, Result};
use datafusion::arrow::buffer::NullBuffer;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A stage over one column (an assembler over many).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Step {
    pub op: Op,
    /// Places of columns.
    pub inputs: Vec<u32>,
    pub output: u32,
    /// The first input's name, for messages.
    pub column: String,
}

/// What is computed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(super) enum Op {
    /// StringIndexer: the place among the labels; unknown ones are the number of labels when they are kept.
    Index { labels: Labels, invalid: Invalid },
    /// OneHotEncoder.
    OneHot { n_categories: u32, drop_last: bool, keep_invalid: bool },
    /// VectorAssembler.
    Assemble { invalid: Invalid },
    /// Scalers: `(x - shift) * scale + offset` by feature.
    Affine {
        #[serde(with = "exact")]
        shift: Vec<f64>,
        #[serde(with = "exact")]
        scale: Vec<f64>,
        #[serde(with = "exact")]
        offset: Vec<f64>,
    },
    /// Imputer: NULL and `missing` become `surrogate`.
    Impute {
        #[serde(with = "exact::one")]
        missing: f64,
        #[serde(with = "exact::one")]
        surrogate: f64,
    },
    /// Bucketizer: the number of the interval; the last one holds its upper end too.
    Bucket {
        #[serde(with = "exact")]
        splits: Vec<f64>,
        invalid: Invalid,
    },
    /// Binarizer: 1 above the threshold.
    Binarize {
        #[serde(with = "exact::one")]
        threshold: f64,
    },
    /// Normalizer: to length 1 in the p-norm.
    Normalize {
        #[serde(with = "exact::one")]
        p: f64,
    },
    /// VectorIndexer: values of some features become their categories.
    IndexVector { n_features: usize, categories: Vec<FeatureCategories>, invalid: Invalid },
}

/// The categories of one feature of a VectorIndexer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FeatureCategories {
    pub feature: usize,
    #[serde(with = "exact")]
    pub values: Vec<f64>,
    #[serde(with = "exact")]
    pub indices: Vec<f64>,
}

/// Labels with their places.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub(super) struct Labels {
    names: Vec<String>,
    places: HashMap<String, u32>,
}

impl From<Vec<String>> for Labels {
    fn from(names: Vec<String>) -> Self {
        let places = names.iter().cloned().zip(0..).collect();
        Self { names, places }
    }
}

impl From<Labels> for Vec<String> {
    fn from(labels: Labels) -> Self {
        labels.names
    }
}

impl Labels {
    /// The labels, by index.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Some rows on their way through a pipeline.
#[derive(Debug)]
pub(super) struct Rows {
    pub n_rows: usize,
    /// The number of the first one in the query, from 1.
    pub first_row: usize,
    pub columns: Vec<Option<Values>>,
    /// False for a row that a stage with `skip` has left out.
    pub kept: Vec<bool>,
}

impl Rows {
    fn numbers(&self, place: u32) -> Result<&Numbers> {
        match self.columns.get(place as usize) {
            Some(Some(Values::Numbers(numbers))) => Ok(numbers),
            _ => Err(Error::internal("a stage of a Spark pipeline found no numbers")),
        }
    }

    /// The vectors at a place.
    pub fn vectors(&self, place: u32) -> Result<&Vectors> {
        match self.columns.get(place as usize) {
            Some(Some(Values::Vectors(vectors))) => Ok(vectors),
            _ => Err(Error::internal("a stage of a Spark pipeline found no vectors")),
        }
    }

    /// The numbers at a place; NULL is NaN.
    pub fn offsets(&self, place: u32) -> Result<Vec<f64>> {
        let numbers = self.numbers(place)?;
        let value = |(row, value): (usize, &f64)| if numbers.is_null(row) { f64::NAN } else { *value };
        Ok(numbers.values.iter().enumerate().map(value).collect())
    }
}

/// What a stage makes of a value that it cannot work with.
struct Refusal<'a> {
    step: &'a Step,
    stage: &'static str,
    invalid: Invalid,
    first_row: usize,
}

impl Refusal<'_> {
    /// The value in its place; a row left out is marked.
    fn of(&self, row: usize, kept: &mut [bool], keep: f64, is: impl FnOnce() -> String) -> Result<f64> {
        match self.invalid {
            Invalid::Keep => Ok(keep),
            // Spark left the row out in an earlier stage and never looked at it here.
            _ if !kept[row] => Ok(f64::NAN),
            Invalid::Skip => {
                kept[row] = false;
                Ok(f64::NAN)
            }
            Invalid::Error => Err(self.error(row, &is())),
        }
    }

    fn error(&self, row: usize, is: &str) -> Error {
        let what = format!("column \"{}\" {is} in row {} of the query", self.step.column, self.first_row + row);
        Error::new(Code::InvalidValue, what)
            .detail(format!("The {} of the Spark pipeline was saved with handleInvalid 'error': it cannot use such a value.", self.stage))
            .hint("Leave such rows out, or save the pipeline with handleInvalid 'keep' or 'skip' and import it again.")
    }
}

impl Step {
    /// Computes the output.
    ///
    /// # Errors
    /// `InvalidValue` with the row for a value that Spark refuses.
    pub fn run(&self, rows: &mut Rows) -> Result<()> {
        let mut kept = std::mem::take(&mut rows.kept);
        let output = self.compute(rows, &mut kept);
        rows.kept = kept;
        let place = self.output as usize;
        if rows.columns.len() <= place {
            rows.columns.resize(place + 1, None);
        }
        rows.columns[place] = Some(output?);
        Ok(())
    }

    fn input(&self) -> u32 {
        self.inputs.first().copied().unwrap_or(u32::MAX)
    }

    fn refusal(&self, stage: &'static str, invalid: Invalid, rows: &Rows) -> Refusal<'_> {
        Refusal { step: self, stage, invalid, first_row: rows.first_row }
    }

    fn compute(&self, rows: &Rows, kept: &mut [bool]) -> Result<Values> {
        match &self.op {
            Op::Index { labels, invalid } => self.index(labels, *invalid, rows, kept),
            Op::OneHot { n_categories, drop_last, keep_invalid } => self.one_hot(*n_categories, *drop_last, *keep_invalid, rows, kept),
            Op::Assemble { invalid } => self.assemble(*invalid, rows, kept),
            Op::Affine { shift, scale, offset } => self.map_vectors(shift.len(), rows, |row| {
                for (((value, shift), scale), offset) in row.iter_mut().zip(shift).zip(scale).zip(offset) {
                    *value = (*value - shift) * scale + offset;
                }
            }),
            Op::Impute { missing, surrogate } => self.impute(*missing, *surrogate, rows),
            Op::Bucket { splits, invalid } => self.bucket(splits, *invalid, rows, kept),
            Op::Binarize { threshold } => self.binarize(*threshold, rows),
            Op::Normalize { p } => self.map_vectors(0, rows, |row| {
                let length = norm(row, *p);
                if length != 0.0 {
                    row.iter_mut().for_each(|value| *value /= length);
                }
            }),
            Op::IndexVector { n_features, categories, invalid } => self.index_vector(*n_features, categories, *invalid, rows, kept),
        }
    }

    fn index(&self, labels: &Labels, invalid: Invalid, rows: &Rows, kept: &mut [bool]) -> Result<Values> {
        let refusal = self.refusal("StringIndexer", invalid, rows);
        let other = labels.names.len() as f64;
        let mut place = |row: usize, text: Option<&str>| match text.and_then(|text| labels.places.get(text)) {
            Some(place) => Ok(f64::from(*place)),
            None => refusal.of(row, kept, other, || match text {
                Some(text) => format!("is '{text}', which no training row had,"),
                None => "is NULL".into(),
            }),
        };
        let places: Result<Vec<f64>> = match rows.columns.get(self.input() as usize) {
            Some(Some(Values::Texts(texts))) => texts.iter().enumerate().map(|(row, text)| place(row, text)).collect(),
            Some(Some(Values::Numbers(numbers))) => (0..numbers.values.len()).map(|row| place(row, numbers.text(row).as_deref())).collect(),
            _ => Err(Error::internal("a StringIndexer found no texts")),
        };
        Ok(Values::Numbers(Numbers::doubles(places?, None)))
    }

    fn one_hot(&self, n_categories: u32, drop_last: bool, keep_invalid: bool, rows: &Rows, kept: &[bool]) -> Result<Values> {
        let numbers = rows.numbers(self.input())?;
        // Kept values are a category more; without the last one it is that one that goes.
        let width = (n_categories as usize + usize::from(keep_invalid)).saturating_sub(usize::from(drop_last));
        let refusal = self.refusal("OneHotEncoder", Invalid::Error, rows);
        let mut vectors = Vectors { width, values: vec![0.0; width * rows.n_rows], nulls: numbers.nulls.clone() };
        for (row, value) in numbers.values.iter().enumerate() {
            if !kept[row] || numbers.is_null(row) {
                continue;
            }
            let place = match *value {
                value if value >= 0.0 && value < f64::from(n_categories) => value as usize,
                _ if keep_invalid => n_categories as usize,
                value => return Err(refusal.error(row, &format!("is {value}, no category of training,"))),
            };
            if place < width {
                vectors.values[row * width + place] = 1.0;
            }
        }
        Ok(Values::Vectors(vectors))
    }

    fn assemble(&self, invalid: Invalid, rows: &Rows, kept: &mut [bool]) -> Result<Values> {
        let width_of = |place: &u32| match rows.columns.get(*place as usize) {
            Some(Some(Values::Vectors(vectors))) => vectors.width,
            _ => 1,
        };
        let width: usize = self.inputs.iter().map(width_of).sum();
        let refusal = self.refusal("VectorAssembler", invalid, rows);
        let mut values = vec![0.0; width * rows.n_rows];
        let mut begin = 0;
        for place in &self.inputs {
            match rows.columns.get(*place as usize) {
                Some(Some(Values::Numbers(numbers))) => {
                    for (row, value) in numbers.values.iter().enumerate() {
                        let is_null = numbers.is_null(row);
                        values[row * width + begin] = if is_null || value.is_nan() {
                            let is = || if is_null { "has a feature that is NULL" } else { "has a feature that is NaN" }.to_owned();
                            refusal.of(row, kept, f64::NAN, is)?
                        } else {
                            *value
                        };
                    }
                    begin += 1;
                }
                Some(Some(Values::Vectors(vectors))) => {
                    for row in 0..rows.n_rows {
                        let target = &mut values[row * width + begin..][..vectors.width];
                        if vectors.is_null(row) {
                            let value = refusal.of(row, kept, f64::NAN, || "has a feature that is NULL".into())?;
                            target.fill(value);
                        } else {
                            target.copy_from_slice(vectors.row(row));
                        }
                    }
                    begin += vectors.width;
                }
                _ => return Err(Error::internal("a VectorAssembler found no numbers")),
            }
        }
        Ok(Values::Vectors(Vectors { width, values, nulls: None }))
    }

    /// Changes vectors in place; `width` 0 is any.
    fn map_vectors(&self, width: usize, rows: &Rows, change: impl Fn(&mut [f64])) -> Result<Values> {
        let mut vectors = rows.vectors(self.input())?.clone();
        self.check_width(&vectors, width)?;
        vectors.values.chunks_exact_mut(vectors.width.max(1)).for_each(change);
        Ok(Values::Vectors(vectors))
    }

    fn check_width(&self, vectors: &Vectors, width: usize) -> Result<()> {
        if width == 0 || vectors.width == width || vectors.values.is_empty() {
            Ok(())
        } else {
            Err(wrong_width(&self.column, vectors, width))
        }
    }

    fn impute(&self, missing: f64, surrogate: f64, rows: &Rows) -> Result<Values> {
        let numbers = rows.numbers(self.input())?;
        // Spark casts the result back to the type of the column.
        let surrogate = match numbers.kind {
            NumberKind::Double => surrogate,
            NumberKind::Float => f64::from(surrogate as f32),
            NumberKind::Integer => surrogate.trunc(),
        };
        let is_missing = |value: f64| value == missing || (value.is_nan() && missing.is_nan());
        let value = |(row, value): (usize, &f64)| if numbers.is_null(row) || is_missing(*value) { surrogate } else { *value };
        let values = numbers.values.iter().enumerate().map(value).collect();
        Ok(Values::Numbers(Numbers { values, nulls: None, kind: numbers.kind }))
    }

    fn bucket(&self, splits: &[f64], invalid: Invalid, rows: &Rows, kept: &mut [bool]) -> Result<Values> {
        let numbers = rows.numbers(self.input())?;
        let refusal = self.refusal("Bucketizer", invalid, rows);
        let bounds = self.refusal("Bucketizer", Invalid::Error, rows);
        let n_buckets = splits.len().saturating_sub(1);
        let mut values = Vec::with_capacity(numbers.values.len());
        let mut nulls = Vec::new();
        for (row, value) in numbers.values.iter().enumerate() {
            let is_null = numbers.is_null(row);
            values.push(if !kept[row] {
                f64::NAN
            } else if is_null {
                // NULL stays NULL, but for `skip`.
                if invalid == Invalid::Skip {
                    kept[row] = false;
                }
                nulls.push(row);
                f64::NAN
            } else if value.is_nan() {
                refusal.of(row, kept, n_buckets as f64, || "is NaN".into())?
            } else if splits.last() == Some(value) {
                n_buckets.saturating_sub(1) as f64
            } else {
                match splits.partition_point(|split| split <= value) {
                    place if place > 0 && place <= n_buckets => (place - 1) as f64,
                    _ => return Err(bounds.error(row, &format!("is {value}, outside the splits of the Bucketizer,"))),
                }
            });
        }
        let nulls = (!nulls.is_empty()).then(|| numbers.nulls.clone()).flatten();
        Ok(Values::Numbers(Numbers::doubles(values, nulls)))
    }

    fn binarize(&self, threshold: f64, rows: &Rows) -> Result<Values> {
        let bit = |value: f64| if value > threshold { 1.0 } else { 0.0 };
        if matches!(rows.columns.get(self.input() as usize), Some(Some(Values::Vectors(_)))) {
            return self.map_vectors(0, rows, |row| row.iter_mut().for_each(|value| *value = bit(*value)));
        }
        let numbers = rows.numbers(self.input())?;
        // NULL is not above the threshold.
        let value = |(row, value): (usize, &f64)| if numbers.is_null(row) { 0.0 } else { bit(*value) };
        Ok(Values::Numbers(Numbers::doubles(numbers.values.iter().enumerate().map(value).collect(), None)))
    }

    fn index_vector(
        &self,
        n_features: usize,
        categories: &[FeatureCategories],
        invalid: Invalid,
        rows: &Rows,
        kept: &mut [bool],
    ) -> Result<Values> {
        let mut vectors = rows.vectors(self.input())?.clone();
        self.check_width(&vectors, n_features)?;
        let refusal = self.refusal("VectorIndexer", invalid, rows);
        for (row, vector) in vectors.values.chunks_exact_mut(n_features.max(1)).enumerate() {
            for of in categories {
                let Some(value) = vector.get_mut(of.feature) else { continue };
                *value = match of.values.iter().position(|known| known == value) {
                    Some(place) => of.indices[place],
                    None => refusal
                        .of(row, kept, of.values.len() as f64, || format!("has the unknown value {value} in feature {}", of.feature))?,
                };
            }
        }
        Ok(Values::Vectors(vectors))
    }
}

/// The error for vectors of another length than in training.
pub(super) fn wrong_width(column: &str, vectors: &Vectors, width: usize) -> Error {
    let what = format!("vector \"{column}\" has {} numbers, the model was trained on {width}", vectors.width);
    Error::new(Code::InvalidValue, what)
}

fn norm(row: &[f64], p: f64) -> f64 {
    if p == 1.0 {
        row.iter().map(|value| value.abs()).sum()
    } else if p == 2.0 {
        row.iter().map(|value| value * value).sum::<f64>().sqrt()
    } else if p.is_infinite() {
        row.iter().fold(0.0, |most: f64, value| most.max(value.abs()))
    } else {
        row.iter().map(|value| value.abs().powf(p)).sum::<f64>().powf(1.0 / p)
    }
}

/// Whether all rows of some vectors are NULL: their width is not known then.
pub(super) fn all_null(nulls: Option<&NullBuffer>) -> bool {
    nulls.is_some_and(|nulls| nulls.null_count() == nulls.len())
}
