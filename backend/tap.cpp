// SPDX-License-Identifier: MIT
//
// The `tap` backend: a Linux TAP interface, created or attached by name. A persistent TAP made
// beforehand for our user (ip tuntap add NAME mode tap user USER) needs no privilege.
//
// What makes it hard: the interface belongs to the system, which may take it down, rename it or
// delete it under us. Down, its frames are dropped by name; renamed, it stays what it is; deleted,
// the endpoint ends, and the service attaches again once an interface of that name is back. A TAP
// we create gets a MAC address derived from its name and this machine, so that the guests' ARP
// entries for the host survive a restart.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "backend/tap_endpoint.h"
#include "switch/base/text.h"
#include "switch/frame/fixed_mac.h"
#include "switch/runtime/backend.h"

namespace lanyard {
namespace {

constexpr Duration kReattachPeriod = std::chrono::milliseconds(300);

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

struct OpenTap {
  UniqueFd fd;
  std::string name;
  TapOffloads offloads;
};

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
Result<OpenTap> attach_as(const std::string& name, bool existed, bool header, ifreq& request) {
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
  return OpenTap{fd.take(), request.ifr_name, offloads};
}

Result<OpenTap> attach(const std::string& name, bool offload, Log& log) {
  if (name.empty() || name.size() >= IFNAMSIZ) {
    return Error{EINVAL, fmt::format("'{}': an interface name has 1 to {} characters",
                                     printable(name), IFNAMSIZ - 1)};
  }
  const bool existed = ::if_nametoindex(name.c_str()) != 0;
  ifreq request{};
  Result<OpenTap> tap = attach_as(name, existed, offload, request);
  if (!tap) return tap;
  if (!existed) set_address(request, fixed_mac(request.ifr_name), log);
  report_if_down(request, log);
  return tap;
}

// Keeps one TAP plugged in as long as the system has it.
class TapService final : public Service {
 public:
  TapService(std::string name, std::optional<PortId> port, bool offload, Patchbay& patchbay)
      : name_(std::move(name)), port_(port), offload_(offload), patchbay_(patchbay) {}
  ~TapService() override {
    if (plug_ != nullptr) patchbay_.unplug(*plug_);
  }

  Result<void> plug_in() {
    Result<OpenTap> tap = attach(name_, offload_, patchbay_.log());
    if (!tap) return tap.error();
    since_ = patchbay_.loop().now();
    return plug_in(tap.take());
  }

  // One that a predecessor attached.
  Result<void> adopt(OpenTap tap, Time since) {
    since_ = since;
    if (!tap.fd) {
      await();
      return {};
    }
    return plug_in(std::move(tap));
  }

  std::optional<HandoverPart> handover(HandoverReason) const override {
    if (plug_ == nullptr && !retry_) return std::nullopt;  // an operator has pulled it out
    HandoverPart part;
    part.kind = "tap";
    part.set("name", name_);
    part.set("offload", std::string(offload_ ? "on" : "off"));
    if (port_) part.set("port", *port_);
    if (plug_ == nullptr) return part;
    const auto& endpoint = static_cast<const TapEndpoint&>(plug_->endpoint());
    part.set("header", endpoint.offloads().header ? 1 : 0);
    part.set("tcp", endpoint.offloads().tcp ? 1 : 0);
    part.set("udp", endpoint.offloads().udp ? 1 : 0);
    part.descriptors.push_back({endpoint.wait_fd(), since_, false, true});
    return part;
  }

 private:
  Result<void> plug_in(OpenTap tap) {
    name_ = tap.name;
    PlugRequest request;
    request.port = port_;
    request.traits.module = "tuntap";
    request.traits.description = name_;
    request.traits.id = tap.fd.get();
    Result<PortId> port = patchbay_.reserve(request);
    if (!port) return port.error();
    Result<Plug*> plug = patchbay_.plug(
        port.value(),
        std::make_unique<TapEndpoint>(std::move(tap.fd), tap.offloads, patchbay_.pool()),
        std::move(request.traits), [this](UnplugReason why) { on_unplugged(why); });
    if (!plug) return plug.error();
    plug_ = plug.value();
    port_ = port.value();
    return {};
  }

  void on_unplugged(UnplugReason why) {
    plug_ = nullptr;
    if (why != UnplugReason::peer_left) return;
    patchbay_.log().warning("{} has been deleted; it will be plugged in again when it is back",
                            name_);
    await();
  }

  void await() {
    retry_ = patchbay_.loop().every(kReattachPeriod, [this] { retry(); });
  }

  // Attaches only to what somebody has made: a deleted interface is not ours to bring back.
  void retry() {
    if (::if_nametoindex(name_.c_str()) == 0) return;
    Result<void> done = plug_in();
    if (!done && done.error().code == EADDRINUSE) {
      port_ = std::nullopt;
      done = plug_in();
    }
    if (!done) return;
    patchbay_.log().notice("{} is back on port {}", name_, *port_);
    retry_.reset();
  }

  std::string name_;
  std::optional<PortId> port_;
  bool offload_;
  Patchbay& patchbay_;
  Time since_{0};  // it was attached
  Plug* plug_ = nullptr;
  EventLoop::Timer retry_;
};

Result<void> open_tap(const BackendOptions& options, Patchbay& patchbay) {
  if (Result<void> known = options.check_keys({"port", "offload"}); !known) return known;
  std::optional<PortId> port;
  if (const std::string* const text = options.find("port"); text != nullptr) {
    const auto number = parse_integer(*text);
    if (!number || *number < 0 || *number > kPortMax) {
      return Error{EINVAL, fmt::format("tap: port={} is not a port number", printable(*text))};
    }
    port = static_cast<PortId>(*number);
  }
  const std::string* const offload = options.find("offload");
  if (offload != nullptr && *offload != "on" && *offload != "off") {
    return Error{EINVAL, fmt::format("tap: offload={} is neither on nor off", printable(*offload))};
  }
  auto service = std::make_unique<TapService>(options.target(), port,
                                              offload == nullptr || *offload == "on", patchbay);
  if (Result<void> done = service->plug_in(); !done) return done;
  patchbay.keep(std::move(service));
  return {};
}

Result<void> adopt_tap(const HandoverPart& part, Patchbay& patchbay) {
  if (part.descriptors.size() > 1) return Error{EBADMSG, "tap: more than one descriptor"};
  OpenTap tap;
  tap.name = part.text("name");
  tap.offloads = {part.number("header", 1) == 1U, part.number("tcp", 1) == 1U,
                  part.number("udp", 1) == 1U};
  Time since{0};
  if (!part.descriptors.empty()) {
    tap.fd.reset(part.descriptors[0].number);
    since = part.descriptors[0].since;
  }
  std::optional<PortId> port;
  if (const auto number = part.number("port", kPortMax)) port = static_cast<PortId>(*number);
  auto service =
      std::make_unique<TapService>(tap.name, port, part.text("offload") != "off", patchbay);
  if (Result<void> done = service->adopt(std::move(tap), since); !done) return done;
  patchbay.keep(std::move(service));
  return {};
}

}  // namespace

extern const Backend tap_backend;
const Backend tap_backend{
    "tap",
    "tap://NAME?port=N&offload=on|off",
    "plug in a TAP interface of the host, created or attached by name",
    &open_tap,
    &adopt_tap,
};

}  // namespace lanyard
