// SPDX-License-Identifier: MIT
//
// Where the parts report what they see. The sink behind it never blocks the caller: the data thread
// logs, and a full pipe at stderr must not stop a VM (see daemon/log.h). Callers on a path that a
// peer can drive put a RateLimit in front. Any part may hold a Log&; the daemon owns the sink.
#pragma once

#include <cstdint>
#include <string_view>

#include "switch/base/text.h"
#include "switch/base/time.h"

namespace lanyard {

enum class LogLevel : std::uint8_t { error, warning, notice, info, debug };

class Log {
 public:
  virtual ~Log() = default;
  virtual void write(LogLevel level, std::string_view line) = 0;

  template <typename... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) {
    write(LogLevel::error, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  void warning(fmt::format_string<Args...> format, Args&&... args) {
    write(LogLevel::warning, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  void notice(fmt::format_string<Args...> format, Args&&... args) {
    write(LogLevel::notice, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) {
    write(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
  }
};

// At most `burst` lines in any `window`; how many were held back is told with the next line.
class RateLimit {
 public:
  RateLimit(std::uint32_t burst, Duration window) : burst_(burst), window_(window) {}

  bool allow(Time now) {
    if (now - window_start_ >= window_) {
      window_start_ = now;
      used_ = 0;
    }
    if (used_ < burst_) {
      ++used_;
      return true;
    }
    ++suppressed_;
    return false;
  }
  // How many were refused since this was last asked.
  std::uint64_t take_suppressed() { return std::exchange(suppressed_, 0); }

 private:
  std::uint32_t burst_;
  Duration window_;
  Time window_start_{-1'000'000'000'000};
  std::uint32_t used_ = 0;
  std::uint64_t suppressed_ = 0;
};

}  // namespace lanyard
