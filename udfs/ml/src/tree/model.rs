//! A tree to predict with: flat arrays, checked once, from our own training or imported.

use crate::error::LearnError;
use crate::frame::{Column, Frame, MISSING};
use serde::{Deserialize, Serialize};

/// A decision tree. Node 0 is the root, the right child of a node follows its left one.
///
/// Values are compared as they are, not as bins. A categorical column counts as the numbers of its codes, a
/// missing category as NaN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    nodes: Vec<Node>,
    /// The values of the leaves, `width` each.
    values: Vec<f64>,
    width: u32,
    /// Sets of categories, 64 to a word.
    category_words: Vec<u64>,
    impurities: Vec<f64>,
    gains: Vec<f64>,
    weights: Vec<f64>,
}

/// One node in 16 bytes: four of them in a cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Node {
    /// The feature, [`IS_CATEGORIES`] and [`IS_MISSING_LEFT`]; [`LEAF`] for a leaf.
    feature: u32,
    /// The left child, or the number of the leaf.
    child: u32,
    /// The bits of the threshold; for categories, the first word of the set (upper half), and twice the number
    /// of categories plus one when the others go left (lower half).
    payload: u64,
}

const IS_MISSING_LEFT: u32 = 1 << 31;
const IS_CATEGORIES: u32 = 1 << 30;
const FEATURE_MASK: u32 = IS_CATEGORIES - 1;
const LEAF: u32 = FEATURE_MASK;

/// A node of a tree to build or to store.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NodeSpec {
    /// `None` for a leaf.
    pub split: Option<SplitSpec>,
    /// What the leaf predicts: class probabilities, or one number. Of inner nodes it is not kept.
    pub values: Vec<f64>,
    /// The impurity of its rows (0 if it is not known).
    pub impurity: f64,
    /// How much the split lowers the impurity, per unit of weight. Of leaves it is not kept.
    pub gain: f64,
    /// The (weighted) number of training rows that came here.
    pub weight: f64,
}

/// Where the rows of an inner node go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitSpec {
    pub feature: u32,
    pub rule: Rule,
    /// Whether rows without a value go left.
    pub missing_left: bool,
    /// The places of the children.
    pub left: u32,
    pub right: u32,
}

/// Which values go left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Rule {
    /// Values up to and including this one.
    AtMost(f64),
    /// These of the categories 0 to `n_categories` - 1. Any other value goes left when `others_left`.
    Categories { left: Vec<u32>, n_categories: u32, others_left: bool },
}

impl Tree {
    /// Builds a tree. Node 0 is the root; children may stand anywhere.
    ///
    /// For a tree of Spark: `split.leftCategoriesOrThreshold` is `AtMost(threshold)` when `numCategories` is -1,
    /// and otherwise the left categories with `others_left: false`; `missing_left` is false, because Spark sends
    /// NaN to the right; the values of a leaf are `impurityStats` divided by their sum (classification) or
    /// `[prediction]` (regression and boosted trees); `weight` is `rawCount`.
    ///
    /// # Errors
    /// [`LearnError::Shape`] unless every node but the root has exactly one parent and is reached from the root,
    /// all leaves have the same positive number of finite values, and thresholds and categories are valid.
    ///
    /// # Cost
    /// O(nodes + categories).
    pub fn from_nodes(nodes: Vec<NodeSpec>) -> Result<Self, LearnError> {
        let shape = |what| Err(LearnError::Shape { what });
        if nodes.is_empty() || nodes.len() >= LEAF as usize {
            return shape("a tree has no node, or too many");
        }
        let width = nodes.iter().find(|node| node.split.is_none()).map_or(0, |leaf| leaf.values.len());
        let mut is_placed = vec![false; nodes.len()];
        is_placed[0] = true;
        let mut builder = TreeBuilder::new(width.max(1));
        // Depth first; each entry is a node given and its place in the tree.
        let mut pending = vec![(0, builder.root())];
        let mut n_placed = 1;
        while let Some((given, place)) = pending.pop() {
            let node = &nodes[given];
            builder.describe(place, node.impurity, node.weight);
            let Some(split) = &node.split else {
                if width == 0 || node.values.len() != width || node.values.iter().any(|value| !value.is_finite()) {
                    return shape("the leaves of a tree differ in their number of values, or a value is not finite");
                }
                builder.leaf(place, &node.values);
                continue;
            };
            for child in [split.left, split.right] {
                match is_placed.get_mut(child as usize) {
                    Some(is_placed) if !*is_placed => *is_placed = true,
                    Some(_) => return shape("a node of a tree is the child of two nodes, or of a descendant"),
                    None => return shape("a child of a node is not in the tree"),
                }
            }
            if split.feature >= FEATURE_MASK {
                return shape("the number of a feature is too large");
            }
            let left = builder.split(place, split, node.gain)?;
            n_placed += 2;
            pending.push((split.right as usize, left + 1));
            pending.push((split.left as usize, left));
        }
        if n_placed != nodes.len() { shape("a node of a tree is not reached from the root") } else { Ok(builder.finish()) }
    }

