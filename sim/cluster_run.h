#pragma once
// ClusterRun: one seed of the cluster world: producers, readers, and who asks for the latest
// offset; faults of the plan for a while; then everything is healed, and the cluster has to serve
// everybody and to make all copies the same within bounded time.

#include <deque>
#include <map>

#include "anomalies.h"
#include "cluster_world.h"

namespace walrus::sim {

class ClusterRun final : public ClusterWorld {
 public:
  explicit ClusterRun(std::uint64_t seed);
  void run();

 private:
  struct SentBatch {
    std::int32_t first_sequence = 0, count = 0;

    std::size_t padding = 0, history = 0;  // history: place of the first record in sent_
    Nanos invoked_at = -1, sent_at = -1;
    bool waiting = false, done = false;  // done: acknowledged; those before it are not all
    int tries = 0;
    replica::Ticket ticket = 0;              // of the try that runs
    std::optional<std::int64_t> answered{};  // an answer that the producer did not get
  };
  struct Producer {
    std::int64_t id = 0;
    std::size_t partition = 0;
    std::int32_t next_sequence = 0;
    std::deque<SentBatch> batches{};
    std::uint32_t made = 0, refused = 0;
    Nanos acknowledged_at = 0;
  };
  struct Reader {
    std::size_t partition = 0, segment = 0;  // place in the chain
    std::int64_t position = 0;
  };
  struct Question {
    std::size_t partition = 0;
    std::int64_t floor = 0;
  };
  enum Nemesis : std::size_t {
    kCut,
    kSplit,
    kIsolate,
    kMetadataAway,
    kKillOne,
    kPowerOne,
    kPowerAll,
    kSlow,
    kStuck,
    kFail,
    kWipe,
    kRot,
    kPauseOne,
    kController,
    kRoll,
    kNemeses,
  };

  void client_turn(std::size_t client, std::uint64_t what) override;
  void nemesis_turn(std::size_t nemesis) override;
  void appended(Node&, Writer&, const replica::Leader::Appended&) override;
  void confirmed(Node&, const replica::Leader::Confirmed&) override;
  void blocked(Node&, const replica::Sealer::Blocked&) override;

  void produce(std::size_t producer);
  void make_batch(Producer&);
  void send(std::size_t producer, SentBatch&);
  void acknowledge(std::size_t producer, SentBatch&, Writer&, std::int64_t offset);
  void start_anew(Producer&);
  void read(Reader&, std::uint32_t number);
  bool poll(Reader&, std::uint32_t number, Node&, const replica::Segment&);
  void ask_latest();
  // Who takes itself for the writer of the partition; by chance one that is none any more.
  std::pair<Node*, SegmentId> writer_of(std::size_t partition);
  Node* random_node();
  Node* leader_node();

  replica::Nanos every(std::size_t nemesis) const;
  void cut(std::size_t from, std::size_t to, Nanos until);
  void cut_some();
  void split();
  void isolate();
  void part_from_metadata();
  void crash(std::size_t nemesis);
  void disturb(std::size_t nemesis);
  void wipe();
  void rot();
  void lose_power(Node&);
  bool rot_end(Node&);
  std::int64_t offered(const Node&, SegmentId) const;
  bool has_other_damage(const Node&, const replica::Segment&) const;
  bool has_other_copy(const Node&, SegmentId, std::int64_t needed) const;
  bool may_lose(const Node&) const;
  void restart_later(Node&, replica::Nanos);

  void heal();
  bool settled();
  std::optional<std::string> unsettled();
  std::optional<std::string> unsettled_tail(const replica::Segment&);
  void check_end();
  PartitionHistory history_of(std::size_t partition);

  std::vector<Producer> producers_{};
  std::vector<Reader> readers_{};
  std::map<replica::Ticket, std::pair<std::size_t, std::int32_t>> tries_{};  // producer, sequence
  std::map<replica::Ticket, Question> questions_{};
  replica::Ticket last_ticket_ = 0;
  std::int64_t next_producer_ = 100;
  std::vector<std::vector<SentRecord>> sent_{};      // by partition
  std::vector<std::vector<PolledRecord>> polled_{};  // by partition
  bool quiet_ = false;                               // nothing new is sent
};

}  // namespace walrus::sim
