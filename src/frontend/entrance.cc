#include "frontend/entrance.h"

#include <algorithm>

#include "base/coding.h"
#include "wire/native/errors.h"
#include "wire/native/frame.h"
#include "wire/native/reply.h"

namespace walrus::frontend {
namespace {

constexpr Bytes kHttpHint =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    "Content-Length: 49\r\n\r\n"
    "This port speaks TLS; HTTP is on the admin port.\n";

// What a peer is answered whose first bytes are no TLS: HTTP and the native protocol have words for
// it, Kafka's has not.
std::string refuse_plaintext(Bytes first) {
  for (Bytes method : {"GET ", "POST", "HEAD", "PUT ", "DELE", "OPTI", "PRI "})
    if (first.starts_with(method)) return std::string(kHttpHint);
  std::string answer;
  bool capitals = first.size() >= 7 && std::ranges::all_of(first.substr(4, 3), [](char c) {
                    return c >= 'A' && c <= 'Z';
                  });
  if (capitals && load_le<std::uint32_t>(first.data()) <= wire::native::kDrainBytesMax)
    wire::native::append_error(answer, wire::native::text::kSpeaksTls);
  return answer;
}

}  // namespace

std::unique_ptr<io::Connection> Entrance::secure(io::Loop& loop,
                                                 std::unique_ptr<io::Connection> plain) {
  if (port_.tls == nullptr) return plain;
  auto secured = [entrance = *this] {
    if (!entrance.port_.asks) entrance.leave();
  };
  return port_.tls->secure(loop, std::move(plain), port_.name, secured, refuse_plaintext);
}

void Entrance::enter(std::function<void()> cut) {
  if (port_.asks || port_.tls != nullptr) *ticket_ = newcomers_->enter(std::move(cut));
}

}  // namespace walrus::frontend
