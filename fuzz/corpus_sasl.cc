// Writes fuzz/corpus/sasl: corpus_sasl DIRECTORY.

#include <fmt/format.h>

#include "base/coding.h"
#include "broker/auth/records.h"
#include "corpus.h"
#include "wire/sasl/mechanism.h"

using namespace walrus;
using namespace walrus::wire::sasl;

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  int number = 0;
  auto add = [&](char kind, const std::string& bytes) {
    corpus.add(fmt::format("{}_{:02}", +kind, number++), kind + bytes);
  };
  constexpr Bytes kProof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
  for (Bytes first : {"n,,n=alice,r=abc", "y,,n=alice,r=abc", "n,a=alice,n=alice,r=abc",
                      "n,,n=ghost,r=abc", "n,,n=a=2Cb=3D,r=abc,x=y", "p=tls-unique,,n=alice,r=abc",
                      "n,,m=x,n=alice,r=abc", "n,,n=alice,r=abc,tokenauth=true", "n,,n=alice"}) {
    for (char kind : {'\0', '\1'}) {
      add(kind, std::string(first));
      add(kind, fmt::format("{}\xff"
                            "c=biws,r=abcnonce,p={}",
                            first, kProof));
      add(kind, fmt::format("{}\xff"
                            "c=biws,r=abcnonce,x=y,p={}\xff"
                            "again",
                            first, kProof));
    }
  }
  for (Bytes message : {"r=abcdef,s=c2FsdA==,i=4096", "r=abcdef,s=c2FsdA==,i=4096,x=y",
                        "r=abc,s=c2FsdA==,i=4096", "r=abcdef,s=,i=4096", "r=abcdef,s=c2FsdA==,i=1",
                        "v=c2FsdA==", "e=invalid-proof", "m=x,r=abcdef,s=c2FsdA==,i=4096"})
    add('\2', std::string(message));
  add('\3', plain_message("alice", "secret"));
  add('\3', "alice" + plain_message("alice", "secret"));
  add('\3', "bob" + plain_message("alice", "secret"));
  add('\3', plain_message("", ""));
  ScramCredential credential{.iterations = 4096,
                             .salt = "salt",
                             .stored_key = std::string(32, 'k'),
                             .server_key = std::string(32, 's')};
  for (const auto& record : {broker::user_record("alice", {{ScramMechanism::kSha256, credential}}),
                             broker::user_record("alice", {}), broker::secret_record("secret")}) {
    std::string bytes;
    append_string(bytes, record.key);
    bytes += record.value.value_or("");
    add('\4', bytes);
    add('\4', bytes.substr(0, bytes.size() / 2));
  }
  return 0;
}
