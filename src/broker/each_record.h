#pragma once
// for_each_record: what a journal of the broker has in whole batches, in order; control batches are
// none of its records.

#include "record/batch.h"

namespace walrus::broker {

// kCorrupt, or the error of `take`, which ends it.
template <class Take>
Result<void> for_each_record(Bytes batches, Take&& take) {
  while (!batches.empty()) {
    WALRUS_ASSIGN(auto batch, record::BatchView::parse(batches));
    batches.remove_prefix(batch.bytes().size());
    if (batch.control()) continue;
    WALRUS_ASSIGN(auto records, record::RecordIterator::open(batch));
    while (true) {
      WALRUS_ASSIGN(auto record, records.next());
      if (!record) break;
      WALRUS_TRY(take(*record));
    }
  }
  return {};
}

}  // namespace walrus::broker
