"""Imports models saved by Spark into a running weir server and compares every prediction with Spark's own.

    python tests/clients/spark_compare.py grpc://127.0.0.1:32010 DIRECTORY --user admin --password ... [--only NAME ...]

DIRECTORY is what spark_save.py wrote, inside a root of the server (`--server-directory` when the server sees it under
another name). Prints a line for each case with the largest relative difference; exit code 1 when one is larger than
1e-6 (1e-5 for ALS), when a row has a prediction on one side only, or when a word does not belong to its class.
Everything it makes is called `spark_compare_*` and dropped at the end. Needs requirements.txt only.
"""

import argparse
import json
import math
import os
import sys

import adbc_driver_flightsql.dbapi as flightsql
from adbc_driver_flightsql import DatabaseOptions

NAME = "spark_compare"
TOLERANCE = 1e-6
TOLERANCE_ALS = 1e-5


def difference(ours, theirs):
    """The relative difference of two numbers; NULL and NaN are no number."""
    missing = [value is None or (isinstance(value, float) and math.isnan(value)) for value in (ours, theirs)]
    if all(missing):
        return 0.0
    if any(missing):
        return math.inf
    return abs(ours - theirs) / max(abs(theirs), 1e-9)


class Words:
    """Which word stands for which number of a class: found out, and held to."""

    def __init__(self):
        self.word_of, self.number_of = {}, {}

    def fits(self, word, number):
        return self.word_of.setdefault(number, word) == word and self.number_of.setdefault(word, number) == number


def compare_classes(column, rows):
    """Differences of probabilities; predicted words must be Spark's, or belong to one class each."""
    words, worst = Words(), 0.0
    for row in rows:
        word, number = row[column], row["spark_prediction"]
        if word is None or number is None:
            worst = max(worst, 0.0 if word is None and number is None else math.inf)
            continue
        if row.get("spark_label") is not None and row["spark_label"] != word:
            raise AssertionError(f"row {row['row_id']}: {word!r}, Spark says {row['spark_label']!r}")
        if not words.fits(word, number):
            raise AssertionError(f"row {row['row_id']}: {word!r} for class {number}, before {words.word_of[number]!r}")
        if isinstance(word, float) and word != number:
            raise AssertionError(f"row {row['row_id']}: class {word}, Spark says {number}")
        probabilities = {pair["label"]: pair["prob"] for pair in row[f"{column}_probs"]}
        theirs = row["spark_probability"]
        worst = max(worst, difference(probabilities[word], theirs[int(number)]))
        # The words of classes that nothing was predicted to be are not known: compare in order.
        for ours, other in zip(sorted(probabilities.values()), sorted(theirs)):
            # Both sides lose digits in 1 - p: small probabilities are compared with 1.
            worst = max(worst, difference(ours, other) if other > 1e-6 else abs(ours - other))
        if len(probabilities) != len(theirs):
            raise AssertionError(f"{len(probabilities)} classes, Spark has {len(theirs)}")
    return worst


def compare(cursor, directory, case):
    name = f"{NAME}_{case['name']}"
    path = f"{directory}/{case['name']}"
    cursor.execute(f"CREATE OR REPLACE MODEL {name} OPTIONS (model_type='spark', model_path='{path}/model')")
    cursor.execute(f"DROP TABLE IF EXISTS {name}_rows")
    cursor.execute(f"CREATE EXTERNAL TABLE {name}_rows STORED AS PARQUET LOCATION '{path}/rows'")
    try:
        cursor.execute(f"SELECT * FROM ML.PREDICT(MODEL {name}, TABLE {name}_rows) ORDER BY row_id")
        table = cursor.fetch_arrow_table()
        rows = table.to_pylist()
        if not rows:
            raise AssertionError("no rows")
        if case["expected"] == "cluster":
            wrong = [row["row_id"] for row in rows if row["centroid_id"] != int(row["spark_prediction"])]
            if wrong:
                raise AssertionError(f"other clusters in rows {wrong[:10]}")
            worst = 0.0
        elif "probability" in case["outputs"]:
            column = f"predicted_{case['label']}"
            if column not in table.column_names:
                raise AssertionError(f"no column {column} among {table.column_names}")
            worst = compare_classes(column, rows)
        else:
            worst = max(difference(row[f"predicted_{case['label']}"], row["spark_prediction"]) for row in rows)
        return len(rows), worst
    finally:
        cursor.execute(f"DROP TABLE IF EXISTS {name}_rows")
        cursor.execute(f"DROP MODEL IF EXISTS {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("uri")
    parser.add_argument("directory")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--tls-ca")
    parser.add_argument("--server-directory", help="the directory as the server's SQL names it")
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    options = {"username": arguments.user, "password": arguments.password}
    if arguments.tls_ca:
        with open(arguments.tls_ca, encoding="ascii") as file:
            options[DatabaseOptions.TLS_ROOT_CERTS.value] = file.read()
    options = {key: value for key, value in options.items() if value is not None}
    names = sorted(name for name in os.listdir(arguments.directory) if os.path.exists(os.path.join(arguments.directory, name, "case.json")))
    if arguments.only:
        names = [name for name in names if name in arguments.only]
    if not names:
        sys.exit(f"no cases in {arguments.directory}")
    failed = []
    with flightsql.connect(arguments.uri, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
        for name in names:
            with open(os.path.join(arguments.directory, name, "case.json"), encoding="utf-8") as file:
                case = json.load(file)
            limit = TOLERANCE_ALS if case["expected"] == "rating" else TOLERANCE
            try:
                n_rows, worst = compare(cursor, arguments.server_directory or os.path.abspath(arguments.directory), case)
            except Exception as error:  # noqa: BLE001 - the other cases are still worth running
                failed.append(name)
                print(f"FAIL {name}: {error}", flush=True)
                continue
            if worst > limit:
                failed.append(name)
            print(f"{'ok' if worst <= limit else 'FAIL'} {name}: {n_rows} rows, largest relative difference {worst:.2e}", flush=True)
    print(f"{len(names) - len(failed)} of {len(names)} models predict what Spark predicts")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
