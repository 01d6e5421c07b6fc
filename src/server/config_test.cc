#include "server/config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "server/setup.h"
#include "walrus_source_dir.h"

namespace walrus::server {
namespace {

std::string error(const ConfigInput& input) {
  auto config = Config::load(input);
  return config ? "" : config.error().message;
}

ConfigInput file(const std::string& text) {
  return {.file_name = "walrus.toml", .file_text = text};
}

TEST(ConfigTest, defaults_are_those_of_the_interface) {
  auto config = Config::load({});
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->string("native.listen"), "127.0.0.1:9091");
  EXPECT_EQ(config->string("kafka.listen"), "127.0.0.1:9092");
  EXPECT_EQ(config->string("peer.listen"), "127.0.0.1:9093");
  EXPECT_EQ(config->string("admin.listen"), "127.0.0.1:9094");
  EXPECT_EQ(config->integer("native.frame_bytes_max"), 1048576);
  EXPECT_EQ(config->integer("native.connections_max"), 10000);
  EXPECT_EQ(config->integer("native.idle_timeout_ms"), 600000);
  EXPECT_EQ(config->integer("native.output_bytes_max"), 4194304);
  EXPECT_EQ(config->integer("topic.segment_records_max"), 1000000);
  EXPECT_EQ(config->integer("topic.batch_bytes_max"), 1048588);
  EXPECT_EQ(config->integer("topic.retention_ms"), -1);
  EXPECT_EQ(config->string("topic.durability"), "fsync");
  EXPECT_FALSE(config->boolean("security.insecure"));
  EXPECT_FALSE(config->quiet());
}

TEST(ConfigTest, file_values_win_over_defaults) {
  auto config = Config::load(file("[node]\nid = 7\n[topic]\ndurability = \"interval=200\"\n"));
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->integer("node.id"), 7);
  EXPECT_EQ(config->string("topic.durability"), "interval=200");
}

TEST(ConfigTest, precedence_is_flag_environment_file_default) {
  auto input = file("[node]\nid = 2\nrack = \"file\"\ndata_dir = \"file\"\n");
  input.environment = {{"WALRUS_NODE_ID", "3"}, {"WALRUS_NODE_RACK", "env"}};
  input.flags = {{"--node-id", "node.id", "4"}};
  auto config = Config::load(input);
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->integer("node.id"), 4);
  EXPECT_EQ(config->string("node.rack"), "env");
  EXPECT_EQ(config->string("node.data_dir"), "file");
}

