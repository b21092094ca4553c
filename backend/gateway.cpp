// SPDX-License-Identifier: MIT
//
// The `gateway` backend: the switch's end of the socket pair to a lanyard-gateway. The daemon makes
// the pair and starts the process; here it is a descriptor that we own from now on. Frames go
// through memory that is offered over it (frame_rings.h); the socket wakes, and tells of the end.
//
// What makes it hard: a gateway is a process of guests' bytes and may be taken over by one of them.
// So its frames are copied before anybody looks into them and read like a guest's, the header in
// front included (virtio_header.h); a ring that cannot be is the end of the port, and of the
// gateway, which reads that its socket was shut down. When it ends, the port ends with it, and the
// daemon plugs the next one in.
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "switch/base/fd.h"
#include "switch/base/log.h"
#include "switch/base/text.h"
#include "switch/base/time.h"
#include "switch/base/transient_error.h"
#include "switch/frame/frame_pool.h"
#include "switch/frame/settler.h"
#include "switch/runtime/backend.h"
#include "switch/runtime/frame_rings.h"

namespace lanyard {
namespace {

// What is written is told of at least so often, that the gateway may begin.
constexpr std::size_t kPublishedAtOnce = std::size_t{64} << 10;

class GatewayEndpoint final : public Endpoint {
 public:
  GatewayEndpoint(UniqueFd fd, std::unique_ptr<FrameRings> rings, std::string name, FramePool& pool)
      : fd_(std::move(fd)), rings_(std::move(rings)), name_(std::move(name)), pool_(pool) {}

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
  bool has_room_when_readable() const override { return true; }
  Rx receive(FrameBatch& into) override;
  Transmitted transmit(std::span<const Outgoing> frames) override;

 private:
  bool hear_bell();
  Rx take(FrameBatch& into);
  FrameRef copy_of(const FrameRingReader::Record& record);
  FrameRingWriter::Push push(const Outgoing& out);
  void publish();
  void follow_gateway();
  Rx end();

  UniqueFd fd_;
  std::unique_ptr<FrameRings> rings_;
  std::string name_;
  FramePool& pool_;
  RateLimit departures_{16, std::chrono::seconds(10)};
  bool goes_on_ = false;  // there was more than the batch had room for
  bool ended_ = false;
};

Rx GatewayEndpoint::receive(FrameBatch& into) {
  if (ended_) return Rx::closed;
  const bool is_there = std::exchange(goes_on_, false) || hear_bell();
  if (is_there) follow_gateway();
  const Rx rx = take(into);
  goes_on_ = rx == Rx::more;
  // What it has sent before its end counts.
  return is_there || goes_on_ ? rx : end();
}

// What it says has no meaning, only that it has come. False at the end of the socket.
bool GatewayEndpoint::hear_bell() {
  std::array<std::uint8_t, 16> words{};
  const ssize_t count = ::recv(fd_.get(), words.data(), words.size(), MSG_DONTWAIT);
  return count > 0 || (count < 0 && is_transient(errno));
}

Rx GatewayEndpoint::take(FrameBatch& into) {
  FrameRingReader& ring = rings_->incoming();
  FrameRingReader::Record record;
  FrameRingReader::Next next = FrameRingReader::Next::none;
  while (into.room() != 0) {
    next = ring.next(record);
    if (next != FrameRingReader::Next::record) break;
    into.push(copy_of(record));
  }
  if (next == FrameRingReader::Next::damaged) return end();
  // Also of a frame that found no memory in an earlier turn.
  if (ring.release()) ring_bell(fd_.get());
  return into.room() == 0 || !ring.sleep() ? Rx::more : Rx::drained;
}

FrameRef GatewayEndpoint::copy_of(const FrameRingReader::Record& record) {
  VirtioHeader header;
  FrameRef frame = pool_.make();
  std::copy(record.header().begin(), record.header().end(), header.begin());
  std::memcpy(frame->segments[0].data, record.frame().data(), record.frame().size());
  // From here on only our copies count.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  frame->set_bytes(frame->segments[0].data, static_cast<std::uint32_t>(record.frame().size()));
  if (record.frame().empty()) return frame;
  const VirtioReading reading = read_virtio_header(header, frame->head(), frame->size);
  frame->offload = reading.fault == VirtioFault::none ? reading.offload : Offload::malformed();
  return frame;
}

Transmitted GatewayEndpoint::transmit(std::span<const Outgoing> frames) {
  Transmitted done;
  if (ended_) return {frames.size(), frames.size(), Drop::receiver_gone};
  follow_gateway();
  std::size_t unpublished = 0;
  while (done.consumed < frames.size()) {
    const Outgoing& out = frames[done.consumed];
    switch (push(out)) {
      case FrameRingWriter::Push::done: break;
      case FrameRingWriter::Push::full:
        publish();
        if (!rings_->outgoing().wait_for_room()) return done;
        continue;
      case FrameRingWriter::Push::no_memory:
        ++done.lost;
        done.why = Drop::transmit_error;
        break;
      case FrameRingWriter::Push::damaged: {
        end();
        const std::size_t lost = frames.size() - done.consumed;
        return {frames.size(), done.lost + lost, Drop::receiver_gone};
      }
    }
    ++done.consumed;
    unpublished += out.wire_size();
    if (unpublished < kPublishedAtOnce) continue;
    publish();
    unpublished = 0;
  }
  publish();
  return done;
}

FrameRingWriter::Push GatewayEndpoint::push(const Outgoing& out) {
  std::array<iovec, kGatherMax> parts;
  const std::size_t count = gather(out, parts);
  return rings_->outgoing().push(virtio_header_of(out), std::span(parts).first(count),
                                 out.wire_size());
}

void GatewayEndpoint::publish() {
  if (rings_->outgoing().publish()) ring_bell(fd_.get());
}

// It has followed a successor of this process, which has come to nothing. With no other memory to
// be had the old one is kept, and this is tried again with the next frame. One that leaves again
// and again only costs our time.
void GatewayEndpoint::follow_gateway() {
  if (!rings_->is_left()) return;
  if (!departures_.allow(monotonic_now())) {
    end();
    return;
  }
  Result<std::unique_ptr<FrameRings>> rings = FrameRings::make();
  if (rings && rings.value()->offer(fd_.get())) rings_ = rings.take();
}

// Nothing that is said over the rings has a meaning any more.
Rx GatewayEndpoint::end() {
  ended_ = true;
  ::shutdown(fd_.get(), SHUT_RDWR);
  return Rx::closed;
}

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
  Result<std::unique_ptr<FrameRings>> rings = FrameRings::make();
  if (!rings) return rings.error();
  if (Result<void> offered = rings.value()->offer(fd.value().get()); !offered) return offered;
  auto endpoint = std::make_unique<GatewayEndpoint>(fd.take(), rings.take(),
                                                    request.traits.description, patchbay.pool());
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
