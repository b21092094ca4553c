// SPDX-License-Identifier: MIT
//
// Processes as they are noted in state that outlives them: a number alone comes again. Any thread.
#pragma once

#include <cstdint>
#include <string>

namespace lanyard {

struct ProcessId {
  long pid = 0;
  std::uint64_t started = 0;  // clock ticks after boot, as /proc/PID/stat has it

  static ProcessId own(const std::string& proc = "/proc");
  bool is_alive(const std::string& proc = "/proc") const;
  friend bool operator==(const ProcessId&, const ProcessId&) = default;
};

}  // namespace lanyard