    /// The nodes in the form that [`Tree::from_nodes`] takes: what is stored. From them the same tree is built again.
    pub fn to_nodes(&self) -> Vec<NodeSpec> {
        (0..self.nodes.len())
            .map(|place| NodeSpec {
                split: self.split_of(place),
                values: if self.nodes[place].feature == LEAF { self.leaf_values(self.nodes[place].child).to_vec() } else { Vec::new() },
                impurity: self.impurities[place],
                gain: self.gains[place],
                weight: self.weights[place],
            })
            .collect()
    }

    fn split_of(&self, place: usize) -> Option<SplitSpec> {
        let node = &self.nodes[place];
        if node.feature == LEAF {
            return None;
        }
        let rule = if node.feature & IS_CATEGORIES == 0 {
            Rule::AtMost(f64::from_bits(node.payload))
        } else {
            let n_categories = node.payload as u32 >> 1;
            let left = (0..n_categories).filter(|code| self.contains(node.payload, *code)).collect();
            Rule::Categories { left, n_categories, others_left: node.payload & 1 == 1 }
        };
        let missing_left = node.feature & IS_MISSING_LEFT != 0;
        Some(SplitSpec { feature: node.feature & FEATURE_MASK, rule, missing_left, left: node.child, right: node.child + 1 })
    }

    /// The number of nodes, leaves included.
    pub fn n_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The number of values of a leaf: classes, or 1.
    pub fn width(&self) -> usize {
        self.width as usize
    }

    /// The longest way from the root to a leaf, in splits.
    pub fn depth(&self) -> usize {
        let mut depths = vec![0; self.nodes.len()];
        for (place, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.feature != LEAF) {
            let child = node.child as usize;
            // Children stand behind their parents.
            depths[child] = depths[place] + 1;
            depths[child + 1] = depths[place] + 1;
        }
        depths.into_iter().max().unwrap_or(0)
    }

    /// One more than the largest feature a node asks for.
    pub(super) fn n_features_used(&self) -> usize {
        let splits = self.nodes.iter().filter(|node| node.feature != LEAF);
        splits.map(|node| (node.feature & FEATURE_MASK) as usize + 1).max().unwrap_or(0)
    }

    /// Adds gain × weight of each split to its feature.
    pub(super) fn add_importances(&self, importances: &mut [f64]) {
        for (place, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.feature != LEAF) {
            importances[(node.feature & FEATURE_MASK) as usize] += self.gains[place].max(0.0) * self.weights[place];
        }
    }

    /// The leaf that a row comes to, given its values.
    #[inline]
    pub(super) fn leaf(&self, value: impl Fn(usize) -> f64) -> u32 {
        let mut node = &self.nodes[0];
        while node.feature != LEAF {
            let goes_left = self.goes_left(node, value((node.feature & FEATURE_MASK) as usize));
            node = &self.nodes[node.child as usize + usize::from(!goes_left)];
        }
        node.child
    }

    /// The leaves of [`LANES`] rows at once: while one waits for memory, the others go on.
    pub(super) fn leaves(&self, rows: [&[f64]; LANES]) -> [u32; LANES] {
        let mut places = [0; LANES];
        let mut is_done = false;
        while !is_done {
            is_done = true;
            for (place, row) in places.iter_mut().zip(rows) {
                let node = &self.nodes[*place];
                if node.feature != LEAF {
                    let goes_left = self.goes_left(node, row[(node.feature & FEATURE_MASK) as usize]);
                    *place = node.child as usize + usize::from(!goes_left);
                    is_done = false;
                }
            }
        }
        places.map(|place| self.nodes[place].child)
    }

    /// The values of a leaf.
    #[inline]
    pub(super) fn leaf_values(&self, leaf: u32) -> &[f64] {
        let width = self.width as usize;
        &self.values[leaf as usize * width..][..width]
    }

    #[inline]
    fn goes_left(&self, node: &Node, value: f64) -> bool {
        if value.is_nan() {
            node.feature & IS_MISSING_LEFT != 0
        } else if node.feature & IS_CATEGORIES == 0 {
            value <= f64::from_bits(node.payload)
        } else if value >= 0.0 && value < f64::from(node.payload as u32 >> 1) && value.fract() == 0.0 {
            self.contains(node.payload, value as u32)
        } else {
            node.payload & 1 == 1
        }
    }

