// The broker of three simulated nodes that are one cluster: topics and partitions as the loops of
// its sessions see them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/broker.h"
#include "broker/cluster/cluster_catalogue.h"
#include "broker/cluster/cluster_users.h"
#include "broker/cluster/tails.h"
#include "broker/run_on.h"
#include "replica/simulated_nodes.h"

namespace walrus::broker {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

class ClusterTest : public testing::Test {
 protected:
  // What a server is made of beside its part in the cluster. Sessions have a loop of their own.
  struct Face {
    std::unique_ptr<io::Loop> loop{};
    std::shared_ptr<Bridge> bridge{};
    std::shared_ptr<Users> users{};
    std::unique_ptr<Broker> broker{};
    std::uint64_t life = 0;
  };

  explicit ClusterTest(std::uint64_t seed = 1) {
    nodes_ = std::make_unique<replica::SimulatedNodes>(replica::small_nodes(seed));
    faces_.resize(nodes_->processes().size());
    for (std::size_t place = 0; place < faces_.size(); ++place) open(place);
    nodes_->on_change = [this](const meta::State& state) { tell(state); };
    tell(nodes_->state());
    EXPECT_TRUE(until([this] {
      return std::ranges::all_of(
          faces_, [](const Face& face) { return face.broker->catalogue().replicas_max() == 3; });
    }));
  }
  ~ClusterTest() override {
    nodes_->on_change = nullptr;
    for (auto& face : faces_) face.bridge->stop();
    for (auto& process : nodes_->processes()) nodes_->drop(process);
    faces_.clear();
  }

  void open(std::size_t place) {
    auto& process = nodes_->processes()[place];
    auto& env = nodes_->world().node(static_cast<int>(place)).env();
    Face face{.loop = env.make_loop(), .life = process.life};
    face.bridge = Bridge::make({.env = env,
                                .loop = *process.loop,
                                .engine = *process.engine,
                                .rpc = *process.rpc,
                                .node = *process.node,
                                .metadata = *process.port,
                                .self = process.id()});
    serve_tails(*process.rpc, face.bridge);
    face.users = ClusterUsers::make(face.bridge);
    face.broker = std::make_unique<Broker>(
        *process.engine, std::vector<io::Loop*>{process.loop.get(), face.loop.get()},
        BrokerOptions{.node_id = process.id().value},
        std::make_unique<ClusterCatalogue>(face.bridge, ClusterCatalogue::Options{}));
    faces_[place] = std::move(face);
  }
  void restart(std::size_t place) {
    faces_[place].bridge->stop();
    nodes_->start(place);
    open(place);
    tell(nodes_->state());
  }
  // After the node has learned it, as a server does.
  void tell(const meta::State& state) {
    auto image = std::make_shared<const meta::State>(state);
    for (std::size_t place = 0; place < faces_.size(); ++place) {
      auto life = faces_[place].life;
      nodes_->world().at(nodes_->world().now() + 3ms, [this, place, life, image] {
        if (faces_.empty() || !nodes_->lives(place, life) || faces_[place].life != life) return;
        nodes_->processes()[place].loop->post(
            [bridge = faces_[place].bridge, image] { bridge->learned(image); });
      });
    }
  }

  bool until(const std::function<bool()>& done, io::Nanos timeout = 20s) {
    return nodes_->world().run_until(done, timeout);
  }
  Local& local(std::size_t place) { return faces_[place].broker->local(1); }
  // On the sessions' loop of a node, to its end.
  template <class T>
  Result<T> run(std::size_t place, io::Task<T> task, io::Nanos timeout = 30s) {
    auto result = std::make_shared<std::optional<Result<T>>>();
    faces_[place].loop->spawn(keep(std::move(task), result));
    until([&] { return result->has_value(); }, timeout);
    if (!result->has_value()) return fail(Code::kTimeout, "not over");
    return **result;
  }
  template <class T>
  static boost::asio::awaitable<void> keep(io::Task<T> task,
                                           std::shared_ptr<std::optional<Result<T>>> result) {
    result->emplace(co_await std::move(task));
  }

