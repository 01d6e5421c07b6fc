#pragma once
// PUT over loopback against a real server, and the same against nats-server: 16 connections, 32
// requests in flight each, one thread. Answers a second.

#include <filesystem>

namespace walrus::bench {

double walrus_puts(const std::filesystem::path& binary, const std::filesystem::path& directory,
                   double seconds);
double nats_puts(const std::filesystem::path& directory, double seconds);

}  // namespace walrus::bench