TEST(ConfigTest, small_journal_has_small_files_and_takes_the_largest_payload) {
  auto config =
      Config::load(file("[log]\njournal_bytes_max = 2097152\n"
                        "[topic]\nbatch_bytes_max = 65536\n"));
  ASSERT_TRUE(config.has_value()) << config.error().message;
  auto engine = server_options(*config, 1).engine;
  EXPECT_GT(engine.user.batch_bytes_max, 65'536);
  EXPECT_GE(engine.user.journal_bytes_max, 4 * engine.user.batch_bytes_max);
  EXPECT_GE(engine.user.journal_bytes_max, 4 * engine.journal_file_bytes_min);
  auto defaults = server_options(*Config::load({}), 1).engine;
  EXPECT_EQ(defaults.journal_file_bytes_min, log::EngineOptions().journal_file_bytes_min);
}

TEST(ConfigTest, unknown_key_is_refused_with_file_and_line) {
  EXPECT_EQ(error(file("[native]\n\nlisen = \"x\"\n")), "walrus.toml:3: unknown key native.lisen");
  EXPECT_EQ(error(file("[nativ]\nlisten = \"x\"\n")), "walrus.toml:1: unknown table nativ");
  EXPECT_EQ(error(file("\nlisten = \"x\"\n")), "walrus.toml:2: unknown key listen");
  EXPECT_EQ(error({.flags = {{"--set", "native.lisen", "x"}}}), "--set: unknown key native.lisen");
  EXPECT_EQ(error({.environment = {{"WALRUS_NATIVE_LISEN", "x"}}}),
            "WALRUS_NATIVE_LISEN: unknown key");
}

TEST(ConfigTest, value_out_of_range_is_refused_with_its_place) {
  EXPECT_EQ(error(file("[native]\nframe_bytes_max = 5\n")),
            "walrus.toml:2: native.frame_bytes_max = 5: expected a whole number from 1024 to "
            "67108864");
  EXPECT_EQ(error({.environment = {{"WALRUS_NODE_ID", "0"}}}),
            "WALRUS_NODE_ID: node.id = 0: expected a whole number from 1 to 2147483647");
  EXPECT_EQ(error({.flags = {{"--listen", "native.listen", "nowhere"}}}),
            "--listen: native.listen = nowhere: expected host:port");
  EXPECT_EQ(error(file("[topic]\ndurability = \"never\"\n")),
            "walrus.toml:2: topic.durability = never: expected fsync, interval=<1..3600000> or os");
  EXPECT_EQ(error({.flags = {{"--data-dir", "node.data_dir", ""}}}),
            "--data-dir: node.data_dir is empty");
}

TEST(ConfigTest, wrong_type_and_bad_toml_name_their_line) {
  EXPECT_EQ(error(file("[node]\nid = \"7\"\n")), "walrus.toml:2: node.id: expected a whole number");
  EXPECT_TRUE(error(file("[node]\nid = \n")).starts_with("walrus.toml:2: "));
  EXPECT_EQ(error(file("node = 1\n")), "walrus.toml:1: node is a table: [node]");
  EXPECT_TRUE(error(file("\n[.node]\n")).starts_with("walrus.toml:2: "));
  EXPECT_TRUE(error(file("\n[nod\u00e9]\n")).starts_with("walrus.toml:2: a character beyond"));
  EXPECT_EQ(error(file("[node]\nrack = \"\"\"\n")), "walrus.toml:2: a string of several lines");
  EXPECT_EQ(error(file("[node]\nid = 2'\u029b'\n")),
            "walrus.toml:2: a quote where no string can begin");
  EXPECT_EQ(error(file("[node]\nid = 2no='\u029b'\n")),
            "walrus.toml:2: one setting a line: name = value");
  EXPECT_EQ(error(file("# \u00e9\n[node]\nrack = \"\\\"\u00e9\" # '\u00e9\n")), "");
}

TEST(ConfigTest, names_of_upstream_are_read_and_ours_win) {
  auto config = Config::load({.environment = {{"WALRUS_DATA_DIR", "/d"},
                                              {"WALRUS_INSTANCE_KEY", "k"},
                                              {"WALRUS_MAX_SEGMENT_ENTRIES", "10"},
                                              {"WALRUS_MONITOR_CHECK_MS", "200"},
                                              {"WALRUS_QUIET", ""},
                                              {"WALRUS_DISABLE_IO_URING", "1"},
                                              {"WALRUS_NODE_DATA_DIR", "/ours"}}});
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->string("node.data_dir"), "/ours");
  EXPECT_EQ(config->string("node.namespace"), "k");
  EXPECT_EQ(config->integer("topic.segment_records_max"), 10);
  EXPECT_EQ(config->integer("log.maintenance_interval_ms"), 200);
  EXPECT_TRUE(config->quiet());
}

TEST(ConfigTest, address_off_loopback_where_nobody_is_asked_needs_insecure) {
  ConfigInput input{.flags = {{"--listen", "native.listen", "0.0.0.0:9091"}}};
  EXPECT_EQ(error(input),
            "--listen: native.listen = 0.0.0.0:9091: not a loopback address, and nobody is asked "
            "who he is: set security.sasl (with users, see walrus user, and a "
            "security.certificate), or security.client_certificate = \"required\", or allow it "
            "with --insecure");
  input.flags.push_back({"--insecure", "security.insecure", "true"});
  EXPECT_EQ(error(input), "");
  EXPECT_EQ(error({.flags = {{"--listen", "native.listen", "[::1]:9091"}}}), "");
  EXPECT_EQ(error({.flags = {{"--listen", "native.listen", "localhost:9091"}}}), "");
}

// It has neither TLS nor users, whatever the other ports ask for.
TEST(ConfigTest, admin_port_off_loopback_needs_insecure_in_any_case) {
  ConfigInput input{.flags = {{"--admin-listen", "admin.listen", "0.0.0.0:9094"},
                              {"--set", "security.certificate", "a.pem"},
                              {"--set", "security.key", "k.pem"},
                              {"--set", "security.sasl", "SCRAM-SHA-256"},
                              {"--set", "security.client_certificate", "required"},
                              {"--set", "security.ca", "ca.pem"}}};
  EXPECT_TRUE(error(input).starts_with(
      "--admin-listen: admin.listen = 0.0.0.0:9094: not a loopback address"))
      << error(input);
  input.flags.push_back({"--insecure", "security.insecure", "true"});
  EXPECT_EQ(error(input), "");
}

// A name is not loopback because it begins like it.
TEST(ConfigTest, names_that_look_like_loopback_are_refused) {
  for (const char* address : {"127.example.org:9091", "127.0.0.1.example.org:9091"}) {
    ConfigInput input{.flags = {{"--listen", "native.listen", address}}};
    EXPECT_TRUE(error(input).contains("not a loopback address")) << address;
  }
}

