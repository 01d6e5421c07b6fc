#pragma once
// Cursors: the durable positions of those who read one topic: the queue behind GET, and named
// consumers. A position is of one reader in one partition: the first offset that is not done with.
//
// Used on the loop that it was opened for; callbacks come from any thread.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/network.h"
#include "log/engine.h"

namespace walrus::broker {

constexpr Bytes kQueueReader = "__get";  // no consumer may be called so

// A position as it is stored: little endian i64.
std::string encode_position(Offset);
Result<Offset> decode_position(Bytes);

class Cursors {
 public:
  virtual ~Cursors() = default;

  // None: this reader has no position there. kCorrupt; kFenced: they are kept elsewhere.
  virtual Result<std::optional<Offset>> get(std::size_t partition, Bytes reader) const = 0;
  // Seen by get() at once; `done` when it is durable. kBusy: no room for now, see when_room().
  virtual Result<void> put(std::size_t partition, Bytes reader, Offset, log::Done<void> done) = 0;
  virtual void when_room(std::size_t partition, log::Done<void>) = 0;
  // Returns when it is certain that at the time of the call they were kept here and nowhere else.
  virtual io::Task<void> confirm() = 0;
};

// put(), and the wait for the disk.
io::Task<void> put_durably(io::Loop&, std::shared_ptr<Cursors>, std::size_t partition,
                           std::string reader, Offset);

// Positions in the state tables of the partitions' own streams: they go with the partition. Any
// loop may use it.
class TableCursors final : public Cursors {
 public:
  TableCursors(log::Engine&, std::vector<log::StreamRef> partitions);

  Result<std::optional<Offset>> get(std::size_t partition, Bytes reader) const override;
  Result<void> put(std::size_t partition, Bytes reader, Offset, log::Done<void> done) override;
  void when_room(std::size_t partition, log::Done<void>) override;
  io::Task<void> confirm() override;

 private:
  log::Engine& engine_;
  const std::vector<log::StreamRef> partitions_;
};

}  // namespace walrus::broker
