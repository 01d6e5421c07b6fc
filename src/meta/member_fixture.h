#pragma once
// For tests: nodes of a cluster on simulated machines, each a process with an engine, connections,
// a Host and a Member, and tests that are coroutines.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/sim/sim_world.h"
#include "meta/member.h"

namespace walrus::meta {

using namespace std::chrono_literals;

class LineLog final : public LogSink {
 public:
  void write(LogLevel, Bytes line) override {
    const auto ms = world ? std::chrono::duration_cast<Millis>(world->now()).count() : 0;
    lines.append(std::to_string(ms)).append(" ").append(line).append("\n");
  }
  const io::World* world = nullptr;
  std::string lines{};
};

// What a node does with what it is told, as far as metadata sees it: a recoverer seals where the
// test says, a leader rolls there, a copier has copied.
struct Told {
  std::vector<Work> works{};
  Nanos leased_at{};
  int leases = 0, images = 0;
};

class MemberTest : public ::testing::Test {
 protected:
  struct Process {
    std::unique_ptr<io::Loop> loop{};
    std::unique_ptr<log::Engine> engine{};
    std::unique_ptr<net::TcpTransport> transport{};
    std::unique_ptr<net::Rpc> rpc{};
    std::unique_ptr<raft::Host> host{};
    std::shared_ptr<Member> member{};
    std::unique_ptr<Told> told{};
  };
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;

  explicit MemberTest(int nodes = 5, std::uint64_t seed = 5) : world_(seed, {.nodes = nodes}) {
    processes_.resize(static_cast<std::size_t>(nodes));
    log_.resize(static_cast<std::size_t>(nodes));
    feature_level_.resize(static_cast<std::size_t>(nodes), kFeatureLevel);
    for (auto& log : log_) log.world = &world_;
  }
  ~MemberTest() override {
    for (std::size_t i = 0; i < processes_.size(); ++i) end(i);
    if (!HasFailure()) return;
    for (std::size_t i = 0; i < log_.size(); ++i)
      ADD_FAILURE() << "node " << i + 1 << " said:\n" << log_[i].lines;
  }

  // Places count from 0, node ids from 1.
  std::string address_of(std::size_t place) {
    return world_.node(static_cast<int>(place)).host() + ":" + std::to_string(port_);
  }
  io::Env& env(std::size_t place) { return world_.node(static_cast<int>(place)).env(); }

  Result<std::unique_ptr<log::Engine>> open_engine(std::size_t place) {
    log::EngineOptions options;
    options.user.root = "/data";
    options.user.shards = 1;
    options.user.journal_bytes_max = 16 << 20;
    options.user.batch_bytes_max = 2 << 20;
    options.journal_file_bytes_min = options.journal_file_bytes_max = 4 << 20;
    return log::Engine::open(env(place), options);
  }

