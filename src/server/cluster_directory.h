#pragma once
// A data directory becomes the directory of a node: of a new cluster, or of one that is there. It
// must not have topics: those of a single server are not taken into a cluster.

#include <optional>
#include <string>
#include <vector>

#include "base/log_line.h"
#include "io/env.h"
#include "log/engine.h"
#include "meta/identity.h"
#include "walrus/service.h"

namespace walrus::server {

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

}  // namespace walrus::server
