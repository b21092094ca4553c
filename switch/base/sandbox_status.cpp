// SPDX-License-Identifier: MIT
#include "switch/base/sandbox_status.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "switch/base/fd.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

// By number, as capabilities(7) has them.
constexpr std::array<std::string_view, 41> kNames{"chown",
                                                  "dac_override",
                                                  "dac_read_search",
                                                  "fowner",
                                                  "fsetid",
                                                  "kill",
                                                  "setgid",
                                                  "setuid",
                                                  "setpcap",
                                                  "linux_immutable",
                                                  "net_bind_service",
                                                  "net_broadcast",
                                                  "net_admin",
                                                  "net_raw",
                                                  "ipc_lock",
                                                  "ipc_owner",
                                                  "sys_module",
                                                  "sys_rawio",
                                                  "sys_chroot",
                                                  "sys_ptrace",
                                                  "sys_pacct",
                                                  "sys_admin",
                                                  "sys_boot",
                                                  "sys_nice",
                                                  "sys_resource",
                                                  "sys_time",
                                                  "sys_tty_config",
                                                  "mknod",
                                                  "lease",
                                                  "audit_write",
                                                  "audit_control",
                                                  "setfcap",
                                                  "mac_override",
                                                  "mac_admin",
                                                  "syslog",
                                                  "wake_alarm",
                                                  "block_suspend",
                                                  "audit_read",
                                                  "perfmon",
                                                  "bpf",
                                                  "checkpoint_restore"};

// The value of a line "NAME:\tVALUE".
std::optional<std::string_view> value_of(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.starts_with(name) || line.substr(name.size(), 1) != ":") continue;
    return trim(line.substr(name.size() + 1));
  }
  return std::nullopt;
}

}  // namespace

std::string capability_names(std::uint64_t set) {
  constexpr std::uint64_t kAll = (std::uint64_t{1} << kNames.size()) - 1;
  if (set == 0) return "none";
  if ((set & kAll) == kAll) return "all";
  std::string names;
  for (unsigned number = 0; number < 64; ++number) {
    if ((set >> number & 1) == 0) continue;
    if (!names.empty()) names += ',';
    if (number < kNames.size()) append(names, "cap_{}", kNames[number]);
    if (number >= kNames.size()) append(names, "{}", number);
  }
  return names;
}

std::string SandboxStatus::text() const {
  std::string text =
      seccomp == Filter::none ? "system calls not filtered" : "system calls filtered";
  text += no_new_privileges ? ", no new privileges" : ", may gain privileges";
  const std::string names = capability_names(capabilities);
  if (names == "none") return text + ", no capability";
  return text + (names == "all" ? ", all capabilities" : ", " + names);
}

std::optional<SandboxStatus> parse_sandbox_status(std::string_view proc_status) {
  const auto number = [&](std::string_view name, std::string_view prefix) {
    const auto value = value_of(proc_status, name);
    return value ? parse_integer(fmt::format("{}{}", prefix, *value)) : std::nullopt;
  };
  const auto seccomp = number("Seccomp", "");
  const auto no_new = number("NoNewPrivs", "");
  const auto capabilities = number("CapEff", "0x");
  if (!seccomp || *seccomp < 0 || *seccomp > 2 || !no_new || !capabilities) return std::nullopt;
  return SandboxStatus{static_cast<SandboxStatus::Filter>(*seccomp), *no_new == 1,
                       static_cast<std::uint64_t>(*capabilities)};
}

std::optional<SandboxStatus> read_sandbox_status(pid_t pid, const std::string& proc) {
  const std::string path = fmt::format("{}/{}/status", proc, pid);
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 8192> text{};
  const ssize_t count = file ? ::read(file.get(), text.data(), text.size()) : -1;
  if (pid <= 0 || count <= 0) return std::nullopt;
  return parse_sandbox_status({text.data(), static_cast<std::size_t>(count)});
}

int landlock_version() {
  const auto version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return static_cast<int>(std::max<long>(version, 0));
}

}  // namespace lanyard
