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

#include "backend/burst_guess.h"
#include "switch/base/text.h"
#include "switch/frame/fixed_mac.h"
#include "switch/frame/frame_pool.h"
#include "switch/runtime/backend.h"

namespace lanyard {
namespace {

constexpr Duration kReattachPeriod = std::chrono::milliseconds(300);

Drop reason_of(int error) {
  switch (error) {
    case EIO: return Drop::link_down;  // tun: the interface is not up
    case EBADFD: return Drop::receiver_gone;
    default: return Drop::transmit_error;
  }
}

class TapEndpoint final : public Endpoint {
 public:
  TapEndpoint(UniqueFd fd, FramePool& pool) : fd_(std::move(fd)), pool_(pool) {}

  // As the system calls it now.
  std::string label() const override {
    ifreq request{};
    if (::ioctl(fd_.get(), TUNGETIFF, &request) != 0) return "tap";
    return request.ifr_name;
  }
  Caps caps() const override {
    Caps caps;
    caps.frame_max = kMaxFrameSize;
    return caps;
  }
  int wait_fd() const override { return fd_.get(); }

  // The device gives one frame a call.
  Rx receive(FrameBatch& into) override {
    const std::size_t wanted = guess_.expects_one() ? 1 : into.room();
    const Rx rx = read_frames(into, wanted);
    guess_.found(into.size());
    return rx;
  }

  Transmitted transmit(std::span<const Outgoing> frames) override {
    Transmitted done;
    for (const Outgoing& out : frames) {
      if (write_frame(out) < 0) {
        if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) break;
        done.why = reason_of(errno);
        ++done.lost;
      }
      ++done.consumed;
    }
    return done;
  }

 private:
  Rx read_frames(FrameBatch& into, std::size_t wanted) {
    for (; wanted != 0; --wanted) {
      if (!empty_) empty_ = pool_.make();
      std::uint8_t* const data = empty_->segments[0].data;
      const ssize_t count = ::read(fd_.get(), data, kMaxFrameSize);
      if (count < 0) return errno == EBADFD ? Rx::closed : Rx::drained;
      if (count == 0) return Rx::drained;
      empty_->set_bytes(data, static_cast<std::uint32_t>(count));
      into.push(std::move(empty_));
    }
    return into.room() == 0 ? Rx::more : Rx::drained;
  }

  ssize_t write_frame(const Outgoing& out) const {
    const Frame& frame = *out.frame;
    if (!out.tagged && frame.segment_count == 1) {
      return ::write(fd_.get(), frame.segments[0].data, frame.segments[0].size);
    }
    std::array<iovec, kGatherMax> parts;
    const std::size_t count = gather(out, parts);
    return ::writev(fd_.get(), parts.data(), static_cast<int>(count));
  }

  UniqueFd fd_;
  FramePool& pool_;
  BurstGuess guess_;
  FrameRef empty_;
};

void set_address(const ifreq& interface, MacAddress mac, Log& log) {
  const UniqueFd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
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
  const UniqueFd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = interface;
  if (::ioctl(any.get(), SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) == 0) {
    log.info("{} is down until you say: ip link set {} up", interface.ifr_name, interface.ifr_name);
  }
}

struct OpenTap {
  UniqueFd fd;
  std::string name;
};

Result<OpenTap> attach(const std::string& name, Log& log) {
  if (name.empty() || name.size() >= IFNAMSIZ) {
    return Error{EINVAL, fmt::format("'{}': an interface name has 1 to {} characters",
                                     printable(name), IFNAMSIZ - 1)};
  }
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd) {
    const int code = errno;
    return Error{code, fmt::format("{}: /dev/net/tun: {}. {}", printable(name), std::strerror(code),
                                   code == EACCES || code == EPERM
                                       ? "Its mode lets nobody but root in: chmod 666 /dev/net/tun"
                                       : "Is the kernel's tun module there? modprobe tun")};
  }
  const bool existed = ::if_nametoindex(name.c_str()) != 0;
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  int made = ::ioctl(fd.get(), TUNSETIFF, &request);
  if (made != 0 && errno == EINVAL && existed) {
    // One that was made with multi_queue is attached the same way or not at all.
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE;
    made = ::ioctl(fd.get(), TUNSETIFF, &request);
  }
  if (made != 0) return cannot_open(name, errno);
  if (!existed) set_address(request, fixed_mac(request.ifr_name), log);
  report_if_down(request, log);
  return OpenTap{std::move(fd), request.ifr_name};
}

// Keeps one TAP plugged in as long as the system has it.
class TapService final : public Service {
 public:
  TapService(std::string name, std::optional<PortId> port, Patchbay& patchbay)
      : name_(std::move(name)), port_(port), patchbay_(patchbay) {}
  ~TapService() override {
    if (plug_ != nullptr) patchbay_.unplug(*plug_);
  }

  Result<void> plug_in() {
    Result<OpenTap> tap = attach(name_, patchbay_.log());
    if (!tap) return tap.error();
    name_ = tap.value().name;
    PlugRequest request;
    request.port = port_;
    request.traits.module = "tuntap";
    request.traits.description = name_;
    request.traits.id = tap.value().fd.get();
    Result<PortId> port = patchbay_.reserve(request);
    if (!port) return port.error();
    Result<Plug*> plug = patchbay_.plug(
        port.value(), std::make_unique<TapEndpoint>(std::move(tap.value().fd), patchbay_.pool()),
        std::move(request.traits), [this](UnplugReason why) { on_unplugged(why); });
    if (!plug) return plug.error();
    plug_ = plug.value();
    port_ = port.value();
    return {};
  }

 private:
  void on_unplugged(UnplugReason why) {
    plug_ = nullptr;
    if (why != UnplugReason::peer_left) return;
    patchbay_.log().warning("{} has been deleted; it will be plugged in again when it is back",
                            name_);
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
  Patchbay& patchbay_;
  Plug* plug_ = nullptr;
  EventLoop::Timer retry_;
};

Result<void> open_tap(const BackendOptions& options, Patchbay& patchbay) {
  if (Result<void> known = options.check_keys({"port"}); !known) return known;
  std::optional<PortId> port;
  if (const std::string* const text = options.find("port"); text != nullptr) {
    const auto number = parse_integer(*text);
    if (!number || *number < 0 || *number > kPortMax) {
      return Error{EINVAL, fmt::format("tap: port={} is not a port number", printable(*text))};
    }
    port = static_cast<PortId>(*number);
  }
  auto service = std::make_unique<TapService>(options.target(), port, patchbay);
  if (Result<void> done = service->plug_in(); !done) return done;
  patchbay.keep(std::move(service));
  return {};
}

}  // namespace

extern const Backend tap_backend;
const Backend tap_backend{
    "tap",
    "tap://NAME?port=N",
    "plug in a TAP interface of the host, created or attached by name",
    &open_tap,
};

}  // namespace lanyard
