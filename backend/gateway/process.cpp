// SPDX-License-Identifier: MIT
#include "backend/gateway/process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "switch/base/sandbox.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

// A flow is a descriptor; more than this many come from a leak.
constexpr rlim_t kDescriptorsMax = 65536;
// Free memory at the end of the heap that is not given back: what some dozen flows want next.
constexpr int kHeapKept = 8 << 20;

Result<void> check_socket(int fd, int wanted) {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == wanted) {
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    return {};
  }
  return Error{EBADF, fmt::format("descriptor {} is not the socket it should be: lanyard-gateway "
                                  "is started by lanyardd",
                                  fd)};
}

// 0 to 2 must be something, or a socket of ours would be written to as standard error.
void fill_standard_descriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    if (::open("/dev/null", O_RDWR) < 0) return;
  }
}

void set_limits() {
  rlimit descriptors{};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
    descriptors.rlim_cur = std::min(descriptors.rlim_max, kDescriptorsMax);
    ::setrlimit(RLIMIT_NOFILE, &descriptors);
  }
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
}

// The two buffers of a flow, 128 KiB each, mapped and unmapped by themselves are half of the cost
// of a short flow: faults, and pages to be zeroed. In the heap they are warm, and what of them is
// never written takes no memory there either.
void keep_flow_buffers_in_heap() {
  ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
  ::mallopt(M_TRIM_THRESHOLD, kHeapKept);
  ::mallopt(M_TOP_PAD, 1 << 20);
}

}  // namespace

void trim_heap() {
  ::malloc_trim(kHeapKept);
}

Result<void> prepare_process() {
  for (const int ignored : {SIGPIPE, SIGINT, SIGHUP, SIGXFSZ}) ::signal(ignored, SIG_IGN);
  if (Result<void> frames = check_socket(kFrameDescriptor, SOCK_SEQPACKET); !frames) return frames;
  if (Result<void> control = check_socket(kControlDescriptor, SOCK_STREAM); !control) {
    return control;
  }
  if (Result<void> listeners = check_socket(kListenersDescriptor, SOCK_SEQPACKET); !listeners) {
    return listeners;
  }
  fill_standard_descriptors();
  if (::syscall(SYS_close_range, kListenersDescriptor + 1, ~0U, 0) != 0) {
    return Error{errno,
                 fmt::format("cannot close inherited descriptors: {}", std::strerror(errno))};
  }
  set_limits();
  keep_flow_buffers_in_heap();
  // What the network needs is known with its configuration; nothing needs more than this.
  constexpr std::uint64_t kBindService = std::uint64_t{1} << CAP_NET_BIND_SERVICE;
  if (Result<void> dropped = keep_capabilities(kBindService); !dropped) return dropped;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return Error{errno, fmt::format("cannot give up new privileges: {}", std::strerror(errno))};
  }
  return forbid_dumps();
}

}  // namespace lanyard
