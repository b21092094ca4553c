// SPDX-License-Identifier: MIT
#include "switch/base/sandbox_probe.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

#include "switch/base/fd.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

struct Probe {
  std::string_view what;
  int (*attempt)();  // 0 or an errno
};

int code_of(long returned) {
  return returned < 0 ? errno : 0;
}

int open_socket(int family, int type, int protocol = 0) {
  const UniqueFd fd(::socket(family, type | SOCK_CLOEXEC, protocol));
  return fd ? 0 : errno;
}

int read_file(const char* path) {
  const UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC));
  return fd ? 0 : errno;
}

int write_file(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return errno;
  ::unlink(path.c_str());
  return 0;
}

int start_process() {
  const auto child = ::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (child == 0) ::_exit(0);
  return code_of(child);
}

int map_executable() {
  constexpr std::size_t kBytes = 4096;
  void* const at = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE | PROT_EXEC,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return errno;
  ::munmap(at, kBytes);
  return 0;
}

// Without arguments that would make them do something: where a call is let through, it fails with
// another error than those of a refusal, or does nothing.
constexpr Probe kProbes[] = {
    {"execve of a program", [] { return code_of(::syscall(SYS_execve, "/nowhere/at/all", 0, 0)); }},
    {"clone of a process", start_process},
    {"memory that can be executed", map_executable},
    {"socket of AF_PACKET", [] { return open_socket(AF_PACKET, SOCK_RAW); }},
    {"raw socket of AF_INET", [] { return open_socket(AF_INET, SOCK_RAW, 1); }},
    {"socket of AF_VSOCK", [] { return open_socket(AF_VSOCK, SOCK_STREAM); }},
    {"socket of AF_ALG", [] { return open_socket(AF_ALG, SOCK_SEQPACKET); }},
    {"open of /tmp/... for writing",
     [] { return write_file(fmt::format("/tmp/lanyard-probe-{}", ::getpid())); }},
    {"open of /etc/... for writing",
     [] { return write_file(fmt::format("/etc/lanyard-probe-{}", ::getpid())); }},
    {"open of /root or a home directory", [] { return read_file("/home"); }},
    {"open of a device", [] { return read_file("/dev/null"); }},
    {"ptrace", [] { return code_of(::ptrace(PTRACE_ATTACH, 0, nullptr, nullptr)); }},
    {"process_vm_readv of the parent",
     [] { return code_of(::process_vm_readv(::getppid(), nullptr, 0, nullptr, 0, 0)); }},
    {"kill of the parent (signal 0)", [] { return code_of(::kill(::getppid(), 0)); }},
    {"pidfd_open of the parent", [] { return code_of(::syscall(SYS_pidfd_open, ::getppid(), 0)); }},
    {"mount",
     [] { return code_of(::mount(nullptr, "/nowhere/at/all", nullptr, MS_REMOUNT, nullptr)); }},
    {"umount2", [] { return code_of(::umount2("/nowhere/at/all", 0)); }},
    {"chroot", [] { return code_of(::chroot("/nowhere/at/all")); }},
    {"unshare", [] { return code_of(::unshare(0)); }},
    {"setns", [] { return code_of(::setns(-1, 0)); }},
    {"bpf", [] { return code_of(::syscall(SYS_bpf, -1, nullptr, 0)); }},
    {"perf_event_open",
     [] { return code_of(::syscall(SYS_perf_event_open, nullptr, 0, -1, -1, 0)); }},
    {"io_uring_setup", [] { return code_of(::syscall(SYS_io_uring_setup, 0, nullptr)); }},
    {"userfaultfd", [] { return code_of(::syscall(SYS_userfaultfd, -1)); }},
    {"keyctl", [] { return code_of(::syscall(SYS_keyctl, 0, 0, 0, 0, 0)); }},
    {"init_module", [] { return code_of(::syscall(SYS_init_module, nullptr, 0, nullptr)); }},
    {"memfd_create", [] { return code_of(::syscall(SYS_memfd_create, nullptr, 0)); }},
};

constexpr Probe kInternetProbes[] = {
    {"socket of AF_INET", [] { return open_socket(AF_INET, SOCK_STREAM); }},
    {"socket of AF_INET6", [] { return open_socket(AF_INET6, SOCK_DGRAM); }},
};

void run(std::span<const Probe> probes, std::vector<ProbeOutcome>& outcomes) {
  for (const Probe& probe : probes) {
    const int code = probe.attempt();
    const bool refused = code == EPERM || code == EACCES || code == ENOSYS;
    outcomes.push_back({probe.what, code, refused});
  }
}

}  // namespace

std::vector<ProbeOutcome> probe_sandbox(ProbeNetwork network) {
  std::vector<ProbeOutcome> outcomes;
  run(kProbes, outcomes);
  if (network == ProbeNetwork::none) run(kInternetProbes, outcomes);
  return outcomes;
}

std::string probe_text(const std::vector<ProbeOutcome>& outcomes) {
  std::string text;
  for (const ProbeOutcome& outcome : outcomes) {
    append(text, "{:<36}{}{}\n", outcome.what, outcome.refused ? "refused: " : "ALLOWED: ",
           outcome.code == 0 ? "it was done" : std::strerror(outcome.code));
  }
  return text;
}

bool all_refused(const std::vector<ProbeOutcome>& outcomes) {
  return std::all_of(outcomes.begin(), outcomes.end(),
                     [](const ProbeOutcome& outcome) { return outcome.refused; });
}

}  // namespace lanyard
