#pragma once
// NodeState: what stands behind a Node. Everything of it is on one loop.
//
// Events of the cores are collected, and each core that has any is stepped once a turn of the loop;
// what comes of it for cores of the same node is handled in the same turn. At its end parcels and
// proposals go out, and callbacks are called.

#include <deque>
#include <map>
#include <set>
#include <unordered_map>

#include "base/log_limit.h"
#include "net/file_worker.h"
#include "replica/arrears.h"
#include "replica/compaction.h"
#include "replica/copy_store.h"
#include "replica/node.h"
#include "replica/sealer.h"

namespace walrus::replica {

// Small settings of a topic as segments need them (docs/configuration.md).
Durability durability_of(const meta::Topic&);
std::int64_t number_setting(const meta::Topic&, Bytes name, std::int64_t otherwise);
// What metadata says of a segment, as the cores take it.
Segment to_segment(const meta::Segment&, const meta::Topic&);

class NodeState : public std::enable_shared_from_this<NodeState> {
 public:
  using AppendDone = std::move_only_function<void(Appended)>;
  using ConfirmDone = std::move_only_function<void(Result<Offset>)>;

  NodeState(io::Env&, io::Loop&, log::Engine&, net::Rpc&, Metadata&, const NodeOptions&);
  Result<void> start();
  void shut();
  static io::Task<void> give_away(std::shared_ptr<NodeState>, Nanos timeout);
  static io::Task<void> stop(std::shared_ptr<NodeState>, Nanos timeout);

  // As Node's.
  void learned(ImageRef);
  void lease_granted(Nanos asked_at);
  void recover(const std::vector<meta::Recover>&);
  void roll(const std::vector<meta::Roll>&);
  void copy(const std::vector<meta::Copy>&);
  bool begun() const { return image_ != nullptr; }
  std::vector<PartitionId> wanted() const;
  std::vector<meta::Copy> copying() const;
  std::vector<meta::SlowCopy> slow() const;
  std::vector<meta::DamagedCopy> damaged() const;
  void learn_full(std::set<NodeId>);
  static io::Task<SealSurvey> survey(std::shared_ptr<NodeState>, NodeId sealer, SegmentId);
  static io::Task<void> accept_loss(std::shared_ptr<NodeState>, NodeId sealer, SegmentId,
                                    AcceptedEnd);
  void append(PartitionId, std::string batch, const AppendRequest&, AppendDone);
  void confirm(PartitionId, ConfirmDone);
  static io::Task<log::Fetched> fetch(std::shared_ptr<NodeState>, PartitionId, Offset,
                                      log::FetchOptions);
  Result<log::Bounds> bounds(PartitionId) const;
  std::vector<log::SegmentInfo> segments(PartitionId) const;
  static io::Task<Offset> find_time(std::shared_ptr<NodeState>, PartitionId, Time);
  std::uint64_t when_readable(PartitionId, Offset, log::Done<void>);
  void cancel(std::uint64_t id);
  static io::Task<void> trim(std::shared_ptr<NodeState>, PartitionId, Offset);
  LeaderHint leader_of(PartitionId) const;
  static io::Task<void> ask_reach(std::shared_ptr<NodeState>, io::Nanos at_most);
  void check_reach();  // looks who is within reach
  void on_reach(std::function<void(const std::set<NodeId>&)> call) { on_reach_ = std::move(call); }
  std::pair<Epoch, Offset> end_of_epoch(PartitionId, Epoch) const;
  NodeStats stats() const;

