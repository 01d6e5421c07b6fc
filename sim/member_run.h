#pragma once
// One seed of the member world: processes of a cluster with the engine, the connections, the
// metadata group, Member and Controller that ship, on simulated disks and a simulated network. The
// first founds the cluster, others join. Clients propose and read on any node; processes are
// killed, cut off from power or the network, stand still, stop in good order, lose their directory
// or come back with an old one; nodes are drained and removed. A majority of the voters is lost for
// ever, and one that survives recovers the metadata. Programs of two feature levels run side by
// side, until all are of the higher one. What nodes are told to do they do as if segments were
// empty. Then everything is healed, and the cluster has to be whole within bounded time: all nodes
// registered and active, as many voters as there should be, no segment without a writer that lives.
//
// Checked: what sim/member_truth.h says.

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "io/sim/sim_world.h"
#include "log/engine.h"
#include "member_truth.h"
#include "meta/member.h"
#include "meta/recovery.h"
#include "repairs.h"
#include "tally.h"

namespace walrus::sim {

// What a run of many seeds has to have hit.
const std::vector<std::string>& member_families();

constexpr std::uint32_t kLaterLevel = meta::kFeatureLevel + 1;

class MemberRun {
 public:
  MemberRun(std::uint64_t seed, std::int64_t operations);
  ~MemberRun();
  MemberRun(const MemberRun&) = delete;
  MemberRun& operator=(const MemberRun&) = delete;

  void run();
  const Verdict& violation() const { return violation_; }
  const Tally& tally() const { return tally_; }
  void narrate(bool on) { narrating_ = on; }

 private:
  using Files = std::vector<std::pair<std::string, std::string>>;
  class Log final : public LogSink {
   public:
    Log(MemberRun& run, std::size_t place) : run_(run), place_(place) {}
    void write(LogLevel, Bytes line) override;

   private:
    MemberRun& run_;
    const std::size_t place_;
  };
  struct Process {  // of one node; what refers to the others goes first
    std::size_t place = 0;
    std::uint64_t life = 0;
    bool up = false, broken = false;  // broken: it has to be started again
    bool counted = false;             // its registration was looked at
    bool lost = false;     // its directory is older than the node's newest life, or empty
    bool removed = false;  // for good
    std::uint32_t level = meta::kFeatureLevel;  // that its program knows
    io::Nanos start_at{};
    meta::Node before{};  // as metadata knew the node when this life began
    Files copy{};         // of its directory, as it was in an earlier life
    std::uint64_t copy_life = 0;
    std::unique_ptr<Log> log{};
    std::unique_ptr<io::Loop> loop{};
    std::unique_ptr<log::Engine> engine{};
    std::unique_ptr<net::TcpTransport> transport{};
    std::unique_ptr<net::Rpc> rpc{};
    std::unique_ptr<raft::Host> host{};
    std::shared_ptr<meta::Member> member{};
  };
  struct Client {
    std::uint64_t number = 0;
    std::int64_t done = 0;
    std::size_t place = 0;  // where it waits for an answer
    std::uint64_t life = 0;
    bool busy = false;
  };

  // member_run.cc: the course of a run
  void let_pass();
  void heal();
  std::string unsettled();
  std::string unsettled_node(const meta::State&, const Process&);
  std::string unsettled_group(const raft::Membership&) const;
  void watch();
  void note_failure(Process&, const std::string& why);
  void flag(const std::string& rule, std::string detail);
  void say(const std::string& line);
  std::uint64_t draw(std::uint64_t below) { return world_->random() % below; }
  io::Nanos draw_ms(std::uint64_t low, std::uint64_t high) {
    return Millis(static_cast<std::int64_t>(low + draw(high - low + 1)));
  }
  std::int64_t now() const { return world_->now().count(); }

  // member_processes.cc
  void start_due();
  bool start(Process&);
  void reap();
  void end(Process&, io::Nanos down_for);
  static boost::asio::awaitable<void> stop(MemberRun&, std::size_t place, std::uint64_t life);
  static boost::asio::awaitable<void> begin(MemberRun&, std::size_t place, std::uint64_t life);
  static io::Task<void> join(MemberRun&, std::size_t place, std::uint64_t life);
  bool lives(std::size_t place, std::uint64_t life) const;
  meta::Member* member(std::size_t place);
  std::vector<std::size_t> members_up();
  std::size_t leader();
  std::string address_of(std::size_t place) const;
  static boost::asio::awaitable<void> carry_out(std::shared_ptr<meta::Member>, meta::Work);
  Files files_of(std::size_t place, const std::string& directory);
  void remove_files(std::size_t place, const std::string& directory);
  bool put_back(std::size_t place, const Files&);

  // member_clients.cc
  void drive();
  static boost::asio::awaitable<void> turn(MemberRun&, std::size_t client, std::size_t place,
                                           std::uint64_t life);
  bool waits(const Client&) const;
  void operate(std::size_t by, NodeId, meta::NodeState);
  static boost::asio::awaitable<void> set_state(MemberRun&, std::size_t by, NodeId,
                                                meta::NodeState);
  static boost::asio::awaitable<void> make_topic(MemberRun&, std::size_t place, std::uint64_t life);

  // member_faults.cc
  void break_something();
  void break_network();
  void break_process();
  void break_disk();
  void change_nodes();
  void lose_directory(Process&);
  bool may_lose(const Process&);
  bool among_voters(const Process&);

  // member_recovery.cc
  void lose_majority();
  Result<meta::Survey> survey_of(Process&);
  bool knows_all(const meta::State&) const;
  bool recover(Process&);

  const std::int64_t operations_;
  std::unique_ptr<io::World> world_;
  log::EngineOptions engine_options_{};
  meta::MemberOptions member_options_{};
  std::vector<Process> processes_{};
  std::vector<Client> clients_{};
  Client operator_{};
  bool founded_ = false, topic_made_ = false, healed_ = false, narrating_ = false,
       recovered_ = false;
  std::uint32_t level_ = 0;  // of the cluster, as far as was seen
  Repairs repairs_{};
  MemberTruth truth_{};
  Tally tally_{};
  Verdict violation_{};
};

}  // namespace walrus::sim