constexpr Bytes kCertificate = "[security]\ncertificate = \"a.pem\"\nkey = \"k.pem\"\n";
constexpr Bytes kOpen = "[native]\nlisten = \"0.0.0.0:9091\"\n";

TEST(ConfigTest, address_off_loopback_is_fine_where_everybody_is_asked) {
  auto open = [](const std::string& rest) { return error(file(std::string(kOpen) + rest)); };
  EXPECT_EQ(open("[security]\nsasl = [\"SCRAM-SHA-256\"]\n"), "");
  EXPECT_EQ(open(std::string(kCertificate) + "sasl = [\"PLAIN\"]\n"), "");
  EXPECT_EQ(
      open(std::string(kCertificate) + "ca = \"ca.pem\"\nclient_certificate = \"required\"\n"), "");
  // Encrypted only, or by those who like to.
  EXPECT_NE(open(std::string(kCertificate)), "");
  EXPECT_NE(
      open(std::string(kCertificate) + "ca = \"ca.pem\"\nclient_certificate = \"requested\"\n"),
      "");
}

// Nobody but nodes may connect there, which nothing but their certificates proves.
TEST(ConfigTest, peer_port_off_loopback_needs_certificates_of_nodes) {
  const std::string peer = "[peer]\nlisten = \"0.0.0.0:9093\"\n";
  EXPECT_TRUE(error(file(peer))
                  .starts_with("walrus.toml:2: peer.listen = 0.0.0.0:9093: not a loopback address, "
                               "and nothing proves"))
      << error(file(peer));
  EXPECT_NE(error(file(peer + std::string(kCertificate))), "");
  EXPECT_EQ(error(file(peer + std::string(kCertificate) + "ca = \"ca.pem\"\n")), "");
  EXPECT_NE(error(file("[peer]\nadvertise = \"db1.example.org:9093\"\n")), "");
  EXPECT_EQ(error(file(peer + "[security]\ninsecure = true\n")), "");
}

TEST(ConfigTest, peers_speak_tls_where_there_are_certificate_and_ca) {
  auto tls = [](const std::string& text) {
    auto config = Config::load(file(text));
    EXPECT_TRUE(config.has_value()) << config.error().message;
    return config && server_options(*config, 1).cluster_tls;
  };
  EXPECT_FALSE(tls(""));
  EXPECT_FALSE(tls(std::string(kCertificate)));
  EXPECT_TRUE(tls(std::string(kCertificate) + "ca = \"ca.pem\"\n"));
  EXPECT_EQ(error(file("[peer]\nsecurity = \"ssl\"\n")),
            "walrus.toml:2: peer.security = ssl: there is no TLS between nodes without "
            "security.certificate and security.ca");
  EXPECT_NE(error(file(std::string(kCertificate) +
                       "ca = \"ca.pem\"\n[peer]\nsecurity = \"plaintext\"\n")),
            "");
}

TEST(ConfigTest, voters_are_one_three_or_five) {
  for (auto [voters, fine] : {std::pair(1, true), {2, false}, {3, true}, {4, false}, {5, true}})
    EXPECT_EQ(error(file(fmt::format("[cluster]\nvoters = {}\n", voters))).empty(), fine) << voters;
  EXPECT_EQ(error(file("[cluster]\nvoters = 2\n")),
            "walrus.toml:2: cluster.voters = 2: expected 1, 3 or 5: an even number survives no "
            "more failures than the odd one below it");
}

TEST(ConfigTest, the_feature_level_is_that_of_the_program_or_held_below_it) {
  auto level = [](const std::string& text) {
    auto config = Config::load(file(text));
    EXPECT_TRUE(config.has_value()) << config.error().message;
    return server_options(*config, 1).cluster.feature_level;
  };
  EXPECT_EQ(level(""), meta::kFeatureLevel);
  EXPECT_EQ(level("[cluster]\nfeature_level_max = 0\n"), meta::kFeatureLevel);
  EXPECT_EQ(level("[cluster]\nfeature_level_max = 1\n"), 1u);
  const auto above = meta::kFeatureLevel + 1;
  EXPECT_EQ(error(file(fmt::format("[cluster]\nfeature_level_max = {}\n", above))),
            fmt::format("walrus.toml:2: cluster.feature_level_max = {}: expected a whole number "
                        "from 0 to {}",
                        above, meta::kFeatureLevel));
}

TEST(ConfigTest, members_to_join_are_addresses) {
  auto config = Config::load(file("[cluster]\njoin = [\"127.0.0.1:9093\", \"[::1]:9093\"]\n"));
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(server_options(*config, 1).cluster.join,
            (std::vector<std::string>{"127.0.0.1:9093", "[::1]:9093"}));
  EXPECT_EQ(error({.flags = {{"--join", "cluster.join", "127.0.0.1:9093,nowhere"}}}),
            "--join: cluster.join = 127.0.0.1:9093,nowhere: expected host:port, ...");
}

