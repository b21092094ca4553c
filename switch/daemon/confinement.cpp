// SPDX-License-Identifier: MIT
#include "switch/daemon/confinement.h"

#include <linux/capability.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>

namespace lanyard {
namespace {

constexpr std::uint64_t kBit = 1;
constexpr std::uint64_t kTypeMask = 0xf;  // socket(2) takes flags along with the type

// By what it is for.
constexpr std::array kCalls{
    // The loop.
    "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "timerfd_settime", "clock_gettime",
    "clock_nanosleep", "sched_yield", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
    "restart_syscall",
    // Frames and consoles.
    "read", "write", "readv", "writev", "recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg",
    "sendmmsg", "poll", "ppoll", "close", "fcntl",
    // Clients that come and go.
    "accept4", "bind", "connect", "getsockname", "getsockopt", "listen", "setsockopt", "shutdown",
    "chmod", "fchmod", "lchown", "chown", "fstat", "getdents64", "newfstatat", "openat", "readlink",
    "umask", "unlink", "rmdir", "lseek", "access",
    // Memory.
    "brk", "madvise", "mremap", "munmap",
    // The C library.
    "exit_group", "futex", "geteuid", "getpid", "getppid", "getrandom", "gettid", "sysinfo"};

// One that is deleted is plugged in again when it is back.
bool has_tap(const DaemonOptions& options) {
  return !options.taps.empty() ||
         std::any_of(options.plugs.begin(), options.plugs.end(),
                     [](const std::string& url) { return url.starts_with("tap:"); });
}

constexpr std::array kTapRequests{TUNSETIFF,
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
  SandboxPolicy policy;
  for (const char* const name : kCalls) policy.calls.push_back({name});
  for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
    policy.calls.push_back(
        {"socket", {{0, AF_UNIX}, {1, static_cast<std::uint64_t>(type), kTypeMask}}});
  }
  // Whether a console is a terminal; the name of a TAP.
  for (const unsigned long request : {static_cast<unsigned long>(TCGETS), TUNGETIFF}) {
    policy.calls.push_back({"ioctl", {{1, request}}});
  }
  for (const char* const name : {"mmap", "mprotect"}) {
    policy.calls.push_back({name, {{2, 0, PROT_EXEC}}});
  }
  // getrlimit(2) of itself; abort(3) and raise(3) of itself, and no signal to anybody else.
  policy.calls.push_back({"prlimit64", {{0, 0}, {2, 0, ~std::uint64_t{0}}}});
  if (has_tap(options)) {
    for (const auto request : kTapRequests) policy.calls.push_back({"ioctl", {{1, request}}});
    policy.capabilities |= kBit << CAP_NET_ADMIN;
  }
  // What the keeper is told is written there.
  if (options.keeper) policy.calls.push_back({"memfd_create"});
  policy.calls.push_back({"tgkill", {{0, static_cast<std::uint64_t>(::getpid())}}});
  policy.paths = paths(options);
  // Clients may have them.
  policy.abstract_sockets = true;
  policy.limits = {{RLIMIT_CORE, 0}, {RLIMIT_NPROC, 0}};
  // To give other users' clients their sockets, and to reach theirs; only root has these.
  policy.capabilities |= kBit << CAP_CHOWN | kBit << CAP_FOWNER | kBit << CAP_DAC_OVERRIDE;
  return policy;
}

}  // namespace lanyard
