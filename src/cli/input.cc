#include "cli/input.h"

#include <iostream>

#include "cli/output.h"

namespace walrus::cli {
namespace {

constexpr std::size_t kChunkBytes = 256 << 10;
constexpr std::size_t kPayloadBytesMax = 64 << 20;

// Blocks until at least one byte is there; zero at the end.
Result<std::size_t> read_stdin(std::span<char> to) {
  auto* buffer = std::cin.rdbuf();
  try {  // the library throws where the system refuses, for example a directory as stdin
    if (buffer->sgetc() == std::char_traits<char>::eof()) return 0;
    auto ready = std::max<std::streamsize>(1, buffer->in_avail());
    auto size = std::min(ready, static_cast<std::streamsize>(to.size()));
    return static_cast<std::size_t>(buffer->sgetn(to.data(), size));
  } catch (const std::ios_base::failure& error) {
    return fail(Code::kIo, "stdin: {}", error.code().message());
  }
}

}  // namespace

Result<Input> Input::open(io::Env& env, const std::string& name) {
  Input input;
  input.name_ = name == "-" ? "stdin" : name;
  input.buffer_.resize(kChunkBytes);
  if (name == "-") {
    std::ios::sync_with_stdio(false);  // a stream of its own buffer, which tells what is there
    return input;
  }
  WALRUS_ASSIGN(input.file_, env.disk().open(name, io::Open::kRead));
  WALRUS_ASSIGN(input.size_, input.file_->size());
  return input;
}

Result<Bytes> Input::next() {
  std::size_t size = 0;
  if (file_) {
    WALRUS_ASSIGN(size, file_->read(position_, buffer_));
  } else {
    WALRUS_ASSIGN(size, read_stdin(buffer_));
  }
  position_ += static_cast<std::int64_t>(size);
  return Bytes(buffer_.data(), size);
}

Result<std::string> read_all_of_stdin() {
  std::ios::sync_with_stdio(false);
  std::string all;
  std::vector<char> buffer(kChunkBytes);
  while (true) {
    WALRUS_ASSIGN(auto size, read_stdin(buffer));
    if (size == 0) return all;
    all.append(buffer.data(), size);
    if (all.size() > kPayloadBytesMax)
      return fail(Code::kTooLarge, "stdin: more than {} bytes", kPayloadBytesMax);
  }
}

std::optional<bool> ask_terminal(Bytes question) {
  if (!stdin_is_terminal()) return std::nullopt;
  fmt::print(stderr, "{} [y/N] ", question);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

bool confirmed_delete(Bytes what) {
  return ask_terminal(fmt::format("Delete {}?", what)).value_or(true);
}

}  // namespace walrus::cli
