#pragma once
// What the stream of users holds. A record's key says what it is of, its value is the whole state;
// no value: it is gone. Strings are uvarint length and bytes, integers little endian.
//
//   user     key    byte 'u', string name
//            value  byte version (1), uvarint credentials, each: byte mechanism (1 SCRAM-SHA-256,
//                   2 SCRAM-SHA-512), i32 iterations, string salt, string stored key, string
//                   server key
//   secret   key    byte 's'
//            value  byte version (1), string secret: see UserTable

#include <optional>
#include <string>

#include "broker/auth/user_table.h"

namespace walrus::broker {

struct UserRecord {
  std::string key{};
  std::optional<std::string> value{};
};

UserRecord user_record(Bytes name, const Credentials&);  // without credentials: a tombstone
UserRecord secret_record(Bytes secret);
// Changes the table as the record says. kCorrupt, kVersion.
Result<void> apply_user_record(UserTable&, Bytes key, std::optional<Bytes> value);

}  // namespace walrus::broker
