"""A weir server of its own for a comparison: development mode, a free port, a temporary directory."""

import os
import subprocess
import tempfile
import threading
import time

import adbc_driver_flightsql.dbapi as flightsql

READY = "weir listens on "


class Server:
    """Use it with `with`; the server and its directory go at the end."""

    def __init__(self, binary, arguments=()):
        self.binary, self.arguments = os.path.abspath(binary), list(arguments)

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="weir-bench-")
        command = [self.binary, "serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir", os.path.join(self.directory.name, "server")]
        command += self.arguments
        self.log_path = os.path.join(self.directory.name, "log")
        self.log = open(self.log_path, "w", encoding="utf-8")
        self.process = subprocess.Popen(
            command, cwd=self.directory.name, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        for line in self.process.stdout:
            if line.startswith(READY):
                self.address = line[len(READY) :].split()[0]
                break
        else:
            self.__exit__()
            raise RuntimeError("the server ended before it was ready")
        # Nobody reads on: a full pipe would stop the server.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.uri = f"grpc://{self.address}"
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.directory.cleanup()

    def cpu_seconds(self):
        """User and system time of the server so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def connect(self):
        return flightsql.connect(self.uri, autocommit=True)


def run(cursor, sql):
    """Runs a statement to its end; returns its rows as an Arrow table and the wall seconds."""
    start = time.perf_counter()
    cursor.execute(sql)
    table = cursor.fetch_arrow_table()
    return table, time.perf_counter() - start


def ingest(cursor, name, table):
    """Makes a table from an Arrow table, in messages that the driver sends."""
    cursor.adbc_ingest(name, table.to_reader(100_000), mode="create")
