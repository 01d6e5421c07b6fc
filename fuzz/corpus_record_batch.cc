// Writes fuzz/corpus/record_batch: corpus_record_batch DIRECTORY.

#include <fmt/format.h>

#include <deque>
#include <vector>

#include "base/crc32c.h"
#include "corpus.h"
#include "record/batch.h"

namespace {

using namespace walrus;
using namespace walrus::record;

constexpr Codec kCodecs[] = {Codec::kNone, Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd};
constexpr const char* kNames[] = {"none", "gzip", "snappy", "lz4", "zstd"};
constexpr Time kTime{Millis(1'700'000'000'000)};

struct Sample {
  std::string name;
  std::string batch;
};

Sample sample(std::string name, std::vector<Record> records, BatchFields fields = {}) {
  fields.now = kTime;
  return {std::move(name), encode(records, fields)};
}

std::vector<Sample> samples() {
  static constexpr Header kHeaders[] = {{"h", "1"}, {"null", std::nullopt}, {"", ""}};
  static const std::string kLong(300, 'L');
  std::vector<Sample> made;
  made.push_back(sample("one", {{.value = "hello"}}));
  made.push_back(sample("null", {Record{}}));
  made.push_back(sample("tombstone", {{.key = "k"}}));
  made.push_back(sample("empty", {{.key = "", .value = ""}}));
  made.push_back(sample("headers", {{.key = "k", .value = "v", .headers = kHeaders}}));
  made.push_back(sample("long", {{.key = kLong, .value = kLong}}));
  made.push_back(sample("times", {{.value = "a", .timestamp = kTime},
                                  {.value = "b", .timestamp = kTime - Millis(5)},
                                  {.value = "c", .timestamp = Time(Millis(-1))}}));
  made.push_back(sample("producer", {{.value = "p"}, {.value = "q"}},
                        {.producer_id = 4711, .producer_epoch = 3, .base_sequence = 42}));
  made.push_back(sample("late", {{.value = "z"}}, {.base_offset = (1LL << 62), .epoch = 9}));
  made.push_back(sample("many", std::vector<Record>(20, Record{.value = "r"})));
  return made;
}

template <class T>
Sample with(const Sample& from, const char* what, std::size_t position, T value) {
  auto batch = from.batch;
  store_be(batch.data() + position, value);
  store_be(batch.data() + 17, crc32c(Bytes(batch).substr(kBatchHeadBytes)));
  return {from.name + "_" + what, batch};
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  auto all = samples();
  for (const auto& [name, batch] : all) {
    for (auto codec : kCodecs) {
      auto packed = compress(BatchView(batch), codec);
      corpus.add(name + "_" + kNames[static_cast<int>(codec)], *packed);
    }
  }
  const auto& many = all.back();
  for (int attributes : {5, 8, 16, 32, 48, 64, 128}) {
    auto name = fmt::format("attributes_{}", attributes);
    auto made = with(many, name.c_str(), 21, static_cast<std::int16_t>(attributes));
    corpus.add(made.name, made.batch);
  }
  for (const auto& [name, batch] :
       {with(many, "gap", 23, std::int32_t{30}), with(many, "count_0", 57, std::int32_t{0}),
        with(many, "count_huge", 57, std::int32_t{0x7fffffff}),
        with(many, "delta_negative", 23, std::int32_t{-1}),
        with(many, "max_unset", 35, std::int64_t{-1}),
        with(many, "producer_bad", 43, std::int64_t{5}),
        with(many, "base_negative", 0, std::int64_t{-1}),
        with(many, "record_long", 61, std::uint32_t{0xfeffffff})}) {
    corpus.add(name, batch);
  }
  for (std::size_t size : {0, 12, 60, 61, 70}) {
    corpus.add(fmt::format("cut_{}", size), Bytes(many.batch).substr(0, size));
  }
  corpus.add("trailing", many.batch + "x");
  corpus.add("two", many.batch + many.batch);
  return 0;
}
