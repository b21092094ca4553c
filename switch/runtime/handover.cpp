// SPDX-License-Identifier: MIT
#include "switch/runtime/handover.h"

#include "switch/base/text.h"

namespace lanyard {

const std::string& HandoverPart::text(std::string_view key) const {
  static const std::string kNone;
  const auto found = values.find(key);
  return found == values.end() ? kNone : found->second;
}

std::optional<std::uint64_t> HandoverPart::number(std::string_view key, std::uint64_t most) const {
  const std::optional<std::int64_t> number = parse_integer(text(key));
  if (!number || *number < 0 || static_cast<std::uint64_t>(*number) > most) return std::nullopt;
  return static_cast<std::uint64_t>(*number);
}

}  // namespace lanyard
