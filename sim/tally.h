#pragma once
// What the runs of many seeds add up to: the table at the end of a run.

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace walrus::sim {

struct Tally {
  std::int64_t operations = 0, acknowledged = 0, refused = 0, reads = 0, records_read = 0;
  std::int64_t crashes = 0, reopenings = 0;
  std::int64_t restarts = 0;                 // reopenings of a directory that was open before
  std::map<std::string, std::int64_t> hits;  // per fault family
  std::uint64_t trace = 0;                   // folded over the seeds in their order

  std::int64_t hits_of(const std::string& family) const {
    auto found = hits.find(family);
    return found == hits.end() ? 0 : found->second;
  }
  void add(const Tally& other) {
    operations += other.operations;
    acknowledged += other.acknowledged;
    refused += other.refused;
    reads += other.reads;
    records_read += other.records_read;
    crashes += other.crashes;
    reopenings += other.reopenings;
    restarts += other.restarts;
    for (const auto& [family, count] : other.hits) hits[family] += count;
  }
};

}  // namespace walrus::sim
