#pragma once
// One seed of the groups world: a server on a simulated disk, consumers of one group that join,
// sync, commit, leave and die, an idempotent producer, connections that are reset, and a server
// that is killed or cut off from power. Everything goes through the Kafka protocol.
//
// Checked: no partition has two owners in one generation, whatever became of the server in
// between; an offset whose commit was acknowledged is never older when it is read; a member of
// another generation, or who left, commits nothing; every batch is stored once, in order, where it
// was answered, whoever sends it again.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "history.h"
#include "io/sim/sim_world.h"
#include "server/server.h"
#include "tally.h"
#include "wire/kafka/groups.h"

namespace walrus::sim {

// What a run of many seeds has to have hit.
const std::vector<std::string>& groups_families();

class KafkaPeer;

class GroupsRun {
 public:
  GroupsRun(std::uint64_t seed, std::int64_t operations);
  ~GroupsRun();
  GroupsRun(const GroupsRun&) = delete;
  GroupsRun& operator=(const GroupsRun&) = delete;

  void run();
  const Verdict& violation() const { return violation_; }
  const Tally& tally() const { return tally_; }
  void narrate(bool on) { narrating_ = on; }

 private:
  struct Consumer {
    std::string name{};
    std::optional<std::string> instance{};
    std::string member_id{};
    std::int32_t generation = -1;
    std::vector<std::string> led{};  // of a leader: who is in this generation
    bool synced = false;             // an assignment of it was given
    std::vector<std::int32_t> owned{};
  };
  struct Offsets {
    std::int64_t sent = -1, acknowledged = -1;
  };
  struct Batch {
    std::int16_t epoch = 0;
    std::int32_t sequence = 0, count = 0;
    std::int64_t offset = 0;  // where it has to be stored
  };
  using Done = io::Task<void>;

  // groups_run.cc: the course of a run.
  void start_server();
  void crash_server(io::CrashKind kind = io::CrashKind::kKill);
  void let_pass();
  bool all_ended() const { return ended_ == running_; }
  boost::asio::awaitable<void> repeat(std::function<Done()> once);
  void flag(const char* rule, std::string detail);
  void say(std::string line);
  std::uint64_t draw(std::uint64_t below) { return world_->random() % below; }
  void operation(bool acknowledged);

  // groups_consumers.cc
  Done consume(Consumer&);
  Done join(Consumer&, KafkaPeer&);
  Done sync(Consumer&, KafkaPeer&);
  Done sync_twice(Consumer&, KafkaPeer&, wire::kafka::SyncGroupResponse& answer);
  std::vector<std::string> assignment(const Consumer&);
  void check_owners(const Consumer&, const wire::kafka::SyncGroupResponse&);
  Done check_offsets(Consumer&, KafkaPeer&);
  Done commit(Consumer&, KafkaPeer&);
  Done commit_fenced(Consumer&, KafkaPeer&);
  Done heartbeat(Consumer&, KafkaPeer&);
  Done leave(Consumer&, KafkaPeer&);
  bool take_error(Consumer&, std::int16_t code);
  void die(Consumer&);

  // groups_producer.cc
  Done produce();
  Done open_producer(KafkaPeer&);
  Done send_batches(KafkaPeer&);
  Done send_strange(KafkaPeer&);
  Done check_stored(KafkaPeer&);
  void take_records(Bytes, std::int64_t& next);
  std::string batch_of(const Batch&) const;

  const std::int64_t operations_;
  std::unique_ptr<io::World> world_;
  server::ServerOptions options_;
  std::unique_ptr<LogSink> log_;
  std::unique_ptr<server::Server> server_;
  std::vector<Consumer> consumers_;
  std::unique_ptr<io::Loop> loop_;  // of the clients; goes before what they refer to
  std::size_t running_ = 0, ended_ = 0;
  bool finishing_ = false, narrating_ = false;
  bool cut_now_ = false;  // the power goes at the next moment

  std::map<std::pair<std::int32_t, std::int32_t>, std::string> owners_;  // generation, partition
  std::map<std::int32_t, Offsets> offsets_;                              // by partition
  std::int64_t last_offset_ = 0;

  std::deque<Batch> unanswered_, answered_;
  std::size_t sent_ = 0;  // of unanswered_, on this connection
  std::int64_t producer_id_ = -1, next_offset_ = 0, stored_ = 0;
  std::int32_t next_sequence_ = 0;
  std::int16_t epoch_ = 0;

  Tally tally_;
  Verdict violation_;
};

}  // namespace walrus::sim
