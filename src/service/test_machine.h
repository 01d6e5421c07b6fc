#pragma once
// For tests: a map of strings, and a cluster of services over it.
//
//   put K V, append K V -> the new value    add K N -> the sum    get K (question) -> value or "-"
//   throw -> apply() throws    context -> what it was given    large N -> a reply of N bytes

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>

#include "walrus/testing.h"

namespace walrus::service {

class TestMachine final : public StateMachine {
 public:
  struct Tap {  // what a test may do to a machine and see of it
    bool throws = false;
    std::uint64_t applied = 0, restored = 0, snapshots = 0;
    std::function<void(const ApplyContext&, const std::string& reply)> on_apply{};
  };
  explicit TestMachine(std::shared_ptr<Tap> tap = std::make_shared<Tap>()) : tap_(std::move(tap)) {}

  std::string apply(Bytes command, const ApplyContext& context) override {
    std::istringstream words{std::string(command)};
    std::string verb, key, value;
    words >> verb >> key >> value;
    if (verb == "throw" && tap_->throws) throw std::runtime_error("this command is poison");
    ++tap_->applied;
    auto& place = values_[key];
    if (verb == "put") place = value;
    if (verb == "append") place += value;
    if (verb == "add")
      place = std::to_string(std::atoll(place.c_str()) + std::atoll(value.c_str()));
    if (verb == "large") return std::string(static_cast<std::size_t>(std::atoll(key.c_str())), 'l');
    if (verb == "context")
      return std::to_string(context.index) + " " + std::to_string(context.session) + " " +
             std::to_string(context.leader_time.time_since_epoch().count()) + " " +
             std::to_string(context.seed);
    if (tap_->on_apply) tap_->on_apply(context, place);
    return place;
  }
  std::string query(Bytes question) const override {
    if (question == "throw") throw std::runtime_error("no answer");
    const auto found = values_.find(std::string(question.substr(4)));
    return found == values_.end() ? "-" : found->second;
  }
  std::unique_ptr<Snapshot> snapshot() const override {
    ++tap_->snapshots;
    return std::make_unique<Copy>(values_);
  }
  Result<void> restore(SnapshotReader& from) override {
    std::string all;
    char piece[1'000];
    while (true) {
      auto size = from.read(piece);
      if (!size) return std::unexpected(size.error());
      if (*size == 0) break;
      all.append(piece, *size);
    }
    values_.clear();
    std::istringstream words(all);
    for (std::string key, value; words >> key >> value;) values_[key] = value;
    ++tap_->restored;
    return {};
  }

 private:
  class Copy final : public Snapshot {
   public:
    explicit Copy(std::map<std::string, std::string> values) : values_(std::move(values)) {}
    Result<void> write(SnapshotWriter& to) const override {
      for (const auto& [key, value] : values_) {
        if (key.empty() || value.empty()) continue;
        auto written = to.write(key + " " + value + "\n");
        if (!written) return written;
      }
      return {};
    }

   private:
    const std::map<std::string, std::string> values_;
  };
  std::map<std::string, std::string> values_{};
  const std::shared_ptr<Tap> tap_;
};

class TestCluster {
 public:
  using Make = std::function<std::unique_ptr<StateMachine>()>;
  // Of TestMachines, unless told otherwise.
  TestCluster(World& world, int founders, const std::filesystem::path& root, Make make = {})
      : world_(world), root_(root), make_(std::move(make)) {
    for (auto& options : founders_of("test", world.peers(founders), root)) {
      options.world = &world;
      options_[options.id] = options;
    }
  }
  void tweak(const std::function<void(ServiceOptions&)>& change) {
    for (auto& [id, options] : options_) change(options);
  }
  void start_all() {
    for (const auto& [id, options] : options_) start(id);
  }
  void start(NodeId id) { start(options_.at(id)); }
  void start(const ServiceOptions& options) {
    options_[options.id] = options;
    auto& tap = taps_[options.id];
    tap = std::make_shared<TestMachine::Tap>();
    tap->throws = throws;
    if (check_same)
      tap->on_apply = [this, id = options.id.value](const ApplyContext& context,
                                                    const std::string& reply) {
        const auto said = reply + " in term " + std::to_string(context.term);
        const auto [first, fresh] = replies_.emplace(context.index, said);
        EXPECT_EQ(first->second, said) << "node " << id << " applied " << context.index << " at "
                                       << world_.within(Millis(0)).time_since_epoch().count();
      };
    auto service = Service::start(options, make_ ? make_() : std::make_unique<TestMachine>(tap));
    ASSERT_TRUE(service) << service.error().message;
    services_.insert_or_assign(options.id, std::make_unique<Service>(*std::move(service)));
  }
  void stop(NodeId id) { services_.erase(id); }
  Service& at(NodeId id) { return *services_.at(id); }
  TestMachine::Tap& tap(NodeId id) { return *taps_.at(id); }
  ServiceOptions& options(NodeId id) { return options_.at(id); }
  std::vector<std::string> addresses() const {
    std::vector<std::string> all;
    for (const auto& [id, options] : options_) all.push_back(options.listen);
    return all;
  }
  bool until(const std::function<bool()>& done, Millis at_most = std::chrono::seconds(20)) {
    for (auto deadline = world_.within(at_most); !done();) {
      if (world_.within(Millis(0)) >= deadline) return false;
      world_.run_for(Millis(5));
    }
    return true;
  }
  NodeId leader() {
    NodeId found;
    EXPECT_TRUE(until([&] {
      for (const auto& [id, service] : services_)
        if (service->status().role == Role::kLeader) found = id;
      return found != NodeId{};
    }));
    return found;
  }
  NodeId follower() {
    const auto leads = leader();
    for (const auto& [id, service] : services_)
      if (id != leads && service->status().role == Role::kFollower) return id;
    return {};
  }
  bool throws = false;      // machines of later starts do as they are told
  bool check_same = false;  // simulated: every node has the same reply at the same place

 private:
  World& world_;
  const std::filesystem::path root_;
  const Make make_;
  std::map<NodeId, ServiceOptions> options_{};
  std::map<NodeId, std::shared_ptr<TestMachine::Tap>> taps_{};
  std::map<std::uint64_t, std::string> replies_{};  // by index
  std::map<NodeId, std::unique_ptr<Service>> services_{};
};

}  // namespace walrus::service
