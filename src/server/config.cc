#include "server/config.h"

// The library asserts in places what a file may well violate ("[.key]"), or assumes it where NDEBUG
// is defined. Its own check of the same follows, and gives an error.
#undef NDEBUG
#define TOML_ASSERT(condition) static_assert(true)
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "base/check.h"
#include "broker/topic_config.h"
#include "io/address.h"

namespace walrus::server {
namespace {

// What no configuration needs and the library has undefined behaviour for: characters beyond ASCII
// outside of comments and strings. What looks like a string to this check must be one to the
// library: so a quote, a bracket or a second = within a value is refused, and tables within a line
// and strings of several lines are.
Result<void> check_text(const std::string& file, Bytes text) {
  int line = 1, equals = 0;
  char inside = 0;     // the quote that ends the string, or # in a comment
  char before = '\n';  // the last character that is no blank
  auto bad = [&](Bytes what) { return fail(Code::kInvalid, "{}:{}: {}", file, line, what); };
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    bool begins = Bytes("\n=[,").contains(before);  // a value may
    if (c == '\n') {
      ++line;
      equals = 0;
      inside = 0;
    } else if (inside != 0) {
      if (inside == '"' && c == '\\' && i + 1 < text.size() && text[i + 1] != '\n') ++i;
      else if (c == inside && c != '#') inside = 0;
    } else if (c == '"' || c == '\'') {
      if (text.substr(i, 3) == std::string(3, c)) return bad("a string of several lines");
      bool of_a_key = before == '.' && equals == 0;
      if (!begins && !of_a_key) return bad("a quote where no string can begin");
      inside = c;
    } else if (c == '#') {
      inside = c;
    } else if (c == '[' && !begins) {
      return bad("a [ where no array can begin");
    } else if (c == '{' || (c == '=' && ++equals > 1)) {
      return bad("one setting a line: name = value");
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      return bad("a character beyond ASCII outside of a string");
    }
    if (c != ' ' && c != '\t' && c != '\r') before = c;
  }
  return {};
}

std::unexpected<Error> refuse(const std::string& origin, const Option& option,
                              const std::string& text, Bytes expected) {
  return fail(Code::kInvalid, "{}: {} = {}: expected {}", origin, option.key,
              text.empty() ? "\"\"" : text, expected);
}

Result<std::int64_t> parse_integer(Bytes text) {
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    return fail(Code::kInvalid, "not a number");
  return value;
}

std::vector<std::string> elements_of(const std::string& list) {
  std::vector<std::string> elements;
  std::istringstream rest(list);
  for (std::string element; std::getline(rest, element, ',');) elements.push_back(element);
  return elements;
}

bool is_choice(const Option& option, Bytes text) {
  for (auto rest = option.choices; !rest.empty();) {
    auto bar = rest.find('|');
    if (rest.substr(0, bar) == text) return true;
    rest.remove_prefix(bar == Bytes::npos ? rest.size() : bar + 1);
  }
  return false;
}

Result<void> check_value(const Option& option, const std::string& text, const std::string& origin) {
  switch (option.type) {
    case OptionType::kInteger: {
      auto value = parse_integer(text);
      if (value && *value >= option.min && *value <= option.max) return {};
      auto expected = option.max == std::numeric_limits<std::int64_t>::max()
                          ? fmt::format("a whole number from {}", option.min)
                          : fmt::format("a whole number from {} to {}", option.min, option.max);
      return refuse(origin, option, text, expected);
    }
    case OptionType::kBoolean:
      if (text == "true" || text == "false") return {};
      return refuse(origin, option, text, "true or false");
    case OptionType::kDurability:
      if (broker::parse_durability(text)) return {};
      return refuse(origin, option, text, "fsync, interval=<1..3600000> or os");
    case OptionType::kOptionalAddress:
      if (text.empty()) return {};
      [[fallthrough]];
    case OptionType::kAddress:
      if (io::parse_address(text)) return {};
      return refuse(origin, option, text, "host:port");
    case OptionType::kAddresses:
      for (const auto& element : elements_of(text))
        if (!io::parse_address(element)) return refuse(origin, option, text, "host:port, ...");
      return {};
    case OptionType::kChoice:
      if (is_choice(option, text)) return {};
      return refuse(origin, option, text, fmt::format("one of {}", option.choices));
    case OptionType::kList:
      for (const auto& element : elements_of(text))
        if (!is_choice(option, element))
          return refuse(origin, option, text, fmt::format("some of {}", option.choices));
      return {};
    case OptionType::kString: return {};
  }
  return {};
}

// A TOML value in the text form of the option table; none: of another type.
std::optional<std::string> text_of(const toml::node& node, const Option& option) {
  switch (option.type) {
    case OptionType::kInteger:
      if (auto* value = node.as_integer()) return std::to_string(value->get());
      return std::nullopt;
    case OptionType::kBoolean:
      if (auto* value = node.as_boolean()) return value->get() ? "true" : "false";
      return std::nullopt;
    case OptionType::kAddresses:
    case OptionType::kList: {
      auto* array = node.as_array();
      if (array == nullptr) return std::nullopt;
      std::string text;
      for (const auto& element : *array) {
        auto* value = element.as_string();
        if (value == nullptr) return std::nullopt;
        if (!text.empty()) text += ',';
        text += value->get();
      }
      return text;
    }
    default:
      if (auto* value = node.as_string()) return value->get();
      return std::nullopt;
  }
}

Bytes type_name(OptionType type) {
  switch (type) {
    case OptionType::kInteger: return "a whole number";
    case OptionType::kBoolean: return "true or false";
    case OptionType::kAddresses:
    case OptionType::kList: return "an array of strings";
    default: return "a string";
  }
}

// Names that upstream's binary reads, for the same things.
constexpr struct {
  Bytes variable, key;
} kUpstreamVariables[] = {
    {"WALRUS_DATA_DIR", "node.data_dir"},
    {"WALRUS_INSTANCE_KEY", "node.namespace"},
    {"WALRUS_MAX_SEGMENT_ENTRIES", "topic.segment_records_max"},
    {"WALRUS_MONITOR_CHECK_MS", "log.maintenance_interval_ms"},
};

Bytes table_of(Bytes key) { return key.substr(0, key.find('.')); }
Bytes name_in_table(Bytes key) { return key.substr(key.find('.') + 1); }

std::string upper(Bytes text) {
  std::string result(text);
  for (auto& c : result) c = c == '.' ? '_' : static_cast<char>(std::toupper(c));
  return result;
}

std::string toml_string(const std::string& text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      result += fmt::format("\\u{:04x}", static_cast<int>(c));
    else result += c;
  }
  return result + '"';
}

