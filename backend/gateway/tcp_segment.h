// SPDX-License-Identifier: MIT
//
// Segments of TCP between a guest and the gateway, for the direct engine: what is read of one, and
// the frame around one that is sent.
//
// What makes it hard: the engine lives by large segments, so nothing here may touch the payload. A
// frame's headers are written into the bytes before it, and the checksum over it stays owed
// (offload.h) to whoever can do it last, or never has to. Options of a SYN are a guest's bytes: a
// length among them may run past the end. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "backend/gateway/nat_packet.h"
#include "switch/frame/offload.h"

namespace lanyard {

// What a side can bear, told in its SYN (RFC 9293 3.2, RFC 7323 2.2, RFC 2018 2).
struct TcpOptions {
  std::uint16_t segment_size = 0;  // 0: not said
  std::optional<std::uint8_t> window_shift;
  bool sack_permitted = false;
};
TcpOptions read_tcp_options(std::span<const std::uint8_t> options);

// Part of the sequence space, up to but not with `end`.
struct TcpRange {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  friend bool operator==(const TcpRange&, const TcpRange&) = default;
};

// What a receiver has beyond what it acknowledges (RFC 2018 3).
class TcpSack {
 public:
  static constexpr std::size_t kBlocksMax = 4;  // as options have room for
  bool full() const { return count_ == kBlocksMax; }
  bool empty() const { return count_ == 0; }
  void add(TcpRange block) {
    if (!full()) blocks_[count_++] = block;
  }
  std::span<const TcpRange> blocks() const { return std::span(blocks_).first(count_); }

 private:
  std::array<TcpRange, kBlocksMax> blocks_{};
  std::size_t count_ = 0;
};
TcpSack read_tcp_sack(std::span<const std::uint8_t> options);

// From a guest, checked by FrameSanitiser.
struct TcpSegment {
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint16_t window = 0;  // as it stands in the header
  std::uint8_t flags = 0;
  std::span<const std::uint8_t> payload;
  std::span<const std::uint8_t> options;
};

// To a guest.
struct TcpHeader {
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint16_t window = 0;
  std::uint8_t flags = 0;
  TcpOptions options;  // of a SYN
  TcpSack sack;        // of an acknowledgement without payload
};

struct TcpPath {
  FlowKey key;
  MacAddress guest_mac;
  MacAddress router_mac;
  bool v6 = false;
};

// For the headers of any frame, with their options.
constexpr std::size_t kTcpHeadroom = 112;
// What one IP packet carries beside the headers.
constexpr std::size_t kTcpPayloadMax = 65535 - kIpv6HeaderSize - kTcpHeaderSize;

struct TcpFrame {
  std::span<std::uint8_t> frame;
  Offload offload;
};
// `room` is kTcpHeadroom bytes and the payload behind them, which is cut at `segment_size` by
// whoever cannot pass it on whole.
TcpFrame frame_segment(const TcpPath& path, const TcpHeader& header, std::span<std::uint8_t> room,
                       std::uint16_t segment_size);

}  // namespace lanyard
