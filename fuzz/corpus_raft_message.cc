// Writes fuzz/corpus/raft_message: corpus_raft_message DIRECTORY.

#include <fmt/format.h>

#include "corpus.h"
#include "wire/peer/raft_message.h"

using namespace walrus;
using namespace walrus::wire::peer;

namespace {

Membership membership_of(int voters, bool joint) {
  Membership membership{.joint = joint};
  for (int i = 1; i <= voters; ++i)
    membership.members.push_back({.id = NodeId{static_cast<std::uint64_t>(i) * 100},
                                  .address = "10.0.0.1:9093",
                                  .voter = i % 3 != 0,
                                  .voter_before = joint && i % 2 == 0,
                                  .leaves = joint && i % 6 == 0});
  return membership;
}

std::string membership_bytes(int voters, bool joint) {
  std::string bytes;
  append_membership(bytes, membership_of(voters, joint));
  return bytes;
}

std::vector<RaftBody> bodies() {
  std::vector<RaftBody> all;
  for (bool pre : {false, true})
    for (bool other : {false, true}) {
      all.push_back(VoteRequest{.pre = pre, .forced = other, .last = {3, 400}});
      all.push_back(VoteReply{.pre = pre, .granted = other});
    }
  for (std::size_t count : {0, 1, 2, 20}) {
    Append append{.previous = {3, 128}, .commit = 100, .round = 9};
    for (std::size_t i = 0; i < count; ++i)
      append.entries.push_back({EntryKind::kCommand, 4, Payload::copy_of(std::string(i, 'x'))});
    all.push_back(append);
    append.entries.push_back({EntryKind::kNoop, 5, {}});
    append.entries.push_back(
        {EntryKind::kMembership, 5,
         Payload::copy_of(membership_bytes(static_cast<int>(count), count > 1))});
    all.push_back(append);
  }
  for (bool rejected : {false, true})
    all.push_back(AppendReply{
        .rejected = rejected, .round = 1u << 20, .match = 77, .previous = 300, .hint = {2, 50}});
  for (int voters : {1, 3, 7, 64})
    for (std::size_t size : {0, 1, 100})
      all.push_back(SnapshotChunk{.meta = {.last = {3, 128},
                                           .membership = membership_of(voters, voters > 3),
                                           .id = 0x1234567890abcdef,
                                           .size = 1'000},
                                  .position = 900,
                                  .bytes = Payload::copy_of(std::string(size, 's'))});
  for (bool resume : {false, true})
    all.push_back(SnapshotReply{.resume = resume, .id = ~std::uint64_t{0}, .position = 1u << 31});
  all.push_back(TimeoutNow{});
  return all;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  int number = 0;
  for (auto& body : bodies()) {
    std::string bytes(1, '\0');
    append_raft_message(bytes, {.from = NodeId{1}, .to = NodeId{2}, .term = 300, .body = body});
    corpus.add(fmt::format("message_{:02}", number), bytes);
    if (bytes.size() > 8) {
      corpus.add(fmt::format("message_{:02}_cut", number), bytes.substr(0, bytes.size() - 1));
      if (number % 3 == 0) bytes[6] = '\xff';
      corpus.add(fmt::format("message_{:02}_bad", number), bytes + '\x01');
    }
    ++number;
  }
  std::string entry(1, '\x01'), meta(1, '\x03'), hard_state(1, '\x04');
  append_entry(entry, {EntryKind::kCommand, 9, Payload::copy_of("value")});
  append_snapshot_meta(meta, {.last = {1, 2}, .membership = membership_of(3, false), .id = 5});
  append_hard_state(hard_state, {.term = 99, .vote = NodeId{7}});
  corpus.add("entry", entry);
  corpus.add("meta", meta);
  corpus.add("hard_state", hard_state);
  for (int voters : {0, 1, 3, 64})
    corpus.add(fmt::format("membership_{}", voters), '\x02' + membership_bytes(voters, voters > 1));
  return 0;
}
