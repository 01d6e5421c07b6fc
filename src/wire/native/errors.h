#pragma once
// Every error text of the native protocol, without the leading `ERR `. Scripts compare them byte by
// byte: a text may be added, none changed.

#include <fmt/format.h>

#include <string>

#include "walrus/log.h"

namespace walrus::wire::native::text {

// Framing.
inline constexpr Bytes kInvalidFrameLength = "invalid frame length";
inline constexpr Bytes kInvalidUtf8 = "invalid utf-8";
// Parsing. "<COMMAND> requires a topic | a payload | an offset | a consumer | a batch | ...".
inline constexpr Bytes kUnknownCommand = "unknown command";
inline constexpr Bytes kInvalidTopicName = "invalid topic name";
inline constexpr Bytes kInvalidConsumerName = "invalid consumer name";
inline constexpr Bytes kUnexpectedArgument = "unexpected argument";
inline std::string requires_(Bytes command, Bytes what) {
  return fmt::format("{} requires {}", command, what);
}
inline std::string invalid_number(Bytes token) { return fmt::format("invalid number {}", token); }
// Topics and offsets.
inline std::string unknown_topic(Bytes target) { return fmt::format("unknown topic {}", target); }
inline std::string topic_exists(Bytes topic) { return fmt::format("topic exists {}", topic); }
inline std::string unknown_consumer(Bytes consumer) {
  return fmt::format("unknown consumer {}", consumer);
}
inline std::string expected_offset(std::int64_t expected, std::int64_t next) {
  return fmt::format("expected offset {}, next is {}", expected, next);
}
inline std::string out_of_range(std::int64_t log_start, std::int64_t high_watermark) {
  return fmt::format("offset out of range {}..{}", log_start, high_watermark);
}
// Authentication and users.
inline constexpr Bytes kAuthenticationRequired = "authentication required";
inline constexpr Bytes kAuthenticationFailed = "authentication failed";
inline constexpr Bytes kNotAsked = "authentication is not asked for here";
inline constexpr Bytes kAgainTooSoon = "authentication again too soon";
inline constexpr Bytes kUnsupportedMechanism = "unsupported mechanism";
inline constexpr Bytes kSpeaksTls = "this port speaks TLS";
inline constexpr Bytes kInvalidUserName = "invalid user name";
inline constexpr Bytes kInvalidCredential = "invalid credential";
inline std::string user_exists(Bytes user) { return fmt::format("user exists {}", user); }
inline std::string unknown_user(Bytes user) { return fmt::format("unknown user {}", user); }
// Consumer groups.
inline constexpr Bytes kInvalidGroupName = "invalid group name";
inline std::string unknown_group(Bytes group) { return fmt::format("unknown group {}", group); }
inline std::string group_has_members(Bytes group) {
  return fmt::format("group has members {}", group);
}
// The cluster.
inline constexpr Bytes kNoCluster = "this server is not a node of a cluster";
inline std::string unknown_node(std::uint64_t node) { return fmt::format("unknown node {}", node); }
// Nothing was stored, and no node takes appends for now.
inline std::string no_leader(Bytes target) {
  return fmt::format("no leader for {}, try again", target);
}
// Storage and limits.
inline constexpr Bytes kStorageFull = "storage full";
inline constexpr Bytes kStorageFailed = "storage failed";
inline constexpr Bytes kTooManyConnections = "too many connections";
inline constexpr Bytes kShuttingDown = "shutting down";
inline constexpr Bytes kBusy = "busy, try again";  // nothing was stored
inline constexpr Bytes kTimedOut = "timed out";    // the outcome is unknown
// With a detail behind the colon.
inline constexpr Bytes kInvalidBatch = "invalid batch";  // a BATCH that fails its checks
inline constexpr Bytes kTooLarge = "too large";
inline constexpr Bytes kOutOfOrder = "sequence out of order";
inline constexpr Bytes kFenced = "producer fenced";  // a newer epoch of the producer id wrote
inline constexpr Bytes kCorrupt = "corrupt";         // stored bytes that fail their checksum
inline constexpr Bytes kInvalidConfig = "invalid config";
inline std::string with_detail(Bytes kind, Bytes detail) {
  return fmt::format("{}: {}", kind, detail);
}

}  // namespace walrus::wire::native::text
