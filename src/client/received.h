#pragma once
// What Received holds: the reply's bytes and views into them.

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "record/batch.h"
#include "walrus/client.h"

namespace walrus {

struct Received::Impl {
  std::string body;                              // of the reply; on the heap, never moved again
  std::deque<record::RecordIterator> iterators;  // own what was decompressed
  std::deque<std::vector<Header>> headers;
  std::vector<StoredRecord> records;
  Offset next{};
};

namespace client {

// The body of a READBATCH reply; records below `from` are left out.
Result<Received> receive_batches(std::string body, Offset from);
// The body of a READ or POLL reply.
Result<Received> receive_records(std::string body);

}  // namespace client
}  // namespace walrus
