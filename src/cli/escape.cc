#include "cli/escape.h"

#include <charconv>

namespace walrus::cli {

Result<std::string> unescape(Bytes text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      result += text[i];
      continue;
    }
    if (++i == text.size()) return fail(Code::kInvalid, "a lone backslash at the end");
    switch (text[i]) {
      case 'n': result += '\n'; break;
      case 'r': result += '\r'; break;
      case 't': result += '\t'; break;
      case '0': result += '\0'; break;
      case '\\': result += '\\'; break;
      case 'x': {
        unsigned value = 0;
        auto digits = text.substr(i + 1, 2);
        auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        if (error != std::errc() || end != digits.data() + 2)
          return fail(Code::kInvalid, "\\x takes two hexadecimal digits");
        result += static_cast<char>(value);
        i += 2;
        break;
      }
      default: return fail(Code::kInvalid, "unknown escape \\{}", text[i]);
    }
  }
  return result;
}

}  // namespace walrus::cli
