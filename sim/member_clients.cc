// Clients of the member world: each reads the metadata and writes its next number into it, on any
// node; and an operator.

#include <algorithm>

#include "member_run.h"

namespace walrus::sim {

using namespace std::chrono_literals;

void MemberRun::drive() {
  const auto up = members_up();
  if (up.empty()) return;
  if (!topic_made_ && truth_.newest().nodes.size() >= 3) {
    topic_made_ = true;
    const auto place = up[draw(up.size())];
    processes_[place].loop->spawn(make_topic(*this, place, processes_[place].life));
  }
  for (std::size_t client = 0; client < clients_.size(); ++client) {
    if (waits(clients_[client]) || draw(3) != 0) continue;
    const auto place = up[draw(up.size())];
    clients_[client].place = place;
    clients_[client].life = processes_[place].life;
    clients_[client].busy = true;
    processes_[place].loop->spawn(turn(*this, client, place, processes_[place].life));
  }
  if (draw(4) != 0) return;
  truth_.newest().partitions.each([&](const PartitionId& id, const meta::Partition&) {
    if (draw(3) == 0) member(up[draw(up.size())])->want(id);
  });
}

boost::asio::awaitable<void> MemberRun::turn(MemberRun& run, std::size_t client, std::size_t place,
                                             std::uint64_t life) {
  const auto member = run.processes_[place].member;
  const auto floors = run.truth_.floors();
  ++run.tally_.operations;
  const auto image = co_await member->current(run.draw_ms(200, 2'000));
  if (image) {
    ++run.tally_.reads;
    run.truth_.read(**image, floors);
  }
  auto& one = run.clients_[client];
  if (!image || !run.lives(place, life)) {
    one.busy = false;
    co_return;
  }
  const auto number = ++one.number;
  run.truth_.proposed(client, number);
  const auto outcome = co_await member->propose_one(
      meta::ConfigureCluster{
          (*image)->cluster.version, {{MemberTruth::key_of(client), std::to_string(number)}}, {}},
      run.draw_ms(200, 3'000));
  one.busy = false;
  if (outcome && outcome->done()) {
    ++run.tally_.acknowledged;
    ++one.done;
    run.truth_.acknowledged(client, number);
  } else if (outcome) {
    ++run.tally_.refused;
    ++run.tally_.hits["refused"];
    run.truth_.never(client, number);
  } else if (outcome.error().code == Code::kBusy || outcome.error().code == Code::kFenced) {
    ++run.tally_.hits["proposal-busy"];
    run.truth_.never(client, number);
  } else {
    ++run.tally_.hits["proposal-unknown"];
  }
}

boost::asio::awaitable<void> MemberRun::make_topic(MemberRun& run, std::size_t place,
                                                   std::uint64_t) {
  meta::CreateTopic topic{.name = "t", .partitions = 4, .replication_factor = 3, .min_copies = 2};
  topic.topic.bytes.fill('t');
  const auto member = run.processes_[place].member;
  const auto made = co_await member->propose_one(std::move(topic), 3s);
  if (!made) run.topic_made_ = false;  // again
}

// Not if the process is gone that was asked.
bool MemberRun::waits(const Client& client) const {
  return client.busy && lives(client.place, client.life);
}

void MemberRun::operate(std::size_t by, NodeId id, meta::NodeState state) {
  if (waits(operator_)) return;
  operator_.place = by;
  operator_.life = processes_[by].life;
  operator_.busy = true;
  processes_[by].loop->spawn(set_state(*this, by, id, state));
}

boost::asio::awaitable<void> MemberRun::set_state(MemberRun& run, std::size_t by, NodeId id,
                                                  meta::NodeState state) {
  const auto member = run.processes_[by].member;
  const auto* node = member->image()->find_node(id);
  if (node != nullptr) {
    const auto done =
        co_await member->propose_one(meta::SetNodeState{id, node->version, state, false}, 3s);
    if (done && done->done() && state == meta::NodeState::kDraining) ++run.tally_.hits["drained"];
    if (done && done->done() && state == meta::NodeState::kRemoved) ++run.tally_.hits["removed"];
  }
  run.operator_.busy = false;
}

}  // namespace walrus::sim
