"""Compares weir's forests and regressions with scikit-learn's, on the same rows: weir's side through SQL, over Flight SQL.

    tests/bench/run learners [--only telco|cars] [--seeds 1,2,3]

For each seed the split is made here. Both parts become tables of a server started for the purpose; `CREATE MODEL` trains on one,
`ML.PREDICT` answers for the other, and the metrics of both sides are scikit-learn's functions on the held-out rows. weir gets
the columns as they are and prepares them itself; scikit-learn gets what its manual recommends: one-hot categories (ordinal numbers
for the forest of cars, where one-hot models would only cost it time), standardised numbers for linear models, medians for missing ones.
Exits with 1 when a threshold is missed.
"""

import argparse
import csv
import glob
import os
import statistics
import sys
import time
from dataclasses import dataclass

import numpy as np
import pandas
import pyarrow
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from weir_server import Server, ingest, run

# The column that tells held-out rows apart: ML.PREDICT promises no order.
ROW = "row_number"
THREADS = 2


@dataclass
class Contest:
    """One learner on one data set."""

    name: str
    # Options of CREATE MODEL besides the label and the split; `{seed}` is filled in.
    options: str
    # Makes scikit-learn's estimator from (numeric columns, categorical columns, seed).
    estimator: object
    metric: str
    # How far weir may be below scikit-learn, and the least it must reach; None where nothing is required.
    gap_max: float | None = None
    value_min: float | None = None
    train_seconds_max: float | None = None


@dataclass
class Problem:
    """A data set with its label."""

    name: str
    label: str
    positive: str | None
    frame: pandas.DataFrame
    contests: list

    def features(self, frame):
        return frame.drop(columns=[self.label])

    def kinds(self):
        """Numeric columns, categorical columns."""
        features = self.features(self.frame)
        numeric = [name for name in features if pandas.api.types.is_numeric_dtype(features[name])]
        return numeric, [name for name in features if name not in numeric]


def one_hot(numeric, categorical, learner, scaled):
    numbers = [SimpleImputer(strategy="median")] + ([StandardScaler()] if scaled else [])
    columns = [("numbers", make_pipeline(*numbers), numeric), ("categories", OneHotEncoder(handle_unknown="ignore"), categorical)]
    return make_pipeline(ColumnTransformer(columns), learner)


def ordinal(numeric, categorical, learner):
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = [("numbers", SimpleImputer(strategy="median"), numeric), ("categories", encoder, categorical)]
    return make_pipeline(ColumnTransformer(columns), learner)


def telco(directory):
    frame = pandas.read_csv(os.path.join(directory, "telco-churn/WA_Fn-UseC_-Telco-Customer-Churn.csv"), dtype={"TotalCharges": str})
    # One space where a customer is new: missing.
    frame["TotalCharges"] = pandas.to_numeric(frame["TotalCharges"].str.strip(), errors="coerce")
    frame = frame.drop(columns=["customerID"]).rename(columns=str.lower)

    def forest(numeric, categorical, seed):
        learner = RandomForestClassifier(n_estimators=100, max_depth=8, random_state=seed, n_jobs=THREADS)
        return one_hot(numeric, categorical, learner, scaled=False)

    def logistic(numeric, categorical, seed):
        return one_hot(numeric, categorical, LogisticRegression(max_iter=1000), scaled=True)

    contests = [
        Contest(
            "forest, 100 trees, depth 8",
            "model_type = 'random_forest_classifier', num_parallel_tree = 100, max_tree_depth = 8, seed = {seed}",
            forest,
            "AUC",
            gap_max=0.003,
            train_seconds_max=1.0,
        ),
        Contest("logistic regression", "model_type = 'logistic_reg'", logistic, "AUC", gap_max=0.003),
    ]
    return Problem("telco", "churn", "Yes", frame, contests)


