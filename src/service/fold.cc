#include "service/fold.h"

#include <exception>

#include "base/coding.h"
#include "base/crc32c.h"

namespace walrus::service {
namespace {

constexpr std::uint8_t kSnapshotVersion = 1;
constexpr std::size_t kHeadBytes = 1 + 8 + 4;
constexpr std::uint64_t kTableBytesMax = std::uint64_t{1} << 30;
constexpr std::size_t kReadBytes = 256 << 10;

// Of the user's code alone: ours does not throw.
template <class Call>
auto guarded(const char* what, const Call& call) -> Result<decltype(call())> {
  try {
    if constexpr (std::is_void_v<decltype(call())>) {
      call();
      return {};
    } else {
      return call();
    }
  } catch (const std::exception& thrown) {
    return fail(Code::kInvalid, "{} threw: {}", what, thrown.what());
  } catch (...) {
    return fail(Code::kInvalid, "{} threw what is no std::exception", what);
  }
}

template <class T>
Result<T> flat(Result<Result<T>> nested) {
  if (!nested) return std::unexpected(std::move(nested).error());
  return *std::move(nested);
}

Result<void> read_all(SnapshotReader& from, std::span<char> to) {
  while (!to.empty()) {
    WALRUS_ASSIGN(const auto size, from.read(to));
    if (size == 0) return fail(Code::kCorrupt, "the snapshot is cut short");
    to = to.subspan(size);
  }
  return {};
}

// Memory is taken as bytes arrive, not by what the size claims.
Result<std::string> read_bytes(SnapshotReader& from, std::uint64_t size) {
  std::string bytes;
  while (bytes.size() < size) {
    const auto before = bytes.size();
    bytes.resize(before + std::min<std::uint64_t>(kReadBytes, size - before));
    WALRUS_TRY(read_all(from, std::span(bytes).subspan(before)));
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

}  // namespace

Result<Outcome> Fold::apply(std::uint64_t index, std::uint64_t term, Bytes entry) {
  WALRUS_ASSIGN(const auto command, wire::peer::parse_service_command(entry));
  const auto now = sessions_.advance(Time(Millis(command.leader_time_ms)));
  if (const auto* open = std::get_if<wire::peer::OpenSession>(&command.body))
    return sessions_.open(index, open->ttl_ms);
  const auto& proposed = std::get<wire::peer::ProposeCommand>(command.body);
  if (auto known = sessions_.admit(proposed)) return *std::move(known);
  const ApplyContext context{.index = index,
                             .term = term,
                             .leader_time = now,
                             .seed = command.seed,
                             .session = proposed.session};
  WALRUS_ASSIGN(auto reply,
                guarded("apply()", [&] { return user_->apply(proposed.command, context); }));
  auto outcome = outcome_of(index, std::move(reply));
  sessions_.keep(proposed, outcome);
  return outcome;
}

Result<std::string> Fold::query(Bytes question) const {
  return guarded("query()", [&] { return user_->query(question); });
}

Result<std::unique_ptr<Frozen>> Fold::freeze() const {
  WALRUS_ASSIGN(auto user, guarded("snapshot()", [&] { return user_->snapshot(); }));
  if (!user) return fail(Code::kInvalid, "snapshot() returned none");
  return std::make_unique<Frozen>(sessions_, std::move(user));
}

Result<void> Frozen::write(SnapshotWriter& to) const {
  const auto table = table_.encode();
  std::string head(1, static_cast<char>(kSnapshotVersion));
  append_le<std::uint64_t>(head, table.size());
  append_le<std::uint32_t>(head, crc32c(table));
  WALRUS_TRY(to.write(head));
  WALRUS_TRY(to.write(table));
  return flat(guarded("Snapshot::write()", [&] { return user_->write(to); }));
}

Result<void> Fold::restore(SnapshotReader& from) {
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
  WALRUS_ASSIGN(auto table, SessionTable::decode(bytes));
  WALRUS_TRY(flat(guarded("restore()", [&] { return user_->restore(from); })));
  sessions_ = std::move(table);
  return {};
}

}  // namespace walrus::service
