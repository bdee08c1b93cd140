//! What must hold for every learner: the planted pattern is found, the same rows give the same model.

use super::*;

#[test]
fn planted_patterns_are_found() {
    for (model_type, given, batch) in every_type() {
        let trained = trained(model_type, &given, &batch);
        let model = predictor(&trained);
        let held_out = model.held_out().unwrap();
        let (measure, least) = match model_type {
            "linear_reg" | "elastic_net" | "random_forest_regressor" | "boosted_tree_regressor" | "glm" => {
                // Without one-hot columns, colours are ranks: red is far from green.
                let is_rough = given.iter().any(|(_, value)| *value == "label_encoding") || model_type == "glm";
                ("r2_score", if is_rough { 0.8 } else { 0.95 })
            }
            "kmeans" => ("mean_squared_distance", 0.1),
            "pca" => ("total_explained_variance_ratio", 0.4),
            _ => ("roc_auc", 0.9),
        };
        let value = held_out.get(measure).unwrap_or_else(|| panic!("{model_type}: no {measure}"));
        assert!(value > least, "{model_type} {given:?}: {measure} {value}");
        assert_eq!(trained.metrics.get(measure), Some(&value));
        let n_features = batch.num_columns() - usize::from(!matches!(model_type, "kmeans" | "pca"));
        assert_eq!(trained.metrics["n_features"], n_features as f64);
        assert_eq!(trained.parameters["model_type"], model_type);
        assert!(!trained.report.iterations.is_empty(), "{model_type} reports no iteration");
    }
}

#[test]
fn the_same_rows_give_the_same_model_in_any_order_on_any_threads() {
    for (model_type, given, batch) in every_type() {
        let trained_on = |batch: &RecordBatch, threads: usize| {
            let spec = spec(&options(model_type, &given), threads).unwrap();
            try_train_with(spec, vec![batch.clone()], &batch.schema()).unwrap()
        };
        let (one, other) = (trained_on(&batch, 1), trained_on(&permuted(&batch), 3));
        assert_eq!(one.metrics, other.metrics, "{model_type}");
        assert_eq!(predictions(predictor(&one), &batch), predictions(predictor(&other), &batch), "{model_type}");
    }
}

#[test]
fn another_seed_is_another_split() {
    let batch = without(&shop(500), &["bought"]);
    let with_seed = |seed: &str| trained("linear_reg", &[("input_label_cols", "price"), ("seed", seed)], &batch).metrics;
    assert_ne!(with_seed("1")["mean_squared_error"], with_seed("2")["mean_squared_error"]);
    assert_eq!(with_seed("1"), with_seed("1"));
}

#[test]
fn a_version_is_the_same_after_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    for (number, (model_type, given, batch)) in every_type().into_iter().enumerate() {
        let trained = trained(model_type, &given, &batch);
        let id = format!("id{number}");
        Models::open(directory.path()).unwrap().save(&trained, &id, 1).unwrap();
        // Another registry has nothing in memory.
        let model = catalog_model(&id, model_type);
        let loaded = Models::open(directory.path()).unwrap().load(&model, 1).unwrap();
        let TrainedModel::Predictor(loaded_model) = &loaded.model else { panic!("a recommender") };
        let model = predictor(&trained);
        assert_eq!(predictions(model, &batch), predictions(loaded_model, &batch), "{model_type}");
        assert_eq!(model.held_out_scores(ScoreTable::Evaluate).unwrap(), loaded_model.held_out_scores(ScoreTable::Evaluate).unwrap());
        assert_eq!(*loaded.report, trained.report);
        assert_eq!(model.output_fields(&batch.schema()).unwrap(), loaded_model.output_fields(&batch.schema()).unwrap());
        for table in [
            ModelTable::FeatureInfo,
            ModelTable::FeatureImportance,
            ModelTable::Weights,
            ModelTable::Centroids,
            ModelTable::PrincipalComponents,
        ] {
            match (model.table(table), loaded_model.table(table)) {
                (Ok(before), Ok(after)) => assert_eq!(before, after, "{model_type} {table:?}"),
                (Err(before), Err(after)) => assert_eq!(before.code, after.code, "{model_type} {table:?}"),
                (before, after) => panic!("{model_type} {table:?}: {before:?}, {after:?}"),
            }
        }
    }
}

