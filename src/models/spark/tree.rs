//! Spark's decision trees: one table of nodes for all trees of a model, walked as Spark walks them.
//!
//! ```text
//! Spark's rows (treeID, node) ─► NodeRow ─► Trees: 16 bytes a node, the left child is the next one
//!                                  ▲  │
//!          spark_trees.parquet ────┘  └───► spark_trees.parquet
//! ```

use crate::error::Result;
use crate::models::artefact::{parquet_file, unwritable};
use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, Int32Array, LargeListArray, RecordBatch, UInt32Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Int32Type, UInt32Type};
use std::sync::Arc;

use super::cells;

/// A node as Spark stores it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct NodeRow {
    /// The numbers of the children in the tree; -1 for a leaf.
    pub left: i32,
    pub right: i32,
    pub feature: i32,
    /// -1 when the split is a threshold.
    pub n_categories: i32,
    /// The threshold, or the categories that go left.
    pub split: Vec<f64>,
    /// What a leaf says: [`Trees::width`] numbers. Empty for inner nodes.
    pub values: Vec<f64>,
}

/// All trees of a model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trees {
    n_features: usize,
    width: usize,
    roots: Vec<u32>,
    nodes: Vec<Node>,
    /// [`Trees::width`] numbers for each leaf.
    values: Vec<f64>,
    /// Sets of categories, 64 to a word.
    words: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    /// [`LEAF`], or the feature, with [`CATEGORIES`].
    feature: u32,
    /// The right child; the number of the leaf.
    right: u32,
    /// The bits of the threshold; of categories: first word, number, and whether other values go left.
    payload: u64,
}

const CATEGORIES: u32 = 1 << 31;
const LEAF: u32 = u32::MAX;
const CATEGORIES_MAX: i32 = 1 << 24;

impl Trees {
    /// Builds the trees; the first row of each is its root.
    ///
    /// # Errors
    /// A sentence saying what is wrong.
    pub fn from_rows(trees: &[Vec<NodeRow>], n_features: usize, width: usize) -> Result<Self, String> {
        let mut built = Self { n_features, width, roots: Vec::new(), nodes: Vec::new(), values: Vec::new(), words: Vec::new() };
        let n_nodes: usize = trees.iter().map(Vec::len).sum();
        if trees.is_empty() || width == 0 || n_features > super::FEATURES_MAX || n_nodes >= LEAF as usize {
            return Err("It has no trees, or too many nodes.".into());
        }
        built.nodes.reserve_exact(n_nodes);
        for (number, rows) in trees.iter().enumerate() {
            built.push(rows).map_err(|what| format!("Tree {number} {what}."))?;
        }
        Ok(built)
    }

    fn push(&mut self, rows: &[NodeRow]) -> Result<(), String> {
        self.roots.push(self.nodes.len() as u32);
        let begin = self.nodes.len();
        let mut is_placed = vec![false; rows.len()];
        // A row, and the node whose right child it is.
        let mut pending = vec![(0usize, None::<usize>)];
        while let Some((place, parent)) = pending.pop() {
            let row = rows.get(place).ok_or_else(|| format!("has a child {place} that is not there"))?;
            if std::mem::replace(&mut is_placed[place], true) {
                return Err(format!("is no tree: two nodes lead to node {place}"));
            }
            let at = self.nodes.len();
            if let Some(parent) = parent {
                self.nodes[parent].right = at as u32;
            }
            if row.left < 0 {
                if row.values.len() != self.width || row.values.iter().any(|value| !value.is_finite()) {
                    return Err(format!("has {} values in leaf {place} instead of {} finite ones", row.values.len(), self.width));
                }
                self.nodes.push(Node { feature: LEAF, right: (self.values.len() / self.width) as u32, payload: 0 });
                self.values.extend_from_slice(&row.values);
                continue;
            }
            let node = self.split(row).map_err(|what| format!("has {what} in node {place}"))?;
            self.nodes.push(node);
            let right = usize::try_from(row.right).map_err(|_| format!("has no right child in node {place}"))?;
            pending.push((right, Some(at)));
            pending.push((row.left as usize, None));
        }
        if self.nodes.len() - begin != rows.len() {
            return Err("has nodes that are not reached from its root".into());
        }
        Ok(())
    }

