#include "service/session_table.h"

#include <algorithm>

#include "base/check.h"
#include "base/coding.h"

namespace walrus::service {
namespace {

constexpr std::uint8_t kTableVersion = 1;
constexpr std::size_t kSessionBytesMin = 5, kOutcomeBytesMin = 3;
constexpr std::int64_t kTimeMsMax = std::int64_t{1} << 52;  // so that sums stay within range

std::uint64_t cost(const Outcome& outcome) { return outcome.reply().size(); }

bool is_time(std::int64_t ms) { return ms >= -kTimeMsMax && ms <= kTimeMsMax; }

bool known_code(unsigned code) { return code <= static_cast<unsigned>(Code::kFenced); }

}  // namespace

Outcome applied(std::uint64_t index, std::string reply) {
  return {Code{}, index, std::make_shared<const std::string>(std::move(reply))};
}

Outcome refused(Code code, std::string why, std::uint64_t index) {
  return {code, index, std::make_shared<const std::string>(std::move(why))};
}

Time SessionTable::advance(Time leader_time) {
  time_ = std::clamp(leader_time, time_, Time(Millis(kTimeMsMax)));
  while (!looks_.empty() && looks_.begin()->first <= now_ms()) {
    const auto id = looks_.begin()->second;
    looks_.erase(looks_.begin());
    const auto over = sessions_.at(id).over_ms();
    if (over <= now_ms()) drop(id);
    else looks_.emplace(over, id);
  }
  return time_;
}

Outcome SessionTable::open(std::uint64_t index, std::uint64_t ttl_ms) {
  if (sessions_.size() >= kSessionsMax)
    return refused(Code::kBusy, fmt::format("there are {} sessions already", kSessionsMax), index);
  const auto [at, fresh] = sessions_.try_emplace(index);
  CHECK(fresh);
  at->second.ttl_ms = static_cast<std::int64_t>(ttl_ms);
  at->second.used_ms = now_ms();
  looks_.emplace(at->second.over_ms(), index);
  return applied(index, {});
}

std::optional<Outcome> SessionTable::admit(const wire::peer::ProposeCommand& command) {
  const auto found = sessions_.find(command.session);
  if (found == sessions_.end())
    return refused(Code::kNotFound, fmt::format("session {} is over", command.session));
  auto& session = found->second;
  session.used_ms = now_ms();
  forget_outcomes(session, command.answered);
  if (command.sequence > session.last + 1)
    return refused(Code::kMismatch,
                   fmt::format("sequence {} of session {} leaves a gap: the next one is {}",
                               command.sequence, command.session, session.last + 1));
  if (command.sequence <= session.last) {
    const auto behind = session.last - command.sequence;
    if (behind < session.outcomes.size())
      return session.outcomes[session.outcomes.size() - 1 - static_cast<std::size_t>(behind)];
    return refused(Code::kOutOfRange,
                   fmt::format("the reply to sequence {} of session {} was received, and is not "
                               "kept any more",
                               command.sequence, command.session));
  }
  if (session.outcomes.size() >= kOutcomesMax || session.outcome_bytes >= kOutcomeBytesMax ||
      outcome_bytes_ >= kOutcomeBytesTotalMax)
    return refused(Code::kBusy, "too many replies are waiting to be acknowledged");
  return std::nullopt;
}

void SessionTable::keep(const wire::peer::ProposeCommand& command, Outcome outcome) {
  auto& session = sessions_.at(command.session);
  CHECK(command.sequence == session.last + 1);
  session.last = command.sequence;
  session.outcome_bytes += cost(outcome);
  outcome_bytes_ += cost(outcome);
  session.outcomes.push_back(std::move(outcome));
}

std::optional<std::uint64_t> SessionTable::last_sequence(std::uint64_t session) const {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return std::nullopt;
  return found->second.last;
}

void SessionTable::forget_outcomes(Session& session, std::uint64_t answered) {
  while (!session.outcomes.empty() && session.last - session.outcomes.size() < answered) {
    const auto bytes = cost(session.outcomes.front());
    session.outcome_bytes -= bytes;
    outcome_bytes_ -= bytes;
    session.outcomes.pop_front();
  }
}

void SessionTable::drop(std::uint64_t id) {
  const auto found = sessions_.find(id);
  outcome_bytes_ -= found->second.outcome_bytes;
  sessions_.erase(found);
}

bool SessionTable::operator==(const SessionTable& other) const {
  return time_ == other.time_ && sessions_ == other.sessions_;
}

std::string SessionTable::encode() const {
  std::string to(1, static_cast<char>(kTableVersion));
  append_uvarint(to, zigzag(now_ms()));
  append_uvarint(to, sessions_.size());
  for (const auto& [id, session] : sessions_) {
    append_uvarint(to, id);
    append_uvarint(to, static_cast<std::uint64_t>(session.ttl_ms));
    append_uvarint(to, zigzag(session.used_ms));
    append_uvarint(to, session.last);
    append_uvarint(to, session.outcomes.size());
    for (const auto& outcome : session.outcomes) {
      to.push_back(static_cast<char>(outcome.refused));
      append_uvarint(to, outcome.index);
      append_string(to, outcome.reply());
    }
  }
  return to;
}

Result<SessionTable> SessionTable::decode(Bytes bytes) {
  Decoder from(bytes);
  const auto version = from.le<std::uint8_t>();
  if (version && *version != kTableVersion)
    return fail(Code::kVersion, "session table of version {}, this node knows {}", *version,
                kTableVersion);
  const auto corrupt = fail(Code::kCorrupt, "malformed session table");
  SessionTable table;
  const auto time_ms = from.varint().value_or(0);
  const auto count = from.uvarint().value_or(0);
  if (!from.ok() || !is_time(time_ms) || count > kSessionsMax ||
      count > from.remaining() / kSessionBytesMin)
    return corrupt;
  table.time_ = Time(Millis(time_ms));
  for (std::uint64_t i = 0, before = 0; i < count; ++i) {
    const auto id = from.uvarint().value_or(0);
    Session session;
    const auto ttl = from.uvarint().value_or(0);
    session.used_ms = from.varint().value_or(0);
    session.last = from.uvarint().value_or(0);
    const auto outcomes = from.uvarint().value_or(0);
    session.ttl_ms = static_cast<std::int64_t>(ttl);
    if (!from.ok() || id <= before || ttl == 0 || ttl > wire::peer::kSessionTtlMsMax ||
        session.used_ms > time_ms || session.used_ms < -kTimeMsMax ||
        session.over_ms() <= time_ms || outcomes > session.last || outcomes > kOutcomesMax ||
        outcomes > from.remaining() / kOutcomeBytesMin)
      return corrupt;
    for (std::uint64_t j = 0; j < outcomes; ++j) {
      const auto code = from.le<std::uint8_t>().value_or(0);
      const auto index = from.uvarint().value_or(0);
      const auto reply = from.string();
      if (!reply || !known_code(code)) return corrupt;
      session.outcomes.push_back(
          {static_cast<Code>(code), index, std::make_shared<const std::string>(*reply)});
      session.outcome_bytes += reply->size();
    }
    table.outcome_bytes_ += session.outcome_bytes;
    table.looks_.emplace(session.over_ms(), id);
    table.sessions_.emplace(id, std::move(session));
    before = id;
  }
  if (!from.ok() || !from.at_end()) return corrupt;
  return table;
}

}  // namespace walrus::service
