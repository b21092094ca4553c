// SPDX-License-Identifier: MIT
//
// Batches of frames over a socket that keeps messages apart, one frame a message: recvmmsg and
// sendmmsg with their arrays prepared once and shared by all endpoints of a lane. Lane thread only.
#pragma once

#include <sys/socket.h>

#include <array>
#include <span>

#include "backend/burst_guess.h"
#include "switch/bridge/endpoint.h"
#include "switch/frame/frame.h"

namespace lanyard {

class FramePool;

class DatagramBatches {
 public:
  explicit DatagramBatches(FramePool& pool);
  // The arrays point into each other.
  DatagramBatches(const DatagramBatches&) = delete;
  DatagramBatches& operator=(const DatagramBatches&) = delete;

  // One system call: up to into.room() datagrams that are there now. An empty one is no frame.
  Rx receive(int fd, BurstGuess& guess, FrameBatch& into);

  // One system call, or as many as it takes to get past frames that cannot be sent.
  Transmitted transmit(int fd, std::span<const Outgoing> frames);

 private:
  static constexpr std::size_t kSlots = FrameBatch::kCapacity;

  void fill(std::size_t slot);
  void push_received(std::size_t slot, std::size_t size, bool truncated, FrameBatch& into);
  Rx receive_one(int fd, BurstGuess& guess, FrameBatch& into);
  long send(int fd, std::span<const Outgoing> frames);

  FramePool& pool_;
  std::array<FrameRef, kSlots> empty_;  // frames waiting to be received into
  std::array<iovec, kSlots> receive_parts_{};
  std::array<mmsghdr, kSlots> receive_messages_{};
  std::array<std::array<iovec, kGatherMax>, kSlots> send_parts_{};
  std::array<mmsghdr, kSlots> send_messages_{};
};

}  // namespace lanyard
