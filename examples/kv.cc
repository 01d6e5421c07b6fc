// A replicated key-value store: put KEY VALUE, cas KEY OLD NEW, add KEY NUMBER,
// del KEY; ?get KEY, ?size.
//
//   kv serve 1 data 1=127.0.0.1:9101 2=127.0.0.1:9102 3=127.0.0.1:9103    (and 2, and 3)
//   echo "put fish herring" | kv client 127.0.0.1:9101 127.0.0.1:9102
//   echo "?get fish" | kv client 127.0.0.1:9103

#include <map>
#include <sstream>

#include "service_main.h"

namespace {

using Values = std::map<std::string, std::string>;

// Lengths and bytes, so that keys and values may hold anything.
class Saved final : public walrus::Snapshot {
 public:
  explicit Saved(Values values) : values_(std::move(values)) {}
  walrus::Result<void> write(walrus::SnapshotWriter& to) const override {
    for (const auto& [key, value] : values_) {
      auto text = std::to_string(key.size()) + " " + std::to_string(value.size()) + " ";
      auto written = to.write(text + key + value);
      if (!written) return written;
    }
    return {};
  }

 private:
  const Values values_;
};

class Store final : public walrus::StateMachine {
 public:
  std::string apply(walrus::Bytes command, const walrus::ApplyContext&) override {
    std::istringstream words{std::string(command)};
    std::string verb, key, value;
    words >> verb >> key;
    std::getline(words >> std::ws, value);
    if (key.empty()) return "usage: put KEY VALUE | cas KEY OLD NEW | add KEY NUMBER | del KEY";
    if (verb == "put") return values_[key] = value, "ok";
    if (verb == "del") return values_.erase(key) > 0 ? "ok" : "not found";
    if (verb == "cas") {
      const auto space = value.find(' ');
      const auto found = values_.find(key);
      if (found == values_.end()) return "not found";
      if (space == value.npos || found->second != value.substr(0, space)) return "another value";
      return found->second = value.substr(space + 1), "ok";
    }
    if (verb == "add") {
      auto& sum = values_[key];
      return sum = std::to_string(std::strtoll(sum.c_str(), nullptr, 10) +
                                  std::strtoll(value.c_str(), nullptr, 10));
    }
    return "unknown command " + verb;  // a refusal is a reply
  }

  std::string query(walrus::Bytes question) const override {
    if (question == "size") return std::to_string(values_.size());
    if (!question.starts_with("get ")) return "unknown question";
    const auto found = values_.find(std::string(question.substr(4)));
    return found == values_.end() ? "not found" : found->second;
  }

  std::unique_ptr<walrus::Snapshot> snapshot() const override {
    return std::make_unique<Saved>(values_);
  }

  walrus::Result<void> restore(walrus::SnapshotReader& from) override {
    std::string bytes;
    char piece[64 << 10];
    while (true) {
      auto size = from.read(piece);
      if (!size) return std::unexpected(size.error());
      if (*size == 0) break;
      bytes.append(piece, *size);
    }
    values_.clear();
    std::istringstream all(bytes);
    for (std::size_t key_size, value_size; all >> key_size >> value_size;) {
      std::string key(key_size, '\0'), value(value_size, '\0');
      all.ignore(1);
      all.read(key.data(), static_cast<std::streamsize>(key_size));
      all.read(value.data(), static_cast<std::streamsize>(value_size));
      values_[key] = value;
    }
    return {};
  }

 private:
  Values values_;
};

}  // namespace

int main(int count, char** arguments) {
  return example::run("kv", std::vector<std::string>(arguments + 1, arguments + count),
                      std::make_unique<Store>());
}
