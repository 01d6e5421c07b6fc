#pragma once
// Input by chunks, from stdin or from files. A chunk holds what was there, so that a slow pipe's
// records do not wait for more of them. And the answer to a question.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/env.h"

namespace walrus::cli {

class Input {
 public:
  static Result<Input> open(io::Env&, const std::string& name);  // "-": stdin
  // The next bytes; none at the end. The view lives until the following call.
  Result<Bytes> next();
  std::int64_t size() const { return size_; }  // -1: unknown
  const std::string& name() const { return name_; }

 private:
  Input() = default;
  std::string name_;
  std::unique_ptr<io::File> file_;  // none: stdin
  std::int64_t position_ = 0, size_ = -1;
  std::vector<char> buffer_;
};

Result<std::string> read_all_of_stdin();

// Asks on the terminal. None: there is nobody to ask.
std::optional<bool> ask_terminal(Bytes question);
// Likewise; true where there is nobody to ask.
bool confirmed_delete(Bytes what);

}  // namespace walrus::cli
