// SPDX-License-Identifier: MIT
#include <seccomp.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <type_traits>

#include "switch/base/sandbox.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

// Calls that libraries try first, with another way behind them that they take only when the kernel
// says that there is no such call. stdio asks fstat(2) how large its buffer should be, malloc
// mremap(2) for room that it can make by copying, and what looks users up (nsswitch.conf(5)) for
// chance that it does not need and where links lead that it cannot follow here anyway.
constexpr std::array kTriedFirst{
    "clone3", "close_range", "faccessat2", "fchmodat2",  "fstat", "futex_waitv", "getrandom",
    "mremap", "openat2",     "readlink",   "readlinkat", "rseq",  "statx",       "set_robust_list",
};

using Filter = std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>, decltype(&seccomp_release)>;

std::uint32_t action_of(SandboxMode mode) {
  switch (mode) {
    case SandboxMode::kill: return SCMP_ACT_KILL_PROCESS;
    case SandboxMode::log: return SCMP_ACT_LOG;
    case SandboxMode::refuse:
    case SandboxMode::off: break;
  }
  return SCMP_ACT_ERRNO(EPERM);
}

Error cannot_filter(int code, std::string_view what) {
  return {code, fmt::format("system calls are not filtered: {}: {}", what, std::strerror(code))};
}

// 0 or a negative errno, as the library has it. A call that this machine has not got is no error.
int allow(const Filter& filter, const AllowedCall& call) {
  const int number = seccomp_syscall_resolve_name(std::string(call.name).c_str());
  if (number == __NR_SCMP_ERROR) return 0;
  std::array<scmp_arg_cmp, 6> conditions{};
  unsigned count = 0;
  for (const ArgumentIs& argument : call.arguments) {
    conditions.at(count++) = {argument.index, SCMP_CMP_MASKED_EQ, argument.mask, argument.value};
  }
  return seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, number, count, conditions.data());
}

int refuse_as_unknown(const Filter& filter, const char* name) {
  const int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return 0;
  return seccomp_rule_add_array(filter.get(), SCMP_ACT_ERRNO(ENOSYS), number, 0, nullptr);
}

}  // namespace

Result<std::size_t> filter_system_calls(std::span<const AllowedCall> calls, SandboxMode mode) {
  const Filter filter(seccomp_init(action_of(mode)), &seccomp_release);
  if (filter == nullptr) return cannot_filter(ENOMEM, "libseccomp");
  std::set<std::string_view> names;
  for (const AllowedCall& call : calls) {
    if (const int code = allow(filter, call); code != 0) return cannot_filter(-code, call.name);
    names.insert(call.name);
  }
  for (const char* const name : kTriedFirst) {
    if (names.contains(name) || mode == SandboxMode::log) continue;
    if (const int code = refuse_as_unknown(filter, name); code != 0) {
      return cannot_filter(-code, name);
    }
  }
  seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (const int code = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); code != 0) {
    return cannot_filter(-code, "not all threads can be");
  }
  // Of those that fail, too, and not only of those that kill. An old kernel has not got it.
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_LOG, 1);
  // A balanced tree instead of a row of comparisons.
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (const int code = seccomp_load(filter.get()); code != 0) {
    return cannot_filter(-code, "the kernel");
  }
  return names.size();
}

}  // namespace lanyard
