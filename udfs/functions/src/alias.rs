//! Functions of the engine under the names of ODBC, MySQL, Hive and Spark, and those with a limit.

use crate::function::{Code, Function, Group};
use crate::limit;
use datafusion::functions::{core, datetime, math, string, unicode};
use datafusion::functions_aggregate::{approx_percentile_cont, stddev, variance};
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// One row: the names are added to the aliases that the engine's function has.
macro_rules! spelling {
    ($constant:ident, $name:literal, $aliases:expr, $group:ident, $signature:literal, $help:literal, $example:literal, $result:literal, $code:expr) => {
        #[doc = concat!("`", $signature, "`: ", $help, ".")]
        pub static $constant: Function = Function {
            name: $name,
            aliases: $aliases,
            group: Group::$group,
            signature: $signature,
            help: $help,
            example: $example,
            result: $result,
            code: $code,
        };
    };
}

/// The engine's function under more names.
fn also(function: &Arc<ScalarUDF>, names: &[&'static str]) -> ScalarUDF {
    function.as_ref().clone().with_aliases(names.iter().copied())
}

spelling!(
    UCASE,
    "ucase",
    &[],
    Text,
    "ucase(text)",
    "the text in upper case, as upper",
    "SELECT ucase('weir')",
    "WEIR",
    Code::Engine(|| also(&string::upper(), &["ucase"]))
);
spelling!(
    LCASE,
    "lcase",
    &[],
    Text,
    "lcase(text)",
    "the text in lower case, as lower",
    "SELECT lcase('WEIR')",
    "weir",
    Code::Engine(|| also(&string::lower(), &["lcase"]))
);
spelling!(
    CHAR,
    "char",
    &[],
    Text,
    "char(code)",
    "the character with a code, as chr",
    "SELECT char(65)",
    "A",
    Code::Engine(|| also(&string::chr(), &["char"]))
);
spelling!(
    MID,
    "mid",
    &[],
    Text,
    "mid(text, start [, length])",
    "part of a text from a place, as substr",
    "SELECT mid('weird', 2, 3)",
    "eir",
    Code::Engine(|| also(&unicode::substr(), &["mid"]))
);
spelling!(
    CURDATE,
    "curdate",
    &[],
    Time,
    "curdate()",
    "the date of today, as current_date",
    "SELECT curdate()",
    "",
    Code::Engine(|| also(&datetime::current_date(), &["curdate"]))
);
spelling!(
    CURTIME,
    "curtime",
    &[],
    Time,
    "curtime()",
    "the time of day, as current_time",
    "SELECT curtime()",
    "",
    Code::Engine(|| also(&datetime::current_time(), &["curtime"]))
);
spelling!(
    TRUNCATE,
    "truncate",
    &[],
    Numeric,
    "truncate(number [, digits])",
    "the number cut after so many digits, as trunc",
    "SELECT truncate(1.567, 2)",
    "1.56",
    Code::Engine(|| also(&math::trunc(), &["truncate"]))
);
spelling!(
    CEILING,
    "ceiling",
    &[],
    Numeric,
    "ceiling(number)",
    "the next whole number, as ceil",
    "SELECT ceiling(1.2)",
    "2.0",
    Code::Engine(|| also(&math::ceil(), &["ceiling"]))
);
spelling!(
    SIGN,
    "sign",
    &[],
    Numeric,
    "sign(number)",
    "-1, 0 or 1, as signum",
    "SELECT sign(-2.5)",
    "-1.0",
    Code::Engine(|| also(&math::signum(), &["sign"]))
);
spelling!(
    NVL2,
    "nvl2",
    &[],
    Conditional,
    "nvl2(value, if_not_null, if_null)",
    "one of two values, by whether the first is NULL",
    "SELECT nvl2(NULL, 1, 2)",
    "2",
    Code::Engine(|| core::nvl2().as_ref().clone())
);
spelling!(
    NVL,
    "nvl",
    &["ifnull"],
    Conditional,
    "nvl(value, default)",
    "the default where the value is NULL",
    "SELECT nvl(NULL, 1)",
    "1",
    Code::Engine(|| core::nvl().as_ref().clone())
);

spelling!(
    REPEAT,
    "repeat",
    &[],
    Text,
    "repeat(text, n)",
    "the text n times, at most 16 MiB",
    "SELECT repeat('ab', 3)",
    "ababab",
    Code::Engine(limit::repeat)
);
spelling!(
    LPAD,
    "lpad",
    &[],
    Text,
    "lpad(text, n [, fill])",
    "the text filled on the left to n characters, at most 16 MiB",
    "SELECT lpad('7', 3, '0')",
    "007",
    Code::Engine(limit::lpad)
);
spelling!(
    RPAD,
    "rpad",
    &[],
    Text,
    "rpad(text, n [, fill])",
    "the text filled on the right to n characters, at most 16 MiB",
    "SELECT rpad('7', 3, '.')",
    "7..",
    Code::Engine(limit::rpad)
);
spelling!(
    REPLACE,
    "replace",
    &[],
    Text,
    "replace(text, from, to)",
    "the text with each from replaced, at most 16 MiB",
    "SELECT replace('a-b-c', '-', '+')",
    "a+b+c",
    Code::Engine(limit::replace)
);
spelling!(
    ARRAY_REPEAT,
    "array_repeat",
    &["list_repeat"],
    Array,
    "array_repeat(value, n)",
    "an array of n times the value, at most 16 MiB",
    "SELECT array_repeat(1, 3)",
    "[1, 1, 1]",
    Code::Engine(limit::array_repeat)
);
spelling!(
    ARRAY_RESIZE,
    "array_resize",
    &["list_resize"],
    Array,
    "array_resize(array, n [, value])",
    "the array with n elements, at most 16 MiB",
    "SELECT array_resize([1], 3, 0)",
    "[1, 0, 0]",
    Code::Engine(limit::array_resize)
);
spelling!(
    RANGE,
    "range",
    &[],
    Array,
    "range(start, end [, step])",
    "the numbers or dates from start to before end, at most 16 MiB",
    "SELECT range(1, 4)",
    "[1, 2, 3]",
    Code::Engine(limit::range)
);
spelling!(
    GENERATE_SERIES,
    "generate_series",
    &[],
    Array,
    "generate_series(start, end [, step])",
    "the numbers or dates from start to end, at most 16 MiB; in FROM it makes rows",
    "SELECT generate_series(1, 4)",
    "[1, 2, 3, 4]",
    Code::Engine(limit::generate_series)
);

spelling!(
    PERCENTILE_APPROX,
    "percentile_approx",
    &["approx_percentile"],
    Aggregate,
    "percentile_approx(value, fraction)",
    "about the value below which that fraction lies, as approx_percentile_cont",
    "SELECT percentile_approx(column1, 0.5) FROM (VALUES (1.0), (2.0), (3.0))",
    "2.0",
    Code::Aggregate(|| approx_percentile_cont::approx_percentile_cont_udaf()
        .as_ref()
        .clone()
        .with_aliases(["percentile_approx", "approx_percentile"]))
);
spelling!(
    VARIANCE,
    "variance",
    &[],
    Aggregate,
    "variance(number)",
    "the sample variance, as var_samp",
    "SELECT variance(column1) FROM (VALUES (1.0), (3.0))",
    "2.0",
    Code::Aggregate(|| variance::var_samp_udaf().as_ref().clone().with_aliases(["variance"]))
);
spelling!(
    STD,
    "std",
    &[],
    Aggregate,
    "std(number)",
    "the sample standard deviation, as stddev",
    "SELECT std(column1) FROM (VALUES (1.0), (3.0))",
    "1.4142135623730951",
    Code::Aggregate(|| stddev::stddev_udaf().as_ref().clone().with_aliases(["std"]))
);
