"""Asks a running recommender over Flight SQL at a fixed rate and says how long the answers take.

    tests/bench/run latency [--rate 300] [--connections 16] [--seconds 20] [--n-items 27000] [--rank 64]

Starts a server, trains a model on made-up ratings (`als_fit generate`), then sends prepared `recommend` statements with a user as
their parameter. The load is open-loop: request k is due at k / rate whether or not earlier ones have been answered, and its latency
counts from then, so a stall of the server is not hidden by clients that wait. The connections are spread over processes: none of
them shares an interpreter lock with all others. How late the clients themselves are, on a connection that is free, is printed as
their lag: the latencies hold it, and a large one means that this machine cannot send the load. Exits with 1 when p99 is above the limit.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time

import adbc_driver_flightsql.dbapi as flightsql
import numpy as np
import pyarrow as pa
from weir_server import Server, ingest, run

MODEL = "bench_recommender"
SQL = f"SELECT * FROM recommend('{MODEL}', ?, {{top_k}})"
# What each connection asks before the clock starts.
WARM_UP_REQUESTS = 20


def parameters(user):
    return pa.record_batch([pa.array([user], pa.int64())], names=["1"])


class Connection(threading.Thread):
    """One connection: every `step`-th request from `first` on is its own."""

    def __init__(self, plan, first, barrier):
        super().__init__()
        self.plan, self.first, self.barrier = plan, first, barrier
        self.latencies, self.lags, self.services, self.failures = [], [], [], []

    def run(self):
        plan = self.plan
        users = np.random.default_rng(self.first).integers(0, plan.n_users, size=plan.n_requests)
        sql = SQL.format(top_k=plan.top_k)
        with flightsql.connect(plan.uri, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.adbc_prepare(sql)
            for user in users[:WARM_UP_REQUESTS]:
                cursor.execute(sql, parameters(int(user)))
                cursor.fetch_arrow_table()
            self.barrier.wait()
            while plan.start.value == 0.0:
                time.sleep(0.001)
            free = plan.start.value
            for place in range(self.first, plan.n_requests, plan.n_connections):
                due = plan.start.value + place / plan.rate
                wait = due - time.monotonic()
                if wait > 0.0:
                    time.sleep(wait)
                sent = time.monotonic()
                try:
                    cursor.execute(sql, parameters(int(users[place])))
                    n_rows = cursor.fetch_arrow_table().num_rows
                except Exception as error:  # noqa: BLE001 - a failure is a result
                    self.failures.append(str(error).splitlines()[0])
                    free = time.monotonic()
                    continue
                finished = time.monotonic()
                if n_rows != plan.n_expected[users[place]]:
                    self.failures.append(f"user {users[place]} got {n_rows} rows")
                self.latencies.append(finished - due)
                self.services.append(finished - sent)
                self.lags.append(sent - max(due, free))
                free = finished


class Plan:
    """What all processes know."""

    def __init__(self, arguments, uri, n_expected):
        self.uri, self.top_k = uri, arguments.top_k
        # Rows of the answer, by user: fewer than asked for when a user has rated nearly everything.
        self.n_users, self.n_expected = len(n_expected), n_expected
        self.rate, self.n_connections = arguments.rate, arguments.connections
        self.n_requests = int(arguments.rate * arguments.seconds)
        # 0 until all connections are ready; on Linux the monotonic clock is the same in all processes.
        self.start = multiprocessing.Value("d", 0.0, lock=False)


def work(plan, firsts, barrier, results):
    connections = [Connection(plan, first, barrier) for first in firsts]
    for connection in connections:
        connection.start()
    for connection in connections:
        connection.join()
    results.put([(c.latencies, c.services, c.lags, c.failures) for c in connections])


def train(cursor, arguments):
    """Makes the ratings and the model; returns how many items there are to recommend to each user, at most `top_k`."""
    with tempfile.TemporaryDirectory(prefix="weir-latency-") as directory:
        shape = f"{arguments.n_users}x{arguments.n_items}x{arguments.n_ratings}"
        subprocess.run([arguments.als_fit, "generate", "--shape", shape, "--out", directory], check=True)
        columns = {}
        for column, what in (("user_id", "users"), ("item_id", "items"), ("rating", "values")):
            columns[column] = np.concatenate([np.load(os.path.join(directory, f"{part}_{what}.npy")) for part in ("train", "test")])
    table = pa.table(
        {
            "user_id": columns["user_id"].astype(np.int64),
            "item_id": columns["item_id"].astype(np.int64),
            "rating": columns["rating"].astype(np.float64),
        }
    )
    ingest(cursor, "bench_ratings", table)
    _, seconds = run(
        cursor,
        f"CREATE OR REPLACE MODEL {MODEL} OPTIONS (model_type = 'matrix_factorization', user_col = 'user_id', item_col = 'item_id', "
        f"rating_col = 'rating', rank = {arguments.rank}, regParam = 0.06, max_iterations = {arguments.iterations}, seed = 42, "
        "data_split_method = 'no_split') AS SELECT user_id, item_id, rating FROM bench_ratings",
    )
    n_items = len(np.unique(columns["item_id"]))
    print(f"{shape} ratings, {n_items} items rated, rank {arguments.rank}: trained in {seconds:.1f} s")
    return np.minimum(n_items - np.bincount(columns["user_id"], minlength=arguments.n_users), arguments.top_k)


def load(plan, n_processes):
    """Runs the load; returns latencies, service times, lags (seconds) and failures."""
    barrier = multiprocessing.Barrier(plan.n_connections + 1)
    results = multiprocessing.Queue()
    shares = [list(range(process, plan.n_connections, n_processes)) for process in range(n_processes)]
    processes = [multiprocessing.Process(target=work, args=(plan, share, barrier, results)) for share in shares if share]
    for process in processes:
        process.start()
    barrier.wait(timeout=120)
    plan.start.value = time.monotonic() + 0.2
    answers = [answer for _ in processes for answer in results.get(timeout=plan.n_requests / plan.rate + 120)]
    for process in processes:
        process.join()
    latencies, services, lags = (np.concatenate([np.asarray(answer[part]) for answer in answers]) for part in range(3))
    return latencies, services, lags, [failure for answer in answers for failure in answer[3]]


def print_distribution(name, seconds):
    p50, p90, p99, p999 = np.percentile(seconds * 1000.0, [50, 90, 99, 99.9])
    print(f"{name:<44}{p50:9.2f}{p90:9.2f}{p99:9.2f}{p999:9.2f}{seconds.max() * 1000.0:9.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weir", required=True, help="the server's binary")
    parser.add_argument("--als-fit", required=True, help="weir's example program: it makes the ratings")
    parser.add_argument("--rate", type=float, default=300.0, help="requests per second, all connections together")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--top-k", type=int, default=10)
    parser.add_argument("--n-users", type=int, default=6_040)
    parser.add_argument("--n-items", type=int, default=27_000)
    parser.add_argument("--n-ratings", type=int, default=1_000_000)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--p99-ms-max", type=float, default=10.0)
    arguments = parser.parse_args()
    # A forked child of a process that has used gRPC would inherit half of its threads.
    multiprocessing.set_start_method("spawn")
    with Server(arguments.weir) as server:
        with server.connect() as connection, connection.cursor() as cursor:
            n_expected = train(cursor, arguments)
        plan = Plan(arguments, server.uri, n_expected)
        latencies, services, lags, failures = load(plan, arguments.processes)
    for failure in sorted(set(failures))[:5]:
        print(f"FAILED {failures.count(failure)} times: {failure}")
    if len(latencies) == 0:
        return 1
    print(f"{len(latencies)} answers, {arguments.rate:g} requests/s, {arguments.connections} connections in {arguments.processes} processes")
    print(f"{'ms':<44}{'p50':>9}{'p90':>9}{'p99':>9}{'p99.9':>9}{'max':>9}")
    print_distribution("latency, from when the request was due", latencies)
    print_distribution("service, from when it was sent", services)
    print_distribution("the clients' own lag", lags)
    p99 = float(np.percentile(latencies * 1000.0, 99))
    passed = p99 <= arguments.p99_ms_max and not failures
    print(f"p99 {p99:.2f} ms, limit {arguments.p99_ms_max:g} ms: {'ok' if passed else 'missed'}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
