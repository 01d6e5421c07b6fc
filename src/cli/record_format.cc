#include "cli/record_format.h"

#include <algorithm>

#include "cli/escape.h"

namespace walrus::cli {
namespace {

constexpr Bytes kTokens = "tpoTkhs";

void append_headers(std::string& to, std::span<const Header> headers) {
  for (std::size_t i = 0; i < headers.size(); ++i) {
    if (i > 0) to += ',';
    to.append(headers[i].name);
    to += '=';
    to.append(headers[i].value.value_or(""));
  }
}

}  // namespace

// Tokens are found before escapes are decoded, so that a percent sign from an escape stays one.
Result<RecordFormat> RecordFormat::parse(Bytes format) {
  RecordFormat result;
  std::string literal;
  auto end_literal = [&]() -> Result<void> {
    WALRUS_ASSIGN(auto decoded, unescape(literal));
    if (!decoded.empty()) result.pieces_.push_back({.token = 0, .literal = std::move(decoded)});
    literal.clear();
    return {};
  };
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] == '\\' && i + 1 < format.size()) {
      literal += format.substr(i++, 2);
    } else if (format[i] != '%') {
      literal += format[i];
    } else if (++i == format.size()) {
      return fail(Code::kInvalid, "a lone % at the end");
    } else if (format[i] == '%') {
      literal += '%';
    } else if (kTokens.find(format[i]) == Bytes::npos) {
      return fail(Code::kInvalid, "unknown token %{}", format[i]);
    } else {
      WALRUS_TRY(end_literal());
      result.pieces_.push_back({.token = format[i], .literal = {}});
    }
  }
  WALRUS_TRY(end_literal());
  return result;
}

void RecordFormat::append(std::string& to, Bytes topic, std::int32_t partition,
                          const StoredRecord& record) const {
  for (const auto& piece : pieces_) {
    switch (piece.token) {
      case 0: to += piece.literal; break;
      case 't': to.append(topic); break;
      case 'p': to += fmt::format_int(partition).c_str(); break;
      case 'o': to += fmt::format_int(record.offset.value).c_str(); break;
      case 'T':
        to += fmt::format_int(record.timestamp.value_or(Time()).time_since_epoch().count()).c_str();
        break;
      case 'k': to.append(record.key.value_or("")); break;
      case 'h': append_headers(to, record.headers); break;
      case 's': to.append(record.value.value_or("")); break;
    }
  }
}

bool RecordFormat::needs_key_or_headers() const {
  return std::ranges::any_of(
      pieces_, [](const Piece& piece) { return piece.token == 'k' || piece.token == 'h'; });
}

}  // namespace walrus::cli