 private:
  enum class Kind : std::uint8_t { kCopy, kWriter, kSealer };
  using Wake = std::tuple<Instant, Kind, SegmentId>;
  struct Timed {
    Instant wake = Instant::max();
    bool marked = false;
  };
  struct CopyCell : Timed {
    CopyAttributes attributes{};
    std::unique_ptr<Follower> core{};
    std::vector<Follower::Event> events{};
    Instant used_at{}, written_at{};  // written: records
    std::int64_t told = 0;            // to readers: up to where it is readable
  };
  struct WriterCell : Timed {
    PartitionId partition{};
    std::unique_ptr<Leader> core{};
    std::vector<Leader::Event> events{};
    std::int64_t told = 0;  // to readers: up to where it is acknowledged
    std::optional<std::int64_t> close_at{};
    std::optional<meta::Placement> next{};  // of the segment that is to follow
    bool closing = false;                   // a proposal is under way
    bool unsure = false;                    // of some append it is not known what became of it
    Instant close_again{};                  // not before
    Instant roll_at = Instant::max();       // by time
  };
  struct Waiting {  // an append without a writer
    std::string batch{};
    AppendRequest request{};
    Instant until{};
    AppendDone done{};
    Refusal why = Refusal::kBusy;
    std::optional<Sequence> sequence{};  // of an append that asks to be kept in sequence
    bool gap_lasted = true;              // what may be missing in front of it will not come
  };
  struct Asking {  // whether this node still leads
    Instant until{};
    ConfirmDone done{};
  };
  struct Reader {
    std::uint64_t id = 0;
    std::int64_t offset = 0;
    log::Done<void> done{};
  };
  struct Part {                     // a partition of which something is here
    std::vector<SegmentId> mine{};  // that this node is a replica of
    SegmentId tail{};               // open or sealing, and this node is a replica of it
    SegmentId writer{};             // that has a writer here
    std::deque<Waiting> waiting{};
    std::vector<Waiting> handed{};  // of them, what another node has been given
    Instant hand_on_until{};        // after a planned roll of this node's to another
    NodeId handed_to{};             // since then
    Instant feed_again{};           // refused for now
    bool wants = false, marked = false;
    std::vector<Reader> readers{};
  };
  struct Proposal {
    meta::Change change{};
    std::function<void(const meta::Outcome*)> done{};  // null: it is not known what became of it
  };
  struct Repair {  // of a sealed segment
    PartitionId partition{};
    std::optional<meta::Copy> order{};  // the controller's: to be reported
    NodeId source{};                    // to be asked first; none: it does not matter
    bool started = false, proposed = false;
    std::int64_t reached = -1;
    std::uint64_t bytes = 0;  // of all of it
    Instant stalls_at{};      // unless it comes further
    Instant again{};
  };

  struct Damage {  // of a sealed copy
    PartitionId partition{};
    std::int64_t from = 0;
    bool mending = false, tried = false;
    Instant again{};
  };
  struct Pass;     // of compaction
  struct Copied {  // what the copies of some id are of
    meta::Segment segment{};
    std::vector<NodeId> sources{};
    bool pending = false;  // compaction makes them
  };

  // node_state.cc: turns, cores, messages
  void mark(Kind, SegmentId, Timed&);
  void mark(const PartitionId&, Part&);
  void post_turn();
  void turn();
  void step_copy(SegmentId);
  void step_writer(SegmentId);
  void step_sealer();
  void take_copy(SegmentId, CopyCell&, Follower::Actions&);
  void take_writer(SegmentId, WriterCell&, Leader::Actions&, std::span<Leader::Event>);
  void take_answers(WriterCell&, Leader::Actions&, std::span<Leader::Event>);
  void take_confirmed(const Leader::Confirmed&);
  static meta::Placement placement_of(const Segment&);
  void set_wake(Kind, SegmentId, Timed&, Instant);
  void drop_wake(Kind, SegmentId, Timed&);
  static boost::asio::awaitable<void> run_timer(std::shared_ptr<NodeState>);
  Instant next_wake() const;
  void fire(Instant now);
  void look_around(Instant now);  // every kLook
  void survey(Instant now);       // every kSurvey
  void push(SegmentId, CopyCell&, Follower::Event);
  void push(SegmentId, WriterCell&, Leader::Event);
  void push(Sealer::Event);
  void send(Message);
  void flush();
  void send_parcels(NodeId to, std::vector<Message>&, std::size_t bytes_max, net::Priority);
  void send_parcel(NodeId to, std::span<const Message>, net::Priority);
  void receive(net::Request);
  void route(Message&&);
  void answer(Outgoing&&);
  static boost::asio::awaitable<void> read_and_send(std::shared_ptr<NodeState>, Outgoing,
                                                    log::StreamRef);
  static boost::asio::awaitable<void> read_log(std::shared_ptr<NodeState>, SegmentId,
                                               Leader::LogRequest, log::StreamRef);
  CopyCell* copy_cell(SegmentId);  // opened if it is stored; null: not here
  CopyCell& make_copy(SegmentId, const CopyAttributes&, const std::optional<Copy>&);
  bool may_hold(SegmentId) const;
  std::optional<Millis> interval_of(SegmentId) const;
  void close_copy(SegmentId);
  void happened(SegmentId, Follower::Event);

