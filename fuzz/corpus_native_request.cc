// Writes fuzz/corpus/native_request: corpus_native_request DIRECTORY.

#include <fmt/format.h>

#include "corpus.h"
#include "wire/native/frame.h"
#include "wire/native/request.h"

using namespace walrus;
using namespace std::string_view_literals;

namespace {

constexpr Bytes kBodies[] = {"REGISTER t",
                             "REGISTER",
                             "REGISTER t x",
                             "REGISTER  t",
                             "PUT t hello",
                             "PUT t ",
                             "PUT t",
                             "PUT",
                             "PUT t/7 \0\xff\r\n"sv,
                             "PUT t/07 x",
                             "PUT \xc3\x28 x",
                             "GET t",
                             "GET t 500",
                             "GET t -1",
                             "GET t 99999999999999999999",
                             "GET t\n",
                             "STATE t",
                             "STATE t/1",
                             "METRICS",
                             "METRICS x",
                             "APPEND t hello",
                             "APPENDAT t 7 hello",
                             "APPENDAT t x hello",
                             "PRODUCER",
                             "BATCH t \0\0\0\0\0\0\0\0\0\0\0\x31"sv,
                             "BATCH t",
                             "READ t 0",
                             "READ t 0 100",
                             "READ t 0 100 20",
                             "READ t 0 100 20 9",
                             "READBATCH t 5",
                             "POLL t billing",
                             "POLL t billing 10 10",
                             "POLL t",
                             "POLL t b/c",
                             "COMMIT t billing 3",
                             "COMMIT t billing",
                             "LIST",
                             "LIST lo",
                             "DELETE t",
                             "HELP",
                             "HELP PUT",
                             "CREATE t partitions=3 durability=os",
                             "CREATE t x",
                             "CONFIG t retention_ms=5 -compact",
                             "CONFIG t =5",
                             "DESCRIBE t",
                             "FIND t 1700000000000",
                             "GARBAGE",
                             " ",
                             "put t x",
                             "\xff\xfe",
                             "AUTH",
                             "AUTH PLAIN \0user\0secret"sv,
                             "AUTH SCRAM-SHA-256 n,,n=user,r=abc",
                             "AUTH PLAIN",
                             "AUTH plain x",
                             "USERS",
                             "USERADD alice SCRAM-SHA-256:4096:c2FsdA==:"
                             "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
                             "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                             "USERSET alice SCRAM-SHA-256:4095:c2FsdA==:AA==:AA==",
                             "USERADD alice",
                             "USERDELETE alice",
                             "GROUPS",
                             "GROUP my group",
                             "GROUPSET logs 0=5,3=12 my group",
                             "GROUPSET logs 0=5,0=6 g",
                             "GROUPSET logs 0=5",
                             "GROUPDELETE my group",
                             "USERDELETE"};

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  int number = 0;
  std::string all;
  for (auto body : kBodies) {
    std::string frame;
    wire::native::append_frame(frame, body);
    all += frame;
    corpus.add(fmt::format("request_{:02}", number++), "\xff" + frame);
  }
  corpus.add("all_at_once", "\xff" + all);
  corpus.add("all_byte_by_byte", std::string("\0", 1) + all);
  corpus.add("zero_length", "\xff\0\0\0\0"sv);
  corpus.add("oversize", "\x05" + std::string("\x01\x10\0\0", 4) + std::string(4097, 'x') + all);
  corpus.add("beyond_drain", "\xff\xff\xff\xff\xffGET t"sv);
  corpus.add("cut_header", "\xff\x05\0"sv);
  corpus.add("cut_body", "\xff\x05\0\0\0GET"sv);
  corpus.add("http", "\xffGET /metrics HTTP/1.1\r\n\r\n"sv);
  return 0;
}
