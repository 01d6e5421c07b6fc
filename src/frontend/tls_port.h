#pragma once
// What a port that speaks TLS says to those who do not.

#include <string>

#include "walrus/log.h"

namespace walrus::frontend {

// What a peer is answered whose first bytes are no TLS: HTTP and the native protocol have words for
// it, Kafka's has not.
std::string refuse_plaintext(Bytes first);

}  // namespace walrus::frontend
