// SPDX-License-Identifier: MIT
//
// What a backend implements: bytes in, bytes out. An endpoint never meets a VLAN, a MAC table or
// another endpoint; the port it is plugged into does. Five functions are the whole interface.
//
// The contract, held by tests/backend/endpoint_contract_test.cpp for every kind:
//  - frames from receive() are unique; nothing is said about their length (the bridge drops short
//    ones by name), but bytes beyond what the peer sent are never shown;
//  - receive() and transmit() never block;
//  - transmit() sees only frames within caps(), consumes them from the front and keeps no reference
//    to them after it returns; what it did not consume the port queues or drops, by name;
//  - Rx::more means "call again before sleeping", for bytes that the wait_fd cannot show;
//  - the destructor closes everything.
// Lane thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "switch/bridge/drop.h"
#include "switch/frame/frame.h"

namespace lanyard {

struct Caps {
  std::uint32_t frame_max = kStandardFrameSize;  // the longest frame transmit() takes, tag included
  bool checksum = false;                         // owed work it can pass on
  bool tcp_segmentation = false;
  bool udp_segmentation = false;
};

enum class Rx : std::uint8_t { drained, more, closed };

// What became of the frames given to transmit(): the first `consumed` of them are done with, `lost`
// of those were not sent, because of `why`. When consumed is less than offered the endpoint is full
// and wait_fd() becomes writable once it is not.
struct Transmitted {
  std::size_t consumed = 0;
  std::size_t lost = 0;
  Drop why = Drop::none;
};

class Endpoint {
 public:
  virtual ~Endpoint() = default;

  virtual std::string label() const = 0;  // for people: "tap0", "alice user=root PID=1"
  virtual Caps caps() const = 0;
  virtual int wait_fd() const = 0;  // readable when receive() has work; -1 when only wake() tells
  virtual Rx receive(FrameBatch& into) = 0;  // adds up to into.room() frames
  virtual Transmitted transmit(std::span<const Outgoing> frames) = 0;
  // True where wait_fd() is always writable, and readable also when there is room again.
  virtual bool has_room_when_readable() const { return false; }
};

}  // namespace lanyard
