//! From the directory of a stage to what it does: [`Part`].

use super::directory::{Place, Table};
use super::link::{Family, Link};
use super::model::{BayesKind, Decision, Model, Rule};
use super::params::{Invalid, Metadata};
use super::stage::{FeatureCategories, Op};
use super::tree::{self, Leaf, Trees};
use crate::error::{Code, Error, Result};
use crate::storage::durable;
use std::sync::Arc;

/// The packages whose classes are Spark's own.
const PACKAGE: &str = "org.apache.spark.ml.";

/// What a stage is to a pipeline.
#[derive(Debug)]
pub(super) enum Part {
    /// It computes columns from columns.
    Steps(Vec<StepSpec>),
    /// It predicts.
    Model(Box<ModelSpec>),
    /// IndexToString.
    Words { input: String, labels: Vec<String> },
    /// ALS, whose tables are read when it is the last stage.
    Recommender(Metadata),
    /// Nothing that we know; `outputs` are empty when they are not known either.
    Unknown { class: String, outputs: Vec<String> },
}

/// A step with the names of its columns.
#[derive(Debug, Clone)]
pub(super) struct StepSpec {
    pub op: Op,
    pub inputs: Vec<String>,
    pub output: String,
}

/// A model with the names of its columns.
#[derive(Debug)]
pub(super) struct ModelSpec {
    pub class: String,
    pub model: Model,
    pub goal: Goal,
    pub features: String,
    pub label: String,
    pub offset: Option<String>,
    pub prediction: String,
    /// All columns that it writes.
    pub outputs: Vec<String>,
}

/// What is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Number,
    Class,
    Cluster,
}

/// The stages and models that can be imported, for messages.
const SUPPORTED: &str = "Imported are pipelines of StringIndexer, OneHotEncoder, VectorAssembler, VectorIndexer, StandardScaler, MinMaxScaler, \
    MaxAbsScaler, RobustScaler, Normalizer, Imputer, Bucketizer, QuantileDiscretizer, Binarizer and IndexToString, with a model of linear, logistic \
    or generalised linear regression, a decision tree, a random forest, boosted trees, naive Bayes, k-means or ALS.";

/// The error for a class that cannot be imported.
pub(super) fn unsupported(place: &str, class: &str) -> Error {
    let error = Error::new(Code::NotSupported, format!("\"{place}\" is a {class}, which cannot be imported")).detail(SUPPORTED);
    let short = class.rsplit('.').next().unwrap_or(class);
    // Estimators: what is there before fit.
    match short {
        "Pipeline"
        | "CrossValidator"
        | "TrainValidationSplit"
        | "ALS"
        | "KMeans"
        | "StringIndexer"
        | "RandomForestClassifier"
        | "RandomForestRegressor"
        | "GBTClassifier"
        | "GBTRegressor"
        | "DecisionTreeClassifier"
        | "DecisionTreeRegressor"
        | "LinearRegression"
        | "LogisticRegression"
        | "GeneralizedLinearRegression"
        | "NaiveBayes" => error.hint("It was not trained: save what fit(..) gives."),
        _ => error,
    }
}

