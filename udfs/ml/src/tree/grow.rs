//! One tree from binned rows: depth first, each node from its histogram.

use super::binning::Binned;
use super::histogram::{Layout, Pool};
use super::learner::Learner;
use super::model::{SplitSpec, Tree, TreeBuilder};
use super::sampling::FeatureDraw;
use super::scan::{Best, Search};
use super::workers;
use crate::control::Control;
use crate::error::LearnError;

/// Nodes with fewer rows have no histogram of all features: adding up their rows feature by feature is cheaper
/// than subtracting and clearing whole histograms.
const HISTOGRAM_ROWS_MIN: usize = 512;
/// Integers of a histogram (32 MiB): with many features and classes, whole histograms would not fit into memory.
const HISTOGRAM_LEN_MAX: usize = 1 << 22;
/// Rows × features from which threads are worth their start: a millisecond of work.
const PARALLEL_WORK_MIN: usize = 1 << 20;

/// What a tree is grown from.
pub(super) struct Growth<'a, L> {
    pub(super) binned: &'a Binned,
    pub(super) learner: &'a L,
    /// The features the tree may use, ascending.
    pub(super) features: &'a [usize],
    /// How many of them, drawn at random, a node looks at.
    pub(super) n_features_per_node: usize,
    pub(super) max_depth: Option<usize>,
    pub(super) seed: u64,
    /// The number of the tree: its draws differ from those of other trees.
    pub(super) number: u64,
    /// Threads for this tree alone.
    pub(super) threads: usize,
    pub(super) control: &'a Control<'a>,
}

/// A tree and where its training rows ended.
pub(super) struct Grown {
    pub(super) tree: Tree,
    /// The rows, leaf by leaf.
    pub(super) rows: Vec<u32>,
    /// The leaf and the end of its rows, ascending.
    pub(super) leaves: Vec<(u32, usize)>,
}

/// A node that is still to be split or to become a leaf.
struct Pending {
    place: usize,
    start: usize,
    end: usize,
    depth: usize,
    total: Vec<i64>,
    histogram: Option<Vec<i64>>,
    /// One bit per feature: all rows are in one bin, here and below.
    constant: Vec<u64>,
}

impl Pending {
    fn n_rows(&self) -> usize {
        self.end - self.start
    }

    fn is_constant(&self, feature: usize) -> bool {
        self.constant[feature / 64] >> (feature % 64) & 1 == 1
    }

    fn set_constant(&mut self, feature: usize) {
        self.constant[feature / 64] |= 1 << (feature % 64);
    }
}

/// A tree while it grows.
struct Grower<'a, L: Learner> {
    growth: &'a Growth<'a, L>,
    rows: Vec<u32>,
    sums: Vec<L::Row>,
    spare_rows: Vec<u32>,
    spare_sums: Vec<L::Row>,
    builder: TreeBuilder,
    leaves: Vec<(u32, usize)>,
    draw: FeatureDraw,
    search: Search,
    /// `None` when nodes look at too few features for whole histograms.
    layout: Option<Layout>,
    pool: Pool,
    list: Vec<usize>,
    values: Vec<f64>,
}

impl<L: Learner> Growth<'_, L> {
    /// Grows a tree from different rows (at least one) and what each adds.
    ///
    /// # Cost
    /// O(rows·features) per level of depth; less where subtraction saves the larger child of a node.
    pub(super) fn grow(&self, rows: Vec<u32>, sums: Vec<L::Row>) -> Result<Grown, LearnError> {
        // A node that looks at all features needs half of its parent's work: the smaller child. One that looks
        // at less than half of them is better off adding up just these.
        let layout = Layout::new(self.binned, self.learner.width());
        let has_histograms = 2 * self.n_features_per_node > self.features.len() && layout.len() <= HISTOGRAM_LEN_MAX;
        let mut grower = Grower {
            growth: self,
            spare_rows: rows.clone(),
            spare_sums: sums.clone(),
            rows,
            sums,
            builder: TreeBuilder::new(self.learner.n_values()),
            leaves: Vec::new(),
            draw: FeatureDraw::new(self.features.len(), self.seed, self.number),
            search: Search::default(),
            layout: has_histograms.then_some(layout),
            pool: Pool::default(),
            list: Vec::new(),
            values: Vec::new(),
        };
        grower.run()?;
        Ok(Grown { tree: grower.builder.finish(), rows: grower.rows, leaves: grower.leaves })
    }

    fn threads_for(&self, n_rows: usize, n_features: usize) -> usize {
        if n_rows.saturating_mul(n_features) >= PARALLEL_WORK_MIN { self.threads } else { 1 }
    }
}

