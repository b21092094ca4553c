// SPDX-License-Identifier: MIT
#include "switch/base/text.h"

#include <algorithm>
#include <charconv>

namespace lanyard {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

// Characters that break lines or turn the direction of writing, or cannot be seen at all: with them
// a name can be made to look like another one.
bool is_invisible(char32_t c) {
  const auto in = [c](char32_t first, char32_t last) { return c >= first && c <= last; };
  return in(0x80, 0x9f) || c == 0x61c || in(0x200b, 0x200f) || in(0x2028, 0x202e) ||
         in(0x2060, 0x206f) || c == 0xfeff || in(0xfff9, 0xfffb) || in(0xe0000, 0xe0fff);
}

// The length of the UTF-8 sequence at the start of `bytes` that is not ASCII and can be shown, or 0
// (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
std::size_t shown_sequence(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = at(0);
  const std::size_t length = lead >= 0xf0 && lead <= 0xf4   ? 4
                             : lead >= 0xe0 && lead <= 0xef ? 3
                             : lead >= 0xc2 && lead <= 0xdf ? 2
                                                            : 0;
  if (length == 0 || bytes.size() < length) return 0;
  char32_t c = lead & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0U) != 0x80) return 0;
    c = c << 6 | (at(i) & 0x3fU);
  }
  const bool overlong = (length == 3 && c < 0x800) || (length == 4 && c < 0x10000);
  const bool surrogate = c >= 0xd800 && c <= 0xdfff;
  return overlong || surrogate || c > 0x10ffff || is_invisible(c) ? 0 : length;
}

// How many of the first bytes are one character that printable() shows as it is, or 0.
std::size_t shown_bytes(std::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes.front());
  if (lead < 0x80) return lead >= 0x20 && lead < 0x7f ? 1 : 0;
  return shown_sequence(bytes);
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  int base = 10;
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
    text.remove_prefix(2);
    base = 16;
  }
  std::int64_t value = 0;
  if (text.empty() || text.front() == '-' || text.front() == '+') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return negative ? -value : value;
}

std::optional<unsigned> parse_mode(std::string_view text) {
  unsigned value = 0;
  if (text.empty()) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (error != std::errc() || end != text.data() + text.size() || value > 07777) {
    return std::nullopt;
  }
  return value;
}

std::vector<std::string_view> split_words(std::string_view line) {
  std::vector<std::string_view> words;
  std::size_t i = 0;
  while (i < line.size()) {
    while (i < line.size() && is_blank(line[i])) ++i;
    const std::size_t start = i;
    while (i < line.size() && !is_blank(line[i])) ++i;
    if (i > start) words.push_back(line.substr(start, i - start));
  }
  return words;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string printable(std::string_view foreign) {
  std::string out;
  out.reserve(foreign.size());
  while (!foreign.empty()) {
    if (foreign.front() == '\\') {
      // Backslashes are doubled where they would read as the start of a code, and only there:
      // DOMAIN\user stays what it is.
      const std::size_t run = std::min(foreign.find_first_not_of('\\'), foreign.size());
      const std::string_view after = foreign.substr(run);
      const bool before_code = !after.empty() && (after.front() == 'x' || shown_bytes(after) == 0);
      out.append(before_code ? 2 * run : run, '\\');
      foreign = after;
    } else if (const std::size_t shown = shown_bytes(foreign); shown != 0) {
      out += foreign.substr(0, shown);
      foreign.remove_prefix(shown);
    } else {
      append(out, "\\x{:02x}", static_cast<unsigned char>(foreign.front()));
      foreign.remove_prefix(1);
    }
  }
  return out;
}

}  // namespace lanyard
