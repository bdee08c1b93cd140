//! `als_predict('model', user, item)`: the predicted rating, NULL for an unknown user or item.

use crate::model::{Binding, ModelLookup, check_id_type};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use std::sync::Arc;

const NAME: &str = "als_predict";

/// The scalar function; bound to a model once planned.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct AlsPredict {
    signature: Signature,
    binding: Binding,
}

impl AlsPredict {
    /// Finds the model through `lookup`.
    pub fn new(lookup: Arc<dyn ModelLookup>) -> Self {
        Self::bound(Binding::Lookup(lookup))
    }

    fn bound(binding: Binding) -> Self {
        Self { signature: Signature::any(3, Volatility::Stable), binding }
    }
}

impl ScalarUDFImpl for AlsPredict {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        internal_err!("{NAME} checks its arguments against the model")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let model = self.binding.model(NAME, args.scalar_arguments.first().copied().flatten())?;
        for ((column, expected), field) in [model.user_column(), model.item_column()].into_iter().zip(&args.arg_fields[1..]) {
            check_id_type(column, expected, field.data_type())?;
        }
        Ok(Arc::new(Field::new(NAME, DataType::Float64, true)))
    }

    fn simplify(&self, args: Vec<Expr>, _context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let (Binding::Lookup(_), Some(Expr::Literal(name, _))) = (&self.binding, args.first()) else {
            return Ok(ExprSimplifyResult::Original(args));
        };
        let bound = Self::bound(Binding::Model(self.binding.model(NAME, Some(name))?));
        Ok(ExprSimplifyResult::Simplified(ScalarUDF::new_from_impl(bound).call(args)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = match &args.args[0] {
            ColumnarValue::Scalar(name) => Some(name),
            ColumnarValue::Array(_) => None,
        };
        let model = self.binding.model(NAME, name)?;
        if let (ColumnarValue::Scalar(user), ColumnarValue::Scalar(item)) = (&args.args[1], &args.args[2]) {
            return Ok(ColumnarValue::Scalar(ScalarValue::Float64(model.predict(user, item)?)));
        }
        let (users, items) = (args.args[1].to_array(args.number_rows)?, args.args[2].to_array(args.number_rows)?);
        Ok(ColumnarValue::Array(Arc::new(model.predict_many(&users, &items)?)))
    }
}
