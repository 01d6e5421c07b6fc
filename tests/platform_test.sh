#!/usr/bin/env bash
# Where Walrus does not run, CMake stops with one sentence.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sentence="Walrus runs on Linux 5.14 or newer on x86-64 and arm64 only."

for system in "Linux 5.10 x86_64" "Linux 6.1 riscv64" "FreeBSD 14.0 x86_64"; do
  read -r name version processor <<<"$system"
  echo "+ cmake for $system"
  if cmake -S . -B "$scratch/$processor-$version" -G Ninja -DCMAKE_SYSTEM_NAME="$name" \
    -DCMAKE_SYSTEM_VERSION="$version" -DCMAKE_SYSTEM_PROCESSOR="$processor" \
    -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_C_COMPILER=clang-19 >"$scratch/log" 2>&1; then
    echo "platform_test: CMake accepts $system" >&2
    exit 1
  fi
  if [[ $(grep -c "CMake Error" "$scratch/log") != 1 ]] ||
    ! grep -qF "$sentence" "$scratch/log"; then
    cat "$scratch/log"
    exit 1
  fi
done
