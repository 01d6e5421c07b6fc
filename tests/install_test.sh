#!/usr/bin/env bash
# Installs into an empty prefix and uses it as a stranger would: find_package and pkg-config, with
# the compiler that built it and with Debian's own g++ 12, every warning an error. Runs what it
# built. WALRUS_TEST_SHARED=1: the same with a shared library, built for the occasion.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${WALRUS_BUILD:-build/release}
scratch=$(mktemp -d)
server=""
finish() {
  [[ -z $server ]] || { kill "$server" && wait "$server"; } 2>/dev/null || true
  rm -rf "$scratch"
}
trap finish EXIT
prefix=$scratch/prefix
say() { echo "+ $*"; "$@"; }
fail() { echo "install_test: $*" >&2; exit 1; }

if [[ ${WALRUS_TEST_SHARED:-} == 1 ]]; then
  build=build/shared
  say cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_SHARED_LIBS=ON \
    -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_C_COMPILER=clang-19 -DWALRUS_TESTS=OFF
  say cmake --build "$build"
  export LD_LIBRARY_PATH=$prefix/lib
fi
say cmake --install "$build" --prefix "$prefix" >"$scratch/install.log"

for expected in include/walrus/log.h include/walrus/c.h include/walrus/client.h \
  include/walrus/lane.h include/walrus/service.h include/walrus/testing.h \
  lib/cmake/walrus/walrusConfig.cmake lib/pkgconfig/walrus.pc lib/pkgconfig/walrus_log.pc \
  bin/walrus share/man/man1/walrus.1 lib/systemd/system/walrus.service \
  share/bash-completion/completions/walrus share/zsh/site-functions/_walrus \
  share/fish/vendor_completions.d/walrus.fish share/doc/walrus/LICENSE; do
  [[ -s $prefix/$expected ]] || fail "$expected was not installed"
done
grep -q "^ExecStart=$prefix/bin/walrus serve" "$prefix/lib/systemd/system/walrus.service" ||
  fail "the service unit does not name the installed program"
"$prefix/bin/walrus" --version

warnings="-Wall -Wextra -Wpedantic -Werror"
run_examples() {
  local where=$1 data=$scratch/data-$2
  mkdir "$data"
  diff <("$where/embed" "$data/embed") - <<'EXPECTED'
0 order-1 two herrings
1 order-2 one cod
2 order-1 (deleted)
EXPECTED
  diff <("$where/tail" "$data/tail") - <<<"1000 records, the last one: line 999"
  "$where/cursors" "$data/cursors" >"$data/first"
  "$where/cursors" "$data/cursors" >"$data/second"
  grep -qx "7 left for billing" "$data/first" || fail "cursors, first run: $(cat "$data/first")"
  grep -qx "billing job 3" "$data/second" || fail "cursors, second run: $(cat "$data/second")"
  grep -qx "audit job 5" "$data/second" || fail "cursors, second run: $(cat "$data/second")"
  "$where/c_face" "$data/c_face" >"$data/c_face.out"
  grep -q "hello from C" "$data/c_face.out" || fail "c_face: $(cat "$data/c_face.out")"
  run_lane "$where" "$data"
}

# Without certificates and with them; the second time there is nothing to send.
run_lane() {
  local where=$1 data=$2 certificates size sum
  "$prefix/bin/walrus" --quiet cert ca "$data/certs" >/dev/null
  for node in 1 2; do
    "$prefix/bin/walrus" --quiet cert node "$data/certs" --node-id "$node" >/dev/null
  done
  size=$(stat -c %s "$where/lane")
  sum=$(sha256sum <"$where/lane")
  for certificates in "" "$data/certs"; do
    local into=$data/in${certificates:+-tls}
    "$where/lane" "$into" "$where/lane" ${certificates:+"$certificates"} >"$data/lane.out" \
      2>"$data/lane.err" || fail "lane: $(cat "$data/lane.err")"
    diff "$data/lane.out" - <<<"${sum%% *} $size bytes, $size sent
${sum%% *} $size bytes, 0 sent"
    cmp "$where/lane" "$into/copy"
  done
}

