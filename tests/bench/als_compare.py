"""Compares weir's ALS with implicit, LensKit and Spark: the same work, one after the other, in the same run.

    tests/bench/run als [--shape 1m] [--rank 64] [--iterations 10] [--repeat 5] [--sides weir,implicit-cg,...]

Every round fits every side once, with a new seed; the other sides wait idle in processes of their own. Only the fit is timed,
with the ratings in memory in the form the library wants. Exits with 1 when a threshold is missed.

The sides of a pair minimise the same function (written out in `als_losses.Objective`; the training objective is printed for both
sides as evidence). How each library comes to it, read from its source:

implicit 0.7.3 (cpu/als.py, cpu/_als.pyx)
    Each row solves (YtY + reg I + sum (c-1) y yt) x = sum c y, c = alpha * the matrix' values: the confidence itself, not what is
    added to 1, and `regularization` is not scaled by the number of ratings. It is given 1 + alpha r as values and alpha 1.
    With CG it makes three steps from the last factors; with Cholesky (LAPACK posv) it is exact. Users are solved first.
    weir: --feedback implicit --alpha A --scaling row.
LensKit 2025.8.1, ImplicitMFScorer (als/_implicit.py, accel/als/implicit.rs)
    Each row solves (YtY + reg I + sum w r y yt) x = sum (1 + w r) y, w = `weight`, r = the ratings when `use_ratings`; `regularization`
    is not scaled. Exact. weir: as above with alpha = weight.
LensKit 2025.8.1, BiasedMFScorer (als/_explicit.py, accel/als/explicit.rs)
    Subtracts the mean and damped biases, then each row solves (sum y yt + reg n I) x = sum r y: scaled by the number n of ratings.
    Infinite damping makes the biases zero, so that both sides see ratings less the mean.
    weir: --feedback explicit --scaling rating --offset MEAN.
Spark 4.3.0 (ml/recommendation/ALS.scala)
    Each row solves (sum y yt + regParam n I) x = sum r y in f64, items first; implicit: confidence 1 + alpha |r|, lambda scaled by the
    number of ratings above 0, here all. weir: --scaling rating.

What is in a fit: weir and implicit transpose the ratings and make random factors in it; Spark also partitions its ratings;
LensKit's trainer does both before the clock starts (its `preparation` is printed).
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

import numpy as np
from als_losses import Data, Objective, held_out_loss, training_objective

HERE = os.path.dirname(os.path.abspath(__file__))
# The losses of two fits from different random factors differ in the fourth digit.
LOSS_TOLERANCE = 1e-3


@dataclass
class Side:
    """One library with one objective."""

    name: str
    objective: Objective
    runs: list = field(default_factory=list)
    failure: str = ""

    def median(self, what):
        values = [run[what] for run in self.runs if run.get(what) is not None]
        return statistics.median(values) if values else math.nan

    def mean(self, what):
        values = [run[what] for run in self.runs]
        return statistics.fmean(values) if values else math.nan


class Fitter:
    """A side of another library: `als_fitters.py` in a process of its own."""

    def __init__(self, side, arguments, directory):
        self.out = os.path.join(directory, side.name)
        objective = side.objective
        command = [sys.executable, os.path.join(HERE, "als_fitters.py"), side.name, "--data", arguments.data, "--out", self.out]
        command += ["--rank", str(arguments.rank), "--iterations", str(arguments.iterations), "--threads", str(arguments.threads)]
        command += ["--reg", repr(objective.reg), "--alpha", repr(objective.alpha)]
        command += ["--spark-blocks", str(arguments.spark_blocks), "--spark-memory", arguments.spark_memory]
        self.log_path = os.path.join(directory, f"{side.name}.log")
        self.log = open(self.log_path, "w+", encoding="utf-8")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.version = self.answer()["ready"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            with open(self.log_path, encoding="utf-8") as log:
                raise RuntimeError(f"it ended with {self.process.returncode}:\n{log.read()[-2000:]}")
        return json.loads(line)

    def fit(self, seed):
        self.process.stdin.write(f"{seed}\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


class Weir:
    """weir's side: the example program, once per fit."""

    version = "weir"

    def __init__(self, side, arguments, directory, offset):
        self.out = os.path.join(directory, side.name)
        objective = side.objective
        self.command = [arguments.als_fit, "fit", "--data", arguments.data, "--repeat", "1", "--factors", self.out]
        self.command += ["--rank", str(arguments.rank), "--iterations", str(arguments.iterations)]
        self.command += ["--threads", str(arguments.threads), "--reg", repr(objective.reg), "--scaling", objective.scaling]
        self.command += ["--feedback", objective.feedback, "--offset", repr(offset), *arguments.weir_options.split()]
        if objective.feedback == "implicit":
            self.command += ["--alpha", repr(objective.alpha)]

    def fit(self, seed):
        finished = subprocess.run([*self.command, "--seed", str(seed)], capture_output=True, text=True)
        if finished.returncode != 0:
            raise RuntimeError(finished.stderr.strip())
        return json.loads(finished.stdout.splitlines()[0])

    def close(self):
        pass


