#pragma once
// Copies of a Walrus directory, also of one that a process is writing to: from files alone, without
// a lock and without that process's help.
//
// A shard is copied manifest first, then the segment files that it names up to the ends that it
// names, then the journal from its start, last block first: so a group header that is copied was
// encoded after everything before it, and all that is copied later is at least as new. If another
// manifest came meanwhile, files may be gone: the copy is brought up to date with that one. The
// first shard comes last, because the catalogue is in it: a stream removed meanwhile is then not
// named, and dropped at the first opening.

#include "io/env.h"

namespace walrus::log {

// `to` must not exist or be empty (kExists). Durable on return; WALRUS is written last.
Result<void> copy_directory(io::Env&, const io::Path& from, const io::Path& to);

}  // namespace walrus::log