/// Reads a stage that is no pipeline.
///
/// # Errors
/// `DataCorrupted` naming the file.
pub(super) async fn part(place: Place<'_>, metadata: Metadata) -> Result<Part> {
    let unknown = |metadata: &Metadata| Part::Unknown {
        class: metadata.class.clone(),
        outputs: metadata.outputs().into_iter().map(str::to_owned).collect(),
    };
    if !metadata.class.starts_with(PACKAGE) {
        return Ok(unknown(&metadata));
    }
    let params = &metadata;
    Ok(match metadata.class_name() {
        "StringIndexerModel" => Part::Steps(string_indexer(&place.table("data").await?, params)?),
        "OneHotEncoderModel" => Part::Steps(one_hot(&place.table("data").await?, params)?),
        "VectorAssembler" => Part::Steps(assembler(params)?),
        "VectorIndexerModel" => Part::Steps(vector_indexer(&place.table("data").await?, params)?),
        "StandardScalerModel" => Part::Steps(standard_scaler(&place.table("data").await?, params)?),
        "MinMaxScalerModel" => Part::Steps(min_max_scaler(&place.table("data").await?, params)?),
        "MaxAbsScalerModel" => Part::Steps(max_abs_scaler(&place.table("data").await?, params)?),
        "RobustScalerModel" => Part::Steps(robust_scaler(&place.table("data").await?, params)?),
        "ImputerModel" => Part::Steps(imputer(&place.table("data").await?, params)?),
        "Normalizer" => Part::Steps(one_to_one(params, |_, _| Ok(Op::Normalize { p: params.number("p")?.unwrap_or(2.0) }))?),
        "Bucketizer" => Part::Steps(bucketizer(params)?),
        "Binarizer" => Part::Steps(binarizer(params)?),
        "IndexToString" => {
            Part::Words { input: params.required("inputCol")?.to_owned(), labels: params.texts("labels")?.unwrap_or_default() }
        }
        "ALSModel" => Part::Recommender(metadata),
        "LinearRegressionModel" | "GeneralizedLinearRegressionModel" => model(params, linear(&place.table("data").await?, params)?)?,
        "LogisticRegressionModel" => model(params, logistic(&place.table("data").await?, params)?)?,
        "NaiveBayesModel" => model(params, bayes(&place.table("data").await?, params)?)?,
        "KMeansModel" => model(params, clusters(&place.table("data").await?, params)?)?,
        name => match TREE_MODELS.iter().find(|known| known.class == name) {
            Some(known) => model(params, trees(place, params, known).await?)?,
            None => unknown(&metadata),
        },
    })
}

/// A step for each pair of columns.
fn one_to_one(params: &Metadata, op: impl Fn(usize, &str) -> Result<Op>) -> Result<Vec<StepSpec>> {
    let columns = params.columns()?.into_iter().enumerate();
    columns.map(|(place, (input, output))| Ok(StepSpec { op: op(place, &input)?, inputs: vec![input], output })).collect()
}

fn string_indexer(data: &Table, params: &Metadata) -> Result<Vec<StepSpec>> {
    // Spark 2 knew one column only.
    let labels = if data.has("labelsArray") { data.text_lists("labelsArray")? } else { vec![data.texts("labels")?] };
    let invalid = params.invalid()?;
    let of = |place: usize, input: &str| match labels.get(place) {
        Some(labels) => Ok(Op::Index { labels: labels.clone().into(), invalid }),
        None => Err(data.wrong(&format!("It has no labels for column \"{input}\"."))),
    };
    one_to_one(params, of)
}

fn one_hot(data: &Table, params: &Metadata) -> Result<Vec<StepSpec>> {
    let sizes = data.vector("categorySizes")?;
    let drop_last = params.flag("dropLast", true)?;
    let keep_invalid = params.invalid()? == Invalid::Keep;
    one_to_one(params, |place, input| match sizes.get(place) {
        Some(size) if (0.0..=super::FEATURES_MAX as f64).contains(size) => {
            Ok(Op::OneHot { n_categories: *size as u32, drop_last, keep_invalid })
        }
        _ => Err(data.wrong(&format!("It has no number of categories for column \"{input}\"."))),
    })
}

fn assembler(params: &Metadata) -> Result<Vec<StepSpec>> {
    let inputs = params.texts("inputCols")?.filter(|inputs| !inputs.is_empty());
    let inputs = inputs.ok_or_else(|| params.wrong("inputCols", "a list of texts"))?;
    Ok(vec![StepSpec { op: Op::Assemble { invalid: params.invalid()? }, inputs, output: params.required("outputCol")?.to_owned() }])
}

fn vector_indexer(data: &Table, params: &Metadata) -> Result<Vec<StepSpec>> {
    let n_features = count_of(data, "numFeatures")?;
    let mut categories = Vec::new();
    for (feature, entries) in data.category_maps("categoryMaps")? {
        let (values, indices) = entries.into_iter().unzip();
        categories.push(FeatureCategories { feature, values, indices });
    }
    categories.sort_by_key(|of| of.feature);
    let invalid = params.invalid()?;
    one_to_one(params, |_, _| Ok(Op::IndexVector { n_features, categories: categories.clone(), invalid }))
}

fn count_of(data: &Table, name: &str) -> Result<usize> {
    let count = data.number(name)?;
    if (0.0..=super::FEATURES_MAX as f64).contains(&count) {
        Ok(count as usize)
    } else {
        Err(data.wrong(&format!("Its \"{name}\" is {count}.")))
    }
}

