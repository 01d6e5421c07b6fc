// Journal files: the engine opens a directory with any of them. What it accepts it serves without
// a lie, and accepts again as the same after a restart. See journal_form.h for what the input is.

#include "journal_form.h"

namespace {

using namespace walrus;

// What is readable, by stream; none: refused.
using Content = std::map<std::string, std::string>;

void read_stream(log::Engine& engine, const log::StreamRef& stream, std::string& to) {
  auto info = engine.info(stream);
  if (!info) {
    to = info.error().message;
    return;
  }
  CHECK(info->log_start <= info->high_watermark && info->high_watermark == info->log_end);
  to = fmt::format("{}..{} epoch {} ", info->log_start.value, info->log_end.value,
                   engine.segments(stream).size());
  for (auto from = info->log_start; from < info->log_end;) {
    auto fetched = engine.fetch(stream, from, {.bytes_max = 1 << 20});
    if (!fetched) {
      CHECK(fetched.error().code == Code::kCorrupt);
      to += "corrupt";
      return;
    }
    CHECK(fetched->next > from);
    to += fetched->bytes;
    from = fetched->next;
  }
  for (const auto& [key, value] : engine.list_state(stream, log::Table::kCursors)) {
    to += key + "=" + value;
  }
}

std::optional<Content> open_and_read(io::Env& env, bool mapped) {
  auto engine = log::Engine::open(env, fuzz::journal_engine(mapped));
  if (!engine) return std::nullopt;
  Content content;
  for (const auto& stream : (*engine)->list("")) {
    read_stream(**engine, stream, content[log::stream_name(stream)]);
  }
  if (auto closed = (*engine)->close(); !closed) return std::nullopt;
  return content;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::Store kStore = fuzz::unused_store();
  Bytes form(reinterpret_cast<const char*>(data), size);
  bool mapped = !form.empty() && (form[0] & fuzz::kMapped);
  io::World world(2);
  auto& node = world.node(0);
  for (const auto& [path, bytes] : kStore.files) {
    CHECK(node.env().disk().make_directory(path.parent_path()).has_value());
    auto planted = path == kStore.journal ? fuzz::file_of(kStore, form) : bytes;
    CHECK(node.disk().plant(path, planted).has_value());
  }
  auto content = open_and_read(node.env(), mapped);
  if (!content) return 0;
  auto again = open_and_read(node.restart(), mapped);
  CHECK(again.has_value());
  CHECK(*again == *content);
  return 0;
}
