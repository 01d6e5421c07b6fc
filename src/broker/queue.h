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
#include "broker/waiters.h"
#include "io/network.h"
#include "log/engine.h"

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
  static Result<std::shared_ptr<Queue>> open(log::Engine&, io::Loop&, std::shared_ptr<Cursors>,
                                             std::vector<log::StreamRef> partitions);

  // The next records of one partition, or of all in turn. Empty: none for now.
  Result<std::vector<Claim>> take(std::optional<std::size_t> partition, const Limits&);
  void delivered(std::span<const ClaimId>);
  void restore(std::vector<Claim>);

  // Waits until EMPTY is true and durable (true), or a record may be had again (false).
  io::Task<bool> settle(std::optional<std::size_t> partition);
  // Waits for a record; false: the time is over.
  io::Task<bool> wait_available(std::optional<std::size_t> partition, io::Nanos timeout);
  // Makes all positions durable that are not yet. Claims under way stay claimed.
  io::Task<void> flush();
  // Ends all waits with kClosed.
  void stop();

  std::size_t partitions() const { return lanes_.size(); }
  Offset next(std::size_t partition) const { return lanes_[partition].next; }
  Offset durable(std::size_t partition) const { return lanes_[partition].durable; }

 private:
  struct Lane {  // one partition
    log::StreamRef stream;
    Offset next{}, durable{};
    std::set<std::int64_t> claimed;
    std::map<std::int64_t, std::string> restored;
    std::deque<Claim> ahead;  // read and decoded, from `next` on
    Offset read_to{};         // where reading goes on behind `ahead`
    bool watched = false;     // the engine will call back when there is more
    Offset committed() const;
    bool quiet() const { return claimed.empty() && restored.empty(); }
  };

  Queue(log::Engine& engine, io::Loop& loop, std::shared_ptr<Cursors> cursors)
      : engine_(engine), loop_(loop), cursors_(std::move(cursors)) {}
  Result<void> refill(std::size_t partition);
  Result<bool> refill_once(std::size_t partition);
  Result<bool> has_record(std::size_t partition);
  void watch(std::size_t partition);
  void commit_soon();
  static boost::asio::awaitable<void> commit_all(std::shared_ptr<Queue>);
  static io::Task<void> commit_due(std::shared_ptr<Queue>);
  bool commit_is_due() const;
  io::Task<void> changed(io::Nanos timeout);
  std::pair<std::size_t, std::size_t> range(std::optional<std::size_t> partition) const;

  log::Engine& engine_;
  io::Loop& loop_;
  const std::shared_ptr<Cursors> cursors_;  // shared with what is being committed
  std::vector<Lane> lanes_;
  std::size_t turn_ = 0;
  bool committing_ = false, stopped_ = false;
  Result<void> commit_result_{};  // of the last commit
  Waiters waiters_;
};

}  // namespace walrus::broker