  // Seen by all nodes that live.
  void create(const NewTopic& topic) {
    auto created = run(0, local(0).create(topic));
    ASSERT_TRUE(created.has_value()) << created.error().message;
    ASSERT_TRUE(until([&] { return everywhere(topic.name, true); }));
  }
  bool everywhere(const std::string& name, bool there) {
    for (std::size_t place = 0; place < faces_.size(); ++place)
      if (up(place) && local(place).find(name).has_value() != there) return false;
    return true;
  }
  bool up(std::size_t place) { return nodes_->lives(place, faces_[place].life); }
  LogRef log(std::size_t place, const std::string& topic, std::size_t partition = 0) {
    auto found = local(place).find(topic, partition);
    EXPECT_TRUE(found.has_value()) << found.error().message;
    return (*found)->partitions[partition];
  }
  // The node that takes appends, as node `place` believes.
  std::optional<std::size_t> leader(std::size_t place, const std::string& topic) {
    auto bounds = log(place, topic)->bounds();
    if (!bounds || bounds->leader == NodeId{}) return std::nullopt;
    return bounds->leader.value - 1;
  }
  // One that knows that it is.
  std::size_t find_leader(const std::string& topic) {
    std::size_t found = 0;
    EXPECT_TRUE(until([&] {
      for (std::size_t place = 0; place < faces_.size(); ++place)
        if (up(place) && leader(place, topic) == place &&
            nodes_->node(place).leader_of(id(topic)).here) {
          found = place;
          return true;
        }
      return false;
    }));
    return found;
  }
  PartitionId id(const std::string& topic) { return {*nodes_->state().topic_names.find(topic), 0}; }
  Result<Placed> append(std::size_t place, const std::string& topic, const std::string& value,
                        AppendRules rules = {}) {
    walrus::Record record{.value = value};
    auto appending = local(place).append(*log(place, topic), {&record, 1}, rules);
    if (!appending) return std::unexpected(appending.error());
    return run(place, local(place).acknowledged(*appending));
  }
  // Where it is taken.
  std::size_t append_somewhere(const std::string& topic, const std::string& value) {
    for (std::size_t i = 0; i < 100; ++i) {
      auto place = i % faces_.size();
      if (up(place) && append(place, topic, value, {.wait = 500ms})) return place;
      nodes_->world().run_for(20ms);  // it may know of the leader before
    }
    ADD_FAILURE() << "no node takes " << value;
    return 0;
  }
  std::vector<std::string> values(std::size_t place, const std::string& topic) {
    std::vector<std::string> values;
    auto found = local(place).find(topic);
    EXPECT_TRUE(found.has_value());
    for (Offset from{};;) {
      auto read = run(place, local(place).read(*found, 0, {.from = from}));
      EXPECT_TRUE(read.has_value()) << read.error().message;
      if (!read || read->records.empty()) return values;
      for (const auto& record : read->records) values.push_back(record.value.value_or("none"));
      from = read->next;
    }
  }

