//! What comes out of a model: columns by name, batches as single rows, labels in their own type.

use super::*;
use datafusion::arrow::array::{Date32Array, Decimal128Array, Float32Array, StringViewArray, TimestampMillisecondArray};
use datafusion::arrow::datatypes::Int32Type;

#[test]
fn a_batch_is_its_rows_one_by_one() {
    for (model_type, given, batch) in every_type() {
        let trained = trained(model_type, &given, &batch);
        let model = predictor(&trained);
        let together = predictions(model, &batch);
        for (field, array) in model.output_fields(&batch.schema()).unwrap().iter().zip(&together) {
            assert_eq!((field.data_type(), array.len()), (array.data_type(), batch.num_rows()), "{model_type} {}", field.name());
        }
        for row in (0..batch.num_rows()).step_by(149) {
            let alone = predictions(model, &batch.slice(row, 1));
            for (alone, together) in alone.iter().zip(&together) {
                assert_eq!(**alone, *together.slice(row, 1), "{model_type} row {row}");
            }
        }
        assert!(predictions(model, &batch.slice(0, 0)).iter().all(|array| array.is_empty()), "{model_type}");
    }
}

#[test]
fn columns_are_found_by_name_and_may_be_of_other_types() {
    let batch = without(&shop(600), &["bought"]);
    let trained = trained("random_forest_regressor", &[("input_label_cols", "price"), ("num_parallel_tree", "5")], &batch);
    let model = predictor(&trained);
    let sizes = [3.0f64, 9.5, 1.0];
    let plain = table(vec![
        ("size", floats(sizes)),
        ("colour", strings(["red", "blue", "purple"])),
        ("noise", floats([0.5; 3])),
        ("constant", floats([7.0; 3])),
    ]);
    let colours: DictionaryArray<Int32Type> = ["red", "blue", "purple"].into_iter().collect();
    let other = table(vec![
        ("Constant", Arc::new(Int32Array::from(vec![7; 3]))),
        ("extra", strings(["a", "b", "c"])),
        ("COLOUR", Arc::new(colours)),
        ("noise", Arc::new(Float32Array::from(vec![0.5; 3]))),
        ("Size", Arc::new(Decimal128Array::from(vec![300, 950, 100]).with_precision_and_scale(10, 2).unwrap())),
    ]);
    assert_eq!(predictions(model, &plain), predictions(model, &other));
    let views = table(vec![
        ("size", strings(["3", "9.5", " 1.0 "])),
        ("colour", Arc::new(StringViewArray::from(vec!["red", "blue", "purple"]))),
        ("noise", strings(["0.5", "5e-1", "0.50"])),
        ("constant", strings(["7"; 3])),
    ]);
    assert_eq!(predictions(model, &plain), predictions(model, &views));
    // An exact name goes before one in other case.
    let both = table(vec![
        ("SIZE", floats([0.0; 3])),
        ("size", floats(sizes)),
        ("colour", strings(["red", "blue", "purple"])),
        ("noise", floats([0.5; 3])),
        ("constant", floats([7.0; 3])),
    ]);
    assert_eq!(predictions(model, &plain), predictions(model, &both));
}

