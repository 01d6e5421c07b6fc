#pragma once
// The codec of Kafka messages: one encoder and one decoder over field tables. A message is a struct
// that declares its fields once, each with the versions in which it travels:
//
//   struct HeartbeatRequest {
//     static constexpr std::int16_t kKey = 12;
//     Bytes group_id{};
//     std::optional<Bytes> group_instance_id{};
//     template <class T>
//     static constexpr auto fields() {
//       return std::array{f<&T::group_id>(),
//                         f<&T::group_instance_id>({.in = since(3), .nullable = since(3)})};
//     }
//     bool operator==(const HeartbeatRequest&) const = default;
//   };
//
// On the wire (https://kafka.apache.org/protocol): integers are big endian. A string has its length
// as int16, bytes and arrays have theirs as int32, -1 is null; in a flexible version all three have
// it as uvarint plus one, 0 is null. A nullable struct opens with int8 -1 or 1. A flexible struct
// ends with its tagged fields: uvarint count, then per field uvarint tag, uvarint size, value; a
// field with its default value is left out.
//
// Requests decode to views into the bytes decoded; record batches are views in both directions.
// Pure. Bytes from outside never take more memory than kDecodedBytesMax beside themselves.

#include <array>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/coding.h"
#include "base/result.h"
#include "base/uuid.h"
#include "wire/kafka/api.h"

namespace walrus::wire::kafka {

constexpr std::size_t kDecodedBytesMax = 64 << 20;  // of the arrays of one message
// authorized_operations that nobody asked for.
constexpr std::int32_t kOperationsUnknown = std::numeric_limits<std::int32_t>::min();

using walrus::Uuid;

// Records that go out beside what is encoded, at this place of it.
struct Aside {
  std::size_t at = 0;
  Bytes bytes{};
};
constexpr std::size_t kAsideBytesMin = 16 << 10;  // shorter ones are cheaper to copy

struct Context {
  std::int16_t version = 0;
  bool flexible = false;
  bool nullable = false;                 // the value at hand, in this version
  std::vector<Aside>* asides = nullptr;  // where long records are put; none: they are encoded
};

// What a message is decoded from.
class Input {
 public:
  explicit Input(Bytes bytes, std::size_t budget = kDecodedBytesMax)
      : decoder_(bytes), budget_(budget) {}

  bool ok() const { return decoder_.ok(); }
  Bytes rest() const { return decoder_.rest(); }
  std::size_t budget() const { return budget_; }
  void spoil() { (void)decoder_.take(std::numeric_limits<std::size_t>::max()); }
  template <std::integral T>
  T integer() {
    return decoder_.be<T>().value_or(0);
  }
  std::uint64_t uvarint() { return decoder_.uvarint().value_or(0); }
  Bytes take(std::size_t size) { return decoder_.take(size).value_or(Bytes()); }
  // Whether so many elements can be in the bytes that are left, and in the memory that is allowed.
  bool admit(std::size_t count, std::size_t element_bytes);

 private:
  Decoder decoder_;
  std::size_t budget_;
};

// Length prefixes. None: null.
enum class Prefix : std::uint8_t { kString, kBytes };  // also arrays: kBytes
void encode_size(std::string& to, std::optional<std::size_t>, Prefix, Context);
std::optional<std::size_t> decode_size(Input&, Prefix, Context);

// What the codec does with a value of one C++ type.
struct Operations {
  void (*encode)(std::string& to, const void* value, Context);
  void (*decode)(Input& from, void* value, Context);
  bool (*equal)(const void*, const void*);
  void (*describe)(std::string& to);  // the type's name, a struct's with its table
};

struct Field {
  void* (*at)(void* message) = nullptr;  // the member
  const void* (*initial)() = nullptr;    // the member of a message just made
  const Operations* operations = nullptr;
  Versions in{}, nullable = kNever;
  int tag = -1;  // none
};

void encode_fields(std::string& to, std::span<const Field>, const void* message, Context);
void decode_fields(Input& from, std::span<const Field>, void* message, Context);
void describe_fields(std::string& to, std::span<const Field>);
// Versions nest, tags are dense from 0: a static assertion on each table.
constexpr bool sound(std::span<const Field> fields) {
  int next = 0;
  for (const auto& field : fields) {
    if (field.in.from > field.in.to) return false;
    if (field.nullable != kNever && (field.nullable.from < field.in.from)) return false;
    if (field.tag >= 0 && field.tag != next++) return false;
  }
  return true;
}

template <class T>
struct FieldTable {
  static constexpr auto fields = T::template fields<T>();
  static_assert(sound(fields));
};

// The table of a message. Defined where the message's family is (data.cc...): one instantiation.
template <class Message>
std::span<const Field> table_of();

template <class Message>
constexpr const Api& api_of() {
  return kApis[static_cast<std::size_t>(api_place(Message::kKey))];
}

inline Context context(const Api& api, std::int16_t version) {
  return {.version = version, .flexible = version >= api.flexible_from};
}

// The body of a message, without its header.
template <class Message>
void encode(std::string& to, const Message& message, std::int16_t version,
            std::vector<Aside>* asides = nullptr) {
  auto how = context(api_of<Message>(), version);
  how.asides = asides;
  encode_fields(to, table_of<Message>(), &message, how);
}

// kVersion, kCorrupt. Bytes left over are ignored, as Kafka does: librdkafka 2.15 leaves three
// behind a Metadata request for all topics.
Result<void> decode_message(Bytes body, std::span<const Field>, void* message, const Api&,
                            std::int16_t version);
template <class Message>
Result<Message> decode(Bytes body, std::int16_t version) {
  Message message;
  WALRUS_TRY(decode_message(body, table_of<Message>(), &message, api_of<Message>(), version));
  return message;
}

// How a field is declared.
struct Spec {
  Versions in{}, nullable = kNever;
  int tag = -1;
};
constexpr Versions since(std::int16_t from) { return {.from = from}; }
constexpr Versions up_to(std::int16_t to) { return {.from = 0, .to = to}; }
constexpr Versions only(std::int16_t from, std::int16_t to) { return {.from = from, .to = to}; }
constexpr Versions kAlways{};

template <class T, bool raw>
struct OperationsOf;

template <class>
struct MemberOf;
template <class Owner, class Type>
struct MemberOf<Type Owner::*> {
  using Struct = Owner;
  using Value = Type;
};

template <auto member, bool raw>
constexpr Field make_field(Spec spec) {
  using Struct = MemberOf<decltype(member)>::Struct;
  using Value = MemberOf<decltype(member)>::Value;
  return {.at = [](void* message) -> void* { return &(static_cast<Struct*>(message)->*member); },
          .initial = []() -> const void* {
            static const Struct made{};
            return &(made.*member);
          },
          .operations = &OperationsOf<Value, raw>::table,
          .in = spec.in,
          .nullable = spec.nullable,
          .tag = spec.tag};
}
template <auto member>
constexpr Field f(Spec spec = {}) {
  return make_field<member, false>(spec);
}
// Bytes instead of a string: the same in C++, another length prefix on the wire.
template <auto member>
constexpr Field raw(Spec spec = {}) {
  return make_field<member, true>(spec);
}

}  // namespace walrus::wire::kafka