fn catalog_model(id: &str, model_type: &str) -> Model {
    Model {
        id: id.into(),
        database: "default".into(),
        name: "m".into(),
        training: Training {
            model_type: model_type.into(),
            options: Vec::new(),
            query: String::new(),
            search_database: String::new(),
            timezone: String::new(),
        },
        default_version: 1,
        versions: Vec::new(),
        created_ms: 0,
        owner: "admin".into(),
    }
}

#[test]
fn a_damaged_forest_is_not_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let batch = without(&shop(200), &["bought"]);
    let trained = trained("random_forest_regressor", &[("input_label_cols", "price"), ("num_parallel_tree", "3")], &batch);
    Models::open(directory.path()).unwrap().save(&trained, "id", 1).unwrap();
    let file = directory.path().join("id/1/trees.parquet");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let loaded = Models::open(directory.path()).unwrap().load(&catalog_model("id", "random_forest_regressor"), 1);
    check_error(loaded, Code::DataCorrupted, &["trees.parquet"]);
}

#[test]
fn one_row_and_few_rows() {
    let one = without(&shop(1), &["bought", "colour"]);
    let forest = trained("random_forest_regressor", &[("input_label_cols", "price")], &one);
    let price = one.column_by_name("price").unwrap().as_primitive::<Float64Type>().value(0);
    let predicted = predictions(predictor(&forest), &one);
    assert!((predicted[0].as_primitive::<Float64Type>().value(0) / price - 1.0).abs() < 1e-12);
    assert_eq!(error_of(predictor(&forest).held_out().map(|_| ())).code, Code::InvalidStatement);
    check_error(try_train("linear_reg", &[("input_label_cols", "price")], &one), Code::InvalidValue, &["no column", "says anything"]);
    check_error(try_train("kmeans", &[("k", "3")], &one), Code::InvalidParameter, &["num_clusters is 3", "the number of rows"]);
    check_error(try_train("pca", &[], &one), Code::InvalidValue, &["no column"]);
    let two = table(vec![("x", floats([1.0, 2.0])), ("y", strings(["a", "b"]))]);
    let classes = trained("random_forest_classifier", &[("input_label_cols", "y"), ("bootstrap", "false")], &two);
    let predicted = predictions(predictor(&classes), &two);
    assert_eq!(predicted[0].as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), Some("b")]);
}

