// SPDX-License-Identifier: MIT
#include "switch/daemon/confinement.h"

#include <linux/capability.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>

#include "switch/daemon/frame_process_sandbox.h"

namespace lanyard {
namespace {

constexpr std::uint64_t kBit = 1;

// One that is deleted is plugged in again when it is back.
bool has_tap(const DaemonOptions& options) {
  return !options.taps.empty() ||
         std::any_of(options.plugs.begin(), options.plugs.end(),
                     [](const std::string& url) { return url.starts_with("tap:"); });
}

constexpr std::array kTapRequests{TUNGETIFF,
                                  TUNSETIFF,
                                  TUNSETOFFLOAD,
                                  TUNSETVNETHDRSZ,
                                  TUNSETVNETLE,
                                  std::size_t{SIOCGIFINDEX},
                                  std::size_t{SIOCGIFFLAGS},
                                  std::size_t{SIOCSIFHWADDR}};

std::string directory_of(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::absolute(path, ignored).parent_path().string();
}

std::vector<AllowedPath> paths(const DaemonOptions& options) {
  // libc's time of day, and the names of users and groups.
  std::vector<AllowedPath> allowed{{"/etc"}, {"/usr/share/zoneinfo"}};
  std::error_code ignored;
  const std::string directory = std::filesystem::canonical(options.directory, ignored).string();
  AllowedPath sockets{directory, true, true, true};
  if (!directory.empty()) allowed.push_back(sockets);
  for (const std::string& path : {directory, options.console_path, options.pid_file}) {
    if (path.empty()) continue;
    AllowedPath beside{directory_of(path), false, false, true};
    beside.remove_directories = true;
    allowed.push_back(beside);
  }
  if (has_tap(options)) allowed.push_back({"/dev/net/tun", true, true});
  return allowed;
}

}  // namespace

SandboxPolicy switch_sandbox(const DaemonOptions& options) {
  SandboxPolicy policy = frame_process_sandbox(options.busy_poll_us != 0);
  // What dead clients have left, when it ends.
  policy.calls.push_back({"getdents64"});
  if (has_tap(options)) {
    for (const auto request : kTapRequests) policy.calls.push_back({"ioctl", {{1, request}}});
    policy.capabilities |= kBit << CAP_NET_ADMIN;
  }
  policy.paths = paths(options);
  return policy;
}

}  // namespace lanyard
