// Writes fuzz/corpus/kafka_<key> of every API: corpus_kafka DIRECTORY GOLDEN_FILE, where the golden
// file is tests/golden/kafka/kafka_python_codec.hex. Bodies of every version, whole, cut and with a
// byte changed.

#include <fmt/format.h>

#include <map>
#include <sstream>
#include <vector>

#include "corpus.h"

using namespace walrus;

namespace {

constexpr std::size_t kInputsMin = 56;

struct Body {
  int version = 0;
  bool response = false;
  std::string bytes;
};

std::map<int, std::vector<Body>> read_bodies(const char* path) {
  std::map<int, std::vector<Body>> all;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream words(line);
    int key = 0;
    Body body;
    std::string direction, digits;
    words >> key >> body.version >> direction >> digits;
    body.response = direction == "response";
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
      body.bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    all[key].push_back(std::move(body));
  }
  return all;
}

std::string input(int key, const Body& body, Bytes bytes) {
  std::string text;
  text += static_cast<char>(key);
  text += static_cast<char>(body.version | (body.response ? 0x80 : 0));
  text += bytes;
  return text;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  for (const auto& [key, bodies] : read_bodies(arguments[2])) {
    fuzz::Corpus corpus(fmt::format("{}/kafka_{}", arguments[1], key));
    std::size_t inputs = 0;
    auto name = [&](const Body& body, Bytes what) {
      return fmt::format("{:03}_{}_{}_{}", inputs++, body.response ? "response" : "request",
                         body.version, what);
    };
    for (const auto& body : bodies) corpus.add(name(body, "whole"), input(key, body, body.bytes));
    for (std::size_t round = 1; inputs < kInputsMin; ++round) {
      for (const auto& body : bodies) {
        if (inputs >= kInputsMin) break;
        auto place = round * 7919 % (body.bytes.size() + 1);
        if (round % 2 == 0) {
          corpus.add(name(body, "cut"), input(key, body, Bytes(body.bytes).substr(0, place)));
        } else {
          auto changed = body.bytes + '\x7f';
          changed[place] = static_cast<char>(round % 4 == 1 ? 0xff : round);
          corpus.add(name(body, "changed"), input(key, body, changed));
        }
      }
    }
  }
  return 0;
}
