//! What cannot be trained or predicted says why.

use super::*;

fn forest(given: &[(&str, &str)], batch: &RecordBatch) -> Result<Trained> {
    try_train("random_forest_classifier", given, batch)
}

#[test]
fn columns_that_are_not_there() {
    let shop = shop(50);
    check_error(
        forest(&[("input_label_cols", "bougth")], &shop),
        Code::UndefinedColumn,
        &["no column \"bougth\" (option \"input_label_cols\")", "Did you mean \"bought\"?"],
    );
    check_error(forest(&[], &shop), Code::InvalidParameter, &["no option \"input_label_cols\"", "Add input_label_cols"]);
    check_error(forest(&[("labelCol", "bought"), ("weightCol", "wight")], &shop), Code::UndefinedColumn, &["\"weight_col\""]);
    let label_alone = without(&shop, &["size", "colour", "noise", "constant", "price"]);
    check_error(forest(&[("labelCol", "bought")], &label_alone), Code::InvalidStatement, &["no column to learn from"]);
    let both = [("labelCol", "bought"), ("weight_col", "bought")];
    check_error(forest(&both, &shop), Code::InvalidParameter, &["two options of model \"m\" name the same column"]);
}

#[test]
fn labels_that_cannot_be_learned() {
    let with_label = |label: ArrayRef| table(vec![("x", floats((0..label.len()).map(|row| row as f64))), ("y", label)]);
    let y = [("input_label_cols", "y")];
    let holes: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("b")]));
    check_error(forest(&y, &with_label(holes)), Code::InvalidValue, &["column \"y\" is NULL in row 2", "WHERE \"y\" IS NOT NULL"]);
    let one: ArrayRef = strings(["a"; 30]);
    check_error(forest(&y, &with_label(one)), Code::InvalidValue, &["have the same \"y\""]);
    let nan = floats([1.0, f64::NAN, 2.0]);
    check_error(forest(&y, &with_label(nan.clone())), Code::InvalidValue, &["\"y\" is NaN in row 2"]);
    let linear = |label: ArrayRef| try_train("linear_reg", &y, &with_label(label));
    check_error(linear(nan), Code::InvalidValue, &["\"y\" is NaN in row 2"]);
    check_error(linear(floats([1.0, 2.0, f64::INFINITY])), Code::InvalidValue, &["\"y\" is infinite in row 3"]);
    check_error(linear(strings(["a", "b"])), Code::InvalidStatement, &["Utf8", "must be a number", "CAST"]);
    check_error(forest(&y, &with_label(floats((0..300).map(f64::from)))), Code::InvalidValue, &["more than 256", "regressor"]);
    let poisson = try_train("glm", &[("input_label_cols", "y"), ("family", "poisson")], &with_label(floats([1.0, 2.0, -3.0, 1.0])));
    check_error(poisson, Code::InvalidValue, &["the label \"y\" is -3 in row 3", "at least 0"]);
    // Two rows of a class: one of them would be enough to train on, none is not.
    let empty = with_label(strings([]));
    check_error(forest(&y, &empty), Code::InvalidValue, &["returned no row"]);
    check_error(try_train("linear_reg", &y, &with_label(floats([]))), Code::InvalidValue, &["returned no row"]);
}

#[test]
fn features_that_cannot_be_learned_from() {
    let label = || ("y", strings(["a", "b", "a", "b"]));
    let y = [("input_label_cols", "y")];
    let with_x = |x: ArrayRef| table(vec![("x", x), label()]);
    check_error(forest(&y, &with_x(floats([1.0, 2.0, f64::NEG_INFINITY, 0.0]))), Code::InvalidValue, &["\"x\" is infinite in row 3"]);
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>((0..4).map(|row| Some(vec![Some(row)])));
    check_error(forest(&y, &with_x(Arc::new(lists))), Code::InvalidStatement, &["\"x\"", "to be a feature", "Leave \"x\" out"]);
    let constants = with_x(floats([5.0; 4]));
    for (model_type, _, _) in every_type().into_iter().filter(|(model_type, ..)| matches!(*model_type, "logistic_reg" | "naive_bayes")) {
        check_error(try_train(model_type, &y, &constants), Code::InvalidValue, &["no column of the training query", "constant"]);
    }
    let twice = table(vec![("x", floats([1.0; 4])), ("x", floats([1.0; 4])), label()]);
    check_error(forest(&y, &twice), Code::InvalidStatement, &["two columns \"x\""]);
    let weights = table(vec![("x", floats([1.0, 2.0, 3.0, 4.0])), ("w", floats([1.0, -1.0, 1.0, 1.0])), label()]);
    let weighted = [("input_label_cols", "y"), ("weight_col", "w")];
    check_error(forest(&weighted, &weights), Code::InvalidValue, &["\"w\" is -1, a negative weight, in row 2"]);
}