def cars(directory, unlimited):
    frames = []
    for path in sorted(glob.glob(os.path.join(directory, "used-cars/*.csv"))):
        with open(path, encoding="utf-8", newline="") as file:
            # One file calls the column tax(£).
            header = ["tax" if name.startswith("tax") else name for name in next(csv.reader(file))]
        frame = pandas.read_csv(path, names=header, skiprows=1, skipinitialspace=True)
        frame.insert(0, "brand", os.path.basename(path).removesuffix(".csv"))
        frames.append(frame)
    frame = pandas.concat(frames, ignore_index=True).rename(columns=str.lower)
    for name in frame.select_dtypes(exclude="number"):
        frame[name] = frame[name].str.strip()

    def forest(numeric, categorical, seed):
        return ordinal(numeric, categorical, RandomForestRegressor(n_estimators=100, random_state=seed, n_jobs=THREADS))

    def ridge(numeric, categorical, seed):
        return one_hot(numeric, categorical, Ridge(alpha=1.0), scaled=True)

    contests = [
        Contest(
            "forest, 100 trees, unlimited",
            f"model_type = 'random_forest_regressor', num_parallel_tree = 100, {unlimited}, seed = {{seed}}",
            forest,
            "R2",
            gap_max=0.005,
            value_min=0.95,
        ),
        Contest("ridge, one-hot brand and model", "model_type = 'linear_reg', l2_reg = 1.0", ridge, "R2", value_min=0.84),
    ]
    return Problem("cars", "price", None, frame, contests)


def split(problem, seed):
    """Eighty to twenty, stratified by the label where it has classes."""
    frame = problem.frame.copy()
    frame[ROW] = np.arange(len(frame))
    stratify = frame[problem.label] if problem.positive is not None else None
    return train_test_split(frame, test_size=0.2, random_state=seed, stratify=stratify)


def score(problem, truth, predicted):
    if problem.positive is not None:
        return roc_auc_score(truth == problem.positive, predicted)
    return r2_score(truth, predicted)


def scikit_learn(problem, contest, train, test, seed):
    """The metric and the seconds of the fit."""
    estimator = contest.estimator(*problem.kinds(), seed)
    train_features, test_features = (problem.features(part.drop(columns=[ROW])) for part in (train, test))
    start = time.perf_counter()
    estimator.fit(train_features, train[problem.label])
    seconds = time.perf_counter() - start
    if problem.positive is not None:
        place = list(estimator.classes_).index(problem.positive)
        return score(problem, test[problem.label], estimator.predict_proba(test_features)[:, place]), seconds
    return score(problem, test[problem.label], estimator.predict(test_features)), seconds


def column(table, name):
    """A column by its name, whatever the case."""
    for found in table.column_names:
        if found.lower() == name.lower():
            return table.column(found)
    raise KeyError(f"no column {name} among {table.column_names}")


def probability(entries, positive):
    """The probability of a label in weir's LIST<STRUCT<label, prob>>."""
    for entry in entries:
        if str(entry["label"]) == positive:
            return entry["prob"]
    raise ValueError(f"no label {positive} among {entries}")


def weir(cursor, problem, contest, tables, test, seed):
    """The metric and the seconds of CREATE MODEL."""
    train_table, test_table = tables
    names = ", ".join(name for name in problem.frame.columns)
    options = f"{contest.options.format(seed=seed)}, input_label_cols = ['{problem.label}'], data_split_method = 'no_split'"
    _, seconds = run(cursor, f"CREATE OR REPLACE MODEL contest OPTIONS ({options}) AS SELECT {names} FROM {train_table}")
    table, _ = run(cursor, f"SELECT * FROM ML.PREDICT(MODEL contest, TABLE {test_table})")
    rows = column(table, ROW).to_numpy()
    if len(rows) != len(test) or set(rows) != set(test[ROW]):
        raise AssertionError(f"ML.PREDICT returned {len(rows)} rows for {len(test)}")
    if problem.positive is not None:
        entries = column(table, f"predicted_{problem.label}_probs").to_pylist()
        predicted = [probability(row, problem.positive) for row in entries]
    else:
        predicted = column(table, f"predicted_{problem.label}").to_numpy()
    truth = test.set_index(ROW).loc[rows, problem.label]
    return score(problem, truth.to_numpy(), np.asarray(predicted, dtype=np.float64)), seconds


