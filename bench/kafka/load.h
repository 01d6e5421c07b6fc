#pragma once
// A Kafka client that loads a broker and measures it, on librdkafka with its defaults. One thread
// gives and takes records; with producers a second one collects acknowledgements.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/histogram.h"

namespace walrus::bench {

struct LoadOptions {
  std::string address;  // HOST:PORT
  std::string topic;
  int partitions = 1;
  std::size_t record_bytes = 1024;
  double warm_seconds = 0;  // the same load, not counted
  double seconds = 60;
  double rate = 0;           // records per second by a fixed schedule; 0 = as fast as it goes
  std::int64_t records = 0;  // end after so many instead of `seconds`; 0 = by time
  bool round_robin = false;  // partitions in turn, instead of librdkafka's choice
  std::vector<std::pair<std::string, std::string>> settings;  // of librdkafka
};

struct LoadResult {
  std::int64_t records = 0, bytes = 0;  // acknowledged, or received, in the time counted
  std::int64_t errors = 0;              // refused or lost: a run with any measures nothing
  double seconds = 0;
  Histogram latency;  // nanoseconds, from when the record was due, or given, to its acknowledgement
};

LoadResult produce(const LoadOptions&);
// Linger 0, the next record only after the acknowledgement of the last.
LoadResult produce_one_by_one(const LoadOptions&);
// Reads the topic from its start to its end, again and again.
LoadResult consume(const LoadOptions&);

}  // namespace walrus::bench
