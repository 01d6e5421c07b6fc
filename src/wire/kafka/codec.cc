#include "wire/kafka/codec.h"

#include <algorithm>

namespace walrus::wire::kafka {
namespace {

// const_cast: the accessor serves both directions; encoding only reads.
const void* read(const Field& field, const void* message) {
  return field.at(const_cast<void*>(message));
}

Context of_field(const Field& field, Context context) {
  context.nullable = field.nullable.contains(context.version);
  return context;
}

void encode_tagged(std::string& to, std::span<const Field> fields, const void* message,
                   Context context) {
  auto travels = [&](const Field& field) {
    return field.tag >= 0 && field.in.contains(context.version) &&
           !field.operations->equal(read(field, message), field.initial());
  };
  auto count = std::ranges::count_if(fields, travels);
  append_uvarint(to, static_cast<std::uint64_t>(count));
  if (count == 0) return;
  for (const auto& field : fields) {
    if (!travels(field)) continue;
    std::string value;
    context.asides = nullptr;
    field.operations->encode(value, read(field, message), of_field(field, context));
    append_uvarint(to, static_cast<std::uint64_t>(field.tag));
    append_string(to, value);
  }
}

// A tag that this version of the table does not know is passed over.
void decode_tagged(Input& from, std::span<const Field> fields, void* message, Context context) {
  auto count = from.uvarint();
  for (std::uint64_t i = 0; i < count && from.ok(); ++i) {
    auto tag = from.uvarint();
    Input value(from.take(from.uvarint()), from.budget());
    for (const auto& field : fields) {
      if (field.tag < 0 || static_cast<std::uint64_t>(field.tag) != tag ||
          !field.in.contains(context.version))
        continue;
      field.operations->decode(value, field.at(message), of_field(field, context));
      if (!value.ok() || !value.rest().empty() || !from.admit(0, from.budget() - value.budget()))
        from.spoil();
    }
  }
}

}  // namespace

bool Input::admit(std::size_t count, std::size_t element_bytes) {
  // Each element takes a byte at least.
  if (count > rest().size() || count > budget_ / std::max<std::size_t>(element_bytes, 1)) {
    spoil();
    return false;
  }
  budget_ -= count * element_bytes;
  return ok();
}

void encode_size(std::string& to, std::optional<std::size_t> size, Prefix prefix, Context context) {
  if (context.flexible) return append_uvarint(to, size ? *size + 1 : 0);
  if (prefix == Prefix::kString)
    return append_be(to, size ? static_cast<std::int16_t>(*size) : std::int16_t{-1});
  append_be(to, size ? static_cast<std::int32_t>(*size) : -1);
}

std::optional<std::size_t> decode_size(Input& from, Prefix prefix, Context context) {
  std::int64_t size = 0;
  if (context.flexible) {
    auto stored = from.uvarint();
    if (stored > std::numeric_limits<std::uint32_t>::max()) from.spoil();
    else size = static_cast<std::int64_t>(stored) - 1;
  } else {
    size = prefix == Prefix::kString ? from.integer<std::int16_t>() : from.integer<std::int32_t>();
  }
  if (size < -1) from.spoil();
  if (!from.ok()) return 0;
  return size == -1 ? std::nullopt : std::optional(static_cast<std::size_t>(size));
}

void encode_fields(std::string& to, std::span<const Field> fields, const void* message,
                   Context context) {
  for (const auto& field : fields) {
    if (field.tag < 0 && field.in.contains(context.version))
      field.operations->encode(to, read(field, message), of_field(field, context));
  }
  if (context.flexible) encode_tagged(to, fields, message, context);
}

void decode_fields(Input& from, std::span<const Field> fields, void* message, Context context) {
  for (const auto& field : fields) {
    if (!from.ok()) return;
    if (field.tag < 0 && field.in.contains(context.version))
      field.operations->decode(from, field.at(message), of_field(field, context));
  }
  if (context.flexible) decode_tagged(from, fields, message, context);
}

// One line per field would be long; this is for tests that compare tables with another source.
void describe_fields(std::string& to, std::span<const Field> fields) {
  to += '{';
  for (const auto& field : fields) {
    field.operations->describe(to);
    to += fmt::format(" {}-{}", field.in.from, field.in.to);
    if (field.nullable != kNever)
      to += fmt::format(" null {}-{}", field.nullable.from, field.nullable.to);
    if (field.tag >= 0) to += fmt::format(" tag {}", field.tag);
    to += ';';
  }
  to += '}';
}

Result<void> decode_message(Bytes body, std::span<const Field> fields, void* message,
                            const Api& api, std::int16_t version) {
  if (!api.versions.contains(version))
    return fail(Code::kVersion, "{} version {}", api.name, version);
  Input input(body);
  decode_fields(input, fields, message, context(api, version));
  if (!input.ok()) return fail(Code::kCorrupt, "{} version {}: malformed", api.name, version);
  return {};
}

}  // namespace walrus::wire::kafka