    fn split(&mut self, row: &NodeRow) -> Result<Node, String> {
        let feature = usize::try_from(row.feature).ok().filter(|feature| *feature < self.n_features);
        let feature = feature.ok_or_else(|| format!("feature {} of {}", row.feature, self.n_features))? as u32;
        if row.n_categories < 0 {
            return match row.split.as_slice() {
                [threshold] if !threshold.is_nan() => Ok(Node { feature, right: 0, payload: threshold.to_bits() }),
                _ => Err("no threshold".into()),
            };
        }
        if row.n_categories > CATEGORIES_MAX {
            return Err("too many categories".into());
        }
        let first_word = self.words.len();
        self.words.resize(first_word + (row.n_categories as usize).div_ceil(64), 0);
        for value in &row.split {
            if value.fract() != 0.0 || !(0.0..f64::from(row.n_categories)).contains(value) {
                return Err(format!("the category {value} of {}", row.n_categories));
            }
            let code = *value as usize;
            self.words[first_word + code / 64] |= 1 << (code % 64);
        }
        // Spark keeps the smaller half of the categories and asks whether a value is in it: a value that is no
        // category goes to the other side.
        let others_left = row.split.len() > row.n_categories as usize / 2;
        let payload = (first_word as u64) << 32 | (row.n_categories as u64) << 1 | u64::from(others_left);
        if first_word > u32::MAX as usize {
            return Err("too many categories".into());
        }
        Ok(Node { feature: feature | CATEGORIES, right: 0, payload })
    }

    /// The number of trees.
    pub fn n_trees(&self) -> usize {
        self.roots.len()
    }

