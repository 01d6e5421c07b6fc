#pragma once
// The codec of this room: a struct lists its fields once (`Fields`), one encoder and one decoder
// serve all. Integers are uvarints, signed ones and durations zig-zag; bool and enum are a byte; a
// string has its size before it, a list or map its count, an optional value a byte 0 or 1.

#include <chrono>
#include <concepts>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "base/coding.h"
#include "base/uuid.h"
#include "walrus/log.h"

namespace walrus::meta {

template <class T>
constexpr bool kIsOptional = false;
template <class T>
constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
constexpr bool kIsList = false;
template <class T>
constexpr bool kIsList<std::vector<T>> = true;
template <class T>
constexpr bool kIsMap = false;
template <class K, class V, class C>
constexpr bool kIsMap<std::map<K, V, C>> = true;
template <class T>
constexpr bool kIsDuration = false;
template <class R, class P>
constexpr bool kIsDuration<std::chrono::duration<R, P>> = true;

// An id, a version, an offset: one integer with a name.
template <class T>
concept Strong = !kIsOptional<T> && requires(T& t) {
  requires std::integral<std::remove_reference_t<decltype(t.value)>>;
  requires sizeof(T) == sizeof(t.value);
};
// Specialised for each struct that is encoded: a tuple of pointers to its `members`; and for each
// enum: the `first` and the `last` of its values.
template <class T>
struct Fields;
template <class T>
struct Range;

template <class T>
void put(std::string& to, const T& value) {
  if constexpr (std::same_as<T, bool> || std::is_enum_v<T>) {
    to.push_back(static_cast<char>(value));
  } else if constexpr (std::unsigned_integral<T>) {
    append_uvarint(to, value);
  } else if constexpr (std::signed_integral<T>) {
    append_uvarint(to, zigzag(value));
  } else if constexpr (std::same_as<T, std::string>) {
    append_string(to, value);
  } else if constexpr (std::same_as<T, Uuid>) {
    to.append(value.bytes.data(), value.bytes.size());
  } else if constexpr (std::same_as<T, Time>) {
    put(to, std::int64_t{value.time_since_epoch().count()});
  } else if constexpr (kIsDuration<T>) {
    put(to, std::int64_t{value.count()});
  } else if constexpr (kIsOptional<T>) {
    to.push_back(value ? '\1' : '\0');
    if (value) put(to, *value);
  } else if constexpr (kIsList<T>) {
    append_uvarint(to, value.size());
    for (const auto& one : value) put(to, one);
  } else if constexpr (kIsMap<T>) {
    append_uvarint(to, value.size());
    for (const auto& [key, one] : value) {
      put(to, key);
      put(to, one);
    }
  } else if constexpr (Strong<T>) {
    put(to, value.value);
  } else {
    std::apply([&](auto... member) { (put(to, value.*member), ...); }, Fields<T>::members);
  }
}

// Decodes what put() wrote. What is out of range spoils it, as what is not there does; nothing
// takes more memory than a small multiple of the bytes that are there.
class FieldReader {
 public:
  explicit FieldReader(Bytes bytes) : from_(bytes) {}
  bool ok() const { return ok_ && from_.ok(); }
  bool whole() const { return ok() && from_.at_end(); }
  Bytes rest() const { return from_.rest(); }
  void spoil() { ok_ = false; }

  template <class T>
  T get() {
    T value{};
    get(value);
    return value;
  }
  template <class T>
  void get(T& value) {
    if constexpr (std::same_as<T, bool>) {
      value = byte(0, 1) != 0;
    } else if constexpr (std::is_enum_v<T>) {
      value = static_cast<T>(
          byte(static_cast<unsigned>(Range<T>::first), static_cast<unsigned>(Range<T>::last)));
    } else if constexpr (std::unsigned_integral<T>) {
      auto number = from_.uvarint().value_or(0);
      if (number > std::numeric_limits<T>::max()) spoil();
      value = static_cast<T>(number);
    } else if constexpr (std::signed_integral<T>) {
      auto number = unzigzag(from_.uvarint().value_or(0));
      if (!std::in_range<T>(number)) spoil();
      value = static_cast<T>(number);
    } else if constexpr (std::same_as<T, std::string>) {
      value = from_.string().value_or(Bytes{});
    } else if constexpr (std::same_as<T, Uuid>) {
      if (auto bytes = from_.take(value.bytes.size()))
        std::memcpy(value.bytes.data(), bytes->data(), bytes->size());
    } else if constexpr (std::same_as<T, Time>) {
      value = Time(Millis(get<std::int64_t>()));
    } else if constexpr (kIsDuration<T>) {
      value = T(get<std::int64_t>());
    } else if constexpr (kIsOptional<T>) {
      if (byte(0, 1) != 0) get(value.emplace());
    } else if constexpr (kIsList<T>) {
      for (auto left = count(); left > 0 && ok(); --left) get(value.emplace_back());
    } else if constexpr (kIsMap<T>) {
      get_map(value);
    } else if constexpr (Strong<T>) {
      get(value.value);
    } else {
      std::apply([&](auto... member) { (get(value.*member), ...); }, Fields<T>::members);
    }
  }
  unsigned byte(unsigned min, unsigned max) {
    auto value = from_.le<std::uint8_t>().value_or(0);
    if (value < min || value > max) spoil();
    return value;
  }
  // Of things that take a byte each at least.
  std::uint64_t count() {
    auto count = from_.uvarint().value_or(0);
    if (count > from_.remaining()) spoil();
    return ok() ? count : 0;
  }
  Bytes string() { return from_.string().value_or(Bytes{}); }

 private:
  template <class M>
  void get_map(M& map) {  // keys rise
    for (auto left = count(); left > 0 && ok(); --left) {
      auto key = get<typename M::key_type>();
      if (!map.empty() && !(map.rbegin()->first < key)) spoil();
      get(map[std::move(key)]);
    }
  }

  Decoder from_;
  bool ok_ = true;
};

}  // namespace walrus::meta