def sides_and_pairs(arguments):
    """The sides, and pairs of (weir's side, the other, how many times as fast weir must be)."""
    implicit = Objective("implicit", arguments.implicit_reg, "row", alpha=arguments.alpha)
    implicit_scaled = Objective("implicit", arguments.explicit_reg, "rating", alpha=arguments.alpha)
    centred = Objective("explicit", arguments.explicit_reg, "rating", centred=True)
    explicit = Objective("explicit", arguments.explicit_reg, "rating")
    sides = {
        "weir-implicit": implicit,
        "implicit-cg": implicit,
        "implicit-cholesky": implicit,
        "lenskit-implicit": implicit,
        "weir-centred": centred,
        "lenskit-explicit": centred,
        "weir-explicit": explicit,
        "spark-explicit": explicit,
        "weir-implicit-scaled": implicit_scaled,
        "spark-implicit": implicit_scaled,
    }
    pairs = [
        ("weir-implicit", "implicit-cg", 2.0),
        ("weir-implicit", "implicit-cholesky", 10.0),
        ("weir-implicit", "lenskit-implicit", 3.0),
        ("weir-centred", "lenskit-explicit", 3.0),
        ("weir-explicit", "spark-explicit", 30.0),
        ("weir-implicit-scaled", "spark-implicit", 30.0),
    ]
    wanted = arguments.sides.split(",")
    pairs = [pair for pair in pairs if pair[1] in wanted]
    unknown = set(wanted) - set(sides)
    if unknown:
        raise SystemExit(f"there is no side {', '.join(sorted(unknown))}; there are {', '.join(sides)}")
    used = {name for pair in pairs for name in pair[:2]} | set(wanted)
    return [Side(name, objective) for name, objective in sides.items() if name in used], pairs


def run_round(number, sides, fitters, data, arguments):
    """Fits every side once."""
    for side in sides:
        is_spark = side.name.startswith("spark")
        if side.failure or (is_spark and number >= arguments.spark_repeat):
            continue
        fitter = fitters[side.name]
        try:
            run = fitter.fit(arguments.seed + number)
            users, items = (np.load(os.path.join(fitter.out, f"{what}.npy")) for what in ("users", "items"))
        except (RuntimeError, OSError, ValueError) as error:
            side.failure = str(error)
            print(f"  {side.name:<22}FAILED {side.failure}", flush=True)
            continue
        own_loss = run.get("heldout_loss")
        run["heldout_loss"] = held_out_loss(data, side.objective, users, items)
        run["objective"] = training_objective(data, side.objective, users, items)
        if own_loss is not None and not math.isclose(own_loss, run["heldout_loss"], rel_tol=1e-4):
            side.failure = f"als_fit says the loss is {own_loss}, numpy says {run['heldout_loss']}"
        side.runs.append(run)
        print(f"  {side.name:<22}{run['wall_seconds']:9.3f} s wall {run['cpu_seconds']:9.2f} s CPU", flush=True)


def print_sides(sides, peak):
    print(f"\n{'side':<22}{'wall s':>9}{'min':>9}{'max':>9}{'CPU s':>9}{'held-out':>11}{'objective':>14}{'GFLOP/s':>9}{'of peak':>9}  minimises")
    for side in sides:
        if not side.runs:
            print(f"{side.name:<22}FAILED {side.failure}")
            continue
        walls = [run["wall_seconds"] for run in side.runs]
        gflops, share = "", ""
        if "gflops" in side.runs[0]:
            gflops = f"{side.median('gflops'):.1f}"
            share = f"{side.median('gflops') / peak:.0%}" if peak else ""
        print(
            f"{side.name:<22}{side.median('wall_seconds'):9.3f}{min(walls):9.3f}{max(walls):9.3f}{side.median('cpu_seconds'):9.2f}"
            f"{side.mean('heldout_loss'):11.5f}{side.mean('objective'):14.6g}{gflops:>9}{share:>9}  {side.objective}"
        )
        if "preparation_seconds" in side.runs[0]:
            print(f"{'':<22}{side.median('preparation_seconds'):9.3f} preparation, not counted")
        if side.failure:
            print(f"{'':<22}FAILED {side.failure}")


