// SPDX-License-Identifier: MIT
//
// Makes one large TCP frame, that owes its segmentation, of the segments of a flow that lie in one
// batch: the reverse of Settler. For receivers to whom a frame costs the same whatever its length,
// as a TAP interface (a write and a walk through the host's stack) and a gateway.
//
// What makes it hard: nobody checks the joined frame's checksum again, and two wrongly joined
// segments are corrupt data. So a frame is only joined when its checksums are right, and when
// cutting the joined frame gives back the very bytes: headers equal but for lengths, checksums, a
// counting IP identification and the sequence number, no flags but ACK, PSH on the last alone,
// every segment but the last of one length. The order within a flow stays; a joined frame stands
// where its first segment stood. Nothing is held beyond a call. Lane thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "switch/frame/frame.h"

namespace lanyard {

class SegmentJoiner {
 public:
  // Frames longer than frame_max, tag included, are not made.
  SegmentJoiner(FramePool& pool, std::size_t frame_max) : pool_(pool), frame_max_(frame_max) {}

  // False: there is nothing to join, and nothing was done. Otherwise `into`, which must be empty,
  // holds what is to be sent instead of `frames`, of which there are at most its capacity.
  bool join(std::span<const Outgoing> frames, EgressBatch& into);

 private:
  // A TCP segment as its headers tell it. `joinable`: it may be part of a joined frame.
  struct TcpSegment {
    const std::uint8_t* bytes = nullptr;
    std::size_t transport_at = 0;
    std::size_t header_size = 0;
    std::size_t payload = 0;
    bool v6 = false;
    bool joinable = false;
  };
  enum class Kind : std::uint8_t { other, tcp, unreadable };

  // A flow whose last segment may be continued.
  struct Slot {
    TcpSegment first;
    const Outgoing* from = nullptr;
    std::size_t at = 0;       // where in the outcome it stands
    std::size_t payload = 0;  // so far
    std::size_t count = 0;    // segments so far
    bool open = false;
    bool pushed = false;  // its last segment had PSH
  };
  static constexpr std::size_t kSlots = 4;

  static Kind read(const Frame& frame, TcpSegment& segment);
  static bool same_flow(const TcpSegment& a, const TcpSegment& b);
  static bool is_intact(const TcpSegment& segment);
  bool continues(const Slot& slot, const Outgoing& out, const TcpSegment& segment) const;
  Slot* find(const TcpSegment& segment);
  void open(const Outgoing& out, const TcpSegment& segment, std::size_t at);
  void append(Slot& slot, const TcpSegment& segment, EgressBatch& into);
  void close(Slot& slot, EgressBatch& into);

  FramePool& pool_;
  std::size_t frame_max_;
  std::array<Slot, kSlots> slots_{};
};

}  // namespace lanyard