#[test]
fn splits_hold_out_what_they_say() {
    let shop = shop(1000);
    let day: ArrayRef = Arc::new((0..1000).map(Some).collect::<Int32Array>());
    let is_test: ArrayRef = Arc::new((0..1000).map(|row| Some(row % 4 == 0)).collect::<BooleanArray>());
    let mut columns: Vec<(&str, ArrayRef)> = vec![("day", day), ("is_test", is_test)];
    let base = without(&shop, &["bought"]);
    let names = base.schema();
    columns.extend(names.fields().iter().map(|field| field.name().as_str()).zip(base.columns().iter().cloned()));
    let batch = table(columns);
    let held_out = |given: &[(&str, &str)], batch: &RecordBatch| {
        let given: Vec<(&str, &str)> = std::iter::once(("input_label_cols", "price")).chain(given.iter().copied()).collect();
        let trained = trained("linear_reg", &given, batch);
        (trained.metrics.get("rows_eval").copied(), trained.metrics["rows_train"], trained.metrics["n_features"])
    };
    assert_eq!(held_out(&[], &base), (Some(200.0), 800.0, 4.0));
    assert_eq!(held_out(&[("data_split_eval_fraction", "0.1")], &base), (Some(100.0), 900.0, 4.0));
    assert_eq!(held_out(&[("data_split_method", "no_split")], &base), (None, 1000.0, 4.0));
    assert_eq!(held_out(&[("data_split_method", "auto_split")], &base), (Some(200.0), 800.0, 4.0));
    assert_eq!(held_out(&[("data_split_method", "auto_split")], &base.slice(0, 400)), (None, 400.0, 4.0));
    let custom = [("data_split_method", "custom"), ("data_split_col", "is_test")];
    assert_eq!(held_out(&custom, &without(&batch, &["day"])), (Some(250.0), 750.0, 4.0));
    let sequential = [("data_split_method", "seq"), ("data_split_col", "day"), ("data_split_eval_fraction", "0.3")];
    assert_eq!(held_out(&sequential, &without(&batch, &["is_test"])), (Some(300.0), 700.0, 4.0), "the split column is no feature");
    let marks = |mark: fn(i32) -> Option<bool>| -> ArrayRef { Arc::new((0..1000).map(mark).collect::<BooleanArray>()) };
    let mut columns = vec![("is_test", marks(|row| (row % 4 != 0).then_some(row % 4 == 1)))];
    columns.extend(names.fields().iter().map(|field| field.name().as_str()).zip(base.columns().iter().cloned()));
    assert_eq!(held_out(&custom, &table(columns)), (Some(500.0), 500.0, 4.0), "TRUE and NULL are held out");
    let day_as_mark = [("data_split_method", "custom"), ("data_split_col", "day")];
    let error = error_of(try_train("linear_reg", &[&[("input_label_cols", "price")], &day_as_mark[..]].concat(), &batch));
    assert!(error.one_line().contains("must be a boolean"), "{error}");
}

#[test]
fn the_model_is_fitted_again_on_all_rows_unless_told_otherwise() {
    // The last rows have another slope: a model that saw them says so.
    let n = 100;
    let x = floats((0..n).map(f64::from));
    let y = floats((0..n).map(|row| if row < 80 { f64::from(row) } else { 500.0 }));
    let batch = table(vec![("day", Arc::clone(&x)), ("x", x), ("y", y)]);
    let given = [("input_label_cols", "y"), ("data_split_method", "seq"), ("data_split_col", "day"), ("l2_reg", "0")];
    let slope = |more: &[(&str, &str)]| {
        let trained = trained("linear_reg", &[&given[..], more].concat(), &batch);
        let weights = predictor(&trained).table(ModelTable::Weights).unwrap();
        weights.column_by_name("weight").unwrap().as_primitive::<Float64Type>().value(1)
    };
    assert!((slope(&[("refit", "false")]) - 1.0).abs() < 1e-9);
    assert!(slope(&[]) > 3.0);
}

#[test]
fn classes_and_rows_can_weigh_more() {
    let shop = without(&shop(2000), &["price"]);
    let rare: Vec<u32> = (0..2000u32)
        .filter(|row| shop.column_by_name("bought").unwrap().as_string::<i32>().value(*row as usize) == "no" || row % 10 == 0)
        .collect();
    let batch = take_record_batch(&shop, &UInt32Array::from(rare)).unwrap();
    let recall = |more: Vec<(String, ModelOption)>| {
        let mut given = options("logistic_reg", &[("input_label_cols", "bought")]);
        given.extend(more);
        let trained = try_train_with(spec(&given, 1).unwrap(), vec![batch.clone()], &batch.schema()).unwrap();
        trained.metrics["recall"]
    };
    let plain = recall(vec![]);
    assert!(recall(vec![("auto_class_weights".into(), ModelOption::Bool(true))]) > plain);
    let pair = |label: &str, weight: f64| ModelOption::List(vec![text(label), number(weight)]);
    let given = |pairs: Vec<ModelOption>| vec![("class_weights".to_owned(), ModelOption::List(pairs))];
    assert!(recall(given(vec![pair("yes", 20.0)])) > plain);
    let mut wrong = options("logistic_reg", &[("input_label_cols", "bought")]);
    wrong.extend(given(vec![pair("yess", 2.0)]));
    let misspelt = try_train_with(spec(&wrong, 1).unwrap(), vec![batch.clone()], &batch.schema());
    check_error(misspelt, Code::InvalidParameter, &["names the label 'yess'", "Did you mean 'yes'?"]);
    // A row of weight 0 is as if it were not there.
    let y = [1.0, 2.0, 3.0, 900.0];
    let weighted = |weight: f64| {
        let batch = table(vec![("x", floats([1.0, 2.0, 3.0, 4.0])), ("w", floats([1.0, 1.0, 1.0, weight])), ("y", floats(y))]);
        let given = [("input_label_cols", "y"), ("weight_col", "w"), ("data_split_method", "no_split")];
        let trained = trained("linear_reg", &given, &batch);
        predictions(predictor(&trained), &batch)[0].as_primitive::<Float64Type>().value(3)
    };
    assert!((weighted(0.0) - 4.0).abs() < 1e-9);
    assert!(weighted(1.0) > 100.0);
}

