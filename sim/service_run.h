#pragma once
// One seed of the world `service`: a walrus::Service of three nodes in a simulated world, a
// key-value store and a counter. Its nodes are killed, cut off from power and from each other,
// paused, their clocks jump, snapshots are tiny. Clients use sessions of the nodes, which go with
// their node and are resumed by another one, and sessions from outside. Readers ask from outside
// all the time, also while a node is down or starts: each knows some of the nodes, perhaps one
// alone. Then everything is healed, and every client has to be answered within bounded time.
//
// Checked:
//   same        every node has the same reply and the same context at the same place of the log,
//   and
//               leader_time never goes back
//   history     what clients were told is linearizable (sim/linearizable.h), reads at their levels
//   once        every addition was applied once, in the order of its session, and answered as it
//   was session     no session ends, and none loses an answer progress    after healing all clients
//   are answered and all nodes hold the same

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "history.h"
#include "io/sim/sim_random.h"
#include "kv_history.h"
#include "service_reader.h"
#include "tally.h"
#include "walrus/testing.h"

namespace walrus::sim {

// What a run of many seeds has to have hit.
const std::vector<std::string>& service_families();

class ServiceRun {
 public:
  explicit ServiceRun(std::uint64_t seed, std::int64_t operations = 0);  // its length is a time
  ~ServiceRun();
  void narrate(bool on) { narrates_ = on; }
  void run();
  const Tally& tally() const { return tally_; }
  const Verdict& violation() const { return violation_; }

 private:
  class Store;
  static constexpr int kNodes = 3, kClients = 5, kKeys = 3, kReaders = 2;
  static constexpr std::size_t kOutside = 1;  // clients that are no member's

  struct Applied {  // what the first node that came there made of a place in the log
    std::string reply{};
    std::uint64_t term = 0, seed = 0, session = 0;
    Time leader_time{};
    bool operator==(const Applied&) const = default;
  };
  // A command at a time; from outside also several additions at once. Where its node is gone the
  // client goes on with the same command by another node, unless an earlier one had no answer in
  // time: that one is in doubt until the session answers a later one, and a session whose client
  // has gone is given up with it.
  struct Client {
    bool outside = false;
    SessionPlace place{};  // id 0: it has no session
    std::optional<Session> session{};
    std::string command{};                   // without an answer yet; empty: none
    std::optional<std::size_t> operation{};  // of the history; none: an addition
    int waits = 0;                           // for so many answers
    bool in_doubt = false;
    std::uint64_t last_sum = 0;
    std::int64_t answers = 0;
  };

  // Asks one question after the other, from outside.
  struct Reader {
    std::unique_ptr<ServiceReader> asking{};
    std::uint64_t session = 0;  // 0: not open
    int waits = 0;              // for so many answers, that of opening too
    std::int64_t answers = 0;
    std::set<NodeId> nodes{};  // that it knows
  };

  // Clients.
  void drive(Client&);
  bool connect(Client&);
  void begin(Client&);
  void burst(Client&);
  void burst_answered(Client&, const std::vector<std::uint64_t>& sums);
  void propose(Client&);
  void answered(Client&, Result<std::string>);
  void take(Client&, const std::string& reply);
  std::uint64_t take_sum(const std::string& reply);
  void lost(Client&, const Error&);
  void gone(Client&);
  void read(Client&, KvOperation);
  void read_done(std::size_t place, const std::string& key, Result<std::string> answer);

  // Readers.
  void drive(Reader&);
  void open(Reader&);
  void ask(Reader&);

  // Nodes.
  void disturb();
  void start(NodeId);
  void before_reading(NodeId);
  void crash(NodeId);
  NodeId any_node() { return {static_cast<std::uint64_t>(random_.between(1, kNodes))}; }

  // The end.
  void heal();
  bool all_answered(const std::vector<std::int64_t>& before);
  std::vector<std::int64_t> answers() const;
  void check_end();
  void check_same(NodeId, const ApplyContext&, const std::string& reply);
  std::string asked_of(NodeId, Read);

  void fail(const std::string& rule, const std::string& detail);
  void hit(const std::string& family) { ++tally_.hits[family]; }
  void say(const std::string& line);
  std::int64_t now() const;

  walrus::World world_;  // not what outcome.h calls so
  io::SimRandom random_;
  bool narrates_ = false;
  Tally tally_{};
  Verdict violation_{};
  KvHistory history_{};
  std::map<std::uint64_t, Applied> applied_{};  // by index
  std::set<std::uint64_t> sums_{};              // that additions were answered
  std::uint64_t added_ = 0, unknown_ = 0;
  std::map<NodeId, ServiceOptions> options_{};
  std::map<NodeId, std::unique_ptr<Service>> services_{};  // that are up
  std::map<NodeId, Deadline> starts_{};                    // of the others: when
  NodeId slow_{};                                          // starts, and reads its disk slowly
  std::array<Client, kClients> clients_{};
  std::array<Reader, kReaders> readers_{};
};

}  // namespace walrus::sim
