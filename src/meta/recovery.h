#pragma once
// Recovery of the metadata by one node, when a majority of its voters is lost for ever: the
// operator's last resort. What the survivor's directory has of the group's log counts as decided,
// the group goes on with the survivor as its only member, and the cluster's id counts up, so that
// whoever knows the former id reaches nobody of the new era and is no majority against it.
//
// Other nodes that survive notice when they reach the survivor, stop, and join anew when they are
// started again (Begins::kAnew): what they have of the group is discarded, their copies of segments
// stay and count as before. A node that knows of more than the survivor does is not let in, because
// what it knows would be lost: the survivor to choose is the one with the newest log.
//
// For a directory that no server has open. Blocks for the disk.

#include <memory>
#include <string>
#include <vector>

#include "meta/identity.h"
#include "meta/message.h"
#include "raft/event.h"

namespace walrus::meta {

// What a directory has of the metadata.
struct Survey {
  Identity identity{};
  std::shared_ptr<const State> state{};  // all of the log counts; never null
  raft::EntryId last{};                  // of the log: the newest of all survivors is to be chosen
  raft::Membership members{};            // of the group, as of then
  bool recovered = false;                // it goes on alone when it is started
};
// kNotFound: it is no node's, or has nothing of the group. kCorrupt, kVersion, kIo.
Result<Survey> survey(log::Engine&);

// Of one topic, what is on the node and what is on others alone.
struct Survival {
  std::string topic{};
  bool internal = false;
  std::uint32_t partitions = 0;
  std::uint64_t sealed = 0, sealed_here = 0;  // segments
  std::uint64_t records = 0, records_here = 0;
  // Segments that took records: how far is known to the majority of their nodes alone.
  std::uint64_t open = 0, open_here = 0, open_whole = 0;  // whole: all of the copies are here
};
std::vector<Survival> survivals(const State&, NodeId on);  // by name

// Durable on return; done again, it does what a crash left out, and then nothing. As it was before,
// and as it is.
//   kNotFound  as of survey()
//   kInvalid   the log is empty, the node was removed, or is the only voter and needs nobody
Result<Survey> recover_metadata(io::Env&, log::Engine&);

// What is here of the group is discarded, whatever it knows of; the node joins anew when it is
// started. Its copies stay. Only for a directory that was left out of a recovery: kMismatch.
Result<Survey> forget_metadata(log::Engine&);

// Whether a node that took part before may discard what it has. kMismatch: it knows of more than
// the recovery did; kBusy: this image is older.
Result<void> check_rejoin(const State&, const RejoinRequest&);

}  // namespace walrus::meta
