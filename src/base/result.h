#pragma once
// Result<T> and how errors are made and passed on. Our code neither throws nor catches.

#include <fmt/format.h>

#include <string>
#include <utility>

#include "walrus/log.h"

namespace walrus {

template <class... Args>
std::unexpected<Error> fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

// "not_found" for Code::kNotFound: the names used in JSON and by the C face.
const char* code_name(Code);

// Evaluates a Result; on an error returns it from the enclosing function.
#define WALRUS_TRY(expression)                                    \
  do {                                                            \
    if (auto try_result = (expression); !try_result) [[unlikely]] \
      return std::unexpected(std::move(try_result).error());      \
  } while (0)

// WALRUS_ASSIGN(auto file, disk.open(path)): the value, or the error returned.
#define WALRUS_ASSIGN(declaration, expression) \
  WALRUS_ASSIGN_NAMED(WALRUS_JOIN(assign_result_, __LINE__), declaration, expression)
#define WALRUS_ASSIGN_NAMED(name, declaration, expression) \
  auto name = (expression);                                \
  if (!name) [[unlikely]]                                  \
    return std::unexpected(std::move(name).error());       \
  declaration = *std::move(name)
// The same two inside coroutines that return a Result.
#define WALRUS_CO_TRY(expression)                                 \
  do {                                                            \
    if (auto try_result = (expression); !try_result) [[unlikely]] \
      co_return std::unexpected(std::move(try_result).error());   \
  } while (0)
#define WALRUS_CO_ASSIGN(declaration, expression) \
  WALRUS_CO_ASSIGN_NAMED(WALRUS_JOIN(assign_result_, __LINE__), declaration, expression)
#define WALRUS_CO_ASSIGN_NAMED(name, declaration, expression) \
  auto name = (expression);                                   \
  if (!name) [[unlikely]]                                     \
    co_return std::unexpected(std::move(name).error());       \
  declaration = *std::move(name)
#define WALRUS_JOIN(a, b) WALRUS_JOIN_AGAIN(a, b)
#define WALRUS_JOIN_AGAIN(a, b) a##b

}  // namespace walrus
