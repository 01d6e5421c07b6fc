#include "net/node_name.h"

#include <gmock/gmock.h>

#include "base/golden_bytes.h"
#include "net/test_certificates.h"

namespace walrus::net {
namespace {

using testing::HasSubstr;

TEST(NodeName, is_what_its_uri_says) {
  for (const auto& [uri, name] :
       {std::pair<Bytes, NodeName>{"walrus://orders.prod/node/7", {"orders.prod", {7}}},
        {"walrus://a/node/1", {"a", {1}}},
        {"walrus://0-9/node/9223372036854775807", {"0-9", {std::uint64_t{INT64_MAX}}}}}) {
    const auto parsed = parse_node_name(uri);
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(*parsed, name);
    EXPECT_EQ(to_uri(*parsed), uri);
  }
  EXPECT_EQ(describe({"orders.prod", {7}}), "node 7 of cluster orders.prod");
}

TEST(NodeName, another_form_names_nobody) {
  const std::string longest(63, 'x');
  EXPECT_TRUE(parse_node_name("walrus://" + longest + "/node/1"));
  for (const std::string& uri : {std::string(),
                                 std::string("walrus:"),
                                 std::string("walrus://"),
                                 std::string("walrus:///node/1"),
                                 std::string("walrus://a"),
                                 std::string("walrus://a/node"),
                                 std::string("walrus://a/node/"),
                                 std::string("walrus://a/node/0"),
                                 std::string("walrus://a/node/01"),
                                 std::string("walrus://a/node/+1"),
                                 std::string("walrus://a/node/1/"),
                                 std::string("walrus://a/node/1 "),
                                 std::string("walrus://a/node/1?x"),
                                 std::string("walrus://a/node/9223372036854775808"),
                                 std::string("walrus://a/node/18446744073709551616"),
                                 std::string("walrus://A/node/1"),
                                 std::string("walrus://-a/node/1"),
                                 std::string("walrus://a./node/1"),
                                 std::string("walrus://a:1/node/1"),
                                 std::string("walrus://u@a/node/1"),
                                 std::string("walrus://a/Node/1"),
                                 std::string("Walrus://a/node/1"),
                                 std::string("http://a/node/1"),
                                 std::string("walrus://a\0/node/1", 18),
                                 std::string("walrus://a/node/1\0", 18),
                                 "walrus://" + longest + "x/node/1"}) {
    const auto parsed = parse_node_name(uri);
    ASSERT_FALSE(parsed) << uri;
    EXPECT_EQ(parsed.error().code, Code::kInvalid);
  }
  // What a stranger wrote is shortened and shown without what is no text.
  const auto wild = parse_node_name("walrus://" + std::string(5'000, '\n'));
  EXPECT_LT(wild.error().message.size(), 300U);
  EXPECT_EQ(wild.error().message.find('\n'), std::string::npos);
}

TEST(NodeName, certificate_names_exactly_one) {
  EXPECT_EQ(node_name_of({"https://example/", "walrus://a/node/1", "spiffe://a/b"}),
            (NodeName{"a", {1}}));
  EXPECT_THAT(node_name_of({}).error().message, HasSubstr("names no node"));
  EXPECT_THAT(node_name_of({"https://a/node/1"}).error().message, HasSubstr("names no node"));
  EXPECT_THAT(node_name_of({"walrus://a/node/1", "walrus://a/node/1"}).error().message,
              HasSubstr("names two nodes"));
  EXPECT_FALSE(node_name_of({"walrus://a/node/1", "walrus:"}));
  EXPECT_FALSE(node_name_of({"walrus://a"}));  // a CA
}

TEST(NodeName, uris_come_from_the_certificate_as_they_stand_there) {
  const auto none = make_certificate({.common_name = "walrus://a/node/1"}, Time());
  EXPECT_TRUE(uris_of(none.certificate.get()).empty());
  const auto some = make_certificate(
      {.names = "DNS:walrus,URI:walrus://a/node/1,IP:127.0.0.1,URI:https://b/"}, Time());
  EXPECT_EQ(uris_of(some.certificate.get()),
            (std::vector<std::string>{"walrus://a/node/1", "https://b/"}));
}

// The extension as RFC 5280 encodes it; docs/security.md explains the bytes.
TEST(NodeName, golden_extension_names_the_node) {
  const auto golden = golden_bytes("peer/node_name");
  ASSERT_EQ(golden.size(), 48U);
  const CertificateHandle certificate(X509_new());
  const auto* at = reinterpret_cast<const unsigned char*>(golden.data());
  auto* names = d2i_GENERAL_NAMES(nullptr, &at, static_cast<long>(golden.size()));
  ASSERT_NE(names, nullptr);
  EXPECT_EQ(
      X509_add1_ext_i2d(certificate.get(), NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT), 1);
  GENERAL_NAMES_free(names);
  EXPECT_EQ(node_name_of(uris_of(certificate.get())), (NodeName{"orders.prod", {7}}));
}

}  // namespace
}  // namespace walrus::net
