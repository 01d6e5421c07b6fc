// A counter whose code is wrong where it is told to be, for tests of what that does to its group
// and to others: add; throw NODE, that node's apply throws; cut NODE, that node's snapshots lack
// their end; ?count. Run as the examples are.

#include <algorithm>
#include <stdexcept>

#include "../../examples/service_main.h"

namespace {

constexpr char kEnd = '.';

class Counted final : public walrus::Snapshot {
 public:
  Counted(long long sum, bool cut) : text_(std::to_string(sum)) {
    if (!cut) text_ += kEnd;
  }
  walrus::Result<void> write(walrus::SnapshotWriter& to) const override { return to.write(text_); }

 private:
  std::string text_;
};

class Faulty final : public walrus::StateMachine {
 public:
  explicit Faulty(walrus::NodeId self) : self_(self) {}

  std::string apply(walrus::Bytes command, const walrus::ApplyContext&) override {
    if (command == "add") return std::to_string(++sum_);
    const bool here = command.ends_with(" " + std::to_string(self_.value));
    if (command.starts_with("throw ") && here) throw std::runtime_error("as it was told to");
    if (command.starts_with("cut ") && here) cut_ = true;
    return "ok";
  }
  std::string query(walrus::Bytes) const override { return std::to_string(sum_); }
  std::unique_ptr<walrus::Snapshot> snapshot() const override {
    return std::make_unique<Counted>(sum_, cut_);
  }
  walrus::Result<void> restore(walrus::SnapshotReader& from) override {
    char text[32] = {};
    std::size_t size = 0;
    while (size < sizeof text) {
      auto got = from.read(std::span(text).subspan(size));
      if (!got) return std::unexpected(got.error());
      if (*got == 0) break;
      size += *got;
    }
    if (size == 0 || text[size - 1] != kEnd)
      return std::unexpected(walrus::Error{walrus::Code::kCorrupt, "the count has no end"});
    sum_ = std::strtoll(text, nullptr, 10);
    return {};
  }

 private:
  const walrus::NodeId self_;
  long long sum_ = 0;
  bool cut_ = false;
};

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> words(arguments + 1, arguments + count);
  const auto verb = std::ranges::find_if(
      words, [](const std::string& word) { return word == "serve" || word == "join"; });
  const auto self = verb < words.end() - 1 ? example::id_of(verb[1]) : walrus::NodeId{};
  return example::run("faulty", words, std::make_unique<Faulty>(self));
}
