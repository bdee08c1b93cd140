//! Text functions of ODBC, MySQL and Hive that the engine lacks: `locate`, `insert`, `space`.

use crate::function::{Code, Function, Group, Scalar, is_integer, is_text, over_arrays};
use crate::limit::{self, Sizes};
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringArray, StringBuilder};
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Volatility;
use std::sync::Arc;

/// `locate(part, text [, start])`.
pub static LOCATE: Function = Function {
    name: "locate",
    aliases: &["charindex"],
    group: Group::Text,
    signature: "locate(part, text [, start])",
    help: "the place of the first part in the text at or after start, from 1; 0 when it is not there",
    example: "SELECT locate('a', 'banana', 3)",
    result: "4",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [part, text] if is_text(part) && is_text(text) => Ok(vec![DataType::Utf8, DataType::Utf8]),
            [part, text, start] if is_text(part) && is_text(text) && is_integer(start) => {
                Ok(vec![DataType::Utf8, DataType::Utf8, DataType::Int64])
            }
            _ => Err("two texts and a place".to_owned()),
        },
        returns: |_, _| Ok(DataType::Int32),
        invoke: |args| over_arrays(args, locate),
        simplify: None,
    }),
};

/// `insert(text, start, length, new)`.
pub static INSERT: Function = Function {
    name: "insert",
    aliases: &[],
    group: Group::Text,
    signature: "insert(text, start, length, new)",
    help: "the text with length characters from start, from 1, replaced by another text",
    example: "SELECT insert('weird', 5, 1, '-sql')",
    result: "weir-sql",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [text, start, length, new] if is_text(text) && is_integer(start) && is_integer(length) && is_text(new) => {
                Ok(vec![DataType::Utf8, DataType::Int64, DataType::Int64, DataType::Utf8])
            }
            _ => Err("a text, a place, a length and a text".to_owned()),
        },
        returns: text,
        invoke: |args| over_arrays(args, insert),
        simplify: None,
    }),
};

/// `space(n)`.
pub static SPACE: Function = Function {
    name: "space",
    aliases: &[],
    group: Group::Text,
    signature: "space(n)",
    help: "a text of n spaces, at most 16 MiB",
    example: "SELECT concat('a', space(3), 'b')",
    result: "a   b",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [n] if is_integer(n) => Ok(vec![DataType::Int64]),
            _ => Err("a whole number".to_owned()),
        },
        returns: text,
        invoke: |args| over_arrays(args, |arrays| space(&arrays[0])),
        simplify: None,
    }),
};

fn text(_fields: &[FieldRef], _constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Utf8)
}

fn locate(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let pairs = arrays[0].as_string::<i32>().iter().zip(arrays[1].as_string::<i32>());
    let starts = arrays.get(2).map(|array| array.as_primitive::<Int64Type>());
    let places: Int32Array = pairs
        .enumerate()
        .map(|(row, (part, text))| {
            let start = match starts {
                Some(starts) => starts.is_valid(row).then(|| starts.value(row))?,
                None => 1,
            };
            Some(place(part?, text?, start))
        })
        .collect();
    Ok(Arc::new(places))
}

/// The place in characters, from 1, or 0.
fn place(part: &str, text: &str, start: i64) -> i32 {
    let Some(skipped) = usize::try_from(start).ok().and_then(|start| start.checked_sub(1)) else { return 0 };
    let from = match text.char_indices().nth(skipped) {
        Some((byte, _)) => byte,
        // One past the end is a place: the empty part is found there.
        None if text.chars().count() == skipped => text.len(),
        None => return 0,
    };
    match text[from..].find(part) {
        Some(at) => i32::try_from(skipped + text[from..from + at].chars().count() + 1).unwrap_or(i32::MAX),
        None => 0,
    }
}

fn insert(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = arrays[0].as_string::<i32>().iter().zip(arrays[3].as_string::<i32>());
    let numbers = arrays[1].as_primitive::<Int64Type>().iter().zip(arrays[2].as_primitive::<Int64Type>());
    let mut sizes = Sizes::of("insert");
    let mut result = StringBuilder::new();
    for ((text, new), (start, length)) in texts.zip(numbers) {
        let (Some(text), Some(new), Some(start), Some(length)) = (text, new, start, length) else {
            result.append_null();
            continue;
        };
        sizes.add(text.len() as u64 + new.len() as u64)?;
        // MySQL: a place outside the text changes nothing, a negative length reaches to the end.
        let count = text.chars().count();
        match usize::try_from(start).ok().filter(|start| (1..=count).contains(start)) {
            Some(start) => {
                let length = usize::try_from(length).unwrap_or(count);
                let byte = |place: usize| text.char_indices().nth(place).map_or(text.len(), |(byte, _)| byte);
                let tail = byte((start - 1).saturating_add(length));
                result.append_value([&text[..byte(start - 1)], new, &text[tail..]].concat());
            }
            None => result.append_value(text),
        }
    }
    Ok(Arc::new(result.finish()))
}

fn space(array: &ArrayRef) -> Result<ArrayRef> {
    let counts = array.as_primitive::<Int64Type>();
    let mut sizes = Sizes::of("space");
    for count in counts.iter().flatten() {
        sizes.add(limit::count(count))?;
    }
    let text: StringArray = counts.iter().map(|count| count.map(|count| " ".repeat(usize::try_from(count).unwrap_or(0)))).collect();
    Ok(Arc::new(text))
}
