//! Engine functions whose result grows with a number, with a limit: one row must not take the server's memory.
//!
//! The memory pool does not see what a function allocates, so `repeat('a', 2000000000)` would end the process.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The most bytes of one value that a function may make.
pub const VALUE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The most bytes that one call may make for a batch of rows.
pub const BATCH_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The most bytes of a constant that is copied into each row.
const CONSTANT_BYTES_MAX: usize = 32 * 1024;

/// Refuses an optimised plan that copies a large constant into each row of an input.
///
/// `SELECT repeat('a', 16000000) FROM t` is folded to a constant of 16 MB, which the engine then writes once per row of
/// a batch: 128 GiB for 8,192 rows. A constant in a query without FROM, in VALUES or in a comparison is not copied.
pub fn check_constants(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        let copies = matches!(node, LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Window(_));
        let one_row = |input: &&LogicalPlan| matches!(input, LogicalPlan::EmptyRelation(_));
        if copies && !node.inputs().iter().all(one_row) {
            node.apply_expressions(|expression| expression.apply(check_constant))?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn check_constant(expression: &Expr) -> Result<TreeNodeRecursion> {
    match expression {
        Expr::Literal(value, _) if value.size() > CONSTANT_BYTES_MAX => {
            let bytes = value.size();
            exec_err!("a constant of {bytes} bytes in each row is too large, the limit is {CONSTANT_BYTES_MAX}")
        }
        _ => Ok(TreeNodeRecursion::Continue),
    }
}

/// Adds up the sizes of the values of a batch, before they are made.
pub(crate) struct Sizes {
    function: &'static str,
    total: u64,
}

impl Sizes {
    pub(crate) fn of(function: &'static str) -> Self {
        Self { function, total: 0 }
    }

    /// One more value.
    pub(crate) fn add(&mut self, bytes: u64) -> Result<()> {
        self.total = self.total.saturating_add(bytes);
        let function = self.function;
        if bytes > VALUE_BYTES_MAX {
            return exec_err!("the result of {function} would have {bytes} bytes, the limit is {VALUE_BYTES_MAX}");
        }
        if self.total > BATCH_BYTES_MAX {
            return exec_err!("the results of {function} for one batch of rows would have more than {BATCH_BYTES_MAX} bytes");
        }
        Ok(())
    }
}

/// A count that may be negative, as a size.
pub(crate) fn count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// `repeat(text, n)` of the engine, limited.
pub fn repeat() -> ScalarUDF {
    limited(&datafusion::functions::string::repeat(), "repeat", |arrays, sizes| {
        let (lengths, counts) = (lengths(&arrays[0])?, integers(&arrays[1])?);
        lengths.iter().zip(counts).try_for_each(|(length, n)| sizes.add(length.saturating_mul(count(n))))
    })
}

/// `lpad(text, n [, fill])` of the engine, limited.
pub fn lpad() -> ScalarUDF {
    limited(&datafusion::functions::unicode::lpad(), "lpad", padded)
}

/// `rpad(text, n [, fill])` of the engine, limited.
pub fn rpad() -> ScalarUDF {
    limited(&datafusion::functions::unicode::rpad(), "rpad", padded)
}

/// `replace(text, from, to)` of the engine, limited.
pub fn replace() -> ScalarUDF {
    limited(&datafusion::functions::string::replace(), "replace", |arrays, sizes| {
        let texts = arrays.iter().map(|array| Ok(cast(array, &DataType::Utf8)?)).collect::<Result<Vec<_>>>()?;
        let [text, from, to] = texts.as_slice() else { return Ok(()) };
        let (text, from, to) = (text.as_string::<i32>(), from.as_string::<i32>(), to.as_string::<i32>());
        for ((text, from), to) in text.iter().zip(from).zip(to) {
            let (Some(text), Some(from), Some(to)) = (text, from, to) else { continue };
            // An empty part is not replaced at all.
            let places = if from.is_empty() || to.len() <= from.len() { 0 } else { text.matches(from).count() as u64 };
            let size = (text.len() as u64).saturating_add(places.saturating_mul(to.len() as u64));
            sizes.add(size)?;
        }
        Ok(())
    })
}

/// `array_repeat(value, n)` of the engine, limited.
pub fn array_repeat() -> ScalarUDF {
    limited(&datafusion::functions_nested::repeat::array_repeat_udf(), "array_repeat", |arrays, sizes| {
        let rows = arrays[0].len().max(1);
        let bytes = (arrays[0].get_array_memory_size() / rows).max(1) as u64;
        integers(&arrays[1])?.into_iter().try_for_each(|n| sizes.add(bytes.saturating_mul(count(n))))
    })
}

/// `array_resize(array, n [, value])` of the engine, limited.
pub fn array_resize() -> ScalarUDF {
    limited(&datafusion::functions_nested::resize::array_resize_udf(), "array_resize", |arrays, sizes| {
        integers(&arrays[1])?.into_iter().try_for_each(|n| sizes.add(count(n).saturating_mul(8)))
    })
}

/// `range(..)` as a list, limited.
pub fn range() -> ScalarUDF {
    limited(&datafusion::functions_nested::range::range_udf(), "range", series)
}

/// `generate_series(..)` as a list, limited.
pub fn generate_series() -> ScalarUDF {
    limited(&datafusion::functions_nested::range::gen_series_udf(), "generate_series", series)
}

fn padded(arrays: &[ArrayRef], sizes: &mut Sizes) -> Result<()> {
    // A character has at most 4 bytes; the fill is one byte in practice, so the count of characters is the measure.
    integers(&arrays[1])?.into_iter().try_for_each(|n| sizes.add(count(n)))
}

/// A list of numbers: 8 bytes each. Series of dates and timestamps are bounded by their step of at least a day or a nanosecond;
/// they are counted in the same way from their numbers, with the step unknown taken as one day.
fn series(arrays: &[ArrayRef], sizes: &mut Sizes) -> Result<()> {
    let whole = |array: &ArrayRef| match array.data_type() {
        DataType::Timestamp(_, _) => {
            let micros = cast(array, &DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None))?;
            integers(&micros)
        }
        _ => integers(array),
    };
    let interval = arrays.get(2).filter(|array| matches!(array.data_type(), DataType::Interval(_)));
    let (start, end) = match arrays {
        [end] => (vec![0; end.len()], whole(end)?),
        [start, end, ..] => (whole(start)?, whole(end)?),
        [] => return Ok(()),
    };
    let steps = match (interval, arrays.get(2)) {
        (Some(step), _) => interval_steps(step, arrays[0].data_type())?,
        (None, Some(step)) => integers(step)?,
        (None, None) => vec![1; end.len()],
    };
    start.into_iter().zip(end).zip(steps).try_for_each(|((start, end), step)| {
        let values = end.abs_diff(start) / step.unsigned_abs().max(1);
        let values = values.saturating_add(1);
        sizes.add(values.saturating_mul(8))
    })
}

/// Interval steps in the unit of the series: days for dates, microseconds for timestamps; months count as 28 days.
fn interval_steps(steps: &ArrayRef, of: &DataType) -> Result<Vec<i64>> {
    let steps = cast(steps, &DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano))?;
    let steps = steps.as_primitive::<arrow::datatypes::IntervalMonthDayNanoType>();
    let in_unit = |step: arrow::datatypes::IntervalMonthDayNano| {
        let days = i64::from(step.months) * 28 + i64::from(step.days);
        match of {
            DataType::Timestamp(_, _) => days.saturating_mul(86_400_000_000).saturating_add(step.nanoseconds / 1_000),
            _ => days,
        }
    };
    Ok(steps.iter().map(|step| step.map_or(1, in_unit)).collect())
}

