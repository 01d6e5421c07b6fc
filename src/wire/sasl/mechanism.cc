#include "wire/sasl/mechanism.h"

#include <algorithm>

#include "base/utf8.h"

namespace walrus::wire::sasl {

Bytes mechanism_name(Mechanism mechanism) {
  switch (mechanism) {
    case Mechanism::kScramSha256: return "SCRAM-SHA-256";
    case Mechanism::kScramSha512: return "SCRAM-SHA-512";
    case Mechanism::kPlain: return "PLAIN";
  }
  return "";
}

std::optional<Mechanism> parse_mechanism(Bytes name) {
  auto found = std::ranges::find(kMechanisms, name, mechanism_name);
  return found == kMechanisms.end() ? std::nullopt : std::optional(*found);
}

bool valid_user_name(Bytes name) {
  return !name.empty() && name.size() <= kUserNameBytesMax && is_utf8(name) &&
         std::ranges::none_of(
             name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Result<Plain> parse_plain(Bytes message) {
  auto first = message.find('\0');
  auto second = first == Bytes::npos ? first : message.find('\0', first + 1);
  if (second == Bytes::npos || message.find('\0', second + 1) != Bytes::npos)
    return fail(Code::kInvalid, "malformed PLAIN message");
  auto on_behalf = message.substr(0, first);
  Plain plain{.user = message.substr(first + 1, second - first - 1),
              .password = message.substr(second + 1)};
  if (!valid_user_name(plain.user) || plain.password.empty() ||
      plain.password.size() > kPasswordBytesMax)
    return fail(Code::kInvalid, "malformed PLAIN message");
  if (!on_behalf.empty() && on_behalf != plain.user)
    return fail(Code::kInvalid, "PLAIN for somebody else");
  return plain;
}

std::string plain_message(Bytes user, Bytes password) {
  std::string message(1, '\0');
  message.append(user).append(1, '\0').append(password);
  return message;
}

}  // namespace walrus::wire::sasl