impl<L: Learner> Grower<'_, L> {
    fn run(&mut self) -> Result<(), LearnError> {
        let n_features = self.growth.binned.features().len();
        let total = self.growth.learner.total(&self.sums);
        let constant = vec![0; n_features.div_ceil(64)];
        let mut root = Pending { place: self.builder.root(), start: 0, end: self.rows.len(), depth: 0, total, histogram: None, constant };
        if self.wants_histogram(&root) {
            root.histogram = Some(self.histogram(&root)?);
        }
        let mut pending = vec![root];
        while let Some(mut node) = pending.pop() {
            if self.growth.control.is_cancelled() {
                return Err(LearnError::Cancelled);
            }
            if self.is_final(&node) || !self.find_split(&mut node)? {
                self.make_leaf(node);
                continue;
            }
            let (left, right) = self.split(node)?;
            pending.push(right);
            pending.push(left);
        }
        if self.has_impurities() {
            self.builder.sum_impurities();
        }
        Ok(())
    }

    fn has_impurities(&self) -> bool {
        let learner = self.growth.learner;
        learner.impurity(&learner.total(&self.sums[..1]), &self.rows[..1], &self.sums[..1]).is_some()
    }

    fn is_final(&self, node: &Pending) -> bool {
        node.n_rows() < 2
            || self.growth.max_depth.is_some_and(|max_depth| node.depth >= max_depth)
            || !self.growth.learner.can_split(&node.total)
            || self.growth.learner.is_pure(&self.rows[node.start..node.end])
    }

    fn wants_histogram(&self, node: &Pending) -> bool {
        self.layout.is_some() && node.n_rows() >= HISTOGRAM_ROWS_MIN && !self.is_final(node)
    }

    /// The histogram of a node from its rows.
    fn histogram(&mut self, node: &Pending) -> Result<Vec<i64>, LearnError> {
        let growth = self.growth;
        let Some(layout) = &self.layout else { return Ok(Vec::new()) };
        let mut histogram = self.pool.zeros(layout.len());
        let features: Vec<usize> = growth.features.iter().copied().filter(|feature| !node.is_constant(*feature)).collect();
        let rows = (&self.rows[node.start..node.end], &self.sums[node.start..node.end]);
        let threads = growth.threads_for(node.n_rows(), features.len());
        // Some features at a time, so that a cancelled training ends soon.
        let at_once = ((PARALLEL_WORK_MIN * 8) / node.n_rows().max(1)).max(threads);
        for features in features.chunks(at_once) {
            if growth.control.is_cancelled() {
                return Err(LearnError::Cancelled);
            }
            layout.accumulate(growth.learner, growth.binned, features, rows, &mut histogram, threads);
        }
        Ok(histogram)
    }

    /// Looks for the best split of a node; false when there is none worth it.
    fn find_split(&mut self, node: &mut Pending) -> Result<bool, LearnError> {
        let growth = self.growth;
        self.search.restart();
        let mut list = std::mem::take(&mut self.list);
        list.clear();
        let is_all = growth.n_features_per_node >= growth.features.len();
        if is_all {
            list.extend(growth.features.iter().copied().filter(|feature| !node.is_constant(*feature)));
        } else {
            self.draw.restart();
            while self.draw.n_drawn() < growth.n_features_per_node
                && let Some(place) = self.draw.next()
            {
                list.extend(Some(growth.features[place]).filter(|feature| !node.is_constant(*feature)));
            }
        }
        let mut is_varied = self.look_at(node, &list)?;
        // As in scikit-learn, constant features count as drawn, but a node looks on until it has seen one that varies.
        while !is_varied
            && !is_all
            && let Some(place) = self.draw.next()
        {
            let feature = growth.features[place];
            is_varied = !node.is_constant(feature) && self.look_at(node, &[feature])?;
        }
        self.list = list;
        let best = &self.search.best;
        Ok(best.feature.is_some() && best.gain > f64::NEG_INFINITY && growth.learner.suffices(best.gain, &node.total))
    }

    /// Scans features; returns whether any of them varies within the node.
    fn look_at(&mut self, node: &mut Pending, features: &[usize]) -> Result<bool, LearnError> {
        let growth = self.growth;
        let (rows, sums) = (&self.rows[node.start..node.end], &self.sums[node.start..node.end]);
        let look = |search: &mut Search, number: usize| {
            let feature = (number, &growth.binned.features()[number]);
            match (&node.histogram, &self.layout) {
                (Some(histogram), Some(layout)) => search.scan_all(growth.learner, feature, layout.of(histogram, number), &node.total),
                _ => search.add_and_scan(growth.learner, feature, (rows, sums), &node.total),
            }
        };
        let is_large = node.n_rows() >= PARALLEL_WORK_MIN / 16;
        let mut varied = Vec::new();
        let threads = if node.histogram.is_some() { 1 } else { growth.threads_for(node.n_rows(), features.len()) };
        if threads > 1 {
            let (found, _) = workers::map_with(threads, features.len(), Search::default, |search, place| {
                search.restart();
                let is_varied = !growth.control.is_cancelled() && look(search, features[place]);
                (is_varied, std::mem::take(&mut search.best))
            });
            for (is_varied, best) in found {
                varied.push(is_varied);
                self.search.best.improve(best);
            }
        } else {
            for feature in features {
                if is_large && growth.control.is_cancelled() {
                    return Err(LearnError::Cancelled);
                }
                varied.push(look(&mut self.search, *feature));
            }
        }
        let constant = features.iter().zip(&varied).filter(|(_, is_varied)| !**is_varied);
        constant.for_each(|(feature, _)| node.set_constant(*feature));
        if growth.control.is_cancelled() { Err(LearnError::Cancelled) } else { Ok(varied.contains(&true)) }
    }

    fn make_leaf(&mut self, node: Pending) {
        let learner = self.growth.learner;
        self.values.clear();
        learner.leaf(&node.total, &mut self.values);
        let impurity = learner.impurity(&node.total, &self.rows[node.start..node.end], &self.sums[node.start..node.end]);
        self.builder.describe(node.place, impurity.unwrap_or(0.0), learner.weight(&node.total));
        self.builder.leaf(node.place, &self.values);
        self.leaves.push((self.leaves.len() as u32, node.end));
        self.pool.give_back(node.histogram);
    }

    /// Splits a node as found and returns its children.
    fn split(&mut self, node: Pending) -> Result<(Pending, Pending), LearnError> {
        let growth = self.growth;
        let best: Best = std::mem::take(&mut self.search.best);
        let number = best.feature.unwrap_or(0);
        let feature = &growth.binned.features()[number];
        let rows = &self.rows[node.start..node.end];
        let rule = best.rule(feature, || {
            let mut has_rows = [false; 256];
            rows.iter().for_each(|row| has_rows[usize::from(feature.bins[*row as usize])] = true);
            has_rows
        });
        let middle = node.start + self.partition(node.start..node.end, &feature.bins, &best.table(feature));
        let weight = growth.learner.weight(&node.total);
        self.builder.describe(node.place, 0.0, weight);
        let split = SplitSpec { feature: number as u32, rule, missing_left: best.missing_left, left: 0, right: 0 };
        let place = self.builder.split(node.place, &split, best.gain / weight)?;
        let right_total = node.total.iter().zip(&best.left).map(|(total, left)| total - left).collect();
        let Pending { start, end, depth, constant, histogram, .. } = node;
        let depth = depth + 1;
        let mut left = Pending { place, start, end: middle, depth, total: best.left.clone(), histogram: None, constant: constant.clone() };
        let mut right = Pending { place: place + 1, start: middle, end, depth, total: right_total, histogram: None, constant };
        self.search.best = best;
        if let Some(histogram) = histogram {
            self.hand_down(histogram, &mut left, &mut right)?;
        }
        Ok((left, right))
    }

    /// Makes the histograms of the children from their parent's.
    fn hand_down(&mut self, mut parent: Vec<i64>, left: &mut Pending, right: &mut Pending) -> Result<(), LearnError> {
        let (smaller, larger) = if left.n_rows() <= right.n_rows() { (left, right) } else { (right, left) };
        let (wants_smaller, wants_larger) = (self.wants_histogram(smaller), self.wants_histogram(larger));
        let own = if wants_smaller || wants_larger { Some(self.histogram(smaller)?) } else { None };
        if let Some(own) = &own
            && wants_larger
        {
            parent.iter_mut().zip(own).for_each(|(parent, smaller)| *parent -= smaller);
            larger.histogram = Some(parent);
        } else {
            self.pool.give_back(Some(parent));
        }
        if wants_smaller {
            smaller.histogram = own;
        } else {
            self.pool.give_back(own);
        }
        Ok(())
    }

    /// Brings the rows of the left child to the front, each side in its old order; returns how many they are.
    fn partition(&mut self, range: std::ops::Range<usize>, bins: &[u8], is_left: &[bool; 256]) -> usize {
        let (rows, sums) = (&mut self.rows[range.clone()], &mut self.sums[range.clone()]);
        let (spare_rows, spare_sums) = (&mut self.spare_rows[range.clone()], &mut self.spare_sums[range]);
        let (mut n_left, mut n_right) = (0, 0);
        for place in 0..rows.len() {
            let (row, sum) = (rows[place], sums[place]);
            let goes_left = is_left[usize::from(bins[row as usize])];
            // Written to both sides, counted on one: no branch to guess.
            (rows[n_left], sums[n_left]) = (row, sum);
            (spare_rows[n_right], spare_sums[n_right]) = (row, sum);
            n_left += usize::from(goes_left);
            n_right += usize::from(!goes_left);
        }
        rows[n_left..].copy_from_slice(&spare_rows[..n_right]);
        sums[n_left..].copy_from_slice(&spare_sums[..n_right]);
        n_left
    }
}
