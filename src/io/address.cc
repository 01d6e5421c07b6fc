#include "io/address.h"

#include <algorithm>
#include <charconv>

#include "base/result.h"

namespace walrus::io {

Result<Address> parse_address(std::string_view text) {
  const auto invalid = [&](const char* why) {
    return fail(Code::kInvalid, "invalid address \"{}\": {}", text, why);
  };
  const auto colon = text.rfind(':');
  if (colon == text.npos) return invalid("expected HOST:PORT");
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.contains(':') || host.contains('[')) {
    return invalid("an IPv6 host needs brackets");
  }
  if (host.empty()) return invalid("no host");
  if (host.find_first_of("[]") != host.npos) return invalid("a bracket inside of the host");
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
    return invalid("a port is a number from 0 to 65535");
  }
  return Address{.host = std::string(host), .port = port};
}

bool is_loopback(const Address& address) {
  if (address.host == "localhost" || address.host == "::1") return true;
  // Four numbers, so that no name of a domain passes.
  const std::string_view host = address.host;
  return host.starts_with("127.") && std::ranges::count(host, '.') == 3 && host.back() != '.' &&
         host.find_first_not_of("0123456789.") == host.npos;
}

std::string to_string(const Address& address) {
  const bool brackets = address.host.contains(':');
  return fmt::format("{}{}{}:{}", brackets ? "[" : "", address.host, brackets ? "]" : "",
                     address.port);
}

}  // namespace walrus::io
