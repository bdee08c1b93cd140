//! Decision trees over histograms: random forests and gradient boosting.