  std::unique_ptr<replica::SimulatedNodes> nodes_;
  std::vector<Face> faces_;
};

TEST_F(ClusterTest, record_is_acknowledged_with_its_offset_and_read_on_every_node) {
  create({.name = "orders"});
  auto at = find_leader("orders");
  for (int i = 0; i < 5; ++i) {
    auto placed = append(at, "orders", "value " + std::to_string(i));
    ASSERT_TRUE(placed.has_value()) << placed.error().message;
    EXPECT_EQ(placed->first.value, i);
    EXPECT_EQ(placed->next.value, i + 1);
  }
  for (std::size_t place = 0; place < 3; ++place) {
    EXPECT_TRUE(until([&] { return log(place, "orders")->bounds()->high_watermark.value == 5; }));
    EXPECT_THAT(values(place, "orders"),
                ElementsAre("value 0", "value 1", "value 2", "value 3", "value 4"));
  }
}

// Before metadata says anything of it.
TEST_F(ClusterTest, a_leader_whose_connection_broke_is_named_to_nobody) {
  create({.name = "orders"});
  append_somewhere("orders", "first");
  auto gone = find_leader("orders"), other = (gone + 1) % 3;
  ASSERT_TRUE(until([&] { return leader(other, "orders") == gone; }));
  nodes_->world().run_for(100ms);  // they have met
  nodes_->paused_controller = true;
  nodes_->crash(gone, io::CrashKind::kKill);
  EXPECT_TRUE(until([&] { return !leader(other, "orders"); }, 1s));
  // What comes now waits for the next one.
  walrus::Record record{.value = "second"};
  auto waits = local(other).append(*log(other, "orders"), {&record, 1}, {});
  ASSERT_TRUE(waits.has_value());
  nodes_->world().run_for(300ms);
  EXPECT_FALSE(waits->owed->settled());
  nodes_->paused_controller = false;
  EXPECT_TRUE(until([&] { return waits->owed->settled(); }));
  EXPECT_TRUE(until([&] { return leader(other, "orders").value_or(gone) != gone; }, 1s));
}

// Its clients may reach them.
TEST_F(ClusterTest, a_node_that_is_cut_off_goes_on_naming_the_others) {
  create({.name = "orders"});
  append_somewhere("orders", "first");
  auto leads = find_leader("orders"), cut = (leads + 1) % 3;
  ASSERT_TRUE(until([&] { return leader(cut, "orders") == leads; }));
  nodes_->paused_controller = true;
  nodes_->processes()[cut].deaf = true;
  nodes_->world().network().isolate(static_cast<int>(cut));
  auto& rpc = *nodes_->processes()[cut].rpc;
  ASSERT_TRUE(until([&] { return rpc.stats().links == 0; }));
  EXPECT_EQ(leader(cut, "orders"), leads);
}

TEST_F(ClusterTest, run_of_appends_stays_in_order_and_is_waited_for_together) {
  create({.name = "orders"});
  auto at = find_leader("orders");
  AppendRun run_of;
  std::vector<Appending> all;
  for (int i = 0; i < 200; ++i) {
    auto value = std::to_string(i);
    walrus::Record record{.value = value};
    auto appending = local(at).append(*log(at, "orders"), {&record, 1});
    ASSERT_TRUE(appending.has_value());
    run_of.add(*appending);
    all.push_back(std::move(*appending));
  }
  ASSERT_TRUE(run(at, run_of.wait(local(at).engine(), *faces_[at].loop)).has_value());
  std::int64_t next = 0;
  for (const auto& one : all) {
    auto placed = run_of.outcome(one);
    ASSERT_TRUE(placed.has_value()) << placed.error().message;
    EXPECT_EQ(placed->first.value, next++);
  }
}

TEST_F(ClusterTest, append_at_an_offset_is_refused_where_it_is_not_the_next) {
  create({.name = "orders"});
  auto at = find_leader("orders");
  ASSERT_TRUE(append(at, "orders", "a", {.expected_next = Offset{0}}).has_value());
  auto again = append(at, "orders", "b", {.expected_next = Offset{0}});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Code::kMismatch);
  EXPECT_TRUE(append(at, "orders", "b", {.expected_next = Offset{1}}).has_value());
}

TEST_F(ClusterTest, node_that_does_not_lead_takes_nothing_and_says_who_does) {
  create({.name = "orders"});
  auto at = find_leader("orders");
  ASSERT_TRUE(append(at, "orders", "a").has_value());
  auto other = (at + 1) % 3;
  auto refused = append(other, "orders", "b", {.wait = 1s});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::kBusy);
  EXPECT_EQ(leader(other, "orders"), at);
  auto confirmed = run(other, log(other, "orders")->confirm());
  ASSERT_FALSE(confirmed.has_value());
  EXPECT_EQ(confirmed.error().code, Code::kBusy);
  confirmed = run(at, log(at, "orders")->confirm());
  ASSERT_TRUE(confirmed.has_value()) << confirmed.error().message;
  EXPECT_EQ(confirmed->value, 1);
}

