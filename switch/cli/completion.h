// SPDX-License-Identifier: MIT
//
// Completion of a command line: the shell's script only asks `lanyard __complete WORD...`, so the
// tables decide, and names of networks, ports, guests and forwards come from the daemon that runs.
// Pure but for `ask`; any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "switch/network/json_rpc.h"

namespace lanyard {

// The result of a method, or nullopt when the daemon does not answer quickly.
using CompletionSource =
    std::function<std::optional<Json>(std::string_view method, const Json& params)>;

// What the last word may become; this one alone stands for the names of files.
constexpr std::string_view kCompleteFiles =
    "\x1f"
    "files";
std::vector<std::string> complete(const std::vector<std::string>& words,
                                  const CompletionSource& ask);

// The script for bash.
std::string bash_completion();

}  // namespace lanyard