  // The process begins: the first one founds the cluster, others join it.
  void start(std::size_t place, std::size_t join_at = 0) {
    auto& process = processes_[place];
    process.loop = env(place).make_loop();
    auto engine = open_engine(place);
    ASSERT_TRUE(engine) << engine.error().message;
    process.engine = *std::move(engine);
    process.transport = std::make_unique<net::TcpTransport>();
    process.told = std::make_unique<Told>();
    auto begun = run(place, begin(*this, place, join_at));
    ASSERT_TRUE(begun) << begun.error().message;
  }
  static io::Task<void> begin(MemberTest& test, std::size_t place, std::size_t join_at) {
    auto& process = test.processes_[place];
    auto& env = test.env(place);
    const NodeId id{place + 1};
    WALRUS_CO_ASSIGN(auto stored, load_identity(*process.engine));
    if (!stored && place == join_at) {
      WALRUS_CO_ASSIGN(stored, found_cluster(env, *process.engine, id));
    } else if (!stored) {
      WALRUS_CO_ASSIGN(
          stored, co_await find_cluster(env, *process.loop, *process.transport, *process.engine, id,
                                        {test.address_of(join_at)}, 20s));
    }
    WALRUS_CO_ASSIGN(auto identity, claim(env, *process.engine, *stored));
    net::RpcOptions rpc;
    rpc.self = identity.peer();
    rpc.listen = test.address_of(place);
    rpc.message_bytes_max = kPeerMessageBytesMin;
    WALRUS_CO_ASSIGN(process.rpc, net::Rpc::start(env, *process.loop, *process.transport, rpc));
    WALRUS_CO_ASSIGN(process.host, raft::Host::start(env, *process.loop, *process.engine,
                                                     *process.rpc, {.self = id}));
    MemberOptions options;
    options.identity = identity;
    options.listeners = {{"peer", test.address_of(place)}};
    options.join = {fmt::format("{}:9093", test.world_.node(static_cast<int>(join_at)).host())};
    options.controller.voters_max = test.voters_max_;
    options.feature_level = test.feature_level_[place];
    WALRUS_CO_ASSIGN(process.member, co_await Member::start(
                                         {env, *process.loop, *process.transport, *process.engine,
                                          *process.rpc, *process.host, test.log_[place]},
                                         std::move(options)));
    auto* told = process.told.get();
    process.member->on_lease([told](Nanos asked_at) {
      told->leased_at = std::max(told->leased_at, asked_at);
      ++told->leases;
    });
    process.member->on_work([told](Work work) { told->works.push_back(std::move(work)); });
    process.member->subscribe([told](const auto&) { ++told->images; });
    co_return Result<void>();
  }
  void end(std::size_t place) {
    auto& process = processes_[place];
    if (process.member) process.member->drop();
    process.member.reset();
    process.host.reset();
    process.rpc.reset();
    process.engine.reset();
    process.loop.reset();
    process.told.reset();
  }
  void crash(std::size_t place, io::CrashKind how = io::CrashKind::kKill) {
    world_.node(static_cast<int>(place)).crash(how);
    end(place);
  }
  void restart(std::size_t place, std::size_t join_at = 0) {
    world_.node(static_cast<int>(place)).restart();
    start(place, join_at);
  }
  Member& member(std::size_t place) { return *processes_[place].member; }
  Told& told(std::size_t place) { return *processes_[place].told; }
  bool up(std::size_t place) { return processes_[place].member != nullptr; }

  // A coroutine to its end, in virtual time.
  template <class T>
  T run(std::size_t place, Awaitable<T> task) {
    std::optional<T> result;
    processes_[place].loop->spawn(keep(std::move(task), result));
    EXPECT_TRUE(world_.run_until([&] { return result.has_value(); }, 60s));
    return *std::move(result);
  }
  template <class T>
  static Awaitable<void> keep(Awaitable<T> task, std::optional<T>& result) {
    result = co_await std::move(task);
  }
  bool until(const std::function<bool()>& done, Nanos timeout = 20s) {
    return world_.run_until(done, timeout);
  }

  // A cluster of so many nodes that are all active; of three and more, three vote.
  void found(std::size_t nodes, std::size_t voters_then = 3) {
    for (std::size_t i = 0; i < nodes; ++i) start(i);
    for (std::size_t i = 0; i < nodes; ++i) {
      auto registered = run(i, member(i).registered(20s));
      ASSERT_TRUE(registered) << registered.error().message;
    }
    ASSERT_TRUE(until([&] { return active(nodes) && voters() == (nodes < 3 ? 1 : voters_then); }));
  }
  bool active(std::size_t nodes) {
    for (std::size_t i = 0; i < processes_.size(); ++i) {
      if (!up(i)) continue;
      std::size_t found = 0;
      member(i).image()->nodes.each(
          [&](NodeId, const Node& node) { found += node.state == NodeState::kActive; });
      if (found != nodes) return false;
    }
    return true;
  }
  // The place of who leads metadata, and is known to the others that are up; none: SIZE_MAX.
  std::size_t leader() {
    std::size_t found = SIZE_MAX;
    for (std::size_t i = 0; i < processes_.size(); ++i)
      if (up(i) && member(i).status().leads) found = i;
    return found;
  }
  // As all that are up know it; 0: they do not agree, or it is being changed.
  std::size_t voters() {
    std::optional<raft::Membership> known;
    for (std::size_t i = 0; i < processes_.size(); ++i) {
      if (!up(i) || member(i).status().failure != "") continue;
      const auto members = member(i).status().members;
      if (members.joint || (known && *known != members)) return 0;
      known = members;
    }
    if (!known || leader() == SIZE_MAX) return 0;
    return static_cast<std::size_t>(
        std::ranges::count_if(known->members, [](const raft::Member& one) { return one.voter; }));
  }
  Result<Outcome> propose(std::size_t place, Change change, Nanos timeout = 5s) {
    return run(place, member(place).propose_one(std::move(change), timeout));
  }
  void set_state(std::size_t by, std::size_t place, NodeState to, bool force = false) {
    auto done = propose(by, SetNodeState{NodeId{place + 1}, node(place, by)->version, to, force});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_TRUE(done->done()) << refusal_name(done->refusal);
  }
  const Node* node(std::size_t place, std::size_t seen_from) {
    return member(seen_from).image()->find_node(NodeId{place + 1});
  }
  // Of an image that the member keeps; null: no segment is open or sealing.
  const Segment* tail(std::size_t seen_from, const PartitionId& id) {
    const auto* partition = member(seen_from).image()->partitions.find(id);
    return partition && partition->tail ? &*partition->tail : nullptr;
  }
  static std::size_t place_of(NodeId id) { return static_cast<std::size_t>(id.value - 1); }
  bool is_member(std::size_t place) { return member_of(place).has_value(); }
  bool votes(std::size_t place) {
    const auto one = member_of(place);
    return one && one->voter;
  }
  std::optional<raft::Member> member_of(std::size_t place) {
    if (leader() == SIZE_MAX) return std::nullopt;
    for (const auto& one : member(leader()).status().members.members)
      if (one.id == NodeId{place + 1}) return one;
    return std::nullopt;
  }
  std::size_t place_of_follower_that_votes() {
    for (std::size_t i = 0; i < processes_.size(); ++i)
      if (i != leader() && votes(i)) return i;
    return SIZE_MAX;
  }

