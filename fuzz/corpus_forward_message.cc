// Writes fuzz/corpus/forward_message: corpus_forward_message DIRECTORY.

#include <fmt/format.h>

#include "corpus.h"
#include "wire/peer/forward_message.h"

using namespace walrus;
using namespace walrus::wire::peer;

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  int number = 0;
  for (const auto& open :
       {ForwardOpen{}, ForwardOpen{.user = "alice"}, ForwardOpen{.client = "10.0.0.7:4711"},
        ForwardOpen{.user = "CN=alice,O=example", .client = "[::1]:4711"},
        ForwardOpen{.user = std::string(kForwardTextBytesMax, 'u')},
        ForwardOpen{.user = std::string(kForwardTextBytesMax + 1, 'u')}}) {
    std::string bytes;
    append_forward_open(bytes, open);
    corpus.add(fmt::format("open_{}", ++number), bytes);
    corpus.add(fmt::format("cut_{}", number), bytes.substr(0, bytes.size() - 1));
  }
  corpus.add("later", Bytes("\x02\x00\x00", 3));
  return 0;
}
