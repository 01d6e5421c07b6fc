#pragma once
// walrus/client.h: a client of a Walrus server over its native protocol (docs/native-protocol.md).
//
//   Client    one connection. Requests of several threads share it, pipelined.
//   Producer  many records into one topic: batches them, keeps a few batches in flight, reconnects,
//             and sends again what was not acknowledged under the same sequence numbers, so that a
//             server that is killed and started again neither loses nor doubles a record.
//
// Every call blocks until its answer is known, may be made from any thread, and never throws.
// Records are read from and written to `topic` or `topic/partition`. Without a partition put(),
// get(), append(), append_batch() and poll() take the partitions in turn; the others mean 0.
//
// Errors: what the server refused, with its text as message and the nearest code; kTimeout: no
// answer in time, and nothing is known of the request; kClosed, kIo: the connection is gone. After
// one of the last three every later call on the Client answers kClosed: connect again.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "walrus/log.h"
#include "walrus/tls.h"

namespace walrus {

struct ClientOptions {
  // HOST:PORT; of a cluster also several with commas between them, any node serves as well as any
  // other: they are tried in their order until one lets us in.
  std::string address = "127.0.0.1:9091";
  Millis timeout{10'000};                   // for connecting to each, and for every answer
  std::int64_t reply_bytes_max = 96 << 20;  // a longer reply ends the connection
  std::optional<TlsFiles> tls{};            // none: plain text. The files are read at each connect
  // Who to log in as; empty: nobody. Mechanism: SCRAM-SHA-256, SCRAM-SHA-512 or PLAIN (over TLS
  // only); empty: the best that the server offers. The password itself is sent by PLAIN alone.
  std::string user{}, password{}, mechanism{};
};

enum class Compression { kNone, kGzip, kSnappy, kLz4, kZstd };

struct FetchLimits {
  std::int64_t bytes_max = 1 << 20;
  Millis wait{0};  // at the end, so long for more
};

// What a read returned. The views live as long as this object.
class Received {
 public:
  Received(Received&&) noexcept;
  Received& operator=(Received&&) noexcept;
  ~Received();
  const StoredRecord* begin() const;
  const StoredRecord* end() const;
  bool empty() const { return begin() == end(); }
  std::size_t size() const { return static_cast<std::size_t>(end() - begin()); }
  Offset next() const;  // where to go on reading

  struct Impl;
  explicit Received(std::unique_ptr<Impl>);

 private:
  std::unique_ptr<Impl> impl_;
};

struct ProducerIdentity {
  std::int64_t id = -1;
  std::int16_t epoch = -1;
};

// name=value; no value puts the setting back to the server's default.
struct TopicSetting {
  std::string name{};
  std::optional<std::string> value{};
};

class Client {  // move only; the destructor closes the connection
 public:
  static Result<Client> connect(const ClientOptions& = {});
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  Result<void> register_topic(Bytes topic);                              // an existing one is fine
  Result<void> create(Bytes topic, std::span<const TopicSetting> = {});  // kExists
  Result<void> remove(Bytes topic);
  Result<std::string> list(Bytes prefix = {});                                     // JSON
  Result<std::string> describe(Bytes topic);                                       // JSON
  Result<std::string> configure(Bytes topic, std::span<const TopicSetting> = {});  // JSON
  Result<std::string> state(Bytes topic);                                          // JSON
  Result<std::string> metrics();                                                   // JSON

  Result<void> put(Bytes topic, Bytes payload);
  Result<std::optional<std::string>> get(Bytes topic, Millis wait = Millis(0));  // none: EMPTY
  Result<Offset> append(Bytes topic, Bytes payload);
  Result<Offset> append_at(Bytes topic, Offset expected_next, Bytes payload);  // kMismatch
  // One atomic batch with keys and headers; answers its first offset. Under a producer id a
  // repeated batch is not stored again.
  Result<Offset> append_batch(Bytes topic, std::span<const Record>, const ProducerSequence& = {});
  Result<ProducerIdentity> new_producer();

  Result<Received> read(Bytes topic, Offset from, const FetchLimits& = {});
  Result<Offset> find(Bytes topic, Time);  // the first record not older
  // A durable cursor of the server, made on first use. Keys and headers are not sent.
  Result<Received> poll(Bytes topic, Bytes consumer, const FetchLimits& = {});
  Result<void> commit(Bytes topic, Bytes consumer, Offset next);

  // One request as it goes over the wire; its reply, whatever it says (`ERR ...` too). `wait` is
  // added to the time allowed: for requests that wait at the server.
  Result<std::string> request(Bytes body, Millis wait = Millis(0));
  // The same, without waiting: up to any number in flight. `Done` runs on the client's thread.
  using Done = std::move_only_function<void(Result<std::string>)>;
  void request_async(Bytes body, Done);

  struct Impl;
  explicit Client(std::unique_ptr<Impl>);

 private:
  std::unique_ptr<Impl> impl_;
};

struct ProducerOptions {
  ClientOptions server{};
  std::string topic{};  // `topic`: all its partitions; `topic/2`: that one
  std::int64_t batch_records_max = 1'000, batch_bytes_max = 256 << 10;
  Millis linger{5};       // a batch that is not full waits so long for more records
  Millis retry{60'000};   // without an acknowledgement, so long until the producer gives up
  int in_flight_max = 5;  // batches a partition, 1 to 5: what the server tells repeats apart by
  std::int64_t buffer_bytes_max = 16 << 20;  // unacknowledged; send() waits above it
  Compression compression = Compression::kNone;
  // A connection was lost with so many batches unacknowledged. Of several addresses the next one's
  // turn has come. Runs on the producer's thread.
  std::function<void(const Error&, std::int64_t unacknowledged_batches)> on_disconnect{};
  // A batch was acknowledged: those of a partition in the order in which they were made. Runs on
  // the producer's thread, and makes it wait.
  std::function<void(std::int32_t partition, Offset first, std::int64_t records)> on_acknowledged{};
};

struct Produced {                       // so far, acknowledged
  std::int64_t records = 0, bytes = 0;  // bytes of keys and values
  std::optional<Offset> first, last;    // the lowest and the highest, over all partitions
  std::int64_t retries = 0;             // batches that were sent again
};

// Records with a key go to the partition that Kafka's default partitioner names, others to the
// partitions in turn, a batch each.
class Producer {  // move only; the destructor drops what is not acknowledged
 public:
  static Result<Producer> connect(const ProducerOptions&);  // one attempt; kNotFound: no such topic
  Producer(Producer&&) noexcept;
  Producer& operator=(Producer&&) noexcept;
  ~Producer();
  // Copies. Waits for room. An error is final: what was not acknowledged until then is unknown.
  Result<void> send(std::span<const Record>);
  Result<Produced> flush();  // all that was sent is acknowledged
  Produced progress() const;

  struct Impl;
  explicit Producer(std::unique_ptr<Impl>);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace walrus
