#include "broker/cursors.h"

#include <utility>

#include "base/coding.h"

namespace walrus::broker {

std::string encode_position(Offset offset) {
  std::string value;
  append_le(value, offset.value);
  return value;
}

Result<Offset> decode_position(Bytes value) {
  Decoder decoder(value);
  auto position = decoder.le<std::int64_t>();
  if (!position || *position < 0) return fail(Code::kCorrupt, "a cursor that is no offset");
  return Offset{*position};
}

io::Task<void> put_durably(io::Loop& loop, std::shared_ptr<Cursors> cursors, std::size_t partition,
                           std::string reader, Offset position) {
  io::Signal done(loop);
  WALRUS_CO_TRY(cursors->put(partition, reader, position, done.setter()));
  co_return co_await done.wait();
}

TableCursors::TableCursors(log::Engine& engine, std::vector<log::StreamRef> partitions)
    : engine_(engine), partitions_(std::move(partitions)) {}

Result<std::optional<Offset>> TableCursors::get(std::size_t partition, Bytes reader) const {
  auto value = engine_.get_state(partitions_[partition], log::Table::kCursors, reader);
  if (!value) return std::nullopt;
  WALRUS_ASSIGN(auto position, decode_position(*value));
  return position;
}

Result<void> TableCursors::put(std::size_t partition, Bytes reader, Offset position,
                               log::Done<void> done) {
  WALRUS_ASSIGN(auto pending, engine_.put_state(partitions_[partition], log::Table::kCursors,
                                                reader, encode_position(position)));
  engine_.when_done(pending, std::move(done));
  return {};
}

void TableCursors::when_room(std::size_t partition, log::Done<void> done) {
  engine_.when_room(partitions_[partition], std::move(done));
}

// They are this process's for as long as the engine is open.
io::Task<void> TableCursors::confirm() { co_return Result<void>(); }

}  // namespace walrus::broker
