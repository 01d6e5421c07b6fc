// tail.cc: one thread appends, another one follows the end of the stream as records arrive.
//   tail DIRECTORY
#include <walrus/log.h>

#include <iostream>
#include <string>
#include <thread>

namespace {

constexpr int kRecords = 1'000;

int failed(const walrus::Error& error) {
  std::cerr << "tail: " << error.message << "\n";
  return 1;
}

// Handles are cheap to copy and may be used from any thread.
walrus::Result<void> produce(walrus::Stream lines) {
  for (int i = 0; i < kRecords; ++i) {
    std::string line = "line " + std::to_string(i);
    if (auto at = lines.append({.value = line}); !at) return std::unexpected(at.error());
  }
  return {};
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "usage: tail DIRECTORY\n";
    return 2;
  }
  auto log = walrus::Log::open({.root = arguments[1]});
  if (!log) return failed(log.error());
  // Here an append waits for the page cache only; the disk follows within 200 ms.
  auto lines =
      log->create("lines", {.durability = {walrus::Durability::kInterval, walrus::Millis(200)}});
  if (!lines) return failed(lines.error());

  walrus::Result<void> produced;
  std::thread producer([&, stream = *lines] { produced = produce(stream); });
  walrus::Offset next{0};
  std::string last;
  while (next.value < kRecords && produced) {
    // At the end of the stream this waits up to a second for more.
    auto records = lines->read(next, {.wait = std::chrono::seconds(1)});
    if (!records) {
      producer.join();
      return failed(records.error());
    }
    for (const auto& record : *records) last = *record.value;  // views die with `records`
    next = records->next();
  }
  producer.join();
  if (!produced) return failed(produced.error());
  std::cout << next.value << " records, the last one: " << last << "\n";
}
