#pragma once
// walrus/tls.h: the files that TLS is set up from.

#include <filesystem>

namespace walrus {

// PEM. `ca`: who may sign the peer's certificate; empty, of a client: whom the system trusts.
// `certificate`, the leaf first, then those between it and the CA, and its `key`: ours.
struct TlsFiles {
  std::filesystem::path ca{}, certificate{}, key{};
};

}  // namespace walrus
