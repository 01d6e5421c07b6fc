# Sourced by ./dev: what its verbs share.

export CCACHE_COMPRESS=1
jobs=$(nproc)

# Prints a command as one could type it, then runs it.
say() {
  local shown
  shown=$(printf '%q ' "$@")
  echo "+ ${shown% }"
  "$@"
}

usage() {
  echo "./dev $1" >&2
  echo "./dev help lists the verbs" >&2
  exit 2
}

as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "./dev: needs root or sudo for: $*" >&2
    return 1
  fi
}

# need LIST...: installs the packages of packaging/LIST-packages that are missing. No apt call when
# nothing is.
need() {
  local list package missing=()
  for list in "$@"; do
    while read -r package; do
      [[ -z $package || $package == \#* ]] && continue
      [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
        missing+=("$package")
    done <"packaging/$list-packages"
  done
  ((${#missing[@]})) || return 0
  echo "installing from Debian: ${missing[*]}"
  say as_root apt-get update -q
  say as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}"
}

# configure PRESET [-DOPTION...]: nothing to do when the tree is configured and no option is given;
# ninja itself notices changed CMake files.
configure() {
  local preset=$1
  shift
  if [[ ! -f build/$preset/build.ninja ]] || (($#)); then
    say cmake --preset "$preset" "$@"
  fi
}
