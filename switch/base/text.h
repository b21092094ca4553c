// SPDX-License-Identifier: MIT
//
// Text made and read: formatting into a string, numbers as people and scripts write them, and
// foreign text made safe to print. Any thread.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lanyard {

template <typename... Args>
void append(std::string& to, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(to), format, std::forward<Args>(args)...);
}

// A whole number, decimal or 0x hexadecimal, with an optional sign; nothing may follow it. A
// leading zero does not mean octal: what we print with leading zeros must read back as itself.
std::optional<std::int64_t> parse_integer(std::string_view text);

// An octal number as file modes are written; nullopt when it is not one or exceeds 07777.
std::optional<unsigned> parse_mode(std::string_view text);

// The words of a line, separated by blanks and tabs.
std::vector<std::string_view> split_words(std::string_view line);

std::string_view trim(std::string_view text);

// Text from a client or guest, for a terminal, log or console: bytes outside printable ASCII become
// \xNN, so it can neither forge lines nor send escape codes; a backslash that would look like the
// start of such a code is doubled. Bytes from 0x80 up are kept when they form
// valid UTF-8 that can be seen.
std::string printable(std::string_view foreign);

}  // namespace lanyard
