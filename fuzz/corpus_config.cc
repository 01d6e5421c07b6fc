// Writes fuzz/corpus/config: corpus_config DIRECTORY. One file per option, and what goes wrong.

#include <fmt/format.h>

#include "corpus.h"
#include "server/config.h"

using namespace walrus;
using namespace walrus::server;

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  int number = 0;
  auto add = [&](const std::string& text) {
    corpus.add(fmt::format("file_{:02}", number++), text);
  };
  for (const auto& option : options()) {
    auto dot = option.key.find('.');
    auto text = option.type == OptionType::kInteger   ? std::to_string(option.min)
                : option.type == OptionType::kBoolean ? std::string("true")
                : option.type == OptionType::kList    ? std::string("[]")
                                                      : fmt::format("\"{}\"", option.fallback);
    add(fmt::format("[{}]\n{} = {}\n", option.key.substr(0, dot), option.key.substr(dot + 1),
                    text));
  }
  if (auto config = Config::load({})) add(config->print());
  for (auto* text :
       {"", "[node]\nid = 0\n", "[node]\nid = \"1\"\n", "[nodes]\n", "node = 1\n",
        "[node]\nidd = 1\n", "[node]\nid = \n", "[node\n", "node.id = 3\n",
        "[node]\ndata_dir = \"\\u0001 \\\" \\\\\"\n", "[node]\ndata_dir = '''a\nb'''\n",
        "[security]\nsasl = [\"a\", \"b\"]\n", "[security]\nsasl = [1]\n",
        "[native]\nlisten = \"0.0.0.0:1\"\n", "[node]\nid = 1979-05-27\n"})
    add(text);
  return 0;
}