TEST_F(ClusterTest, nothing_acknowledged_is_lost_with_the_leader) {
  create({.name = "orders"});
  auto first = find_leader("orders");
  std::vector<std::string> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back("before " + std::to_string(i));
    ASSERT_TRUE(append(first, "orders", all.back()).has_value());
  }
  auto epoch = log(first, "orders")->bounds()->epoch;
  nodes_->crash(first, io::CrashKind::kPowerCut);
  auto next = append_somewhere("orders", "after");
  ASSERT_NE(next, first);
  all.emplace_back("after");
  EXPECT_EQ(values(next, "orders"), all);
  EXPECT_GT(log(next, "orders")->bounds()->epoch, epoch);
  ASSERT_TRUE(until([&] { return log(next, "orders")->segments().size() == 2; }));
  auto segments = log(next, "orders")->segments();
  EXPECT_TRUE(segments[0].sealed);
  EXPECT_EQ(segments[0].end_offset, 20);
  EXPECT_EQ(segments[1].base_offset, 20);

  restart(first);
  EXPECT_TRUE(until([&] {
    auto found = local(first).find("orders");
    return found && (*found)->partitions[0]->bounds()->high_watermark.value >= 20;
  }));
  EXPECT_THAT(values(first, "orders"), testing::SizeIs(testing::Ge(20)));
}

TEST_F(ClusterTest, fetch_of_several_partitions_waits_for_what_another_node_takes) {
  create({.name = "orders", .partitions = 2});
  auto at = find_leader("orders");
  auto other = (at + 1) % 3;
  FetchPlan plan{.parts = {{.log = log(other, "orders", 0)}, {.log = log(other, "orders", 1)}},
                 .wait = 10s};
  Interrupt interrupt;
  auto result = std::make_shared<std::optional<Result<std::vector<FetchedPart>>>>();
  faces_[other].loop->spawn(keep(local(other).fetch(std::move(plan), interrupt), result));
  nodes_->world().run_for(100ms);
  EXPECT_FALSE(result->has_value());
  ASSERT_TRUE(append(at, "orders", "a").has_value());
  ASSERT_TRUE(until([&] { return result->has_value(); }));
  ASSERT_TRUE((*result)->has_value());
  EXPECT_FALSE((**result)->at(0).bytes.empty());
  EXPECT_TRUE((**result)->at(1).bytes.empty());
}

TEST_F(ClusterTest, fetch_below_the_log_start_is_out_of_range) {
  create({.name = "orders"});
  auto at = find_leader("orders");
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(append(at, "orders", "value").has_value());
  auto trimmed = run(at, log(at, "orders")->trim(*faces_[at].loop, Offset{3}));
  ASSERT_TRUE(trimmed.has_value()) << trimmed.error().message;
  EXPECT_EQ(log(at, "orders")->bounds()->log_start.value, 3);
  for (std::size_t place = 0; place < 3; ++place)
    EXPECT_TRUE(until([&] { return log(place, "orders")->bounds()->log_start.value == 3; }));
  auto read = run(at, log(at, "orders")->fetch(Offset{1}, {}));
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, Code::kOutOfRange);
}

// Whoever is asked, and whatever it holds a copy of.
TEST_F(ClusterTest, every_node_tells_how_far_all_partitions_are) {
  create({.name = "orders", .partitions = 2, .replication_factor = 1});
  auto at = find_leader("orders");
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(append(at, "orders", "value").has_value());
  for (std::size_t place = 0; place < 3; ++place) {
    auto topics = run(place, local(place).list("ord"));
    ASSERT_TRUE(topics.has_value()) << topics.error().message;
    ASSERT_EQ(topics->size(), 1U);
    EXPECT_EQ(topics->front().records, 5);
    EXPECT_GT(topics->front().bytes, 0);
    EXPECT_EQ(topics->front().stale, 0U);
    auto topic = *local(place).find("orders");
    auto statuses =
        run(place, local(place).broker().catalogue().look(local(place).loop(), topic->partitions,
                                                          Catalogue::Look::kSegments));
    ASSERT_TRUE(statuses.has_value()) << statuses.error().message;
    const auto& first = *statuses->at(0);
    EXPECT_EQ(first.leader, NodeId{at + 1});
    EXPECT_EQ(first.info.high_watermark.value, 5);
    ASSERT_EQ(first.segments.size(), 1U);
    EXPECT_EQ(first.segments[0].records, 5);
    EXPECT_EQ(first.segments[0].bytes, first.info.bytes);
    EXPECT_EQ((*statuses->at(1)).info.high_watermark.value, 0);
  }
}

