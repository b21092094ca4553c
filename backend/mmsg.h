// SPDX-License-Identifier: MIT
//
// Batches of frames over a socket that keeps messages apart, one frame a message: recvmmsg and
// sendmmsg with their arrays prepared once and shared by all endpoints of a lane. A message is the
// bare frame (VDE), or has the header in front that says what the frame still owes (gateways).
// Lane thread only.
#pragma once

#include <sys/socket.h>

#include <array>
#include <span>

#include "backend/burst_guess.h"
#include "switch/bridge/endpoint.h"
#include "switch/frame/frame.h"
#include "switch/frame/virtio_header.h"

namespace lanyard {

class FramePool;

class DatagramBatches {
 public:
  enum class Framing : std::uint8_t { bare, with_header };

  explicit DatagramBatches(FramePool& pool, Framing framing = Framing::bare);
  // The arrays point into each other.
  DatagramBatches(const DatagramBatches&) = delete;
  DatagramBatches& operator=(const DatagramBatches&) = delete;

  // One system call: up to into.room() datagrams that are there now. Without headers an empty
  // datagram is no frame and is skipped; with headers it is the end of a connection, Rx::closed.
  Rx receive(int fd, BurstGuess& guess, FrameBatch& into);

  // One system call, or as many as it takes to get past frames that cannot be sent.
  Transmitted transmit(int fd, std::span<const Outgoing> frames);

 private:
  static constexpr std::size_t kSlots = FrameBatch::kCapacity;

  void fill(std::size_t slot);
  std::size_t header_size() const {
    return framing_ == Framing::with_header ? kVirtioHeaderSize : 0;
  }
  void push_received(std::size_t slot, std::size_t size, bool truncated, FrameBatch& into);
  std::size_t describe(const Outgoing& out, std::size_t slot);
  Rx receive_one(int fd, BurstGuess& guess, FrameBatch& into);
  long send(int fd, std::span<const Outgoing> frames);

  FramePool& pool_;
  Framing framing_;
  std::array<FrameRef, kSlots> empty_;  // frames waiting to be received into
  // Header and frame; without headers the messages begin at the second.
  std::array<std::array<iovec, 2>, kSlots> receive_parts_{};
  std::array<VirtioHeader, kSlots> receive_headers_{};
  std::array<mmsghdr, kSlots> receive_messages_{};
  std::array<std::array<iovec, kGatherMax + 1>, kSlots> send_parts_{};
  std::array<VirtioHeader, kSlots> send_headers_{};
  std::array<mmsghdr, kSlots> send_messages_{};
};

}  // namespace lanyard
