// Configuration: the input is a TOML file. What loads must print to a file that loads to the same.

#include <cstdint>

#include "base/check.h"
#include "server/config.h"

using namespace walrus;
using namespace walrus::server;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  auto config = Config::load({.file_name = "fuzz.toml", .file_text = text});
  if (!config) return 0;
  auto again = Config::load({.file_name = "printed.toml", .file_text = config->print()});
  CHECK(again.has_value());
  for (const auto& option : options())
    CHECK(again->string(option.key) == config->string(option.key));
  return 0;
}
