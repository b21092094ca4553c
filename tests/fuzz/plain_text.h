// SPDX-License-Identifier: MIT
//
// Whether text is fit for a terminal, a log or a line of a reply: valid UTF-8 (RFC 3629) without
// control characters (C0, DEL, C1) and without what turns the direction of writing, breaks lines or
// cannot be seen. Decodes code points, unlike the code it judges.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "switch/base/log.h"
#include "tests/fuzz/input.h"

namespace lanyard::fuzz {

// Unicode's Bidi_Control, line and paragraph separators, zero-width characters, annotation marks
// and tags. Not all that a font may leave blank: soft hyphens and variation selectors are honest
// text.
inline bool is_deceptive(std::uint32_t point) {
  return point == 0x61c || (point >= 0x200b && point <= 0x200f) ||
         (point >= 0x2028 && point <= 0x202e) || (point >= 0x2060 && point <= 0x206f) ||
         point == 0xfeff || (point >= 0xfff9 && point <= 0xfffb) ||
         (point >= 0xe0000 && point <= 0xe0fff);
}

inline bool is_plain(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const auto lead = static_cast<unsigned char>(text[at++]);
    const int more = lead < 0x80             ? 0
                     : (lead & 0xe0) == 0xc0 ? 1
                     : (lead & 0xf0) == 0xe0 ? 2
                     : (lead & 0xf8) == 0xf0 ? 3
                                             : -1;
    if (more < 0) return false;
    std::uint32_t point = more == 0 ? lead : lead & (0x3fU >> more);
    for (int i = 0; i < more; ++i, ++at) {
      if (at == text.size() || (text[at] & 0xc0) != 0x80) return false;
      point = point << 6 | (static_cast<unsigned char>(text[at]) & 0x3fU);
    }
    const bool overlong = (more == 1 && point < 0x80) || (more == 2 && point < 0x800) ||
                          (more == 3 && point < 0x10000);
    const bool surrogate = point >= 0xd800 && point <= 0xdfff;
    const bool control = point < 0x20 || (point >= 0x7f && point <= 0x9f);
    if (overlong || surrogate || control || point > 0x10ffff || is_deceptive(point)) return false;
  }
  return true;
}

// A log that shows nothing and takes only lines that cannot do harm where they are shown.
class PlainLog final : public Log {
 public:
  void write(LogLevel, std::string_view line) override {
    require(is_plain(line), "a log line is one line without control characters");
    ++lines_;
  }
  std::size_t lines() const { return lines_; }

 private:
  std::size_t lines_ = 0;
};

}  // namespace lanyard::fuzz
