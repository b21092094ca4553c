// SPDX-License-Identifier: MIT
//
// Asking a program of the host. It waits for its end, so it is for setting things up and for
// looking, never for the way of a frame. Any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace lanyard {

// Both its outputs, at most 1 MiB of them; nullopt when it is not there, or takes seconds.
std::optional<std::string> run_program(const std::vector<std::string>& command);

using RunProgram =
    std::function<std::optional<std::string>(const std::vector<std::string>& command)>;

}  // namespace lanyard
