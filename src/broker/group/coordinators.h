#pragma once
// Coordinators: the coordinators of consumer groups that this process is, one for each partition of
// kGroupsStream whose journal it owns. A server alone has one partition, and is its coordinator for
// good; a node of a cluster begins with a partition when it becomes its leader, and ends when it is
// not any more (ReplicatedJournals in replicated_journal.h tells it).
//
// A group belongs to the partition that its name hashes to, as in Kafka: any client that knows the
// number of partitions finds the same.
//
// Lives on one loop; ask() may be called from any. Errors of all calls: kFenced, the group has its
// coordinator elsewhere (Kafka: NOT_COORDINATOR); kBusy, this is the coordinator and reads what is
// durable still (COORDINATOR_LOAD_IN_PROGRESS); anything else: not available for now. Nothing has
// been done then, but for a commit under way when its coordinator is lost: it may have been made.

#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "broker/group/groups.h"
#include "broker/run_on.h"

namespace walrus::broker {

// Kafka's: the hash of a Java string, of its UTF-16 code units, without its sign, modulo the number
// of partitions. What is not UTF-8 counts as U+FFFD, byte by byte.
std::size_t group_partition(Bytes group, std::size_t partitions);

class Coordinators : public std::enable_shared_from_this<Coordinators> {
 public:
  // Env and loop outlive this.
  Coordinators(io::Env&, io::Loop&, const GroupOptions&, std::size_t partitions);

  io::Loop& loop() { return loop_; }
  const GroupOptions& options() const { return options_; }
  std::size_t partitions() const { return coordinators_.size(); }

  // While no partition has a coordinator here.
  void set_partitions(std::size_t);
  // This process is the coordinator of `partition`, in the place of what it had there. By default
  // it reads its journal when it is asked first, and who asks meanwhile waits; with `at_once` it
  // begins now, and who asks meanwhile is answered kBusy.
  enum class Load { kWhenAsked, kAtOnce };
  void begin(std::size_t partition, std::unique_ptr<Journal>, Load = Load::kWhenAsked);
  // It is not, any more: what waits is answered kFenced.
  void end(std::size_t partition);
  bool begun(std::size_t partition) const { return coordinators_[partition] != nullptr; }
  void stop();  // the server stops: everything is answered kClosed

  // Gives a call to the coordinator of `group`, from any loop, and comes back with its result.
  template <class T, class... P>
  io::Task<T> ask(io::Loop& here, io::Task<T> (Groups::*method)(std::string, P...),
                  std::string group, std::type_identity_t<P>... arguments) {
    return run_on<T>(here, loop_,
                     [self = shared_from_this(), method, group = std::move(group),
                      ... arguments = std::move(arguments)]() mutable {
                       auto groups = self->find(group);
                       return forward<T, P...>(std::move(groups), method, std::move(group),
                                               std::move(arguments)...);
                     });
  }
  // Of all partitions whose coordinator this is and that are read, by name; from any loop. kBusy:
  // some are not read yet.
  io::Task<std::vector<GroupSummary>> list(io::Loop& here);

 private:
  Result<std::shared_ptr<Groups>> find(Bytes group) const;
  // Keeps the coordinator for as long as the call takes.
  template <class T, class... P>
  static io::Task<T> forward(Result<std::shared_ptr<Groups>> groups,
                             io::Task<T> (Groups::*method)(std::string, P...), std::string group,
                             P... arguments) {
    if (!groups) co_return std::unexpected(std::move(groups).error());
    co_return co_await (groups->get()->*method)(std::move(group), std::move(arguments)...);
  }
  io::Task<std::vector<GroupSummary>> list_here();
  static boost::asio::awaitable<void> load(std::shared_ptr<Groups>, io::Loop&);

  struct Coordinator {
    std::shared_ptr<Groups> groups;  // shared with the calls under way
    Load load = Load::kWhenAsked;
  };

  io::Env& env_;
  io::Loop& loop_;
  const GroupOptions options_;
  std::vector<std::unique_ptr<Coordinator>> coordinators_;  // by partition; none: it is elsewhere
  bool stopped_ = false;
};

}  // namespace walrus::broker
