# Sourced by ./dev: run. Builds, starts a server, streams a real file through it, prints a tour.
# --nodes N: run_cluster.sh.

run() {
  local nodes=1 fresh=0 once=0 data=build/run
  while (($#)); do
    case $1 in
      --nodes) nodes=${2:?--nodes needs a number}; shift 2 ;;
      --nodes=*) nodes=${1#*=}; shift ;;
      --fresh) fresh=1; shift ;;
      --once) once=1; shift ;;
      --data-dir) data=${2:?--data-dir needs a directory}; shift 2 ;;
      --data-dir=*) data=${1#*=}; shift ;;
      *) usage "run: unknown option $1" ;;
    esac
  done
  [[ $nodes =~ ^[1-9]$ ]] || usage "run: --nodes takes 1 to 9"
  [[ ! -t 0 && ${CI:-} == true ]] && once=1
  need build
  configure release
  say cmake --build --preset release --target walrus
  ((fresh)) && say rm -rf "$data"/node[1-9] "$data/cluster"
  mkdir -p "$data"
  walrus=build/release/bin/walrus
  if ((nodes > 1)); then
    source tools/dev/run_cluster.sh
    run_cluster "$data" "$once"
    return 0
  fi
  if [[ -e $data/cluster ]]; then
    echo "./dev run: $data/node1 is a cluster's node: take --nodes, --fresh, or --data-dir" >&2
    exit 1
  fi
  client=("$walrus")  # with --addr where the configuration chose another address
  start_server "$data"
  stream_a_file "$data"
  print_tour "$data"
  if ((once)); then
    stop_server
    return 0
  fi
  echo "The server runs until Ctrl-C."
  wait "$server_pid" || server_died=$?
  [[ -n ${stopping:-} ]] && exit 0
  echo "./dev run: the server ended by itself with status ${server_died:-0}" >&2
  tail -n 5 "$data/serve.log" >&2
  exit 1
}

# Sets server_pid and ready, the server's ready line.
start_server() {
  local data=$1 line="" from
  echo "+ $walrus serve --data-dir $data/node1"
  : >"$data/serve.log"
  rm -f "$data/ready"
  mkfifo "$data/ready"
  "$walrus" serve --data-dir "$data/node1" >"$data/ready" 2>>"$data/serve.log" &
  server_pid=$!
  trap stop_server EXIT
  trap 'stopping=1; stop_server; exit 0' INT TERM
  exec {from}<"$data/ready"
  while read -r -t 120 -u "$from" line; do
    [[ $line == "walrus ready "* ]] && break
  done
  rm -f "$data/ready"
  if [[ $line != "walrus ready "* ]]; then
    echo "./dev run: the server did not start:" >&2
    cat "$data/serve.log" >&2
    exit 1
  fi
  ready=$line
  echo "$ready"
  if [[ $ready != *" native=127.0.0.1:9091 "* ]]; then
    client+=(--addr "$(ready_field native)")
  fi
}

# One of the name=value pairs of the ready line.
ready_field() {
  local rest=" ${ready#walrus ready} "
  rest=${rest#* "$1"=}
  echo "${rest%% *}"
}

# Ends the server that start_server started and no other process.
stop_server() {
  [[ -n ${server_pid:-} ]] || return 0
  kill -TERM "$server_pid" 2>/dev/null || true
  wait "$server_pid" 2>/dev/null || true
  server_pid=""
}

# A file that everybody has: Debian's word list, or else the documentation.
stream_a_file() {
  local data=$1 file=$1/input report first records
  if [[ -r /usr/share/dict/words ]]; then
    cat /usr/share/dict/words >"$file"
  else
    cat docs/*.md >"$file"
  fi
  if ! "${client[@]}" topic describe words >/dev/null 2>&1; then
    say "${client[@]}" topic create words
  fi
  echo "+ ${client[*]} produce words $file"
  if ! report=$("${client[@]}" produce words "$file" 2>&1 >/dev/null); then
    echo "$report" >&2
    exit 1
  fi
  report=$(tail -n 1 <<<"$report")
  echo "$report"
  # produced R records B bytes offsets F..L retries N
  read -r _ records _ _ _ _ first _ <<<"$report"
  first=${first%%..*}
  [[ -n ${other:-} ]] || local other=("${client[@]}")  # where it comes out
  echo "+ ${other[*]} consume words --from $first --count $records > $data/output"
  "${other[@]}" consume words --from "$first" --count "$records" >"$data/output"
  if ! cmp "$file" "$data/output"; then
    echo "./dev run: what came out differs from what went in" >&2
    exit 1
  fi
  echo "$records lines went in and came out, byte for byte the same."
}

print_tour() {
  local w="${client[*]}"
  cat <<TOUR

$ready

A tour. Each line can be copied into another terminal, in this directory.

Append one record; take the next one off the shared cursor:
  $w put words 'hello, walrus'
  $w get words
The last three records, nothing is taken away; and then whatever comes, until Ctrl-C:
  $w consume words --from -3
  $w consume words --from -3 --follow
A million lines over two partitions, each acknowledged when it is on the disk:
  $w topic create numbers --partitions 2
  seq 1000000 | $w produce numbers
What there is:
  $w topic list
  $w topic describe words
  $w state words
Every checksum on the disk, beside the running server:
  $walrus log verify $1/node1
A client in twenty lines; the interactive shell:
  python3 examples/simple_client.py $(ready_field native)
  $w shell
Metrics for Prometheus: http://$(ready_field admin)/metrics, health: /healthz, /readyz

TOUR
}
