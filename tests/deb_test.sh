#!/usr/bin/env bash
# Builds the Debian packages and looks at what is in them. Installs nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${WALRUS_BUILD:-build/release}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { echo "deb_test: $*" >&2; exit 1; }

echo "+ cpack -G DEB"
cpack -G DEB --config "$build/CPackConfig.cmake" -B "$scratch" >"$scratch/log" 2>&1 ||
  { cat "$scratch/log"; exit 1; }
server=("$scratch"/walrus_*.deb)
dev=("$scratch"/libwalrus-dev_*.deb)
[[ -f ${server[0]} && -f ${dev[0]} ]] || fail "not two packages: $(ls "$scratch")"

contains() {
  local path
  dpkg-deb -c "$1" | awk '{print $6}' >"$scratch/list"
  for path in "${@:2}"; do
    grep -qx "\./$path" "$scratch/list" || fail "$1 does not contain $path"
  done
}
contains "${server[0]}" usr/bin/walrus usr/lib/systemd/system/walrus.service \
  usr/share/man/man1/walrus.1 usr/share/bash-completion/completions/walrus \
  usr/share/walrus/walrus.toml usr/share/doc/walrus/LICENSE
! grep -q '^\./\(home\|root\|tmp\)/' "$scratch/list" || fail "a file outside of /usr"
contains "${dev[0]}" usr/include/walrus/log.h usr/lib/libwalrus.a usr/lib/libwalrus_log.a \
  usr/lib/pkgconfig/walrus.pc \
  usr/lib/cmake/walrus/walrusConfig.cmake

dpkg-deb -f "${server[0]}" Package Depends Maintainer
dpkg-deb -f "${server[0]}" Depends | grep -q libfmt9 || fail "libraries are no dependencies"
dpkg-deb -f "${server[0]}" Depends | grep -q adduser || fail "adduser is no dependency"

dpkg-deb -R "${server[0]}" "$scratch/unpacked"
for script in postinst prerm postrm; do
  [[ -x $scratch/unpacked/DEBIAN/$script ]] || fail "no maintainer script $script"
  sh -n "$scratch/unpacked/DEBIAN/$script"
done
unit=$scratch/unpacked/usr/lib/systemd/system/walrus.service
for line in "ExecStart=/usr/bin/walrus serve --config /etc/walrus/walrus.toml" User=walrus \
  NoNewPrivileges=yes ProtectSystem=strict StateDirectory=walrus; do
  grep -qxF "$line" "$unit" || fail "the unit lacks $line"
done
"$scratch/unpacked/usr/bin/walrus" --version
"$scratch/unpacked/usr/bin/walrus" serve --config "$scratch/unpacked/usr/share/walrus/walrus.toml" \
  --check-config
