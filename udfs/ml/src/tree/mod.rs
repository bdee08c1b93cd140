//! Decision trees over histograms: random forests and gradient boosting.
//!
//! ```text
//! Frame -> bins (u8 per value) -> grow one tree: histogram of a node -> best split -> partition of its rows
//!                                  |                                        forest: many trees, averaged
//!                                  +- learner: what a histogram adds up     boost:  trees of gradients, summed
//! ```
//!
//! All sums are integers: labels, targets, weights and gradients are brought to fixed point first. Integer
//! addition is associative, so a tree depends neither on the order of the rows nor on the number of threads,
//! and the histogram of a child is *exactly* its parent's less its sibling's.

pub mod model; //   a tree to predict with: flat, checked, from here or imported
pub mod forest; //  random forests: parameters, training, prediction
pub mod boost; //   gradient-boosted trees on the same learner
mod boosting; //    the training of boosted trees
pub mod labels; //  class weights that balance classes
mod binning; //     numbers and categories as bins of one byte
mod fixed; //       real numbers as integers of a common scale
mod learner; //     what a histogram adds up and what a split gains
mod moments; //     the learner of two sums: variance, two classes, gradients
mod classes; //     the learner of three or more classes
mod scan; //        the best split of one feature
mod histogram; //   the sums of one node for all features
mod grow; //        one tree from binned rows
mod sampling; //    the rows of a tree and the features of a node
mod workers; //     independent pieces of work on several threads

#[cfg(test)]
mod tests; // what forests and boosted trees must both hold
