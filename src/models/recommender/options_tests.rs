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

fn call(name: &str, numbers: &[&str]) -> ModelOption {
    ModelOption::Call(name.into(), numbers.iter().map(|digits| number(digits)).collect())
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
    use Code::InvalidParameter;
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
        (vec![("coldStartStrategy", text("drp"))], InvalidParameter, "Did you mean \"drop\"?"),
        (vec![("data_split_method", text("random_by_user"))], InvalidParameter, "Did you mean \"random_per_user\"?"),
        (
            vec![("data_split_method", text("random_per_user")), ("k_folds", number("5"))],
            InvalidParameter,
            "\"k_folds\" of model \"m\" needs",
        ),
        (vec![("data_split_method", text("random_per_user")), ("data_split_col", text("t"))], InvalidParameter, "'seq' or 'custom'"),
        (vec![("data_split_eval_fraction", number("1.0"))], InvalidParameter, "both excluded"),
        (vec![("data_split_eval_fraction", number("0"))], InvalidParameter, "no_split"),
        (vec![("data_split_method", text("seq"))], InvalidParameter, "'seq' of model \"m\" needs option \"data_split_col\""),
        (vec![("data_split_col", text("t"))], InvalidParameter, "\"data_split_col\" of model \"m\" needs data_split_method"),
        (vec![("k_folds", number("1"))], InvalidParameter, "from 2 to 100"),
        (vec![("k_folds", number("5")), ("data_split_eval_fraction", number("0.1"))], InvalidParameter, "needs a data split at random"),
        (
            vec![("k_folds", number("5")), ("refit", ModelOption::Bool(false))],
            InvalidParameter,
            "option \"refit\" of model \"m\" cannot be FALSE beside \"k_folds\". Each fold is fitted to a part of the rows",
        ),
        (vec![("numFolds", number("5")), ("refit", text("false"))], InvalidParameter, "Leave out refit or k_folds"),
        (vec![("feedback_type", text("explicit")), ("implicitPrefs", ModelOption::Bool(true))], InvalidParameter, "contradict"),
        (vec![("implicitPrefs", ModelOption::Bool(true)), ("bias", text("static"))], InvalidParameter, "is for explicit ratings"),
        (vec![("solver", text("cg")), ("nonnegative", ModelOption::Bool(true))], InvalidParameter, "both solver 'cg' and nonnegative"),
        (vec![("early_stop", ModelOption::Bool(false)), ("min_rel_progress", number("0.1"))], InvalidParameter, "needs early_stop"),
        (vec![("num_trials", number("4"))], InvalidParameter, "\"num_trials\" of model \"m\" needs an option to search for"),
        (vec![("rank", call("HPARAM_RANGE", &["1"]))], InvalidParameter, "HPARAM_RANGE(lo, hi)"),
        (vec![("rank", call("HPARAM_RANGE", &["20", "10"]))], InvalidParameter, "from the smaller to the larger"),
        (vec![("rank", call("HPARAM_CANDIDATES", &[]))], InvalidParameter, "without a candidate"),
        (vec![("rank", call("HPARAM_CANDIDATES", &["2.5"]))], InvalidParameter, "is 2.5, it must be an integer"),
        (vec![("rank", call("HPARAM_CANDIDATES", &["2000"]))], InvalidParameter, "integers from 1 to 1024"),
        (
            vec![("rank", call("HPARAM_CANDIDATES", &["2"])), ("hparam_tuning_objectives", text("rsme"))],
            InvalidParameter,
            "unknown objective \"rsme\"",
        ),
        (
            vec![("rank", call("HPARAM_CANDIDATES", &["2"])), ("data_split_method", text("no_split"))],
            InvalidParameter,
            "searches for options and holds no rows out",
        ),
        (
            vec![("data_split_method", text("no_split")), ("data_split_eval_fraction", number("0.1"))],
            InvalidParameter,
            "needs a data split at random or by time",
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
    assert_eq!((defaults.fit.rank, defaults.fit.max_iterations, defaults.fit.regularisation), (10, 10, Regularisation::RegParam(0.1)));
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
fn a_split_of_each_user_has_a_fraction() {
    let method = || ("data_split_method", text("Random_Per_User"));
    assert_eq!(parse(&[method()]).unwrap().data_split, DataSplit::RandomPerUser { eval_fraction: 0.2 });
    let options = parse(&[method(), ("data_split_eval_fraction", number("0.3"))]).unwrap();
    assert_eq!(options.data_split, DataSplit::RandomPerUser { eval_fraction: 0.3 });
    let parameters = options.parameters();
    assert_eq!((parameters["data_split_method"].as_str(), parameters["data_split_eval_fraction"].as_str()), ("random_per_user", "0.3"));
    assert_eq!(parameters["refit"], "true");
}

#[test]
fn folds_go_with_a_fit_on_all_rows_unless_they_serve_a_search() {
    let folds = || ("k_folds", number("5"));
    assert!(parse(&[folds(), ("refit", ModelOption::Bool(true))]).unwrap().refit);
    // The folds are those of the trials: the model is fitted to the rest of another split.
    let searched = parse(&[folds(), ("refit", ModelOption::Bool(false)), ("rank", call("HPARAM_CANDIDATES", &["2", "4"]))]);
    assert!(!searched.unwrap().refit);
}

#[test]
fn bigquerys_own_options_bring_its_defaults() {
    let fit = |options: &[(&str, ModelOption)]| parse(options).unwrap().fit;
    let spark = fit(&[("implicitPrefs", ModelOption::Bool(true))]);
    assert_eq!((spark.alpha, spark.max_iterations, spark.min_rel_progress), (1.0, 10, None));
    for (options, l2_reg) in [([("l2_reg", number("2"))], 2.0), ([("wals_alpha", number("40"))], 1.0)] {
        let bigquery = fit(&options);
        assert_eq!(bigquery.regularisation, Regularisation::L2(l2_reg), "{options:?}");
        assert_eq!((bigquery.alpha, bigquery.max_iterations, bigquery.min_rel_progress), (40.0, 20, Some(0.01)), "{options:?}");
    }
    assert_eq!(fit(&[("l2_reg", number("2")), ("early_stop", ModelOption::Bool(false))]).min_rel_progress, None);
    let spark = fit(&[("alpha", number("3"))]);
    assert_eq!((spark.alpha, spark.regularisation), (3.0, Regularisation::RegParam(0.1)));
    let both = fit(&[("wals_alpha", number("40")), ("regParam", number("0.2"))]);
    assert_eq!(both.regularisation, Regularisation::RegParam(0.2));
}

#[test]
fn a_search_is_read_with_the_defaults_first() {
    let options = parse(&[
        ("num_factors", call("HPARAM_CANDIDATES", &["5", "10"])),
        ("regParam", call("HPARAM_RANGE", &["0.01", "1"])),
        ("num_trials", number("6")),
        ("hparam_tuning_algorithm", text("VIZIER_DEFAULT")),
        ("max_parallel_trials", number("2")),
        ("hparam_tuning_objectives", ModelOption::List(vec![text("MEAN_SQUARED_ERROR")])),
    ])
    .unwrap();
    let search = options.search.as_ref().unwrap();
    assert_eq!(search.names, ["num_factors", "regParam"]);
    let trials = search.trials(7).unwrap();
    assert_eq!((trials.len(), &trials[0]), (6, &vec![10.0, 0.1]));
    assert!(trials.iter().all(|trial| (trial[0] == 5.0 || trial[0] == 10.0) && (0.01..=1.0).contains(&trial[1])));
    let parameters = options.parameters();
    assert_eq!(parameters["hparam_tuning_algorithm"], "random (asked for vizier)");
    assert_eq!(parameters["hparam_tuning_objectives"], "rmse");
    // Lists are tried whole.
    let grid = parse(&[("rank", call("HPARAM_CANDIDATES", &["2", "4", "8"]))]).unwrap().search.unwrap();
    assert_eq!(grid.trials(1).unwrap(), [[2.0], [4.0], [8.0]]);
}

#[test]
fn parameters_are_shown_after_defaults() {
    let parameters = parse(&[("l2_reg", number("1.5")), ("data_split_method", text("no_split"))]).unwrap().parameters();
    let shown: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        shown.join(" "),
        "bias=none cold_start_strategy=popular data_split_method=no_split early_stop=true feedback_type=explicit implicitPrefs=false \
         l2_reg=1.5 max_iterations=20 min_rel_progress=0.01 model_type=matrix_factorization nonnegative=false num_factors=10 \
         online_update=false ranking=rating ranking_k=10 seed=42 solver=cholesky warm_start=false"
    );
}
