#pragma once
// A Raft group that a script drives: ours and etcd's behind one interface, so that what happens to
// one happens to the other. Disks are quick: what a node was told is durable before anything else
// happens, and a crash loses nothing. Time passes only where a command says so.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace walrus::oracle {

enum class Kind : std::uint8_t { kVote, kVoteReply, kAppend, kAppendReply, kTimeoutNow };

struct Message {
  std::uint64_t handle = 0;  // the group's name for it
  int from = 0, to = 0;
  std::uint64_t term = 0;
  Kind kind{};
};

struct State {
  std::uint64_t term = 0;
  int vote = 0, leader = 0;
  std::string role{};
  std::uint64_t commit = 0;
  std::uint64_t applied = 0;  // commands
  std::uint32_t applied_crc = 0;
  std::uint64_t base = 0;              // of the log
  std::vector<std::string> entries{};  // behind it: `term:command`
  bool leads() const { return role == "leader"; }
};

class Group {
 public:
  enum class Command : std::uint8_t {
    kStop,
    kStart,
    kCampaign,  // a follower or candidate asks for pre-votes
    kForget,    // it has not heard of its leader for an election timeout
    kBeat,      // a leader sends a heartbeat
    kQuorum,    // a leader that was not heard since the last one steps down
    kCompact,   // a snapshot of what is applied; the log before it goes
  };
  virtual ~Group() = default;
  virtual void command(Command, int node) = 0;
  virtual bool propose(int node, const std::string& text) = 0;  // false: refused
  virtual void transfer(int node, int to) = 0;
  virtual void deliver(const std::vector<Message>&) = 0;
  virtual void lose(const std::vector<Message>&) = 0;
  // An append loses its entries of this term and what is behind them.
  virtual void strip(std::uint64_t term, const Message&) = 0;
  virtual State state(int node) = 0;
  // What was sent since the last call.
  std::vector<Message> take_messages() { return std::exchange(messages_, {}); }

 protected:
  std::vector<Message> messages_{};
};

// What a core that is wrong would do: a driver that does not notice compares nothing.
enum class Lie : std::uint8_t { kNone, kVote, kAck, kCommit };

std::unique_ptr<Group> our_group(int nodes, std::uint64_t seed, Lie);
// A group in the program at `path` (etcd_group.go), which is started once. Ends this process with a
// message if that one does not answer.
std::unique_ptr<Group> etcd_group(const std::string& path, int nodes);

}  // namespace walrus::oracle
