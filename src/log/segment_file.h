#pragma once
// Segment and pack files as files: the bounded set of those open for reading, and the writer.

#include <boost/align/aligned_allocator.hpp>
#include <list>
#include <unordered_map>

#include "base/event.h"
#include "log/segment_index.h"

namespace walrus::log {

using OpenFileRef = std::shared_ptr<io::File>;  // shared: a reader keeps it past its eviction

// Files open for reading, the least recently used closed beyond `files_max`. A file's header is
// checked when it is opened. Any thread.
class OpenFiles {
 public:
  OpenFiles(io::Disk& disk, io::Path segments, std::string directory_uuid, std::int64_t files_max)
      : disk_(disk),
        segments_(std::move(segments)),
        uuid_(std::move(directory_uuid)),
        files_max_(files_max) {}

  Result<OpenFileRef> open(const FileRef&);
  // Unlinks the file; it can still be read through every FileRef that is alive now.
  Result<void> remove(const FileRef&);
  void close_unreadable();
  io::Path path(const SegmentFile& file) const { return segments_ / file.name; }
  // kCorrupt or kVersion if the header is damaged or that of another file.
  Result<void> check_header(io::File&, const SegmentFile&) const;

 private:
  struct Slot {
    const SegmentFile* key;
    std::weak_ptr<SegmentFile> file;
    OpenFileRef handle;
  };
  OpenFileRef cached(const FileRef&);             // lock held
  void keep(const FileRef&, const OpenFileRef&);  // lock held

  io::Disk& disk_;
  const io::Path segments_;
  const std::string uuid_;
  const std::int64_t files_max_;
  Lock lock_;
  std::list<Slot> slots_;  // most recently used first
  std::unordered_map<const SegmentFile*, std::list<Slot>::iterator> places_;
  std::vector<Slot> removed_;  // unlinked, while somebody can still read them
};

// Extends the chain by a batch at `position` of `file`: grows the last extent or adds one.
struct BatchPlace {
  const FileRef& file;
  std::int64_t position;
  std::int64_t segment_base;
};
void grow(Chain&, const BatchPlace&, const record::BatchView&);

// Appends batches to one file, in large pieces. Nothing of its FileRef changes before commit(), so
// that an error leaves the file as every manifest knows it.
class SegmentWriter {
 public:
  // A new file. kExists if the name is taken.
  static Result<SegmentWriter> create(io::Disk&, const io::Path& segments, const std::string& name,
                                      const SegmentHeader&);
  // Goes on at the synced end of a file and cuts what lies beyond. `data_end`: of the last batch;
  // kCorrupt if there is more than padding behind it. `state`: of its index, if that is known.
  static Result<SegmentWriter> reopen(io::Disk&, const OpenFiles&, const FileRef&,
                                      std::int64_t data_end,
                                      const std::optional<IndexState>& state);

  const FileRef& file() const { return file_; }
  Result<void> add(const record::BatchView&, std::int64_t segment_base, std::int64_t interval_bytes,
                   Chain&);
  // Writes index and footer; nothing may be added afterwards. `before`: the entries of what the
  // file held before this writer, if they are known; otherwise the file's batches are read again,
  // and kCorrupt (nothing written) is the answer if one is damaged.
  Result<void> seal(std::vector<IndexEntry> before, std::int64_t interval_bytes);
  bool knows_index() const { return state_.has_value(); }
  std::int64_t index_start() const { return index_start_; }  // where the index ended before
  std::int64_t end() const { return end_; }
  bool open() const { return handle_ != nullptr; }  // not finished
  bool sync_failed() const { return sync_failed_; }
  // What it gathers pieces in, as large as they become. A writer that is complete may give its own
  // to the next one: where every stream has a file, making it anew would cost as much as filling
  // it. A string, because it grows without being filled first; what is short may lie in itself, not
  // at the address of a block.
  using Memory = std::basic_string<char, std::char_traits<char>,
                                   boost::alignment::aligned_allocator<char, io::kDirectBytes>>;
  void use_memory(Memory);  // before anything is added
  Memory give_memory();     // after complete()
  // Nothing is added afterwards: pads, and hands what is buffered to the disk.
  Result<void> complete();
  // Completes, syncs, and closes the descriptor that wrote.
  Result<void> finish(io::Env&);
  // After every sync: the file's new end becomes known. The store's lock is held.
  void commit(IndexCache&);
  // After an error: removes a new file, cuts an old one to where it was; as far as the disk lets.
  void abandon();

 private:
  Result<void> write(Bytes);
  Result<void> flush();
  Result<SparseIndex> rebuild_index(std::int64_t interval_bytes);

  io::Disk* disk_ = nullptr;
  io::Path path_;
  FileRef file_;
  std::unique_ptr<io::File> handle_;  // none once finished
  Memory buffer_;  // the file's end from a block on: what the disk does not have yet
  std::int64_t start_ = 0, end_ = 0;  // end_ counts what is buffered
  std::int64_t index_start_ = kFileHeaderBytes;
  bool created_ = false, sealed_ = false, sync_failed_ = false;
  std::optional<IndexState> state_;
  std::vector<IndexEntry> added_;
};

}  // namespace walrus::log