    /// The number of features.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// The numbers of a leaf.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.nodes.len() * size_of::<Node>() + (self.values.len() + self.words.len()) * 8 + self.roots.len() * 4
    }

    /// What a tree says of a row of [`Trees::n_features`] values.
    #[inline]
    pub fn leaf(&self, tree: usize, row: &[f64]) -> &[f64] {
        let mut at = self.roots[tree] as usize;
        loop {
            let node = &self.nodes[at];
            if node.feature == LEAF {
                return &self.values[node.right as usize * self.width..][..self.width];
            }
            let value = row[(node.feature & !CATEGORIES) as usize];
            let goes_left = if node.feature & CATEGORIES == 0 {
                // NaN goes right.
                value <= f64::from_bits(node.payload)
            } else {
                self.is_left(node.payload, value)
            };
            at = if goes_left { at + 1 } else { node.right as usize };
        }
    }

    fn is_left(&self, payload: u64, value: f64) -> bool {
        let n_categories = (payload as u32) >> 1;
        if value >= 0.0 && value < f64::from(n_categories) && value.fract() == 0.0 {
            let code = value as usize;
            self.words[(payload >> 32) as usize + code / 64] >> (code % 64) & 1 == 1
        } else {
            payload & 1 == 1
        }
    }

    /// The nodes of a tree, parents before children.
    fn rows(&self, tree: usize) -> Vec<NodeRow> {
        let begin = self.roots[tree] as usize;
        let end = self.roots.get(tree + 1).map_or(self.nodes.len(), |end| *end as usize);
        let row = |at: usize| {
            let node = &self.nodes[at];
            if node.feature == LEAF {
                let values = self.values[node.right as usize * self.width..][..self.width].to_vec();
                return NodeRow { left: -1, right: -1, feature: -1, n_categories: -1, split: Vec::new(), values };
            }
            let (n_categories, split) = if node.feature & CATEGORIES == 0 {
                (-1, vec![f64::from_bits(node.payload)])
            } else {
                let n_categories = (node.payload as u32) >> 1;
                let left = (0..n_categories).map(f64::from).filter(|code| self.is_left(node.payload, *code)).collect();
                (n_categories as i32, left)
            };
            let local = |at: usize| (at - begin) as i32;
            let feature = (node.feature & !CATEGORIES) as i32;
            NodeRow { left: local(at + 1), right: local(node.right as usize), feature, n_categories, split, values: Vec::new() }
        };
        (begin..end).map(row).collect()
    }

    /// All nodes as a Parquet file.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn write(&self) -> Result<Vec<u8>> {
        let rows: Vec<Vec<NodeRow>> = (0..self.n_trees()).map(|tree| self.rows(tree)).collect();
        let trees: UInt32Array = rows.iter().zip(0u32..).flat_map(|(rows, tree)| std::iter::repeat_n(tree, rows.len())).map(Some).collect();
        let nodes: UInt32Array = rows.iter().flat_map(|rows| 0..rows.len() as u32).map(Some).collect();
        let rows: Vec<NodeRow> = rows.into_iter().flatten().collect();
        let integers = |of: fn(&NodeRow) -> i32| Arc::new(rows.iter().map(|row| Some(of(row))).collect::<Int32Array>()) as ArrayRef;
        parquet_file(vec![
            ("tree", Arc::new(trees)),
            ("node", Arc::new(nodes)),
            ("left_child", integers(|row| row.left)),
            ("right_child", integers(|row| row.right)),
            ("feature", integers(|row| row.feature)),
            ("n_categories", integers(|row| row.n_categories)),
            ("left_categories_or_threshold", lists(rows.iter().map(|row| row.split.as_slice()))?),
            ("leaf_values", lists(rows.iter().map(|row| row.values.as_slice()))?),
        ])
    }

    /// Reads what [`Trees::write`] wrote; `None` when it is something else.
    pub fn read(batch: &RecordBatch, n_features: usize, width: usize) -> Option<Self> {
        let trees = batch.column_by_name("tree")?.as_primitive_opt::<UInt32Type>()?;
        let integers = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<Int32Type>();
        let (left, right, feature) = (integers("left_child")?, integers("right_child")?, integers("feature")?);
        let n_categories = integers("n_categories")?;
        let lists = |name: &str| batch.column_by_name(name)?.as_list_opt::<i64>();
        let (splits, values) = (lists("left_categories_or_threshold")?, lists("leaf_values")?);
        let numbers = |lists: &LargeListArray, row: usize| Some(lists.value(row).as_primitive_opt::<Float64Type>()?.values().to_vec());
        let mut rows: Vec<Vec<NodeRow>> = Vec::new();
        for place in 0..batch.num_rows() {
            let tree = trees.value(place) as usize;
            if tree == rows.len() {
                rows.push(Vec::new());
            }
            if tree + 1 != rows.len() {
                return None;
            }
            rows.last_mut()?.push(NodeRow {
                left: left.value(place),
                right: right.value(place),
                feature: feature.value(place),
                n_categories: n_categories.value(place),
                split: numbers(splits, place)?,
                values: numbers(values, place)?,
            });
        }
        Self::from_rows(&rows, n_features, width).ok()
    }
}

fn lists<'a>(lists: impl Iterator<Item = &'a [f64]> + Clone) -> Result<ArrayRef> {
    let values: Float64Array = lists.clone().flatten().copied().map(Some).collect();
    let field = Arc::new(Field::new("element", DataType::Float64, false));
    let lists = LargeListArray::try_new(field, OffsetBuffer::from_lengths(lists.map(<[f64]>::len)), Arc::new(values), None);
    lists.map(|lists| Arc::new(lists) as ArrayRef).map_err(unwritable)
}

/// The nodes of all trees in Spark's tables, and what the training rows made of the features.
#[derive(Debug)]
pub(super) struct SparkTrees {
    pub trees: Vec<Vec<NodeRow>>,
    /// Spark's `featureImportances`: gain times rows, of each tree scaled to 1, summed, scaled to 1.
    pub importances: Vec<f64>,
}

/// Which numbers of a node a leaf keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    /// `prediction`.
    Prediction,
    /// `impurityStats` divided by their sum: the shares of the classes.
    Shares,
}

