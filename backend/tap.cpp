// SPDX-License-Identifier: MIT
//
// The `tap` backend: a Linux TAP interface, created or attached by name. A persistent TAP made
// beforehand for our user (ip tuntap add NAME mode tap user USER) needs no privilege.
//
// What makes it hard: the interface belongs to the system, which may take it down, rename it or
// delete it under us. Down, its frames are dropped by name; renamed, it stays what it is; deleted,
// the endpoint ends, and the service attaches again once an interface of that name is back. To
// attach is a privilege that this process may have given up: whoever registers the backend says who
// does it (tap_device.h).
#include <net/if.h>

#include <cerrno>
#include <memory>

#include "backend/tap_endpoint.h"
#include "switch/base/text.h"
#include "switch/runtime/backend.h"

namespace lanyard {
namespace {

constexpr Duration kReattachPeriod = std::chrono::milliseconds(300);

// Keeps one TAP plugged in as long as the system has it.
class TapService final : public Service {
 public:
  TapService(AttachTap attach, std::string name, std::optional<PortId> port, bool offload,
             Patchbay& patchbay)
      : attach_(std::move(attach)),
        name_(std::move(name)),
        port_(port),
        offload_(offload),
        patchbay_(patchbay) {}
  ~TapService() override {
    if (plug_ != nullptr) patchbay_.unplug(*plug_);
  }

  Result<void> plug_in() {
    Result<AttachedTap> tap = attach_(name_, offload_, patchbay_.log());
    if (!tap) return tap.error();
    since_ = patchbay_.loop().now();
    return plug_in(tap.take());
  }

  // One that a predecessor attached.
  Result<void> adopt(AttachedTap tap, Time since) {
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
  Result<void> plug_in(AttachedTap tap) {
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

  AttachTap attach_;
  std::string name_;
  std::optional<PortId> port_;
  bool offload_;
  Patchbay& patchbay_;
  Time since_{0};  // it was attached
  Plug* plug_ = nullptr;
  EventLoop::Timer retry_;
};

Result<void> open_tap(const AttachTap& attach, const BackendOptions& options, Patchbay& patchbay) {
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
  auto service = std::make_unique<TapService>(attach, options.target(), port,
                                              offload == nullptr || *offload == "on", patchbay);
  if (Result<void> done = service->plug_in(); !done) return done;
  patchbay.keep(std::move(service));
  return {};
}

Result<void> adopt_tap(const AttachTap& attach, const HandoverPart& part, Patchbay& patchbay) {
  if (part.descriptors.size() > 1) return Error{EBADMSG, "tap: more than one descriptor"};
  AttachedTap tap;
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
      std::make_unique<TapService>(attach, tap.name, port, part.text("offload") != "off", patchbay);
  if (Result<void> done = service->adopt(std::move(tap), since); !done) return done;
  patchbay.keep(std::move(service));
  return {};
}

}  // namespace

Backend tap_backend(const AttachTap& attach) {
  return {
      "tap",
      "tap://NAME?port=N&offload=on|off",
      "plug in a TAP interface of the host, created or attached by name",
      [attach](const BackendOptions& options, Patchbay& patchbay) {
        return open_tap(attach, options, patchbay);
      },
      [attach](const HandoverPart& part, Patchbay& patchbay) {
        return adopt_tap(attach, part, patchbay);
      },
  };
}

}  // namespace lanyard