std::string toml_value(const Option& option, const std::string& text) {
  if (option.type == OptionType::kInteger || option.type == OptionType::kBoolean) return text;
  if (option.type != OptionType::kList && option.type != OptionType::kAddresses)
    return toml_string(text);
  std::string list;
  for (const auto& element : elements_of(text))
    list += (list.empty() ? "" : ", ") + toml_string(element);
  return "[" + list + "]";
}

}  // namespace

std::string environment_name(const Option& option) { return "WALRUS_" + upper(option.key); }

Config::Config() {
  for (const auto& option : options())
    values_[std::string(option.key)] = {std::string(option.fallback), "default"};
}

Result<Config> Config::load(const ConfigInput& input) {
  Config config;
  WALRUS_TRY(config.load_file(input));
  WALRUS_TRY(config.load_environment(input.environment));
  for (const auto& flag : input.flags) {
    const auto* option = find_option(flag.key);
    if (option == nullptr) return fail(Code::kInvalid, "{}: unknown key {}", flag.flag, flag.key);
    WALRUS_TRY(config.set(*option, flag.value, flag.flag));
  }
  WALRUS_TRY(config.check());
  return config;
}

Result<void> Config::set(const Option& option, std::string text, std::string origin) {
  WALRUS_TRY(check_value(option, text, origin));
  values_[std::string(option.key)] = {std::move(text), std::move(origin)};
  return {};
}

Result<void> Config::load_file(const ConfigInput& input) {
  WALRUS_TRY(check_text(input.file_name, input.file_text));
  auto parsed = toml::parse(input.file_text, input.file_name);
  if (!parsed) {
    const auto& error = parsed.error();
    return fail(Code::kInvalid, "{}:{}: {}", input.file_name, error.source().begin.line,
                error.description());
  }
  auto at = [&input](const toml::node& node) {
    return fmt::format("{}:{}", input.file_name, node.source().begin.line);
  };
  for (const auto& [table_name, node] : parsed.table()) {
    const auto* table = node.as_table();
    bool known = std::ranges::any_of(options(), [&table_name](const Option& option) {
      return table_of(option.key) == table_name.str();
    });
    if (!known)
      return fail(Code::kInvalid, "{}: unknown {} {}", at(node), table ? "table" : "key",
                  table_name.str());
    if (table == nullptr)
      return fail(Code::kInvalid, "{}: {} is a table: [{}]", at(node), table_name.str(),
                  table_name.str());
    for (const auto& [name, value] : *table) {
      auto key = fmt::format("{}.{}", table_name.str(), name.str());
      const auto* option = find_option(key);
      if (option == nullptr) return fail(Code::kInvalid, "{}: unknown key {}", at(value), key);
      auto text = text_of(value, *option);
      if (!text)
        return fail(Code::kInvalid, "{}: {}: expected {}", at(value), key, type_name(option->type));
      WALRUS_TRY(set(*option, *text, at(value)));
    }
  }
  return {};
}

