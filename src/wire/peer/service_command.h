#pragma once
// What lies in the Raft log of a service: one command an entry. Pure.
//
//   command   version u8 = 1 | kind u8 | leader time varint, ms | seed u64 | body by kind
//     1 propose        session uvarint | sequence uvarint | answered uvarint | the user's command,
//                      all that is left
//     2 open session   ttl uvarint, ms
//
// Leader time and seed are those of the leader that took the command, so that every member that
// applies it sees the same. `answered`: the session has the replies of all sequences up to there.

#include <cstdint>
#include <string>
#include <variant>

#include "base/result.h"

namespace walrus::wire::peer {

// Of what precedes the user's command, at most.
constexpr std::size_t kCommandPreludeBytesMax = 2 + 10 + 8 + 3 * 10;

struct ProposeCommand {
  std::uint64_t session = 0;   // never 0
  std::uint64_t sequence = 0;  // from 1
  std::uint64_t answered = 0;  // below sequence
  Bytes command{};
  bool operator==(const ProposeCommand&) const = default;
};
struct OpenSession {
  std::uint64_t ttl_ms = 0;  // at most kSessionTtlMsMax, never 0
  bool operator==(const OpenSession&) const = default;
};
constexpr std::uint64_t kSessionTtlMsMax = std::uint64_t{1000} * 60 * 60 * 24 * 366;

struct ServiceCommand {
  std::int64_t leader_time_ms = 0;  // since 1970
  std::uint64_t seed = 0;
  std::variant<ProposeCommand, OpenSession> body{};
  bool operator==(const ServiceCommand&) const = default;
};

void append_service_command(std::string& to, const ServiceCommand&);
// All of `bytes`, of which the user's command is a view. kCorrupt; kVersion: by a later Walrus.
Result<ServiceCommand> parse_service_command(Bytes bytes);

}  // namespace walrus::wire::peer
