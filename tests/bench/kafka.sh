#!/usr/bin/env bash
# Runs `weir bench kafka` against a broker of its own: tests/bench/kafka.sh WEIR [arguments of weir bench kafka]
#
# The broker is the one of the tests (tests/run puts it into the user's cache), with a larger heap.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

weir="$1"
shift
version="$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' tests/clients/kafka/pom.xml)"
kafka="${WEIR_TEST_KAFKA:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/kafka-$version}"
if [[ ! -d "$kafka/libs" ]]; then
    echo "tests/bench/kafka.sh: there is no $kafka: run tests/run once" >&2
    exit 1
fi

directory="$(mktemp -d)"
read -r port controller < <(python3 - <<'PYTHON'
import socket
sockets = [socket.socket() for _ in range(2)]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))
PYTHON
)
cat >"$directory/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$directory/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
group.initial.rebalance.delay.ms=0
PROPERTIES

# It ends when its standard input does.
exec {input}> >(WEIR_BROKER_LOG="$directory/broker.log" exec tests/clients/kafka/java "$kafka" -Xmx1g -XX:TieredStopAtLevel=4 \
    Broker run "$directory" >"$directory/printed.log" 2>&1)
broker=$!
trap 'exec {input}>&-; wait "$broker" 2>/dev/null || true; rm -rf "$directory"' EXIT

for _ in $(seq 300); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        "$weir" bench kafka --bootstrap "127.0.0.1:$port" "$@"
        exit
    fi
    sleep 0.2
done
cat "$directory/printed.log" >&2
echo "tests/bench/kafka.sh: the broker does not answer" >&2
exit 1
