// Writes fuzz/corpus/journal: corpus_journal DIRECTORY.

#include <functional>

#include "corpus.h"
#include "journal_form.h"

namespace {

using namespace walrus;

class Load {
 public:
  explicit Load(log::Engine& engine) : engine_(engine) { create("orders"); }

  void create(const std::string& name, const StreamOptions& options = {}) {
    auto made = engine_.create(name, options);
    CHECK(made && engine_.wait(made->pending));
    stream_ = made->stream;
  }
  void append(int count, std::size_t bytes, AppendOptions options = {}) {
    std::vector<std::string> values;
    for (int i = 0; i < count; ++i) values.emplace_back(bytes, static_cast<char>('a' + i % 26));
    std::vector<Record> records;
    for (const auto& value : values) records.push_back({.key = "k", .value = value});
    auto appended = engine_.append(stream_, records, options);
    CHECK(appended.has_value());
    wait(appended->pending);
  }
  void append_compressed(record::Codec codec) {
    const std::string value(500, 'z');
    const Record records[] = {{.value = value}, {.key = "k"}};
    auto batch = record::encode(records, {.now = engine_.env().wall()});
    auto packed = record::compress(record::BatchView(batch), codec);
    auto appended = engine_.append_batch(stream_, record::BatchView(*packed));
    CHECK(appended.has_value());
    wait(appended->pending);
  }
  void trim(std::int64_t to) { wait(*engine_.trim(stream_, {to})); }
  void truncate(std::int64_t to) { wait(*engine_.truncate(stream_, {to})); }
  void drop(const std::string& name) { wait(*engine_.remove(name)); }
  void put(const std::string& key, std::optional<Bytes> value,
           log::Table table = log::Table::kCursors) {
    wait(*engine_.put_state(stream_, table, key, value));
  }
  void producer_id() { wait(engine_.new_producer_id()->pending); }
  // Off: what follows lies in one group, none of it known to be synced.
  bool waits = true;

 private:
  void wait(const log::Pending& pending) {
    if (waits) CHECK(engine_.wait(pending).has_value());
  }
  log::Engine& engine_;
  log::StreamRef stream_;
};

using Loads = std::map<std::string, std::function<void(Load&)>>;

Loads loads_of_records() {
  return {{"created", [](Load&) {}},
          {"one", [](Load& load) { load.append(1, 5); }},
          {"batches",
           [](Load& load) {
             for (int i = 0; i < 4; ++i) load.append(1 + i, 20);
           }},
          {"group",
           [](Load& load) {
             load.waits = false;
             for (int i = 0; i < 6; ++i) load.append(2, 30);
           }},
          {"large",
           [](Load& load) {
             load.append(3, 2'000);
             load.append(1, 5'000);
           }},
          {"compressed",
           [](Load& load) {
             for (auto codec : {record::Codec::kGzip, record::Codec::kSnappy, record::Codec::kLz4,
                                record::Codec::kZstd}) {
               load.append_compressed(codec);
             }
           }},
          {"marked", [](Load& load) {
             load.append(2, 5);
             load.waits = false;
             load.append(2, 5);
           }}};
}

Loads loads_of_state() {
  return {{"trimmed",
           [](Load& load) {
             load.append(9, 5);
             load.trim(4);
             load.trim(9);
           }},
          {"truncated",
           [](Load& load) {
             load.append(9, 5);
             load.truncate(4);
             load.append(2, 5);
             load.truncate(0);
           }},
          {"dropped",
           [](Load& load) {
             load.append(2, 5);
             load.put("c", "12345678");
             load.drop("orders");
             load.create("orders");
           }},
          {"state",
           [](Load& load) {
             load.append(3, 5);
             load.put("billing", Bytes("\2\0\0\0\0\0\0\0", 8));
             load.put("audit", Bytes("\1\0\0\0\0\0\0\0", 8));
             load.put("billing", std::nullopt);
             load.put("", Bytes("\3\0\0\0\0\0\0\0", 8), log::Table::kClean);
           }},
          {"producers",
           [](Load& load) {
             load.producer_id();
             for (int i = 0; i < 7; ++i) {
               load.append(2, 5,
                           {.producer = ProducerSequence{.id = 1, .epoch = 0, .sequence = 2 * i}});
             }
           }},
          {"streams",
           [](Load& load) {
             load.create("quiet", {.durability = {Durability::kOs}});
             load.append(2, 5);
             load.create("compacted", {.compact = true});
             load.append(3, 5);
           }},
          {"segments", [](Load& load) {
             load.create("short", {.segment_records_max = 2});
             for (int i = 0; i < 5; ++i) load.append(1, 5);
           }}};
}

// The journal file that the load leaves after a kill.
std::string journal_of(const std::function<void(Load&)>& load) {
  io::World world(1);
  auto& node = world.node(0);
  {
    auto engine = log::Engine::open(node.env(), fuzz::journal_engine(true));
    CHECK(engine.has_value());
    Load run(**engine);
    load(run);
    node.crash(io::CrashKind::kKill);
  }
  return fuzz::files_of(node.disk()).at(fuzz::unused_store().journal);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  auto loads = loads_of_records();
  loads.merge(loads_of_state());
  for (const auto& [name, load] : loads) {
    auto file = journal_of(load);
    for (int mend : {0, 3, 7, 15}) {
      corpus.add(fmt::format("{}_{}", name, mend),
                 fuzz::form_of(static_cast<unsigned char>(mend), file));
    }
  }
  return 0;
}
