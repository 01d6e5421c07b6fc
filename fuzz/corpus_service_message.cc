// Writes fuzz/corpus/service_message: corpus_service_message DIRECTORY.

#include <fmt/format.h>

#include "corpus.h"
#include "service/identity.h"
#include "service/session_table.h"
#include "wire/peer/service_command.h"
#include "wire/peer/service_message.h"

using namespace walrus;
using namespace walrus::wire::peer;

namespace {

std::vector<ServiceRequest> requests() {
  std::vector<ServiceRequest> all;
  for (std::size_t count : {1, 2, 40})
    all.push_back(
        {.forwarded = count == 2,
         .body = ProposeRequest{7, 299, 300, std::vector<std::string>(count, "put a 1")}});
  for (auto level : {Read::kLinearizable, Read::kSession, Read::kStale})
    all.push_back({.body = QueryRequest{level, 1'000, "get a"}});
  all.push_back({.body = OpenSessionRequest{}});
  all.push_back({.body = FindSessionRequest{7}});
  for (auto kind :
       {ChangeKind::kAddLearner, ChangeKind::kPromote, ChangeKind::kRemove, ChangeKind::kTransfer})
    all.push_back({.body = ChangeRequest{kind, NodeId{4}, "10.0.0.4:9093"}});
  all.push_back({.body = JoinRequest{"kv", NodeId{4}, "10.0.0.4:9093"}});
  all.push_back({.body = StatusRequest{}});
  return all;
}

std::vector<ServiceAnswer> answers() {
  ServiceStatus status{.name = "kv",
                       .cluster_id = std::string(32, 'c'),
                       .self = NodeId{1},
                       .leader = NodeId{2},
                       .term = 3,
                       .commit_index = 400};
  for (std::uint64_t i = 1; i <= 5; ++i)
    status.members.push_back({{NodeId{i}, "10.0.0.1:9093"}, i != 4, i * 100});
  return {Failed{{Code::kBusy, "no leader is known"}, true},
          Failed{{Code::kNotFound, "session 7 is over"}, false},
          ProposeAnswer{},
          ProposeAnswer{{{Code{}, 300, "1"}, {Code::kMismatch, 0, "gap"}}},
          QueryAnswer{1'000, "1"},
          SessionAnswer{7, 299, 1'000, 1 << 20},
          DoneAnswer{},
          status};
}

service::SessionTable table_of(std::uint64_t sessions) {
  service::SessionTable table;
  table.advance(Time(Millis(1'700'000'000'000)));
  for (std::uint64_t i = 1; i <= sessions; ++i) {
    table.open(i * 100, 60'000);
    for (std::uint64_t sequence = 1; sequence <= i; ++sequence) {
      const ProposeCommand command{i * 100, sequence, 0, ""};
      if (!table.admit(command)) table.keep(command, service::applied(i * 100 + sequence, "reply"));
    }
  }
  return table;
}

void add_all(fuzz::Corpus& corpus, const std::string& name, const std::string& bytes) {
  corpus.add(name, bytes);
  if (bytes.size() < 4) return;
  corpus.add(name + "_cut", bytes.substr(0, bytes.size() - 1));
  auto bad = bytes;
  bad[bad.size() / 2] = '\xff';
  corpus.add(name + "_bad", bad);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  int number = 0;
  for (const auto& request : requests()) {
    std::string bytes(1, '\0');
    append_service_request(bytes, request);
    add_all(corpus, fmt::format("request_{:02}", number++), bytes);
  }
  for (const auto& answer : answers()) {
    std::string bytes(1, '\1');
    append_service_answer(bytes, answer);
    add_all(corpus, fmt::format("answer_{:02}", number++), bytes);
  }
  std::string propose(1, '\2'), open(1, '\2'), outcome(1, '\3');
  append_service_command(propose, {.leader_time_ms = 1'700'000'000'000,
                                   .seed = 5,
                                   .body = ProposeCommand{7, 300, 299, "put a 1"}});
  append_service_command(open, {.body = OpenSession{3'600'000}});
  append_outcome(outcome, Code{}, 300, "reply");
  add_all(corpus, "command_propose", propose);
  add_all(corpus, "command_open", open);
  add_all(corpus, "outcome", outcome);
  for (std::uint64_t sessions : {0, 1, 5})
    add_all(corpus, fmt::format("table_{}", sessions), '\4' + table_of(sessions).encode());
  add_all(corpus, "identity",
          '\5' + service::encode_identity(
                     {.cluster = {1, 2}, .node = NodeId{3}, .incarnation = 4, .name = "kv"}));
  return 0;
}
