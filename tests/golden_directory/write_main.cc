// Prints the golden directory as today's writer makes it: for a new file beside the old ones, when
// a format gets a new version. What is there is never written again.

#include <cstdio>

#include "golden_directory.h"

int main() {
  walrus::golden::Expected expected;
  auto text = walrus::golden::write_text(walrus::golden::make_directory(expected));
  std::fwrite(text.data(), 1, text.size(), stdout);
}
