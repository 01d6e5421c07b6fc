#pragma once
// Verb and Flag: what a verb's file says about its flags. The parser behind them is CLI11, a large
// header that few sources have to read this way.
//
// Both are names for what the parser owns: cheap to copy, and good for as long as it lives. What a
// flag writes into must outlive parsing. On the thread that parses.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace walrus::cli {

// A flag with its value, or a word that stands for itself ("topic" in `walrus put topic`).
class Flag {
 public:
  explicit Flag(CLI::Option* option) : option_(option) {}
  Flag required() const;
  Flag repeated() const;                // one value each time that it is given
  Flag type_name(const char*) const;    // in the help, instead of TEXT or INT
  Flag environment(const char*) const;  // a variable that it may come from
  Flag last_counts() const;             // given twice, it is what is said last
  Flag default_shown() const;           // what it writes into has it now
  Flag one_of(std::vector<std::string>) const;
  Flag range(std::int64_t min, std::int64_t max) const;
  Flag positive() const;
  Flag not_negative() const;
  Flag excludes(Flag) const;
  // An empty answer: the value is fine; otherwise why it is not.
  Flag checked(std::function<std::string(const std::string&)>) const;
  bool given() const;  // after parsing

 private:
  CLI::Option* option_;
};

class Verb {
 public:
  explicit Verb(CLI::App& parser) : parser_(&parser) {}
  CLI::App& parser() const { return *parser_; }

  // A verb that does nothing by itself: one below it has to follow.
  Verb family(const char* name, const char* help) const;
  Flag flag(const char* name, bool& into, const char* help) const;
  Flag option(const char* name, std::string& into, const char* help = "") const;
  Flag option(const char* name, std::int32_t& into, const char* help = "") const;
  Flag option(const char* name, std::int64_t& into, const char* help = "") const;
  Flag option(const char* name, std::uint64_t& into, const char* help = "") const;
  Flag option(const char* name, double& into, const char* help = "") const;
  Flag option(const char* name, std::optional<std::string>& into, const char* help = "") const;
  Flag option(const char* name, std::optional<std::int32_t>& into, const char* help = "") const;
  Flag option(const char* name, std::optional<std::int64_t>& into, const char* help = "") const;
  Flag option(const char* name, std::vector<std::string>& into, const char* help = "") const;

 private:
  CLI::App* parser_;
};

}  // namespace walrus::cli
