// SPDX-License-Identifier: MIT
#include "switch/control/log_ring.h"

#include <algorithm>
#include <array>

namespace lanyard {
namespace {

// In the order of LogLevel.
constexpr std::array<std::string_view, 5> kNames{"error", "warning", "notice", "info", "debug"};

}  // namespace

std::string_view log_level_name(LogLevel level) {
  return kNames[static_cast<std::size_t>(level)];
}

std::optional<LogLevel> parse_log_level(std::string_view name) {
  const auto at = std::find(kNames.begin(), kNames.end(), name);
  if (at == kNames.end()) return std::nullopt;
  return static_cast<LogLevel>(at - kNames.begin());
}

void LogRing::write(LogLevel level, std::string_view line) {
  if (level > level_) return;
  next_.write(level, line);
  if (lines_.size() == kLines) lines_.pop_front();
  lines_.push_back({std::time(nullptr), level, std::string(line.substr(0, kLineBytes))});
}

std::string utc_text(std::time_t time) {
  std::tm utc{};
  ::gmtime_r(&time, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text.data();
}

}  // namespace lanyard
