#pragma once
// How consume prints a record: tokens %t topic, %p partition, %o offset, %T timestamp in ms since
// 1970, %k key, %h headers as name=value separated by commas, %s value, %% a percent sign; escapes
// \n \r \t \0 \\ \xHH. What a record has not (a key, a value) prints nothing.

#include <vector>

#include "walrus/client.h"

#include "base/result.h"

namespace walrus::cli {

class RecordFormat {
 public:
  static Result<RecordFormat> parse(Bytes format);
  void append(std::string& to, Bytes topic, std::int32_t partition, const StoredRecord&) const;
  // Whether it prints what POLL does not send.
  bool needs_key_or_headers() const;

 private:
  struct Piece {
    char token = 0;  // 0: literal
    std::string literal;
  };
  std::vector<Piece> pieces_;
};

}  // namespace walrus::cli
