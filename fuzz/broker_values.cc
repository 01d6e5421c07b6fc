// What the broker keeps in the engine: settings of a topic, and records of consumer groups. The
// first byte chooses the decoder. What is decoded is encoded to bytes that decode to the same.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "broker/group/records.h"
#include "broker/topic_config.h"

namespace {

using namespace walrus;
using namespace walrus::broker;

void attributes(Bytes bytes) {
  auto config = decode_attributes(bytes, {}, {});
  if (!config) return;
  auto encoded = encode_attributes(*config);
  auto again = decode_attributes(encoded, {}, {});
  CHECK(again && again->given == config->given && encode_attributes(*again) == encoded);
  CHECK(list_config(*again) == list_config(*config));
}

void group_value(Bytes bytes) {
  auto snapshot = decode_group(bytes);
  if (!snapshot) return;
  auto encoded = *group_record("g", *snapshot).value;
  auto again = decode_group(encoded);
  CHECK(again && again->members.size() == snapshot->members.size());
  CHECK(*group_record("g", *again).value == encoded);
}

void offset_value(Bytes bytes) {
  GroupKey key{.is_offset = true, .group = "g", .topic = "t", .partition = 3};
  auto committed = decode_offset(key, bytes);
  if (!committed) return;
  auto again = decode_offset(key, *offset_record("g", *committed).value);
  CHECK(again && *again == *committed);
}

void group_key(Bytes bytes) {
  auto key = decode_group_key(bytes);
  if (!key) return;
  auto record = key->is_offset ? offset_tombstone(key->group, key->topic, key->partition)
                               : group_tombstone(key->group);
  auto again = decode_group_key(record.key);
  CHECK(again && again->group == key->group && again->topic == key->topic &&
        again->partition == key->partition);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Bytes bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: attributes(bytes); break;
    case 1: group_value(bytes); break;
    case 2: offset_value(bytes); break;
    default: group_key(bytes);
  }
  return 0;
}
