# Sourced by ./dev: test and full. A part is a ctest label; a part without tests fails.

# What is in one word runs in one go, so that no core waits for the last test of a part; `kafka` is
# those of `e2e` that use Kafka's protocol. Tests of `unit` go by the clock here and there: no load
# of whole servers runs beside them. Those of `e2e` wait for nine tenths of their time, and are the
# more at once; those of `chaos` wait likewise, one after another, beside the simulators.
parts=(style,unit,install e2e sim,raft,cluster,crash,chaos fuzz)
minutes=()
fuzz_build=

run_tests() {
  local chosen=("${parts[@]}") part
  if (($#)); then
    case $1 in
      unit | sim | raft | cluster | crash | chaos | e2e | kafka | install | fuzz | style)
        chosen=("$1") ;;
      *) usage "test: unknown part $1 ($(IFS=,; echo "${parts[*]}"))" ;;
    esac
  fi
  need build test
  start_tally
  if timed build build_tests; then
    run_parts "${chosen[@]}"
  else
    count_one failed "build"
  fi
  finish_tally
}

build_tests() {
  configure release && say cmake --build --preset release
}

run_parts() {
  local part at_once
  if (($# > 1)); then build_fuzz_meanwhile; fi
  for part in "$@"; do
    at_once=$jobs
    [[ $part != e2e && $part != kafka ]] || at_once=$((3 * jobs))
    [[ $part != *,chaos ]] || at_once=$((jobs + 1))
    if [[ $part == fuzz ]]; then timed fuzz part_fuzz || true
    else timed "$part" ctest_part release "$part" "$at_once" || true; fi
  done
}

# The fuzz targets are compiled with what the tests before them leave of the processors.
build_fuzz_meanwhile() {
  source tools/dev/fuzz.sh
  echo "+ nice cmake --build --preset fuzz --target walrus_fuzzer >build/fuzz_build.log &"
  (
    renice -n 19 -p "$BASHPID" >/dev/null
    build_fuzz_targets
  ) >build/fuzz_build.log 2>&1 &
  fuzz_build=$!
}

part_fuzz() {
  ctest_part release fuzz "$jobs" || true
  source tools/dev/fuzz.sh
  if [[ $fuzz_build ]] && ! wait "$fuzz_build"; then cat build/fuzz_build.log; fi
  if ! build_fuzz_targets; then
    count_one failed "fuzz.build"
    return 1
  fi
  fuzz_each_for_a_moment
}

# What `test` leaves out for its time: sanitizers, the shared library, long runs.
run_full() {
  need build test oracle
  start_tally
  timed build build_tests || count_one failed "build"
  run_parts "${parts[@]}"
  timed debug full_preset debug || true
  timed tsan full_preset tsan || true
  long shared env WALRUS_TEST_SHARED=1 bash tests/install_test.sh
  long long-sim ./dev sim --world log --seeds 20000
  long long-sim-groups ./dev sim --world groups --seeds 5000
  long_world raft 20001 100000
  long_world node 101 3000
  long_world service 41 2000
  long long-processes python3 tests/chaos/service_test.py --seconds 600 --seed 2
  long long-chaos ./dev chaos --nodes 3 --runs 10 --seed 101
  long long-chaos-five ./dev chaos --nodes 5 --runs 10 --seed 201
  long_world meta 1501 100000
  long_world cluster 601 5000
  long_world member 101 3000
  long_world replica 501 5000
  long_world owners 301 3000
  long spec ./dev spec
  local world
  for world in log groups raft node service meta cluster member replica owners; do
    long "mutants-$world" ./dev mutants "$world"
  done
  long long-oracle env WALRUS_BUILD="$PWD/build/release" \
    python3 tests/oracle/oracle_test.py build/release/bin/walrus_raft_oracle --seeds 10000
  long long-fuzz ./dev fuzz --seconds 60
  long long-crash ./dev crash --kills 200 --power-cuts 200
  finish_tally
}

# long NAME COMMAND...: one result; the others follow, whatever it is.
long() { timed "$1" counted "$@" || true; }

# long_world WORLD FIRST SEEDS: seeds that ./dev test has not run.
long_world() {
  long "long-$1" python3 tools/dev/sim_sweep.py build/release/bin/walrus_sim \
    --world "$1" --first "$2" --seeds "$3" --twice-every 100
}

full_preset() {
  if ! { configure "$1" && say cmake --build --preset "$1"; }; then
    count_one failed "$1.build"
    return 1
  fi
  ctest_part "$1" unit "$jobs"
}

# --- counting -------------------------------------------------------------------------------

start_tally() {
  mkdir -p build
  tally=$(mktemp -d build/tally.XXXXXX)
  trap 'rm -rf "$tally"' EXIT
}

# count_one passed|failed NAME: a result that no ctest run reports.
count_one() {
  echo "$1 $2" >>"$tally/lines"
  [[ $1 == passed ]] || echo "FAILED $2"
}

# counted NAME COMMAND...: the command's exit status is one test.
counted() {
  local name=$1
  shift
  if say "$@"; then count_one passed "$name"; else count_one failed "$name"; return 1; fi
}

# ctest_part PRESET LABEL[,LABEL...] JOBS: all tests of these labels; a label without one is a
# failure.
ctest_part() {
  local junit=$PWD/$tally/$1-$2.xml status=0 label
  for label in ${2//,/ }; do
    if ctest --test-dir "build/$1" -N -L "^$label\$" | grep -q '^Total Tests: 0$'; then
      count_one failed "$label: no test has this label in build/$1"
      status=1
    fi
  done
  say ctest --test-dir "build/$1" -L "^(${2//,/|})\$" -j "$3" --output-on-failure \
    --no-tests=error --output-junit "$junit" || status=$?
  [[ -s $junit ]] || { count_one failed "$2: ctest reported nothing" && status=1; }
  return $status
}

timed() {
  local name=$1 begin=$SECONDS status=0
  shift
  echo "== $name"
  "$@" || status=$?
  local spent=$((SECONDS - begin))
  minutes+=("$(printf '%-28s %3d:%02d' "$name" $((spent / 60)) $((spent % 60)))")
  return $status
}

finish_tally() {
  echo "== minutes"
  printf '%s\n' "${minutes[@]}"
  printf '%-28s %3d:%02d\n' total $((SECONDS / 60)) $((SECONDS % 60))
  python3 tools/dev/tally.py "$tally" tests/allowed_skips
}
