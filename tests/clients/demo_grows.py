"""Asks a running `weir demo` for its live events through ADBC: each answer has more of them than the one before, and newer ones.

    python tests/clients/demo_grows.py grpc://127.0.0.1:32010

Events come about fifty times a second: an answer that has nothing new is asked for again, for a while.
"""

import sys
import time

import adbc_driver_flightsql.dbapi as flightsql

QUERY = "SELECT count(*), max(event_time) FROM user_events"
CALLS = 5
# For the table to appear, and between two answers.
PATIENCE_SECONDS = 60
PAUSE_SECONDS = 0.05


def main():
    (uri,) = sys.argv[1:]
    seen = []
    with flightsql.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        deadline = time.monotonic() + PATIENCE_SECONDS
        last_count = 0
        while len(seen) < CALLS:
            cursor.execute(QUERY)
            count, newest = cursor.fetchone()
            if count < last_count:
                sys.exit(f"the count went back from {last_count} to {count}")
            last_count = count
            if count > 0 and (not seen or (count > seen[-1][0] and newest > seen[-1][1])):
                print(f"ok {count} events, the newest of {newest}")
                seen.append((count, newest))
                deadline = time.monotonic() + PATIENCE_SECONDS
            elif time.monotonic() > deadline:
                cursor.execute("SELECT state, last_error FROM system.streams")
                sys.exit(f"{count} events, the newest of {newest}, for {PATIENCE_SECONDS} s; the stream: {cursor.fetchall()}")
            else:
                time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