#[test]
fn labels_keep_their_type_and_probabilities_are_sorted() {
    let x = || floats((0..90).map(f64::from));
    let class = |row: usize| row / 30;
    let labels: Vec<(ArrayRef, DataType)> = vec![
        (Arc::new((0..90).map(|row| Some(class(row) as i32 * 10 - 10)).collect::<Int32Array>()), DataType::Int32),
        (strings((0..90).map(|row| ["c", "a", "b"][class(row)])), DataType::Utf8),
        (Arc::new((0..90).map(|row| Some(class(row) == 1)).collect::<BooleanArray>()), DataType::Boolean),
        (Arc::new((0..90).map(|row| Some(class(row) as i32)).collect::<Date32Array>()), DataType::Date32),
        (Arc::new((0..90).map(|row| Some(["c", "a", "b"][class(row)])).collect::<DictionaryArray<Int32Type>>()), DataType::Utf8),
        (floats((0..90).map(|row| class(row) as f64)), DataType::Float64),
    ];
    for (label, data_type) in labels {
        let batch = table(vec![("x", x()), ("y", Arc::clone(&label))]);
        let trained = trained("random_forest_classifier", &[("labelCol", "y"), ("data_split_method", "no_split")], &batch);
        let model = predictor(&trained);
        let fields = model.output_fields(&batch.schema()).unwrap();
        assert_eq!(fields[0].name(), "predicted_y");
        assert_eq!(fields[1].name(), "predicted_y_probs");
        assert_eq!(*fields[0].data_type(), data_type);
        let predicted = predictions(model, &batch);
        let expected = cast(&label, &data_type).unwrap();
        assert_eq!(*predicted[0], *expected, "{data_type}");
        for row in 0..90 {
            let pairs = predicted[1].as_list::<i32>().value(row);
            let pairs = pairs.as_struct();
            let probabilities = pairs.column_by_name("prob").unwrap().as_primitive::<Float64Type>().values().to_vec();
            assert!(probabilities.is_sorted_by(|left, right| left >= right), "{probabilities:?}");
            assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert_eq!(*pairs.column_by_name("label").unwrap().slice(0, 1), *predicted[0].slice(row, 1));
        }
    }
}

#[test]
fn clusters_are_numbered_from_one_with_the_nearest_first() {
    let centre = |row: usize| [0.0, 10.0, 100.0][row % 3];
    let x = floats((0..300).map(|row| centre(row) + uniform(row, 1)));
    let batch = table(vec![("x", x), ("y", floats((0..300).map(|row| -centre(row))))]);
    let trained = trained("kmeans", &[("num_clusters", "3")], &batch);
    let model = predictor(&trained);
    let columns = predictions(model, &batch);
    let ids = columns[0].as_primitive::<Int64Type>().values().to_vec();
    for row in 0..300 {
        assert_eq!(ids[row], ids[row % 3]);
        let pairs = columns[1].as_list::<i32>().value(row);
        let pairs: &StructArray = pairs.as_struct();
        let centroids = pairs.column_by_name("centroid_id").unwrap().as_primitive::<Int64Type>().values().to_vec();
        let distances = pairs.column_by_name("distance").unwrap().as_primitive::<Float64Type>().values().to_vec();
        assert_eq!(centroids[0], ids[row]);
        assert!(distances.is_sorted() && distances.len() == 3, "{distances:?}");
    }
    let mut different: Vec<i64> = ids[..3].to_vec();
    different.sort_unstable();
    assert_eq!(different, [1, 2, 3]);
    let centroids = model.table(ModelTable::Centroids).unwrap();
    let values = centroids.column_by_name("value").unwrap().as_primitive::<Float64Type>();
    let id_of = ids[2];
    let place = (id_of - 1) as usize * 2;
    assert!((values.value(place) - 100.5).abs() < 0.2, "{centroids:?}");
    assert!((values.value(place + 1) + 100.0).abs() < 1e-9);
}

