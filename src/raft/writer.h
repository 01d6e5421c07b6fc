#pragma once
// Writer: the worker that does what all groups of a process want written, so that the loop touches
// neither a file nor a mapping. What lies in its inbox when it begins goes into the engine at once
// and is covered by one sync. A group's jobs are done in order; one that has to wait (the journal
// or the disk is full) holds up its own group alone, and is tried again.
//
// Made and used on one loop; `done` runs there, in the order of a group's jobs.

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/event.h"
#include "raft/mailbox.h"
#include "raft/store.h"

namespace walrus::raft {

class Writer {
 public:
  // Everything of the job is durable; or what is on the disk is not known.
  using Done = std::move_only_function<void(Result<StoreJob>)>;
  struct Order {
    std::shared_ptr<Store> store{};
    StoreJob job{};
    Done done{};
  };
  // A job of that group waits, and why; empty: it waits no more.
  using Waits = std::function<void(GroupId, std::string why)>;

  Writer(io::Env&, log::Engine&, Mailbox, io::Nanos retry, Waits);
  ~Writer();  // the call that runs is finished; done is not called any more
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void submit(std::vector<Order>);

 private:
  struct Numbered {
    std::shared_ptr<Store> store{};
    StoreJob job{};
    std::uint64_t number = 0;
  };
  // Of the loop and the worker, and of callbacks of the engine, which may outlive both.
  struct Inbox {
    Lock lock;
    io::Worker* worker = nullptr;
    std::vector<Numbered> orders{};
    void wake();
  };
  // What `done` refers to belongs to the loop: it never leaves it. Other threads know its number.
  struct Answers {
    std::unordered_map<std::uint64_t, Done> by_number{};
    std::uint64_t last = 0;
    void give(std::uint64_t number, Result<StoreJob>);
  };
  // A job that is in the journal, until each shard that it is in has synced it.
  struct Written {
    StoreJob job{};
    std::uint64_t number = 0;
    std::size_t left = 0;
    std::optional<Error> error{};
  };
  using WrittenRef = std::shared_ptr<Written>;  // shared by the callbacks of its shards
  struct Line {                                 // one group's
    std::shared_ptr<Store> store{};
    std::deque<Numbered> orders{};
    bool told = false;  // that it waits
  };

  io::Nanos step();
  void take_inbox();
  bool work(Line&, std::vector<WrittenRef>&);  // false: it waits
  void await_room(Line&);
  void await_disk(std::vector<WrittenRef>);
  static void synced(Answers&, const std::vector<WrittenRef>&, const Result<void>&);

  io::Env& env_;
  log::Engine& engine_;
  Mailbox mailbox_;
  const io::Nanos retry_;
  const std::shared_ptr<const Waits> waits_;  // shared with calls in the mailbox
  const std::shared_ptr<Inbox> inbox_;
  const std::shared_ptr<Answers> answers_;  // shared with calls in the mailbox
  // The worker's: groups with something to do, in order of arrival, and where each is.
  std::vector<Line> lines_{};
  std::unordered_map<const Store*, std::size_t> line_of_{};
  std::unique_ptr<io::Worker> worker_;
};

}  // namespace walrus::raft
