"""Trains a recommender by CREATE MODEL from Parquet on growing data, and says what it cost the server.

    tests/bench/run scale [--millions 1 5 10 20] [--rank 64] [--iterations 10]

The ratings are made by `als_fit generate` in the shape of MovieLens-20M (138,493 users x 26,744 items; of fewer ratings the users
and items are fewer in proportion), written as one Parquet file and read through an external table. CPU seconds are those of the
server process, reading and writing included; memory is the peak of its resident size above what it was before the statement.
The largest model is trained once more while another connection asks `SELECT 1` all the time: its latencies are printed. Exits with 1 when
20 million ratings need more than 40 CPU seconds or 2.5 GiB, or `SELECT 1` has a p99 above 50 ms.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time

import adbc_driver_flightsql.dbapi as flightsql
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from weir_server import Server, run

N_USERS, N_ITEMS, FULL = 138_493, 26_744, 20
CPU_SECONDS_MAX, MEMORY_MAX, P99_MAX = 40.0, 2.5 * 2**30, 0.050


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":"))


def reset_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def make(arguments, millions, directory):
    """A Parquet file of so many ratings; returns its directory."""
    share = millions / FULL
    shape = f"{round(N_USERS * share)}x{round(N_ITEMS * share ** 0.5)}x{millions * 1_000_000}"
    numbers = os.path.join(directory, "numbers")
    subprocess.run([arguments.als_fit, "generate", "--shape", shape, "--out", numbers], check=True, stdout=subprocess.DEVNULL)
    parts = {}
    for column in ("users", "items", "values"):
        parts[column] = np.concatenate([np.load(os.path.join(numbers, f"{part}_{column}.npy")) for part in ("train", "test")])
    table = pa.table({"user_id": parts["users"].astype("int64"), "item_id": parts["items"].astype("int64"), "rating": parts["values"]})
    target = os.path.join(directory, f"ratings_{millions}m")
    os.makedirs(target)
    # In no order, as events arrive.
    pq.write_table(table.take(np.random.default_rng(1).permutation(len(table))), os.path.join(target, "part-0.parquet"))
    return target


class Prober(threading.Thread):
    """Asks SELECT 1 until it is told to stop."""

    def __init__(self, uri):
        super().__init__()
        self.uri, self.stopped, self.latencies = uri, False, []

    def run(self):
        with flightsql.connect(self.uri, autocommit=True) as connection, connection.cursor() as cursor:
            while not self.stopped:
                start = time.monotonic()
                cursor.execute("SELECT 1")
                cursor.fetchone()
                self.latencies.append(time.monotonic() - start)
                time.sleep(0.005)


def train(arguments, server, cursor, millions):
    before, resident = cpu_seconds(server.process.pid), memory(server.process.pid, "VmRSS")
    reset_peak(server.process.pid)
    start = time.monotonic()
    run(
        cursor,
        f"CREATE OR REPLACE MODEL m{millions} OPTIONS (model_type='als', user_col='user_id', item_col='item_id', rating_col='rating', "
        f"rank={arguments.rank}, regParam=0.07, max_iterations={arguments.iterations}, data_split_method='no_split') "
        f"AS SELECT user_id, item_id, rating FROM ratings_{millions}m",
    )
    wall = time.monotonic() - start
    return cpu_seconds(server.process.pid) - before, wall, memory(server.process.pid, "VmHWM") - resident


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weir", required=True)
    parser.add_argument("--als-fit", required=True)
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 5, 10, 20])
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=10)
    arguments = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.2f}")
    failed = False
    with tempfile.TemporaryDirectory() as directory:
        locations = {millions: make(arguments, millions, os.path.join(directory, str(millions))) for millions in arguments.millions}
        print(f"{'million ratings':>15} {'CPU s':>8} {'CPU s / million':>16} {'wall s':>8} {'GiB above':>10}")
        for millions in arguments.millions:
            # A server each: what an earlier training left in the allocator is nobody's baseline.
            with Server(arguments.weir, ["--set", f"storage.roots=/bench={directory}"]) as server, server.connect() as connection:
                with connection.cursor() as cursor:
                    location = os.path.join("/bench", os.path.relpath(locations[millions], directory))
                    run(cursor, f"CREATE EXTERNAL TABLE ratings_{millions}m STORED AS PARQUET LOCATION '{location}'")
                    cpu, wall, above = train(arguments, server, cursor, millions)
                    print(f"{millions:>15} {cpu:>8.2f} {cpu / millions:>16.2f} {wall:>8.2f} {above / 2**30:>10.2f}", flush=True)
                    if millions == FULL and (cpu > CPU_SECONDS_MAX or above > MEMORY_MAX):
                        failed = True
                    if millions == max(arguments.millions):
                        prober = Prober(server.uri)
                        prober.start()
                        train(arguments, server, cursor, millions)
                        prober.stopped = True
                        prober.join()
                        p50, p99 = np.percentile(prober.latencies, [50, 99])
                        failed |= p99 > P99_MAX
                        print(f"SELECT 1 meanwhile: {len(prober.latencies)} times, p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
