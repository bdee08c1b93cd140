"""Asks a running recommender over Flight SQL at a fixed rate and says how long the answers take.

    tests/bench/run latency [--rate 300] [--connections 16] [--seconds 20] [--n-items 27000] [--rank 64]

Starts a server, trains a model on made-up ratings (`als_fit generate`), then lets `weir bench query` send prepared `recommend`
statements with a user as their parameter. First one connection asks alone, and `system.queries` says how long its statements took inside the
server, from the dispatcher's start to the last row: without the client and most of Flight SQL. The load is open-loop: request k is due at k / rate whether or not earlier ones have been
answered, and its latency counts from then, so a stall of the server is not hidden by clients that wait. Exits with 1 when a p99 is above
its limit.
"""

import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import pyarrow as pa
from weir_server import Server, ingest, run

MODEL = "bench_recommender"
# What each connection of `weir bench query` asks before the clock starts.
WARM_UP_REQUESTS = 20
SQL = f"SELECT * FROM recommend('{MODEL}', $1, {{top_k}})"
# The newest statements are those of the connection that asked last; those before it warmed it up.
INSIDE = "SELECT seconds FROM system.queries WHERE sql = '{sql}' AND state = 'finished' ORDER BY started DESC LIMIT {limit}"


def train(cursor, arguments):
    """Makes the ratings and the model."""
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


def inside_ms(cursor, sql, limit):
    """How long the newest `limit` statements took inside the server, at most: p50 and p99 in ms, and how many they were."""
    quoted = sql.replace("'", "''")
    rows, _ = run(cursor, INSIDE.format(sql=quoted, limit=limit))
    milliseconds = 1000.0 * rows.column(0).to_numpy()
    return np.percentile(milliseconds, 50), np.percentile(milliseconds, 99), len(milliseconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weir", required=True, help="the server's binary")
    parser.add_argument("--als-fit", required=True, help="weir's example program: it makes the ratings")
    parser.add_argument("--rate", type=float, default=300.0, help="requests per second, all connections together")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--top-k", type=int, default=10)
    parser.add_argument("--n-users", type=int, default=6_040)
    parser.add_argument("--n-items", type=int, default=27_000)
    parser.add_argument("--n-ratings", type=int, default=1_000_000)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--p99-ms-max", type=float, default=10.0)
    parser.add_argument("--inside-p99-ms-max", type=float, default=2.0)
    arguments = parser.parse_args()
    with Server(arguments.weir) as server:
        with server.connect() as connection, connection.cursor() as cursor:
            train(cursor, arguments)
        sql = SQL.format(top_k=arguments.top_k)
        query = [arguments.weir, "bench", "query", sql, server.uri]
        query += ["--param", f"0..{arguments.n_users - 1}"]
        # Alone: three calls (bind, plan, fetch) with nobody beside.
        print(subprocess.run([*query, "--seconds", "5"], check=True, text=True, stdout=subprocess.PIPE).stdout)
        with server.connect() as connection, connection.cursor() as cursor:
            p50, inside, n_inside = inside_ms(cursor, sql, 1000)
        before = server.cpu_seconds()
        load = ["--connections", str(arguments.connections), "--rate", str(arguments.rate), "--seconds", str(arguments.seconds)]
        outcome = subprocess.run([*query, *load], text=True, stdout=subprocess.PIPE)
        spent = server.cpu_seconds() - before
    answer = outcome.stdout
    print(answer, end="")
    if outcome.returncode != 0 or f" {arguments.top_k}.0 rows an answer" not in answer:
        print(f"FAILED: not every request was answered with {arguments.top_k} rows")
        return 1
    n_requests = arguments.rate * arguments.seconds + WARM_UP_REQUESTS * arguments.connections
    print(f"CPU of the server {1000.0 * spent / n_requests:.2f} ms a request")
    is_fast_inside = inside <= arguments.inside_p99_ms_max
    verdict = "ok" if is_fast_inside else "missed"
    print(f"inside the server, alone: p50 {p50:.2f} ms, p99 {inside:.2f} ms of {n_inside}, limit {arguments.inside_p99_ms_max:g} ms: {verdict}")
    latency = next(line for line in answer.splitlines() if line.startswith("latency"))
    p99 = float(latency.split()[-3])
    passed = p99 <= arguments.p99_ms_max
    print(f"p99 {p99:.2f} ms, limit {arguments.p99_ms_max:g} ms: {'ok' if passed else 'missed'}")
    return 0 if passed and is_fast_inside else 1


if __name__ == "__main__":
    sys.exit(main())
