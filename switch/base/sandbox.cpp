// SPDX-License-Identifier: MIT
#include "switch/base/sandbox.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::array<std::pair<std::string_view, SandboxMode>, 4> kModes{{
    {"off", SandboxMode::off},
    {"log", SandboxMode::log},
    {"errno", SandboxMode::refuse},
    {"kill", SandboxMode::kill},
}};

std::string_view fate(SandboxMode mode) {
  switch (mode) {
    case SandboxMode::off: return "not filtered";
    case SandboxMode::log: return "only logged";
    case SandboxMode::refuse: return "refused";
    case SandboxMode::kill: return "the end of the process";
  }
  return {};
}

Result<void> set_limits(std::span<const ResourceLimit> limits) {
  for (const ResourceLimit& limit : limits) {
    const rlimit value{limit.most, limit.most};
    // glibc's first parameter is an enumeration in C++.
    if (::setrlimit(static_cast<__rlimit_resource_t>(limit.resource), &value) != 0) {
      return Error{errno, fmt::format("cannot set resource limit {} to {}: {}", limit.resource,
                                      limit.most, std::strerror(errno))};
    }
  }
  return {};
}

}  // namespace

std::optional<SandboxMode> parse_sandbox_mode(std::string_view text) {
  for (const auto& [name, mode] : kModes) {
    if (name == text) return mode;
  }
  return std::nullopt;
}

std::string_view text_of(SandboxMode mode) {
  for (const auto& [name, candidate] : kModes) {
    if (candidate == mode) return name;
  }
  return {};
}

SandboxMode default_sandbox_mode() {
#ifdef LANYARD_SANITIZED
  return SandboxMode::off;
#else
  return SandboxMode::refuse;
#endif
}

Result<SandboxMode> sandbox_mode_from_environment(SandboxMode otherwise) {
  const char* const text = std::getenv("LANYARD_SANDBOX");
  if (text == nullptr || *text == '\0') return otherwise;
  if (const auto mode = parse_sandbox_mode(text)) return *mode;
  return Error{EINVAL,
               fmt::format("LANYARD_SANDBOX={}: give off, log, errno or kill", printable(text))};
}

// There is no wrapper in libc for what capset(2) does.
Result<void> keep_capabilities(std::uint64_t kept) {
  // Beyond those that this kernel knows it fails, as it does for who may not.
  for (unsigned capability = 0; capability < 64; ++capability) {
    if ((kept >> capability & 1) == 0) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) {
    return Error{errno, fmt::format("cannot read capabilities: {}", std::strerror(errno))};
  }
  const auto before = sets;
  for (__user_cap_data_struct& set : sets) {
    set.permitted &= static_cast<std::uint32_t>(kept);
    set.effective = set.permitted;
    set.inheritable = 0;
    kept >>= 32;
  }
  // A service manager's filter may refuse the call to who has nothing.
  if (std::memcmp(&before, &sets, sizeof sets) == 0) return {};
  if (::syscall(SYS_capset, &header, sets.data()) != 0) {
    return Error{errno, fmt::format("cannot give up capabilities: {}", std::strerror(errno))};
  }
  return {};
}

Result<void> forbid_dumps() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0) return {};
  return Error{errno, fmt::format("cannot become undumpable: {}", std::strerror(errno))};
}

Result<SandboxReport> enter_sandbox(const SandboxPolicy& policy, SandboxMode mode) {
  SandboxReport report;
  report.mode = mode;
  if (mode == SandboxMode::off) return report;
  if (Result<void> limited = set_limits(policy.limits); !limited) return limited.error();
  if (Result<void> kept = keep_capabilities(policy.capabilities); !kept) return kept.error();
  if (Result<void> forbidden = forbid_dumps(); !forbidden) return forbidden.error();
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return Error{errno, fmt::format("cannot give up new privileges: {}", std::strerror(errno))};
  }
  if (mode == SandboxMode::log) {
    report.absent.emplace_back("paths are not restricted: Landlock has no mode that only logs");
  } else if (const Result<int> version = restrict_paths(policy.paths, policy.abstract_sockets);
             version) {
    report.landlock = version.value();
  } else {
    report.absent.push_back(version.error().text);
  }
  const Result<std::size_t> calls = filter_system_calls(policy.calls, mode);
  if (calls) {
    report.calls = calls.value();
  } else {
    report.absent.push_back(calls.error().text);
  }
  return report;
}

std::string SandboxReport::text() const {
  if (mode == SandboxMode::off) return "sandbox: off";
  std::string text = "sandbox: no new privileges, not dumpable";
  if (calls > 0) append(text, ", {} system calls, others are {}", calls, fate(mode));
  if (landlock > 0) append(text, ", paths by Landlock {}", landlock);
  for (const std::string& sentence : absent) append(text, "; {}", sentence);
  return text;
}

}  // namespace lanyard
