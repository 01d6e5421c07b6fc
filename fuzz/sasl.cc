// Authentication: messages of SCRAM and PLAIN as strangers send them, whole exchanges, and the
// records of users. The first byte chooses. What is accepted encodes to what is accepted as the
// same; nobody is let in.

#include "base/check.h"
#include "base/coding.h"
#include "broker/auth/exchange.h"
#include "broker/auth/records.h"

namespace {

using namespace walrus;
using namespace walrus::wire::sasl;

broker::Users::Table table() {
  static const auto made = [] {
    broker::UserTable users("secret");
    ScramCredential credential{.iterations = kIterationsMin,
                               .salt = "salt",
                               .stored_key = std::string(32, 'k'),
                               .server_key = std::string(32, 's')};
    users.set("alice", {{ScramMechanism::kSha256, credential}});
    return std::make_shared<const broker::UserTable>(std::move(users));
  }();
  return made;
}

// Tokens apart by a 0xff each.
void exchange(Mechanism mechanism, Bytes rest) {
  broker::Exchange exchange(mechanism, table(), "nonce");
  for (int i = 0; i < 4; ++i) {
    auto end = rest.find('\xff');
    auto step = exchange.step(rest.substr(0, end));
    if (step) CHECK(!step->done && step->token.starts_with("r="));
    else CHECK(!step.error().message.empty());
    if (end == Bytes::npos) return;
    rest.remove_prefix(end + 1);
  }
}

void client(Bytes message) {
  // More iterations than these only cost time.
  auto number = message.rfind("i=");
  if (number != Bytes::npos && message.substr(number).size() > 6) return;
  ScramClient client(ScramMechanism::kSha256, "user", "pencil", "abc");
  (void)client.first();
  auto answer = client.answer(message);
  if (answer) CHECK(answer->starts_with("c=biws,r=abc"));
  CHECK(!client.verify(message).has_value());
}

void plain(Bytes message) {
  auto parsed = parse_plain(message);
  if (!parsed) return;
  CHECK(valid_user_name(parsed->user) && !parsed->password.empty());
  CHECK(message.ends_with(plain_message(parsed->user, parsed->password)));
}

void stored_user(Bytes bytes) {
  Decoder from(bytes);
  auto key = from.string();
  if (!key) return;
  broker::UserTable users("secret");
  if (!apply_user_record(users, *key, from.rest())) return;
  for (const auto& [name, credentials] : users.users()) {
    auto again = broker::user_record(name, credentials);
    CHECK(again.key == *key);
    broker::UserTable copy("secret");
    CHECK(apply_user_record(copy, again.key, again.value).has_value());
    CHECK(copy.users() == users.users());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Bytes bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0: exchange(Mechanism::kScramSha256, bytes); break;
    case 1: exchange(Mechanism::kScramSha512, bytes); break;
    case 2: client(bytes); break;
    case 3: plain(bytes); break;
    default: stored_user(bytes);
  }
  return 0;
}
