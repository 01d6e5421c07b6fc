#include "cli/verb.h"

#include <CLI/CLI.hpp>

namespace walrus::cli {

Flag Flag::required() const { return Flag(option_->required()); }
Flag Flag::repeated() const { return Flag(option_->expected(1)->take_all()); }
Flag Flag::type_name(const char* name) const { return Flag(option_->type_name(name)); }
Flag Flag::environment(const char* name) const { return Flag(option_->envname(name)); }
Flag Flag::last_counts() const { return Flag(option_->take_last()); }
Flag Flag::default_shown() const { return Flag(option_->capture_default_str()); }
Flag Flag::one_of(std::vector<std::string> values) const {
  return Flag(option_->check(CLI::IsMember(std::move(values))));
}
Flag Flag::range(std::int64_t min, std::int64_t max) const {
  return Flag(option_->check(CLI::Range(min, max)));
}
Flag Flag::positive() const { return Flag(option_->check(CLI::PositiveNumber)); }
Flag Flag::not_negative() const { return Flag(option_->check(CLI::NonNegativeNumber)); }
Flag Flag::excludes(Flag other) const { return Flag(option_->excludes(other.option_)); }
Flag Flag::checked(std::function<std::string(const std::string&)> check) const {
  return Flag(option_->check(std::move(check)));
}
bool Flag::given() const { return option_->count() > 0; }

Verb Verb::family(const char* name, const char* help) const {
  auto* below = parser_->add_subcommand(name, help);
  below->require_subcommand(0, 1);
  return Verb(*below);
}

Flag Verb::flag(const char* name, bool& into, const char* help) const {
  return Flag(parser_->add_flag(name, into, help));
}
Flag Verb::option(const char* name, std::string& into, const char* help) const {
  return Flag(parser_->add_option(name, into, help));
}
Flag Verb::option(const char* name, std::int32_t& into, const char* help) const {
  return Flag(parser_->add_option(name, into, help));
}
Flag Verb::option(const char* name, std::int64_t& into, const char* help) const {
  return Flag(parser_->add_option(name, into, help));
}
Flag Verb::option(const char* name, std::uint64_t& into, const char* help) const {
  return Flag(parser_->add_option(name, into, help));
}
Flag Verb::option(const char* name, double& into, const char* help) const {
  return Flag(parser_->add_option(name, into, help));
}
Flag Verb::option(const char* name, std::optional<std::string>& into, const char* help) const {
  return Flag(parser_->add_option(name, into, help));
}
Flag Verb::option(const char* name, std::optional<std::int32_t>& into, const char* help) const {
  return Flag(parser_->add_option(name, into, help));
}
Flag Verb::option(const char* name, std::optional<std::int64_t>& into, const char* help) const {
  return Flag(parser_->add_option(name, into, help));
}
Flag Verb::option(const char* name, std::vector<std::string>& into, const char* help) const {
  return Flag(parser_->add_option(name, into, help));
}

}  // namespace walrus::cli