  // node_image.cc: what metadata says
  void begin();
  void apply(ImageRef);
  void apply_first();
  void judge_ahead();
  void tell_removed();
  void learn_partition(const PartitionId&);
  void want_next(const Part&, const meta::Partition&);
  void forget_partition(const PartitionId&);
  void learn_tail(const PartitionId&, Part&, const meta::Partition&);
  void learn_fresh(const PartitionId&, const meta::Partition&,
                   const std::function<bool(SegmentId)>& is_fresh);
  void learn_sealed(const PartitionId&, SegmentId copy, const Copied&);
  void open_writer(const PartitionId&, const meta::Partition&);
  void end_writer(SegmentId);
  std::vector<SegmentId> find_mine(const meta::Partition&) const;
  bool is_whole(SegmentId copy, Offset end) const;
  void work_on_repairs(Instant now);
  bool start_repair(SegmentId, Repair&);
  void finish_repair(SegmentId);
  void give_up_repair(SegmentId);
  const meta::Partition* partition_of(const PartitionId& id) const {
    return image_ ? image_->partitions.find(id) : nullptr;
  }
  Error unknown_partition() const;
  void knock(NodeId, Instant& again);
  void orphan(SegmentId id) { orphans_.try_emplace(id, ++last_orphan_); }
  static boost::asio::awaitable<void> sweep(std::shared_ptr<NodeState>);
  Result<SealSurvey> survey_here(SegmentId) const;
  Result<void> accept_here(SegmentId, AcceptedEnd);
  static io::Task<std::string> serve_survey(std::shared_ptr<NodeState>, net::Request);
  static io::Task<std::string> serve_accept(std::shared_ptr<NodeState>, net::Request);
  void recover_own(SegmentId, const PartitionId&);
  void try_recover(const meta::Recover&);
  void take_sealer(Sealer::Actions&);
  void claim(const Sealer::Command&);
  void end_segment(const Sealer::Command&);
  void close(SegmentId, WriterCell&, std::optional<meta::Placement> next);
  void close_segment(SegmentId, WriterCell&);
  std::optional<meta::Placement> heirs_of(const WriterCell&, std::size_t turn) const;
  void propose(meta::Change, std::function<void(const meta::Outcome*)>);
  static boost::asio::awaitable<void> run_proposals(std::shared_ptr<NodeState>,
                                                    std::vector<Proposal>);
  void refresh();
  static boost::asio::awaitable<void> run_refresh(std::shared_ptr<NodeState>);

  // node_compaction.cc
  void plan_compactions(Instant now);
  std::optional<Nanos> compaction_due(const meta::Partition&, const meta::Topic&) const;
  struct Ripe {
    Offset end{};       // segments below it are old enough to be compacted
    bool late = false;  // one of them is older than it may get
  };
  Ripe find_ripe(const meta::Partition&, const CompactionLag&) const;
  bool holds(SegmentId copy, Offset end) const;
  void tell_compacted(Instant now);
  void learn_compaction(const PartitionId&, const meta::Partition&);
  static std::optional<Copied> find_copied(const meta::Partition&, SegmentId copy);
  static boost::asio::awaitable<void> run_compaction(std::shared_ptr<NodeState>, PartitionId);
  static io::Task<void> compact(std::shared_ptr<NodeState>, PartitionId);
  static io::Task<void> note_keys(std::shared_ptr<NodeState>, std::shared_ptr<Pass>,
                                  std::int64_t from, std::int64_t end);
  static io::Task<log::Fetched> read_on(std::shared_ptr<NodeState>, PartitionId, std::int64_t at,
                                        std::int64_t end);
  static io::Task<void> compact_segment(std::shared_ptr<NodeState>, std::shared_ptr<Pass>,
                                        meta::Segment);
  static io::Task<bool> look_through(std::shared_ptr<NodeState>, std::shared_ptr<Pass>,
                                     meta::Segment);
  static io::Task<void> write_copy(std::shared_ptr<NodeState>, std::shared_ptr<Pass>, meta::Segment,
                                   SegmentId copy);
  static io::Task<void> write_piece(std::shared_ptr<NodeState>, SegmentId copy,
                                    std::string batches);
  static io::Task<void> await_holders(std::shared_ptr<NodeState>, PartitionId, SegmentId segment,
                                      SegmentId copy);
  static io::Task<meta::Outcome> change_partition(
      std::shared_ptr<NodeState>, PartitionId, std::function<meta::Change(const meta::Partition&)>);

