// Histories of a key-value store that is a walrus::Service, in simulated worlds that crash, cut and
// pause its nodes: each has to be linearizable, by the index that the answers carry and by a search
// that believes nothing but the answers (sim/linearizable.h).

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <sstream>

#include "linearizable.h"
#include "service/test_faults.h"

namespace walrus::service {
namespace {

using namespace std::chrono_literals;
using sim::KvOperation;

constexpr int kNodes = 3, kClients = 4, kKeys = 3;

// put K V, cas K OLD NEW, delete K; get K. Every answer begins with the index that it belongs to.
class Register final : public StateMachine {
 public:
  std::string apply(Bytes command, const ApplyContext& context) override {
    index_ = context.index;
    std::istringstream words{std::string(command)};
    std::string verb, key, first, second;
    words >> verb >> key >> first >> second;
    bool changed = true;
    if (verb == "put") values_[key] = first;
    else if (verb == "delete") changed = values_.erase(key) > 0;
    else if (const auto found = values_.find(key); found != values_.end() && found->second == first)
      found->second = second;
    else changed = false;
    return std::to_string(index_) + (changed ? " yes" : " no");
  }
  std::string query(Bytes question) const override {
    const auto found = values_.find(std::string(question));
    return std::to_string(index_) + " " + (found == values_.end() ? "-" : found->second);
  }
  std::unique_ptr<Snapshot> snapshot() const override {
    auto saved = std::make_unique<Saved>();
    saved->text = std::to_string(index_);
    for (const auto& [key, value] : values_) saved->text += " " + key + " " + value;
    return saved;
  }
  Result<void> restore(SnapshotReader& from) override {
    std::string text;
    char piece[512];
    while (true) {
      auto size = from.read(piece);
      if (!size) return std::unexpected(size.error());
      if (*size == 0) break;
      text.append(piece, *size);
    }
    std::istringstream words(text);
    values_.clear();
    words >> index_;
    for (std::string key, value; words >> key >> value;) values_[key] = value;
    return {};
  }

 private:
  struct Saved : Snapshot {
    std::string text{};
    Result<void> write(SnapshotWriter& to) const override { return to.write(text); }
  };
  std::map<std::string, std::string> values_{};
  std::uint64_t index_ = 0;
};

class HistoryRun {
 public:
  explicit HistoryRun(std::uint64_t seed)
      : world_(World::simulated(seed, kNodes)),
        cluster_(world_, kNodes, "/data", [] { return std::make_unique<Register>(); }),
        faults_(world_, cluster_, kNodes) {
    cluster_.tweak([](ServiceOptions& options) { options.snapshot_after_bytes = 6'000; });
    cluster_.start_all();
  }

  void run(Millis time) {
    const auto end = world_.within(time);
    while (world_.within(0ms) < end) {
      if (faults_.random().chance(0.08)) faults_.disturb();
      for (auto& client : clients_)
        if (!client.busy) begin(client);
      world_.run_for(Millis(faults_.random().between(1, 40)));
    }
    faults_.heal();
    EXPECT_TRUE(cluster_.until([&] {
      return std::ranges::none_of(clients_, [](const auto& client) { return client.busy; });
    }));
  }
  const sim::KvHistory& history() const { return history_; }

 private:
  struct Client {
    std::optional<Session> session{};
    bool busy = false;
  };
  std::int64_t now() const { return world_.within(0ms).time_since_epoch().count(); }

  void begin(Client& client) {
    if (!client.session) {
      const auto node = faults_.any_node();
      if (!faults_.up(node)) return;
      auto session = cluster_.at(node).session(world_.within(500ms));
      if (!session) return;
      client.session = *std::move(session);
    }
    auto& random = faults_.random();
    KvOperation operation{.session = client.session->id()};
    operation.key = std::string(1, static_cast<char>('a' + random.below(kKeys)));
    switch (random.below(6)) {
      case 0: operation.kind = KvOperation::Kind::kCas; break;
      case 1: operation.kind = KvOperation::Kind::kDelete; break;
      case 2:
      case 3: operation.kind = KvOperation::Kind::kPut; break;
      default: return read(client, std::move(operation));
    }
    operation.value = std::to_string(random.below(5));
    if (operation.kind == KvOperation::Kind::kDelete) operation.value.reset();
    if (operation.kind == KvOperation::Kind::kCas)
      operation.expected = std::to_string(random.below(5));
    write(client, std::move(operation));
  }

  void write(Client& client, KvOperation operation) {
    std::string command = "put";
    if (operation.kind == KvOperation::Kind::kCas) command = "cas";
    if (operation.kind == KvOperation::Kind::kDelete) command = "delete";
    command += " " + operation.key;
    if (operation.expected) command += " " + *operation.expected;
    if (operation.value) command += " " + *operation.value;
    const bool tells = operation.kind != KvOperation::Kind::kPut;
    const auto place = history_.invoke(std::move(operation), now());
    client.busy = true;
    client.session->propose_async(command, world_.within(2s),
                                  [&, place, tells](Result<std::string> reply) {
                                    client.busy = false;
                                    if (!reply) return lost(client, reply.error());
                                    std::istringstream words(*reply);
                                    std::uint64_t index = 0;
                                    std::string changed;
                                    words >> index >> changed;
                                    auto& done = history_.done(place, now(), index);
                                    if (tells) done.changed = changed == "yes";
                                  });
  }

  void read(Client& client, KvOperation operation) {
    const Read levels[] = {Read::kLinearizable, Read::kLinearizable, Read::kSession, Read::kStale};
    const auto level = levels[faults_.random().below(4)];
    operation.level = static_cast<KvOperation::Level>(level);
    const auto key = operation.key;
    const auto place = history_.invoke(std::move(operation), now());
    const auto answer = client.session->query(key, level, world_.within(1s));
    if (!answer) {
      history_.failed(place, now());
      return lost(client, answer.error());
    }
    std::istringstream words(*answer);
    std::uint64_t index = 0;
    std::string value;
    words >> index >> value;
    auto& done = history_.done(place, now(), index);
    if (value != "-") done.value = value;
  }

  void lost(Client& client, const Error& error) {
    EXPECT_TRUE(error.code == Code::kTimeout || error.code == Code::kClosed) << error.message;
    if (error.code == Code::kClosed) client.session.reset();
  }

  World world_;
  TestCluster cluster_;
  TestFaults faults_;
  sim::KvHistory history_{};
  std::array<Client, kClients> clients_{};
};

class ServiceHistoryTest : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, ServiceHistoryTest,
                         testing::Range(std::uint64_t{1}, std::uint64_t{21}));

TEST_P(ServiceHistoryTest, is_linearizable) {
  HistoryRun run(GetParam());
  run.run(20s);
  const auto verdict = sim::check_linearizable(run.history());
  EXPECT_FALSE(verdict) << verdict->rule << ": " << verdict->detail << "\n" << run.history().text();
  EXPECT_GT(run.history().operations().size(), 50u);
}

}  // namespace
}  // namespace walrus::service