Result<void> Config::load_environment(const std::map<std::string, std::string>& environment) {
  for (const auto& [variable, key] : kUpstreamVariables) {
    auto found = environment.find(std::string(variable));
    if (found != environment.end()) WALRUS_TRY(set(*find_option(key), found->second, found->first));
  }
  quiet_ = environment.contains("WALRUS_QUIET");
  for (const auto& [variable, value] : environment) {
    auto option = std::ranges::find(options(), variable, environment_name);
    if (option != options().end()) {
      WALRUS_TRY(set(*option, value, variable));
      continue;
    }
    // Ours by its table, but no key of it: most likely misspelt.
    for (const auto& other : options())
      if (variable.starts_with("WALRUS_" + upper(table_of(other.key)) + "_"))
        return fail(Code::kInvalid, "{}: unknown key", variable);
  }
  return {};
}

Result<void> Config::check() const {
  auto origin = [this](Bytes key) { return values_.find(key)->second.origin; };
  if (string("node.data_dir").empty())
    return fail(Code::kInvalid, "{}: node.data_dir is empty", origin("node.data_dir"));
  WALRUS_TRY(check_security());
  if (integer("native.output_bytes_max") < integer("native.frame_bytes_max"))
    return fail(Code::kInvalid, "{}: native.output_bytes_max is less than native.frame_bytes_max",
                origin("native.output_bytes_max"));
  if (integer("cluster.voters") % 2 == 0)
    return fail(Code::kInvalid,
                "{}: cluster.voters = {}: expected 1, 3 or 5: an even number survives no more "
                "failures than the odd one below it",
                origin("cluster.voters"), integer("cluster.voters"));
  return {};
}

Result<void> Config::check_security() const {
  auto refused = [this](Bytes key, Bytes why) {
    return fail(Code::kInvalid, "{}: {} = {}: {}", values_.find(key)->second.origin, key,
                string(key).empty() ? "\"\"" : string(key), why);
  };
  bool certificate = !string("security.certificate").empty();
  if (certificate != !string("security.key").empty())
    return refused(certificate ? "security.key" : "security.certificate",
                   "a certificate and its key come together");
  bool asks = string("security.client_certificate") != "none";
  if (asks && !certificate)
    return refused("security.client_certificate", "there is no TLS without security.certificate");
  if (asks && string("security.ca").empty())
    return refused("security.client_certificate", "security.ca has to name who signs them");
  if (!asks && !protocol("peer").tls && !string("security.ca").empty())
    return refused("security.ca",
                   "has no effect without security.certificate, or while "
                   "security.client_certificate = none and peer.security = plaintext");
  for (Bytes table : {"native", "kafka", "admin"}) WALRUS_TRY(check_port(table));
  return check_peer_port();
}

// Who connects to it is a node or nobody: with certificates that is proved.
Result<void> Config::check_peer_port() const {
  auto refused = [this](Bytes key, Bytes why) {
    return fail(Code::kInvalid, "{}: {} = {}: {}", values_.find(key)->second.origin, key,
                string(key), why);
  };
  bool tls = protocol("peer").tls;
  if (tls && (string("security.certificate").empty() || string("security.ca").empty()))
    return refused("peer.security",
                   "there is no TLS between nodes without security.certificate and security.ca");
  for (Bytes key : {"peer.listen", "peer.advertise"}) {
    if (string(key).empty()) continue;
    auto address = io::parse_address(string(key));
    if (!address) return refused(key, "expected host:port");
    if (!io::is_loopback(*address) && !tls && !boolean("security.insecure"))
      return refused(key,
                     "not a loopback address, and nothing proves that who connects is a node: set "
                     "security.certificate, security.key and security.ca (see walrus cert), or "
                     "allow it with --insecure");
  }
  return {};
}

