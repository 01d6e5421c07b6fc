#pragma once
// A data directory becomes the directory of a node: of a new cluster, or of one that is there. It
// must not have topics: those of a single server are not taken into a cluster.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/log_line.h"
#include "io/env.h"
#include "log/engine.h"
#include "meta/identity.h"
#include "meta/recovery.h"
#include "walrus/service.h"

namespace walrus::server {

// As many as the directory has; one, if it is yet to be made (docs/adr/0013).
Result<int> journals_of_node(io::Env&, const io::Path& data_dir);

// kExists: there are topics; names some of them.
Result<void> check_without_topics(log::Engine&);

struct DirectoryOptions {
  std::string data_dir{}, key{};  // key: the namespace
  NodeId node{};
};
// For directories that no server has open; made if they are not there. Durable on return. Errors as
// of meta::found_cluster() and find_cluster(), and check_without_topics().
Result<meta::Identity> found_in_directory(io::Env&, const DirectoryOptions&);
// `addresses`: peer addresses of nodes of the cluster. Off loopback only with `tls`.
Result<meta::Identity> join_from_directory(io::Env&, const DirectoryOptions&,
                                           std::vector<std::string> addresses,
                                           const std::optional<TlsFiles>& tls, io::Nanos timeout);

// The operator's last resort: see meta/recovery.h. `node` of the options does not count.
enum class LastResort : std::uint8_t { kRecover, kForget };
// Shows what the directory has, and does it if the answer is yes; no server can open the directory
// meanwhile. None: the answer was no, or there was nothing to do any more.
using Confirm = std::function<Result<bool>(const meta::Survey&)>;
// kNotFound: no directory of a node; kLocked: a server has it open; errors of Confirm, and as of
// meta::recover_metadata() and forget_metadata().
Result<std::optional<meta::Survey>> mend_in_directory(io::Env&, const DirectoryOptions&, LastResort,
                                                      const Confirm&);

}  // namespace walrus::server
