#include "base/uuid.h"

#include <fmt/format.h>

namespace walrus {

std::string to_string(const Uuid& uuid) {
  std::string text;
  for (char byte : uuid.bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

}  // namespace walrus
