// Metadata commands, as a node may be sent them: any bytes are applied, to an outcome; no rule of
// the state breaks, whatever they are.

#include <cstdint>

#include "base/check.h"
#include "meta/invariants.h"
#include "meta_form.h"

using namespace walrus;
using namespace walrus::meta;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const State kState = fuzz::meta_state();
  Bytes bytes(reinterpret_cast<const char*>(data), size);
  (void)parse_reply(bytes);
  auto state = kState;
  auto reply = parse_reply(apply_encoded(state, bytes));
  CHECK(reply.has_value());
  CHECK(broken_rule(state).empty());
  CHECK(broken_step(kState, state).empty());
  auto command = parse_command(bytes);
  if (!command) return 0;
  CHECK(reply->size() == command->changes.size());
  auto again = parse_command(encode(*command));
  CHECK(again.has_value());
  for (std::size_t i = 0; i < command->changes.size(); ++i)
    CHECK(again->changes[i] == command->changes[i] ||
          std::holds_alternative<Unreadable>(command->changes[i]));
  return 0;
}
