//! Errors of the query engine, said in our words.

use crate::error::{Code, Error};
use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;

/// Turns an engine error into ours. One of ours that travelled through the engine comes out whole.
pub fn from_datafusion(error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(source) => from_external(source),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(*inner),
        DataFusionError::Shared(inner) => from_shared(&inner),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => from_datafusion(first),
            None => Error::internal("an empty collection of errors"),
        },
        DataFusionError::ArrowError(inner, _) => from_arrow(*inner),
        DataFusionError::ParquetError(inner) => Error::new(Code::DataCorrupted, format!("could not read a Parquet file: {inner}")),
        DataFusionError::ObjectStore(inner) => from_object_store(&inner),
        DataFusionError::IoError(inner) => Error::new(Code::Io, format!("could not read or write: {inner}")),
        DataFusionError::SQL(inner, _) => Error::new(Code::Syntax, plain(&inner.to_string())),
        DataFusionError::SchemaError(inner, _) => from_schema(&inner),
        DataFusionError::NotImplemented(text) => not_supported(&plain(&text)),
        DataFusionError::Plan(text) => from_plan(&plain(&text)),
        DataFusionError::Configuration(text) => Error::new(Code::InvalidParameter, plain(&text)),
        DataFusionError::Execution(text) => Error::new(Code::InvalidValue, plain(&text)),
        DataFusionError::ResourcesExhausted(text) => Error::new(Code::LimitExceeded, plain(&text))
            .hint("Select fewer rows or columns, or ask the administrator for more 'limits.memory'."),
        DataFusionError::ExecutionJoin(join) if join.is_cancelled() => Error::new(Code::Cancelled, "the query was cancelled"),
        DataFusionError::ExecutionJoin(_) => panicked(),
        DataFusionError::Internal(text) => from_internal(&plain(&text)),
        other => from_internal(&plain(&other.to_string())),
    }
}

/// What a panic inside a statement is to its user; the log has the rest.
pub fn panicked() -> Error {
    Error::internal("the statement ended by a panic in the server; other statements go on").hint("Please report the statement that did it.")
}

fn from_shared(error: &DataFusionError) -> Error {
    match error {
        DataFusionError::External(source) => match source.downcast_ref::<Error>() {
            Some(ours) => ours.clone(),
            None => Error::new(Code::InvalidValue, plain(&source.to_string())),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_shared(inner),
        DataFusionError::Shared(inner) => from_shared(inner),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::ExternalError(source) => match source.downcast_ref::<DataFusionError>() {
                Some(inner) => from_shared(inner),
                None => match source.downcast_ref::<Error>() {
                    Some(ours) => ours.clone(),
                    None => Error::new(Code::InvalidValue, plain(&source.to_string())),
                },
            },
            other => arrow_text(&other.to_string()),
        },
        DataFusionError::ResourcesExhausted(text) => from_datafusion(DataFusionError::ResourcesExhausted(text.clone())),
        DataFusionError::Execution(text) => Error::new(Code::InvalidValue, plain(text)),
        DataFusionError::Plan(text) => from_plan(&plain(text)),
        DataFusionError::NotImplemented(text) => not_supported(&plain(text)),
        DataFusionError::Internal(text) => from_internal(&plain(text)),
        other => Error::new(Code::InvalidValue, plain(&other.to_string())),
    }
}

fn from_external(source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match source.downcast::<Error>() {
        Ok(ours) => *ours,
        Err(source) => match source.downcast::<DataFusionError>() {
            Ok(inner) => from_datafusion(*inner),
            Err(source) => match source.downcast::<ArrowError>() {
                Ok(inner) => from_arrow(*inner),
                Err(source) => Error::new(Code::InvalidValue, plain(&source.to_string())),
            },
        },
    }
}

/// Turns an Arrow error into ours.
pub fn from_arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::ExternalError(source) => from_external(source),
        ArrowError::DivideByZero => Error::new(Code::InvalidValue, "division by zero"),
        ArrowError::IoError(text, _) => Error::new(Code::Io, plain(&text)),
        other => arrow_text(&other.to_string()),
    }
}

fn arrow_text(text: &str) -> Error {
    let text = plain(text);
    if text.eq_ignore_ascii_case("divide by zero") {
        return Error::new(Code::InvalidValue, "division by zero");
    }
    Error::new(Code::InvalidValue, text)
}

