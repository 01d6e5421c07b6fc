#pragma once
// One seed of the owners world: nodes that are one cluster, with the copies, the journals and the
// owners that ship; members of a consumer group, takers of a queue, a named consumer and a producer
// that ask them; and leaders that are killed, lose their power or hear nothing from the metadata,
// so that coordinators and queues move while they are used.
//
// Checked, of groups: no partition has two owners in one generation; generations do not go back; an
// offset whose commit was acknowledged is never older when it is read, and none is read that nobody
// committed; a member of an earlier generation commits nothing. Of the queue: every acknowledged
// record is delivered; what had been delivered before an EMPTY does not come again; nothing is
// delivered that nobody has stored. Of the consumer: it is never behind what it has committed, and
// skips nothing. In the end everybody is served again.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "broker/cluster/cluster_catalogue.h"
#include "broker/cluster/owners.h"
#include "history.h"
#include "replica/simulated_nodes.h"
#include "tally.h"

namespace walrus::sim {

const std::vector<std::string>& owners_families();

class OwnersRun {
 public:
  OwnersRun(std::uint64_t seed, std::int64_t operations);
  ~OwnersRun();
  OwnersRun(const OwnersRun&) = delete;
  OwnersRun& operator=(const OwnersRun&) = delete;

  void run();
  const Verdict& violation() const { return violation_; }
  const Tally& tally() const { return tally_; }
  void narrate(bool on) { narrating_ = on; }

 private:
  using Done = io::Task<void>;
  // What a server is made of beside its part in the cluster.
  struct Face {
    std::shared_ptr<broker::Bridge> bridge{};
    std::unique_ptr<broker::Broker> broker{};
    std::shared_ptr<broker::Coordinators> groups{};
    std::shared_ptr<broker::Owners> owners{};
    std::uint64_t life = 0;
  };
  struct Member {
    std::string name{}, id{};
    std::int32_t generation = -1;
    bool synced = false;
    std::vector<std::int32_t> owned{};
  };
  struct Offsets {
    std::int64_t sent = -1, acknowledged = -1;
  };

  // owners_run.cc: the course of a run.
  void open(std::size_t place);
  void tell(const meta::State& state);
  void count_shrunk();
  void let_pass();
  void strike();
  std::size_t victim();
  void bring_back();
  bool up(std::size_t place) const;
  boost::asio::awaitable<void> repeat(std::function<Done()> once);
  template <class T>
  io::Task<T> ask(NodeId node, std::function<io::Task<T>(Face&)> make);
  // What the connection that breaks means for it.
  template <class T>
  static void unsent(Face&, Result<T>&) {}
  static void unsent(Face&, Result<std::vector<broker::Claim>>&);
  // The node that is believed to be it, by the clients' own node or by chance.
  io::Task<NodeId> find(bool group);
  void refused(const Error&);
  void flag(const char* rule, std::string detail);
  void say(std::string line);
  std::uint64_t draw(std::uint64_t below) { return world().random() % below; }
  void operation(bool acknowledged);
  io::World& world() { return nodes_->world(); }

  // owners_groups.cc
  Done act(Member&);
  Done join(Member&);
  Done sync(Member&, const broker::JoinAnswer&);
  Done commit(Member&);
  Done commit_fenced(Member&);
  Done check_offsets();
  Done heartbeat(Member&);
  Done leave(Member&);
  bool take_error(Member&, broker::GroupError);
  void check_owner(const std::string& who, std::int32_t generation, Bytes assignment);

  // owners_queue.cc
  Done produce();
  Done get();
  Done take(NodeId owner);
  Done settle(NodeId owner);
  Done consume();
  Done poll(NodeId owner);
  void delivered(const broker::Claim&, std::int64_t asked);
  void check_end();

  const std::int64_t operations_;
  std::unique_ptr<replica::SimulatedNodes> nodes_;
  std::vector<Face> faces_;
  std::unique_ptr<io::Loop> loop_;  // of the clients, on a node that is never struck
  std::size_t running_ = 0, ended_ = 0;
  bool finishing_ = false, narrating_ = false;
  bool produced_ = false;  // the last record's outcome is with its producer
  std::optional<std::size_t> struck_{};
  io::Nanos back_at_{};
  NodeId coordinator_{}, owner_{};  // as they were found last

  std::vector<Member> members_;
  std::map<std::pair<std::int32_t, std::int32_t>, std::string> owned_by_;  // generation, partition
  std::map<std::int32_t, Offsets> offsets_;                                // by partition
  std::int64_t last_offset_ = 0;
  std::int32_t newest_generation_ = -1;  // of which an assignment was given out

  struct Stored {
    std::int64_t acknowledged_at = -1;  // by step_; -1: not known to be
    bool delivered = false;
    std::int64_t settled = 0;  // by step_: an EMPTY came, and it had been delivered; 0: not yet
  };
  std::map<std::string, Stored> stored_;  // by value
  std::int64_t next_value_ = 0, step_ = 0, acknowledged_ = 0;
  Offset committed_{}, committing_{};  // of the named consumer: acknowledged, sent

  Tally tally_;
  Verdict violation_;
};

template <class T>
io::Task<T> OwnersRun::ask(NodeId node, std::function<io::Task<T>(Face&)> make) {
  using namespace std::chrono_literals;
  auto place = node.value - 1;
  co_await loop_->sleep(std::chrono::microseconds(draw(2'000)));
  if (node == NodeId{} || !up(place)) co_return fail(Code::kIo, "not within reach");
  struct Answer {
    std::optional<Result<T>> result{};
    bool lost = false;  // or nobody waits for it any more
  };
  auto answer = std::make_shared<Answer>();
  answer->lost = draw(50) == 0;
  io::Signal signal(*loop_);
  auto& there = *nodes_->processes()[place].loop;
  auto carry = [](std::function<io::Task<T>(Face&)> make, Face& face, auto answer,
                  auto set) -> boost::asio::awaitable<void> {
    auto result = co_await make(face);
    if (answer->lost) co_return unsent(face, result);
    answer->result.emplace(std::move(result));
    set({});
  };
  there.post([&there, carry, make, &face = faces_[place], answer, set = signal.setter()]() mutable {
    there.spawn(carry(std::move(make), face, answer, std::move(set)));
  });
  auto waited = co_await signal.wait(3s);
  answer->lost = true;
  if (!waited) co_return fail(Code::kTimeout, "no answer");
  co_return std::move(*answer->result);
}

}  // namespace walrus::sim
