#include "service/fold.h"

#include <algorithm>
#include <exception>

#include "base/coding.h"
#include "base/crc32c.h"
#include "wire/peer/service_message.h"

namespace walrus::service {
namespace {

constexpr std::uint8_t kSnapshotVersion = 1;
constexpr std::size_t kHeadBytes = 1 + 8 + 4;
constexpr std::uint64_t kTableBytesMax = std::uint64_t{1} << 30;
constexpr std::size_t kReadBytes = 256 << 10;

// Around the user's code alone: ours does not throw.
template <class Call>
auto guarded(const char* what, const Call& call) -> Result<decltype(call())> {
  try {
    return call();
  } catch (const std::exception& thrown) {
    return fail(Code::kInvalid, "{} threw: {}", what, thrown.what());
  } catch (...) {
    return fail(Code::kInvalid, "{} threw what is no std::exception", what);
  }
}

Result<void> flat(const char* what, Result<Result<void>> nested) {
  if (!nested) return std::unexpected(std::move(nested).error());
  if (*nested) return {};
  return fail((*nested).error().code, "{}: {}", what, (*nested).error().message);
}

// What the user writes to. The sink's own error is what counts, whatever the user makes of it.
class Writer final : public SnapshotWriter {
 public:
  explicit Writer(raft::SnapshotSink& sink) : sink_(sink) {}
  Result<void> write(Bytes bytes) override {
    if (!result_) return result_;
    result_ = sink_.write(bytes);
    return result_;
  }
  const Result<void>& result() const { return result_; }

 private:
  raft::SnapshotSink& sink_;
  Result<void> result_{};
};

class Reader final : public SnapshotReader {
 public:
  explicit Reader(raft::SnapshotSource& source) : source_(source) {}
  Result<std::size_t> read(std::span<char> to) override { return source_.read(to); }

 private:
  raft::SnapshotSource& source_;
};

// The state after some command. Written in one go: the user's code decides how.
class View final : public raft::Frozen {
 public:
  View(SessionTable table, std::unique_ptr<Snapshot> user)
      : table_(std::move(table)), user_(std::move(user)) {}
  Result<bool> write(raft::SnapshotSink& sink) override {
    Writer to(sink);
    const auto table = table_.encode();
    std::string head(1, static_cast<char>(kSnapshotVersion));
    append_le<std::uint64_t>(head, table.size());
    append_le<std::uint32_t>(head, crc32c(table));
    WALRUS_TRY(to.write(head));
    WALRUS_TRY(to.write(table));
    auto written =
        flat("Snapshot::write()", guarded("Snapshot::write()", [&] { return user_->write(to); }));
    WALRUS_TRY(to.result());
    WALRUS_TRY(std::move(written));
    return false;
  }

 private:
  const SessionTable table_;
  const std::unique_ptr<Snapshot> user_;
};

// Memory is taken as bytes arrive, not by what the size claims.
Result<std::string> read_bytes(SnapshotReader& from, std::uint64_t size) {
  std::string bytes;
  while (bytes.size() < size) {
    const auto before = bytes.size();
    bytes.resize(before + std::min<std::uint64_t>(kReadBytes, size - before));
    WALRUS_ASSIGN(const auto got, from.read(std::span(bytes).subspan(before)));
    if (got == 0) return fail(Code::kCorrupt, "the snapshot is cut short");
    bytes.resize(before + got);
  }
  return bytes;
}

Outcome outcome_of(std::uint64_t index, std::string reply) {
  if (reply.size() <= kReplyBytesMax) return applied(index, std::move(reply));
  return refused(Code::kTooLarge,
                 fmt::format("the command was applied; its reply has {} bytes, at most {} can be "
                             "kept",
                             reply.size(), kReplyBytesMax),
                 index);
}

Result<SessionTable> read_table(SnapshotReader& from) {
  WALRUS_ASSIGN(const auto head, read_bytes(from, kHeadBytes));
  Decoder numbers(head);
  const auto version = numbers.le<std::uint8_t>().value_or(0);
  const auto size = numbers.le<std::uint64_t>().value_or(0);
  const auto sum = numbers.le<std::uint32_t>().value_or(0);
  if (version != kSnapshotVersion)
    return fail(Code::kVersion, "snapshot of version {}, this node knows {}", version,
                kSnapshotVersion);
  if (size > kTableBytesMax) return fail(Code::kCorrupt, "a session table of {} bytes", size);
  WALRUS_ASSIGN(const auto bytes, read_bytes(from, size));
  if (crc32c(bytes) != sum) return fail(Code::kCorrupt, "the session table is damaged");
  return SessionTable::decode(bytes);
}

}  // namespace

Result<void> Fold::apply(std::span<const raft::Command> commands,
                         std::vector<std::string>& replies) {
  for (const auto& command : commands) {
    WALRUS_ASSIGN(const auto outcome, apply_one(command));
    wire::peer::append_outcome(replies.emplace_back(), outcome.refused, outcome.index,
                               outcome.reply());
  }
  if (!commands.empty()) reached(commands.back().at.index);
  return {};
}

Result<Outcome> Fold::apply_one(const raft::Command& entry) {
  WALRUS_ASSIGN(const auto command, wire::peer::parse_service_command(entry.bytes));
  const auto now = sessions_.advance(Time(Millis(command.leader_time_ms)));
  if (const auto* open = std::get_if<wire::peer::OpenSession>(&command.body))
    return sessions_.open(entry.at.index, open->ttl_ms);
  const auto& proposed = std::get<wire::peer::ProposeCommand>(command.body);
  if (auto known = sessions_.admit(proposed)) {
    if (known->index != 0) ++counts_->repeats;
    return *std::move(known);
  }
  const ApplyContext context{.index = entry.at.index,
                             .term = entry.at.term,
                             .leader_time = now,
                             .seed = command.seed,
                             .session = proposed.session};
  WALRUS_ASSIGN(auto reply,
                guarded("apply()", [&] { return user_->apply(proposed.command, context); }));
  ++counts_->commands;
  auto outcome = outcome_of(entry.at.index, std::move(reply));
  sessions_.keep(proposed, outcome);
  return outcome;
}

void Fold::reached(std::uint64_t index) {
  counts_->sessions = sessions_.size();
  counts_->applied_index = index;
  if (on_reached_) on_reached_();
}

Result<std::string> Fold::query(Bytes question) const {
  return guarded("query()", [&] { return user_->query(question); });
}

Result<std::unique_ptr<raft::Frozen>> Fold::freeze() {
  WALRUS_ASSIGN(auto user, guarded("snapshot()", [&] { return user_->snapshot(); }));
  if (!user) return fail(Code::kInvalid, "snapshot() returned none");
  return std::make_unique<View>(sessions_, std::move(user));
}

Result<void> Fold::restore(raft::EntryId last, raft::SnapshotSource& source) {
  Reader from(source);
  WALRUS_ASSIGN(auto table, read_table(from));
  if (table.newest() > last.index)
    return fail(Code::kCorrupt, "session {} in a snapshot at {}", table.newest(), last.index);
  WALRUS_TRY(flat("restore()", guarded("restore()", [&] { return user_->restore(from); })));
  sessions_ = std::move(table);
  reached(last.index);
  return {};
}

}  // namespace walrus::service
