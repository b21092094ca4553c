// SPDX-License-Identifier: MIT
#include "switch/network/plugin_text.h"

#include <algorithm>
#include <cerrno>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::size_t kTextMax = 4096;

bool is_name(std::string_view text) {
  return text.front() != '.' && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

}  // namespace

Result<PluginText> parse_plugin_text(std::string_view text) {
  if (text.size() > kTextMax) {
    return Error{EINVAL, fmt::format("a plugin with its commands has {} bytes, more than {}",
                                     text.size(), kTextMax)};
  }
  if (std::any_of(text.begin(), text.end(),
                  [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; })) {
    return Error{EINVAL, fmt::format("\"{}\" holds control characters; commands stand behind "
                                     "semicolons",
                                     printable(text))};
  }
  PluginText parsed;
  for (std::string_view rest = text;;) {
    const std::size_t end = std::min(rest.find(';'), rest.size());
    const std::string_view part = trim(rest.substr(0, end));
    if (parsed.file.empty()) {
      parsed.file = part;
      if (part.empty()) break;
    } else if (!part.empty()) {
      parsed.commands.emplace_back(part);
    }
    if (end == rest.size()) break;
    rest.remove_prefix(end + 1);
  }
  if (parsed.file.empty()) {
    return Error{EINVAL, "which plugin? Its name or path, as in \"pdump; pdump/active 1\""};
  }
  if (parsed.file.front() != '/' && !is_name(parsed.file)) {
    return Error{EINVAL, fmt::format("\"{}\" is neither the name of a plugin nor an absolute path; "
                                     "commands stand behind semicolons",
                                     printable(parsed.file))};
  }
  return parsed;
}

std::string_view plugin_stem(std::string_view file) {
  if (const std::size_t slash = file.rfind('/'); slash != std::string_view::npos) {
    file.remove_prefix(slash + 1);
  }
  if (file.ends_with(".so")) file.remove_suffix(3);
  return file;
}

}  // namespace lanyard
