#pragma once
// "host:port" as users write it; an IPv6 host in brackets: "[::1]:9091".

#include <cstdint>
#include <string>
#include <string_view>

#include "walrus/log.h"

namespace walrus::io {

struct Address {
  std::string host;  // without brackets
  std::uint16_t port = 0;
  bool operator==(const Address&) const = default;
};

Result<Address> parse_address(std::string_view text);  // kInvalid
// 127.x.y.z, ::1 or localhost: nothing else can reach it, or be reached by it.
bool is_loopback(const Address&);
std::string to_string(const Address&);  // brackets around a host with colons

}  // namespace walrus::io