fn from_object_store(error: &object_store::Error) -> Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = source {
        if let Some(ours) = current.downcast_ref::<Error>() {
            return ours.clone();
        }
        source = current.source();
    }
    match error {
        object_store::Error::NotFound { path, .. } => Error::new(Code::Io, format!("file \"{path}\" does not exist")),
        other => Error::new(Code::Io, format!("could not read or write: {other}")),
    }
}

fn from_schema(error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
            Error::unknown(Code::UndefinedColumn, format!("column \"{}\" does not exist", field.flat_name()), &field.name, names)
        }
        SchemaError::AmbiguousReference { field } => Error::new(Code::InvalidStatement, format!("column \"{}\" is ambiguous", field.name))
            .hint("Write the table's name or alias before it."),
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::new(Code::DuplicateColumn, format!("column \"{name}\" occurs twice")).hint("Give one of them another name with AS.")
        }
    }
}

/// Planning errors are the user's: names, types, misuse. Some deserve better words than the engine's.
fn from_plan(text: &str) -> Error {
    if let Some(rest) = text.strip_prefix("invalid function '") {
        let name = rest.split('\'').next().unwrap_or(rest);
        if WINDOW_FUNCTIONS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Error::new(Code::InvalidStatement, format!("window function \"{name}\" needs OVER"))
                .hint(format!("Write {name}(..) OVER (ORDER BY ..)."));
        }
        if weir_functions::model::is_table_function(name) {
            let hint = match name.starts_with("recommend") {
                true => format!("Write SELECT * FROM {name}(..); for the users of a table use recommend_items or ML.RECOMMEND."),
                false => format!("Write SELECT * FROM {name}(..)."),
            };
            return Error::new(Code::InvalidStatement, format!("function \"{name}\" makes rows: it stands in FROM")).hint(hint);
        }
        let error = Error::new(Code::UndefinedFunction, format!("function \"{name}\" does not exist"));
        return match rest.split("Did you mean '").nth(1).and_then(|near| near.split('\'').next()) {
            Some(near) if crate::error::nearest(name, [near]).is_some() => error.hint(format!("Did you mean \"{near}\"?")),
            _ => error.hint("SHOW FUNCTIONS lists them."),
        };
    }
    if let Some(name) = text.strip_prefix("table function '").and_then(|rest| rest.strip_suffix("' not found")) {
        return Error::new(Code::UndefinedFunction, format!("table function \"{name}\" does not exist")).hint("SHOW FUNCTIONS lists them.");
    }
    if let Some(name) = text.strip_prefix("invalid qualifier ") {
        return Error::new(Code::UndefinedTable, format!("table \"{name}\" is not in FROM"));
    }
    if let Some((_, rest)) = text.split_once("No function matches the given name and argument types '") {
        return no_such_signature(rest);
    }
    if let Some(rest) = text.strip_prefix("projections require unique expression names but the expression \"") {
        let expression = rest.split("\" at position").next().unwrap_or(rest);
        let name = expression.rsplit_once(" AS ").map_or(expression, |(_, alias)| alias);
        return Error::new(Code::DuplicateColumn, format!("column \"{}\" occurs twice in SELECT", in_sql_words(name)))
            .hint("Give one of them another name with AS.");
    }
    if let Some((_, rest)) = text.split_once("column \"")
        && let Some((column, _)) = rest.split_once("\" must appear in the GROUP BY clause")
    {
        return Error::new(
            Code::InvalidStatement,
            format!("column \"{column}\" must appear in the GROUP BY clause or in an aggregate function"),
        );
    }
    if let Some(rest) = text.strip_prefix("cannot create filter with non-boolean predicate '")
        && let Some((predicate, data_type)) = rest.split_once("' returning ")
    {
        return Error::new(Code::InvalidStatement, format!("the condition {predicate} is {}, not BOOLEAN", in_sql_words(data_type)));
    }
    if text.starts_with("in/Exist/SetComparison subquery can only be used in ") {
        return Error::new(Code::NotSupported, "EXISTS, IN and ANY with a sub-query are not supported here").hint(COUNT_INSTEAD);
    }
    Error::new(Code::InvalidStatement, text)
}

/// What to write where a sub-query is no condition of WHERE.
const COUNT_INSTEAD: &str = "Use it in WHERE, or write (SELECT count(*) FROM ..) > 0.";