/// A scaler with these numbers for each feature.
fn affine(data: &Table, params: &Metadata, parts: [Vec<f64>; 3]) -> Result<Vec<StepSpec>> {
    let [shift, scale, offset] = parts;
    if shift.len() != scale.len() || scale.len() != offset.len() || shift.is_empty() {
        return Err(data.wrong("Its vectors differ in length, or are empty."));
    }
    one_to_one(params, |_, _| Ok(Op::Affine { shift: shift.clone(), scale: scale.clone(), offset: offset.clone() }))
}

/// `1 / x`, and 0 for a feature that never varied.
fn inverse(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| if *value == 0.0 { 0.0 } else { 1.0 / value }).collect()
}

fn standard_scaler(data: &Table, params: &Metadata) -> Result<Vec<StepSpec>> {
    let (std, mean) = (data.vector("std")?, data.vector("mean")?);
    let zeros = vec![0.0; std.len()];
    let scale = if params.flag("withStd", true)? { inverse(&std) } else { vec![1.0; std.len()] };
    let shift = if params.flag("withMean", false)? { mean } else { zeros.clone() };
    affine(data, params, [shift, scale, zeros])
}

fn min_max_scaler(data: &Table, params: &Metadata) -> Result<Vec<StepSpec>> {
    let (low, high) = (data.vector("originalMin")?, data.vector("originalMax")?);
    let (to_low, to_high) = (params.number("min")?.unwrap_or(0.0), params.number("max")?.unwrap_or(1.0));
    let ranges: Vec<f64> = low.iter().zip(&high).map(|(low, high)| high - low).collect();
    let scale = ranges.iter().map(|range| if *range == 0.0 { 0.0 } else { (to_high - to_low) / range }).collect();
    // A feature that never varied goes to the middle.
    let offset = ranges.iter().map(|range| if *range == 0.0 { (to_low + to_high) / 2.0 } else { to_low }).collect();
    affine(data, params, [low, scale, offset])
}

fn max_abs_scaler(data: &Table, params: &Metadata) -> Result<Vec<StepSpec>> {
    let most = data.vector("maxAbs")?;
    let zeros = vec![0.0; most.len()];
    let scale = most.iter().map(|most| if *most == 0.0 { 1.0 } else { 1.0 / most }).collect();
    affine(data, params, [zeros.clone(), scale, zeros])
}

fn robust_scaler(data: &Table, params: &Metadata) -> Result<Vec<StepSpec>> {
    let (range, median) = (data.vector("range")?, data.vector("median")?);
    let zeros = vec![0.0; range.len()];
    let scale = if params.flag("withScaling", true)? { inverse(&range) } else { vec![1.0; range.len()] };
    let shift = if params.flag("withCentering", false)? { median } else { zeros.clone() };
    affine(data, params, [shift, scale, zeros])
}

fn imputer(data: &Table, params: &Metadata) -> Result<Vec<StepSpec>> {
    let missing = params.number("missingValue")?.unwrap_or(f64::NAN);
    one_to_one(params, |_, input| Ok(Op::Impute { missing, surrogate: data.number(input)? }))
}

fn bucketizer(params: &Metadata) -> Result<Vec<StepSpec>> {
    let invalid = params.invalid()?;
    let lists = match params.number_lists("splitsArray")? {
        Some(lists) => lists,
        None => vec![params.numbers("splits")?.ok_or_else(|| params.wrong("splits", "a list of numbers"))?],
    };
    let is_rising = |splits: &Vec<f64>| splits.len() > 1 && splits.windows(2).all(|pair| pair[0] < pair[1]);
    one_to_one(params, |place, _| match lists.get(place).filter(|splits| is_rising(splits)) {
        Some(splits) => Ok(Op::Bucket { splits: splits.clone(), invalid }),
        None => Err(params.wrong("splits", "a list of rising numbers for each column")),
    })
}

fn binarizer(params: &Metadata) -> Result<Vec<StepSpec>> {
    let many = params.numbers("thresholds")?;
    let one = params.number("threshold")?.unwrap_or(0.0);
    one_to_one(params, |place, _| {
        let threshold = many.as_ref().map_or(Some(one), |many| many.get(place).copied());
        Ok(Op::Binarize { threshold: threshold.ok_or_else(|| params.wrong("thresholds", "a number for each column"))? })
    })
}

