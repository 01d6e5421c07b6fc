#pragma once
// MetaRun: one seed of the world `meta`: a random history of metadata commands, most of them sound,
// some outdated, some nonsense, some damaged bytes. After each command: its outcomes are what the
// model says, the State is what the model says, every rule of invariants.h holds. On the way: a
// snapshot is written and restored in pieces of any size and the history goes on from it; a reader
// who follows the changes has what a new reader sees; an image that is kept does not change. In the
// end the whole log is applied again, and gives the same bytes.

#include <map>
#include <string>
#include <vector>

#include "io/sim/sim_random.h"
#include "meta/snapshot.h"
#include "meta_model.h"
#include "tally.h"

namespace walrus::sim {

std::vector<std::string> meta_families();

class MetaRun {
 public:
  MetaRun(std::uint64_t seed, std::int64_t operations);
  void narrate(bool on) { narrate_ = on; }
  void run();
  const Tally& tally() const { return tally_; }
  const Verdict& violation() const { return violation_; }

 private:
  // What a broker keeps that follows the changes.
  struct Follower {
    meta::Version seen{};
    std::map<PartitionId, meta::Version> partitions{};
    std::map<Uuid, meta::Version> topics{};
    std::map<NodeId, meta::Version> nodes{};
  };

  void step();
  void apply_damaged(const std::string& bytes);
  void apply(const std::string& bytes, const meta::Command*);
  void check_outcomes(const meta::Command&, const std::vector<meta::Outcome>&);
  void through_snapshot();
  void keep_image();
  void follow();
  void check_replay();
  void fail(const std::string& rule, const std::string& detail);
  void hit(const std::string& family) { ++tally_.hits[family]; }

  meta::Change draw();
  meta::Change draw_cluster();
  meta::Change draw_node();
  meta::Change draw_node_change();
  meta::Change draw_topic();
  meta::Change draw_segment();
  meta::Change draw_seal(const PartitionId&, const ModelPartition&, const ModelTopic&);
  meta::Change draw_move(const PartitionId&, const ModelPartition&);
  meta::Change draw_compaction(const PartitionId&, const ModelPartition&);
  meta::Change draw_user();
  meta::RegisterNode draw_life(NodeId, const ModelNode*);
  meta::Placement draw_place(const ModelTopic&);
  meta::Version expect(std::uint64_t version);
  Uuid draw_uuid();
  bool rarely() { return random_.chance(odd_); }
  std::uint64_t below(std::uint64_t bound) { return random_.below(bound); }

  io::SimRandom random_;
  const std::int64_t operations_;
  double odd_ = 0;  // how often something is wrong with a change
  bool narrate_ = false;
  Tally tally_{};
  Verdict violation_{};
  io::TraceHash trace_{};

  meta::State state_{};
  MetaModel model_{};
  std::vector<std::string> log_{};
  Time now_{};
  std::int64_t done_ = 0;
  meta::State image_{};
  std::uint64_t image_print_ = 0;
  Follower follower_{};
};

}  // namespace walrus::sim
