#include "meta/command.h"

#include "meta/fields.h"
#include "meta/layout.h"

namespace walrus::meta {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kKinds = std::variant_size_v<Change>;

template <std::size_t kind>
bool read_as(FieldReader& from, Change& change) {
  auto& body = change.emplace<kind>();
  from.get(body);
  return from.whole();
}

// Bytes that are left over are fields of a later program.
Change read_change(unsigned kind, Bytes bytes) {
  Change change{};
  FieldReader from(bytes);
  auto read = [&]<std::size_t... kinds>(std::index_sequence<kinds...>) {
    return ((kind == kinds + 1 && read_as<kinds + 1>(from, change)) || ...);
  };
  if (kind == 0 || kind >= kKinds) return Unreadable{Unreadable::Why::kUnknown};
  if (read(std::make_index_sequence<kKinds - 1>{})) return change;
  return Unreadable{from.ok() ? Unreadable::Why::kUnknown : Unreadable::Why::kMalformed};
}

}  // namespace

std::string encode(const Command& command) {
  std::string bytes(1, static_cast<char>(kVersion)), body;
  put(bytes, command.time);
  append_uvarint(bytes, command.changes.size());
  for (const auto& change : command.changes) {
    body.clear();
    std::visit([&](const auto& what) { put(body, what); }, change);
    bytes.push_back(static_cast<char>(change.index()));
    append_string(bytes, body);
  }
  return bytes;
}

Result<Command> parse_command(Bytes bytes) {
  if (bytes.size() > kCommandBytesMax)
    return fail(Code::kTooLarge, "a metadata command of {} bytes, at most {}", bytes.size(),
                kCommandBytesMax);
  FieldReader from(bytes);
  auto version = from.byte(0, UINT8_MAX);
  if (from.ok() && version != kVersion)
    return fail(Code::kVersion, "metadata command of version {}, this node knows {}", version,
                kVersion);
  Command command{.time = from.get<Time>()};
  auto left = from.count();
  if (left > kChangesMax)
    return fail(Code::kTooLarge, "a metadata command of {} changes, at most {}", left, kChangesMax);
  for (; left > 0 && from.ok(); --left) {
    auto kind = from.byte(0, UINT8_MAX);
    command.changes.push_back(read_change(kind, from.string()));
  }
  if (!from.whole()) return fail(Code::kCorrupt, "malformed metadata command");
  return command;
}

std::string encode_reply(const std::vector<Outcome>& outcomes) {
  std::string bytes(1, static_cast<char>(kVersion));
  put(bytes, outcomes);
  return bytes;
}

Result<std::vector<Outcome>> parse_reply(Bytes bytes) {
  FieldReader from(bytes);
  auto version = from.byte(0, UINT8_MAX);
  if (from.ok() && version != kVersion)
    return fail(Code::kVersion, "reply of version {} to a metadata command, this node knows {}",
                version, kVersion);
  auto outcomes = from.get<std::vector<Outcome>>();
  if (!from.whole()) return fail(Code::kCorrupt, "malformed reply to a metadata command");
  return outcomes;
}

Bytes refusal_name(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone: return "done";
    case Refusal::kMalformed: return "malformed";
    case Refusal::kUnknown: return "unknown";
    case Refusal::kNotFound: return "not_found";
    case Refusal::kExists: return "exists";
    case Refusal::kMismatch: return "mismatch";
    case Refusal::kState: return "state";
    case Refusal::kEpoch: return "epoch";
    case Refusal::kInvalid: return "invalid";
    case Refusal::kLimit: return "limit";
  }
  return "unknown";
}

}  // namespace walrus::meta
