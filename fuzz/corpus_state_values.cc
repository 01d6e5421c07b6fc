// Writes fuzz/corpus/state_values: corpus_state_values DIRECTORY.

#include "broker/cursors.h"
#include "corpus.h"
#include "log/catalog.h"
#include "log/directory.h"
#include "log/producers.h"

namespace {

using namespace walrus;

constexpr char kIdentity = 0, kCatalog = 1, kQueue = 2, kProducers = 3;

class Inputs {
 public:
  explicit Inputs(const char* directory) : corpus_(directory) {}
  void add(const std::string& name, char decoder, const std::string& bytes) {
    corpus_.add(name, decoder + bytes);
  }
  // As it is, cut in the middle, with bytes behind it.
  void add_three(const std::string& name, char decoder, const std::string& bytes) {
    add(name, decoder, bytes);
    add(name + "_cut", decoder, bytes.substr(0, bytes.size() / 2));
    add(name + "_long", decoder, bytes + "xyz");
  }

 private:
  fuzz::Corpus corpus_;
};

void identities(Inputs& inputs) {
  const std::string uuid(16, 'u');
  inputs.add_three("identity_1", kIdentity, log::encode_identity({.uuid = uuid}));
  inputs.add_three("identity_4", kIdentity,
                   log::encode_identity({.uuid = uuid, .layout = 7, .shards = 4}));
  inputs.add("identity_0_shards", kIdentity, log::encode_identity({.uuid = uuid, .shards = 0}));
  inputs.add("identity_negative", kIdentity, log::encode_identity({.uuid = uuid, .shards = -1}));
  auto newer = log::encode_identity({.uuid = uuid});
  newer[8] = 9;
  inputs.add("identity_newer", kIdentity, newer);
  auto foreign = log::encode_identity({.uuid = uuid});
  foreign[0] = 'X';
  inputs.add("identity_foreign", kIdentity, foreign);
}

void catalog_entries(Inputs& inputs) {
  log::CatalogEntry entry{.id = 1};
  inputs.add_three("catalog_default", kCatalog, log::encode_catalog_entry(entry));
  entry = {.id = 1ULL << 63};
  entry.options.durability = {Durability::kInterval, Millis(200)};
  entry.options.segment_time_max = Millis(1);
  entry.options.retention_bytes = 1 << 30;
  entry.options.retention_time = Millis(86'400'000);
  entry.options.compact = true;
  inputs.add_three("catalog_full", kCatalog, log::encode_catalog_entry(entry));
  entry = {.id = 3};
  entry.options.durability = {Durability::kOs};
  entry.options.segment_records_max = INT64_MAX;
  entry.options.segment_bytes_max = INT64_MIN;
  entry.options.tombstone_retention = Millis(-1);
  inputs.add_three("catalog_extremes", kCatalog, log::encode_catalog_entry(entry));
  inputs.add("catalog_no_id", kCatalog, log::encode_catalog_entry({}));
  auto bad = log::encode_catalog_entry({.id = 5});
  entry = {.id = 7, .attributes = "attributes"};
  inputs.add_three("catalog_attributes", kCatalog, log::encode_catalog_entry(entry));
  entry.options.compaction_lag_min = Millis(5);
  inputs.add("catalog_lag_min", kCatalog, log::encode_catalog_entry(entry));
  entry.options.compaction_lag_max = Millis(INT64_MAX);
  inputs.add_three("catalog_lags", kCatalog, log::encode_catalog_entry(entry));
  for (char version : {0, 2, 3, 127}) {
    bad[0] = version;
    inputs.add("catalog_version_" + std::to_string(version), kCatalog, bad);
  }
  bad[0] = 1;
  bad[2] = 9;
  inputs.add("catalog_durability_9", kCatalog, bad);
  inputs.add("catalog_endless_number", kCatalog, "\1" + std::string(30, '\xff'));
}

void queue_positions(Inputs& inputs) {
  for (std::int64_t offset : {std::int64_t{0}, std::int64_t{1}, std::int64_t{300}, INT64_MAX,
                              std::int64_t{-1}, INT64_MIN}) {
    inputs.add("queue_" + std::to_string(offset), kQueue, broker::encode_position(Offset{offset}));
  }
  inputs.add("queue_cut", kQueue, "1234567");
  inputs.add("queue_long", kQueue, "123456789");
}

void producer_tables(Inputs& inputs) {
  for (int producers : {0, 1, 3, 20}) {
    for (int batches : {1, 5, 9}) {
      log::ProducerTable table;
      for (int id = 0; id < producers; ++id) {
        for (int i = 0; i < batches; ++i) {
          table.add(id * 1'000'000'007LL, static_cast<std::int16_t>(id), i * 10, 10, i * 100 + id,
                    1'700'000'000'000 + i);
        }
      }
      std::string bytes;
      table.encode(bytes);
      inputs.add_three("producers_" + std::to_string(producers) + "_" + std::to_string(batches),
                       kProducers, bytes);
    }
  }
  inputs.add("producers_many_claimed", kProducers, "\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  Inputs inputs(arguments[1]);
  identities(inputs);
  catalog_entries(inputs);
  queue_positions(inputs);
  producer_tables(inputs);
  return 0;
}
