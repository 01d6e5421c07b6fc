# Sourced by ./dev run: --nodes N. Starts N servers of one cluster on loopback, streams a real file
# in at one node and out at another, prints a tour. Node n's ports are those of node 1 and
# 10 * (n - 1); WALRUS_DEV_PORT is node 1's native port, if not 9091.

# port_of NODE FACE: 0 native, 1 kafka, 2 peer, 3 admin.
port_of() { echo $((${WALRUS_DEV_PORT:-9091} + 10 * ($1 - 1) + $2)); }
native_of() { echo "127.0.0.1:$(port_of "$1" 0)"; }

run_cluster() {
  local data=$1 once=$2 n
  check_directories "$data"
  server_pids=() ready_from=()
  trap stop_nodes EXIT
  trap 'stopping=1; stop_nodes; exit 0' INT TERM
  if [[ ! -e $data/node1/WALRUS ]]; then
    say "$walrus" cluster init --data-dir "$data/node1" --node-id 1
  fi
  for ((n = 1; n <= nodes; n++)); do start_node "$data" "$n"; done
  for ((n = 1; n <= nodes; n++)); do await_node "$data" "$n"; done
  await_active
  client=("$walrus" --addr "$(native_of 1)")
  other=("$walrus" --addr "$(native_of 2)")
  stream_a_file "$data"
  print_cluster_tour "$data"
  if ((once)); then
    stop_nodes
    return 0
  fi
  echo "The cluster runs until Ctrl-C."
  stay "$data"
}

# A directory is a single server's or a node's, never both.
check_directories() {
  local data=$1
  if [[ -e $data/node1/WALRUS && ! -e $data/cluster ]]; then
    echo "./dev run: $data/node1 is a single server's: take --fresh, or another --data-dir" >&2
    exit 1
  fi
  touch "$data/cluster"
}

# Opened for both ways, so that no node waits for its reader: a majority has to be there before any
# is ready.
start_node() {
  local data=$1 n=$2 words from
  words=(serve --data-dir "$data/node$n" --node-id "$n" --listen "$(native_of "$n")"
    --kafka-listen "127.0.0.1:$(port_of "$n" 1)" --peer-listen "127.0.0.1:$(port_of "$n" 2)"
    --admin-listen "127.0.0.1:$(port_of "$n" 3)")
  ((n == 1)) || words+=(--join "127.0.0.1:$(port_of 1 2)")
  echo "+ $walrus ${words[*]}"
  rm -f "$data/ready$n"
  mkfifo "$data/ready$n"
  exec {from}<>"$data/ready$n"
  rm -f "$data/ready$n"
  "$walrus" "${words[@]}" >&"$from" 2>"$data/serve$n.log" {from}<&- &
  server_pids[n]=$!
  ready_from[n]=$from
}

await_node() {
  local data=$1 n=$2 line="" from=${ready_from[n]} deadline=$((SECONDS + 120))
  while [[ $line != "walrus ready "* ]] && ((SECONDS < deadline)); do
    read -r -t 1 -u "$from" line || kill -0 "${server_pids[n]}" 2>/dev/null || break
  done
  exec {from}<&-
  if [[ $line != "walrus ready "* ]]; then
    echo "./dev run: node $n did not start:" >&2
    cat "$data/serve$n.log" >&2
    exit 1
  fi
  echo "$line"
}

# Until every node is given segments, so that the first topic has its copies.
await_active() {
  local deadline=$((SECONDS + 60)) active=0
  while ((SECONDS < deadline)); do
    active=$("$walrus" --addr "$(native_of 1)" --json cluster nodes 2>/dev/null |
      grep -o '"state":"active"' | wc -l) || true
    ((active >= nodes)) && return 0
    sleep 0.1
  done
  echo "./dev run: only $active of $nodes nodes have become active" >&2
  exit 1
}

stop_nodes() {
  local pid
  for pid in "${server_pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${server_pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  server_pids=()
}

# A node that ends, because it was killed, is started again after a while.
stay() {
  local data=$1 n
  while true; do
    wait -n "${server_pids[@]}" || true
    [[ -n ${stopping:-} ]] && exit 0
    for ((n = 1; n <= nodes; n++)); do
      kill -0 "${server_pids[n]}" 2>/dev/null && continue
      echo "Node $n has ended; it is started again in 3 s."
      sleep 3
      start_node "$data" "$n"
      await_node "$data" "$n"
    done
  done
}

print_cluster_tour() {
  local data=$1 n addresses="" leader w="$walrus"
  for ((n = 1; n <= nodes; n++)); do addresses+=" $(native_of "$n")"; done
  leader=$("${client[@]}" --json cluster segments words | grep -o '"leader":[0-9]*' | head -n 1)
  leader=${leader#*:}
  cat <<TOUR

A cluster of $nodes nodes. Native addresses:$addresses

A tour. Each line can be copied into another terminal, in this directory.

Any node answers: append at one, take it at another.
  $w --addr $(native_of 1) put words 'hello, cluster'
  $w --addr $(native_of 2) consume words --from -1
Who is there, who holds what, whether all is well:
  $w --addr $(native_of 2) cluster status
  $w --addr $(native_of 2) cluster segments words
  $w --addr $(native_of 2) cluster health
A topic of three copies, written at one node and read at the others:
  $w --addr $(native_of 1) topic create numbers --replication-factor 3
  seq 100000 | $w --addr $(native_of 2) produce numbers
  $w --addr $(native_of 1) consume numbers --from -3
Kill node $leader, which leads words, and write on at once through the next; 3 s later it is
started again, and brought up to date:
  kill -9 \$(cat $data/node$leader/LOCK)
  $w --addr $(native_of $((leader % nodes + 1))) put words 'after the kill'
  $w --addr $(native_of $((leader % nodes + 1))) consume words --from -2
  $w --addr $(native_of $((leader % nodes + 1))) cluster health || true
Metrics of node 2: http://127.0.0.1:$(port_of 2 3)/metrics, health: /healthz, /readyz

TOUR
}
