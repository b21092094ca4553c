// SPDX-License-Identifier: MIT
#include "switch/runtime/tap_device.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "switch/base/text.h"
#include "switch/frame/fixed_mac.h"
#include "switch/frame/virtio_header.h"

namespace lanyard {
namespace {

// Since Linux 6.2; the headers of older systems do not have them.
constexpr unsigned kOffloadUdp4 = 0x20;
constexpr unsigned kOffloadUdp6 = 0x40;
constexpr unsigned kOffloadTcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

bool set_offloads(int fd, unsigned offloads) {
  return ::ioctl(fd, TUNSETOFFLOAD, static_cast<unsigned long>(offloads)) == 0;
}

// Agrees on as much as the kernel knows, for an attached TAP with the header or without it. False
// when not even the header can be had, and the TAP must be attached without.
bool agree_on_offloads(int fd, TapOffloads& offloads) {
  if (!offloads.header) {
    // Whoever had it before may have left it with frames that we could not read.
    set_offloads(fd, 0);
    return true;
  }
  const int size = kVirtioHeaderSize;
  const int yes = 1;
  if (::ioctl(fd, TUNSETVNETHDRSZ, &size) != 0 || ::ioctl(fd, TUNSETVNETLE, &yes) != 0) {
    return false;
  }
  offloads.udp = set_offloads(fd, kOffloadTcp | kOffloadUdp4 | kOffloadUdp6);
  offloads.tcp = offloads.udp || set_offloads(fd, kOffloadTcp);
  return offloads.tcp;
}

void set_address(const ifreq& interface, MacAddress mac, Log& log) {
  // netdevice(7): any socket will do, and one of the Internet a sandbox refuses.
  const UniqueFd any(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = interface;
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  const auto octets = mac.bytes();
  std::memcpy(request.ifr_hwaddr.sa_data, octets.data(), octets.size());
  if (::ioctl(any.get(), SIOCSIFHWADDR, &request) != 0) {
    log.warning("{}: cannot set its address to {}: {}", interface.ifr_name, mac.text(),
                std::strerror(errno));
  }
}

Error cannot_open(const std::string& name, int code) {
  std::string text = fmt::format("{}: {}", printable(name), std::strerror(code));
  if (code == EPERM || code == EACCES) {
    append(text,
           ". It needs CAP_NET_ADMIN, or a TAP made beforehand: ip tuntap add {} mode tap "
           "user $USER",
           printable(name));
  } else if (code == EBUSY) {
    text += ". Another program has it attached";
  }
  return {code, std::move(text)};
}

// A TAP is born down, and nothing else says why nobody answers.
void report_if_down(const ifreq& interface, Log& log) {
  const UniqueFd any(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = interface;
  if (::ioctl(any.get(), SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) == 0) {
    log.info("{} is down until you say: ip link set {} up", interface.ifr_name, interface.ifr_name);
  }
}

Result<UniqueFd> open_device(const std::string& name) {
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (fd) return fd;
  const int code = errno;
  return Error{code, fmt::format("{}: /dev/net/tun: {}. {}", printable(name), std::strerror(code),
                                 code == EACCES || code == EPERM
                                     ? "Its mode lets nobody but root in: chmod 666 /dev/net/tun"
                                     : "Is the kernel's tun module there? modprobe tun")};
}

// With the virtio header when that is wanted and can be had. One that was made with multi_queue is
// attached the same way or not at all.
Result<AttachedTap> attach_as(const std::string& name, bool existed, bool header, ifreq& request) {
  Result<UniqueFd> fd = open_device(name);
  if (!fd) return fd.error();
  request = {};
  std::memcpy(request.ifr_name, name.data(), name.size());
  const int flags = IFF_TAP | IFF_NO_PI | (header ? IFF_VNET_HDR : 0);
  request.ifr_flags = static_cast<short>(flags);
  int made = ::ioctl(fd.value().get(), TUNSETIFF, &request);
  if (made != 0 && errno == EINVAL && existed) {
    request.ifr_flags = static_cast<short>(flags | IFF_MULTI_QUEUE);
    made = ::ioctl(fd.value().get(), TUNSETIFF, &request);
  }
  if (made != 0 && errno != EINVAL) return cannot_open(name, errno);
  TapOffloads offloads;
  offloads.header = header;
  if (made != 0 || !agree_on_offloads(fd.value().get(), offloads)) {
    if (!header) return cannot_open(name, made != 0 ? errno : EINVAL);
    fd = UniqueFd();  // before it is attached again
    return attach_as(name, existed, false, request);
  }
  return AttachedTap{fd.take(), request.ifr_name, offloads};
}

}  // namespace

Result<AttachedTap> attach_tap(const std::string& name, bool offload, Log& log) {
  if (name.empty() || name.size() >= IFNAMSIZ) {
    return Error{EINVAL, fmt::format("'{}': an interface name has 1 to {} characters",
                                     printable(name), IFNAMSIZ - 1)};
  }
  const bool existed = ::if_nametoindex(name.c_str()) != 0;
  ifreq request{};
  Result<AttachedTap> tap = attach_as(name, existed, offload, request);
  if (!tap) return tap;
  if (!existed) set_address(request, fixed_mac(request.ifr_name), log);
  report_if_down(request, log);
  return tap;
}

void forget_tap_offloads(int fd) {
  set_offloads(fd, 0);
}

}  // namespace lanyard
