//! How columns of a query become the features of a [`Frame`]: learned in training, kept with the model.
//!
//! | column | feature |
//! |---|---|
//! | integer, float, decimal | number |
//! | boolean | number, 0 or 1 |
//! | date, timestamp, time | number: days or seconds since 1970 (UTC), seconds |
//! | text with more than [`NUMERIC_TEXTS_MIN`] different values that are all numbers or blank | number, blank is missing |
//! | other text | category |
//!
//! Of a category column the [`CATEGORIES_MAX`] most frequent values that occur at least twice have a code of
//! their own; all others share one, as do values that only come up later. A column that names each row (a
//! customer's number as text) thereby becomes one value, from which nothing is learned.

use super::columns::{self, for_each_text};
use super::learned::{Holds, Input};
use super::statistics::Summary;
use crate::error::{Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, downcast_dictionary_array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::HashMap;
use serde::{Deserialize, Serialize};
use weir_ml::frame::{Column, Frame, MISSING};

/// Categories with a code of their own.
pub(super) const CATEGORIES_MAX: usize = 1_000;
/// Different values from which a column of texts that are numbers counts as numbers; fewer may be codes.
pub(super) const NUMERIC_TEXTS_MIN: usize = 100;
/// What the shared code of rare and new categories is called in tables.
pub(super) const OTHER: &str = "other";

/// A feature of a trained model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Feature {
    pub input: Input,
    pub encoding: Encoding,
    /// What the training rows held.
    pub summary: Summary,
}

/// How values become numbers or codes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Encoding {
    Number,
    Category(Categories),
}

/// The values with a code of their own, by code: the most frequent first, equally frequent ones by alphabet.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub(super) struct Categories {
    values: Vec<String>,
    codes: HashMap<String, u32>,
}

impl From<Vec<String>> for Categories {
    fn from(values: Vec<String>) -> Self {
        let codes = values.iter().cloned().zip(0..).collect();
        Self { values, codes }
    }
}

impl From<Categories> for Vec<String> {
    fn from(categories: Categories) -> Self {
        categories.values
    }
}

impl PartialEq for Categories {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl Categories {
    /// The code of a value; rare and new ones share the last.
    fn code(&self, value: &str) -> u32 {
        self.codes.get(value).copied().unwrap_or(self.values.len() as u32)
    }

    /// Codes, including the shared one.
    pub fn n_codes(&self) -> u32 {
        self.values.len() as u32 + 1
    }

    /// What a code is called in tables.
    pub fn name(&self, code: u32) -> &str {
        self.values.get(code as usize).map_or(OTHER, String::as_str)
    }

    fn bytes(&self) -> usize {
        self.values.iter().map(|value| 2 * value.len() + 2 * size_of::<String>() + 16).sum()
    }
}

impl Feature {
    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        let encoding = if let Encoding::Category(categories) = &self.encoding { categories.bytes() } else { 0 };
        size_of::<Self>() + self.input.name.len() + encoding
    }

    /// The values of a column of a query. NULL and NaN are missing.
    fn encode(&self, array: &ArrayRef) -> Result<Column> {
        match &self.encoding {
            Encoding::Number => {
                let mut values = Vec::with_capacity(array.len());
                columns::numbers(array, &self.input.name, 1, &mut values)?;
                Ok(Column::Numeric(values))
            }
            Encoding::Category(categories) => {
                let mut codes = Vec::with_capacity(array.len());
                codes_of(array, &mut codes, |value| categories.code(value))?;
                Ok(Column::Categorical { codes, n_categories: categories.n_codes() })
            }
        }
    }
}

/// The features of rows of a query; `columns` are in the order of the features.
///
/// # Errors
/// `InvalidValue` with the row for values that are no numbers, or infinite.
pub(super) fn encode(features: &[Feature], columns: &[ArrayRef], n_rows: usize) -> Result<Frame> {
    let columns = features.iter().zip(columns).map(|(feature, array)| feature.encode(array)).collect::<Result<Vec<_>>>()?;
    Frame::new(n_rows, columns).map_err(|error| Error::internal(format!("could not put features together: {error}")))
}

/// Appends the codes of texts; a dictionary array asks for the code of each of its values once.
fn codes_of(array: &ArrayRef, codes: &mut Vec<u32>, mut code: impl FnMut(&str) -> u32) -> Result<()> {
    if matches!(array.data_type(), DataType::Dictionary(..)) {
        let dictionary = array.as_any_dictionary();
        let mut of_values = Vec::with_capacity(dictionary.values().len());
        for_each_text(dictionary.values(), |text| of_values.push(text.map_or(MISSING, &mut code)))?;
        downcast_dictionary_array!(
            array => codes.extend(array.keys_iter().map(|key| key.map_or(MISSING, |key| of_values[key]))),
            _ => return Err(Error::internal("a dictionary array is of no dictionary type")),
        );
        return Ok(());
    }
    for_each_text(array, |text| codes.push(text.map_or(MISSING, &mut code)))
}

