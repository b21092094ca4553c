// SPDX-License-Identifier: MIT
//
// The way from the engine to guests: its frames made to fit.
//
// libslirp sends TCP in segments of up to 16060 bytes, a window at a time. Contiguous ones of a
// flow are joined up to 64 KiB and go out as one frame that owes its segmentation (at the MSS that
// the guest asked for) and its checksum; the switch settles that where it must. Datagrams longer
// than the guests' MTU are fragmented here, IPv6 too (which libslirp does not do). Frames for which
// the switch has no room wait here in order: TCP takes a second to notice a lost one.
// Gateway thread only.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "backend/gateway/guest_link.h"
#include "backend/gateway/nat_counters.h"
#include "backend/gateway/nat_packet.h"

namespace lanyard {

class GuestOutput {
 public:
  static constexpr std::size_t kQueueBytesMax = 16 * 1024 * 1024;

  GuestOutput(GuestLink& link, std::uint32_t mtu, NatCounters& counters)
      : link_(link), mtu_(mtu), counters_(counters) {}
  void set_mtu(std::uint32_t mtu) { mtu_ = mtu; }
  std::uint32_t mtu() const { return mtu_; }

  // A segment to a guest; segment_size 0 means as the MTU says. The Ethernet header is right. What
  // can be joined with it may follow: call flush() before the turn ends.
  void send_tcp(const NatPacket& packet, std::uint16_t segment_size);
  // A segment that is as it should be; after a flush() when others of its flow were sent by the
  // above.
  void send_segment(std::span<const std::uint8_t> frame, const Offload& offload) {
    send(frame, offload);
  }
  // Anything else in IP; not to be called with TCP. What is longer than the MTU goes in fragments
  // and must owe nothing; what owes its segmentation fits once it is cut.
  void send_datagram(std::span<const std::uint8_t> frame, const Offload& offload = {});
  void flush();

  // Sends what waits, as far as there is room.
  void resume();
  bool congested() const { return !queue_.empty() || !link_.has_room(); }
  std::size_t queued_bytes() const { return queued_bytes_; }

 private:
  struct Slot {
    NatPacket packet;
    std::vector<std::uint8_t> bytes;
    std::uint16_t segment_size = 0;
    bool used = false;
    bool changed = false;  // its checksum is no longer true
  };
  struct Waiting {
    std::vector<std::uint8_t> frame;
    Offload offload;
  };
  static constexpr std::size_t kSlots = 8;
  // What an IPv4 packet can carry, and a message of the switch too.
  static constexpr std::size_t kFrameMax = kIpOffset + 65535;

  bool join(Slot& slot, const NatPacket& packet);
  void release(Slot& slot);
  void fragment4(std::span<const std::uint8_t> frame);
  void fragment6(std::span<const std::uint8_t> frame);
  void send(std::span<const std::uint8_t> frame, const Offload& offload);

  GuestLink& link_;
  std::uint32_t mtu_;
  NatCounters& counters_;
  std::array<Slot, kSlots> slots_;
  std::size_t oldest_ = 0;
  std::deque<Waiting> queue_;
  std::size_t queued_bytes_ = 0;
  std::uint32_t next_fragment_id_ = 1;
};

}  // namespace lanyard