#[test]
fn columns_that_name_each_row_and_rare_categories_share_a_code() {
    let n = 400;
    let names: Vec<String> = (0..n).map(|row| format!("customer {row}")).collect();
    let x: Vec<f64> = (0..n).map(|row| uniform(row, 1)).collect();
    let label = |row: usize| if x[row] > 0.5 { "yes" } else { "no" };
    let batch = table(vec![
        ("customer", strings(names.iter().map(String::as_str))),
        ("x", floats(x.iter().copied())),
        ("y", strings((0..n).map(label))),
    ]);
    let trained = trained("random_forest_classifier", &[("input_label_cols", "y")], &batch);
    assert!(trained.metrics["accuracy"] > 0.95, "{:?}", trained.metrics);
    let importance = predictor(&trained).table(ModelTable::FeatureImportance).unwrap();
    assert_eq!(importance.column(0).as_string::<i32>().value(0), "x");
    assert_eq!(importance.column(1).as_primitive::<Float64Type>().value(1), 0.0);
    let info = predictor(&trained).table(ModelTable::FeatureInfo).unwrap();
    assert_eq!(info.column_by_name("category_count").unwrap().as_primitive::<Int64Type>().value(0), n as i64);
    // A customer that nobody has seen is no mistake.
    let new = table(vec![("customer", strings(["nobody"])), ("x", floats([0.9]))]);
    assert_eq!(predictions(predictor(&trained), &new)[0].as_string::<i32>().value(0), "yes");
}

#[test]
fn text_with_many_numbers_is_numbers_and_blanks_are_missing() {
    let n = 300;
    let texts: Vec<String> = (0..n).map(|row| if row % 50 == 0 { " ".to_owned() } else { format!("{}.5", row) }).collect();
    let batch = table(vec![("charges", strings(texts.iter().map(String::as_str))), ("y", floats((0..n).map(|row| row as f64 * 2.0)))]);
    let trained = trained("linear_reg", &[("input_label_cols", "y")], &batch);
    let info = predictor(&trained).table(ModelTable::FeatureInfo).unwrap();
    let number = |name: &str| info.column_by_name(name).unwrap().as_primitive::<Float64Type>().value(0);
    assert_eq!((number("min"), number("max")), (1.5, 299.5));
    assert_eq!(info.column_by_name("null_count").unwrap().as_primitive::<Int64Type>().value(0), 6);
    let new = table(vec![("charges", floats([100.5]))]);
    let predicted = predictions(predictor(&trained), &new)[0].as_primitive::<Float64Type>().value(0);
    assert!((predicted - 200.0).abs() < 5.0, "{predicted}");
    // Few different ones are codes.
    let codes = table(vec![("code", strings((0..n).map(|row| ["1", "2", "30"][row % 3]))), ("y", floats((0..n).map(|row| row as f64)))]);
    let coded = super::trained("linear_reg", &[("input_label_cols", "y")], &codes);
    let info = predictor(&coded).table(ModelTable::FeatureInfo).unwrap();
    assert_eq!(info.column_by_name("category_count").unwrap().as_primitive::<Int64Type>().value(0), 3);
}

#[test]
fn dates_and_times_are_numbers_of_days() {
    let n = 200i64;
    let times: ArrayRef = Arc::new((0..n).map(|row| Some(1_700_000_000_000 + row * 60_000)).collect::<TimestampMillisecondArray>());
    let dates: ArrayRef = Arc::new((0..n).map(|row| Some(row as i32 % 31)).collect::<Date32Array>());
    let flags: ArrayRef = Arc::new((0..n).map(|row| Some(row % 2 == 0)).collect::<BooleanArray>());
    let y = floats((0..n).map(|row| row as f64 + (row % 31) as f64 * 10.0 + if row % 2 == 0 { 5.0 } else { 0.0 }));
    let batch = table(vec![("time", times), ("date", dates), ("flag", flags), ("y", y)]);
    let trained = trained("linear_reg", &[("input_label_cols", "y")], &batch);
    let weights = predictor(&trained).table(ModelTable::Weights).unwrap();
    let inputs: Vec<Option<&str>> = weights.column_by_name("processed_input").unwrap().as_string::<i32>().iter().collect();
    assert_eq!(inputs, [Some("__INTERCEPT__"), Some("time"), Some("date"), Some("flag")]);
    let weight = weights.column_by_name("weight").unwrap().as_primitive::<Float64Type>();
    for (row, expected) in [(1, 1440.0), (2, 10.0), (3, 5.0)] {
        assert!((weight.value(row) - expected).abs() < 1e-6 * expected, "{weights:?}");
    }
}
