// SPDX-License-Identifier: MIT
//
// The `gateway` backend: the switch's end of the socket pair to a lanyard-gateway. The daemon makes
// the pair and starts the process; here it is a descriptor that we own from now on.
//
// What makes it hard: a gateway is a process of guests' bytes and may be taken over by one of them.
// So its frames are read like a guest's, the header in front included (virtio_header.h); when it
// ends, the port ends with it, and the daemon plugs the next one in.
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "backend/mmsg.h"
#include "switch/base/fd.h"
#include "switch/base/text.h"
#include "switch/runtime/backend.h"

namespace lanyard {
namespace {

// A full window of TCP for each of some dozens of guests' connections, with the kernel's overhead.
constexpr int kSendBuffer = 4 << 20;

class GatewayEndpoint final : public Endpoint {
 public:
  GatewayEndpoint(UniqueFd fd, std::string name, FramePool& pool)
      : fd_(std::move(fd)),
        name_(std::move(name)),
        batches_(pool, DatagramBatches::Framing::with_header) {}

  std::string label() const override { return name_; }
  Caps caps() const override {
    Caps caps;
    caps.frame_max = kMaxFrameSize;
    caps.checksum = true;
    caps.tcp_segmentation = true;
    caps.udp_segmentation = true;
    return caps;
  }
  int wait_fd() const override { return fd_.get(); }
  Rx receive(FrameBatch& into) override { return batches_.receive(fd_.get(), guess_, into); }
  Transmitted transmit(std::span<const Outgoing> frames) override {
    return batches_.transmit(fd_.get(), frames);
  }

 private:
  UniqueFd fd_;
  std::string name_;
  DatagramBatches batches_;
  BurstGuess guess_;
};

Result<UniqueFd> take_descriptor(const std::string& target) {
  const auto number = parse_integer(target);
  if (!number || *number < 0 || *number > INT32_MAX) {
    return Error{EINVAL,
                 fmt::format("gateway: '{}' is not a descriptor's number", printable(target))};
  }
  const auto fd = static_cast<int>(*number);
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
    return Error{errno, fmt::format("gateway: descriptor {}: {}", fd, std::strerror(errno))};
  }
  if (type != SOCK_SEQPACKET) {
    return Error{EPROTOTYPE,
                 fmt::format("gateway: descriptor {} is not a SOCK_SEQPACKET socket", fd)};
  }
  if (::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof kSendBuffer) != 0) {
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  }
  return UniqueFd(fd);
}

Result<void> open_gateway(const BackendOptions& options, Patchbay& patchbay) {
  if (Result<void> known = options.check_keys({"port", "name"}); !known) return known;
  std::optional<PortId> port;
  if (const std::string* const text = options.find("port"); text != nullptr) {
    const auto number = parse_integer(*text);
    if (!number || *number < 0 || *number > kPortMax) {
      return Error{EINVAL, fmt::format("gateway: port={} is not a port number", printable(*text))};
    }
    port = static_cast<PortId>(*number);
  }
  const std::string* const name = options.find("name");
  Result<UniqueFd> fd = take_descriptor(options.target());
  if (!fd) return fd.error();
  PlugRequest request;
  request.port = port;
  request.traits.module = "gateway";
  request.traits.description = name != nullptr ? *name : "gateway";
  request.traits.id = fd.value().get();
  Result<PortId> reserved = patchbay.reserve(request);
  if (!reserved) return reserved.error();
  auto endpoint =
      std::make_unique<GatewayEndpoint>(fd.take(), request.traits.description, patchbay.pool());
  // Nothing is kept beside the endpoint, and nobody here has to hear of its end: the daemon sees
  // the end of the process.
  Result<Plug*> plug =
      patchbay.plug(reserved.value(), std::move(endpoint), std::move(request.traits), {});
  if (!plug) return plug.error();
  return {};
}

}  // namespace

extern const Backend gateway_backend;
const Backend gateway_backend{
    "gateway",
    "gateway://FD?port=N&name=NAME",
    "plug in a lanyard-gateway by the descriptor of an inherited socket",
    &open_gateway,
};

}  // namespace lanyard
