#include "log/namespace.h"

#include <algorithm>
#include <array>

namespace walrus::log {
namespace {

constexpr std::size_t kPieceBytesMax = 200;
constexpr std::array<Bytes, 6> kEngineNames = {"LOCK",    "WALRUS",   "WALRUS.new",
                                               "journal", "segments", "quarantine"};

bool stands_for_itself(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= '0' && byte <= '9') || byte == '_' || byte == '-' || byte == '.';
}

void escape_byte(std::string& to, char byte) {
  constexpr char kHexDigits[] = "0123456789ABCDEF";
  auto value = static_cast<unsigned char>(byte);
  to += '%';
  to += kHexDigits[value >> 4];
  to += kHexDigits[value & 15];
}

std::string escape(Bytes key) {
  bool engine_name = std::ranges::find(kEngineNames, key) != kEngineNames.end();
  std::string escaped;
  escaped.reserve(key.size());
  for (std::size_t i = 0; i < key.size(); ++i) {
    bool first = i == 0 && (key[0] == '.' || engine_name);
    if (!first && stands_for_itself(key[i])) escaped += key[i];
    else escape_byte(escaped, key[i]);
  }
  return escaped;
}

}  // namespace

Result<std::filesystem::path> namespace_path(Bytes key) {
  if (key.size() > kNamespaceKeyBytesMax)
    return fail(Code::kInvalid, "namespace key of {} bytes: at most {}", key.size(),
                kNamespaceKeyBytesMax);
  std::string escaped = escape(key);
  std::filesystem::path path;
  for (std::size_t at = 0; at < escaped.size(); at += kPieceBytesMax) {
    std::string piece = escaped.substr(at, kPieceBytesMax);
    if (at > 0) piece.insert(0, "+");
    if (at + kPieceBytesMax < escaped.size()) piece += '+';
    path /= piece;
  }
  return path;
}

}  // namespace walrus::log
