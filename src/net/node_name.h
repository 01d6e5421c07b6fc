#pragma once
// How a certificate names a node: by a URI among its subject's alternative names (RFC 5280,
// 4.2.1.6),
//
//   walrus://<cluster>/node/<id>        walrus://orders.prod/node/7
//
// cluster: 1 to 63 of [a-z0-9.-], a letter or digit at both ends: which nodes belong together.
// Nodes of another cluster are refused even where one CA signs for both. id: the node's, in
// decimal, without a leading zero, 1 to 2^63 - 1.
//
// URIs of other schemes are somebody else's and mean nothing here. A certificate that names two
// nodes, or one in another form, names none. docs/security.md has worked bytes.

#include <string>
#include <vector>

#include "net/identity.h"

struct x509_st;  // X509 of OpenSSL

namespace walrus::net {

struct NodeName {
  std::string cluster{};
  NodeId node{};
  bool operator==(const NodeName&) const = default;
};

bool valid_cluster_label(Bytes);
std::string to_uri(const NodeName&);
std::string describe(const NodeName&);  // "node 7 of cluster orders.prod"

// Pure; they take what strangers wrote. kInvalid: what is wrong with it.
Result<NodeName> parse_node_name(Bytes uri);
Result<NodeName> node_name_of(const std::vector<std::string>& uris);

// The URIs that a certificate is for, as they stand in it.
std::vector<std::string> uris_of(const x509_st*);

}  // namespace walrus::net
