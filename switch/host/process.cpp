// SPDX-License-Identifier: MIT
#include "switch/host/process.h"

#include <unistd.h>

#include <optional>

#include "switch/base/text.h"
#include "switch/host/sysctl.h"

namespace lanyard {
namespace {

// Field 22 of proc(5); the second, the name in parentheses, may hold anything.
std::optional<std::uint64_t> start_of(const std::string& proc, long pid) {
  const auto stat = read_setting(fmt::format("{}/{}/stat", proc, pid));
  if (!stat) return std::nullopt;
  const std::size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  const auto fields = split_words(std::string_view(*stat).substr(name_end + 1));
  constexpr std::size_t kState = 3;
  constexpr std::size_t kStart = 22;
  if (fields.size() <= kStart - kState) return std::nullopt;
  const auto ticks = parse_integer(fields[kStart - kState]);
  if (!ticks || fields[0] == "Z" || fields[0] == "X") return std::nullopt;
  return static_cast<std::uint64_t>(*ticks);
}

}  // namespace

ProcessId ProcessId::own(const std::string& proc) {
  return {::getpid(), start_of(proc, ::getpid()).value_or(0)};
}

bool ProcessId::is_alive(const std::string& proc) const {
  return start_of(proc, pid) == started;
}

}  // namespace lanyard
