#!/usr/bin/env bash
# ./dev run --once streams a real file through a server and ends; a server on its port is reported.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scratch=$(mktemp -d)
stays="" holder=""
finish() {
  for process in $stays $holder; do kill "$process" 2>/dev/null || true; done
  wait
  rm -rf "$scratch"
}
trap finish EXIT
fail() { echo "dev_run_test: $*" >&2; exit 1; }

# Ports that are free, so that a server that somebody runs does not matter.
export WALRUS_NATIVE_LISTEN=127.0.0.1:0 WALRUS_KAFKA_LISTEN=127.0.0.1:0
export WALRUS_ADMIN_LISTEN=127.0.0.1:0
./dev run --once --data-dir "$scratch/run" </dev/null >"$scratch/first" 2>&1 ||
  fail "$(tail -n 20 "$scratch/first")"
grep -q "^walrus ready native=127.0.0.1:" "$scratch/first" || fail "no ready line"
grep -q "lines went in and came out, byte for byte the same" "$scratch/first" || fail "no file"
grep -q "A tour" "$scratch/first" || fail "no tour"

# The same directory again: what it holds stays, the file goes through once more.
CI=true ./dev run --data-dir "$scratch/run" </dev/null >"$scratch/second" 2>&1 ||
  fail "$(tail -n 20 "$scratch/second")"
grep -q "byte for byte the same" "$scratch/second" || fail "the second run"

# Without --once it stays; each command of the tour works; Ctrl-C ends it with status 0.
mkfifo "$scratch/output"
env -u CI --default-signal=INT ./dev run --data-dir "$scratch/run" </dev/null \
  >"$scratch/output" 2>&1 &
stays=$!
exec 4<"$scratch/output"
while IFS= read -r -t 120 -u 4 line; do
  echo "$line" >>"$scratch/stays"
  [[ $line != *"runs until Ctrl-C"* ]] || break
done
[[ $line == *"runs until Ctrl-C"* ]] || fail "it did not stay: $(tail -n 3 "$scratch/stays")"
grep "^  " "$scratch/stays" | grep -v -e --follow -e " shell$" >"$scratch/tour"
while read -r line; do
  bash -c "$line" </dev/null >"$scratch/out" 2>&1 || fail "tour: $line: $(cat "$scratch/out")"
done <"$scratch/tour"
(($(wc -l <"$scratch/tour") >= 10)) || fail "the tour is short"
kill -INT "$stays"
status=0
wait "$stays" || status=$?
[[ $status == 0 ]] || fail "Ctrl-C: status $status"
stays=""

# A port in use: one clear line, status 1.
exec 3< <(exec python3 -c '
import signal, socket
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
signal.pause()')
holder=$!
read -r port <&3
status=0
WALRUS_NATIVE_LISTEN=127.0.0.1:$port ./dev run --once --data-dir "$scratch/other" \
  </dev/null >"$scratch/third" 2>&1 || status=$?
kill "$holder"
holder=""
[[ $status == 1 ]] || fail "a port in use: status $status"
grep -q "$port" "$scratch/third" || fail "a port in use is not named: $(cat "$scratch/third")"

# Three nodes that are one cluster, and the same again.
base=$(python3 -c '
import socket
for base in range(20000, 30000, 30):
    sockets = []
    try:
        for node in range(3):
            for face in range(4):
                sockets.append(socket.create_server(("127.0.0.1", base + 10 * node + face)))
    except OSError:
        continue
    finally:
        for one in sockets: one.close()
    print(base)
    break')
for again in 1 2; do
  WALRUS_DEV_PORT=$base ./dev run --nodes 3 --once --data-dir "$scratch/cluster" \
    </dev/null >"$scratch/fourth" 2>&1 || fail "--nodes 3: $(tail -n 20 "$scratch/fourth")"
  grep -q "byte for byte the same" "$scratch/fourth" || fail "--nodes 3: no file, run $again"
  grep -q "A cluster of 3 nodes" "$scratch/fourth" || fail "--nodes 3: no tour, run $again"
done
# A directory is a single server's or a node's.
status=0
./dev run --once --data-dir "$scratch/cluster" </dev/null >"$scratch/fifth" 2>&1 || status=$?
[[ $status == 1 ]] || fail "a cluster's directory: status $status"
grep -q "is a cluster's node" "$scratch/fifth" || fail "not named: $(cat "$scratch/fifth")"