/// Whole numbers, NULL as 0.
fn integers(array: &ArrayRef) -> Result<Vec<i64>> {
    let array = match array.data_type() {
        DataType::Date32 => cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(array, &DataType::Int64)?,
    };
    Ok(array.as_primitive::<Int64Type>().iter().map(|value| value.unwrap_or(0)).collect())
}

/// Byte lengths of texts, NULL as 0.
fn lengths(array: &ArrayRef) -> Result<Vec<u64>> {
    let text = cast(array, &DataType::Utf8)?;
    Ok(text.as_string::<i32>().iter().map(|text| text.map_or(0, |text| text.len() as u64)).collect())
}

type Check = fn(&[ArrayRef], &mut Sizes) -> Result<()>;

fn limited(inner: &Arc<ScalarUDF>, name: &'static str, check: Check) -> ScalarUDF {
    ScalarUDF::from(Limited { inner: Arc::clone(inner), name, check })
}

/// A function of the engine that first adds up what it will make.
#[derive(Debug)]
struct Limited {
    inner: Arc<ScalarUDF>,
    name: &'static str,
    check: Check,
}

impl PartialEq for Limited {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.inner == other.inner
    }
}

impl Eq for Limited {}

impl Hash for Limited {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Limited {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn simplify(&self, args: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(args, context)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        (self.check)(&arrays, &mut Sizes::of(self.name))?;
        self.inner.invoke_with_args(args)
    }
}
