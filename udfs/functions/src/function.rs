//! What a SQL function is: one static row with its help, its example and its code.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// One SQL function, or a spelling of one.
#[derive(Debug)]
pub struct Function {
    /// Lower case.
    pub name: &'static str,
    /// More names for the same.
    pub aliases: &'static [&'static str],
    pub group: Group,
    /// How it is written, without types: `date_add(value, days | interval)`.
    pub signature: &'static str,
    /// A fragment that says what it does.
    pub help: &'static str,
    /// A query with one column; a test runs it.
    pub example: &'static str,
    /// What the example answers: rows by `, `, NULL as `NULL`; empty when it changes with time.
    pub result: &'static str,
    /// Its code.
    pub code: Code,
}

/// The chapter of the reference where a function stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    Numeric,
    Text,
    Time,
    Conditional,
    Array,
    Aggregate,
    Session,
    Model,
}

/// Where the code of a function is.
#[derive(Debug, Clone, Copy)]
pub enum Code {
    /// Ours.
    Scalar(&'static Scalar),
    /// Made from a function of the query engine: an alias, or with a limit.
    Engine(fn() -> ScalarUDF),
    Aggregate(fn() -> AggregateUDF),
    /// It needs the session or the models: whoever has them registers it.
    Registered,
}

/// The code of one of our scalar functions: arrays in, array out.
#[derive(Debug)]
pub struct Scalar {
    pub volatility: Volatility,
    /// The types to which arguments are cast; a text says what the function takes.
    pub coerce: fn(&[DataType]) -> Result<Vec<DataType>, String>,
    /// The type of the result, from the arguments' fields and those that are constants.
    pub returns: Returns,
    pub invoke: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>,
    /// An expression that means the same, for functions that must not look at all arguments.
    pub simplify: Option<Simplify>,
}

/// Finds the type of a result.
pub type Returns = fn(&[FieldRef], &[Option<&ScalarValue>]) -> Result<DataType>;
/// Makes an expression of the arguments, or gives them back.
pub type Simplify = fn(Vec<Expr>) -> Result<Expr, Vec<Expr>>;

impl Function {
    /// The scalar function to register, when there is one.
    pub fn scalar(&'static self) -> Option<ScalarUDF> {
        match self.code {
            Code::Scalar(code) => Some(ScalarUDF::from(Implementation::new(self, code))),
            Code::Engine(make) => Some(make()),
            Code::Aggregate(_) | Code::Registered => None,
        }
    }

    /// The aggregate function to register, when there is one.
    pub fn aggregate(&'static self) -> Option<AggregateUDF> {
        match self.code {
            Code::Aggregate(make) => Some(make()),
            Code::Scalar(_) | Code::Engine(_) | Code::Registered => None,
        }
    }
}

/// A [`Scalar`] as the query engine sees it.
#[derive(Debug)]
struct Implementation {
    function: &'static Function,
    code: &'static Scalar,
    aliases: Vec<String>,
    signature: Signature,
}

impl Implementation {
    fn new(function: &'static Function, code: &'static Scalar) -> Self {
        let aliases = function.aliases.iter().map(|alias| (*alias).to_owned()).collect();
        Self { function, code, aliases, signature: Signature::user_defined(code.volatility) }
    }
}

impl PartialEq for Implementation {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Implementation {}

impl Hash for Implementation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Implementation {
    fn name(&self) -> &str {
        self.function.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        plan_err!("the type of {} follows from its arguments", self.function.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let data_type = (self.code.returns)(args.arg_fields, args.scalar_arguments)?;
        Ok(Arc::new(Field::new(self.function.name, data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        (self.code.invoke)(&args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.code.coerce)(arg_types) {
            Ok(types) => Ok(types),
            Err(takes) => plan_err!("function {} takes {takes}: {}", self.function.name, self.function.signature),
        }
    }

    fn simplify(&self, args: Vec<Expr>, _context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match self.code.simplify.map(|simplify| simplify(args.clone())) {
            Some(Ok(expression)) => Ok(ExprSimplifyResult::Simplified(expression)),
            Some(Err(args)) => Ok(ExprSimplifyResult::Original(args)),
            None => Ok(ExprSimplifyResult::Original(args)),
        }
    }
}

/// Runs `compute` over the arguments as arrays; constants in, constant out.
pub(crate) fn over_arrays(args: &ScalarFunctionArgs, compute: impl FnOnce(&[ArrayRef]) -> Result<ArrayRef>) -> Result<ColumnarValue> {
    let constant = !args.args.is_empty() && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let result = compute(&ColumnarValue::values_to_arrays(&args.args)?)?;
    if constant { Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)) } else { Ok(ColumnarValue::Array(result)) }
}

/// The type for an argument that is a point in time: text is read as a timestamp.
pub(crate) fn instant(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Date32 | DataType::Timestamp(_, _) => Some(data_type.clone()),
        DataType::Date64 | DataType::Null => Some(DataType::Date32),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        DataType::Dictionary(_, value) => instant(value),
        _ => None,
    }
}

/// True for a text argument, NULL too.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// True for a whole-number argument, NULL too.
pub(crate) fn is_integer(data_type: &DataType) -> bool {
    data_type.is_integer() || *data_type == DataType::Null
}
