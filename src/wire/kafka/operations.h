#pragma once
// What the codec does with each C++ type that a message may hold. Included by the sources that
// define tables (WALRUS_KAFKA_TABLES at their end), which instantiates it there and nowhere else.

#include "wire/kafka/codec.h"

namespace walrus::wire::kafka {

template <class T>
concept Text = std::same_as<T, Bytes> || std::same_as<T, std::string>;
template <class T>
concept Structure = std::is_class_v<T> && requires { T::template fields<T>(); };

template <class T>
struct Inner {
  static constexpr bool optional = false, vector = false;
};
template <class T>
struct Inner<std::optional<T>> {
  static constexpr bool optional = true, vector = false;
  using Type = T;
};
template <class T>
struct Inner<std::vector<T>> {
  static constexpr bool optional = false, vector = true;
  using Type = T;
};

template <class T, bool raw>
struct OperationsOf {
  static void encode_value(std::string& to, const T& value, Context context) {
    auto plain = context;
    plain.nullable = false;
    constexpr auto prefix = raw || !Text<T> ? Prefix::kBytes : Prefix::kString;
    if constexpr (Inner<T>::optional) {
      using U = Inner<T>::Type;
      if constexpr (Structure<U>) {
        if (context.nullable) to.push_back(value ? '\1' : '\xff');
        if (value || !context.nullable)
          OperationsOf<U, raw>::encode_value(to, value.value_or(U{}), plain);
      } else if (value || !context.nullable) {
        static const U none{};
        OperationsOf<U, raw>::encode_value(to, value ? *value : none, plain);
      } else {
        encode_size(to, std::nullopt, Text<U> && !raw ? Prefix::kString : Prefix::kBytes, plain);
      }
    } else if constexpr (std::same_as<T, bool>) {
      to.push_back(value ? '\1' : '\0');
    } else if constexpr (std::integral<T>) {
      append_be(to, value);
    } else if constexpr (std::same_as<T, Uuid>) {
      to.append(value.bytes.data(), value.bytes.size());
    } else if constexpr (Text<T>) {
      Bytes bytes = value;
      if constexpr (!raw) {
        // Longer ones cannot be said in an inflexible version.
        if (!context.flexible) bytes = bytes.substr(0, std::numeric_limits<std::int16_t>::max());
      }
      encode_size(to, bytes.size(), prefix, plain);
      if (raw && context.asides != nullptr && bytes.size() >= kAsideBytesMin)
        context.asides->push_back({.at = to.size(), .bytes = bytes});
      else to += bytes;
    } else if constexpr (Inner<T>::vector) {
      encode_size(to, value.size(), Prefix::kBytes, plain);
      for (const auto& one : value)
        OperationsOf<typename Inner<T>::Type, raw>::encode_value(to, one, plain);
    } else {
      encode_fields(to, FieldTable<T>::fields, &value, plain);
    }
  }

  static void decode_value(Input& from, T& value, Context context) {
    auto plain = context;
    plain.nullable = false;
    if constexpr (Inner<T>::optional) {
      using U = Inner<T>::Type;
      if constexpr (Structure<U>) {
        if (context.nullable && from.integer<std::int8_t>() < 0) {
          value.reset();
          return;
        }
        OperationsOf<U, raw>::decode_value(from, value.emplace(), plain);
      } else {
        auto size = decode_size(from, Text<U> && !raw ? Prefix::kString : Prefix::kBytes, plain);
        value.reset();
        if (size) OperationsOf<U, raw>::decode_sized(from, value.emplace(), *size, plain);
        else if (!context.nullable) from.spoil();
      }
    } else if constexpr (std::same_as<T, bool>) {
      value = from.integer<std::int8_t>() != 0;
    } else if constexpr (std::integral<T>) {
      value = from.integer<T>();
    } else if constexpr (std::same_as<T, Uuid>) {
      auto bytes = from.take(value.bytes.size());
      if (from.ok()) std::ranges::copy(bytes, value.bytes.begin());
    } else if constexpr (Structure<T>) {
      decode_fields(from, FieldTable<T>::fields, &value, plain);
    } else {
      auto size = decode_size(from, Text<T> && !raw ? Prefix::kString : Prefix::kBytes, plain);
      if (size) decode_sized(from, value, *size, plain);
      else from.spoil();
    }
  }

  // The rest of a string or an array whose size is known.
  static void decode_sized(Input& from, T& value, std::size_t size, Context context) {
    if constexpr (Text<T>) {
      value = from.take(size);
    } else if constexpr (Inner<T>::vector) {
      using U = Inner<T>::Type;
      if (!from.admit(size, sizeof(U))) return;
      value.resize(size);
      for (auto& one : value) {
        if (!from.ok()) return;
        OperationsOf<U, raw>::decode_value(from, one, context);
      }
    }
  }

  static void describe_value(std::string& to) {
    if constexpr (Inner<T>::optional) {
      OperationsOf<typename Inner<T>::Type, raw>::describe_value(to);
    } else if constexpr (Inner<T>::vector) {
      to += "[]";
      OperationsOf<typename Inner<T>::Type, raw>::describe_value(to);
    } else if constexpr (std::same_as<T, bool>) {
      to += "bool";
    } else if constexpr (std::integral<T>) {
      to += fmt::format("int{}", 8 * sizeof(T));
    } else if constexpr (std::same_as<T, Uuid>) {
      to += "uuid";
    } else if constexpr (Text<T>) {
      to += raw ? "bytes" : "string";
    } else {
      describe_fields(to, FieldTable<T>::fields);
    }
  }

  static constexpr Operations table{[](std::string& to, const void* value, Context context) {
                                      encode_value(to, *static_cast<const T*>(value), context);
                                    },
                                    [](Input& from, void* value, Context context) {
                                      decode_value(from, *static_cast<T*>(value), context);
                                    },
                                    [](const void* a, const void* b) {
                                      return *static_cast<const T*>(a) == *static_cast<const T*>(b);
                                    },
                                    describe_value};
};

// Defines table_of<Message>() for one message.
#define WALRUS_KAFKA_TABLE(Message)            \
  template <>                                  \
  std::span<const Field> table_of<Message>() { \
    return FieldTable<Message>::fields;        \
  }
// For the request and the response of an API.
#define WALRUS_KAFKA_TABLES(Name)   \
  WALRUS_KAFKA_TABLE(Name##Request) \
  WALRUS_KAFKA_TABLE(Name##Response)

}  // namespace walrus::wire::kafka
