// SPDX-License-Identifier: MIT
//
// A log that remembers its last lines, so that they can be asked for where standard error is gone,
// and whose level can be changed while it runs. Bounded in lines and in the length of each. Lane
// thread only.
#pragma once

#include <cstddef>
#include <ctime>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "switch/base/log.h"

namespace lanyard {

std::string_view log_level_name(LogLevel level);
std::optional<LogLevel> parse_log_level(std::string_view name);

class LogRing final : public Log {
 public:
  static constexpr std::size_t kLines = 1000;
  static constexpr std::size_t kLineBytes = 1024;

  struct Line {
    std::time_t time = 0;
    LogLevel level = LogLevel::notice;
    std::string text;
  };

  explicit LogRing(Log& next) : next_(next) {}

  // Lines above the level are neither written nor remembered.
  void write(LogLevel level, std::string_view line) override;

  const std::deque<Line>& lines() const { return lines_; }
  LogLevel level() const { return level_; }
  void set_level(LogLevel level) { level_ = level; }

 private:
  Log& next_;
  LogLevel level_ = LogLevel::info;
  std::deque<Line> lines_;
};

// "2026-11-24T15:40:12Z".
std::string utc_text(std::time_t time);

}  // namespace lanyard
