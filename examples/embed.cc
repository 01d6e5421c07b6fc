// embed.cc: a log in a directory: append, a batch with a condition, read back.
//   embed DIRECTORY
#include <walrus/log.h>

#include <iostream>

namespace {

int failed(const walrus::Error& error) {
  std::cerr << "embed: " << error.message << "\n";
  return 1;
}

walrus::Result<walrus::Stream> open_or_create(walrus::Log& log, walrus::Bytes name) {
  auto stream = log.stream(name);
  if (!stream && stream.error().code == walrus::Code::kNotFound) return log.create(name);
  return stream;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "usage: embed DIRECTORY\n";
    return 2;
  }
  auto log = walrus::Log::open({.root = arguments[1]});
  if (!log) return failed(log.error());
  auto orders = open_or_create(*log, "orders");
  if (!orders) return failed(orders.error());

  // Returns when the record is on the disk: that is the default durability.
  auto at = orders->append({.key = "order-1", .value = "two herrings"});
  if (!at) return failed(at.error());

  // A batch is all or nothing, and only appended if nothing came in between.
  walrus::Record batch[] = {{.key = "order-2", .value = "one cod"}, {.key = "order-1"}};
  auto first = orders->append(batch, {.expected_next = walrus::Offset{at->value + 1}});
  if (!first) return failed(first.error());

  auto records = orders->read(*at);
  if (!records) return failed(records.error());
  for (const auto& record : *records) {
    std::cout << record.offset.value << " " << record.key.value_or("-") << " "
              << record.value.value_or("(deleted)") << "\n";
  }
  if (auto closed = log->close(); !closed) return failed(closed.error());
}
