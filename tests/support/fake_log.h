// SPDX-License-Identifier: MIT
//
// A log that a test reads.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/log.h"

namespace lanyard::testing {

class FakeLog final : public Log {
 public:
  struct Line {
    LogLevel level;
    std::string text;
  };

  void write(LogLevel level, std::string_view line) override {
    lines.push_back({level, std::string(line)});
  }
  bool contains(std::string_view part) const {
    return std::any_of(lines.begin(), lines.end(),
                       [&](const Line& line) { return line.text.find(part) != std::string::npos; });
  }
  // All of it, for the message of a failing test.
  std::string text() const {
    std::string all;
    for (const Line& line : lines) all += line.text + '\n';
    return all;
  }

  std::vector<Line> lines;
};

}  // namespace lanyard::testing