/// The values of one feature column of the training query, as they come.
#[derive(Debug)]
pub(super) enum FeatureValues {
    Numbers(Vec<f64>),
    Texts(Texts),
}

/// Texts, each different one kept once.
#[derive(Debug, Default)]
pub(super) struct Texts {
    places: HashMap<Box<str>, u32>,
    /// Letters and overhead of the dictionary.
    dictionary_bytes: usize,
    codes: Vec<u32>,
}

impl FeatureValues {
    /// For a column of this type; `None` for types that are no feature.
    pub fn new(data_type: &DataType) -> Option<Self> {
        if columns::is_number(data_type) {
            return Some(Self::Numbers(Vec::new()));
        }
        columns::is_text(data_type).then(|| Self::Texts(Texts::default()))
    }

    /// Appends a batch; `column` and `first_row` (from 1) are for messages.
    pub fn add(&mut self, array: &ArrayRef, column: &str, first_row: u64) -> Result<()> {
        match self {
            Self::Numbers(values) => columns::numbers(array, column, first_row, values),
            Self::Texts(texts) => {
                let Texts { places, dictionary_bytes, codes } = texts;
                codes_of(array, codes, |text| match places.get(text) {
                    Some(code) => *code,
                    None => {
                        let code = places.len() as u32;
                        places.insert(text.into(), code);
                        *dictionary_bytes += text.len() + 48;
                        code
                    }
                })
            }
        }
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Numbers(values) => values.capacity() * size_of::<f64>(),
            Self::Texts(texts) => texts.codes.capacity() * size_of::<u32>() + texts.dictionary_bytes,
        }
    }

    /// The feature, and its values as learners read them; neither depends on the order of the rows.
    pub fn finish(self, name: &str) -> (Feature, Column) {
        let input = |holds| Input { name: name.to_owned(), holds };
        let number = |values: Vec<f64>| {
            let summary = Summary::of_numbers(&values);
            (Feature { input: input(Holds::Number), encoding: Encoding::Number, summary }, Column::Numeric(values))
        };
        match self {
            Self::Numbers(values) => number(values),
            Self::Texts(texts) => match texts.numbers() {
                Some(values) => number(values),
                None => {
                    let (categories, codes, summary) = texts.categories();
                    let n_categories = categories.n_codes();
                    let encoding = Encoding::Category(categories);
                    (Feature { input: input(Holds::Category), encoding, summary }, Column::Categorical { codes, n_categories })
                }
            },
        }
    }
}

impl Texts {
    /// The values as numbers, if that is what they are.
    fn numbers(&self) -> Option<Vec<f64>> {
        if self.places.len() <= NUMERIC_TEXTS_MIN {
            return None;
        }
        let mut numbers = vec![f64::NAN; self.places.len()];
        for (text, place) in &self.places {
            numbers[*place as usize] = columns::number_of(text).filter(|number| !number.is_infinite())?;
        }
        Some(self.codes.iter().map(|code| if *code == MISSING { f64::NAN } else { numbers[*code as usize] }).collect())
    }

    fn categories(mut self) -> (Categories, Vec<u32>, Summary) {
        let mut counts = vec![0u64; self.places.len()];
        self.codes.iter().filter(|code| **code != MISSING).for_each(|code| counts[*code as usize] += 1);
        let n_missing = self.codes.len() as u64 - counts.iter().sum::<u64>();
        // Values of a dictionary array that no row has are no categories.
        let mut ranked: Vec<(Box<str>, u32)> = self.places.into_iter().filter(|(_, place)| counts[*place as usize] > 0).collect();
        ranked.sort_by(|(left_text, left), (right_text, right)| {
            counts[*right as usize].cmp(&counts[*left as usize]).then_with(|| left_text.cmp(right_text))
        });
        let summary = Summary::of_categories(ranked.len() as u64, n_missing);
        let n_kept = ranked.iter().take(CATEGORIES_MAX).take_while(|(_, place)| counts[*place as usize] > 1).count();
        let mut codes = vec![n_kept as u32; counts.len()];
        ranked.iter().take(n_kept).zip(0..).for_each(|((_, place), code)| codes[*place as usize] = code);
        self.codes.iter_mut().filter(|code| **code != MISSING).for_each(|code| *code = codes[*code as usize]);
        let values: Vec<String> = ranked.into_iter().take(n_kept).map(|(text, _)| text.into()).collect();
        (Categories::from(values), self.codes, summary)
    }
}