TEST_F(ClusterTest, partition_whose_node_is_gone_is_told_as_it_is_known_and_said_to_be) {
  create({.name = "orders", .replication_factor = 1});
  auto at = find_leader("orders");
  ASSERT_TRUE(append(at, "orders", "value").has_value());
  nodes_->crash(at, io::CrashKind::kPowerCut);
  auto other = (at + 1) % 3;
  auto topics = run(other, local(other).list(""));
  ASSERT_TRUE(topics.has_value()) << topics.error().message;
  EXPECT_EQ(topics->at(0).stale, 1U);
}

TEST(Tails, encode_to_the_golden_bytes_and_back) {
  PartitionId id{.index = 7};
  id.topic.bytes.fill(0x11);
  std::string request("\x01\x01\0\0\0", 5);
  request += std::string(16, '\x11') + std::string("\x07\0\0\0", 4);
  EXPECT_EQ(encode_tails_request({&id, 1}), request);
  EXPECT_THAT(*decode_tails_request(request), ElementsAre(id));
  Tail led{.current = true,
           .log_start = Offset{1},
           .high_watermark = Offset{2},
           .log_end = Offset{3},
           .bytes = 4,
           .epoch = 5,
           .segment = SegmentId{6}};
  auto reply = encode_tails_reply(std::vector{led, Tail{}});
  auto le = [](char value, std::size_t size) { return value + std::string(size - 1, '\0'); };
  EXPECT_EQ(reply, "\x01" +
                       ("\x01" + le(1, 8) + le(2, 8) + le(3, 8) + le(4, 8) + le(5, 4) + le(6, 8)) +
                       std::string(45, '\0'));
  EXPECT_THAT(*decode_tails_reply(reply), ElementsAre(led, Tail{}));
}

TEST(Tails, refuses_what_is_cut_damaged_or_too_much) {
  std::vector<PartitionId> many(kTailsMax + 1);
  EXPECT_EQ(decode_tails_request(encode_tails_request(many)).error().code, Code::kTooLarge);
  auto request = encode_tails_request(std::span(many).first(2));
  for (std::size_t size = 0; size < request.size(); ++size)
    EXPECT_FALSE(decode_tails_request(Bytes(request).substr(0, size)));
  EXPECT_FALSE(decode_tails_request(request + "x"));
  auto reply = encode_tails_reply(std::vector{Tail{.current = true}});
  for (std::size_t size = 2; size < reply.size(); ++size)
    EXPECT_FALSE(decode_tails_reply(Bytes(reply).substr(0, size)));
  reply[0] = 2;
  EXPECT_EQ(decode_tails_reply(reply).error().code, Code::kVersion);
  reply[0] = 1;
  reply[1] = 2;
  EXPECT_EQ(decode_tails_reply(reply).error().code, Code::kCorrupt);
}

TEST_F(ClusterTest, topic_is_made_grown_configured_and_removed_from_any_node) {
  create({.name = "orders"});
  auto topic = *local(2).find("orders");
  EXPECT_EQ(topic->replication_factor, 3U);
  EXPECT_EQ(topic->config.in_sync_min, 2);
  EXPECT_EQ(*local(1).find_id(topic->id), *local(1).find("orders"));
  auto again = run(1, local(1).create({.name = "orders"}));
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Code::kExists);

  ASSERT_TRUE(run(1, local(1).grow("orders", 3)).has_value());
  EXPECT_EQ((*local(1).find("orders"))->partitions.size(), 3U);
  EXPECT_EQ(run(1, local(1).grow("orders", 3)).error().code, Code::kInvalid);

  auto config = run(2, local(2).configure("orders", [](TopicConfig& to) -> Result<void> {
    WALRUS_TRY(set_kafka_config(to, "retention.ms", "5000"));
    return set_kafka_config(to, "min.insync.replicas", "3");
  }));
  ASSERT_TRUE(config.has_value()) << config.error().message;
  ASSERT_TRUE(until([&] { return (*local(0).find("orders"))->config.in_sync_min == 3; }));
  EXPECT_EQ((*local(0).find("orders"))->config.stream.retention_time, Millis(5000));
  EXPECT_EQ(nodes_->state().find_topic("orders")->min_copies, 3U);

  ASSERT_TRUE(run(2, local(2).remove("orders")).has_value());
  EXPECT_TRUE(until([&] { return everywhere("orders", false); }));
  EXPECT_EQ(topic->partitions[0]->bounds().error().code, Code::kNotFound);
  EXPECT_EQ(run(2, local(2).remove("orders")).error().code, Code::kNotFound);
}