  // node_retention.cc: what has outlived its settings
  void retain(Instant now);
  std::optional<Offset> find_outlived(const meta::Partition&, const meta::Topic&, Time) const;
  std::optional<Time> newest_of(const meta::Segment&) const;
  std::optional<Time> oldest_of(const meta::Segment&) const;
  void roll_trimmed(const Part&, const meta::Partition&);

  // node_scrub.cc: damage that nobody reads
  struct Sealed {  // of which this node has a copy
    PartitionId partition{};
    SegmentId copy{};
    meta::Segment segment{};
  };
  void suspect(SegmentId);
  void end_repair(SegmentId);
  static boost::asio::awaitable<void> run_scrub(std::shared_ptr<NodeState>);
  static boost::asio::awaitable<bool> see_to_damage(std::shared_ptr<NodeState>);
  static boost::asio::awaitable<void> scrub(std::shared_ptr<NodeState>, Sealed, bool in_no_hurry);
  static boost::asio::awaitable<void> mend(std::shared_ptr<NodeState>, SegmentId);
  static io::Task<void> check_source(std::shared_ptr<NodeState>, NodeId source, SegmentId,
                                     Attach what);
  std::optional<Sealed> sealed_here(const PartitionId&, SegmentId) const;
  std::optional<Sealed> next_sealed(const Sealed& after) const;
  std::optional<Sealed> next_suspect();
  std::optional<SegmentId> next_to_mend(Instant now);
  Instant next_scrub(Instant round_at) const;

  // node_hand_on.cc: appends that go on to the next leader
  bool may_go_on(Part&, NodeId leader, Instant now);
  void hand_on(const PartitionId&, Part&, NodeId leader, Instant now);
  static boost::asio::awaitable<void> run_hand_on(std::shared_ptr<NodeState>, PartitionId,
                                                  NodeId leader, std::string request,
                                                  Nanos timeout);
  void take_handed(const PartitionId&, const Result<std::string>& replies);
  static io::Task<std::string> serve_handed(std::shared_ptr<NodeState>, net::Request);

  // node_broker.cc: the face
  Part& part(const PartitionId& id) { return parts_[id]; }
  void feed(const PartitionId&, Part&, Instant now);
  void expire(const PartitionId&, Part&, Instant now);
  bool lacks_room(const PartitionId&) const;
  void feed_all();
  void refuse(const PartitionId&, Waiting&, Refusal);
  void send_away(const PartitionId&, const Waiting&);
  bool is_behind(const PartitionId&, const Waiting&) const;
  bool may_be_filled(const PartitionId&, const Waiting&);
  void note_refusal(const PartitionId&, const Waiting&, Refusal);
  Waiting leave(Part&);
  void ask(WriterCell&, Instant until, ConfirmDone);
  void confirm_refusal(WriterCell&, Waiting, Refusal);
  void wake_readers(const PartitionId&, Part&);
  WriterCell* writer_of(const PartitionId&) const;
  std::int64_t watermark_of(const PartitionId&, const meta::Partition&) const;
  struct Place {
    meta::Segment segment{};
    std::int64_t end = 0;  // below it, readable
    log::StreamRef stream{};
    bool tail = false;
  };
  std::optional<Place> find_place(const PartitionId&, std::int64_t offset) const;
  log::Fetched empty_fetch(const PartitionId&, std::int64_t at) const;
  static io::Task<std::string> read_place(std::shared_ptr<NodeState>, Place, Attach);
  static io::Task<std::string> read_here(std::shared_ptr<NodeState>, Place, Attach);
  static io::Task<std::string> read_there(std::shared_ptr<NodeState>, Place, Attach);
  static io::Task<std::int64_t> find_in(std::shared_ptr<NodeState>, meta::Segment, Time);
  static boost::asio::awaitable<void> confirm_closed(std::shared_ptr<NodeState>, PartitionId,
                                                     ConfirmDone);
  static io::Task<std::string> serve_read(std::shared_ptr<NodeState>, net::Request);
  static io::Task<std::string> serve_find(std::shared_ptr<NodeState>, net::Request);
  void log(LogLevel, Bytes event, SegmentId, const std::string& why);

