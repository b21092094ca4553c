// SPDX-License-Identifier: MIT
#include "switch/daemon/frame_process_sandbox.h"

#include <linux/capability.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

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
    // Frames, consoles and the processes beside this one.
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

}  // namespace

SandboxPolicy frame_process_sandbox(bool kept) {
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
  policy.calls.push_back({"tgkill", {{0, static_cast<std::uint64_t>(::getpid())}}});
  // What the keeper is told is written there.
  if (kept) policy.calls.push_back({"memfd_create"});
  // Clients may have them.
  policy.abstract_sockets = true;
  policy.limits = {{RLIMIT_CORE, 0}, {RLIMIT_NPROC, 0}};
  // To give other users' clients their sockets, and to reach theirs; only root has these.
  policy.capabilities = kBit << CAP_CHOWN | kBit << CAP_FOWNER | kBit << CAP_DAC_OVERRIDE;
  return policy;
}

}  // namespace lanyard