    fn contains(&self, payload: u64, code: u32) -> bool {
        let first_word = (payload >> 32) as usize;
        self.category_words[first_word + code as usize / 64] >> (code % 64) & 1 == 1
    }
}

/// A tree under construction: nodes are made in pairs of siblings, parents before children.
#[derive(Debug)]
pub(super) struct TreeBuilder {
    tree: Tree,
}

impl TreeBuilder {
    pub(super) fn new(width: usize) -> Self {
        let (nodes, values, category_words) = (Vec::new(), Vec::new(), Vec::new());
        let (impurities, gains, weights) = (Vec::new(), Vec::new(), Vec::new());
        Self { tree: Tree { nodes, values, width: width as u32, category_words, impurities, gains, weights } }
    }

    /// Makes the root: place 0.
    pub(super) fn root(&mut self) -> usize {
        self.push();
        0
    }

    fn push(&mut self) {
        self.tree.nodes.push(Node { feature: LEAF, child: 0, payload: 0 });
        self.tree.impurities.push(0.0);
        self.tree.gains.push(0.0);
        self.tree.weights.push(0.0);
    }

    pub(super) fn describe(&mut self, place: usize, impurity: f64, weight: f64) {
        self.tree.impurities[place] = impurity;
        self.tree.weights[place] = weight;
    }

    /// Makes a node a leaf.
    pub(super) fn leaf(&mut self, place: usize, values: &[f64]) {
        self.tree.nodes[place].child = (self.tree.values.len() / self.tree.width as usize) as u32;
        self.tree.values.extend_from_slice(values);
    }

    /// Makes a node inner and returns the place of its left child; the right one is next to it.
    pub(super) fn split(&mut self, place: usize, split: &SplitSpec, gain: f64) -> Result<usize, LearnError> {
        let mut flags = if split.missing_left { IS_MISSING_LEFT } else { 0 };
        let payload = match &split.rule {
            Rule::AtMost(threshold) if threshold.is_nan() => return Err(LearnError::Shape { what: "a threshold is not a number" }),
            Rule::AtMost(threshold) => threshold.to_bits(),
            Rule::Categories { left, n_categories, others_left } => {
                flags |= IS_CATEGORIES;
                self.categories(left, *n_categories, *others_left)?
            }
        };
        let left = self.tree.nodes.len();
        self.tree.nodes[place] = Node { feature: split.feature | flags, child: left as u32, payload };
        self.tree.gains[place] = gain;
        self.push();
        self.push();
        Ok(left)
    }

    fn categories(&mut self, left: &[u32], n_categories: u32, others_left: bool) -> Result<u64, LearnError> {
        let first_word = self.tree.category_words.len();
        let n_words = (n_categories as usize).div_ceil(64);
        if n_categories > u32::MAX >> 1 || first_word + n_words > u32::MAX as usize {
            return Err(LearnError::Shape { what: "a tree has too many categories" });
        }
        self.tree.category_words.resize(first_word + n_words, 0);
        for code in left {
            if *code >= n_categories {
                return Err(LearnError::Shape { what: "a category is outside its split's" });
            }
            self.tree.category_words[first_word + *code as usize / 64] |= 1 << (code % 64);
        }
        Ok((first_word as u64) << 32 | u64::from(n_categories) << 1 | u64::from(others_left))
    }

    /// Sets the impurities of inner nodes from those of the leaves: weighted mean of the children plus the gain.
    pub(super) fn sum_impurities(&mut self) {
        let tree = &mut self.tree;
        for place in (0..tree.nodes.len()).rev().filter(|place| tree.nodes[*place].feature != LEAF) {
            let child = tree.nodes[place].child as usize;
            let of_child = |child: usize| tree.impurities[child] * tree.weights[child];
            tree.impurities[place] = (of_child(child) + of_child(child + 1)) / tree.weights[place] + tree.gains[place];
        }
    }

    pub(super) fn finish(self) -> Tree {
        self.tree
    }
}

/// Rows that walk down a tree at once.
pub(super) const LANES: usize = 8;