TEST_F(ClusterTest, topic_that_no_nodes_can_hold_is_refused) {
  EXPECT_EQ(run(0, local(0).create({.name = "orders", .replication_factor = 4})).error().code,
            Code::kInvalid);
  NewTopic topic{.name = "orders", .replication_factor = 2};
  ASSERT_TRUE(set_kafka_config(topic.config, "min.insync.replicas", "3").has_value());
  EXPECT_EQ(run(0, local(0).create(topic)).error().code, Code::kInvalid);
  EXPECT_EQ(local(0).find("orders").error().code, Code::kNotFound);
}

TEST_F(ClusterTest, settings_of_the_node_that_makes_a_topic_hold_on_all) {
  NewTopic topic{.name = "orders"};
  topic.config.stream.durability = {.kind = Durability::kOs};
  topic.config.stream.segment_records_max = 10;
  create(topic);
  for (std::size_t place = 0; place < 3; ++place) {
    auto found = *local(place).find("orders");
    EXPECT_EQ(found->config.stream.durability.kind, Durability::kOs);
    EXPECT_EQ(found->config.stream.segment_records_max, 10);
  }
}

TEST_F(ClusterTest, creation_whose_answer_was_lost_is_one_creation) {
  nodes_->processes()[1].deaf = true;
  auto result = std::make_shared<std::optional<Result<void>>>();
  faces_[1].loop->spawn(keep(local(1).create({.name = "orders"}), result));
  nodes_->world().run_for(1500ms);
  EXPECT_FALSE(result->has_value());
  nodes_->processes()[1].deaf = false;
  ASSERT_TRUE(until([&] { return result->has_value(); }));
  EXPECT_TRUE((*result)->has_value());
  EXPECT_EQ(nodes_->state().topics.size(), 1U);
}

TEST_F(ClusterTest, producer_ids_are_given_once) {
  std::set<std::int64_t> ids;
  for (int i = 0; i < 30; ++i) {
    auto place = static_cast<std::size_t>(i % 3);
    auto id = run(place, local(place).new_producer_id());
    ASSERT_TRUE(id.has_value()) << id.error().message;
    EXPECT_TRUE(ids.insert(*id).second) << *id;
  }
}

TEST_F(ClusterTest, names_of_the_brokers_own_are_no_topics) {
  ASSERT_TRUE(run(0, faces_[0].broker->catalogue().create(
                         *faces_[0].loop, {.name = "__cursors", .partitions = 8, .internal = true}))
                  .has_value());
  EXPECT_EQ(local(0).find("__cursors").error().code, Code::kNotFound);
  EXPECT_EQ((*local(0).find_own("__cursors"))->partitions.size(), 8U);
  EXPECT_TRUE(local(0).list_topics().empty());
  EXPECT_EQ(run(0, local(0).remove("__cursors")).error().code, Code::kNotFound);
}

