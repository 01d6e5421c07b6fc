// The group state machine under random events, with time, failures of the disk and restarts from
// what is durable. Whatever comes: no partition has two owners in one generation, generations rise,
// each request that waits is answered once, nobody is accepted who is no member of this generation,
// time brings everything that waits to its end, and what is durable says what was given out.

#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "broker/group/group.h"
#include "broker/group/records.h"

namespace walrus::broker {
namespace {

constexpr int kPartitions = 4, kClients = 4;

// A client as it sees itself.
struct Client {
  std::optional<std::string> instance{};
  std::string member_id{};
  std::int32_t generation = -1;
  Ticket waits = 0;  // for a join or a sync
  bool leads = false;
  std::vector<JoinAnswer::Member> members{};  // of the leader
};

class GroupStory {
 public:
  explicit GroupStory(std::uint64_t seed) : random_(seed) {
    options_.initial_delay = Millis(draw(2) * 50);
    options_.session_timeout_min = Millis(10);
    options_.members_max = 3 + draw(3);
    group_.emplace(options_);
    for (std::size_t i = 0; i < clients_.size(); ++i)
      if (i % 2 == 1) clients_[i].instance = "i" + std::to_string(i);
  }

  void go(int events) {
    for (int i = 0; i < events && !testing::Test::HasFailure(); ++i) {
      step();
      check_waiting();
    }
    settle();
  }
  std::int64_t owned() const { return std::ssize(owners_); }

 private:
  std::uint64_t draw(std::uint64_t below) { return random_() % below; }

  void step() {
    auto& client = clients_[draw(clients_.size())];
    switch (draw(16)) {
      case 0:
      case 1:
      case 2: return join(client);
      case 3:
      case 4:
      case 5:
      case 6: return sync(client);
      case 7: return sign_of_life(client);
      case 8: return strange(client);
      case 9: return draw(3) == 0 ? leave(client) : forget(client);
      case 10:
      case 11:
      case 12: return persisted();
      case 13: return draw(4) == 0 ? restart() : pass(Millis(1));
      default: return pass(Millis(draw(12)));
    }
  }

  void join(Client& client) {
    if (client.waits != 0 && draw(8) != 0) return;  // seldom: a request is sent again
    JoinEvent event{.ticket = ++last_ticket_,
                    .member_id = client.member_id,
                    .new_member_id = "m" + std::to_string(last_ticket_),
                    .instance_id = client.instance,
                    .session_timeout = Millis(20 + draw(60)),
                    .rebalance_timeout = Millis(20 + draw(60)),
                    .protocol_type = "consumer",
                    .protocols = {{"range", "x" + std::to_string(draw(3))}},
                    .id_required = draw(2) == 0};
    client.waits = event.ticket;
    waiting_[event.ticket] = &client;
    take(group_->join(event, now_));
  }

  void sync(Client& client) {
    if (client.member_id.empty() || client.waits != 0) return;
    SyncEvent event{.ticket = ++last_ticket_,
                    .member_id = client.member_id,
                    .instance_id = client.instance,
                    .generation = client.generation};
    if (client.leads)
      for (int p = 0; p < kPartitions && !client.members.empty(); ++p) {
        const auto& to = client.members[draw(client.members.size())].member_id;
        auto found =
            std::ranges::find(event.assignments, to, &std::pair<std::string, std::string>::first);
        if (found == event.assignments.end()) found = event.assignments.insert(found, {to, ""});
        found->second += static_cast<char>('0' + p);
      }
    client.waits = event.ticket;
    waiting_[event.ticket] = &client;
    take(group_->sync(event, now_));
  }

