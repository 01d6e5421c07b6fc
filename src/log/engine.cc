#include "log/engine.h"

#include <algorithm>
#include <atomic>
#include <set>

#include "base/check.h"
#include "log/catalog.h"
#include "log/directory.h"
#include "log/namespace.h"
#include "log/shard.h"

namespace walrus::log {
namespace {

// Keys of the catalogue that no stream name can be: names hold no NUL.
constexpr Bytes kNextStreamKey{"\0next-stream", 12};
constexpr Bytes kNextProducerKey{"\0next-producer", 14};

Result<void> check_options(const EngineOptions& options) {
  const auto& user = options.user;
  auto bad = [](const char* what) { return fail(Code::kInvalid, "{}", what); };
  if (user.batch_bytes_max < 1 || user.batch_bytes_max > (64 << 20)) {
    return bad("batch_bytes_max must be 1 to 64 MiB");
  }
  if (user.batch_records_max < 1) return bad("batch_records_max must be at least 1");
  if (user.journal_bytes_max < 4 * user.batch_bytes_max) {
    return bad("journal_bytes_max must be at least 4 times batch_bytes_max");
  }
  if (user.journal_bytes_max < 4 * options.journal_file_bytes_min) {
    return bad("journal_bytes_max must hold four journal files");
  }
  if (user.in_flight_bytes_max < 1) return bad("in_flight_bytes_max must be at least 1");
  if (user.background_bytes_per_s < 1) return bad("background_bytes_per_s must be at least 1");
  if (user.shards < 0 || user.shards > 1024) return bad("shards must be 0 to 1024");
  return {};
}

// Of the batch that they make.
Result<std::size_t> size_of(std::span<const Record> records, Time now, const Options& user) {
  if (records.empty()) return fail(Code::kInvalid, "a batch holds at least one record");
  if (static_cast<std::int64_t>(records.size()) > user.batch_records_max) {
    return fail(Code::kTooLarge, "{} records, the limit is {}", records.size(),
                user.batch_records_max);
  }
  auto bytes = record::encoded_size(records, now);
  if (static_cast<std::int64_t>(bytes) > user.batch_bytes_max) {
    return fail(Code::kTooLarge, "a batch of {} bytes, the limit is {}", bytes,
                user.batch_bytes_max);
  }
  return bytes;
}

Result<void> check_size(const record::BatchView& batch, const Options& limits) {
  if (static_cast<std::int64_t>(batch.bytes().size()) <= limits.batch_bytes_max &&
      batch.count() <= limits.batch_records_max)
    return {};
  return fail(Code::kTooLarge, "a batch of {} records and {} bytes, the limits are {} and {}",
              batch.count(), batch.bytes().size(), limits.batch_records_max,
              limits.batch_bytes_max);
}

std::uint64_t read_number(const std::optional<std::string>& value) {
  if (!value) return 0;
  return Decoder(*value).uvarint().value_or(0);
}

std::string write_number(std::uint64_t value) {
  std::string bytes;
  append_uvarint(bytes, value);
  return bytes;
}

}  // namespace

struct Engine::Impl {
  struct Named {
    StreamRef stream;
    Pending created;  // visible once this is done
    bool visible = false;
  };

  Impl(io::Env& world, const EngineOptions& given) : env(world), options(given) {}

  Result<void> open();
  Result<void> make();
  Result<void> sync_names();
  void sync_names_above();
  Result<void> open_shards();
  Result<void> recover_shards();
  Result<void> open_beside_writer();
  Result<void> load_catalog();
  void drop_unnamed();
  Result<void> deal_anew(std::int32_t shards);
  void fail_all(const Error&);
  void drop_when_durable(const Pending&, const StreamRef&);
  Shard& shard_of(std::uint64_t id) { return *shards[id % shards.size()]; }

  io::Env& env;
  EngineOptions options;
  io::Path root;
  std::ptrdiff_t parents_made = 0;  // by this open
  std::ptrdiff_t levels = 0;        // of a namespace below the directory that was given
  Identity identity;
  std::unique_ptr<io::DirectoryLock> directory_lock;
  std::vector<std::unique_ptr<Shard>> shards;