/// The columns of a model.
fn model(params: &Metadata, model: Model) -> Result<Part> {
    let column = |name: &str, default: &str| -> Result<String> { Ok(params.text(name)?.unwrap_or(default).to_owned()) };
    if !model.is_whole() {
        let error = Error::new(Code::DataCorrupted, format!("the parts of the model of file \"{}\" do not fit together", params.file));
        return Err(error.hint("Save the model again with Spark."));
    }
    let goal = match &model {
        Model::Linear { .. } | Model::Trees { rule: Rule::Mean | Rule::Sum, .. } => Goal::Number,
        Model::Logistic { .. } | Model::Trees { .. } | Model::Bayes { .. } => Goal::Class,
        Model::Clusters { .. } => Goal::Cluster,
    };
    let mut outputs = vec![column("predictionCol", "prediction")?];
    for name in ["rawPredictionCol", "probabilityCol", "linkPredictionCol", "leafCol"] {
        outputs.extend(params.text(name)?.filter(|name| !name.is_empty()).map(str::to_owned));
    }
    Ok(Part::Model(Box::new(ModelSpec {
        class: params.class_name().to_owned(),
        goal,
        features: column("featuresCol", "features")?,
        label: column("labelCol", "label")?,
        offset: params.text("offsetCol")?.filter(|name| !name.is_empty()).map(str::to_owned),
        prediction: outputs[0].clone(),
        outputs,
        model,
    })))
}

fn linear(data: &Table, params: &Metadata) -> Result<Model> {
    let (coefficients, intercept) = (data.vector("coefficients")?, data.number("intercept")?);
    let (mut family, mut link) = (Family::Any, Link::Identity);
    if params.class_name() == "GeneralizedLinearRegressionModel" {
        let name = params.text("family")?.unwrap_or("gaussian");
        let variance_power = params.number("variancePower")?.unwrap_or(0.0);
        family = Family::of_name(name, variance_power).ok_or_else(|| params.wrong("family", "a family of Spark 4"))?;
        link = if name.eq_ignore_ascii_case("tweedie") {
            Link::of_power(params.number("linkPower")?.unwrap_or(1.0 - variance_power))
        } else {
            let link = match params.text("link")? {
                Some(link) => Link::of_name(link),
                None => Link::of_family(name),
            };
            link.ok_or_else(|| params.wrong("link", "a link of Spark 4"))?
        };
    }
    finite(data, &coefficients)?;
    Ok(Model::Linear { coefficients, intercept, family, link })
}

fn finite(data: &Table, values: &[f64]) -> Result<()> {
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(data.wrong("A coefficient is NaN or infinite.")),
    }
}

/// `thresholds`, or the decision of the class.
fn decision(params: &Metadata, otherwise: Decision) -> Result<Decision> {
    Ok(params.numbers("thresholds")?.map_or(otherwise, Decision::Thresholds))
}

fn logistic(data: &Table, params: &Metadata) -> Result<Model> {
    let (matrix, intercepts) = (data.matrix("coefficientMatrix")?, data.vector("interceptVector")?);
    finite(data, &matrix.values)?;
    if matrix.n_rows != intercepts.len() {
        return Err(data.wrong("It has another number of intercepts than of rows of coefficients."));
    }
    let decision = if data.flag("isMultinomial")? {
        decision(params, Decision::Argmax)?
    } else {
        Decision::Above(match params.numbers("thresholds")?.as_deref() {
            Some([first, second]) => 1.0 / (1.0 + first / second),
            _ => params.number("threshold")?.unwrap_or(0.5),
        })
    };
    Ok(Model::Logistic { n_features: matrix.n_columns, coefficients: matrix.values, intercepts, decision })
}

fn bayes(data: &Table, params: &Metadata) -> Result<Model> {
    let kind = match params.text("modelType")?.unwrap_or("multinomial") {
        "multinomial" => BayesKind::Multinomial,
        "bernoulli" => BayesKind::Bernoulli,
        "gaussian" => BayesKind::Gaussian,
        "complement" => BayesKind::Complement,
        _ => return Err(params.wrong("modelType", "multinomial, bernoulli, gaussian or complement")),
    };
    let theta = data.matrix("theta")?;
    let sigma = if kind == BayesKind::Gaussian { data.matrix("sigma")?.values } else { Vec::new() };
    finite(data, &theta.values)?;
    let decision = decision(params, Decision::Argmax)?;
    Ok(Model::Bayes { n_features: theta.n_columns, kind, priors: data.vector("pi")?, theta: theta.values, sigma, decision })
}