/// What the engine can plan but not run: most are sub-queries in places where it cannot make joins of them.
fn not_supported(text: &str) -> Error {
    let Some(expression) = text.strip_prefix("physical plan does not support logical expression ") else {
        return Error::new(Code::NotSupported, text);
    };
    let not_here = |what: &str| Error::new(Code::NotSupported, format!("{what} is not supported here"));
    match expression.split('(').next().unwrap_or(expression) {
        "Exists" => not_here("EXISTS").hint(COUNT_INSTEAD),
        "InSubquery" => not_here("IN (SELECT ..)").hint(COUNT_INSTEAD),
        "SetComparison" => not_here("ANY or ALL with a sub-query").hint("Use it in WHERE, or compare with its min or max."),
        "ScalarSubquery" => not_here("a sub-query that reads columns of the query around it")
            .hint("It must be one row by itself: an aggregate such as max(..), without LIMIT. A join may do what it does."),
        "OuterReferenceColumn" => {
            let column = expression.split("name: \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
            let what = format!("column \"{column}\" of the query around cannot be read here");
            Error::new(Code::NotSupported, what).hint("Use a join. A list becomes rows in the select list: SELECT unnest(list) FROM ..")
        }
        other => not_here(other),
    }
}

/// Functions that exist only with OVER.
const WINDOW_FUNCTIONS: &[&str] = &["row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead"];

/// `f(Utf8)'. You might need .. Candidate functions: ..` in PostgreSQL's words.
fn no_such_signature(rest: &str) -> Error {
    let call = rest.split("'. ").next().unwrap_or(rest);
    let (name, types) = call.trim_end_matches('\'').split_once('(').unwrap_or((call, ")"));
    let types = in_sql_words(types.strip_suffix(')').unwrap_or(types));
    let message = format!("function \"{name}\" does not take ({types})");
    Error::new(Code::UndefinedFunction, message).hint(format!("SHOW FUNCTIONS LIKE '{name}' shows its arguments; CAST changes a type."))
}

/// The engine's names of types as SQL's, and its typed literals as plain ones: `CAST(Int64(1) AS Utf8)` becomes `CAST(1 AS STRING)`.
///
/// What stands in single or double quotes is the user's and stays.
fn in_sql_words(text: &str) -> String {
    const TYPES: &[(&str, &str)] = &[
        ("Utf8View", "STRING"),
        ("LargeUtf8", "STRING"),
        ("Utf8", "STRING"),
        ("Boolean", "BOOLEAN"),
        ("UInt64", "BIGINT"),
        ("UInt32", "BIGINT"),
        ("UInt16", "INT"),
        ("UInt8", "SMALLINT"),
        ("Int64", "BIGINT"),
        ("Int32", "INT"),
        ("Int16", "SMALLINT"),
        ("Int8", "TINYINT"),
        ("Float64", "DOUBLE"),
        ("Float32", "FLOAT"),
        ("Float16", "FLOAT"),
        ("Date32", "DATE"),
        ("Date64", "DATE"),
        ("BinaryView", "BINARY"),
        ("LargeBinary", "BINARY"),
        ("Binary", "BINARY"),
    ];
    let mut said = String::with_capacity(text.len());
    let (mut rest, mut quote, mut in_word) = (text, None, false);
    while let Some(first) = rest.chars().next() {
        let known = TYPES.iter().find(|(name, _)| {
            quote.is_none()
                && !in_word
                && rest.starts_with(name)
                && !rest[name.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
        });
        if let Some((name, sql)) = known {
            let after = &rest[name.len()..];
            // A literal: its value alone, text in quotes.
            if let Some((value, behind)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
                said.push_str(&value.replace('"', "'"));
                rest = behind;
            } else {
                said.push_str(sql);
                rest = after;
            }
            in_word = true;
            continue;
        }
        match quote {
            Some(open) if open == first => quote = None,
            None if first == '"' || (first == '\'' && !in_word) => quote = Some(first),
            _ => {}
        }
        in_word = first.is_alphanumeric() || first == '_';
        said.push(first);
        rest = &rest[first.len_utf8()..];
    }
    said
}

/// The engine prints trees of its parser into some messages: only the words before them are for users.
fn without_tree(text: &str) -> &str {
    if !text.contains("span: Span(") {
        return text;
    }
    let end = [text.find(" {"), text.find("(Ident {")].into_iter().flatten().min().unwrap_or(text.len());
    let words = &text[..end];
    words.rsplit_once(' ').map_or(words, |(before, _)| before).trim_end_matches([':', ' '])
}

/// The engine's "internal" errors are sometimes a user's mistake that it did not foresee.
fn from_internal(text: &str) -> Error {
    let text = text.split(" This issue was likely caused by a bug").next().unwrap_or(text);
    let text = text.split(" This was likely caused by a bug").next().unwrap_or(text);
    Error::internal(format!("the query engine could not handle the statement: {}", lower_first(text.trim_end_matches(['.', ' ']))))
}

/// One line without the engine's prefixes.
fn plain(text: &str) -> String {
    const PREFIXES: &[&str] = &[
        "Error during planning: ",
        "Execution error: ",
        "Internal error: ",
        "External error: ",
        "Arrow error: ",
        "Parquet error: ",
        "Optimizer rule ",
        "Cast error: ",
        "Compute error: ",
        "Invalid argument error: ",
        "Arithmetic overflow: ",
        "Parser error: ",
        "Schema error: ",
        "Resources exhausted: ",
        "SQL error: ",
        "sql parser error: ",
        "This feature is not implemented: ",
        "Invalid or Unsupported Configuration: ",
        "Object Store error: ",
    ];
    let mut text = without_tree(text.split("\n\nbacktrace:").next().unwrap_or(text).trim());
    while let Some(rest) = PREFIXES.iter().filter(|prefix| **prefix != "Optimizer rule ").find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest.trim();
    }
    in_sql_words(&lower_first(&without_stand_ins(&text.split_whitespace().collect::<Vec<_>>().join(" "))))
}

/// Takes the names away under which ML functions stand in a plan: `__weir_ml_0.price` and, of the query around it,
/// `__weir_ml__0.price` are `price` to their reader.
pub(super) fn without_stand_ins(text: &str) -> String {
    let mut parts = text.split(crate::parser::ML_STAND_IN);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '_');
        out.push_str(rest.strip_prefix('.').unwrap_or(rest));
    }
    out
}

