// SPDX-License-Identifier: MIT
#include "backend/gateway/confinement.h"

#include <linux/capability.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <filesystem>

namespace lanyard {
namespace {

constexpr std::uint64_t kBit = 1;
// socket(2) takes flags along with the type.
constexpr std::uint64_t kTypeMask = 0xf;

// Where the programs that write the host's resolv.conf keep what it is a link to. A link that is
// made to point to one of the others later must not leave guests without names.
constexpr std::array kResolverDirectories{"/run/systemd/resolve", "/run/NetworkManager",
                                          "/run/resolvconf",      "/run/connman",
                                          "/run/dhcpcd",          "/run/netconfig"};

AllowedCall a_socket(int family, int type) {
  return {
      "socket",
      {{0, static_cast<std::uint64_t>(family)}, {1, static_cast<std::uint64_t>(type), kTypeMask}}};
}

// By what it is for, one of each family where a library leaves us the choice. What the libraries
// need is found by tests, which run in the mode that kills.
constexpr std::array kCalls{
    // The loop.
    "epoll_ctl", "epoll_pwait", "timerfd_settime", "clock_gettime", "ppoll", "sched_yield",
    // Frames, the daemon, and descriptors of any kind.
    "write", "writev", "recvmmsg", "sendmmsg", "recvfrom", "sendto", "close", "fcntl",
    // Sockets, once they are there.
    "accept", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "setsockopt",
    "shutdown",
    // Leases, resolv.conf, the files of TFTP, and who holds a port that a forward wants.
    "fsync", "newfstatat", "openat", "openat2", "pread64", "rename",
    // Memory.
    "brk", "madvise", "munmap",
    // The C library.
    "exit_group", "futex", "getpid", "getrandom", "gettid"};

std::vector<AllowedCall> calls() {
  std::vector<AllowedCall> allowed;
  allowed.reserve(kCalls.size() + 8);
  for (const char* const name : kCalls) allowed.push_back({name});
  // To the outside: of flows, of pings, and to name servers.
  for (const int family : {AF_INET, AF_INET6}) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) allowed.push_back(a_socket(family, type));
  }
  // And no Unix socket: behind others of the host's are services that trust who may open them, and
  // only a new kernel restricts these by path. The daemon makes those of forwards.
  // The host's own addresses, which guests may not reach.
  allowed.push_back({"socket", {{0, AF_NETLINK}, {2, NETLINK_ROUTE}}});
  allowed.push_back({"mmap", {{2, 0, PROT_EXEC}}});
  // abort(3) of itself, and no signal to anybody else.
  allowed.push_back({"tgkill", {{0, static_cast<std::uint64_t>(::getpid())}}});
  return allowed;
}

std::string directory_of(const std::string& path) {
  return std::filesystem::path(path).parent_path().string();
}

std::vector<AllowedPath> paths(const NetworkConfig& config, const std::string& state_directory) {
  std::vector<AllowedPath> allowed{{"/proc"}, {"/dev/urandom"}};
  if (!state_directory.empty()) allowed.push_back({state_directory, true, true});
  // The directories, because whoever changes the file puts another one in its place.
  const std::string& names = config.dns.resolv_conf;
  allowed.push_back({directory_of(names)});
  std::error_code ignored;
  const std::string real = std::filesystem::weakly_canonical(names, ignored).string();
  if (!real.empty()) allowed.push_back({directory_of(real)});
  for (const char* const directory : kResolverDirectories) allowed.push_back({directory});
  if (!config.dhcp.tftp_root.empty()) allowed.push_back({config.dhcp.tftp_root});
  return allowed;
}

}  // namespace

SandboxPolicy gateway_sandbox(const NetworkConfig& config, const std::string& state_directory) {
  SandboxPolicy policy;
  policy.calls = calls();
  policy.paths = paths(config, state_directory);
  policy.limits = {{RLIMIT_CORE, 0}, {RLIMIT_NPROC, 0}};
  // libslirp binds the ports of forwards itself, and one from a low port may be added at any time.
  // Only a network with address translation has forwards.
  if (config.kind == NetworkKind::nat) policy.capabilities = kBit << CAP_NET_BIND_SERVICE;
  return policy;
}

}  // namespace lanyard