TEST_F(ClusterTest, users_are_those_of_the_cluster) {
  namespace sasl = wire::sasl;
  constexpr auto kMechanism = ScramMechanism::kSha256;
  const std::string salt(sasl::kSaltBytes, 's');
  auto salted = sasl::salted_password(kMechanism, "secret", salt, sasl::kIterationsMin);
  Credentials credentials{
      {kMechanism, sasl::scram_credential(kMechanism, salted, salt, sasl::kIterationsMin)}};
  auto change = [&](std::size_t place, UserChange how, const Credentials& with) {
    auto users = faces_[place].users;
    return run(place, run_on<void>(*faces_[place].loop, users->loop(),
                                   [users, plan = plan_user("ann", with, how)] {
                                     return users->change(plan);
                                   }));
  };
  ASSERT_TRUE(change(0, UserChange::kAdd, credentials).has_value());
  EXPECT_TRUE(faces_[0].users->table()->contains("ann"));
  EXPECT_TRUE(until([&] { return faces_[2].users->table()->contains("ann"); }));
  EXPECT_EQ(change(2, UserChange::kAdd, credentials).error().code, Code::kExists);
  ASSERT_TRUE(change(2, UserChange::kReplace, {}).has_value());
  EXPECT_TRUE(until([&] { return !faces_[0].users->table()->contains("ann"); }));
}

// Appends through every node while nodes die, come back and lose metadata: what was acknowledged is
// where it was said to be, on every node, in the end.
class ClusterStorm : public ClusterTest, public testing::WithParamInterface<std::uint64_t> {
 protected:
  ClusterStorm() : ClusterTest(GetParam()) {}

  std::uint64_t random(std::uint64_t below) { return nodes_->world().random() % below; }
  std::size_t down() {
    std::size_t count = 0;
    for (std::size_t place = 0; place < faces_.size(); ++place) count += up(place) ? 0 : 1;
    return count;
  }
  void trouble() {
    auto place = random(faces_.size());
    if (!up(place)) return restart(place);
    auto& process = nodes_->processes()[place];
    if (process.deaf || random(2) == 0) {
      process.deaf = !process.deaf;
    } else if (down() == 0) {
      auto kind = random(2) == 0 ? io::CrashKind::kKill : io::CrashKind::kPowerCut;
      nodes_->crash(place, kind);
    }
  }
  void give() {
    auto place = random(faces_.size());
    if (!up(place)) return;
    auto found = local(place).find("orders");
    if (!found) return;
    auto value = "value " + std::to_string(++given_);
    walrus::Record record{.value = value};
    auto appending = local(place).append(*(*found)->partitions[0], {&record, 1}, {.wait = 2s});
    if (!appending) return;
    faces_[place].loop->spawn(
        note(this, local(place).acknowledged(std::move(*appending)), std::move(value)));
  }
  static boost::asio::awaitable<void> note(ClusterStorm* storm, io::Task<Placed> task,
                                           std::string value) {
    auto placed = co_await std::move(task);
    if (!placed) co_return;
    EXPECT_TRUE(storm->acknowledged_.emplace(placed->first.value, value).second) << value;
  }
  void heal() {
    for (std::size_t place = 0; place < faces_.size(); ++place) {
      nodes_->processes()[place].deaf = false;
      if (!up(place)) restart(place);
    }
  }

  int given_ = 0;
  std::map<std::int64_t, std::string> acknowledged_;  // by offset
};

TEST_P(ClusterStorm, keeps_what_was_acknowledged) {
  create({.name = "orders"});
  for (int step = 0; step < 300; ++step) {
    if (random(30) == 0) trouble();
    else give();
    nodes_->world().run_for(io::Nanos(random(20'000'000)));
  }
  heal();
  ASSERT_TRUE(until([&] { return everywhere("orders", true); }));
  append_somewhere("orders", "last");
  ASSERT_GT(acknowledged_.size(), 20U);
  for (std::size_t place = 0; place < faces_.size(); ++place) {
    std::vector<std::string> all;
    EXPECT_TRUE(until([&] {
      all = values(place, "orders");
      return !all.empty() && all.back() == "last";
    })) << "node "
        << place + 1;
    for (const auto& [offset, value] : acknowledged_) {
      ASSERT_LT(offset, std::ssize(all));
      EXPECT_EQ(all[static_cast<std::size_t>(offset)], value) << "node " << place + 1;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ClusterStorm, testing::Range<std::uint64_t>(5, 13));

}  // namespace
}  // namespace walrus::broker