for compilers in clang++-19:clang-19 g++-12:gcc-12; do
  cxx=${compilers%:*} cc=${compilers#*:}
  say cmake -S examples -B "$scratch/$cxx" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_C_COMPILER="$cc" -DCMAKE_C_FLAGS="$warnings" \
    -DCMAKE_CXX_FLAGS="-std=c++23 $warnings" >"$scratch/configure.log" ||
    { cat "$scratch/configure.log"; exit 1; }
  say cmake --build "$scratch/$cxx"
  say run_examples "$scratch/$cxx" "$cxx"
done

# Each public header by itself, not as a system header, whose warnings a compiler would hide.
for header in "$prefix"/include/walrus/*.h; do
  for cxx in clang++-19 g++-12; do
    say "$cxx" -std=c++23 $warnings -I"$prefix/include" -fsyntax-only -x c++ \
      -include "$header" /dev/null
  done
done
say gcc-12 -std=c11 $warnings -I"$prefix/include" -fsyntax-only -x c \
  -include "$prefix/include/walrus/c.h" /dev/null

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig

# README's program and the tutorial's pieces, put together, are what their readers will compile.
code_of() { awk '/^```cpp$/ {code = 1; next} /^```$/ {code = 0} code' "$1"; }
code_of README.md >"$scratch/readme.cc"
code_of docs/embedding.md >"$scratch/pieces"
{
  grep '^#include' "$scratch/pieces"
  cat <<'FRAME'
#include <iostream>
int complain(const walrus::Error& error) {
  std::cerr << error.message << "\n";
  return 1;
}
void use(walrus::Offset offset, walrus::Bytes value) {
  std::cout << offset.value << " " << value << "\n";
}
void handle(const walrus::Records& records) {
  for (const auto& record : records) std::cout << record.offset.value << "\n";
}
int main() {
  std::vector<std::string> lines{"one", "two"};
FRAME
  grep -v '^#include' "$scratch/pieces" | sed 's|/var/lib/app|tutorial|'
  echo '}'
} >"$scratch/tutorial.cc"
for cxx in clang++-19 g++-12; do
  for program in readme tutorial; do
    say "$cxx" -std=c++23 $warnings "$scratch/$program.cc" -o "$scratch/$program" \
      $(pkg-config --cflags --libs walrus_log)
    rm -rf "$scratch/empty" && mkdir "$scratch/empty"
    (cd "$scratch/empty" && "$scratch/$program") >"$scratch/$program.out"
  done
  diff "$scratch/readme.out" - <<<"0 two herrings"
  diff "$scratch/tutorial.out" - < <(printf '%s\n' "0 hello" 0 1 2 3 4 5 6)
done

# The one-page tutorial of services is a whole program.
sed -n '/^## A service in one page/,/^## What each/p' docs/kernel.md >"$scratch/one_page.md"
code_of "$scratch/one_page.md" >"$scratch/counter.cc"
for cxx in clang++-19 g++-12; do
  say "$cxx" -std=c++23 $warnings "$scratch/counter.cc" -o "$scratch/counter" \
    $(pkg-config --cflags --libs walrus)
  rm -rf "$scratch/empty" && mkdir "$scratch/empty"
  (cd "$scratch/empty" && "$scratch/counter") >"$scratch/counter.out"
  diff "$scratch/counter.out" - < <(printf '%s\n' 1 2 3 4 4)
done

# The example services, one node each, as their users start them.
for program in kv lock; do
  mkfifo "$scratch/in" "$scratch/ready"
  "$scratch/g++-12/$program" serve 1 "$scratch/$program" "1=127.117.3.1:9093" <"$scratch/in" \
    >"$scratch/ready" &
  server=$!
  exec 7>"$scratch/in"
  read -r -t 60 ready <"$scratch/ready" || fail "$program: no ready line"
  if [[ $program == kv ]]; then asked=$'put fish herring\n?get fish' told=$'ok\nherring'
  else asked=$'acquire door me 60000\nacquire door you 1' told=$'granted TOKEN\nheld me'; fi
  diff <("$scratch/clang++-19/$program" client 127.117.3.1:9093 <<<"$asked" | tail -n +2 |
    sed 's/granted [0-9]*$/granted TOKEN/') - <<<"$told"
  exec 7>&-
  wait "$server" || fail "$program ended with status $?"
  server=""
  rm "$scratch/in" "$scratch/ready"
done

say g++-12 -std=c++23 examples/embed.cc -o "$scratch/embed" \
  $(pkg-config --cflags --libs walrus_log)
say "$scratch/embed" "$scratch/data-pc"

# The little clients against the installed server.
mkfifo "$scratch/ready"
"$prefix/bin/walrus" serve --data-dir "$scratch/served" --listen 127.0.0.1:0 \
  --kafka-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 >"$scratch/ready" 2>"$scratch/serve.log" &
server=$!
read -r -t 60 ready <"$scratch/ready" || fail "no ready line: $(cat "$scratch/serve.log")"
address=${ready#*native=}
address=${address%% *}
diff <(python3 examples/simple_client.py "$address") - <<<$'OK\nOK\nOK hello from Python'
diff <(bash examples/simple_client.sh "$address") - <<<$'OK\nOK\nOK hello from bash'
for cxx in clang++-19 g++-12; do
  "$scratch/$cxx/client" "$address" >"$scratch/client.out"
  diff "$scratch/client.out" - <<<$'a walrus\nwith regards'
done
kill "$server"
wait "$server" || fail "the server ended with status $?"
server=""

if [[ ${WALRUS_TEST_SHARED:-} == 1 ]]; then
  [[ -L $prefix/lib/libwalrus.so ]] || fail "no versioned shared library"
  ldd "$scratch/clang++-19/embed" | grep -q "libwalrus_log.so.0" || fail "not linked to it"
fi

# ./dev uninstall leaves nothing behind.
mkdir -p "$prefix/share/walrus"
cp "$build/install_manifest.txt" "$prefix/share/walrus/"
say cmake "-DMANIFEST=$prefix/share/walrus/install_manifest.txt" "-DPREFIX=$prefix" \
  -P cmake/uninstall.cmake >"$scratch/uninstall.log"
left=$(find "$prefix" -type f -o -type l)
[[ -z $left ]] || fail "uninstall left $left"