  io::Env& env_;
  io::Loop& loop_;
  log::Engine& engine_;
  net::Rpc& rpc_;
  Metadata& metadata_;
  const NodeOptions options_;
  raft::Mailbox mailbox_;
  std::unique_ptr<io::Gate> timer_{}, ended_{};  // ended_: a writer has; who stops waits for that
  std::unique_ptr<io::Gate> compact_gate_{};     // the pass of compaction waits
  std::unique_ptr<net::FileWorker> files_{};
  std::unique_ptr<CopyStore> store_{};
  Lease lease_;
  Sealer sealer_;
  Timed sealer_timed_{};
  std::vector<Sealer::Event> sealer_events_{};

  bool stopped_ = false, stopping_ = false, begun_ = false, beginning_ = false;
  bool want_now_ = false;
  bool turn_posted_ = false, turn_runs_ = false, sweeping_ = false, refreshing_ = false;
  ImageRef image_{};    // applied
  ImageRef waiting_{};  // the newest one before begin()
  Losses losses_{};

  std::map<SegmentId, CopyCell> copies_{};
  std::map<SegmentId, WriterCell> writers_{};
  std::map<PartitionId, Part> parts_{};
  std::map<SegmentId, PartitionId> tails_{};  // of parts_
  std::map<SegmentId, Repair> repairs_{};
  std::map<SegmentId, Damage> damaged_{};
  std::set<SegmentId> suspects_{};  // sealed, and a read has met damage
  std::unique_ptr<io::Gate> scrub_gate_{};
  std::set<NodeId> full_{};          // their disks
  std::map<NodeId, Instant> met_{};  // who was connected once; when to knock again if it is not
  std::set<NodeId> out_of_reach_{};  // of them, who is not now, and so is no leader here
  std::function<void(const std::set<NodeId>&)> on_reach_{};
  std::vector<PartitionId> wanted_next_{};        // to be told to metadata at the end of the turn
  std::map<PartitionId, Instant> compactions_{};  // this node is to hold the new copy; asked again
  // Something is to be compacted, or does not come further: which copy, since when.
  std::map<PartitionId, std::pair<SegmentId, Instant>> compaction_since_{};
  std::map<PartitionId, SegmentId> written_{};    // the newest copy that a pass of this node wrote
  std::optional<PartitionId> compacting_{};       // a pass of this node's runs
  SegmentId writing_{};                           // and writes this copy
  std::map<SegmentId, std::uint64_t> orphans_{};  // each time that it becomes one, another number
  std::uint64_t last_orphan_ = 0;
  std::set<SegmentId> ahead_{};  // copies begun before an image told of their segments
  std::map<SegmentId, meta::Recover> recoveries_{};
  std::map<SegmentId, Epoch> used_{};  // recovery epochs that were used, or are of an earlier life
  std::map<SegmentId, AcceptedEnd> accepted_{};  // losses
  std::map<SegmentId, Instant> claimed_at_{};
  std::set<SegmentId> closing_{};   // writers that have ended theirs, until metadata knows
  std::set<PartitionId> hungry_{};  // where appends wait

  std::set<Wake> wakes_{};
  std::vector<std::pair<Kind, SegmentId>> marked_{};
  std::vector<PartitionId> marked_parts_{};
  struct Outbox {
    std::vector<Message> light{}, heavy{};  // heavy: with records
  };
  std::map<NodeId, Outbox> outbox_{};
  std::vector<Message> own_{};  // to this node
  std::vector<Proposal> proposals_{};
  std::vector<std::move_only_function<void()>> calls_{};
  std::unordered_map<Ticket, std::pair<PartitionId, AppendDone>> appends_{};
  std::unordered_map<Ticket, Asking> confirms_{};
  std::unordered_map<Ticket, Waiting> requests_{};
  std::map<std::uint64_t, PartitionId> readers_{};
  Ticket last_ticket_ = 0;
  Arrears arrears_;
  LogLimit refusals_{10, std::chrono::seconds(10)};
  std::uint64_t last_reader_ = 0, waiting_bytes_ = 0;
  std::size_t waiting_count_ = 0;  // in parts_
  Instant survey_at_{};
  Instant look_at_{}, armed_ = Instant::max();  // armed_: when the timer goes off
  Instant retain_at_{};
  NodeStats stats_{};
};

}  // namespace walrus::replica
