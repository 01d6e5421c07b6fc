#include "broker/cluster/tails.h"

#include "broker/cluster/peer_code.h"
#include "replica/copy_format.h"

namespace walrus::broker {
namespace {

constexpr io::Nanos kCallTimeout = std::chrono::milliseconds(500);
constexpr io::Nanos kTailPause = std::chrono::milliseconds(20);  // before it is looked again
constexpr std::size_t kTailCodeBytes = 1 + 4 * 8 + 4 + 8;

// As this node has it: the truth if it writes it.
Tail tail_here(Bridge& bridge, replica::Node& node, const PartitionId& id) {
  Tail tail;
  auto bounds = node.bounds(id);
  auto image = bridge.image();
  const auto* partition = image->partitions.find(id);
  if (!bounds || partition == nullptr) return tail;
  auto hint = node.leader_of(id);
  tail.current = hint.here;
  tail.log_start = bounds->log_start;
  tail.high_watermark = bounds->high_watermark;
  tail.log_end = bounds->log_end;
  tail.epoch = bounds->epoch;
  tail.leader = hint.leader;
  if (!partition->tail) return tail;
  tail.segment = partition->tail->id;
  auto stream = bridge.engine().find(replica::copy_stream_name(tail.segment));
  auto info = stream ? bridge.engine().info(*stream)
                     : Result<StreamInfo>(fail(Code::kNotFound, "no copy here"));
  if (info) tail.bytes = info->bytes;
  return tail;
}

// Nobody writes it: metadata has its end.
Tail tail_of(const meta::Partition& partition) {
  auto end = std::max(partition.sealed_end, partition.log_start);
  auto epoch = partition.sealed.empty() ? Epoch{} : partition.sealed.last().epoch;
  return {.current = true,
          .log_start = partition.log_start,
          .high_watermark = end,
          .log_end = end,
          .epoch = static_cast<std::int32_t>(epoch.value)};
}

io::Task<std::string> answer_tails(std::shared_ptr<Bridge> bridge, std::string body) {
  WALRUS_CO_ASSIGN(auto ids, decode_tails_request(body));
  WALRUS_CO_ASSIGN(auto* node, bridge->node());
  std::vector<Tail> tails;
  tails.reserve(ids.size());
  for (const auto& id : ids) tails.push_back(tail_here(*bridge, *node, id));
  co_return encode_tails_reply(tails);
}

// One round of questions: who is asked for which partitions, by their places.
class Round {
 public:
  Round(Bridge& bridge, std::span<const PartitionId> ids, std::vector<Tail>& tails)
      : bridge_(bridge), ids_(ids), tails_(tails) {}

  void ask(NodeId node, std::size_t place) {
    auto& list = asked_[node];
    if (list.empty() || list.back().size() == kTailsMax) list.emplace_back();
    list.back().push_back(place);
  }
  // Answers what is this node's, and waits for the others.
  io::Task<void> run(replica::Node& node) {
    auto waited = std::make_shared<Answers>();
    io::Signal signal(bridge_.loop());
    waited->over = signal.setter();
    waited->left = 1;
    for (const auto& [leader, lists] : asked_)
      for (const auto& places : lists) {
        if (leader == bridge_.self()) take_own(node, places);
        else call(leader, places, waited);
      }
    if (--waited->left > 0) WALRUS_CO_TRY(co_await signal.wait());
    for (auto& [leader, places, reply] : waited->got) take(leader, places, reply);
    co_return Result<void>();
  }

 private:
  struct Answers {  // shared with the calls under way
    std::size_t left = 0;
    std::vector<std::tuple<NodeId, std::vector<std::size_t>, std::string>> got{};
    std::move_only_function<void(Result<void>)> over{};
  };

  void take_own(replica::Node& node, const std::vector<std::size_t>& places) {
    for (auto place : places) {
      auto tail = tail_here(bridge_, node, ids_[place]);
      if (tail.current) tails_[place] = tail;
    }
  }
  void call(NodeId leader, const std::vector<std::size_t>& places,
            const std::shared_ptr<Answers>& waited) {
    std::vector<PartitionId> wanted;
    for (auto place : places) wanted.push_back(ids_[place]);
    ++waited->left;
    bridge_.rpc().call(leader, kTailsMethod, encode_tails_request(wanted),
                       {.timeout = kCallTimeout},
                       [waited, leader, places](Result<std::string> reply) {
                         if (reply) waited->got.emplace_back(leader, places, std::move(*reply));
                         if (--waited->left == 0) waited->over({});
                       });
  }
  void take(NodeId leader, const std::vector<std::size_t>& places, const std::string& reply) {
    auto told = decode_tails_reply(reply);
    if (!told || told->size() != places.size()) return;
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (!(*told)[i].current) continue;
      tails_[places[i]] = (*told)[i];
      tails_[places[i]].leader = leader;
    }
  }

