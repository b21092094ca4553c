// SPDX-License-Identifier: MIT
//
// Bytes from a client in, lines out. A line ends with a newline, a carriage return before it is
// dropped; what exceeds the longest line allowed is skipped to its end and reported. No descriptor,
// no clock, so it can be fuzzed. A value; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lanyard {

class LineReader {
 public:
  static constexpr std::size_t kLineMax = 65536;

  explicit LineReader(std::size_t line_max = kLineMax) : line_max_(line_max) {}

  struct Line {
    std::string text;
    bool too_long = false;
  };

  void add(std::string_view bytes) { buffer_ += bytes; }

  // The next whole line; nullopt when there is none yet.
  std::optional<Line> next() {
    const std::size_t end = buffer_.find('\n');
    if (end == std::string::npos) {
      if (buffer_.size() > line_max_) {
        skipping_ = true;
        buffer_.clear();
      }
      return std::nullopt;
    }
    return take(end, end + 1);
  }

  // What is there without a newline, as if one had come; nullopt when there is nothing.
  std::optional<Line> rest() {
    if (!has_rest()) return std::nullopt;
    return take(buffer_.size(), buffer_.size());
  }

  bool has_rest() const { return !buffer_.empty() || skipping_; }
  // Within a line that is too long: its end must come before anything is a command again.
  bool skipping() const { return skipping_; }
  std::size_t buffered() const { return buffer_.size(); }
  // What has come and is no line yet, or has not been asked for.
  std::string_view unread() const { return buffer_; }

 private:
  std::optional<Line> take(std::size_t size, std::size_t consumed) {
    Line line{buffer_.substr(0, size), skipping_ || size > line_max_};
    buffer_.erase(0, consumed);
    skipping_ = false;
    if (line.too_long) line.text.clear();
    if (!line.text.empty() && line.text.back() == '\r') line.text.pop_back();
    return line;
  }

  std::size_t line_max_;
  std::string buffer_;
  bool skipping_ = false;
};

}  // namespace lanyard
