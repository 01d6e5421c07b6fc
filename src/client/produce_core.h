#pragma once
// ProduceCore: what a Producer does, on its loop. Records are collected into batches, one open
// batch a partition; a sealed batch gets its sequence numbers and keeps them for ever. At most
// in_flight_max sealed batches a partition are on the wire, the oldest first.
//
// When the connection ends, for whatever reason, everything unacknowledged goes back to "not sent"
// and is sent again over the next one, in the same order under the same sequences. The server
// remembers the last five batches of a producer in a partition (Kafka's rule), hence the limit.

#include <deque>
#include <memory>
#include <vector>

#include "client/batch_builder.h"
#include "client/channel.h"
#include "walrus/client.h"

namespace walrus::client {

class ProduceCore : public std::enable_shared_from_this<ProduceCore> {
 public:
  ProduceCore(io::Env&, io::Loop&, ProducerOptions);

  // Connects, takes a producer id, learns the partitions. Once, before anything else.
  static io::Task<void> start(std::shared_ptr<ProduceCore>);
  // Copies the records; `done` when there is room for more.
  void add(std::span<const Record>, Done<void> done);
  void flush(Done<Produced> done);
  Produced progress() const { return produced_; }
  void stop();

 private:
  struct Sealed {
    std::string frame;
    std::int32_t records = 0;
    std::int64_t bytes = 0;  // of keys and values
    bool tried = false;
  };
  struct Lane {  // one partition
    std::int32_t partition = 0;
    BatchBuilder open;
    std::uint64_t opened = 0;  // number of the open batch, for its linger timer
    std::int32_t next_sequence = 0;
    std::deque<Sealed> unacknowledged;
    int sent = 0;  // of them, on the present connection
  };

  static io::Task<std::shared_ptr<Channel>> open_channel(std::shared_ptr<ProduceCore>);
  static boost::asio::awaitable<void> keep_connected(std::shared_ptr<ProduceCore>);
  static boost::asio::awaitable<void> linger(std::shared_ptr<ProduceCore>, std::size_t lane,
                                             std::uint64_t opened);
  Result<void> learn_partitions(Bytes description);
  Lane& lane_for(const Record&);
  void seal(Lane&);
  void pump(Lane&);
  void pump_all();
  void answered(Lane&, std::uint64_t connection, Result<std::string> reply);
  void acknowledge(Lane&, Offset first);
  void disconnected(const Error&);
  void give_up(Error);
  void wake();
  bool idle() const;
  io::Nanos backoff(int attempt);

  io::Env& env_;
  io::Loop& loop_;
  ProducerOptions options_;
  std::string topic_;  // without a partition
  ProducerIdentity identity_;
  std::vector<Lane> lanes_;
  std::size_t turn_ = 0;  // the lane of records without a key
  std::shared_ptr<Channel> channel_;
  std::uint64_t connections_ = 0;  // made so far: tells late answers of an earlier one apart
  std::size_t server_ = 0;         // of the addresses: where to begin the next time
  std::int64_t buffered_bytes_ = 0;
  io::Nanos progress_at_{};  // of the last acknowledgement
  Produced produced_;
  std::optional<Error> failed_;
  std::deque<Done<void>> waiting_for_room_;
  std::deque<Done<Produced>> waiting_for_flush_;
};

}  // namespace walrus::client
