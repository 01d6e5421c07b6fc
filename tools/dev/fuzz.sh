# Sourced by ./dev: fuzz. A fuzz target is build/fuzz/bin/fuzz_NAME, its corpus fuzz/corpus/NAME.
# fuzz_planted holds a bug on purpose and must be found: it proves that the set-up can find one.

# All targets are in one program, walrus_fuzzer, which goes by the link that it is called by.
build_fuzz_targets() {
  configure fuzz && say cmake --build --preset fuzz --target walrus_fuzzer
}

fuzz_targets() {
  local binary
  for binary in build/fuzz/bin/fuzz_*; do
    if [[ -x $binary && $binary != *_planted ]]; then echo "${binary##*/fuzz_}"; fi
  done
}

# fuzz_one NAME SECONDS: replays the corpus, then fuzzes. New inputs stay in build/, so that the
# tree's corpus grows only by what somebody chose to keep.
fuzz_one() {
  local found=build/fuzz/found/$1
  mkdir -p "$found"
  say "build/fuzz/bin/fuzz_$1" -max_total_time="$2" -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=0 -verbosity=0 -artifact_prefix="build/fuzz/found/$1-" \
    "$found" "fuzz/corpus/$1"
}

fuzz() {
  local seconds=60 targets=() name
  while (($#)); do
    case $1 in
      --seconds) seconds=${2:?--seconds needs a number}; shift 2 ;;
      -*) usage "fuzz: unknown option $1" ;;
      *) targets+=("$1"); shift ;;
    esac
  done
  need build test
  build_fuzz_targets
  if ((${#targets[@]} == 0)); then mapfile -t targets < <(fuzz_targets); fi
  ((${#targets[@]})) || { echo "./dev fuzz: no fuzz target was built" >&2; return 1; }
  for name in "${targets[@]}"; do
    [[ -x build/fuzz/bin/fuzz_$name ]] || usage "fuzz: no target $name ($(fuzz_targets | xargs))"
    fuzz_one "$name" "$seconds"
  done
}

# For how many seconds ./dev test fuzzes a target: longest what reads files, the simple protocol and
# whole transfers.
moment_of() {
  case $1 in
    record_* | journal | manifest | segment_footer | state_values | native_* | *_stream) echo 5 ;;
    config | http | texts) echo 5 ;;
    *) echo 2 ;;
  esac
}

# Inside ./dev test: the corpus and a moment each, a target a core at a time; the corpora large
# enough, the planted bug found. What a target says is kept and shown when it fails.
fuzz_each_for_a_moment() {
  local seconds name at targets=() inputs status=0 running
  mapfile -t targets < <(fuzz_targets)
  if ((${#targets[@]} == 0)); then
    count_one failed "fuzz: no target was built"
    return 1
  fi
  for name in "${targets[@]}"; do
    inputs=$(find "fuzz/corpus/$name" -type f 2>/dev/null | wc -l)
    if ((inputs >= 50)); then
      count_one passed "fuzz.$name.corpus"
    else
      count_one failed "fuzz.$name.corpus: $inputs inputs, at least 50 are due"
      status=1
    fi
  done
  mkdir -p build/fuzz/found
  for ((at = 0; at < ${#targets[@]}; at += jobs)); do
    running=()
    for name in "${targets[@]:at:jobs}"; do
      seconds=$(moment_of "$name")
      echo "+ ./dev fuzz $name --seconds $seconds"
      fuzz_one "$name" "$seconds" >"build/fuzz/found/$name.log" 2>&1 &
      running+=("$name:$!")
    done
    for name in "${running[@]}"; do
      if wait "${name#*:}"; then
        count_one passed "fuzz.${name%:*}"
      else
        cat "build/fuzz/found/${name%:*}.log"
        count_one failed "fuzz.${name%:*}"
        status=1
      fi
    done
  done
  find_planted_bug || status=1
  return $status
}

find_planted_bug() {
  local found=build/fuzz/found/planted
  mkdir -p "$found"
  if [[ ! -x build/fuzz/bin/fuzz_planted ]]; then
    count_one failed "fuzz.planted: not built"
    return 1
  fi
  echo "+ build/fuzz/bin/fuzz_planted -max_total_time=60 (must find its bug)"
  if build/fuzz/bin/fuzz_planted -max_total_time=60 -verbosity=0 \
    -artifact_prefix="$found-" "$found" >"$found.log" 2>&1; then
    count_one failed "fuzz.planted: the planted bug was not found"
    return 1
  fi
  count_one passed "fuzz.planted"
}