  // Accepted exactly if it is a member of this generation, by the machine's own account of members.
  void sign_of_life(Client& client) {
    if (client.member_id.empty()) return;
    MemberEvent event{client.member_id, client.instance, client.generation};
    bool member =
        group_->members().contains(client.member_id) && client.generation == group_->generation();
    auto beat = group_->heartbeat(event, now_), commit = group_->check_commit(event, now_);
    bool outside = commits_from_outside(event);
    EXPECT_TRUE(!outside || commit == GroupError::kNone);
    if (beat == GroupError::kNone || (commit == GroupError::kNone && !outside)) EXPECT_TRUE(member);
    bool open = group_->state() != GroupState::kCompleting;
    if (member) EXPECT_EQ(commit == GroupError::kNone, open);
    if (client.generation < group_->generation() && !outside) EXPECT_NE(commit, GroupError::kNone);
  }
  // Who names no generation commits as nobody's member, as long as there is none.
  bool commits_from_outside(const MemberEvent& event) const {
    return event.generation < 0 && group_->state() == GroupState::kEmpty;
  }
  // Who knows the name of a member but not its instance or its generation.
  void strange(const Client& client) {
    if (client.member_id.empty()) return;
    MemberEvent event{client.member_id, client.instance, group_->generation() + 1};
    if (draw(2) == 0) event = {client.member_id, "stranger", client.generation};
    EXPECT_NE(group_->heartbeat(event, now_), GroupError::kNone);
    EXPECT_EQ(group_->check_commit(event, now_) == GroupError::kNone, commits_from_outside(event));
    auto anonymous = group_->check_commit({}, now_);
    EXPECT_EQ(anonymous == GroupError::kNone, group_->state() == GroupState::kEmpty);
  }

  void leave(Client& client) {
    if (client.member_id.empty()) return;
    auto error = GroupError::kNone;
    take(group_->leave({client.member_id, client.instance, -1}, now_, error));
    EXPECT_FALSE(error == GroupError::kNone && group_->members().contains(client.member_id));
    forget(client);
  }
  // It dies: its requests are answered to nobody, the next one begins anew.
  void forget(Client& client) {
    if (client.waits != 0) waiting_[client.waits] = nullptr;
    client = {.instance = client.instance};
  }

  struct Write {
    std::int32_t generation = 0;
    bool begun = false;
    std::string bytes{};  // empty: there was nothing to write any more
  };
  // As the coordinator does: what the group is at the moment at which there is room for it.
  void begin(Write& write) {
    if (write.begun) return;
    write.begun = true;
    if (group_->generation() == write.generation && group_->state() != GroupState::kPreparing)
      write.bytes = *group_record("g", group_->snapshot()).value;
  }
  // The oldest snapshot that is on its way is durable, or is not made so.
  void persisted() {
    if (writes_.empty()) return;
    begin(writes_.front());
    auto write = writes_.front();
    writes_.pop_front();
    bool durable = draw(6) != 0;
    if (durable && !write.bytes.empty()) stored_ = write.bytes;
    take(group_->persisted(write.generation, durable, now_));
  }

  void pass(GroupTime time) {
    now_ += time;
    take(group_->tick(now_));
  }

  void restart() {
    for (auto& client : clients_) client.waits = 0;
    waiting_.clear();
    // Of what was on its way, some may be on the disk.
    for (auto kept = draw(writes_.size() + 1); kept > 0; --kept) {
      if (!writes_.front().bytes.empty()) stored_ = writes_.front().bytes;
      writes_.pop_front();
    }
    writes_.clear();
    auto stored = stored_.empty() ? GroupSnapshot{} : *decode_group(stored_);
    group_.emplace(options_, stored, now_);
    generation_ = group_->generation();
    if (!stored_.empty()) {
      auto written = stored;
      EXPECT_EQ(*group_record("g", group_->snapshot()).value, *group_record("g", written).value);
    }
    // What was given out is in what is durable: nothing of a later generation was.
    for (const auto& [place, owner] : owners_) EXPECT_LE(place.first, group_->generation());
  }

