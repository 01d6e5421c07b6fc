#pragma once
// For the programs that write a corpus: one small file per input, named after what it is.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "walrus/log.h"

namespace walrus::fuzz {

class Corpus {
 public:
  explicit Corpus(std::filesystem::path directory) : directory_(std::move(directory)) {
    std::error_code error;
    std::filesystem::create_directories(directory_, error);
  }
  void add(const std::string& name, Bytes bytes) {
    std::ofstream file(directory_ / name, std::ios::binary);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush()) {
      std::fprintf(stderr, "cannot write %s\n", (directory_ / name).c_str());
      std::exit(1);
    }
  }

 private:
  std::filesystem::path directory_;
};

}  // namespace walrus::fuzz
