// What users write on a command line or pipe into `produce`. The first byte chooses the parser.

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "broker/topic_config.h"
#include "cli/escape.h"
#include "cli/record_format.h"
#include "cli/record_splitter.h"
#include "cli/time_text.h"
#include "client/target.h"
#include "io/address.h"

namespace {

using namespace walrus;

void address(Bytes text) {
  auto parsed = io::parse_address(text);
  if (!parsed) return;
  auto again = io::parse_address(io::to_string(*parsed));
  CHECK(again && *again == *parsed);
}

void target(Bytes text) {
  auto parsed = client::parse_target(text);
  if (parsed) CHECK(text.starts_with(parsed->topic) && parsed->partition.value_or(0) >= 0);
}

void durability(Bytes text) {
  auto parsed = broker::parse_durability(text);
  if (!parsed) return;
  auto again = broker::parse_durability(broker::durability_name(*parsed));
  CHECK(again && again->kind == parsed->kind && again->interval == parsed->interval);
}

// NAME=VALUE; what is listed afterwards can be set again.
void setting(Bytes text) {
  auto equals = text.find('=');
  if (equals == Bytes::npos) return;
  broker::TopicConfig options, again;
  if (!broker::set_config(options, text.substr(0, equals), text.substr(equals + 1))) return;
  auto listed = broker::list_config(options);
  for (const auto& [name, value] : listed) CHECK(broker::set_config(again, name, value));
  CHECK(broker::list_config(again) == listed);
}

void time(Bytes text) {
  auto parsed = cli::parse_time(text);
  if (!parsed) return;
  // The years that four digits can say, and a day of offset.
  auto day = std::chrono::floor<std::chrono::days>(*parsed);
  auto year = static_cast<int>(std::chrono::year_month_day(day).year());
  CHECK(year >= -1 && year <= 10'000);
}

void record_format(Bytes text) {
  auto format = cli::RecordFormat::parse(text);
  if (!format) return;
  const Header headers[] = {{"h", "1"}, {"none", std::nullopt}};
  StoredRecord record;
  record.key = "key";
  record.headers = headers;
  std::string line;
  format->append(line, "topic", 1, record);
}

using Splitter = cli::RecordSplitter;

// The records of an input that comes in pieces; none: refused.
std::optional<std::vector<std::string>> split(Splitter splitter, Bytes input, std::size_t piece) {
  std::vector<std::string> records;
  std::vector<Bytes> whole;
  auto take = [&] {
    for (auto record : whole) records.emplace_back(record);
    whole.clear();
  };
  for (; !input.empty(); input.remove_prefix(std::min(piece, input.size()))) {
    if (!splitter.feed(input.substr(0, piece), whole)) return std::nullopt;
    take();
  }
  if (!splitter.finish(whole)) return std::nullopt;
  take();
  return records;
}

void records(Bytes input, bool prefixed) {
  if (input.size() < 2) return;
  auto piece = std::max<std::size_t>(static_cast<unsigned char>(input[0]), 1);
  // A delimiter of one to four bytes, the input's own.
  auto size = std::min<std::size_t>(1 + static_cast<unsigned char>(input[1]) % 4, input.size() - 1);
  std::string delimiter(input.substr(1, size));
  input.remove_prefix(2);
  auto splitter = prefixed ? Splitter::length_prefixed() : Splitter::delimited(delimiter);
  auto whole = split(splitter, input, input.size() + 1);
  CHECK(split(splitter, input, piece) == whole);
  if (!whole) return;
  std::size_t bytes = 0;
  for (const auto& record : *whole) bytes += record.size();
  CHECK(bytes <= input.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Bytes text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 9) {
    case 0: address(text); break;
    case 1: target(text); break;
    case 2: durability(text); break;
    case 3: setting(text); break;
    case 4: time(text); break;
    case 5: record_format(text); break;
    case 6: (void)cli::unescape(text); break;
    case 7: records(text, false); break;
    default: records(text, true);
  }
  return 0;
}
