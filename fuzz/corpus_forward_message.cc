// Writes fuzz/corpus/forward_message: corpus_forward_message DIRECTORY.

#include <fmt/format.h>

#include "corpus.h"
#include "wire/peer/forward_message.h"

using namespace walrus;
using namespace walrus::wire::peer;

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  const std::string full(kForwardTextBytesMax, 'u');
  int number = 0;
  for (const auto& user :
       {std::string(), std::string("alice"), std::string("CN=alice,O=example"), full, full + 'u'})
    for (const auto& client :
         {std::string(), std::string("10.0.0.7:4711"), std::string("[::1]:4711"), full}) {
      std::string bytes;
      append_forward_open(bytes, {.user = user, .client = client});
      corpus.add(fmt::format("{:02}", number), bytes);
      corpus.add(fmt::format("{:02}_cut", number), bytes.substr(0, bytes.size() - 1));
      corpus.add(fmt::format("{:02}_long", number++), bytes + '\0');
    }
  HandedAppends handed{.wait_ms = 1'000, .appends = {{2, "a batch"}, {1, ""}, {0, full}}};
  std::string bytes;
  append_handed(bytes, handed);
  corpus.add("appends", bytes);
  corpus.add("appends_cut", bytes.substr(0, bytes.size() - 1));
  bytes.clear();
  append_handed_replies(bytes, {{0, 1'000'000}, {9, 0}});
  corpus.add("replies", bytes);
  corpus.add("replies_cut", bytes.substr(0, bytes.size() - 1));
  corpus.add("later", Bytes("\x02\x00\x00", 3));
  return 0;
}
