// What members of a service are asked and what lies in its log, its snapshots and its directory:
// the first byte chooses the parser. What parses must encode to bytes that parse to the same.

#include <cstdint>
#include <string>

#include "round_trip.h"
#include "service/identity.h"
#include "service/session_table.h"
#include "wire/peer/service_command.h"
#include "wire/peer/service_message.h"

using namespace walrus;
using namespace walrus::wire::peer;
using fuzz::appends, fuzz::check_round_trip;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes body(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0:
      check_round_trip(parse_service_request(body), appends(append_service_request),
                       parse_service_request);
      break;
    case 1:
      check_round_trip(parse_service_answer(body), appends(append_service_answer),
                       parse_service_answer);
      break;
    case 2:
      check_round_trip(parse_service_command(body), appends(append_service_command),
                       parse_service_command);
      break;
    case 3:
      check_round_trip(
          parse_outcome(body),
          [](const CommandOutcome& outcome) {
            std::string bytes;
            append_outcome(bytes, outcome.refused, outcome.index, outcome.text);
            return bytes;
          },
          parse_outcome);
      break;
    case 4:
      check_round_trip(
          service::SessionTable::decode(body),
          [](const service::SessionTable& table) { return table.encode(); },
          service::SessionTable::decode);
      break;
    default:
      check_round_trip(service::parse_identity(body), service::encode_identity,
                       service::parse_identity);
  }
  return 0;
}