#[test]
fn rows_that_do_not_fit_into_memory() {
    let shop = shop(2000);
    let mut spec = spec(&options("random_forest_classifier", &[("input_label_cols", "bought")]), 1).unwrap();
    spec.memory = Arc::new(GreedyMemoryPool::new(40_000));
    check_error(
        try_train_with(spec, vec![shop.clone()], &shop.schema()),
        Code::LimitExceeded,
        &["not enough memory", "Train on fewer rows"],
    );
}

#[test]
fn a_cancelled_training_ends() {
    let shop = shop(2000);
    let cancel = CancellationToken::new();
    let mut spec =
        spec(&options("random_forest_classifier", &[("input_label_cols", "bought"), ("num_parallel_tree", "20000")]), 2).unwrap();
    let from_inside = cancel.clone();
    spec.observer = Arc::new(move |progress| {
        if progress.iteration > 3 {
            from_inside.cancel();
        }
    });
    let schema = shop.schema();
    let trained = run(train(spec, &schema, stream::iter([Ok(shop)]).boxed(), &cancel));
    check_error(trained, Code::Cancelled, &["was cancelled"]);
}

#[test]
fn predictions_from_other_columns() {
    let shop = shop(300);
    let trained = trained("linear_reg", &[("input_label_cols", "price")], &without(&shop, &["bought"]));
    let model = predictor(&trained);
    let missing = without(&shop, &["colour"]);
    check_error(model.predict(&missing, None), Code::UndefinedColumn, &["no column \"colour\"", "Its columns are \"size\""]);
    check_error(model.output_fields(&missing.schema()), Code::UndefinedColumn, &["no column \"colour\""]);
    let replaced = |name: &str, array: ArrayRef| {
        let mut columns = vec![(name, array)];
        let kept = without(&shop, &[name]).slice(0, columns[0].1.len());
        let fields = kept.schema();
        columns.extend(fields.fields().iter().map(|field| field.name().as_str()).zip(kept.columns().iter().cloned()));
        table(columns)
    };
    check_error(model.predict(&replaced("size", strings(["1.5", "large"])), None), Code::InvalidValue, &["\"size\" is 'large' in row 2"]);
    let infinite = replaced("size", floats([1.0, f64::INFINITY]));
    check_error(model.predict(&infinite, None), Code::InvalidValue, &["\"size\" is infinite in row 2"]);
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)])]));
    check_error(model.predict(&replaced("size", lists), None), Code::InvalidStatement, &["\"size\"", "must be a number"]);
    // Text that is a number, and blank text, are fine.
    let texts = model.predict(&replaced("size", strings([" 1.5", "  "])), None).unwrap();
    let numbers = model.predict(&replaced("size", Arc::new(Float64Array::from(vec![Some(1.5), None]))), None).unwrap();
    assert_eq!(texts, numbers);
}

#[test]
fn evaluations_of_rows_that_do_not_fit() {
    let shop = shop(300);
    let trained = trained("logistic_reg", &[("input_label_cols", "bought")], &without(&shop, &["price"]));
    let model = predictor(&trained);
    let evaluate = |batch: RecordBatch| {
        let schema = batch.schema();
        run(model.score(&schema, stream::iter([Ok(batch)]).boxed(), None))
    };
    check_error(evaluate(without(&shop, &["bought"])), Code::UndefinedColumn, &["no column \"bought\""]);
    let maybe = table(vec![
        ("size", floats([1.0])),
        ("colour", strings(["red"])),
        ("noise", floats([0.0])),
        ("constant", floats([7.0])),
        ("BOUGHT", strings(["maybe"])),
    ]);
    check_error(evaluate(maybe), Code::InvalidValue, &["column \"BOUGHT\" is 'maybe' in row 1", "without this label"]);
}

#[test]
fn tables_that_a_model_does_not_have() {
    let shop = shop(300);
    let trained = trained("linear_reg", &[("input_label_cols", "price"), ("data_split_method", "no_split")], &without(&shop, &["bought"]));
    let model = predictor(&trained);
    for (table, name) in [
        (ModelTable::Centroids, "ML.CENTROIDS"),
        (ModelTable::PrincipalComponents, "ML.PRINCIPAL_COMPONENTS"),
        (ModelTable::FeatureImportance, "ML.FEATURE_IMPORTANCE"),
    ] {
        check_error(model.table(table), Code::WrongObject, &["model \"m\" of type linear_reg has no", name]);
    }
    for (table, name) in [(ScoreTable::ConfusionMatrix, "ML.CONFUSION_MATRIX"), (ScoreTable::RocCurve, "ML.ROC_CURVE")] {
        let scored = model.score_table(table, &model.scores_form());
        check_error(scored, Code::WrongObject, &["model \"m\" of type linear_reg has no", name]);
    }
    check_error(model.predict(&shop, Some(0.5)), Code::WrongObject, &["of type linear_reg has no classes"]);
    check_error(model.held_out(), Code::InvalidStatement, &["no rows were held out", "ML.EVALUATE(MODEL m, TABLE t)"]);
    let curve = model.held_out_scores(ScoreTable::RocCurve).map(|_| ());
    check_error(curve, Code::InvalidStatement, &["no rows were held out", "ML.ROC_CURVE(MODEL m, TABLE t)"]);
}
