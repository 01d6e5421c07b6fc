// Writes fuzz/corpus/native_reply: corpus_native_reply DIRECTORY.

#include <fmt/format.h>

#include "corpus.h"

using namespace walrus;
using namespace std::string_view_literals;

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  const Bytes bodies[] = {"OK",
                          "OK ",
                          "OK hello",
                          "EMPTY",
                          "ERR unknown topic t",
                          "ERR ",
                          "",
                          "OK 42",
                          "OK -1",
                          "OK 99999999999999999999",
                          "OK 42 5",
                          "OK 42 5 6",
                          "OK 4000 0",
                          "OK 4000 40000",
                          "[]",
                          "OK 0 9\n",
                          "OK 1 9\n5 17 3 a\nb\n",
                          "OK 1 9\n5 17 0 \n",
                          "OK 1 9\n5 -1 -1 \n",
                          "OK 2 9\n5 17 1 a\n6 17 1 b\n",
                          "OK 2 9\n5 17 1 a\n",
                          "OK 9 9\n5 17 1 a\n",
                          "OK 1 9\n5 17 9 a\n",
                          "OK 1 9\n5 17 -2 a\n",
                          "OK 1 9\n5 17 1 ab\n",
                          "OK 1 9\n-5 17 1 a\n",
                          "OK 9223372036854775807 9\n",
                          "OK 9\n\0\xff"sv,
                          "OK 9\n",
                          "OK x\n"};
  int number = 0;
  for (auto body : bodies) {
    for (char parser = 0; parser < 8; ++parser) {
      bool fits = parser == number % 8 || parser >= 6;  // each parser, and records for all
      if (fits)
        corpus.add(fmt::format("reply_{:02}_{}", number, int{parser}), parser + std::string(body));
    }
    ++number;
  }
  return 0;
}
