//! Regular expressions of Hive and Spark: `regexp_extract` and `split`.

use crate::function::{Code, Function, Group, Scalar, is_integer, is_text, over_arrays};
use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::logical_expr::Volatility;
use regex::Regex;
use std::collections::HashMap;
use std::sync::Arc;

/// `regexp_extract(text, pattern [, group])`.
pub static REGEXP_EXTRACT: Function = Function {
    name: "regexp_extract",
    aliases: &[],
    group: Group::Text,
    signature: "regexp_extract(text, pattern [, group])",
    help: "what a group of the first match holds, group 1 unless given, 0 for the whole match; empty without a match",
    example: "SELECT regexp_extract('order-1234-fr', '([a-z]+)-([0-9]+)', 2)",
    result: "1234",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [text, pattern] if is_text(text) && is_text(pattern) => Ok(vec![DataType::Utf8, DataType::Utf8]),
            [text, pattern, group] if is_text(text) && is_text(pattern) && is_integer(group) => {
                Ok(vec![DataType::Utf8, DataType::Utf8, DataType::Int64])
            }
            _ => Err("a text, a pattern and the number of a group".to_owned()),
        },
        returns: |_, _| Ok(DataType::Utf8),
        invoke: |args| over_arrays(args, extract),
        simplify: None,
    }),
};

/// `split(text, pattern)`.
pub static SPLIT: Function = Function {
    name: "split",
    aliases: &[],
    group: Group::Array,
    signature: "split(text, pattern)",
    help: "the parts of a text between the matches of a pattern",
    example: "SELECT split('a1b22c', '[0-9]+')",
    result: "[a, b, c]",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [text, pattern] if is_text(text) && is_text(pattern) => Ok(vec![DataType::Utf8, DataType::Utf8]),
            _ => Err("a text and a pattern".to_owned()),
        },
        returns: |_, _| Ok(DataType::new_list(DataType::Utf8, true)),
        invoke: |args| over_arrays(args, split),
        simplify: None,
    }),
};

/// The patterns of a batch, each compiled once.
#[derive(Default)]
struct Patterns<'a>(HashMap<&'a str, Regex>);

impl<'a> Patterns<'a> {
    fn get(&mut self, pattern: &'a str) -> Result<&Regex> {
        if !self.0.contains_key(pattern) {
            let compiled = Regex::new(pattern).map_err(|error| {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                exec_datafusion_err!("\"{pattern}\" is not a regular expression: {reason}")
            })?;
            self.0.insert(pattern, compiled);
        }
        self.0.get(pattern).ok_or_else(|| exec_datafusion_err!("the pattern \"{pattern}\" was lost"))
    }
}

fn extract(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, patterns) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
    let groups = arrays.get(2).map(|array| array.as_primitive::<Int64Type>());
    let mut compiled = Patterns::default();
    let parts: StringArray = texts
        .iter()
        .zip(patterns)
        .enumerate()
        .map(|(row, (text, pattern))| {
            let group = groups.map_or(Some(1), |groups| groups.is_valid(row).then(|| groups.value(row)));
            let (Some(text), Some(pattern), Some(group)) = (text, pattern, group) else { return Ok(None) };
            let regex = compiled.get(pattern)?;
            let n_groups = regex.captures_len();
            match usize::try_from(group).ok().filter(|group| *group < n_groups) {
                Some(group) => {
                    let part = regex.captures(text).and_then(|captures| captures.get(group));
                    Ok(Some(part.map_or("", |part| part.as_str())))
                }
                None => exec_err!("the pattern \"{pattern}\" has no group {group}, the last is {}", n_groups - 1),
            }
        })
        .collect::<Result<_>>()?;
    Ok(Arc::new(parts))
}

fn split(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, patterns) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
    let mut compiled = Patterns::default();
    let mut lists = ListBuilder::new(StringBuilder::new());
    for (text, pattern) in texts.iter().zip(patterns) {
        match (text, pattern) {
            (Some(text), Some(pattern)) => {
                for part in compiled.get(pattern)?.split(text) {
                    lists.values().append_value(part);
                }
                lists.append(true);
            }
            _ => lists.append(false),
        }
    }
    Ok(Arc::new(lists.finish()))
}