#[test]
fn a_search_finds_the_better_option_on_rows_that_the_evaluation_does_not_see() {
    let batch = without(&shop(1000), &["bought"]);
    let mut given = options("linear_reg", &[("input_label_cols", "price"), ("hparam_tuning_algorithm", "grid_search")]);
    let candidates = ModelOption::List(vec![number(1e9), number(0.1), number(1e6)]);
    given.push(("l2_reg".into(), ModelOption::Call("HPARAM_CANDIDATES".into(), vec![candidates])));
    let trained = try_train_with(spec(&given, 1).unwrap(), vec![batch.clone()], &batch.schema()).unwrap();
    let trials = &trained.report.trials;
    assert_eq!(trials.len(), 3);
    let best: Vec<&str> = trials.iter().filter(|trial| trial.is_optimal).map(|trial| trial.hyperparameters["l2_reg"].as_str()).collect();
    assert_eq!(best, ["0.1"]);
    assert_eq!(trained.parameters["l2_reg"], "0.1");
    assert_eq!((trained.metrics["rows_train"], trained.metrics["rows_eval"]), (800.0, 200.0));
    let with_r2 = trials.iter().find(|trial| trial.is_optimal).unwrap().metrics["r2_score"];
    assert_ne!(with_r2, trained.metrics["r2_score"]);
    trained.report.trial_info().unwrap();
    // The forest's own depth is 15: it is tried first, in either order of the candidates and whatever the algorithm.
    for (algorithm, candidates) in [("grid", [5, 15, 30]), ("random", [30, 5, 15]), ("vizier_default", [15, 5, 30])] {
        let given =
            [("input_label_cols", "price"), ("hparam_tuning_algorithm", algorithm), ("num_trials", "1"), ("num_parallel_tree", "2")];
        let mut given = options("random_forest_regressor", &given);
        let candidates = ModelOption::List(candidates.map(number).to_vec());
        given.push(("max_tree_depth".into(), ModelOption::Call("HPARAM_CANDIDATES".into(), vec![candidates])));
        let trained = try_train_with(spec(&given, 1).unwrap(), vec![batch.clone()], &batch.schema()).unwrap();
        assert_eq!(trained.report.trials[0].hyperparameters["max_tree_depth"], "15", "{algorithm}");
    }
    // A range, an unknown measure, and a mistake in a candidate.
    let mut range = options("linear_reg", &[("input_label_cols", "price"), ("num_trials", "4")]);
    range.push(("l2_reg".into(), ModelOption::Call("hparam_range".into(), vec![number(0.01), number(100)])));
    let trained = try_train_with(spec(&range, 1).unwrap(), vec![batch.clone()], &batch.schema()).unwrap();
    assert_eq!(trained.report.trials.len(), 4);
    range.push(("hparam_tuning_objectives".into(), ModelOption::List(vec![text("r2_skore")])));
    let unknown = try_train_with(spec(&range, 1).unwrap(), vec![batch.clone()], &batch.schema());
    check_error(unknown, Code::InvalidParameter, &["'r2_skore'", "Did you mean \"r2_score\"?"]);
    let mut bad = options("random_forest_regressor", &[("input_label_cols", "price")]);
    bad.push((
        "max_tree_depth".into(),
        ModelOption::Call("HPARAM_CANDIDATES".into(), vec![ModelOption::List(vec![number(3), text("deep")])]),
    ));
    check_error(spec(&bad, 1).map(|_| ()), Code::InvalidParameter, &["\"max_tree_depth\"", "deep"]);
    let mut not_searchable = options("linear_reg", &[]);
    not_searchable.push(("seed".into(), ModelOption::Call("HPARAM_CANDIDATES".into(), vec![ModelOption::List(vec![number(3)])])));
    check_error(spec(&not_searchable, 1).map(|_| ()), Code::InvalidParameter, &["\"seed\"", "cannot be searched"]);
}