/// Reads rows of `(treeID, nodeData)` or, of a single tree, of the parts of `nodeData`.
///
/// # Errors
/// A sentence saying what is wrong.
pub(super) fn spark_rows(rows: &RecordBatch, leaf: Leaf, n_features: usize) -> Result<SparkTrees, String> {
    let missing = |name: &str| format!("Its column \"{name}\" is missing or of another type.");
    let data = rows.column_by_name("nodeData");
    let part = |name: &str| match data {
        Some(data) => cells::field(data, name).cloned(),
        None => rows.column_by_name(name).cloned(),
    };
    let column = |name: &str| part(name).ok_or_else(|| missing(name));
    let integers = |name: &str| cells::integers(&column(name)?).ok_or_else(|| missing(name));
    let numbers = |name: &str| cells::numbers(&column(name)?).ok_or_else(|| missing(name));
    let tree_ids = match rows.column_by_name("treeID").or_else(|| rows.column_by_name("treeId")) {
        Some(ids) => Some(cells::integers(ids).ok_or_else(|| missing("treeID"))?),
        None => None,
    };
    let (ids, left, right) = (integers("id")?, integers("leftChild")?, integers("rightChild")?);
    let (predictions, gains) = (numbers("prediction")?, numbers("gain")?);
    let (stats, split) = (column("impurityStats")?, column("split")?);
    let of_split = |name: &str| cells::field(&split, name).ok_or_else(|| missing(name));
    let feature = cells::integers(of_split("featureIndex")?).ok_or_else(|| missing("featureIndex"))?;
    let n_categories = cells::integers(of_split("numCategories")?).ok_or_else(|| missing("numCategories"))?;
    let thresholds = of_split("leftCategoriesOrThreshold")?;
    let mut order: Vec<usize> = (0..rows.num_rows()).collect();
    let tree_of = |row: usize| tree_ids.as_ref().map_or(0, |ids| ids.value(row));
    // The files hold the nodes of all trees in any order.
    order.sort_unstable_by_key(|row| (tree_of(*row), ids.value(*row)));
    let mut read = SparkTrees { trees: Vec::new(), importances: vec![0.0; n_features] };
    let (mut last_tree, mut of_tree) = (None, vec![0.0; n_features]);
    for row in order {
        if last_tree != Some(tree_of(row)) {
            last_tree = Some(tree_of(row));
            read.trees.push(Vec::new());
            add_scaled(&mut read.importances, &mut of_tree);
        }
        let tree = read.trees.last_mut().ok_or("It has no trees.")?;
        if ids.value(row) as usize != tree.len() {
            return Err(format!("Tree {} has no node {}.", tree_of(row), tree.len()));
        }
        let stats = cells::number_list(&stats, row).ok_or_else(|| missing("impurityStats"))?;
        let is_leaf = left.value(row) < 0;
        let total: f64 = stats.iter().sum();
        if let (false, Some(of_feature)) = (is_leaf, of_tree.get_mut(feature.value(row) as usize)) {
            // Of classes the statistics are counts; of numbers the first one is the count.
            let count = if leaf == Leaf::Shares { total } else { stats.first().copied().unwrap_or(0.0) };
            *of_feature += gains.value(row) * count;
        }
        let values = match leaf {
            _ if !is_leaf => Vec::new(),
            Leaf::Prediction => vec![predictions.value(row)],
            Leaf::Shares if total == 0.0 => stats,
            Leaf::Shares => stats.iter().map(|count| count / total).collect(),
        };
        let split =
            if is_leaf { Vec::new() } else { cells::number_list(thresholds, row).ok_or_else(|| missing("leftCategoriesOrThreshold"))? };
        tree.push(NodeRow {
            left: left.value(row),
            right: right.value(row),
            feature: feature.value(row),
            n_categories: n_categories.value(row),
            split,
            values,
        });
    }
    add_scaled(&mut read.importances, &mut of_tree);
    let mut importances = vec![0.0; n_features];
    std::mem::swap(&mut importances, &mut read.importances);
    add_scaled(&mut read.importances, &mut importances);
    Ok(read)
}

/// Adds the importances of a tree, scaled to 1, and empties them.
fn add_scaled(sums: &mut [f64], of_tree: &mut [f64]) {
    let total: f64 = of_tree.iter().sum();
    for (sum, of_tree) in sums.iter_mut().zip(of_tree) {
        let share = std::mem::take(of_tree);
        *sum += if total > 0.0 { share / total } else { 0.0 };
    }
}
