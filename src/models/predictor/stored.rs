//! A model of our own as files: JSON for what is small, Parquet for trees, one row per node.

use super::algorithm::Algorithm;
use super::features::Feature;
use super::trained::TrainedPredictor;
use crate::error::Result;
use crate::models::artefact::{Files, Parts, parquet_file, unwritable};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, ListArray, RecordBatch, UInt32Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{ArrowPrimitiveType, Field, Float64Type, Int32Type, UInt32Type};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use weir_ml::tree::boost::{Boosted, Objective};
use weir_ml::tree::forest::{Forest, ForestKind};
use weir_ml::tree::model::{NodeSpec, Rule, SplitSpec, Tree};

/// The nodes of all trees: `left` and `right` are nodes of the same tree, -1 for a leaf; a row goes left when its
/// value is at most `threshold` or among `left_categories`.
const TREES: &str = "trees.parquet";

/// The learner's part of the manifest.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    features: Vec<Feature>,
    class_names: Vec<String>,
    is_label_encoded: bool,
    algorithm: AlgorithmManifest,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AlgorithmManifest {
    Forest { kind: ForestKind, n_features: usize, tree_weights: Vec<f64> },
    Boosted { objective: Objective, n_features: usize, base: Vec<f64>, tree_weights: Vec<f64> },
    Small(Algorithm),
}

/// What is written of a model.
pub(super) fn write(model: &TrainedPredictor) -> Result<Parts> {
    let (algorithm, files) = match &model.algorithm {
        Algorithm::Forest(forest) => {
            let tree_weights = forest.tree_weights().to_vec();
            let header = AlgorithmManifest::Forest { kind: forest.kind(), n_features: forest.n_features(), tree_weights };
            (header, vec![(TREES, trees_file(forest.trees())?)])
        }
        Algorithm::Boosted(boosted) => {
            let (base, tree_weights) = (boosted.base().to_vec(), boosted.tree_weights().to_vec());
            let n_features = boosted.n_features();
            let header = AlgorithmManifest::Boosted { objective: boosted.objective(), n_features, base, tree_weights };
            (header, vec![(TREES, trees_file(boosted.trees())?)])
        }
        small => (AlgorithmManifest::Small(small.clone()), Vec::new()),
    };
    let manifest = Manifest {
        features: model.features.clone(),
        class_names: model.class_names.clone(),
        is_label_encoded: model.is_label_encoded,
        algorithm,
    };
    Ok(Parts { manifest: serde_json::to_value(&manifest).map_err(unwritable)?, files })
}

/// Reads what [`write`] wrote; `None` when the parts do not fit together.
pub(super) fn read(manifest: Value, files: &Files) -> Result<Option<TrainedPredictor>> {
    let Ok(manifest) = serde_json::from_value::<Manifest>(manifest) else { return Ok(None) };
    let algorithm = match manifest.algorithm {
        AlgorithmManifest::Forest { kind, n_features, tree_weights } => {
            let Some(trees) = trees_of(&files.parquet(TREES)?) else { return Ok(None) };
            Forest::from_trees(kind, n_features, trees, tree_weights).map(Algorithm::Forest)
        }
        AlgorithmManifest::Boosted { objective, n_features, base, tree_weights } => {
            let Some(trees) = trees_of(&files.parquet(TREES)?) else { return Ok(None) };
            Boosted::from_trees(objective, n_features, base, trees, tree_weights).map(Algorithm::Boosted)
        }
        AlgorithmManifest::Small(small) => Ok(small),
    };
    Ok(algorithm.ok().map(|algorithm| TrainedPredictor::new(manifest.features, manifest.class_names, manifest.is_label_encoded, algorithm)))
}

