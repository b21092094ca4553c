// SPDX-License-Identifier: MIT
//
// What confines a process, as the kernel tells it in /proc/PID/status (proc(5)): read, not
// remembered, so that nobody believes in a sandbox that was never entered. Whether Landlock
// restricts another process is nowhere to be read; what this kernel could do is. Any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lanyard {

struct SandboxStatus {
  enum class Filter : std::uint8_t { none, strict, filter };

  Filter seccomp = Filter::none;
  bool no_new_privileges = false;
  std::uint64_t capabilities = 0;  // in effect

  // No system call that is not on a list; its capabilities are told apart from this.
  bool confined() const { return seccomp == Filter::filter && no_new_privileges; }
  // "system calls filtered, no new privileges, no capability"
  std::string text() const;

  friend bool operator==(const SandboxStatus&, const SandboxStatus&) = default;
};

// nullopt: a line that matters is missing.
std::optional<SandboxStatus> parse_sandbox_status(std::string_view proc_status);
// nullopt: there is no such process, or it may not be seen.
std::optional<SandboxStatus> read_sandbox_status(pid_t pid, const std::string& proc = "/proc");

// "cap_chown,cap_net_admin", "none", "all"
std::string capability_names(std::uint64_t set);

// The version of Landlock that this kernel has (landlock(7)); 0: none.
int landlock_version();

}  // namespace lanyard
