// SPDX-License-Identifier: MIT
//
// The pair of rings between the switch and a gateway, one for each direction, in one memory file
// (memfd_create(2)), and the words beside it: the offer of a pair, and the bell that wakes a side
// which sleeps. Both go over the socket pair that was there before, so it still tells of the end.
//
// What makes it hard: the switch makes the memory and must not die of it. Memory that the kernel
// does not have is an error here and a signal (SIGBUS) where it is touched, so what the switch
// reads or writes has been provided before; and the file is sealed, so the gateway cannot make it
// shorter. A successor of the switch process offers another pair: the gateway then reads what is
// left of the old one, takes along what nobody has read, and marks the old pair as left, for the
// process that made it may have to go on after all. One thread on each side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "switch/base/fd.h"
#include "switch/base/result.h"
#include "switch/runtime/frame_ring.h"

namespace lanyard {

class FrameRings {
 public:
  // Some dozens of large frames. What is of the gateway's is there from the beginning.
  static constexpr std::size_t kToGateway = std::size_t{2} << 20;
  static constexpr std::size_t kToSwitch = std::size_t{1} << 20;

  // The switch's side: memory of our own, and nobody else has it yet. Of the kernel: EMFILE,
  // ENOMEM.
  static Result<std::unique_ptr<FrameRings>> make();
  // Sends it along `socket`, of SOCK_SEQPACKET. That the other side is gone is no error here: the
  // socket tells its reader, and others tell why.
  Result<void> offer(int socket) const;

  // The gateway's side of what was offered; EBADMSG when that is no pair of rings.
  static Result<std::unique_ptr<FrameRings>> accept(std::string_view offer, UniqueFd file);

  ~FrameRings();
  FrameRings(const FrameRings&) = delete;
  FrameRings& operator=(const FrameRings&) = delete;

  FrameRingReader& incoming() { return incoming_; }
  FrameRingWriter& outgoing() { return outgoing_; }
  // What the other side has not read of what we have published. The writer must be done.
  FrameRingReader unread() const { return FrameRingReader(outgoing_view_); }

  // The gateway has gone to another pair.
  void leave();
  bool is_left() const;

 private:
  struct Control;
  struct Sizes {
    std::size_t to_gateway = kToGateway;
    std::size_t to_switch = kToSwitch;
  };

  FrameRings(UniqueFd file, Sizes sizes) : file_(std::move(file)), sizes_(sizes) {}

  Result<void> map();
  Result<std::uint8_t*> map_twice(std::size_t offset, std::size_t size);
  bool provide(std::size_t until);

  UniqueFd file_;
  Sizes sizes_;
  Control* control_ = nullptr;
  std::uint8_t* to_gateway_ = nullptr;
  std::uint8_t* to_switch_ = nullptr;
  std::size_t provided_ = 0;  // of the file
  FrameRingReader incoming_;
  FrameRingWriter outgoing_;
  FrameRingView outgoing_view_;
};

// Wakes the other side. It may be gone, or have more to read than it takes; either is well.
void ring_bell(int socket);

}  // namespace lanyard
