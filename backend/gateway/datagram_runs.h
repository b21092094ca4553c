// SPDX-License-Identifier: MIT
//
// Datagrams of guests on their way to the host's sockets, gathered so that one message carries
// many: a run of equal ones of a flow, which the kernel cuts apart again (UDP_SEGMENT, udp(7)).
//
// What makes it hard: flows come interleaved, and the receiver must see what the guest sent: its
// datagrams, each of its own length, in their order. So a run grows only while its datagrams are
// equally long; a shorter one ends it, a longer one or an empty one begins another, and what tells
// of the way (hop limit, whether routers may fragment) is the same for all of it.
// Holds views; nothing outlives clear(). Any thread.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <vector>

#include "backend/gateway/udp_flow_table.h"

namespace lanyard {

class DatagramRuns {
 public:
  static constexpr std::size_t kSegmentsMax = 64;  // what the kernel takes in one message
  static constexpr std::size_t kBytesMax = 65507;  // and what IPv4 carries

  struct Run {
    UdpFlow* flow = nullptr;
    std::size_t segment_size = 0;  // of all its datagrams but the last
    std::size_t count = 0;
    std::size_t bytes = 0;
    std::uint8_t hop_limit = 64;
    bool unfragmented = false;  // routers may not cut it: the guest wants to know
    bool open = true;
    std::size_t pieces = 0;
    std::size_t first = 0;  // of them
    std::size_t last = 0;
  };
  struct Way {
    std::uint8_t hop_limit = 64;
    bool unfragmented = false;
  };

  // `step` is not 0 when the payload is of many datagrams, each of that length but the last. The
  // payload must stay until clear().
  void add(UdpFlow& flow, std::span<const std::uint8_t> payload, std::size_t step, Way way);
  std::span<Run> runs() { return runs_; }
  bool empty() const { return runs_.empty(); }
  // Appends what a message of the run consists of.
  void append_parts(const Run& run, std::vector<iovec>& into) const;
  void clear();

 private:
  struct Piece {
    std::span<const std::uint8_t> bytes;
    std::size_t next = 0;
  };
  bool continue_run(UdpFlow& flow, std::span<const std::uint8_t> payload, Way way);
  Run& begin_run(UdpFlow& flow, std::span<const std::uint8_t> payload, Way way);

  std::vector<Run> runs_;
  std::vector<Piece> pieces_;
  std::uint64_t round_ = 1;
};

}  // namespace lanyard