  mutable Lock lock;  // guards the catalogue
  std::map<std::string, Named, std::less<>> names;
  std::uint64_t next_stream = 1, next_producer = 0;
  bool closed = false;
};

Result<std::unique_ptr<Engine>> Engine::open(io::Env& env, const EngineOptions& options) {
  WALRUS_TRY(check_options(options));
  WALRUS_ASSIGN(auto path, namespace_path(options.user.key));
  auto resolved = options;
  if (!path.empty()) resolved.user.root /= path;
  auto impl = std::make_unique<Impl>(env, resolved);
  impl->levels = std::distance(path.begin(), path.end());
  WALRUS_TRY(impl->open());
  return std::make_unique<Engine>(std::move(impl));
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() { (void)close(); }

Result<void> Engine::Impl::open() {
  root = options.user.root;
  bool read_only = options.user.read_only;
  if (!read_only) {
    for (auto path = root.parent_path(); path.has_relative_path(); path = path.parent_path()) {
      WALRUS_ASSIGN(const bool there, env.disk().exists(path));
      if (there) break;
      ++parents_made;
    }
    WALRUS_TRY(env.disk().make_directory(root));
    WALRUS_TRY(read_identity(env, root));  // never a lock file in somebody else's directory
    WALRUS_ASSIGN(directory_lock, env.disk().lock(root / "LOCK"));
  }
  WALRUS_ASSIGN(auto found, read_identity(env, root));
  if (!found) {
    if (read_only) return fail(Code::kNotFound, "{}: not a Walrus directory", root.string());
    WALRUS_TRY(make());
  } else {
    identity = *found;
    // Whoever made it may have died before its names were durable.
    if (!read_only) WALRUS_TRY(sync_names());
  }
  WALRUS_TRY(read_only ? open_beside_writer() : open_shards());
  auto wanted = options.user.shards;
  if (!read_only && wanted > 0 && wanted != identity.shards) {
    WALRUS_TRY(deal_anew(wanted));
    WALRUS_TRY(open_shards());
  }
  if (read_only) return {};
  drop_unnamed();
  for (auto& shard : shards) shard->start_workers();
  return {};
}

// A stream that no catalogue names was removed, and the crash came before its drop.
void Engine::Impl::drop_unnamed() {
  std::set<std::uint64_t> named;
  for (const auto& [name, item] : names) named.insert(item.stream->id);
  for (auto& shard : shards) shard->drop_unnamed(named);
}

Result<void> Engine::Impl::make() {
  auto& disk = env.disk();
  identity.shards =
      options.user.shards > 0 ? options.user.shards : static_cast<std::int32_t>(env.cores());
  identity.uuid.clear();
  for (int i = 0; i < 2; ++i) append_le(identity.uuid, env.random());
  for (const char* name : {"journal", "segments", "quarantine"}) {
    WALRUS_TRY(disk.make_directory(root / name));
  }
  for (std::int32_t i = 0; i < identity.shards; ++i) {
    Shard shard(env,
                {options, root, identity.uuid, identity.layout, i, identity.shards, false, {}, {}});
    WALRUS_TRY(shard.create());
  }
  for (const char* name : {"journal", "segments", "quarantine"}) {
    WALRUS_TRY(disk.sync_directory(root / name));
  }
  WALRUS_TRY(sync_names());
  sync_names_above();
  return write_identity(env, root, identity);
}

// Of the directory, and of all parents that were made for it.
Result<void> Engine::Impl::sync_names() {
  WALRUS_TRY(env.disk().sync_directory(root));
  auto path = root;
  for (std::ptrdiff_t i = 0; i <= std::max(levels, parents_made) && path.has_parent_path(); ++i) {
    path = path.parent_path();
    WALRUS_TRY(env.disk().sync_directory(path));
  }
  return {};
}

// An earlier open may have made parents and died before it synced their names. Which ones is not
// known, and those that others made may be closed to us.
void Engine::Impl::sync_names_above() {
  for (auto path = root; path.has_parent_path() && path != path.parent_path();) {
    path = path.parent_path();
    (void)env.disk().sync_directory(path);
  }
}

// A manifest may be replaced, and what it named unlinked, while it is read: then the next is read.
Result<void> Engine::Impl::open_beside_writer() {
  constexpr int kAttempts = 20;
  for (int attempt = 1;; ++attempt) {
    auto opened = open_shards();
    bool moved_on = !opened && (opened.error().code == Code::kCorrupt ||
                                opened.error().code == Code::kNotFound);
    if (!moved_on || attempt == kAttempts) return opened;
  }
}

Result<void> Engine::Impl::open_shards() {
  shards.clear();
  names.clear();
  for (std::int32_t i = 0; i < identity.shards; ++i) {
    ShardOptions shard{options, root, identity.uuid, identity.layout, i, identity.shards, false,
                       {},      {}};
    shard.read_only = options.user.read_only;
    shard.names_file = [this, i](const std::string& name) {
      for (std::size_t other = 0; other < shards.size(); ++other) {
        if (other != static_cast<std::size_t>(i) && shards[other]->names_file(name)) return true;
      }
      return false;
    };
    shard.on_failed = [this](const Error& error) { fail_all(error); };
    shards.push_back(std::make_unique<Shard>(env, shard));
  }
  WALRUS_TRY(recover_shards());
  if (!options.user.read_only) {
    std::vector<FileRef> named;
    for (auto& shard : shards) shard->add_files(named);
    WALRUS_TRY(shards.front()->store().quarantine_unnamed(named));
  }
  return load_catalog();
}

// As many at once as there are cores: what takes time is reading the journals, each of which keeps
// a core busy and a file in memory.
Result<void> Engine::Impl::recover_shards() {
  if (shards.size() == 1) return shards.front()->recover();
  struct Recovery {
    Event done;
    std::unique_ptr<io::Worker> worker;
  };
  std::vector<Result<void>> results(shards.size());
  std::atomic<std::size_t> next{0};
  auto at_once = static_cast<std::size_t>(std::max(2, env.cores()));
  std::vector<Recovery> all(std::min(shards.size(), at_once));
  for (auto& one : all) {
    auto body = [this, &one, &next, &results] {
      auto mine = next.fetch_add(1);
      if (mine < shards.size()) {
        results[mine] = shards[mine]->recover();
        return io::Nanos(0);
      }
      if (!one.done.is_set()) one.done.set();
      return io::Worker::kForever;
    };
    one.worker = env.start_worker(fmt::format("walrus-open{}", &one - all.data()), body);
  }
  for (auto& one : all) {
    if (!env.wait(one.done, io::Worker::kForever)) return fail(Code::kClosed, "crashed");
  }
  for (auto& result : results) WALRUS_TRY(std::move(result));
  return {};
}

Result<void> Engine::Impl::load_catalog() {
  auto& first = *shards.front();
  next_stream = std::max<std::uint64_t>(
      1, read_number(first.get_state(kCatalogStream, Table::kCatalog, kNextStreamKey)));
  next_producer = read_number(first.get_state(kCatalogStream, Table::kCatalog, kNextProducerKey));
  for (auto& shard : shards) {
    for (auto id : shard->stream_ids()) next_stream = std::max(next_stream, id + 1);
  }
  for (auto& [name, value] : first.list_state(kCatalogStream, Table::kCatalog)) {
    if (name.starts_with('\0')) continue;
    auto entry = decode_catalog_entry(value);
    if (!entry) {
      return fail(entry.error().code, "{}: stream {}: {}", root.string(), name,
                  entry.error().message);
    }
    next_stream = std::max(next_stream, entry->id + 1);
    names[name] = {shard_of(entry->id).attach(name, *entry), {}, true};
  }
  return {};
}

// Another shard count: everything into segment files, then new manifests under a new layout. The
// identity file decides which layout counts, so a crash finds the old one or the new one.
Result<void> Engine::Impl::deal_anew(std::int32_t count) {
  drop_unnamed();
  for (auto& shard : shards) shard->start_workers();
  for (auto& shard : shards) WALRUS_TRY(shard->checkpoint());
  auto next = identity;
  next.layout = identity.layout + 1;
  next.shards = count;
  std::vector<Manifest> dealt(static_cast<std::size_t>(count));
  std::uint64_t next_file = 1;
  // Lsns go on where the highest of them is: what lies in a file of an earlier layout that is used
  // again must not look like a part of this log.
  Lsn lsn = 0;
  for (auto& shard : shards) {
    auto old = shard->snapshot_for_layout();
    lsn = std::max(lsn, old.journal_lsn);
    next_file = std::max(next_file, old.next_file);
    for (auto& stream : old.streams) {
      dealt[stream.id % dealt.size()].streams.push_back(std::move(stream));
    }
    for (auto& [key, value] : old.tables) {
      // The catalogue's stream stays with the first shard.
      dealt[key.second.first % dealt.size()].tables[key] = value;
    }
  }
  for (std::size_t i = 0; i < dealt.size(); ++i) {
    auto& manifest = dealt[i];
    std::ranges::sort(manifest.streams, {}, &StreamSnapshot::id);
    manifest.directory_uuid = identity.uuid;
    manifest.layout = next.layout;
    manifest.shard = static_cast<std::int32_t>(i);
    manifest.shards = count;
    manifest.next_file = next_file;
    manifest.generation = 1;
    manifest.journal_lsn = lsn;
    WALRUS_TRY(Shard::write_first_manifest(env, root, manifest));
  }
  for (auto& shard : shards) shard->stop_workers();  // they look at each other
  shards.clear();
  WALRUS_TRY(write_identity(env, root, next));
  identity = next;
  return {};
}

void Engine::Impl::fail_all(const Error& error) {
  for (auto& shard : shards) shard->fail_with(error);
}

Result<void> Engine::close() {
  if (impl_->closed) return {};
  impl_->closed = true;
  Result<void> answer;
  for (auto& shard : impl_->shards) {
    auto closed = shard->close();
    if (!closed && answer) answer = std::move(closed);
  }
  impl_->directory_lock = nullptr;
  return answer;
}

Result<void> Engine::health() const {
  for (auto& shard : impl_->shards) WALRUS_TRY(shard->health());
  return {};
}

std::int64_t Engine::trusted_ms() { return impl_->shards.front()->trusted_ms(); }

Result<void> Engine::failure() const {
  for (auto& shard : impl_->shards) WALRUS_TRY(shard->failure());
  return {};
}

bool Engine::opened_torn() const {
  return std::ranges::any_of(impl_->shards, [](const auto& shard) { return shard->opened_torn(); });
}

io::Env& Engine::env() { return impl_->env; }
const EngineOptions& Engine::options() const { return impl_->options; }

// ---------------------------------------------------------------------------------------------
// Catalogue

Result<Engine::Created> Engine::create(Bytes name, const StreamOptions& options, Names names,
                                       Bytes attributes) {
  WALRUS_TRY(check_stream_name(name));
  if (names == Names::kUsers && name.starts_with("__")) {
    return fail(Code::kInvalid, "stream names that begin with __ are the engine's own");
  }
  WALRUS_TRY(check_stream_options(options));
  LockGuard guard(impl_->lock);
  if (impl_->names.contains(name)) return fail(Code::kExists, "stream {} exists", name);
  WALRUS_TRY(check_attributes(attributes));
  CatalogEntry entry{impl_->next_stream, options, std::string(attributes)};
  WALRUS_ASSIGN(auto pending, impl_->shards.front()->put_state(kCatalogStream, Table::kCatalog,
                                                               name, encode_catalog_entry(entry)));
  ++impl_->next_stream;
  auto stream = impl_->shard_of(entry.id).attach(std::string(name), entry);
  impl_->names[std::string(name)] = {stream, pending, false};
  return Created{pending, stream};
}

Result<StreamRef> Engine::find(Bytes name) const {
  LockGuard guard(impl_->lock);
  auto found = impl_->names.find(name);
  if (found == impl_->names.end()) return fail(Code::kNotFound, "no stream {}", name);
  auto& named = found->second;
  if (!named.visible) {
    // Its records must not be acknowledged before its name is: they lie in different journals.
    if (!named.created.shard->is_done(named.created)) {
      return fail(Code::kNotFound, "no stream {}", name);
    }
    named.visible = true;
  }
  return named.stream;
}

Result<Pending> Engine::remove(Bytes name) {
  StreamRef stream;
  Pending pending;
  {
    LockGuard guard(impl_->lock);
    auto found = impl_->names.find(name);
    if (found == impl_->names.end()) return fail(Code::kNotFound, "no stream {}", name);
    auto& first = *impl_->shards.front();
    WALRUS_TRY(first.put_state(kCatalogStream, Table::kCatalog, kNextStreamKey,
                               write_number(impl_->next_stream)));
    WALRUS_ASSIGN(pending, first.put_state(kCatalogStream, Table::kCatalog, name, std::nullopt));
    stream = found->second.stream;
    impl_->names.erase(found);
  }
  stream->shard->forget(*stream);
  impl_->drop_when_durable(pending, stream);
  return pending;
}

// Its data goes only once its name is gone for good; if that fails for now, the next start does it.
void Engine::Impl::drop_when_durable(const Pending& pending, const StreamRef& stream) {
  pending.shard->when_done(pending, [stream](Result<void> done) {
    if (done) (void)stream->shard->drop(stream->id);
  });
}

std::string Engine::attributes(const StreamRef& stream) const {
  return stream->shard->attributes(*stream);
}

Result<Pending> Engine::alter(const StreamRef& stream, const StreamOptions& options,
                              std::optional<Bytes> attributes) {
  WALRUS_TRY(check_stream_options(options));
  WALRUS_TRY(check_attributes(attributes.value_or(Bytes())));
  LockGuard guard(impl_->lock);
  auto found = impl_->names.find(stream->name);
  if (found == impl_->names.end() || found->second.stream != stream) {
    return fail(Code::kNotFound, "stream {} was removed", stream->name);
  }
  CatalogEntry entry{stream->id, options,
                     attributes ? std::string(*attributes) : this->attributes(stream)};
  WALRUS_ASSIGN(auto pending,
                impl_->shards.front()->put_state(kCatalogStream, Table::kCatalog, stream->name,
                                                 encode_catalog_entry(entry)));
  impl_->shard_of(stream->id).attach(stream->name, entry);
  return pending;
}

std::vector<StreamRef> Engine::list(Bytes prefix) const {
  LockGuard guard(impl_->lock);
  std::vector<StreamRef> streams;
  for (auto at = impl_->names.lower_bound(prefix); at != impl_->names.end(); ++at) {
    if (!at->first.starts_with(prefix)) break;
    if (at->second.visible || at->second.created.shard->is_done(at->second.created)) {
      streams.push_back(at->second.stream);
    }
  }
  return streams;
}

Result<StreamInfo> Engine::info(const StreamRef& stream) const {
  if (stream->removed) return fail(Code::kNotFound, "stream {} was removed", stream->name);
  return stream->shard->info(*stream);
}

Result<Bounds> Engine::bounds(const StreamRef& stream) const {
  return stream->shard->bounds(*stream);
}

std::vector<SegmentInfo> Engine::segments(const StreamRef& stream) const {
  return stream->shard->segments(*stream);
}

std::map<std::string, std::vector<std::uint64_t>> Engine::streams_by_file() const {
  std::map<std::string, std::vector<std::uint64_t>> files;
  for (auto& shard : impl_->shards) shard->add_streams_by_file(files);
  return files;
}

// ---------------------------------------------------------------------------------------------
// Append, read, state: checked here, done by the stream's shard

Result<Appended> Engine::append(const StreamRef& stream, std::span<const Record> records,
                                const AppendOptions& options) {
  const auto& user = impl_->options.user;
  auto now = impl_->env.wall();
  WALRUS_ASSIGN(auto bytes, size_of(records, now, user));
  return stream->shard->append(*stream, records, bytes, now, options);
}

Result<Appended> Engine::append_bulk(const StreamRef& stream, std::span<const Record> records) {
  auto now = impl_->env.wall();
  WALRUS_TRY(size_of(records, now, impl_->options.user));
  return stream->shard->append_bulk(*stream, record::encode(records, {.now = now}));
}

Result<Appended> Engine::append_batch(const StreamRef& stream, const record::BatchView& batch,
                                      std::optional<Offset> expected_next) {
  WALRUS_TRY(check_size(batch, impl_->options.user));
  return stream->shard->append_batch(*stream, batch, expected_next);
}

Result<Appended> Engine::append_copy(const StreamRef& stream, const record::BatchView& batch) {
  WALRUS_TRY(check_size(batch, impl_->options.user));
  return stream->shard->append_copy(*stream, batch);
}

Result<Pending> Engine::begin(const StreamRef& stream, Offset first) {
  return stream->shard->begin(*stream, first.value);
}

ProducerTable Engine::producers(const StreamRef& stream) const {
  return stream->shard->producers(*stream);
}

void Engine::when_room(const StreamRef& stream, Done<void> done) {
  stream->shard->when_room(*stream, std::move(done));
}

void Engine::when_done(const Pending& pending, Done<void> done) {
  if (!pending.shard) return done({});
  pending.shard->when_done(pending, std::move(done));
}

bool Engine::is_done(const Pending& pending) const {
  return !pending.shard || pending.shard->is_done(pending);
}

Result<void> Engine::wait(const Pending& pending) {
  if (!pending.shard) return {};
  return pending.shard->wait(pending);
}

Result<Fetched> Engine::fetch(const StreamRef& stream, Offset from,
                              const FetchOptions& options) const {
  return stream->shard->fetch(*stream, from.value, options);
}

Result<Offset> Engine::find_time(const StreamRef& stream, Time time) const {
  WALRUS_ASSIGN(auto offset, stream->shard->find_time(*stream, time.time_since_epoch().count()));
  return Offset{offset};
}

std::uint64_t Engine::when_readable(const StreamRef& stream, Offset offset, UpTo up_to,
                                    Done<void> done) {
  return stream->shard->when_readable(*stream, offset.value, up_to, std::move(done));
}

void Engine::cancel(const StreamRef& stream, std::uint64_t id) {
  stream->shard->cancel(*stream, id);
}

Result<Pending> Engine::trim(const StreamRef& stream, Offset first_kept) {
  return stream->shard->trim(*stream, first_kept.value);
}

Result<Pending> Engine::truncate(const StreamRef& stream, Offset first_dropped) {
  return stream->shard->truncate(*stream, first_dropped.value);
}

Result<Pending> Engine::sync(const StreamRef& stream) { return stream->shard->sync(*stream); }
Result<void> Engine::compact(const StreamRef& stream) { return stream->shard->compact(*stream); }

Result<void> Engine::checkpoint() {
  for (auto& shard : impl_->shards) WALRUS_TRY(shard->checkpoint());
  return {};
}

Result<Pending> Engine::put_state(const StreamRef& stream, Table table, Bytes key,
                                  std::optional<Bytes> value) {
  if (stream->removed) return fail(Code::kNotFound, "stream {} was removed", stream->name);
  return stream->shard->put_state(stream->id, table, key, value);
}

std::optional<std::string> Engine::get_state(const StreamRef& stream, Table table,
                                             Bytes key) const {
  return stream->shard->get_state(stream->id, table, key);
}

std::map<std::string, std::string> Engine::list_state(const StreamRef& stream, Table table) const {
  return stream->shard->list_state(stream->id, table);
}

Result<Engine::ProducerId> Engine::new_producer_id() {
  LockGuard guard(impl_->lock);
  auto id = impl_->next_producer;
  WALRUS_ASSIGN(auto pending,
                impl_->shards.front()->put_state(kCatalogStream, Table::kCatalog, kNextProducerKey,
                                                 write_number(id + 1)));
  impl_->next_producer = id + 1;
  return ProducerId{pending, static_cast<std::int64_t>(id)};
}

std::map<std::string, double> Engine::metrics() const {
  std::map<std::string, double> metrics;
  for (auto& shard : impl_->shards) shard->add_metrics(metrics);
  return metrics;
}

const std::string& stream_name(const StreamRef& stream) { return stream->name; }
std::uint64_t stream_id(const StreamRef& stream) { return stream->id; }

}  // namespace walrus::log
