"""One library in a process of its own: loads the ratings, then fits whenever it is told to.

    python tests/bench/als_fitters.py LIBRARY --data DIR --rank K --iterations N --threads T --reg R --alpha A --out DIR

LIBRARY is implicit-cg, implicit-cholesky, lenskit-explicit, lenskit-implicit, spark-explicit or spark-implicit.
Prints a line `{"ready": version}`. Each line of standard input is a seed; each is answered by a line of JSON with the wall and
CPU seconds of the fit alone, after the factors were written to `users.npy` and `items.npy` in `--out`. The header of
`als_compare.py` says which objective each library has.
"""

import argparse
import json
import os
import sys
import time

# Before any import of numpy: the libraries bring threads of their own, and nested ones of BLAS would only fight them.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
from als_losses import Data  # noqa: E402


def process_cpu_seconds():
    times = os.times()
    return times.user + times.system


class Timer:
    """Wall and CPU seconds of the block."""

    def __init__(self, cpu_seconds=process_cpu_seconds):
        self.cpu_seconds = cpu_seconds

    def __enter__(self):
        self.cpu_start, self.start = self.cpu_seconds(), time.perf_counter()
        return self

    def __exit__(self, *_):
        self.wall = time.perf_counter() - self.start
        self.cpu = self.cpu_seconds() - self.cpu_start


class Implicit:
    """AlternatingLeastSquares takes a matrix of confidences; the library multiplies by its alpha, here left at 1."""

    def __init__(self, data, arguments, use_cg):
        import implicit
        from scipy.sparse import csr_matrix

        self.arguments, self.use_cg = arguments, use_cg
        users, items, values = data.train
        confidences = np.float32(1.0) + np.float32(arguments.alpha) * values
        self.matrix = csr_matrix((confidences, (users, items)), shape=(data.n_users, data.n_items))
        self.matrix.sort_indices()
        self.version = f"implicit {implicit.__version__}"

    def fit(self, seed):
        from implicit.cpu.als import AlternatingLeastSquares

        model = AlternatingLeastSquares(
            factors=self.arguments.rank,
            regularization=self.arguments.reg,
            iterations=self.arguments.iterations,
            use_cg=self.use_cg,
            num_threads=self.arguments.threads,
            random_state=seed,
        )
        with Timer() as timer:
            model.fit(self.matrix, show_progress=False)
        return timer, {}, model.user_factors, model.item_factors


class LensKit:
    """The trainer is made before the clock starts: in the library's favour, since weir transposes its ratings while it is timed."""

    def __init__(self, data, arguments, feedback):
        os.environ["LK_NUM_THREADS"] = str(arguments.threads)
        os.environ["LK_NUM_BACKEND_THREADS"] = "1"
        import lenskit
        import pandas
        from lenskit.data import from_interactions_df

        self.arguments, self.feedback, self.shape = arguments, feedback, (data.n_users, data.n_items)
        users, items, values = data.train
        frame = pandas.DataFrame({"user_id": users.astype(np.int64), "item_id": items.astype(np.int64), "rating": values})
        self.dataset = from_interactions_df(frame)
        self.version = f"LensKit {lenskit.__version__}"

    def scorer(self):
        from lenskit.als import BiasedMFScorer, ImplicitMFScorer

        common = {
            "embedding_size": self.arguments.rank,
            "epochs": self.arguments.iterations,
            "regularization": self.arguments.reg,
        }
        if self.feedback == "explicit":
            # Infinite damping makes the biases of users and items exactly zero; the mean stays.
            return BiasedMFScorer(damping=float("inf"), **common)
        return ImplicitMFScorer(weight=self.arguments.alpha, use_ratings=True, **common)

    def fit(self, seed):
        from lenskit.training import TrainingOptions

        scorer = self.scorer()
        with Timer() as preparation:
            trainer = scorer.create_trainer(self.dataset, TrainingOptions(rng=seed))
        with Timer() as timer:
            for _ in range(self.arguments.iterations):
                trainer.train_epoch()
            trainer.finalize()
        if self.feedback == "explicit" and (np.any(scorer.bias.user_biases) or np.any(scorer.bias.item_biases)):
            raise AssertionError("LensKit's biases are not zero: the objective is another one")
        # LensKit numbers the ids that occur.
        users, items = (np.zeros((n, self.arguments.rank), np.float32) for n in self.shape)
        users[np.asarray(scorer.users.ids(), dtype=np.int64)] = scorer.user_embeddings
        items[np.asarray(scorer.items.ids(), dtype=np.int64)] = scorer.item_embeddings
        return timer, {"preparation_seconds": preparation.wall}, users, items


