// SPDX-License-Identifier: MIT
#include "backend/tap_endpoint.h"

#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "switch/frame/frame_pool.h"
#include "switch/frame/headroom.h"
#include "switch/frame/settler.h"

namespace lanyard {
namespace {

// Large frames are looked at again by whoever cuts or copies them: no more at a time than a cache
// holds, and no more than what others can wait for.
constexpr std::size_t kBatchBytes = std::size_t{512} << 10;

Drop reason_of(int error) {
  switch (error) {
    case EIO: return Drop::link_down;  // tun: the interface is not up
    case EBADFD: return Drop::receiver_gone;
    default: return Drop::transmit_error;
  }
}

}  // namespace

TapEndpoint::~TapEndpoint() {
  // A TAP that stays may get a reader that knows nothing of headers.
  if (offloads_.header) forget_tap_offloads(fd_.get());
}

std::string TapEndpoint::label() const {
  ifreq request{};
  if (::ioctl(fd_.get(), TUNGETIFF, &request) != 0) return "tap";
  return request.ifr_name;
}

Caps TapEndpoint::caps() const {
  Caps caps;
  caps.frame_max = kMaxFrameSize;
  caps.checksum = offloads_.header;
  caps.tcp_segmentation = offloads_.tcp;
  caps.udp_segmentation = offloads_.udp;
  return caps;
}

// The device gives one frame a call.
Rx TapEndpoint::receive(FrameBatch& into) {
  const std::size_t wanted = guess_.expects_one() ? 1 : into.room();
  const Rx rx = read_frames(into, wanted);
  guess_.found(into.size());
  return rx;
}

Rx TapEndpoint::read_frames(FrameBatch& into, std::size_t wanted) {
  for (std::size_t bytes = 0; wanted != 0; --wanted) {
    if (!read_frame(into)) return errno == EBADFD ? Rx::closed : Rx::drained;
    bytes += into[into.size() - 1]->size;
    if (bytes >= kBatchBytes) return Rx::more;
  }
  return into.room() == 0 ? Rx::more : Rx::drained;
}

bool TapEndpoint::read_frame(FrameBatch& into) {
  if (!empty_) empty_ = pool_.make();
  std::uint8_t* const data = empty_->segments[0].data;
  // The header lands in the room before the frame.
  static_assert(kVirtioHeaderSize <= kFrameHeadroom);
  const std::size_t before = offloads_.header ? kVirtioHeaderSize : 0;
  const ssize_t count = ::read(fd_.get(), data - before, before + kMaxFrameSize);
  if (count < static_cast<ssize_t>(before) || count == 0) {
    if (count >= 0) errno = EAGAIN;
    return false;
  }
  const auto size = static_cast<std::size_t>(count) - before;
  empty_->set_bytes(data, static_cast<std::uint32_t>(size));
  if (offloads_.header) {
    const std::span<const std::uint8_t, kVirtioHeaderSize> header(data - before, before);
    const VirtioReading reading = read_virtio_header(header, empty_->head(), size);
    empty_->offload = reading.fault == VirtioFault::none ? reading.offload : Offload::malformed();
  }
  into.push(std::move(empty_));
  return true;
}

Transmitted TapEndpoint::transmit(std::span<const Outgoing> frames) {
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

ssize_t TapEndpoint::write_frame(const Outgoing& out) const {
  std::array<iovec, kGatherMax + 1> parts;
  const std::size_t count = gather(out, std::span(parts).subspan<1>());
  if (!offloads_.header) return ::writev(fd_.get(), &parts[1], static_cast<int>(count));
  VirtioHeader header = virtio_header_of(out);
  parts[0] = {header.data(), header.size()};
  return ::writev(fd_.get(), parts.data(), static_cast<int>(count + 1));
}

}  // namespace lanyard
