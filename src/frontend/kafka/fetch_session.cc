#include "frontend/kafka/fetch_session.h"

#include <algorithm>
#include <limits>

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;

constexpr std::int32_t kNewSession = 0, kNoSession = -1;

std::string topic_key(bool by_id, Bytes name, const Uuid& id) {
  return by_id ? std::string(id.bytes.data(), id.bytes.size()) : std::string(name);
}

// 0 and -1 have meanings of their own.
std::int32_t next_epoch(std::int32_t epoch) {
  return epoch == std::numeric_limits<std::int32_t>::max() ? 1 : epoch + 1;
}

}  // namespace

FetchSession::FetchSession(bool by_id, const FetchRequest& request) : by_id_(by_id) {
  update(request);
}

void FetchSession::update(const FetchRequest& request) {
  for (const auto& topic : request.topics) {
    auto key = topic_key(by_id_, topic.name, topic.id);
    for (const auto& part : topic.partitions) {
      auto [place, is_new] = index_.try_emplace({key, part.index});
      if (is_new) place->second = parts_.insert(parts_.end(), {.topic = key});
      place->second->asked = part;
    }
  }
  for (const auto& topic : request.forgotten_topics) {
    auto key = topic_key(by_id_, topic.name, topic.id);
    for (auto part : topic.partitions) {
      auto place = index_.find({key, part});
      if (place == index_.end()) continue;
      parts_.erase(place->second);
      index_.erase(place);
    }
  }
}

bool FetchSession::tell(const FetchResponse::Topic& topic, const FetchResponse::Partition& answer) {
  auto place = index_.find({topic_key(by_id_, topic.name, topic.id), answer.index});
  if (place == index_.end()) return true;
  auto& part = *place->second;
  bool records = answer.records && !answer.records->empty();
  bool failed = answer.error_code != 0;
  bool news = records || failed || answer.preferred_read_replica >= 0 ||
              answer.high_watermark != part.high_watermark ||
              answer.log_start_offset != part.log_start;
  // Once the error has gone, the client is told whatever the bounds are.
  part.high_watermark = failed ? -1 : answer.high_watermark;
  part.log_start = answer.log_start_offset;
  // Those that wait for their turn come before one that had it.
  if (records) parts_.splice(parts_.end(), parts_, place->second);
  return news;
}

FetchSessions::Turn FetchSessions::begin(const FetchRequest& request, bool by_id, SessionTime now) {
  if (request.session_epoch == kNewSession || request.session_epoch == kNoSession) {
    if (request.session_id != 0) remove(request.session_id);
    return {.wanted = request.session_epoch == kNewSession};
  }
  auto found = sessions_.find(request.session_id);
  if (found == sessions_.end()) return {.error = ErrorCode::kFetchSessionIdNotFound};
  auto session = found->second;
  if (session->by_id() != by_id) return {.error = ErrorCode::kFetchSessionTopicIdError};
  if (session->epoch_ != request.session_epoch)
    return {.error = ErrorCode::kInvalidFetchSessionEpoch};
  by_use_.erase({session->used_, session->id_});
  session->used_ = now;
  by_use_.emplace(std::pair(now, session->id_), session);
  partitions_ -= session->parts_.size();
  session->update(request);
  partitions_ += session->parts_.size();
  // Nothing is left to read, or there is no room for what was added: it goes on without a session.
  if (session->parts_.empty() || partitions_ > options_.partitions_max) remove(session->id_);
  session->epoch_ = next_epoch(session->epoch_);
  return {.session = session, .epoch = session->epoch_};
}

std::int32_t FetchSessions::admit(FetchSessionRef session, SessionTime now, std::uint64_t random) {
  auto partitions = session->parts_.size();
  if (partitions == 0 || !make_room(partitions, now)) return 0;
  constexpr std::uint64_t kPositive = 0x7fffffff;
  auto id = static_cast<std::int32_t>(random & kPositive);
  while (id == 0 || sessions_.contains(id)) id = static_cast<std::int32_t>((++random) & kPositive);
  session->id_ = id;
  session->epoch_ = 1;
  session->made_ = session->used_ = now;
  partitions_ += partitions;
  by_use_.emplace(std::pair(now, id), session);
  sessions_.emplace(id, std::move(session));
  return id;
}

void FetchSessions::remove(std::int32_t id) {
  auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  partitions_ -= found->second->parts_.size();
  by_use_.erase({found->second->used_, id});
  found->second->id_ = 0;  // what its client is told from now on
  sessions_.erase(found);
}

// Whose clients went away makes room first, then who reads least.
bool FetchSessions::make_room(std::size_t partitions, SessionTime now) {
  auto full = [&] {
    return sessions_.size() >= options_.sessions_max ||
           partitions_ + partitions > options_.partitions_max;
  };
  while (full() && !by_use_.empty() &&
         now - by_use_.begin()->first.first > options_.evictable_after)
    remove(by_use_.begin()->first.second);
  while (full()) {
    FetchSessionRef least;
    for (const auto& [use, one] : by_use_) {
      bool old = now - one->made_ > options_.evictable_after;
      if (old && (!least || one->parts_.size() < least->parts_.size())) least = one;
    }
    if (!least || least->parts_.size() >= partitions) return false;
    remove(least->id_);
  }
  return true;
}

}  // namespace walrus::frontend::kafka
