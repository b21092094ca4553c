// SPDX-License-Identifier: MIT
//
// Makes one large frame, that owes its segmentation, of the TCP segments or UDP datagrams of a flow
// that lie in one batch: the reverse of Settler. For receivers to whom a frame costs the same
// whatever its length, as a TAP interface (a write and a walk through the host's stack) and a
// gateway.
//
// What makes it hard: nobody checks the joined frame's checksum again, and two wrongly joined
// segments are corrupt data. So a frame is only joined when its checksums are right (or, of UDP,
// owed: a TCP that owes it has offloads and sends large frames anyway), and when cutting the joined
// frame gives back the very bytes: headers equal but for lengths, checksums, a counting IP
// identification and the sequence number, no flags but ACK, PSH on the last alone, every segment
// but the last of one length. And what programs read from the interface itself must not be joined
// at all: datagrams to many, and DHCP. The order within a flow stays; a joined frame stands where
// its first segment stood. Nothing is held beyond a call. Lane thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "switch/frame/frame.h"

namespace lanyard {

class SegmentJoiner {
 public:
  struct Limits {
    std::size_t frame_max = 0;  // longer frames, tag included, are not made
    bool udp = false;           // whether datagrams are joined, too
  };
  SegmentJoiner(FramePool& pool, Limits limits) : pool_(pool), limits_(limits) {}

  // False: there is nothing to join, and nothing was done. Otherwise `into`, which must be empty,
  // holds what is to be sent instead of `frames`, of which there are at most its capacity.
  bool join(std::span<const Outgoing> frames, EgressBatch& into);

 private:
  // A TCP segment or a datagram as its headers tell it. `joinable`: it may be part of a joined
  // frame.
  struct Segment {
    const std::uint8_t* bytes = nullptr;
    std::size_t transport_at = 0;
    std::size_t header_size = 0;
    std::size_t payload = 0;
    bool v6 = false;
    bool udp = false;
    bool owes_checksum = false;
    bool joinable = false;
  };
  enum class Kind : std::uint8_t { other, segment, unreadable };

  // A flow whose last segment may be continued.
  struct Slot {
    Segment first;
    const Outgoing* from = nullptr;
    std::size_t at = 0;       // where in the outcome it stands
    std::size_t payload = 0;  // so far
    std::size_t count = 0;    // segments so far
    bool open = false;
    bool pushed = false;  // its last segment had PSH
  };
  static constexpr std::size_t kSlots = 4;

  Kind read(const Frame& frame, Segment& segment) const;
  static void read_tcp(const Frame& frame, bool whole, Segment& segment);
  static void read_udp(const Frame& frame, bool whole, Segment& segment);
  static bool same_flow(const Segment& a, const Segment& b);
  static bool is_intact(const Segment& segment);
  static bool is_pushed(const Segment& segment);
  bool continues(const Slot& slot, const Outgoing& out, const Segment& segment) const;
  static bool same_network(const Slot& slot, const Segment& segment);
  static bool same_tcp(const Slot& slot, const Segment& segment);
  Slot* find(const Segment& segment);
  void open(const Outgoing& out, const Segment& segment, std::size_t at);
  void append(Slot& slot, const Segment& segment, EgressBatch& into);
  void close(Slot& slot, EgressBatch& into);

  FramePool& pool_;
  Limits limits_;
  std::array<Slot, kSlots> slots_{};
};

}  // namespace lanyard
