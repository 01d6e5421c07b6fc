#pragma once
// ReplicatedLog: a partition that is a chain of replicated segments, as one loop uses it. What it
// is asked goes to the cluster's loop (bridge.h) and comes back; appends keep their order there.
//
// Every append is owed: its offset comes with the acknowledgement. What one loop has given and is
// not answered yet is bounded by kTakenBytesMax; beyond it, kBusy and when_room().
//
// Reads are served from what is readable on this node, whoever leads; confirm() and appends want
// the leader.

#include "broker/cluster/tails.h"
#include "broker/log.h"

namespace walrus::broker {

class ReplicatedLog final : public Log, public std::enable_shared_from_this<ReplicatedLog> {
 public:
  static constexpr std::size_t kTakenBytesMax = 16 << 20;

  ReplicatedLog(std::shared_ptr<Bridge>, io::Loop& home, std::string name, const PartitionId&);

  const PartitionId& id() const { return view_->id(); }
  // What metadata says of it and what `tail` says of the segment that is written, taken together.
  Result<LogStatus> status(const Tail& tail, bool with_segments) const;

  Result<Appending> append(std::span<const walrus::Record>, const AppendRules&) override;
  Result<Appending> append_batch(const record::BatchView&, const AppendRules&) override;
  void when_room(log::Done<void>) override;
  io::Task<log::Fetched> fetch(Offset from, log::FetchOptions) override;
  io::Task<Offset> find_time(Time) override;
  std::uint64_t when_readable(Offset, log::Done<void>) override;
  void cancel(std::uint64_t id) override;
  io::Task<Offset> confirm() override;
  io::Task<void> trim(io::Loop&, Offset first_kept) override;
  Result<Bounds> bounds() const override { return view_->load(); }
  Result<LogInfo> info() const override;
  std::vector<LogSegment> segments() const override;

 private:
  Result<Appending> give(std::string batch, const AppendRules&);
  struct Answer;
  void settle(Answer&&);
  std::optional<StreamInfo> copy_here(SegmentId) const;
  Tail tail_here(const meta::Partition&) const;

  const std::shared_ptr<Bridge> bridge_;  // shared with all of them
  io::Loop& home_;
  const ViewRef view_;
  const std::shared_ptr<Mailbox<Answer>> answers_;  // shared with those that are on their way
  std::size_t taken_bytes_ = 0;
  std::vector<log::Done<void>> for_room_;
};

}  // namespace walrus::broker
