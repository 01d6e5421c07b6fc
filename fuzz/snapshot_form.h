#pragma once
// What leaders send of snapshots, in few bytes: for the fuzz target `snapshot_stream` and its
// corpus.
//
//   position  size  field
//          0     1  the seed of the simulated world
//          1     .  steps, each:
//                     0  1  what: Step::What
//                     1  1  which: the snapshot, its number below kSnapshots; kOther
//                     2  2  at, little endian
//                     4  2  size, little endian
//                     6  .  of kMake and kRaw: so many bytes

#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "raft/stored_format.h"
#include "service/fold.h"
#include "wire/peer/service_command.h"

namespace walrus::fuzz {

constexpr std::size_t kMade = 4, kSnapshots = 5;  // kMade: the one whose bytes the input says
constexpr unsigned char kOther = 0x80;            // of `which`: the second leader sends it

struct Step {
  enum What : unsigned char {
    kPiece,    // `size` bytes from `at` on, those there are; none: an offer
    kAltered,  // the same, one bit of them is another
    kRest,     // from `at` on all of it, in pieces of `size` bytes
    kMake,     // kMade has these bytes; at: 1 the size and the checksum of its table are made right
    kMeta,     // its metadata: field `at` is another by `size`; kMend: the id is made right
    kRaw,      // a chunk as the bytes say
    kAppend,   // `size` entries behind entry `at`, all of them committed
    kTerm,     // a new term: the sender leads
    kOwn,      // the receiver takes a snapshot of its own
    kWait,     // what is under way gets there
    kRestart,  // at: 0 kill, 1 power cut, 2 in peace
    kStepEnd,
  };
  What what{};
  unsigned char which = 0;
  std::uint16_t at = 0, size = 0;
  Bytes bytes{};
};
constexpr std::uint16_t kMend = 0x8000;  // of `at`

inline std::optional<Step> take_step(Bytes& from) {
  constexpr std::size_t kStepBytes = 6;
  if (from.size() < kStepBytes) return std::nullopt;
  Step step{.what = static_cast<Step::What>(static_cast<unsigned char>(from[0]) % Step::kStepEnd),
            .which = static_cast<unsigned char>(from[1]),
            .at = load_le<std::uint16_t>(from.data() + 2),
            .size = load_le<std::uint16_t>(from.data() + 4)};
  from.remove_prefix(kStepBytes);
  if (step.what != Step::kMake && step.what != Step::kRaw) return step;
  step.bytes = from.substr(0, step.size);
  from.remove_prefix(step.bytes.size());
  return step;
}

inline void append_step(std::string& to, Step step) {
  to.push_back(static_cast<char>(step.what));
  to.push_back(static_cast<char>(step.which));
  append_le(to, step.at);
  append_le(to, step.bytes.empty() ? step.size : static_cast<std::uint16_t>(step.bytes.size()));
  to += step.bytes;
}

// ---- The state that is sent ----

// A text that commands are added to.
class TextMachine final : public StateMachine {
 public:
  std::string apply(Bytes command, const ApplyContext&) override {
    text_ += command;
    return std::to_string(text_.size());
  }
  std::string query(Bytes) const override { return text_; }
  std::unique_ptr<Snapshot> snapshot() const override { return std::make_unique<Copy>(text_); }
  Result<void> restore(SnapshotReader& from) override {
    std::string text;
    for (char part[100];;) {
      auto size = from.read(part);
      if (!size) return std::unexpected(size.error());
      if (*size == 0) break;
      text.append(part, *size);
    }
    text_ = std::move(text);
    return {};
  }

 private:
  struct Copy final : Snapshot {
    explicit Copy(std::string of) : text(std::move(of)) {}
    Result<void> write(SnapshotWriter& to) const override { return to.write(text); }
    std::string text;
  };
  std::string text_{};
};

inline std::unique_ptr<service::Fold> make_fold() {
  return std::make_unique<service::Fold>(std::make_unique<TextMachine>(),
                                         std::make_shared<service::FoldCounts>());
}

inline std::string command_text(decltype(wire::peer::ServiceCommand::body) body) {
  std::string bytes;
  wire::peer::append_service_command(
      bytes, {.leader_time_ms = 1'700'000'000'000, .seed = 1, .body = body});
  return bytes;
}

class Kept final : public raft::SnapshotSink, public raft::SnapshotSource {
 public:
  explicit Kept(std::string of = {}, std::size_t piece = 7) : bytes(std::move(of)), piece_(piece) {}
  Result<void> write(Bytes more) override {
    bytes += more;
    return {};
  }
  Result<std::size_t> read(std::span<char> to) override {
    auto part = Bytes(bytes).substr(position_, std::min(to.size(), piece_));
    position_ += part.copy(to.data(), part.size());
    return part.size();
  }
  std::string bytes;

 private:
  std::size_t piece_, position_ = 0;
};

// The state of a service with that many sessions of three commands each, the last one of `bytes`.
inline std::string state_bytes(std::uint64_t sessions, std::size_t bytes) {
  auto fold = make_fold();
  raft::Index index = 0;
  auto apply = [&](const std::string& command) {
    std::vector<std::string> replies;
    const raft::Command one{.at = {1, ++index}, .bytes = command};
    CHECK(fold->apply({&one, 1}, replies).has_value());
  };
  for (std::uint64_t i = 0; i < sessions; ++i) {
    apply(command_text(wire::peer::OpenSession{3'600'000}));
    auto session = index;
    apply(command_text(wire::peer::ProposeCommand{session, 1, 0, "one "}));
    apply(command_text(wire::peer::ProposeCommand{session, 2, 0, "two "}));
    apply(command_text(wire::peer::ProposeCommand{session, 3, 1, std::string(bytes, 'x')}));
  }
  Kept kept;
  auto frozen = fold->freeze();
  CHECK(frozen.has_value());
  for (bool more = true; more;) {
    auto written = (*frozen)->write(kept);
    CHECK(written.has_value());
    more = *written;
  }
  return std::move(kept.bytes);
}

struct Sent {  // a snapshot, as a leader has it
  raft::SnapshotMeta meta{};
  std::string bytes{};
};

inline void mend_id(Sent& snapshot) {
  snapshot.meta.id = raft::snapshot_id(snapshot.meta, crc32c(snapshot.bytes));
}

inline raft::Membership three_members() {
  raft::Membership all;
  for (std::uint64_t id = 1; id <= 3; ++id)
    all.members.push_back({.id = NodeId{id}, .address = "", .voter = true});
  return all;
}

// By number: small, some pieces, more than a batch of the receiver's engine holds, no bytes.
inline std::vector<Sent> snapshots_of() {
  const auto members = three_members();
  const std::string states[] = {state_bytes(1, 20), state_bytes(3, 300), state_bytes(2, 6'000), {}};
  std::vector<Sent> all;
  for (const auto& bytes : states)
    all.push_back(
        {{.last = {1, 20 + 10 * all.size()}, .membership = members, .size = bytes.size()}, bytes});
  all.push_back({{.last = {1, 60}, .membership = members}, {}});
  for (auto& one : all) mend_id(one);
  return all;
}

}  // namespace walrus::fuzz
