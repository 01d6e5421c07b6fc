#pragma once
// ReachLog: a replicated partition as the owner of its queue and its consumers needs it, who need
// not hold a copy of it: what is not readable on this node is asked for at the node that leads it.
// On the cluster's loop. Methods of the peer protocol, integers little endian:
//
//   1040  confirm  call. version u8 = 1 | topic id 16 bytes | partition u32
//                  reply: version u8 = 1 | high watermark i64
//   1041  fetch    call. version u8 = 1 | topic id 16 bytes | partition u32 | from i64 |
//                        bytes_max u32 | wait in ms u32, at the end of what is readable
//                  reply: version u8 = 1 | log start i64 | high watermark i64 | log end i64 |
//                         next i64 | whole batches
//
// Errors of both: busy (it does not lead, or not yet), not found, out of range, closed.

#include <map>
#include <memory>
#include <string>

#include "broker/cluster/bridge.h"
#include "broker/cluster/replicated_log.h"
#include "net/rpc.h"

namespace walrus::broker {

constexpr net::Method kConfirmMethod{0x410}, kReachMethod{0x411};

struct ReachRequest {
  PartitionId partition{};
  Offset from{};
  std::uint32_t bytes_max = 0, wait_ms = 0;
  bool operator==(const ReachRequest&) const = default;
};
std::string encode_confirm_request(const PartitionId&);
Result<PartitionId> decode_confirm_request(Bytes);  // kCorrupt, kVersion; as all of them
std::string encode_confirm_reply(Offset);
Result<Offset> decode_confirm_reply(Bytes);
std::string encode_reach_request(const ReachRequest&);
Result<ReachRequest> decode_reach_request(Bytes);
std::string encode_reach_reply(const log::Fetched&);
Result<log::Fetched> decode_reach_reply(Bytes);

// Answers other nodes. In the turn of the loop in which the Rpc was started.
void serve_reach(net::Rpc&, std::shared_ptr<Bridge>);

class ReachLog final : public Log, public std::enable_shared_from_this<ReachLog> {
 public:
  // The Rpc outlives what is asked of this.
  ReachLog(std::shared_ptr<Bridge>, net::Rpc&, std::shared_ptr<ReplicatedLog>);

  Result<Appending> append(std::span<const walrus::Record> records,
                           const AppendRules& rules) override {
    return log_->append(records, rules);
  }
  Result<Appending> append_batch(const record::BatchView& batch,
                                 const AppendRules& rules) override {
    return log_->append_batch(batch, rules);
  }
  void when_room(log::Done<void> done) override { log_->when_room(std::move(done)); }
  io::Task<log::Fetched> fetch(Offset from, log::FetchOptions) override;
  io::Task<Offset> find_time(Time time) override { return log_->find_time(time); }
  // Also without a reason: who is called back looks again.
  std::uint64_t when_readable(Offset, log::Done<void>) override;
  void cancel(std::uint64_t id) override;
  io::Task<Offset> confirm() override;  // whoever leads it
  io::Task<void> trim(io::Loop& here, Offset first_kept) override {
    return log_->trim(here, first_kept);
  }
  Result<Bounds> bounds() const override { return log_->bounds(); }
  Result<LogInfo> info() const override { return log_->info(); }
  std::vector<LogSegment> segments() const override { return log_->segments(); }

 private:
  NodeId elsewhere() const;
  bool is_held_here() const;
  io::Task<log::Fetched> reach(NodeId, Offset from, std::int64_t bytes_max, io::Nanos wait);
  static boost::asio::awaitable<void> watch(std::weak_ptr<ReachLog>, std::shared_ptr<Bridge>,
                                            std::uint64_t id, Offset);
  void wake(std::uint64_t id);

  const std::shared_ptr<Bridge> bridge_;  // shared with all that is of the cluster
  net::Rpc& rpc_;
  const std::shared_ptr<ReplicatedLog> log_;
  std::map<std::uint64_t, log::Done<void>> watched_;
  std::uint64_t last_id_ = 0;
};

}  // namespace walrus::broker
