#pragma once
// The layout tables at the head of the format headers, read from the sources themselves: a field
// that a table gains is one that the corruption matrix damages.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace walrus::corruption {

struct Field {
  std::string name;
  std::int64_t position = 0;
  std::int64_t length = 0;  // -1: up to the end
};

struct Table {
  std::string title;  // "group header"
  std::vector<Field> fields;
};

// Every table of src/log/*.h and of src/record/batch.h.
std::vector<Table> read_tables();
const Table& table_of(const std::vector<Table>&, const std::string& title);

// The grammar of the manifest's body, at the head of src/log/manifest.cc.
struct BodyField {
  std::string kind;  // u, z, z1, s, b
  std::string name;
  std::size_t depth = 0;
  bool counts() const { return name.starts_with("count of "); }
};
std::vector<BodyField> read_body_grammar();
// Where in `body` each field lies, by the grammar; nothing if it does not fit exactly.
std::vector<Field> body_fields(const std::vector<BodyField>&, Bytes body);

}  // namespace walrus::corruption
