// Writes fuzz/corpus/http: corpus_http DIRECTORY.

#include <fmt/format.h>

#include "corpus.h"

using namespace walrus;

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  int number = 0;
  auto add = [&](const std::string& head) {
    corpus.add(fmt::format("head_{:02}", number++), head);
  };
  for (auto* method : {"GET", "HEAD", "POST", "", "G(T", "get"})
    for (auto* target : {"/metrics", "/", "/healthz?x=1", "*", "http://h/x", ""})
      add(fmt::format("{} {} HTTP/1.1\r\nHost: h\r\n\r\n", method, target));
  for (auto* version : {"HTTP/1.0", "HTTP/2.0", "HTTP/", "1.1", ""})
    add(fmt::format("GET / {}\r\n\r\n", version));
  for (auto* header :
       {"Connection: close", "connection:keep-alive", "Content-Length: 0", "Content-Length: 5",
        "Transfer-Encoding: chunked", "no colon", " folded: x", "a: b\rc", ": empty", "a:"})
    add(fmt::format("GET / HTTP/1.1\r\n{}\r\n\r\nrest", header));
  add("GET / HTTP/1.1\r\n");
  add("\r\n\r\n");
  add("");
  add("GET /" + std::string(9000, 'x'));
  return 0;
}
