#pragma once
// A client that writes to the partitions of a topic in turn, by a fixed schedule, and writes down
// every acknowledgement: what an outage, or a slow moment, is read from afterwards. By librdkafka,
// idempotent, or by Walrus's own client.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace walrus::bench {

struct WatchOptions {
  std::string client = "kafka";  // or native
  std::string address;           // HOST:PORT[,HOST:PORT]...
  std::string topic;
  int partitions = 1;
  std::size_t record_bytes = 100;
  double rate = 1000;  // records per second, of all partitions
  // Until a server that is silent is given up; 0: the client's default.
  int silence_ms = 0;
  std::string log;                                            // the file of acknowledgements
  std::vector<std::pair<std::string, std::string>> settings;  // of librdkafka
};

// One acknowledgement as it stands in the log, in the machine's byte order.
struct Acknowledgement {
  std::int64_t due;        // nanoseconds of CLOCK_MONOTONIC
  std::int64_t at;         // likewise
  std::int64_t offset;     // -1: an error
  std::int32_t partition;  // -1: it is not known which
  std::int32_t error;      // 0: it is stored
};
static_assert(sizeof(Acknowledgement) == 32);

// Prints `ready` when every partition has acknowledged. A line on standard input: all that was
// acknowledged before is in the log, and `flushed` is printed. Its end: nothing more is sent, what
// is outstanding is waited for, and one line of JSON says how many there were. Exits with 1 when
// the client cannot go on.
void watch(const WatchOptions&);

}  // namespace walrus::bench
