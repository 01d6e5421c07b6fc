#pragma once
// Queue: the shared cursor behind GET. One per topic; lives on one loop, which the broker chooses,
// and is used there only (static members say so when they hop).
//
// What GET promises. A record is claimed by take(), and its claim ends in one of two ways:
// delivered() when the reply was handed to the kernel, restore() when it was not, because the
// connection broke; then the record is again the first to be taken, in order. The durable cursor
// follows the lowest offset that is not delivered, so that a crash repeats what was delivered since
// its last sync, and skips nothing. settle() is what stands before EMPTY: nothing claimed, nothing
// restored, and the durable cursor at the end; a cursor that has not changed costs no I/O.
//
// In a cluster the queue of a topic is on the node that keeps its cursors. Before it gives out or
// denies anything it confirms that it still does, so that two of them never answer in turn; the
// next one goes on at the durable cursor, which is what a crash comes to.
//
// Offsets. next: the first record not yet taken. claimed, restored: below next. Committed position:
// the least of the three. durable: the committed position that is on the disk; never above it.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "broker/cursors.h"
#include "broker/log.h"
#include "broker/waiters.h"
#include "io/network.h"

namespace walrus::broker {

struct Claim {
  std::size_t partition = 0;
  Offset offset{};
  std::string payload{};
};

// Names a claim after its payload has gone.
struct ClaimId {
  std::size_t partition = 0;
  Offset offset{};
};

class Queue : public std::enable_shared_from_this<Queue> {
 public:
  struct Limits {
    std::size_t records_max = 1;
    std::size_t bytes_max = 1 << 20;  // one record always fits
  };

  // Reads the durable positions.
  static Result<std::shared_ptr<Queue>> open(io::Env&, io::Loop&, std::shared_ptr<Cursors>,
                                             std::vector<LogRef> partitions);

  // The next records of one partition, or of all in turn. Empty: none for now.
  io::Task<std::vector<Claim>> take(std::optional<std::size_t> partition, Limits);
  void delivered(std::span<const ClaimId>);
  void restore(std::vector<Claim>);

  // Waits until EMPTY is true and durable (true), or a record may be had again (false). What was
  // acknowledged before the call counts, whoever did it.
  io::Task<bool> settle(std::optional<std::size_t> partition);
  // Waits for a record; false: the time is over.
  io::Task<bool> wait_available(std::optional<std::size_t> partition, io::Nanos timeout);
  // Makes all positions durable that are not yet. Claims under way stay claimed.
  io::Task<void> flush();
  // Ends all waits, and refuses every later call, with `why`.
  void stop(Error why);
  // Whether its positions are.
  bool kept_here() const { return cursors_->get(0, kQueueReader).has_value(); }

  std::size_t partitions() const { return lanes_.size(); }
  Offset next(std::size_t partition) const { return lanes_[partition].next; }
  Offset durable(std::size_t partition) const { return lanes_[partition].durable; }

 private:
  struct Lane {  // one partition
    LogRef log;
    Offset next{}, durable{};
    std::set<std::int64_t> claimed;
    std::map<std::int64_t, std::string> restored;
    std::deque<Claim> ahead;  // read and decoded, from `next` on
    Offset read_to{};         // where reading goes on behind `ahead`
    bool watched = false;     // the log will call back when there is more
    bool reading = false;     // somebody reads on; others wait in `read`
    Waiters read{};
    Offset committed() const;
    bool quiet() const { return claimed.empty() && restored.empty(); }
  };

  Queue(io::Env& env, io::Loop& loop, std::shared_ptr<Cursors> cursors)
      : env_(env), loop_(loop), cursors_(std::move(cursors)) {}
  io::Task<void> refill(std::size_t partition);
  io::Task<bool> refill_once(std::size_t partition);
  io::Task<bool> pass_over(std::size_t partition);
  Result<bool> take_batches(std::size_t partition, const log::Fetched&);
  io::Task<bool> has_record(std::size_t partition);
  io::Task<std::vector<Offset>> confirm(std::optional<std::size_t> partition);
  static Claim claim(Lane&, std::size_t partition);
  void watch(std::size_t partition);
  void commit_soon();
  static boost::asio::awaitable<void> commit_all(std::shared_ptr<Queue>);
  static io::Task<void> commit_due(std::shared_ptr<Queue>);
  bool commit_is_due() const;
  io::Task<void> changed(io::Nanos timeout);
  std::pair<std::size_t, std::size_t> range(std::optional<std::size_t> partition) const;

  io::Env& env_;
  io::Loop& loop_;
  const std::shared_ptr<Cursors> cursors_;  // shared with what is being committed
  std::deque<Lane> lanes_;                  // as many as at first
  std::size_t turn_ = 0;
  bool committing_ = false;
  std::optional<Error> stopped_{};  // why
  Result<void> commit_result_{};    // of the last commit
  Waiters waiters_;
};

}  // namespace walrus::broker