#[test]
fn three_classes_have_weights_and_probabilities_each() {
    let n = 900;
    let class = |row: usize| ["low", "middle", "top"][(uniform(row, 1) * 3.0) as usize];
    let batch = table(vec![
        ("x", floats((0..n).map(|row| uniform(row, 1) * 9.0))),
        ("group", strings((0..n).map(|row| if class(row) == "middle" { "m" } else { "other" }))),
        ("y", strings((0..n).map(class))),
    ]);
    for model_type in ["logistic_reg", "random_forest_classifier", "boosted_tree_classifier", "naive_bayes"] {
        let trained = trained(model_type, &[("input_label_cols", "y")], &batch);
        let measures = &trained.metrics;
        assert!(measures["accuracy"] > 0.95 && measures["roc_auc"] > 0.98, "{model_type}: {measures:?}");
        let model = predictor(&trained);
        assert_eq!(held_out_table(model, ScoreTable::ConfusionMatrix).num_columns(), 4);
        let scores = model.held_out_scores(ScoreTable::RocCurve).unwrap();
        let expected = ["has 3 classes, and a ROC curve is for two", "ML.CONFUSION_MATRIX"];
        check_error(model.score_table(ScoreTable::RocCurve, scores), Code::WrongObject, &expected);
        if model_type == "logistic_reg" {
            let weights = model.table(ModelTable::Weights).unwrap();
            let labels = weights.column_by_name("class_label").unwrap().as_string::<i32>();
            let mut labels: Vec<&str> = labels.iter().flatten().collect();
            labels.dedup();
            assert_eq!(labels, ["low", "middle", "top"]);
        }
    }
}

#[test]
fn a_run_says_how_far_it_is() {
    let batch = without(&shop(600), &["bought"]);
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut spec = spec(&options("random_forest_regressor", &[("input_label_cols", "price"), ("num_parallel_tree", "4")]), 2).unwrap();
    let log = Arc::clone(&seen);
    spec.observer = Arc::new(move |progress| log.lock().unwrap().push(progress));
    let trained = try_train_with(spec, vec![batch.slice(0, 400), batch.slice(400, 200)], &batch.schema()).unwrap();
    let seen = seen.lock().unwrap();
    let mut phases: Vec<&str> = seen.iter().map(|progress| progress.phase.as_str()).collect();
    phases.dedup();
    assert_eq!(phases, ["reading", "fitting", "evaluating", "fitting on all rows"]);
    assert_eq!((seen[0].rows, seen[1].rows), (400, 600));
    assert!(seen.iter().any(|progress| (progress.iteration, progress.max_iterations) == (4, 4)));
    let iterations: Vec<u64> = trained.report.iterations.iter().map(|iteration| iteration.iteration).collect();
    assert_eq!(iterations, [1, 2, 3, 4]);
}
