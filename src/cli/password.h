#pragma once
// Passwords: from a file, from a pipe, or from the terminal without showing them. Never from the
// command line, which every user of the machine can see.

#include <string>

#include "base/result.h"

namespace walrus::cli {

// Of who logs in: the first line of `file`, or what the terminal says. Asked for once a process.
Result<std::string> login_password(const std::string& user, const std::string& file);
// Of somebody else: the first line of `file` ("-": stdin); without one what the terminal says,
// twice, or the first line of a pipe.
Result<std::string> new_password(const std::string& user, const std::string& file);

}  // namespace walrus::cli
