//! What Spark writes about a stage: one line of JSON with its class, its parameters and their defaults.

use crate::error::{Code, Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The metadata of a stage.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Metadata {
    /// The Scala class with its package.
    pub class: String,
    pub uid: String,
    #[serde(rename = "sparkVersion", default)]
    pub spark_version: String,
    /// What was set, or learned.
    #[serde(rename = "paramMap", default)]
    set: Map<String, Value>,
    /// What holds where nothing was set; Spark 2.3 and older write defaults into `paramMap`.
    #[serde(rename = "defaultParamMap", default)]
    defaults: Map<String, Value>,
    /// What some classes write beside the parameters: `numFeatures`, `numClasses`, `numTrees`.
    #[serde(flatten)]
    more: Map<String, Value>,
    /// Where it was read, for messages.
    #[serde(skip)]
    pub file: String,
}

/// What is done with a row that a stage cannot work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Invalid {
    /// The statement fails.
    Error,
    /// Spark leaves the row out; its prediction is NULL.
    Skip,
    /// The value becomes a category of its own, or NaN.
    Keep,
}

impl Metadata {
    /// The class without its package.
    pub fn class_name(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or(&self.class)
    }

    /// The parameter as set, else its default.
    fn get(&self, name: &str) -> Option<&Value> {
        self.set.get(name).or_else(|| self.defaults.get(name)).filter(|value| !value.is_null())
    }

    /// The error for a parameter that is not there or not what it must be.
    pub fn wrong(&self, name: &str, expected: &str) -> Error {
        let what = format!("file \"{}\" is not what Spark writes for a {}", self.file, self.class_name());
        Error::new(Code::DataCorrupted, what).detail(match self.get(name).or_else(|| self.more.get(name)) {
            Some(value) => format!("Its \"{name}\" is {value}, it must be {expected}."),
            None => format!("It has no \"{name}\"; it must be {expected}."),
        })
    }

    /// A text; `None` when it is not given.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a text")),
        }
    }

    /// A text that must be there.
    pub fn required(&self, name: &str) -> Result<&str> {
        self.text(name)?.ok_or_else(|| self.wrong(name, "a text"))
    }

    /// TRUE or FALSE, or `default`.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.get(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    /// A number; Spark writes the others as "NaN", "Inf" and "-Inf".
    pub fn number(&self, name: &str) -> Result<Option<f64>> {
        self.get(name).map(|value| number_of(value).ok_or_else(|| self.wrong(name, "a number"))).transpose()
    }

    /// A list of numbers.
    pub fn numbers(&self, name: &str) -> Result<Option<Vec<f64>>> {
        self.get(name).map(|value| numbers_of(value).ok_or_else(|| self.wrong(name, "a list of numbers"))).transpose()
    }

    /// A list of lists of numbers.
    pub fn number_lists(&self, name: &str) -> Result<Option<Vec<Vec<f64>>>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let lists = value.as_array().and_then(|lists| lists.iter().map(numbers_of).collect());
        lists.map(Some).ok_or_else(|| self.wrong(name, "a list of lists of numbers"))
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let texts = value.as_array().and_then(|texts| texts.iter().map(|text| text.as_str().map(str::to_owned)).collect());
        texts.map(Some).ok_or_else(|| self.wrong(name, "a list of texts"))
    }

    /// A count that the class writes beside its parameters.
    pub fn count(&self, name: &str) -> Result<Option<usize>> {
        let Some(value) = self.more.get(name) else { return Ok(None) };
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
        count.map(Some).ok_or_else(|| self.wrong(name, "a count"))
    }

    /// `handleInvalid`; the default of every stage is `error`.
    pub fn invalid(&self) -> Result<Invalid> {
        match self.text("handleInvalid")?.map(str::to_lowercase).as_deref() {
            None | Some("error") => Ok(Invalid::Error),
            Some("skip") => Ok(Invalid::Skip),
            Some("keep") => Ok(Invalid::Keep),
            Some(_) => Err(self.wrong("handleInvalid", "error, skip or keep")),
        }
    }

    /// Input and output columns in pairs: `inputCols` and `outputCols`, or `inputCol` and `outputCol`.
    pub fn columns(&self) -> Result<Vec<(String, String)>> {
        let Some(inputs) = self.texts("inputCols")? else {
            return Ok(vec![(self.required("inputCol")?.to_owned(), self.required("outputCol")?.to_owned())]);
        };
        let outputs = self.texts("outputCols")?.filter(|outputs| outputs.len() == inputs.len());
        let outputs = outputs.ok_or_else(|| self.wrong("outputCols", &format!("a list of {} texts", inputs.len())))?;
        Ok(inputs.into_iter().zip(outputs).collect())
    }

    /// The names of all columns that a stage of an unknown class writes.
    pub fn outputs(&self) -> Vec<&str> {
        let one = self.get("outputCol").and_then(Value::as_str);
        let many = self.get("outputCols").and_then(Value::as_array);
        one.into_iter().chain(many.into_iter().flatten().filter_map(Value::as_str)).collect()
    }
}

fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Inf" | "Infinity" => Some(f64::INFINITY),
            "-Inf" | "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn numbers_of(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(number_of).collect()
}
