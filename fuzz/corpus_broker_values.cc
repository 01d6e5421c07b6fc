// Writes fuzz/corpus/broker_values: corpus_broker_values DIRECTORY.

#include "broker/group/records.h"
#include "broker/topic_config.h"
#include "corpus.h"

namespace {

using namespace walrus;
using namespace walrus::broker;

constexpr char kAttributes = 0, kGroup = 1, kOffset = 2, kKey = 3;

class Inputs {
 public:
  explicit Inputs(const char* directory) : corpus_(directory) {}
  // As it is, cut in several places, with bytes behind it, with another version or kind.
  void add(const std::string& name, char decoder, const std::string& bytes) {
    corpus_.add(name, decoder + bytes);
    corpus_.add(name + "_cut", decoder + bytes.substr(0, bytes.size() / 2));
    corpus_.add(name + "_short", decoder + bytes.substr(0, bytes.size() - 1));
    corpus_.add(name + "_long", decoder + bytes + "xyz");
    auto other = bytes;
    other[0] = 'x';
    corpus_.add(name + "_other", decoder + other);
  }

 private:
  fuzz::Corpus corpus_;
};

void settings(Inputs& inputs) {
  TopicConfig config;
  (void)set_config(config, "timestamps", "LogAppendTime");
  inputs.add("attributes_one", kAttributes, encode_attributes(config));
  (void)set_kafka_config(config, "cleanup.policy", "compact,delete");
  (void)set_kafka_config(config, "flush.ms", "5");
  (void)set_config(config, "retention_ms", "-1");
  inputs.add("attributes_some", kAttributes, encode_attributes(config));
  config.given["from.the.future"] = "whatever";
  inputs.add("attributes_unknown", kAttributes, encode_attributes(config));
}

void groups(Inputs& inputs) {
  GroupSnapshot snapshot{.generation = 7, .written_ms = 1'700'000'000'000};
  inputs.add("group_empty", kGroup, *group_record("g", snapshot).value);
  snapshot.protocol_type = "consumer";
  snapshot.protocol = "range";
  snapshot.leader = "a";
  for (const auto* id : {"a", "b"})
    snapshot.members.push_back({.id = id,
                                .client_id = "client",
                                .client_host = "host",
                                .session_timeout = std::chrono::seconds(10),
                                .protocols = {{"range", "metadata"}, {"sticky", ""}},
                                .assignment = "assignment"});
  inputs.add("group_two", kGroup, *group_record("g", snapshot).value);
  snapshot.members[1].instance_id = "static";
  inputs.add("group_static", kGroup, *group_record("g", snapshot).value);
  CommittedOffset committed{.topic = "t", .topic_id = 9, .offset = 100};
  inputs.add("offset_plain", kOffset, *offset_record("g", committed).value);
  committed.metadata = "a note";
  committed.leader_epoch = 3;
  inputs.add("offset_note", kOffset, *offset_record("g", committed).value);
  inputs.add("key_group", kKey, group_tombstone("group").key);
  inputs.add("key_offset", kKey, offset_tombstone("group", "topic", 5).key);
}

}  // namespace

int main(int, char** arguments) {
  Inputs inputs(arguments[1]);
  settings(inputs);
  groups(inputs);
  return 0;
}
