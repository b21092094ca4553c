// SPDX-License-Identifier: MIT
#include "switch/daemon/frame_process_sandbox.h"

#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace lanyard {
namespace {

constexpr std::uint64_t kBit = 1;
constexpr std::uint64_t kTypeMask = 0xf;  // socket(2) takes flags along with the type

// By what it is for. One of each family: those of our own code, and what the C library needs when
// names of users are looked up, memory runs short or a check of its own fails (abort(3)).
constexpr std::array kCalls{
    // The loop.
    "epoll_ctl", "epoll_pwait", "timerfd_settime", "clock_gettime", "ppoll",
    // Frames, consoles and the processes beside this one.
    "read", "writev", "recvfrom", "recvmmsg", "sendto", "sendmmsg", "close", "fcntl",
    // Clients that come and go.
    "accept4", "bind", "connect", "getsockopt", "setsockopt", "shutdown", "fchownat", "newfstatat",
    "openat", "umask", "unlinkat",
    // Memory.
    "brk", "madvise", "munmap",
    // The C library.
    "exit_group", "futex", "getpid", "gettid", "lseek", "rt_sigprocmask"};

}  // namespace

SandboxPolicy frame_process_sandbox(bool busy_poll) {
  SandboxPolicy policy;
  for (const char* const name : kCalls) policy.calls.push_back({name});
  for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
    policy.calls.push_back(
        {"socket", {{0, AF_UNIX}, {1, static_cast<std::uint64_t>(type), kTypeMask}}});
  }
  policy.calls.push_back({"mmap", {{2, 0, PROT_EXEC}}});
  // abort(3) and raise(3) of itself, and no signal to anybody else.
  policy.calls.push_back({"tgkill", {{0, static_cast<std::uint64_t>(::getpid())}}});
  // What the keeper is told, and frames to and from gateways: in files that can be sealed.
  policy.calls.push_back({"memfd_create", {{1, MFD_CLOEXEC | MFD_ALLOW_SEALING}}});
  if (busy_poll) policy.calls.push_back({"sched_yield"});
  // Clients may have them.
  policy.abstract_sockets = true;
  policy.limits = {{RLIMIT_CORE, 0}, {RLIMIT_NPROC, 0}};
  // To give other users' clients their sockets, and to reach theirs; only root has these.
  policy.capabilities = kBit << CAP_CHOWN | kBit << CAP_FOWNER | kBit << CAP_DAC_OVERRIDE;
  return policy;
}

}  // namespace lanyard