  void take(const GroupActions& actions) {
    EXPECT_GE(group_->generation(), generation_) << "generations rise";
    generation_ = group_->generation();
    for (const auto& join : actions.joins)
      if (auto* client = answered(join.ticket)) joined(*client, join);
    for (const auto& sync : actions.syncs)
      if (auto* client = answered(sync.ticket)) synced(*client, sync);
    if (!actions.persist) return;
    writes_.push_back({.generation = group_->generation()});
    if (draw(4) != 0) begin(writes_.back());
  }
  Client* answered(Ticket ticket) {
    auto found = waiting_.find(ticket);
    EXPECT_NE(found, waiting_.end()) << "ticket " << ticket << " is answered twice";
    if (found == waiting_.end()) return nullptr;
    auto* client = found->second;
    waiting_.erase(found);
    if (client == nullptr || client->waits != ticket) return nullptr;
    client->waits = 0;
    return client;
  }
  void joined(Client& client, const JoinAnswer& answer) {
    if (answer.error == GroupError::kUnknownMember || answer.error == GroupError::kFencedInstance)
      client.member_id.clear();
    if (answer.error == GroupError::kMemberIdRequired) client.member_id = answer.member_id;
    if (answer.error != GroupError::kNone) return;
    EXPECT_EQ(answer.generation, group_->generation());
    client.member_id = answer.member_id;
    client.generation = answer.generation;
    client.leads = answer.leader == answer.member_id;
    client.members = answer.members;
    EXPECT_EQ(client.leads, !answer.members.empty());
  }
  void synced(Client& client, const SyncAnswer& answer) {
    if (answer.error == GroupError::kUnknownMember) client.member_id.clear();
    if (answer.error != GroupError::kNone) return;
    EXPECT_EQ(client.generation, group_->generation());
    for (char partition : answer.assignment) {
      auto who = client.instance.value_or(client.member_id);
      auto [owner, is_new] = owners_.try_emplace({client.generation, partition}, who);
      EXPECT_EQ(owner->second, who)
          << "partition " << partition << " of generation " << client.generation;
    }
  }

  // What the machine holds is what the clients wait for.
  void check_waiting() {
    std::size_t held = 0;
    for (const auto& [id, member] : group_->members())
      for (auto ticket : {member.joining, member.syncing}) {
        if (ticket == 0) continue;
        ++held;
        EXPECT_TRUE(waiting_.contains(ticket));
      }
    EXPECT_EQ(held, waiting_.size());
    EXPECT_LE(group_->members().size(), options_.members_max);
    bool on_time = group_->next_deadline().has_value();
    if (held > 0) EXPECT_TRUE(on_time || !writes_.empty()) << "nothing ends the wait";
  }

  // With nobody left who does anything, time alone ends everything.
  void settle() {
    for (int i = 0; i < 1000 && !testing::Test::HasFailure(); ++i) {
      while (!writes_.empty()) persisted();
      auto next = group_->next_deadline();
      if (!next) break;
      now_ = *next;
      take(group_->tick(now_));
    }
    while (!writes_.empty()) persisted();
    EXPECT_FALSE(group_->next_deadline()) << "a timer is left";
    EXPECT_TRUE(waiting_.empty());
    EXPECT_TRUE(group_->members().empty());
    EXPECT_EQ(group_->state(), GroupState::kEmpty);
  }

  std::mt19937_64 random_;
  GroupOptions options_;
  std::optional<Group> group_;
  GroupTime now_{};
  std::array<Client, kClients> clients_{};
  Ticket last_ticket_ = 0;
  std::map<Ticket, Client*> waiting_;  // null: its client has died
  std::deque<Write> writes_;
  std::string stored_;
  std::int32_t generation_ = 0;
  std::map<std::pair<std::int32_t, char>, std::string> owners_;
};

TEST(GroupPropertyTest, whatever_happens_a_partition_has_one_owner_and_everybody_an_answer) {
  constexpr std::uint64_t kRuns = 100'000;
  std::int64_t owned = 0;
  for (std::uint64_t seed = 1; seed <= kRuns; ++seed) {
    GroupStory run(seed);
    run.go(100);
    owned += run.owned();
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
  EXPECT_GT(owned, static_cast<std::int64_t>(kRuns) / 2) << "something was given out";
}

}  // namespace
}  // namespace walrus::broker