  // Does what it is told, as if segments were empty: what is recovered or rolled ends where it
  // began, and copies are made at once.
  void obey(std::size_t place) {
    auto& process = processes_[place];
    process.member->on_work([this, place](Work work) {
      told(place).works.push_back(work);
      processes_[place].loop->spawn(carry_out(processes_[place].member, std::move(work)));
    });
  }
  static Awaitable<void> carry_out(std::shared_ptr<Member> member, Work work) {
    const auto id = std::visit([](const auto& one) { return one.partition; }, work);
    const auto* partition = member->image()->partitions.find(id);
    if (!partition || !partition->tail) co_return;
    const auto& tail = *partition->tail;
    Seal seal{.partition = id,
              .expected = partition->version,
              .segment = tail.id,
              .epoch = tail.epoch,
              .end = tail.base};
    if (const auto* recover = std::get_if<Recover>(&work)) {
      seal.epoch = recover->epoch;
      seal.next = recover->next;
    } else if (const auto* roll = std::get_if<Roll>(&work)) {
      seal.next = roll->next;
    } else {
      co_return;
    }
    (void)co_await member->propose_one(std::move(seal));
  }

  // All files of the node's data, and as they were. The process is down.
  using Files = std::vector<std::pair<std::string, std::string>>;
  Files copy_of(std::size_t place, const std::string& directory = "/data") {
    Files all;
    auto& disk = env(place).disk();
    for (const auto& entry : disk.list(directory).value_or(std::vector<io::Entry>{})) {
      const auto path = directory + "/" + entry.name;
      if (entry.directory) {
        for (auto& one : copy_of(place, path)) all.push_back(std::move(one));
        continue;
      }
      auto file = disk.open(path, io::Open::kRead);
      std::string bytes(static_cast<std::size_t>(entry.size), '\0');
      EXPECT_TRUE(file && (*file)->read(0, bytes));
      all.emplace_back(path, std::move(bytes));
    }
    return all;
  }
  void remove_all(std::size_t place, const std::string& directory = "/data") {
    auto& disk = env(place).disk();
    for (const auto& entry : disk.list(directory).value_or(std::vector<io::Entry>{})) {
      const auto path = directory + "/" + entry.name;
      if (entry.directory) remove_all(place, path);
      else EXPECT_TRUE(disk.remove(path));
    }
    EXPECT_TRUE(disk.sync_directory(directory));
  }
  void put_back(std::size_t place, const Files& files) {
    remove_all(place);
    auto& disk = env(place).disk();
    for (const auto& [path, bytes] : files) {
      auto file = disk.open(path, io::Open::kCreate);
      ASSERT_TRUE(file && (*file)->write(0, bytes) && (*file)->sync()) << path;
      ASSERT_TRUE(disk.sync_directory(io::Path(path).parent_path()));
    }
  }

  int port_ = 9093;
  std::uint32_t voters_max_ = 3;
  io::World world_;
  std::vector<Process> processes_;
  std::vector<LineLog> log_;
  std::vector<std::uint32_t> feature_level_;  // that each node's program knows
};

}  // namespace walrus::meta