def compare(cursor, problem, seeds):
    """Prints a table; returns whether the thresholds hold."""
    results = {contest.name: {"weir": [], "scikit-learn": [], "failure": ""} for contest in problem.contests}
    for seed in seeds:
        train, test = split(problem, seed)
        tables = (f"{problem.name}_train_{seed}", f"{problem.name}_test_{seed}")
        for name, part in zip(tables, (train, test)):
            ingest(cursor, name, pyarrow.Table.from_pandas(part, preserve_index=False))
        for contest in problem.contests:
            result = results[contest.name]
            theirs = scikit_learn(problem, contest, train, test, seed)
            result["scikit-learn"].append(theirs)
            print(f"  seed {seed}  {contest.name}: scikit-learn {theirs[0]:.5f} in {theirs[1]:.2f} s", end="", flush=True)
            try:
                own = weir(cursor, problem, contest, tables, test, seed)
                result["weir"].append(own)
                print(f", weir {own[0]:.5f} in {own[1]:.2f} s", flush=True)
            except Exception as error:  # noqa: BLE001 - the driver has classes of its own; the other contests go on
                result["failure"] = str(error).splitlines()[0]
                print(f", weir FAILED: {result['failure']}", flush=True)
    passed = True
    print(f"\n{problem.name:<34}{'metric':>7}{'weir':>10}{'sklearn':>10}{'less':>10}{'weir s':>9}{'sklearn s':>11}  verdict")
    for contest in problem.contests:
        passed &= print_contest(contest, results[contest.name])
    print()
    return passed


def print_contest(contest, result):
    theirs, their_seconds = (statistics.fmean(values) for values in zip(*result["scikit-learn"]))
    if result["failure"] or not result["weir"]:
        print(f"{contest.name:<34}{contest.metric:>7}{'':>10}{theirs:10.5f}{'':>10}{'':>9}{their_seconds:11.2f}  FAILED: {result['failure']}")
        return False
    own, own_seconds = (statistics.fmean(values) for values in zip(*result["weir"]))
    verdicts = []
    if contest.gap_max is not None and theirs - own > contest.gap_max:
        verdicts.append(f"more than {contest.gap_max} below")
    if contest.value_min is not None and own < contest.value_min:
        verdicts.append(f"below {contest.value_min}")
    if contest.train_seconds_max is not None and own_seconds > contest.train_seconds_max:
        verdicts.append(f"training took more than {contest.train_seconds_max} s")
    print(
        f"{contest.name:<34}{contest.metric:>7}{own:10.5f}{theirs:10.5f}{theirs - own:10.5f}{own_seconds:9.2f}{their_seconds:11.2f}"
        f"  {', '.join(verdicts) or 'ok'}"
    )
    return not verdicts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weir", required=True, help="the server's binary")
    parser.add_argument("--data", required=True, help="the directory of the real data sets")
    parser.add_argument("--only", choices=["telco", "cars"])
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--rows", type=int, help="try with the first rows only")
    parser.add_argument("--unlimited", default="max_tree_depth = 0", help="how CREATE MODEL spells a tree without a depth limit")
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    problems = []
    if arguments.only != "cars":
        problems.append(telco(arguments.data))
    if arguments.only != "telco":
        problems.append(cars(arguments.data, arguments.unlimited))
    passed = True
    with Server(arguments.weir) as server, server.connect() as connection, connection.cursor() as cursor:
        for problem in problems:
            if arguments.rows is not None:
                problem.frame = problem.frame.sample(n=min(arguments.rows, len(problem.frame)), random_state=0).reset_index(drop=True)
            numeric, categorical = problem.kinds()
            print(f"{problem.name}: {len(problem.frame)} rows, {len(numeric)} numeric and {len(categorical)} categorical columns")
            passed &= compare(cursor, problem, seeds)
    print("all thresholds hold" if passed else "a threshold is missed")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