/// Lower-cases a sentence's first letter; leaves names such as `SUM` and `Utf8` alone.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && (second.is_lowercase() || second == ' ') && !text.starts_with("Utf8") => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: DataFusionError, code: Code, message: &str) {
        let ours = from_datafusion(error);
        assert_eq!((ours.code, ours.message.as_str()), (code, message));
    }

    #[test]
    fn our_own_error_comes_out_whole_however_deep_it_was() {
        let ours = Error::new(Code::DuplicateTable, "table \"t\" already exists").hint("Drop it.");
        let wrapped = DataFusionError::Context(
            "while".into(),
            Box::new(DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(DataFusionError::from(ours.clone())))), None)),
        );
        assert_eq!(from_datafusion(wrapped), ours);
    }

    #[test]
    fn engine_errors_get_a_code_and_one_plain_line() {
        check(DataFusionError::Plan("column __weir_ml_12.x and __weir_ml_0.y".into()), Code::InvalidStatement, "column x and y");
        check(
            DataFusionError::Plan("Invalid function 'foo'.\nDid you mean 'floor'?".into()),
            Code::UndefinedFunction,
            "function \"foo\" does not exist",
        );
        check(ArrowError::DivideByZero.into(), Code::InvalidValue, "division by zero");
        check(DataFusionError::NotImplemented("Unsupported thing".into()), Code::NotSupported, "unsupported thing");
        check(
            DataFusionError::Execution("Cast error: Cannot cast string 'x' to value of Int32 type".into()),
            Code::InvalidValue,
            "cannot cast string 'x' to value of INT type",
        );
        check(
            DataFusionError::Plan(
                "Function 'sum' failed. No function matches the given name and argument types 'sum(Utf8)'. You might ..".into(),
            ),
            Code::UndefinedFunction,
            "function \"sum\" does not take (STRING)",
        );
        check(
            DataFusionError::Plan("Invalid function 'row_number'.\nDid you mean 'to_time'?".into()),
            Code::InvalidStatement,
            "window function \"row_number\" needs OVER",
        );
        check(
            DataFusionError::NotImplemented(
                "Dot access not supported for non-string expr: Identifier(Ident { value: \"a\", span: Span(..) })".into(),
            ),
            Code::NotSupported,
            "dot access not supported for non-string expr",
        );
    }

    #[test]
    fn types_and_literals_are_said_in_sql() {
        for (engine, sql) in [
            ("cannot coerce Utf8 + Float64", "cannot coerce STRING + DOUBLE"),
            ("r.id > Int64(1)", "r.id > 1"),
            ("name = Utf8(\"x\")", "name = 'x'"),
            ("List(Int32)", "List(INT)"),
            ("cannot cast 'Int32' and \"Utf8\"", "cannot cast 'Int32' and \"Utf8\""),
            ("MyInt32 Int32s it's Int8", "MyInt32 Int32s it's TINYINT"),
        ] {
            assert_eq!(in_sql_words(engine), sql);
        }
    }
}
