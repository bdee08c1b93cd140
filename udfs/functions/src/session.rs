//! Who and where: `current_database()`, `current_schema()`, `current_user()` of one session.

use crate::function::{Code, Function, Group};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// The catalog's name in every three-part name.
const CATALOG: &str = "weir";

/// `current_database()`.
pub static CURRENT_DATABASE: Function = Function {
    name: "current_database",
    aliases: &["current_schema", "database", "schema"],
    group: Group::Session,
    signature: "current_database()",
    help: "the database of the session, set by USE; a schema is the same thing",
    example: "SELECT current_schema()",
    result: "public",
    code: Code::Registered,
};

/// `current_catalog`.
pub static CURRENT_CATALOG: Function = Function {
    name: "current_catalog",
    aliases: &[],
    group: Group::Session,
    signature: "current_catalog",
    help: "the name of the one catalog",
    example: "SELECT current_catalog",
    result: "weir",
    code: Code::Registered,
};

/// `current_user`.
pub static CURRENT_USER: Function = Function {
    name: "current_user",
    aliases: &["session_user", "user"],
    group: Group::Session,
    signature: "current_user",
    help: "the user of the session",
    example: "SELECT current_user",
    result: "admin",
    code: Code::Registered,
};

/// The functions whose answers belong to a session: register them for each statement, with its values.
pub fn session_functions(database: &str, user: &str) -> Vec<ScalarUDF> {
    let values = [(&CURRENT_DATABASE, database), (&CURRENT_CATALOG, CATALOG), (&CURRENT_USER, user)];
    values.into_iter().map(|(function, value)| ScalarUDF::from(Known::new(function, value))).collect()
}

/// A function without arguments whose answer is known when the statement is planned.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Known {
    name: &'static str,
    aliases: Vec<String>,
    value: String,
    signature: Signature,
}

impl Known {
    fn new(function: &'static Function, value: &str) -> Self {
        Self {
            name: function.name,
            aliases: function.aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            value: value.to_owned(),
            // Stable: the value may differ in the next statement.
            signature: Signature::nullary(Volatility::Stable),
        }
    }
}

impl ScalarUDFImpl for Known {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args.args.is_empty() {
            Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(self.value.clone()))))
        } else {
            exec_err!("function {} takes no arguments", self.name)
        }
    }
}
