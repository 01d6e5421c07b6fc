#!/usr/bin/env bash
# The simple protocol in bash alone: each message is a u32 length (little endian), then bytes.
#   simple_client.sh [HOST:PORT]
set -euo pipefail
export LC_ALL=C  # lengths are bytes
address=${1:-127.0.0.1:9091}
exec 3<>"/dev/tcp/${address%:*}/${address##*:}"

call() {
  local length=${#1} shift_by octets="" a b c d
  for shift_by in 0 8 16 24; do
    octets+=$(printf '\\x%02x' $(((length >> shift_by) & 255)))
  done
  printf "$octets%s" "$1" >&3
  read -r a b c d < <(head -c 4 <&3 | od -An -tu1)
  head -c $((a + (b << 8) + (c << 16) + (d << 24))) <&3
  echo
}

call "REGISTER greetings"
call "PUT greetings hello from bash"
call "GET greetings"
