#include "net/node_name.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <charconv>

namespace walrus::net {
namespace {

constexpr Bytes kScheme = "walrus:";
constexpr Bytes kStart = "walrus://", kMiddle = "/node/";
constexpr std::size_t kLabelBytesMax = 63;

// What a stranger has written goes into a text: short, and nothing but what is printable.
std::string shown(Bytes text) {
  constexpr std::size_t kShownMax = 100;
  std::string result(text.substr(0, kShownMax));
  for (char& c : result)
    if (c < ' ' || c > '~') c = '?';
  return text.size() > kShownMax ? result + "..." : result;
}

bool is_plain(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

bool valid_cluster_label(Bytes label) {
  if (label.empty() || label.size() > kLabelBytesMax) return false;
  if (!is_plain(label.front()) || !is_plain(label.back())) return false;
  for (char c : label)
    if (!is_plain(c) && c != '.' && c != '-') return false;
  return true;
}

std::string to_uri(const NodeName& name) {
  return fmt::format("{}{}{}{}", kStart, name.cluster, kMiddle, name.node.value);
}

std::string describe(const NodeName& name) {
  return fmt::format("node {} of cluster {}", name.node.value, name.cluster);
}

Result<NodeName> parse_node_name(Bytes uri) {
  const auto invalid = [&](const char* why) {
    return fail(Code::kInvalid, "{} names no node: {}", shown(uri), why);
  };
  if (!uri.starts_with(kStart)) return invalid("it does not begin with walrus://");
  const auto rest = uri.substr(kStart.size());
  const auto slash = rest.find('/');
  if (slash == Bytes::npos || !rest.substr(slash).starts_with(kMiddle))
    return invalid("the form is walrus://CLUSTER/node/ID");
  const auto label = rest.substr(0, slash);
  if (!valid_cluster_label(label))
    return invalid("a cluster is 1 to 63 of a-z 0-9 . and -, a letter or digit at both ends");
  const auto digits = rest.substr(slash + kMiddle.size());
  NodeId node;
  const auto* end = digits.data() + digits.size();
  const auto read = std::from_chars(digits.data(), end, node.value);
  if (digits.empty() || read.ec != std::errc() || read.ptr != end || digits.front() == '0' ||
      is_guest(node))
    return invalid("an id is a number from 1 to 9223372036854775807");
  return NodeName{.cluster = std::string(label), .node = node};
}

Result<NodeName> node_name_of(const std::vector<std::string>& uris) {
  const std::string* found = nullptr;
  for (const auto& uri : uris) {
    if (!uri.starts_with(kScheme)) continue;
    if (found != nullptr) return fail(Code::kInvalid, "the certificate names two nodes");
    found = &uri;
  }
  if (found == nullptr)
    return fail(Code::kInvalid,
                "the certificate names no node (a URI walrus://CLUSTER/node/ID is missing)");
  return parse_node_name(*found);
}

std::vector<std::string> uris_of(const X509* certificate) {
  std::vector<std::string> uris;
  auto* all = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  if (all == nullptr) ERR_clear_error();  // none, or none that can be read
  for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
    const auto* name = sk_GENERAL_NAME_value(all, i);
    if (name->type != GEN_URI) continue;
    const auto* text = name->d.uniformResourceIdentifier;
    uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                      static_cast<std::size_t>(ASN1_STRING_length(text)));
  }
  GENERAL_NAMES_free(all);
  return uris;
}

}  // namespace walrus::net
