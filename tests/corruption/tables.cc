#include "tables.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>

#include "base/check.h"
#include "base/coding.h"
#include "walrus_source_dir.h"

namespace walrus::corruption {
namespace {

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  CHECK(file.is_open());
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

void add_tables(const std::filesystem::path& path, std::vector<Table>& tables) {
  static const std::regex title(R"(// +position  size  ([A-Za-z ]+).*)");
  static const std::regex row(R"(// +(\d+) +(\d+|\.)  (.+))");
  bool inside = false;
  std::smatch match;
  for (const auto& line : lines_of(path)) {
    if (std::regex_match(line, match, title)) {
      tables.push_back({match[1], {}});
      inside = true;
    } else if (line == "//" || !line.starts_with("//")) {
      inside = false;
    } else if (inside && std::regex_match(line, match, row)) {
      std::string name = match[3];
      name = name.substr(0, name.find("  "));  // behind two spaces: a remark
      auto length = match[2] == "." ? -1 : std::stoll(match[2]);
      tables.back().fields.push_back({name, std::stoll(match[1]), length});
    }
  }
}

// Walks over a body, field by field.
class BodyWalk {
 public:
  BodyWalk(const std::vector<BodyField>& grammar, Bytes body)
      : grammar_(grammar), body_(body), in_(body) {}

  std::vector<Field> run() {
    walk(0, grammar_.size(), true);
    return in_.ok() && in_.at_end() ? std::move(found_) : std::vector<Field>();
  }

 private:
  // The fields [from, to) of the grammar once.
  void walk(std::size_t from, std::size_t to, bool first) {
    for (auto at = from; at < to && in_.ok();) {
      const auto& field = grammar_[at];
      auto below = at + 1;
      while (below < to && grammar_[below].depth > field.depth) ++below;
      auto value = take(field, first);
      if (field.counts()) {
        for (std::uint64_t i = 0; i < value && in_.ok(); ++i) walk(at + 1, below, i == 0);
      }
      at = below;
    }
  }

  std::uint64_t take(const BodyField& field, bool first) {
    if (field.kind == "z1" && !first) return 0;
    auto begin = body_.size() - in_.remaining();
    std::uint64_t value = 0;
    if (field.kind == "b") {
      value = in_.le<std::uint8_t>().value_or(0);
    } else if (field.kind == "s") {
      (void)in_.string();
    } else {
      value = in_.uvarint().value_or(0);
    }
    auto end = body_.size() - in_.remaining();
    found_.push_back(
        {field.name, static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end - begin)});
    return value;
  }

  const std::vector<BodyField>& grammar_;
  Bytes body_;
  Decoder in_;
  std::vector<Field> found_;
};

}  // namespace

std::vector<Table> read_tables() {
  std::vector<std::filesystem::path> headers{WALRUS_SOURCE_DIR "/src/record/batch.h"};
  for (const auto& entry : std::filesystem::directory_iterator(WALRUS_SOURCE_DIR "/src/log")) {
    if (entry.path().extension() == ".h") headers.push_back(entry.path());
  }
  std::ranges::sort(headers);
  std::vector<Table> tables;
  for (const auto& header : headers) add_tables(header, tables);
  return tables;
}

const Table& table_of(const std::vector<Table>& tables, const std::string& title) {
  auto found = std::ranges::find(tables, title, &Table::title);
  CHECK(found != tables.end());
  return *found;
}

std::vector<BodyField> read_body_grammar() {
  static const std::regex row(R"(//   ( *)(u|z|z1|s|b) ([^,(]+).*)");
  std::vector<BodyField> grammar;
  bool inside = false;
  std::smatch match;
  for (const auto& line : lines_of(WALRUS_SOURCE_DIR "/src/log/manifest.cc")) {
    if (line == "//   manifest body") {
      inside = true;
    } else if (inside && std::regex_match(line, match, row)) {
      std::string name = match[3];
      while (name.ends_with(' ')) name.pop_back();
      grammar.push_back({match[2], name, static_cast<std::size_t>(match[1].length()) / 2});
    } else if (inside) {
      break;
    }
  }
  CHECK(!grammar.empty());
  return grammar;
}

std::vector<Field> body_fields(const std::vector<BodyField>& grammar, Bytes body) {
  return BodyWalk(grammar, body).run();
}

}  // namespace walrus::corruption
