#pragma once
// A broker that answers and keeps nothing: what the load could reach if a broker cost nothing. It
// knows ApiVersions, Metadata, Produce, CreateTopics; every topic has the partitions it is told.

#include <string>

namespace walrus::bench {

// Listens on a port that the system chooses and prints `ready 127.0.0.1:PORT`; ends with its
// standard input.
void serve_nothing(int partitions);

}  // namespace walrus::bench
