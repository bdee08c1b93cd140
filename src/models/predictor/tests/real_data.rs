//! The Telco churn and used-cars data; skipped where `WEIR_TEST_DATA` does not say where they are.

use super::*;
use datafusion::prelude::{CsvReadOptions, SessionContext};

/// A CSV file of the test data through SQL; `None` where there are none.
fn rows_of(files: &[(&str, &str)], sql: &str) -> Option<RecordBatch> {
    let Some(data) = std::env::var_os("WEIR_TEST_DATA").map(std::path::PathBuf::from) else {
        eprintln!("skipped: WEIR_TEST_DATA is not set");
        return None;
    };
    run(async {
        let context = SessionContext::new();
        for (name, file) in files {
            let path = data.join(file);
            context.register_csv(*name, path.to_str().unwrap(), CsvReadOptions::new()).await.unwrap();
        }
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        Some(concat_batches(&batches[0].schema(), &batches).unwrap())
    })
}

fn telco(columns: &str) -> Option<RecordBatch> {
    rows_of(&[("telco", "telco-churn/WA_Fn-UseC_-Telco-Customer-Churn.csv")], &format!("SELECT {columns} FROM telco"))
}

#[test]
fn telco_churn() {
    let Some(batch) = telco("*") else { return };
    assert_eq!(batch.num_rows(), 7043);
    let churn = ("input_label_cols", "Churn");
    /// Model type, options, the least AUC.
    type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, f64);
    let cases: Vec<Case<'_>> = vec![
        ("logistic_reg", vec![churn], 0.84),
        ("random_forest_classifier", vec![churn, ("max_tree_depth", "8")], 0.84),
        ("boosted_tree_classifier", vec![churn, ("max_tree_depth", "3")], 0.84),
        ("naive_bayes", vec![churn], 0.80),
    ];
    for (model_type, given, least) in cases {
        let mean = (1..=3).map(|seed| {
            let seed = seed.to_string();
            let given: Vec<(&str, &str)> = given.iter().copied().chain([("seed", seed.as_str())]).collect();
            let trained = trained(model_type, &given, &batch);
            // All columns but the label, also the one that names each customer.
            assert_eq!((trained.metrics["n_features"], trained.metrics["rows_eval"]), (20.0, 1409.0));
            trained.metrics["roc_auc"] / 3.0
        });
        let mean: f64 = mean.sum();
        println!("telco {model_type}: mean roc_auc {mean:.4}");
        assert!(mean > least, "{model_type}: {mean}");
    }
    // 11 customers have a blank for their charges.
    let trained = trained("logistic_reg", &[churn], &batch);
    let info = predictor(&trained).table(ModelTable::FeatureInfo).unwrap();
    let row = info.column(0).as_string::<i32>().iter().position(|name| name == Some("TotalCharges")).unwrap();
    assert_eq!(info.column_by_name("null_count").unwrap().as_primitive::<Int64Type>().value(row), 11);
    assert!((info.column_by_name("mean").unwrap().as_primitive::<Float64Type>().value(row) - 2283.30).abs() < 0.01);
    let balanced = super::trained("logistic_reg", &[churn, ("auto_class_weights", "true")], &batch);
    assert!(balanced.metrics["recall"] > trained.metrics["recall"] + 0.15);
}

#[test]
fn used_cars() {
    const BRANDS: [&str; 8] = ["audi", "bmw", "ford", "merc", "skoda", "toyota", "vauxhall", "vw"];
    let files: Vec<(String, String)> = BRANDS.iter().map(|brand| ((*brand).to_owned(), format!("used-cars/{brand}.csv"))).collect();
    let names: Vec<(&str, &str)> = files.iter().map(|(name, file)| (name.as_str(), file.as_str())).collect();
    let parts: Vec<String> = BRANDS.iter().map(|brand| format!("SELECT '{brand}' AS brand, * FROM {brand}")).collect();
    let Some(batch) = rows_of(&names, &parts.join(" UNION ALL ")) else { return };
    let price = ("input_label_cols", "price");
    let ridge = trained("linear_reg", &[price, ("l2_reg", "1")], &batch);
    println!("cars ridge: {:?}", ridge.metrics);
    assert!(ridge.metrics["r2_score"] > 0.83, "{:?}", ridge.metrics);
    let forest = trained("random_forest_regressor", &[price, ("max_tree_depth", "0"), ("num_parallel_tree", "10")], &batch);
    println!("cars forest: {:?}", forest.metrics);
    assert!(forest.metrics["r2_score"] > 0.94, "{:?}", forest.metrics);
    let poisson = trained("glm", &[price, ("family", "poisson")], &batch);
    assert!(poisson.metrics["r2_score"] > 0.8, "{:?}", poisson.metrics);
}

#[test]
fn one_row_is_predicted_in_much_less_than_a_millisecond() {
    let Some(batch) = telco("*") else { return };
    for (model_type, given) in [("logistic_reg", vec![]), ("random_forest_classifier", vec![("max_tree_depth", "8")])] {
        let given: Vec<(&str, &str)> = given.into_iter().chain([("input_label_cols", "Churn")]).collect();
        let trained = trained(model_type, &given, &batch);
        let model = predictor(&trained);
        let mut micros: Vec<u128> = (0..2000)
            .map(|row| {
                let one = batch.slice(row, 1);
                let start = std::time::Instant::now();
                predictions(model, &one);
                start.elapsed().as_micros()
            })
            .collect();
        micros.sort_unstable();
        let start = std::time::Instant::now();
        predictions(model, &batch);
        // Printed, not asserted: debug builds and busy machines are slow.
        println!("{model_type}: one row p50 {} us, p99 {} us; 7043 rows {:?}", micros[1000], micros[1980], start.elapsed());
    }
}
