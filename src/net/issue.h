#pragma once
// Certificates for a cluster of one's own: a CA, and what it signs for nodes. EC P-256 keys, signed
// with ECDSA and SHA-256. Pure but for OpenSSL's generator, from which keys and serial numbers
// come.
//
// The CA names its cluster as `walrus://<cluster>` and may sign for end entities only. A node's
// certificate names it as net/node_name.h says, and the addresses that it is for; it is good for
// both sides of a connection.

#include <optional>
#include <string>
#include <vector>

#include "net/node_name.h"

namespace walrus::net {

struct IssuedPem {
  std::string certificate{}, key{};  // the key without a password
};

struct Validity {
  Time begins{}, ends{};
};

// kInvalid: not a label of a cluster.
Result<IssuedPem> issue_authority(Bytes cluster, const Validity&);

struct NodeSubject {
  NodeId node{};
  std::vector<std::string> addresses{};  // DNS names, IPv4 and IPv6 addresses
};
struct NodeIssued {
  IssuedPem pem{};
  NodeName name{};
};
// kInvalid: the authority is none of issue_authority()'s, its key is another one, it ends before
// this certificate would, or an address is none.
Result<NodeIssued> issue_node(const IssuedPem& authority, const NodeSubject&, const Validity&);

// When a certificate ends.
Result<Time> certificate_end(const std::string& pem);

bool valid_certificate_address(const std::string&);  // a DNS name or an IP address

}  // namespace walrus::net
