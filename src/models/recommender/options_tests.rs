//! Options of CREATE MODEL: what is refused, and what the spellings mean.

use super::options::*;
use crate::error::{Code, Error, Result};
use crate::models::option::ModelOption;

fn text(value: &str) -> ModelOption {
    ModelOption::Text(value.into())
}

fn number(value: &str) -> ModelOption {
    ModelOption::Number(value.into())
}

fn parse(options: &[(&str, ModelOption)]) -> Result<RecommenderOptions> {
    let mut all = vec![("model_type".to_owned(), text("als"))];
    all.extend(options.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    RecommenderOptions::parse("m", &all)
}

fn refused(options: &[(&str, ModelOption)]) -> Error {
    match parse(options) {
        Ok(parsed) => panic!("{options:?} gave {parsed:?}"),
        Err(error) => error,
    }
}

#[test]
fn bad_options_are_refused_by_name() {
    use Code::{InvalidParameter, NotSupported};
    let cases = [
        (vec![("rnak", number("10"))], InvalidParameter, "model \"m\" has the unknown option \"rnak\". Did you mean \"rank\"?"),
        (vec![("elephants", number("10"))], InvalidParameter, "model \"m\" has the unknown option \"elephants\""),
        (vec![("rank", number("0"))], InvalidParameter, "option \"rank\" of model \"m\" is 0, it must be an integer from 1 to 1024"),
        (vec![("rank", number("2.5"))], InvalidParameter, "is 2.5, it must be an integer"),
        (vec![("rank", ModelOption::List(vec![number("1")]))], InvalidParameter, "is a list, it must be one value"),
        (vec![("rank", ModelOption::Null)], InvalidParameter, "is NULL, it must be one value"),
        (
            vec![("seed", ModelOption::Call("HPARAM_CANDIDATES".into(), vec![]))],
            InvalidParameter,
            "option \"seed\" of model \"m\" cannot be searched for",
        ),
        (vec![("rank", ModelOption::Call("SQRT".into(), vec![]))], InvalidParameter, "is a call of SQRT"),
        (
            vec![("num_factors", number("5")), ("rank", number("5"))],
            InvalidParameter,
            "option \"rank\" of model \"m\" is given twice. It is also given as \"num_factors\"",
        ),
        (vec![("regParam", number("-1"))], InvalidParameter, "a number from 0 to 1000000"),
        (vec![("regParam", text("NaN"))], InvalidParameter, "a number from 0 to 1000000"),
        (vec![("regParam", number("0.1")), ("l2_reg", number("1"))], InvalidParameter, "both options \"regParam\" and \"l2_reg\""),
        (vec![("max_iterations", number("0"))], InvalidParameter, "from 1 to 1000"),
        (vec![("nonnegative", text("maybe"))], InvalidParameter, "is 'maybe', it must be TRUE or FALSE"),
        (vec![("seed", text("x"))], InvalidParameter, "option \"seed\" of model \"m\" is x"),
        (vec![("user_col", text(" "))], InvalidParameter, "the name of a column"),
        (vec![("cold_start_strategy", text("fold_in"))], NotSupported, "'fold_in' of model \"m\" is not supported yet"),
        (vec![("coldStartStrategy", text("drp"))], InvalidParameter, "Did you mean \"drop\"?"),
        (vec![("feedback_type", text("implicit"))], NotSupported, "implicit feedback (option \"feedback_type\" of model \"m\")"),
        (vec![("implicitPrefs", ModelOption::Bool(true))], NotSupported, "option \"implicitPrefs\""),
        (vec![("ranking", text("implicit"))], NotSupported, "option \"ranking\""),
        (vec![("data_split_method", text("seq"))], NotSupported, "'seq'"),
        (vec![("data_split_eval_fraction", number("1.0"))], InvalidParameter, "both excluded"),
        (vec![("data_split_eval_fraction", number("0"))], InvalidParameter, "no_split"),
        (
            vec![("data_split_method", text("no_split")), ("data_split_eval_fraction", number("0.1"))],
            InvalidParameter,
            "needs a data split",
        ),
    ];
    for (options, code, message) in cases {
        let error = refused(&options);
        assert_eq!(error.code, code, "{options:?}: {error}");
        assert!(error.to_string().contains(message), "{options:?}: {error}");
    }
}

#[test]
fn the_model_type_decides() {
    use crate::models::ModelOptions;
    let parse = |name: &str| ModelOptions::parse("m", &[("MODEL_TYPE".into(), text(name))]);
    for name in ["matrix_factorization", "ALS"] {
        let ModelOptions::Recommender(_) = parse(name).unwrap() else { panic!("{name}") };
    }
    let error = parse("matrix_factorisation").unwrap_err();
    assert_eq!((error.code, error.hint.as_deref()), (Code::InvalidParameter, Some("Did you mean \"matrix_factorization\"?")));
    let error = ModelOptions::parse("m", &[]).unwrap_err();
    assert!(error.to_string().contains("no option \"model_type\""), "{error}");
}

#[test]
fn defaults_are_sparks_and_spellings_are_one() {
    let defaults = parse(&[]).unwrap();
    assert_eq!((defaults.rank, defaults.max_iterations, defaults.regularisation), (10, 10, Regularisation::RegParam(0.1)));
    assert_eq!(
        (defaults.cold_start, defaults.data_split, defaults.refit),
        (ColdStart::Popular, DataSplit::Random { eval_fraction: 0.2 }, true)
    );
    let spark = parse(&[
        ("rank", number("20")),
        ("maxIter", number("15")),
        ("userCol", text("u")),
        ("coldStartStrategy", text("DROP")),
        ("implicitPrefs", ModelOption::Bool(false)),
        ("numUserBlocks", number("10")),
        ("checkpointInterval", number("10")),
        ("nonnegative", text("TRUE")),
        ("seed", number("-7")),
    ]);
    let bigquery = parse(&[
        ("NUM_FACTORS", text("20")),
        ("MAX_ITERATIONS", number("15")),
        ("user_col", text("u")),
        ("cold_start_strategy", text("drop")),
        ("FEEDBACK_TYPE", text("EXPLICIT")),
        ("nonnegative", ModelOption::Bool(true)),
        ("seed", number("-7")),
    ]);
    assert_eq!(spark.unwrap(), bigquery.unwrap());
}

#[test]
fn parameters_are_shown_after_defaults() {
    let parameters = parse(&[("l2_reg", number("1.5")), ("data_split_method", text("no_split"))]).unwrap().parameters();
    let shown: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        shown.join(" "),
        "cold_start_strategy=popular data_split_method=no_split feedback_type=explicit l2_reg=1.5 max_iterations=10 \
         model_type=matrix_factorization nonnegative=false num_factors=10 seed=42"
    );
}
