//! `collect_list` and `collect_set`: Spark's and Hive's `array_agg`, which leave NULL out.

use crate::function::{Code, Function, Group};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature};
use std::sync::Arc;

/// `collect_list(value)`.
pub static COLLECT_LIST: Function = Function {
    name: "collect_list",
    aliases: &[],
    group: Group::Aggregate,
    signature: "collect_list(value)",
    help: "all values of a group but NULL, as an array",
    example: "SELECT collect_list(column1) FROM (VALUES (1), (NULL), (1))",
    result: "[1, 1]",
    code: Code::Aggregate(|| AggregateUDF::from(Collect { name: "collect_list", distinct: false, inner: array_agg_udaf() })),
};

/// `collect_set(value)`.
pub static COLLECT_SET: Function = Function {
    name: "collect_set",
    aliases: &[],
    group: Group::Aggregate,
    signature: "collect_set(value)",
    help: "the different values of a group but NULL, as an array",
    example: "SELECT collect_set(column1) FROM (VALUES (1), (NULL), (1))",
    result: "[1]",
    code: Code::Aggregate(|| AggregateUDF::from(Collect { name: "collect_set", distinct: true, inner: array_agg_udaf() })),
};

/// `array_agg` with IGNORE NULLS, and DISTINCT for a set.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Collect {
    name: &'static str,
    distinct: bool,
    inner: Arc<AggregateUDF>,
}

impl Collect {
    fn args<'a>(&self, args: AccumulatorArgs<'a>) -> AccumulatorArgs<'a> {
        AccumulatorArgs { ignore_nulls: true, is_distinct: args.is_distinct || self.distinct, ..args }
    }
}

impl AggregateUDFImpl for Collect {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(StateFieldsArgs { is_distinct: args.is_distinct || self.distinct, ..args })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(self.args(args))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(self.args(args))
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(self.args(args))
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }
}
