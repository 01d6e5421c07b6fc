#include "frontend/native/cluster.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "broker/run_on.h"
#include "wire/native/errors.h"

namespace walrus::frontend::native {
namespace {

using Json = nlohmann::ordered_json;
using Verb = wire::native::ClusterRequest::Verb;
using Member = std::shared_ptr<meta::Member>;
namespace text = wire::native::text;

constexpr io::Nanos kHealthTimeout = std::chrono::seconds(2);
constexpr io::Nanos kConcernsTimeout = std::chrono::seconds(1);
constexpr int kStateAttempts = 5;  // of a change of a node that others change as well

std::unexpected<Error> unknown(NodeId node) {
  return fail(Code::kNotFound, "{}", text::unknown_node(node.value));
}

// `coming`: see drain_obstacle(). Nobody is left of a drain that cannot end.
Result<void> check_drain(const meta::State& image, NodeId node, NodeId coming) {
  if (auto obstacle = drain_obstacle(image, node, coming))
    return fail(Code::kInvalid, "node {} cannot be drained: {}", node.value, *obstacle);
  return {};
}

std::string why_not(const meta::State& image, NodeId node, meta::NodeState to) {
  auto load = image.load(node);
  if (to == meta::NodeState::kRemoved && !load.empty())
    return fmt::format("node {} has {} segments: drain it first, or force it", node.value,
                       load.tails + load.sealed);
  return fmt::format("node {} is {}", node.value, state_name(image.find_node(node)->state));
}

// As of now, so that a change of it is one of what is there.
io::Task<void> move_node(Member member, ClusterCall call, meta::NodeState to) {
  for (int attempt = 0; attempt < kStateAttempts; ++attempt) {
    WALRUS_CO_ASSIGN(auto image, co_await member->current());
    const auto* found = image->find_node(call.node);
    if (!found) co_return unknown(call.node);
    if (found->state == to) co_return Result<void>();
    if (to == meta::NodeState::kDraining && found->state == meta::NodeState::kActive)
      WALRUS_CO_TRY(check_drain(*image, call.node, {}));
    WALRUS_CO_ASSIGN(
        auto outcome,
        co_await member->propose_one(meta::SetNodeState{
            .node = call.node, .expected = found->version, .state = to, .force = call.force}));
    if (outcome.done()) co_return Result<void>();
    if (outcome.refusal == meta::Refusal::kMismatch) continue;
    co_return fail(Code::kInvalid, "{}", why_not(*image, call.node, to));
  }
  co_return fail(Code::kBusy, "{}", Bytes(text::kBusy));
}

// ---- replace ----

Result<bool> is_alive(const Result<meta::Health>& health, NodeId node) {
  if (!health) return fail(Code::kBusy, "{}", Bytes(text::kBusy));
  auto sight = std::ranges::find(health->nodes, node, &meta::Sight::node);
  return sight != health->nodes.end() && sight->alive;
}

Result<void> check_newcomer(const meta::State& image, const ClusterCall& call) {
  const auto* by = image.find_node(call.by);
  if (!by) return unknown(call.by);
  if (call.by == call.node)
    return fail(Code::kInvalid, "node {} does not replace itself", call.node.value);
  bool ready = by->state == meta::NodeState::kJoining || by->state == meta::NodeState::kActive;
  if (!ready) return fail(Code::kInvalid, "node {} is {}", call.by.value, state_name(by->state));
  return {};
}

// A node that is gone: it is removed, and the newcomer makes its copies again, from the others.
// Done: true.
io::Task<bool> take_place(Member member, std::shared_ptr<const meta::State> image,
                          ClusterCall call) {
  auto lost = only_copies(*image, call.node);
  if (lost > 0 && !call.force)
    co_return fail(Code::kInvalid,
                   "node {} does not answer and has the only copies of {} segments, which would be "
                   "lost: start it again, or force it",
                   call.node.value, lost);
  meta::ReplaceNode change{.old = call.node,
                           .expected = image->find_node(call.node)->version,
                           .by = call.by,
                           .by_expected = image->find_node(call.by)->version};
  WALRUS_CO_ASSIGN(auto outcome, co_await member->propose_one(std::move(change)));
  if (outcome.done()) co_return true;
  if (outcome.refusal == meta::Refusal::kMismatch) co_return false;
  co_return fail(Code::kInvalid, "metadata refuses it: {}", meta::refusal_name(outcome.refusal));
}

// A node that is there: what it writes is rolled to the newcomer, what it has is copied to it, and
// when nothing is left the controller removes it. Done: true.
io::Task<bool> hand_over(Member member, std::shared_ptr<const meta::State> image,
                         ClusterCall call) {
  const auto* old = image->find_node(call.node);
  if (old->state == meta::NodeState::kDraining && old->replaced_by == call.by) co_return true;
  if (old->state == meta::NodeState::kActive)
    WALRUS_CO_TRY(check_drain(*image, call.node, call.by));
  meta::HandOver change{.old = call.node,
                        .expected = old->version,
                        .by = call.by,
                        .by_expected = image->find_node(call.by)->version};
  WALRUS_CO_ASSIGN(auto outcome, co_await member->propose_one(std::move(change)));
  if (outcome.done()) co_return true;
  if (outcome.refusal == meta::Refusal::kMismatch) co_return false;
  if (outcome.refusal == meta::Refusal::kUnknown)
    co_return fail(Code::kInvalid,
                   "the cluster is of feature level {}, which has no handing over, until every "
                   "node runs a later program: drain node {} and remove it",
                   image->cluster.feature_level, call.node.value);
  co_return fail(Code::kInvalid, "{}", why_not(*image, call.node, meta::NodeState::kDraining));
}

std::string replacing_json(const meta::State& image, const ClusterCall& call,
                           meta::NodeState state) {
  auto load = image.load(call.node);
  return Json{{"node", call.node.value},
              {"by", call.by.value},
              {"state", state_name(state)},
              {"segments", load.tails + load.sealed},
              {"bytes", load.sealed_bytes}}
      .dump();
}

// A node that is there hands over, so that no copy is missing meanwhile; one that is gone is
// removed at once.
io::Task<std::string> replace_node(Member member, ClusterCall call) {
  for (int attempt = 0; attempt < kStateAttempts; ++attempt) {
    auto health = co_await member->health(kHealthTimeout);
    WALRUS_CO_ASSIGN(auto image, co_await member->current());
    const auto* old = image->find_node(call.node);
    if (!old) co_return unknown(call.node);
    bool again = old->state == meta::NodeState::kRemoved && old->replaced_by == call.by;
    if (again) co_return replacing_json(*image, call, old->state);
    if (old->state == meta::NodeState::kRemoved)
      co_return fail(Code::kInvalid, "node {} is removed", call.node.value);
    WALRUS_CO_TRY(check_newcomer(*image, call));
    WALRUS_CO_ASSIGN(bool alive, is_alive(health, call.node));
    if (alive) {
      WALRUS_CO_ASSIGN(bool begun, co_await hand_over(member, image, call));
      if (begun) co_return replacing_json(*image, call, meta::NodeState::kDraining);
      continue;
    }
    WALRUS_CO_ASSIGN(bool done, co_await take_place(member, image, call));
    if (done) co_return replacing_json(*image, call, meta::NodeState::kRemoved);
  }
  co_return fail(Code::kBusy, "{}", Bytes(text::kBusy));
}

// ---- seal ----

struct FoundTopic {
  const meta::Topic* topic = nullptr;  // of the image
  Uuid id{};
};
Result<FoundTopic> find_topic(const meta::State& image, const std::string& name) {
  const auto* id = image.topic_names.find(name);
  const auto* topic = id ? image.topics.find(*id) : nullptr;
  if (!topic) return fail(Code::kNotFound, "{}", text::unknown_topic(name));
  return FoundTopic{topic, *id};
}

io::Task<std::string> look_at_seals(ClusterPart cluster, Member member, ClusterCall call) {
  WALRUS_CO_ASSIGN(auto image, co_await member->current());
  auto health = co_await member->health(kHealthTimeout);
  WALRUS_CO_ASSIGN(auto found, find_topic(*image, call.topic));
  std::vector<broker::SealView> views;
  for (std::uint32_t i = 0; i < found.topic->partitions; ++i) {
    if (call.partition && static_cast<std::uint32_t>(*call.partition) != i) continue;
    const auto* partition = image->partitions.find(PartitionId{found.id, i});
    if (!partition || !partition->tail) continue;
    const auto& tail = *partition->tail;
    bool sealing = tail.state == meta::SegmentState::kSealing;
    if (!sealing && is_alive(health, tail.leader).value_or(true)) continue;
    WALRUS_CO_ASSIGN(auto view, co_await broker::look_at_seal(cluster.bridge, i, tail));
    views.push_back(std::move(view));
  }
  co_return cluster_seal_json(call.topic, views);
}

io::Task<void> accept_loss(ClusterPart cluster, Member member, ClusterCall call) {
  WALRUS_CO_ASSIGN(auto image, co_await member->current());
  WALRUS_CO_ASSIGN(auto found, find_topic(*image, call.topic));
  const PartitionId id{found.id, static_cast<std::uint32_t>(call.partition.value_or(0))};
  replica::AcceptedEnd accepted{.epoch = {static_cast<std::uint32_t>(call.loss->epoch)},
                                .end = Offset{call.loss->end},
                                .by = call.author};
  co_return co_await broker::accept_loss(cluster.bridge, id, SegmentId{call.loss->segment},
                                         std::move(accepted));
}

// ---- All ----

io::Task<std::string> tell(Member member, Verb verb) {
  std::optional<meta::Health> health;
  if (auto seen = co_await member->health(kHealthTimeout)) health = std::move(*seen);
  if (verb == Verb::kStatus) co_return cluster_status_json(*member->image(), health);
  // A controller of an earlier program does not tell them one by one.
  meta::Concerns concerns;
  if (health && health->under_replicated > 0)
    concerns = (co_await member->concerns(kConcernsTimeout)).value_or(meta::Concerns());
  meta::Conditions conditions;
  if (health)
    conditions = (co_await member->conditions(kConcernsTimeout)).value_or(meta::Conditions());
  co_return cluster_health_json(*member->image(), health, concerns, conditions);
}

Result<std::string> ok_if(Result<void> done) {
  if (!done) return std::unexpected(std::move(done).error());
  return std::string();
}

io::Task<std::string> answer(ClusterPart cluster, ClusterCall call) {
  auto member = cluster.member();
  if (!member) co_return fail(Code::kBusy, "{}", Bytes(text::kBusy));
  switch (call.verb) {
    case Verb::kDrain:
      co_return ok_if(co_await move_node(member, call, meta::NodeState::kDraining));
    case Verb::kActivate:
      co_return ok_if(co_await move_node(member, call, meta::NodeState::kActive));
    case Verb::kRemove:
      co_return ok_if(co_await move_node(member, call, meta::NodeState::kRemoved));
    case Verb::kReplace: co_return co_await replace_node(member, call);
    case Verb::kSeal:
      if (!call.loss) co_return co_await look_at_seals(cluster, member, call);
      co_return ok_if(co_await accept_loss(cluster, member, call));
    case Verb::kSegments: {
      auto image = member->image();
      WALRUS_CO_ASSIGN(auto found, find_topic(*image, call.topic));
      if (found.topic->internal)
        co_return fail(Code::kNotFound, "{}", text::unknown_topic(call.topic));
      co_return cluster_segments_json(*image, *found.topic, found.id);
    }
    case Verb::kStatus:
    case Verb::kHealth: break;
  }
  co_return co_await tell(member, call.verb);
}

io::Task<std::string> metrics(ClusterPart cluster, Result<void> storage) {
  auto member = cluster.member();
  if (!member) co_return fail(Code::kBusy, "{}", Bytes(text::kBusy));
  co_return cluster_metrics_json(member->status(), *member->image(), cluster.bridge->env().mono(),
                                 storage);
}

}  // namespace

ClusterCall to_call(const wire::native::ClusterRequest& request, std::string author) {
  return {.verb = request.verb,
          .topic = std::string(request.target.topic),
          .partition = request.target.partition,
          .node = NodeId{request.node},
          .by = NodeId{request.by},
          .force = request.force,
          .loss = request.loss,
          .author = std::move(author)};
}

io::Task<std::string> answer_cluster(ClusterPart cluster, io::Loop& here, ClusterCall call) {
  if (cluster.loop == nullptr) co_return fail(Code::kInvalid, "{}", Bytes(text::kNoCluster));
  co_return co_await broker::run_on<std::string>(
      here, *cluster.loop, [cluster, call = std::move(call)] { return answer(cluster, call); });
}

io::Task<std::string> answer_metrics(ClusterPart cluster, io::Loop& here, Result<void> storage) {
  co_return co_await broker::run_on<std::string>(
      here, *cluster.loop, [cluster, storage] { return metrics(cluster, storage); });
}

}  // namespace walrus::frontend::native
