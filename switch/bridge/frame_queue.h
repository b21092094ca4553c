// SPDX-License-Identifier: MIT
//
// The bounded queue of one receiver that does not keep up. Frames are copied into a ring of bytes:
// that is the slow path, and it makes the bound exact (a ring of 1 MiB is 1 MiB, whatever the frame
// sizes), keeps no pooled buffer hostage to a stopped VM, and leaves the queue as plain bytes that
// a successor process can be given. The memory exists only while it is needed. Lane thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "switch/frame/frame.h"

namespace lanyard {

class FrameQueue {
 public:
  static constexpr std::size_t kDefaultBytes = std::size_t{1} << 20;

  explicit FrameQueue(std::size_t bytes_max = kDefaultBytes) : bytes_max_(bytes_max) {}

  bool empty() const { return frames_ == 0; }
  std::size_t frames() const { return frames_; }

  // Copies the frame in; false when there is no room (the newest frame is the one that is lost).
  bool push(const Outgoing& out);

  // Fills `into` with the oldest frames, without taking them out. Their bytes are borrowed from the
  // queue until pop() or push().
  void peek(FramePool& pool, EgressBatch& into);
  void pop(std::size_t count);
  void clear();

  // The new bound holds for what is pushed from now on.
  void set_bytes_max(std::size_t bytes_max);
  std::size_t bytes_max() const { return bytes_max_; }

  // Gives the ring back when it has been empty since the last call.
  void release_if_idle();

 private:
  struct Record {
    std::uint32_t size = 0;  // of the frame's bytes, which follow
    std::uint16_t priority = 0;
    VlanId vlan = 0;
    Offload offload;
    bool tagged = false;
  };

  bool fit_ring();
  static std::size_t space_for(std::size_t frame_size);
  std::size_t contiguous_room(std::size_t needed);

  std::size_t bytes_max_;
  std::size_t capacity_ = 0;
  std::unique_ptr<std::uint8_t[]> ring_;
  std::size_t head_ = 0;  // of the oldest record
  std::size_t tail_ = 0;  // where the next one goes
  std::size_t wrap_ = 0;  // where records end before the ring starts over; 0 while head_ <= tail_
  std::size_t frames_ = 0;
  bool used_ = false;
};

}  // namespace lanyard