fn clusters(data: &Table, params: &Metadata) -> Result<Model> {
    let (ids, vectors) = (data.integers("clusterIdx")?, data.vectors("clusterCenter")?);
    let mut centres: Vec<(i32, Vec<f64>)> = ids.values().iter().copied().zip(vectors).collect();
    centres.sort_by_key(|(id, _)| *id);
    if centres.iter().zip(0..).any(|((id, _), place)| *id != place) {
        return Err(data.wrong("Its clusters are not numbered from 0."));
    }
    let centres: Vec<Vec<f64>> = centres.into_iter().map(|(_, centre)| centre).collect();
    centres.iter().try_for_each(|centre| finite(data, centre))?;
    let is_cosine = params.text("distanceMeasure")?.is_some_and(|measure| measure.eq_ignore_ascii_case("cosine"));
    Ok(Model::Clusters { n_features: centres.first().map_or(0, Vec::len), centres, is_cosine })
}

/// A class of trees.
struct TreeModel {
    class: &'static str,
    leaf: Leaf,
    rule: Rule,
    is_ensemble: bool,
}

const TREE_MODELS: &[TreeModel] = &[
    TreeModel { class: "DecisionTreeClassificationModel", leaf: Leaf::Shares, rule: Rule::Votes, is_ensemble: false },
    TreeModel { class: "DecisionTreeRegressionModel", leaf: Leaf::Prediction, rule: Rule::Mean, is_ensemble: false },
    TreeModel { class: "RandomForestClassificationModel", leaf: Leaf::Shares, rule: Rule::Votes, is_ensemble: true },
    TreeModel { class: "RandomForestRegressionModel", leaf: Leaf::Prediction, rule: Rule::Mean, is_ensemble: true },
    TreeModel { class: "GBTClassificationModel", leaf: Leaf::Prediction, rule: Rule::Margin, is_ensemble: true },
    TreeModel { class: "GBTRegressionModel", leaf: Leaf::Prediction, rule: Rule::Sum, is_ensemble: true },
];

async fn trees(place: Place<'_>, params: &Metadata, known: &TreeModel) -> Result<Model> {
    let n_features = params.count("numFeatures")?.filter(|n| *n <= super::FEATURES_MAX);
    let n_features = n_features.ok_or_else(|| params.wrong("numFeatures", "the number of features"))?;
    let width = match known.leaf {
        Leaf::Prediction => 1,
        Leaf::Shares => params.count("numClasses")?.ok_or_else(|| params.wrong("numClasses", "the number of classes"))?,
    };
    let data = place.table("data").await?;
    let (leaf, rows, file) = (known.leaf, data.rows, data.file);
    let built = durable::blocking(move || -> Result<_, String> {
        let read = tree::spark_rows(&rows, leaf, n_features)?;
        Ok((Trees::from_rows(&read.trees, n_features, width)?, read.importances))
    });
    let (trees, importances) = built.await.map_err(|what| super::directory::damaged(&file, &what))?;
    let weights = if known.is_ensemble { tree_weights(&place.table("treesMetadata").await?)? } else { vec![1.0] };
    if weights.len() != trees.n_trees() || params.count("numTrees")?.is_some_and(|n| n != weights.len()) {
        let what = format!("It has {} trees, their metadata tell of {}.", trees.n_trees(), weights.len());
        return Err(super::directory::damaged(&file, &what));
    }
    let decision = decision(params, Decision::Argmax)?;
    Ok(Model::Trees { n_features, width, rule: known.rule, weights, decision, importances, trees: Some(Arc::new(trees)) })
}

/// The weights of the trees by number: columns (treeID, metadata, weights), which Spark 4 calls (_1, _2, _3).
fn tree_weights(table: &Table) -> Result<Vec<f64>> {
    let named = |names: [&str; 2]| names.into_iter().find(|name| table.has(name)).unwrap_or(names[0]).to_owned();
    let ids = table.integers(&named(["treeID", "_1"]))?;
    let weights = table.numbers(&named(["weights", "_3"]))?;
    let mut weights: Vec<(i32, f64)> = ids.values().iter().copied().zip(weights.values().iter().copied()).collect();
    weights.sort_by_key(|(id, _)| *id);
    let weights: Vec<f64> = weights.into_iter().map(|(_, weight)| weight).collect();
    finite(table, &weights)?;
    Ok(weights)
}