Result<void> Config::check_port(Bytes table) const {
  auto key = fmt::format("{}.listen", table);
  if (string(key).empty()) return {};
  WALRUS_ASSIGN(auto address, io::parse_address(string(key)));
  bool loopback = io::is_loopback(address);
  auto refused = [&](const std::string& which, Bytes why) {
    return fail(Code::kInvalid, "{}: {} = {}: {}", values_.find(which)->second.origin, which,
                string(which), why);
  };
  PortProtocol asks;
  if (table != "admin") {
    asks = protocol(table);
    auto chosen = fmt::format("{}.security", table);
    if (asks.tls && string("security.certificate").empty())
      return refused(chosen, "there is no TLS without security.certificate");
    if (asks.sasl && string("security.sasl").empty())
      return refused(chosen, "security.sasl names no mechanism");
  }
  auto mechanisms = list("security.sasl");
  bool plain = std::ranges::find(mechanisms, "PLAIN") != mechanisms.end();
  if (asks.sasl && plain && !asks.tls && !loopback)
    return refused(key,
                   "not a loopback address, and security.sasl has PLAIN, which shows "
                   "passwords to the network: set security.certificate, or leave PLAIN out");
  bool proven = asks.sasl || (asks.tls && string("security.client_certificate") == "required");
  if (loopback || proven || boolean("security.insecure")) return {};
  if (table == "admin")
    return refused(key,
                   "not a loopback address, and nobody is asked who he is on this port: keep "
                   "it on loopback, or allow it with --insecure");
  return refused(key,
                 "not a loopback address, and nobody is asked who he is: set security.sasl "
                 "(with users, see walrus user, and a security.certificate), or "
                 "security.client_certificate = \"required\", or allow it with --insecure");
}

PortProtocol Config::protocol(Bytes table) const {
  const auto& chosen = string(fmt::format("{}.security", table));
  if (table == "peer" && chosen == "auto")
    return {.tls = !string("security.certificate").empty() && !string("security.ca").empty()};
  if (chosen == "auto")
    return {.tls = !string("security.certificate").empty(),
            .sasl = !string("security.sasl").empty()};
  return {.tls = chosen.ends_with("ssl"), .sasl = chosen.starts_with("sasl")};
}

std::vector<std::string> Config::list(Bytes key) const { return elements_of(string(key)); }

const std::string& Config::string(Bytes key) const {
  auto found = values_.find(key);
  CHECK(found != values_.end());
  return found->second.text;
}

std::int64_t Config::integer(Bytes key) const {
  auto value = parse_integer(string(key));
  CHECK(value.has_value());
  return *value;
}

bool Config::boolean(Bytes key) const { return string(key) == "true"; }

std::string Config::print() const {
  std::string text;
  Bytes table;
  for (const auto& option : options()) {
    if (table_of(option.key) != table) {
      if (!text.empty()) text += '\n';
      table = table_of(option.key);
      text += fmt::format("[{}]\n", table);
    }
    const auto& value = values_.find(option.key)->second;
    text += fmt::format("{} = {}", name_in_table(option.key), toml_value(option, value.text));
    text += value.origin == "default" ? "\n" : fmt::format("  # {}\n", value.origin);
  }
  return text;
}

std::string configuration_markdown() {
  std::string text =
      "# Configuration\n\n"
      "<!-- Generated from src/server/option.cc; a test compares. -->\n\n"
      "A value comes from, in falling precedence: the command line (`--listen` and the like, or\n"
      "`--set TABLE.KEY=VALUE`), the environment (`WALRUS_<TABLE>_<KEY>`), the TOML file given "
      "with\n"
      "`--config`, the default. An unknown key, or a value out of its range, is refused with the\n"
      "place where it stands. `walrus serve --print-config` prints what would be used and where "
      "it\n"
      "came from; `--check-config` only checks.\n";
  Bytes table;
  for (const auto& option : options()) {
    if (table_of(option.key) != table) {
      table = table_of(option.key);
      text += fmt::format("\n## [{}]\n\n| key | default | range | meaning |\n|---|---|---|---|\n",
                          table);
    }
    std::string range;
    if (option.type == OptionType::kInteger)
      range = option.max == std::numeric_limits<std::int64_t>::max()
                  ? fmt::format("{}..", option.min)
                  : fmt::format("{}..{}", option.min, option.max);
    else if (option.type == OptionType::kBoolean) range = "true, false";
    else range = std::string(option.choices);
    for (auto& c : range)
      if (c == '|') c = ' ';
    text += fmt::format("| `{}` | `{}` | {} | {} |\n", name_in_table(option.key),
                        toml_value(option, std::string(option.fallback)), range, option.help);
  }
  text +=
      "\n## Names of upstream\n\n"
      "Read once at start, for those who come from upstream; the names above win over them.\n\n"
      "| variable | key |\n|---|---|\n";
  for (const auto& [variable, key] : kUpstreamVariables)
    text += fmt::format("| `{}` | `{}` |\n", variable, key);
  text +=
      "| `WALRUS_QUIET` | any value: only errors are logged |\n"
      "| `WALRUS_DISABLE_IO_URING` | no effect: io_uring is not used |\n";
  return text;
}

}  // namespace walrus::server
