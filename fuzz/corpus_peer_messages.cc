// Writes fuzz/corpus/peer_messages: corpus_peer_messages DIRECTORY.

#include <fmt/format.h>

#include "corpus.h"
#include "net/lane_message.h"
#include "net/message.h"

namespace {

using namespace walrus;
using namespace walrus::net;

template <class T>
std::string body(void (*append)(std::string&, const T&), const T& value) {
  std::string bytes;
  append(bytes, value);
  return bytes;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  const PeerLimits limits{1 << 20, 4 << 20, 1 << 20, 512 << 10, 64};
  const Sha256Digest digest{1, 2, 3};
  const std::pair<int, std::string> samples[] = {
      {0, body(append_hello, Hello{{1}, {2}, 3, 4, limits})},
      {1, body(append_welcome, Welcome{{2}, 3, limits})},
      {2, body(append_refusal, Refusal{RefusalReason::kTooMany, "too many\n\xff"})},
      {3, body(append_error, Error{Code::kBusy, "later"})},
      {4, body(append_credit, Credit{WindowKind::kStream, 4096})},
      {5, std::string("\xf4\x01\0\0hello", 9)},
      {6, encode(LaneOffer{1000, "object"})},
      {6, encode(LaneOffer{1000, "../object"})},
      {7, encode(LaneStart{512, digest})},
      {8, encode_from(512)},
      {9, encode_progress(512)},
      {9, encode_done(1000, digest)}};
  int number = 0;
  for (const auto& [which, bytes] : samples) {
    const auto name = fmt::format("{}_{}", which, number++);
    const auto first = static_cast<char>(which);
    corpus.add(name, first + bytes);
    corpus.add(name + "_cut", first + bytes.substr(0, bytes.size() - 1));
    corpus.add(name + "_longer", first + bytes + "x");
    corpus.add(name + "_twice", first + bytes + bytes);
    auto changed = bytes;
    changed[0] = static_cast<char>(0xff);
    corpus.add(name + "_changed", first + changed);
  }
  return 0;
}
