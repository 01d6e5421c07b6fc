// Snapshots of metadata: the input is one without its last record, which is made here, so that the
// checksum does not hide everything else. What can be restored breaks no rule, and is restored to
// the same again; the size of the pieces does not matter.

#include <cstdint>

#include "base/check.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "meta/invariants.h"
#include "meta/snapshot.h"

using namespace walrus;
using namespace walrus::meta;

namespace {

Result<State> restore(Bytes bytes, std::size_t piece) {
  SnapshotLoader loader;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size())))
    WALRUS_TRY(loader.feed(bytes.substr(0, piece)));
  return loader.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1), crc;
  append_le(crc, crc32c(bytes));
  bytes += '\x09';
  append_string(bytes, crc);
  auto restored = restore(bytes, 1 + data[0]);
  CHECK(restored.has_value() == restore(bytes, bytes.size()).has_value());
  if (!restored) return 0;
  CHECK(broken_rule(*restored).empty());
  std::string again;
  SnapshotStream stream(*restored);
  while (stream.next(again, 100)) {
  }
  auto same = restore(again, 1000);
  CHECK(same.has_value() && fingerprint(*same) == fingerprint(*restored));
  return 0;
}