TEST(ConfigTest, plain_passwords_stay_off_the_network) {
  auto plain = std::string(kOpen) + "[security]\nsasl = [\"SCRAM-SHA-256\", \"PLAIN\"]\n";
  EXPECT_NE(error(file(plain)).find("PLAIN, which shows passwords to the network"),
            std::string::npos);
  EXPECT_NE(error(file(plain + "insecure = true\n")), "");
  EXPECT_EQ(error(file("[security]\nsasl = [\"PLAIN\"]\n")), "");  // loopback
}

TEST(ConfigTest, security_that_does_not_go_together_is_refused_with_its_place) {
  EXPECT_EQ(error(file("[security]\ncertificate = \"a.pem\"\n")),
            "default: security.key = \"\": a certificate and its key come together");
  EXPECT_EQ(error(file("[security]\nkey = \"a.pem\"\n")),
            "default: security.certificate = \"\": a certificate and its key come together");
  EXPECT_EQ(error(file("[security]\nclient_certificate = \"required\"\n")),
            "walrus.toml:2: security.client_certificate = required: there is no TLS without "
            "security.certificate");
  EXPECT_EQ(error(file(std::string(kCertificate) + "client_certificate = \"required\"\n")),
            "walrus.toml:4: security.client_certificate = required: security.ca has to name who "
            "signs them");
  EXPECT_EQ(error(file("[security]\nsasl = [\"GSSAPI\"]\n")),
            "walrus.toml:2: security.sasl = GSSAPI: expected some of "
            "SCRAM-SHA-256|SCRAM-SHA-512|PLAIN");
  EXPECT_EQ(error(file("[kafka]\nsecurity = \"ssl\"\n")),
            "walrus.toml:2: kafka.security = ssl: there is no TLS without security.certificate");
  EXPECT_EQ(error(file("[kafka]\nsecurity = \"sasl_plaintext\"\n")),
            "walrus.toml:2: kafka.security = sasl_plaintext: security.sasl names no mechanism");
  EXPECT_EQ(error(file("[kafka]\nsecurity = \"tls\"\n")),
            "walrus.toml:2: kafka.security = tls: expected one of "
            "auto|plaintext|ssl|sasl_plaintext|sasl_ssl");
}

TEST(ConfigTest, ports_ask_for_what_there_is_unless_told_otherwise) {
  auto config =
      Config::load(file(std::string(kCertificate) + "sasl = [\"SCRAM-SHA-512\", \"PLAIN\"]\n"
                                                    "[native]\nsecurity = \"plaintext\"\n"));
  ASSERT_TRUE(config.has_value()) << config.error().message;
  auto security = server_options(*config, 1).security;
  EXPECT_TRUE(security.kafka.tls);
  EXPECT_EQ(security.kafka.mechanisms,
            (std::vector{wire::sasl::Mechanism::kScramSha512, wire::sasl::Mechanism::kPlain}));
  EXPECT_FALSE(security.native.tls);
  EXPECT_TRUE(security.native.mechanisms.empty());
  EXPECT_EQ(security.tls.files.certificate, "a.pem");
  auto none = server_options(*Config::load({}), 1).security;
  EXPECT_FALSE(none.kafka.tls || none.native.tls);
}

TEST(ConfigTest, what_is_printed_loads_to_the_same) {
  auto input = file("[node]\ndata_dir = \"a \\\"b\\\" c\"\n[topic]\nretention_ms = 5\n");
  auto config = Config::load(input);
  ASSERT_TRUE(config.has_value()) << config.error().message;
  auto printed = config->print();
  EXPECT_NE(printed.find("retention_ms = 5  # walrus.toml:4"), std::string::npos) << printed;
  auto again = Config::load(file(printed));
  ASSERT_TRUE(again.has_value()) << again.error().message;
  for (const auto& option : options())
    EXPECT_EQ(again->string(option.key), config->string(option.key)) << option.key;
}

// WALRUS_WRITE_DOCS=1 in the environment of this test writes the page instead.
TEST(ConfigTest, documentation_is_what_the_table_says) {
  auto path = std::string(WALRUS_SOURCE_DIR) + "/docs/configuration.md";
  if (std::getenv("WALRUS_WRITE_DOCS") != nullptr) std::ofstream(path) << configuration_markdown();
  std::ifstream page(path);
  std::stringstream text;
  text << page.rdbuf();
  EXPECT_EQ(text.str(), configuration_markdown());
}

}  // namespace
}  // namespace walrus::server
