"""What a factor model is worth, from its factors alone: the same numbers for every library.

`udfs/ml/examples/als_fit/loss.rs` computes the held-out losses too; `als_compare.py` checks that both agree.
"""

import os
from dataclasses import dataclass

import numpy as np

BLOCK = 1 << 18


@dataclass(frozen=True)
class Objective:
    """What is minimised over user factors X and item factors Y.

    explicit:  sum over ratings of (r - offset - x.y)^2
    implicit:  sum over rated pairs of (1 + alpha r) (1 - x.y)^2  +  sum over all other pairs of (x.y)^2
    scaling:   + reg * sum of |row|^2, each times its number of ratings ('rating') or once ('row')
    """

    feedback: str
    reg: float
    scaling: str
    alpha: float = 0.0
    centred: bool = False

    def __str__(self):
        kind = f"implicit, alpha {self.alpha:g}" if self.feedback == "implicit" else "explicit"
        return f"{kind}{', centred' if self.centred else ''}, reg {self.reg:g} per {self.scaling}"


class Data:
    """Ratings written by `als_fit generate`."""

    def __init__(self, directory):
        def load(name):
            return np.load(os.path.join(directory, f"{name}.npy"))

        self.n_users, self.n_items = (int(n) for n in load("shape"))
        self.train = tuple(load(f"train_{what}") for what in ("users", "items", "values"))
        self.test = tuple(load(f"test_{what}") for what in ("users", "items", "values"))
        self.user_counts = np.bincount(self.train[0], minlength=self.n_users)
        self.item_counts = np.bincount(self.train[1], minlength=self.n_items)

    def offset(self, objective):
        """What is subtracted from every rating: the mean of the training part, or nothing."""
        return float(np.mean(self.train[2], dtype=np.float64)) if objective.centred else 0.0


def predictions(users, items, part):
    """x.y for each rating of a part, in f64."""
    result = np.empty(len(part[0]))
    for start in range(0, len(result), BLOCK):
        block = slice(start, start + BLOCK)
        result[block] = np.einsum("ij,ij->i", users[part[0][block]], items[part[1][block]], dtype=np.float64)
    return result


def sum_of_squares(users, items):
    """The sum of (x.y)^2 over all pairs."""
    users, items = users.astype(np.float64), items.astype(np.float64)
    return float(np.sum((users.T @ users) * (items.T @ items)))


def held_out_loss(data, objective, users, items):
    """Explicit: the RMSE on held-out ratings whose user and item have training ratings.

    Implicit: the mean of the objective's loss over all pairs outside the training part; the held-out pairs are the
    rated ones among them.
    """
    scores = predictions(users, items, data.test)
    values = data.test[2].astype(np.float64)
    if objective.feedback == "explicit":
        known = (data.user_counts[data.test[0]] > 0) & (data.item_counts[data.test[1]] > 0)
        return float(np.sqrt(np.mean((scores + data.offset(objective) - values)[known] ** 2)))
    observed = np.sum(predictions(users, items, data.train) ** 2) + np.sum(scores**2)
    missed = np.sum((1.0 + objective.alpha * values) * (1.0 - scores) ** 2)
    n_pairs = data.n_users * data.n_items - len(data.train[0])
    return float((sum_of_squares(users, items) - observed + missed) / n_pairs)


def training_objective(data, objective, users, items):
    """The function that both sides of a pair minimise: equal up to local minima when the parameters were translated well."""
    scores = predictions(users, items, data.train)
    values = data.train[2].astype(np.float64)
    if objective.feedback == "explicit":
        loss = np.sum((values - data.offset(objective) - scores) ** 2)
    else:
        unobserved = sum_of_squares(users, items) - np.sum(scores**2)
        loss = np.sum((1.0 + objective.alpha * values) * (1.0 - scores) ** 2) + unobserved
    user_norms, item_norms = (np.sum(side.astype(np.float64) ** 2, axis=1) for side in (users, items))
    if objective.scaling == "rating":
        norms = user_norms @ data.user_counts + item_norms @ data.item_counts
    else:
        norms = np.sum(user_norms[data.user_counts > 0]) + np.sum(item_norms[data.item_counts > 0])
    return float(loss + objective.reg * norms)