/// The columns of [`TREES`].
fn trees_file(trees: &[Tree]) -> Result<Vec<u8>> {
    let specs: Vec<Vec<NodeSpec>> = trees.iter().map(Tree::to_nodes).collect();
    let nodes = || specs.iter().flatten();
    let split = |of: fn(&SplitSpec) -> i32| nodes().map(|node| node.split.as_ref().map_or(-1, of)).collect::<Int32Array>();
    let threshold = |split: &SplitSpec| if let Rule::AtMost(threshold) = split.rule { threshold } else { f64::NAN };
    let categories = |node: &NodeSpec| match node.split.as_ref().map(|split| &split.rule) {
        Some(Rule::Categories { left, .. }) => left.clone(),
        _ => Vec::new(),
    };
    let others_left =
        |node: &NodeSpec| matches!(node.split.as_ref().map(|split| &split.rule), Some(Rule::Categories { others_left: true, .. }));
    let number = |of: fn(&NodeSpec) -> f64| -> ArrayRef { Arc::new(nodes().map(|node| Some(of(node))).collect::<Float64Array>()) };
    let numbered = || specs.iter().zip(0u32..).flat_map(|(nodes, tree)| (0..nodes.len() as u32).map(move |node| (tree, node)));
    let left_categories = lists(nodes().map(|node| categories(node).len()), UInt32Array::from_iter_values(nodes().flat_map(categories)))?;
    let values =
        lists(nodes().map(|node| node.values.len()), Float64Array::from_iter_values(nodes().flat_map(|node| node.values.clone())))?;
    parquet_file(vec![
        ("tree", Arc::new(UInt32Array::from_iter_values(numbered().map(|(tree, _)| tree)))),
        ("node", Arc::new(UInt32Array::from_iter_values(numbered().map(|(_, node)| node)))),
        ("feature", Arc::new(split(|split| split.feature.cast_signed()))),
        ("threshold", Arc::new(nodes().map(|node| Some(node.split.as_ref().map_or(f64::NAN, threshold))).collect::<Float64Array>())),
        ("left_categories", left_categories),
        (
            "n_categories",
            Arc::new(split(|split| match split.rule {
                Rule::AtMost(_) => -1,
                Rule::Categories { n_categories, .. } => n_categories.cast_signed(),
            })),
        ),
        ("others_left", Arc::new(nodes().map(|node| Some(others_left(node))).collect::<BooleanArray>())),
        (
            "missing_left",
            Arc::new(nodes().map(|node| Some(node.split.as_ref().is_some_and(|split| split.missing_left))).collect::<BooleanArray>()),
        ),
        ("left", Arc::new(split(|split| split.left.cast_signed()))),
        ("right", Arc::new(split(|split| split.right.cast_signed()))),
        ("values", values),
        ("impurity", number(|node| node.impurity)),
        ("gain", number(|node| node.gain)),
        ("weight", number(|node| node.weight)),
    ])
}

fn lists(lengths: impl IntoIterator<Item = usize>, values: impl Array + 'static) -> Result<ArrayRef> {
    let field = Arc::new(Field::new("element", values.data_type().clone(), false));
    let lists = ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), Arc::new(values), None);
    lists.map(|lists| Arc::new(lists) as ArrayRef).map_err(unwritable)
}

/// The trees of [`TREES`]; `None` when the columns are not those.
fn trees_of(rows: &RecordBatch) -> Option<Vec<Tree>> {
    fn column<'a, T: ArrowPrimitiveType>(rows: &'a RecordBatch, name: &str) -> Option<&'a [T::Native]> {
        rows.column_by_name(name)?.as_primitive_opt::<T>().map(|array| array.values().as_ref())
    }
    let list = |name: &str| rows.column_by_name(name)?.as_list_opt::<i32>().cloned();
    let flag = |name: &str| rows.column_by_name(name)?.as_boolean_opt().cloned();
    let (tree, feature) = (column::<UInt32Type>(rows, "tree")?, column::<Int32Type>(rows, "feature")?);
    let (left, right) = (column::<Int32Type>(rows, "left")?, column::<Int32Type>(rows, "right")?);
    let (threshold, n_categories) = (column::<Float64Type>(rows, "threshold")?, column::<Int32Type>(rows, "n_categories")?);
    let (impurity, gain) = (column::<Float64Type>(rows, "impurity")?, column::<Float64Type>(rows, "gain")?);
    let weight = column::<Float64Type>(rows, "weight")?;
    let (values, left_categories) = (list("values")?, list("left_categories")?);
    let (others_left, missing_left) = (flag("others_left")?, flag("missing_left")?);
    let mut trees = Vec::new();
    let mut nodes: Vec<NodeSpec> = Vec::new();
    for row in 0..rows.num_rows() {
        let split = if left[row] < 0 {
            None
        } else {
            let rule = match u32::try_from(n_categories[row]) {
                Err(_) => Rule::AtMost(threshold[row]),
                Ok(n_categories) => {
                    let left = left_categories.value(row).as_primitive_opt::<UInt32Type>()?.values().to_vec();
                    Rule::Categories { left, n_categories, others_left: others_left.value(row) }
                }
            };
            let place = |place: i32| u32::try_from(place).ok();
            let missing_left = missing_left.value(row);
            Some(SplitSpec { feature: place(feature[row])?, rule, missing_left, left: place(left[row])?, right: place(right[row])? })
        };
        let values = values.value(row).as_primitive_opt::<Float64Type>()?.values().to_vec();
        nodes.push(NodeSpec { split, values, impurity: impurity[row], gain: gain[row], weight: weight[row] });
        if tree.get(row + 1) != Some(&tree[row]) {
            trees.push(Tree::from_nodes(std::mem::take(&mut nodes)).ok()?);
        }
    }
    Some(trees)
}
