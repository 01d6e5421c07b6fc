#pragma once
// For tests: appends to simulated nodes, and what they have.

#include <gtest/gtest.h>

#include "replica/copy_format.h"
#include "replica/simulated_nodes.h"

namespace walrus::replica {

inline std::string batch_of(const std::string& value, std::int64_t producer = -1,
                            std::int32_t sequence = -1) {
  Record records[] = {{.value = value}};
  return record::encode(records, {.producer_id = producer,
                                  .producer_epoch = std::int16_t(producer < 0 ? -1 : 0),
                                  .base_sequence = sequence});
}

class NodeTest : public ::testing::Test {
 protected:
  void begin(SimulatedNodes::Options options) {
    options.not_started = [](std::size_t place, const Error& error) {
      ADD_FAILURE() << "node " << place + 1 << ": " << error.message;
    };
    nodes_ = std::make_unique<SimulatedNodes>(std::move(options));
  }
  void begin(std::uint64_t seed = 1, std::size_t nodes = 3) { begin(small_nodes(seed, nodes)); }
  bool until(const std::function<bool()>& done, io::Nanos timeout = 10s) {
    return nodes_->world().run_until(done, timeout);
  }

  // Where it is led; if nobody leads, any.
  std::size_t leader(PartitionId id) {
    for (std::size_t place = 0; place < nodes_->processes().size(); ++place)
      if (up(place) && nodes_->node(place).leader_of(id).here) return place;
    for (std::size_t place = 0; place < nodes_->processes().size(); ++place)
      if (up(place)) return place;
    return 0;
  }
  bool up(std::size_t place) { return nodes_->lives(place, nodes_->processes()[place].life); }
  Appended append_at(std::size_t place, PartitionId id, std::string batch,
                     const AppendRequest& request = {}) {
    auto answer = std::make_shared<std::optional<Appended>>();
    nodes_->node(place).append(id, std::move(batch), request,
                               [answer](Appended appended) { *answer = appended; });
    EXPECT_TRUE(until([&] { return answer->has_value(); }, 20s));
    return answer->value_or(Appended{Refusal::kUnknown});
  }
  // Wherever it is led, until it is taken.
  std::int64_t append(PartitionId id, const std::string& value) {
    for (int attempt = 0; attempt < 50; ++attempt) {
      auto appended = append_at(leader(id), id, batch_of(value), {.wait = 500ms});
      if (appended.done()) return appended.first.value;
      nodes_->world().run_for(50ms);
    }
    ADD_FAILURE() << value << " is not taken";
    return -1;
  }
  // What a node shows of a partition.
  template <class Visit>
  void each_record(std::size_t place, PartitionId id, std::int64_t from, const Visit& visit) {
    for (;;) {
      auto fetched = nodes_->await(place, nodes_->node(place).fetch(id, Offset{from}, {}));
      EXPECT_TRUE(fetched) << fetched.error().message;
      if (!fetched || fetched->next.value == from) return;
      for (Bytes rest = fetched->bytes; !rest.empty();) {
        auto batch = record::BatchView::parse(rest);
        rest.remove_prefix(batch->bytes().size());
        auto records = record::RecordIterator::open(*batch);
        for (auto one = records->next(); one && *one; one = records->next())
          if ((*one)->offset >= from) visit(**one);
      }
      from = fetched->next.value;
    }
  }
  std::vector<std::string> values(std::size_t place, PartitionId id, std::int64_t from = 0) {
    std::vector<std::string> values;
    each_record(place, id, from, [&](const auto& one) { values.emplace_back(*one.value); });
    return values;
  }
  void expect_everywhere(PartitionId id, const std::vector<std::string>& all) {
    for (std::size_t place = 0; place < nodes_->processes().size(); ++place) {
      if (!up(place)) continue;
      EXPECT_TRUE(until([&] {
        auto bounds = nodes_->node(place).bounds(id);
        return bounds && bounds->high_watermark.value == std::ssize(all);
      })) << "node "
          << place + 1;
      EXPECT_EQ(values(place, id), all) << "node " << place + 1;
    }
  }

  bool has_all_sealed(std::size_t place, PartitionId id) {
    bool all = true;
    nodes_->state().partitions.find(id)->sealed.each([&](const meta::Segment& segment) {
      auto& engine = *nodes_->processes()[place].engine;
      auto stream = engine.find(copy_stream_name(segment.id));
      all &= meta::is_replica(segment, NodeId{place + 1}) &&
             nodes_->state().intact(segment, NodeId{place + 1}) && stream &&
             engine.bounds(*stream)->log_end == segment.end;
    });
    return all;
  }

  // By one of its nodes, without the controller.
  void claim(PartitionId id, std::size_t by) {
    auto version = nodes_->state().partitions.find(id)->version;
    ASSERT_TRUE(nodes_->change(meta::BeginSeal{id, version, NodeId{by + 1}}).done());
    nodes_->world().run_for(20ms);  // the nodes learn of it
  }
  // What was claimed; and who leads then.
  void recover(PartitionId id, std::size_t by, std::size_t next) {
    const auto& tail = *nodes_->state().partitions.find(id)->tail;
    meta::Placement place{.leader = NodeId{next + 1}, .replicas = {NodeId{next + 1}}};
    for (std::size_t other = 0; other < 3; ++other)
      if (other != next && up(other)) place.replicas.push_back(NodeId{other + 1});
    nodes_->node(by).recover({{id, tail.id, tail.recovery_epoch, std::move(place)}});
  }

  std::unique_ptr<SimulatedNodes> nodes_;
};

}  // namespace walrus::replica