class Spark:
    """The ratings are cached and counted before the clock starts; `fit` itself materialises both sides' factors."""

    def __init__(self, data, arguments, feedback):
        import psutil
        import pyarrow
        import pyarrow.parquet
        import pyspark
        from pyspark.sql import SparkSession

        self.arguments, self.feedback, self.shape = arguments, feedback, (data.n_users, data.n_items)
        path = os.path.join(arguments.out, "ratings.parquet")
        os.makedirs(arguments.out, exist_ok=True)
        columns = [array.astype(kind) for array, kind in zip(data.train, (np.int32, np.int32, np.float32))]
        pyarrow.parquet.write_table(pyarrow.table(columns, names=["user", "item", "rating"]), path)
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        self.session = (
            SparkSession.builder.master(f"local[{arguments.threads}]")
            .appName("als_compare")
            .config("spark.driver.memory", arguments.spark_memory)
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.local.dir", arguments.out)
            .getOrCreate()
        )
        self.session.sparkContext.setLogLevel("ERROR")
        self.ratings = self.session.read.parquet(path).repartition(arguments.threads).cache()
        self.ratings.count()
        self.machine = psutil.Process(self.session.sparkContext._gateway.proc.pid)
        self.version = f"Spark {pyspark.__version__}"
        # Classes are loaded and hot code is compiled before the first timed fit.
        self.als(0, 1).fit(self.ratings)

    def cpu_seconds(self):
        processes = [self.machine, *self.machine.children(recursive=True)]
        return sum(times.user + times.system for times in (process.cpu_times() for process in processes))

    def als(self, seed, iterations):
        from pyspark.ml.recommendation import ALS

        return ALS(
            rank=self.arguments.rank,
            maxIter=iterations,
            regParam=self.arguments.reg,
            implicitPrefs=self.feedback == "implicit",
            alpha=self.arguments.alpha,
            numUserBlocks=self.arguments.spark_blocks,
            numItemBlocks=self.arguments.spark_blocks,
            seed=seed,
            userCol="user",
            itemCol="item",
            ratingCol="rating",
        )

    def fit(self, seed):
        estimator = self.als(seed, self.arguments.iterations)
        with Timer(self.cpu_seconds) as timer:
            model = estimator.fit(self.ratings)
        factors = []
        for frame, n_rows in zip((model.userFactors, model.itemFactors), self.shape):
            side = np.zeros((n_rows, self.arguments.rank), np.float32)
            rows = frame.collect()
            side[[row["id"] for row in rows]] = [row["features"] for row in rows]
            factors.append(side)
        return timer, {}, *factors


LIBRARIES = {
    "implicit-cg": lambda data, arguments: Implicit(data, arguments, use_cg=True),
    "implicit-cholesky": lambda data, arguments: Implicit(data, arguments, use_cg=False),
    "lenskit-explicit": lambda data, arguments: LensKit(data, arguments, "explicit"),
    "lenskit-implicit": lambda data, arguments: LensKit(data, arguments, "implicit"),
    "spark-explicit": lambda data, arguments: Spark(data, arguments, "explicit"),
    "spark-implicit": lambda data, arguments: Spark(data, arguments, "implicit"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--reg", type=float, required=True)
    parser.add_argument("--alpha", type=float, required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--spark-blocks", type=int, default=10)
    parser.add_argument("--spark-memory", default="4g")
    arguments = parser.parse_args()
    # Answers go where standard output was; whatever a library prints goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    os.makedirs(arguments.out, exist_ok=True)
    fitter = LIBRARIES[arguments.library](Data(arguments.data), arguments)
    answer({"ready": fitter.version})
    for line in sys.stdin:
        timer, more, users, items = fitter.fit(int(line))
        np.save(os.path.join(arguments.out, "users.npy"), np.asarray(users, dtype=np.float32))
        np.save(os.path.join(arguments.out, "items.npy"), np.asarray(items, dtype=np.float32))
        answer({"wall_seconds": timer.wall, "cpu_seconds": timer.cpu, **more})


if __name__ == "__main__":
    main()
