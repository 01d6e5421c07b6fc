#pragma once
// Asynchronous appends of 740 bytes from one thread, round robin over streams.

#include <vector>

#include "base/histogram.h"
#include "walrus/log.h"

namespace walrus::bench {

struct AsyncResult {
  double rate = 0;  // answers a second
  Histogram latency;
};
// Closed loop: so many unanswered appends at any time. Latency from the call to the answer.
AsyncResult append_async(std::vector<Stream>& streams, int in_flight, double seconds);
// Open loop: an append is due every 1/rate, and its latency counts from when it was due.
AsyncResult append_paced(std::vector<Stream>& streams, double rate, double seconds);

}  // namespace walrus::bench