  Bridge& bridge_;
  const std::span<const PartitionId> ids_;
  std::vector<Tail>& tails_;
  std::map<NodeId, std::vector<std::vector<std::size_t>>> asked_{};
};

// What is still to be asked, and of whom; whether something has no writer.
bool plan(const meta::State& image, std::span<const PartitionId> ids, bool is_current,
          std::vector<Tail>& tails, Round& round) {
  bool idle = false;
  for (std::size_t place = 0; place < ids.size(); ++place) {
    if (tails[place].current) continue;
    const auto* partition = image.partitions.find(ids[place]);
    if (partition == nullptr) continue;
    if (partition->tail && partition->tail->state == meta::SegmentState::kOpen)
      round.ask(partition->tail->leader, place);
    if (partition->tail) continue;
    idle = true;
    if (is_current) tails[place] = tail_of(*partition);
  }
  return idle;
}

}  // namespace

void serve_tails(net::Rpc& rpc, std::shared_ptr<Bridge> bridge) {
  rpc.handle(kTailsMethod, [bridge](net::Request request) {
    return answer_tails(bridge, std::move(request.body));
  });
}

io::Task<std::vector<Tail>> ask_tails(std::shared_ptr<Bridge> bridge, std::vector<PartitionId> ids,
                                      io::Nanos timeout) {
  std::vector<Tail> tails(ids.size());
  const auto deadline = bridge->env().mono() + timeout;
  auto known = [&tails] { return std::ranges::all_of(tails, &Tail::current); };
  ImageRef current;  // one that was confirmed since this began
  while (!known()) {
    WALRUS_CO_ASSIGN(auto* node, bridge->node());
    auto image = bridge->image();
    bool is_current = current && current->version >= image->version;
    if (is_current) image = current;
    Round round(*bridge, ids, tails);
    bool idle = plan(*image, ids, is_current, tails, round);
    WALRUS_CO_TRY(co_await round.run(*node));
    if (known() || bridge->env().mono() >= deadline) break;
    WALRUS_CO_ASSIGN(auto* metadata, bridge->metadata());
    // An end that metadata has is one that it has now: a segment may have been opened since.
    auto newest = idle && !is_current ? co_await metadata->current() : Result<ImageRef>(nullptr);
    if (newest && *newest) current = std::move(*newest);
    else co_await bridge->loop().sleep(kTailPause);
  }
  WALRUS_CO_ASSIGN(auto* node, bridge->node());
  for (std::size_t place = 0; place < ids.size(); ++place) {
    if (tails[place].current) continue;
    tails[place] = tail_here(*bridge, *node, ids[place]);
    tails[place].current = false;
  }
  co_return tails;
}

// ---------------------------------------------------------------------------------------------

std::string encode_tails_request(std::span<const PartitionId> ids) {
  std::string body;
  append_le(body, kPeerMessageVersion);
  append_le(body, static_cast<std::uint32_t>(ids.size()));
  for (const auto& id : ids) append_partition(body, id);
  return body;
}

Result<std::vector<PartitionId>> decode_tails_request(Bytes body) {
  WALRUS_ASSIGN(auto from, open_message(body));
  auto count = from.le<std::uint32_t>().value_or(0);
  if (count > kTailsMax) return fail(Code::kTooLarge, "{} partitions at once", count);
  if (!from.ok() || from.remaining() != count * kPartitionCodeBytes) return corrupt_message();
  std::vector<PartitionId> ids;
  for (; count > 0; --count) ids.push_back(take_partition(from));
  return ids;
}

std::string encode_tails_reply(std::span<const Tail> tails) {
  std::string body;
  append_le(body, kPeerMessageVersion);
  for (const auto& one : tails) {
    const auto tail = one.current ? one : Tail{};
    body.push_back(tail.current ? '\1' : '\0');
    for (auto offset : {tail.log_start, tail.high_watermark, tail.log_end})
      append_le(body, offset.value);
    append_le(body, tail.bytes);
    append_le(body, tail.epoch);
    append_le(body, tail.segment.value);
  }
  return body;
}

Result<std::vector<Tail>> decode_tails_reply(Bytes body) {
  WALRUS_ASSIGN(auto from, open_message(body));
  if (from.remaining() % kTailCodeBytes != 0) return corrupt_message();
  std::vector<Tail> tails(from.remaining() / kTailCodeBytes);
  for (auto& tail : tails) {
    auto led = from.le<std::uint8_t>().value_or(2);
    tail.current = led == 1;
    for (auto* offset : {&tail.log_start, &tail.high_watermark, &tail.log_end})
      *offset = take_offset(from);
    tail.bytes = from.le<std::int64_t>().value_or(-1);
    tail.epoch = from.le<std::int32_t>().value_or(0);
    tail.segment.value = from.le<std::uint64_t>().value_or(0);
    bool ordered = Offset{} <= tail.log_start && tail.log_start <= tail.high_watermark;
    if (led > 1 || !ordered || tail.bytes < 0) return corrupt_message();
  }
  return tails;
}

}  // namespace walrus::broker