def print_pairs(sides, pairs):
    """Prints the ratios; returns whether all thresholds hold."""
    by_name = {side.name: side for side in sides}
    print(f"\n{'other / weir':<22}{'wall':>9}{'CPU':>9}{'needed':>9}{'loss of weir less other':>26}{'objective':>12}  verdict")
    passed = True
    for own_name, other_name, needed in pairs:
        own, other = by_name[own_name], by_name[other_name]
        failed = [side.name for side in (own, other) if side.failure or not side.runs]
        if failed:
            print(f"{other_name:<22}{'':>9}{'':>9}{needed:9.1f}{'':>26}{'':>12}  FAILED: no result of {', '.join(failed)}")
            passed = False
            continue
        wall = other.median("wall_seconds") / own.median("wall_seconds")
        cpu = other.median("cpu_seconds") / max(own.median("cpu_seconds"), 0.01)
        difference = own.mean("heldout_loss") / other.mean("heldout_loss") - 1.0
        objective = own.mean("objective") / other.mean("objective") - 1.0
        verdicts = []
        if wall < needed:
            verdicts.append("too slow")
        if difference > LOSS_TOLERANCE:
            verdicts.append("worse on held-out ratings")
        passed &= not verdicts
        print(f"{other_name:<22}{wall:9.2f}{cpu:9.2f}{needed:9.1f}{difference:26.4%}{objective:12.3%}  {', '.join(verdicts) or 'ok'}")
    return passed


def measure_peak(arguments):
    finished = subprocess.run([arguments.als_fit, "peak", "--threads", str(arguments.threads)], capture_output=True, text=True, check=True)
    return json.loads(finished.stdout)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--als-fit", required=True, help="weir's example program, built with --release")
    parser.add_argument("--shape", default="1m", help="1m, 20m or USERSxITEMSxRATINGS")
    parser.add_argument("--exponent", default="1.2", help="of Zipf's law")
    parser.add_argument("--data", help="a directory made by `als_fit generate`, instead of --shape")
    parser.add_argument("--sides", default="implicit-cg,implicit-cholesky,lenskit-explicit,lenskit-implicit,spark-explicit")
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--spark-repeat", type=int, help="fits of Spark, by default --repeat")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--alpha", type=float, default=1.0, help="of the implicit objective")
    parser.add_argument("--implicit-reg", type=float, default=60.0, help="the best for the held-out loss of the 1m shape")
    parser.add_argument("--explicit-reg", type=float, default=0.07)
    parser.add_argument("--spark-blocks", type=int, default=10, help="Spark's default is 10")
    parser.add_argument("--spark-memory", default="4g")
    parser.add_argument("--weir-options", default="", help="more options of `als_fit fit`")
    arguments = parser.parse_args()
    if arguments.spark_repeat is None:
        arguments.spark_repeat = arguments.repeat
    return arguments


def main():
    arguments = parse_arguments()
    sides, pairs = sides_and_pairs(arguments)
    with tempfile.TemporaryDirectory(prefix="weir-als-") as directory:
        if arguments.data is None:
            arguments.data = os.path.join(directory, "data")
            command = [arguments.als_fit, "generate", "--shape", arguments.shape, "--out", arguments.data, "--exponent", arguments.exponent]
            subprocess.run(command, check=True)
        data = Data(arguments.data)
        with open(os.path.join(arguments.data, "about.json"), encoding="utf-8") as about:
            print(f"data {about.read().strip()}, {len(data.train[0])} for training, {len(data.test[0])} held out")
        print(f"rank {arguments.rank}, {arguments.iterations} iterations, {arguments.threads} threads; load before: {os.getloadavg()[0]:.2f}")
        peaks = [measure_peak(arguments)]
        fitters = {}
        try:
            for side in sides:
                try:
                    if side.name.startswith("weir"):
                        fitters[side.name] = Weir(side, arguments, directory, data.offset(side.objective))
                    else:
                        fitters[side.name] = Fitter(side, arguments, directory)
                except RuntimeError as error:
                    side.failure = str(error)
            print("against " + ", ".join(sorted({fitter.version for fitter in fitters.values()} - {"weir"})))
            for number in range(arguments.repeat):
                print(f"round {number + 1}", flush=True)
                run_round(number, sides, fitters, data, arguments)
        finally:
            for fitter in fitters.values():
                fitter.close()
        peaks.append(measure_peak(arguments))
        peak = max(peaks, key=lambda measured: measured["gflops"] or 0.0)
        if peak["gflops"]:
            print(f"\npeak of f32 FMA, {peak['instructions']}, {arguments.threads} threads: {peak['gflops']:.0f} GFLOP/s")
        print_sides(sides, peak["gflops"])
        passed = print_pairs(sides, pairs)
    print("\nall thresholds hold" if passed else "\na threshold is missed")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