/// Calls `work` for blocks of rows: the first row, and the values row by row, `n_features` each (at least one).
///
/// A column that the frame lacks is missing in all rows.
pub(super) fn for_each_block(frame: &Frame, n_features: usize, mut work: impl FnMut(usize, &[f64])) {
    /// Numbers in a block: 1 MiB. A deep tree is larger than that, and has to come from memory once per block.
    const BLOCK: usize = 1 << 17;
    let stride = n_features.max(1);
    let rows_max = (BLOCK / stride).max(LANES).min(frame.n_rows().max(1));
    let mut block = vec![f64::NAN; rows_max * stride];
    for first in (0..frame.n_rows()).step_by(rows_max) {
        let n_rows = rows_max.min(frame.n_rows() - first);
        for (feature, column) in frame.columns().iter().take(n_features).enumerate() {
            let places = block[feature..].iter_mut().step_by(stride);
            match column {
                Column::Numeric(values) => places.zip(&values[first..first + n_rows]).for_each(|(place, value)| *place = *value),
                Column::Categorical { codes, .. } => {
                    places.zip(&codes[first..first + n_rows]).for_each(|(place, code)| *place = number(*code));
                }
            }
        }
        work(first, &block[..n_rows * stride]);
    }
}

fn number(code: u32) -> f64 {
    if code == MISSING { f64::NAN } else { f64::from(code) }
}

/// One value of a frame as trees see it.
pub(super) fn value(frame: &Frame, feature: usize, row: usize) -> f64 {
    match &frame.columns()[feature] {
        Column::Numeric(values) => values[row],
        Column::Categorical { codes, .. } => number(codes[row]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(value: f64) -> NodeSpec {
        NodeSpec { values: vec![value], weight: 1.0, ..NodeSpec::default() }
    }

    fn inner(rule: Rule, missing_left: bool, left: u32, right: u32) -> NodeSpec {
        NodeSpec { split: Some(SplitSpec { feature: 0, rule, missing_left, left, right }), weight: 2.0, ..NodeSpec::default() }
    }

    #[track_caller]
    fn refuse(nodes: Vec<NodeSpec>, expected: &str) {
        match Tree::from_nodes(nodes) {
            Err(LearnError::Shape { what }) => assert!(what.contains(expected), "{what}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_a_tree_is_refused() {
        let at = |left, right| inner(Rule::AtMost(0.0), false, left, right);
        refuse(vec![], "no node");
        refuse(vec![at(1, 2), leaf(1.0)], "not in the tree");
        refuse(vec![at(0, 1), leaf(1.0)], "child of two");
        refuse(vec![at(1, 1), leaf(1.0)], "child of two");
        refuse(vec![at(1, 2), at(0, 2), leaf(1.0)], "child of two");
        refuse(vec![leaf(0.0), leaf(1.0)], "not reached");
        refuse(vec![leaf(0.0), at(2, 3), at(1, 4), leaf(1.0), leaf(1.0)], "not reached");
        refuse(vec![at(1, 2), leaf(1.0), NodeSpec { values: vec![0.5, 0.5], ..NodeSpec::default() }], "leaves");
        refuse(vec![leaf(f64::NAN)], "leaves");
        refuse(vec![NodeSpec::default()], "leaves");
        refuse(vec![inner(Rule::AtMost(f64::NAN), false, 1, 2), leaf(0.0), leaf(1.0)], "threshold");
        let categories = Rule::Categories { left: vec![2], n_categories: 2, others_left: false };
        refuse(vec![inner(categories, false, 1, 2), leaf(0.0), leaf(1.0)], "category");
    }

    #[test]
    fn values_go_where_the_rule_says() {
        let predict = |tree: &Tree, value: f64| tree.leaf_values(tree.leaf(|_| value))[0];
        // Children may stand in any order.
        let tree = Tree::from_nodes(vec![inner(Rule::AtMost(1.5), true, 2, 1), leaf(8.0), leaf(7.0)]).unwrap();
        assert_eq!([1.5, 1.6, f64::NAN].map(|value| predict(&tree, value)), [7.0, 8.0, 7.0]);
        let rule = Rule::Categories { left: vec![1, 70], n_categories: 71, others_left: false };
        let tree = Tree::from_nodes(vec![inner(rule, true, 1, 2), leaf(7.0), leaf(8.0)]).unwrap();
        let values = [0.0, 1.0, 70.0, 71.0, 1.5, -1.0, f64::NAN];
        assert_eq!(values.map(|value| predict(&tree, value)), [8.0, 7.0, 7.0, 8.0, 8.0, 8.0, 7.0]);
        assert_eq!((tree.depth(), tree.n_nodes(), tree.width()), (1, 3, 1));
    }

    #[test]
    fn a_tree_is_rebuilt_from_its_nodes() {
        let rule = Rule::Categories { left: vec![0], n_categories: 3, others_left: true };
        let given = vec![inner(Rule::AtMost(-0.25), false, 3, 1), inner(rule, true, 4, 2), leaf(1.0), leaf(2.0), leaf(3.0)];
        let tree = Tree::from_nodes(given).unwrap();
        assert_eq!(Tree::from_nodes(tree.to_nodes()).unwrap(), tree);
    }
}
