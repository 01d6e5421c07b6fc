// What members of a service are asked and what lies in its log, its snapshots and its directory:
// the first byte chooses the parser. What parses must encode to bytes that parse to the same.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "service/identity.h"
#include "service/session_table.h"
#include "wire/peer/service_command.h"
#include "wire/peer/service_message.h"

using namespace walrus;
using namespace walrus::wire::peer;

namespace {

template <class T, class Append, class Parse>
void check_round_trip(const Result<T>& value, const Append& append, const Parse& parse) {
  if (!value) {
    CHECK(!value.error().message.empty());
    return;
  }
  std::string bytes;
  append(bytes, *value);
  auto again = parse(Bytes(bytes));
  CHECK(again.has_value() && *again == *value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes body(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0:
      check_round_trip(parse_service_request(body), append_service_request, parse_service_request);
      break;
    case 1:
      check_round_trip(parse_service_answer(body), append_service_answer, parse_service_answer);
      break;
    case 2:
      check_round_trip(parse_service_command(body), append_service_command, parse_service_command);
      break;
    case 3:
      check_round_trip(
          parse_outcome(body),
          [](std::string& to, const CommandOutcome& outcome) {
            append_outcome(to, outcome.refused, outcome.index, outcome.text);
          },
          parse_outcome);
      break;
    case 4:
      check_round_trip(
          service::SessionTable::decode(body),
          [](std::string& to, const service::SessionTable& table) { to = table.encode(); },
          service::SessionTable::decode);
      break;
    default:
      check_round_trip(
          service::parse_identity(body),
          [](std::string& to, const service::Identity& identity) {
            to = service::encode_identity(identity);
          },
          service::parse_identity);
  }
  return 0;
}
