#include "wire/peer/service_command.h"

#include "base/coding.h"

namespace walrus::wire::peer {
namespace {

constexpr std::uint8_t kCommandVersion = 1;

void append_body(std::string& to, const ProposeCommand& body) {
  append_uvarint(to, body.session);
  append_uvarint(to, body.sequence);
  append_uvarint(to, body.answered);
  to.append(body.command);
}
void append_body(std::string& to, const OpenSession& body) { append_uvarint(to, body.ttl_ms); }

std::optional<ProposeCommand> parse_propose(Decoder& from) {
  ProposeCommand body;
  body.session = from.uvarint().value_or(0);
  body.sequence = from.uvarint().value_or(0);
  body.answered = from.uvarint().value_or(0);
  if (!from.ok() || body.session == 0 || body.answered >= body.sequence) return std::nullopt;
  body.command = from.rest();
  return body;
}

std::optional<OpenSession> parse_open(Decoder& from) {
  const auto ttl = from.uvarint().value_or(0);
  if (!from.ok() || !from.at_end() || ttl == 0 || ttl > kSessionTtlMsMax) return std::nullopt;
  return OpenSession{ttl};
}

}  // namespace

void append_service_command(std::string& to, const ServiceCommand& command) {
  to.push_back(static_cast<char>(kCommandVersion));
  to.push_back(static_cast<char>(command.body.index() + 1));
  append_uvarint(to, zigzag(command.leader_time_ms));
  append_le(to, command.seed);
  std::visit([&](const auto& body) { append_body(to, body); }, command.body);
}

Result<ServiceCommand> parse_service_command(Bytes bytes) {
  Decoder from(bytes);
  const auto version = from.le<std::uint8_t>();
  if (version && *version != kCommandVersion)
    return fail(Code::kVersion, "service command of version {}, this node knows {}", *version,
                kCommandVersion);
  const auto kind = from.le<std::uint8_t>().value_or(0);
  ServiceCommand command;
  command.leader_time_ms = from.varint().value_or(0);
  command.seed = from.le<std::uint64_t>().value_or(0);
  std::optional<std::variant<ProposeCommand, OpenSession>> body;
  if (kind == 1) body = parse_propose(from);
  if (kind == 2) body = parse_open(from);
  if (!from.ok() || !body) return fail(Code::kCorrupt, "malformed service command");
  command.body = *body;
  return command;
}

}  // namespace walrus::wire::peer
