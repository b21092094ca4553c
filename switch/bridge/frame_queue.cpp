// SPDX-License-Identifier: MIT
#include "switch/bridge/frame_queue.h"

#include <cstring>
#include <new>

#include "switch/frame/frame_pool.h"

namespace lanyard {
namespace {

constexpr std::size_t kAlign = 8;
constexpr std::size_t kNoRoom = static_cast<std::size_t>(-1);

}  // namespace

std::size_t FrameQueue::space_for(std::size_t frame_size) {
  return (sizeof(Record) + frame_size + kAlign - 1) / kAlign * kAlign;
}

// Where `needed` bytes fit in one piece, or kNoRoom. May move the tail to the start of the ring.
std::size_t FrameQueue::contiguous_room(std::size_t needed) {
  if (frames_ == 0) {
    head_ = tail_ = wrap_ = 0;
    return needed <= capacity_ ? 0 : kNoRoom;
  }
  if (wrap_ == 0) {
    if (tail_ + needed <= capacity_) return tail_;
    if (needed > head_) return kNoRoom;
    wrap_ = tail_;
    tail_ = 0;
    return 0;
  }
  return tail_ + needed <= head_ ? tail_ : kNoRoom;
}

// Brings the ring to its bound. False while more is queued than a lowered bound allows.
bool FrameQueue::fit_ring() {
  if (ring_ != nullptr && capacity_ == bytes_max_) return true;
  if (frames_ == 0) head_ = tail_ = wrap_ = 0;
  const std::size_t first = (wrap_ != 0 ? wrap_ : tail_) - head_;
  const std::size_t second = wrap_ != 0 ? tail_ : 0;
  if (first + second > bytes_max_) return false;
  // Not value-initialised: pages stay untouched until frames reach them.
  std::unique_ptr<std::uint8_t[]> ring(new (std::nothrow) std::uint8_t[bytes_max_]);
  if (ring == nullptr) return false;
  if (first != 0) std::memcpy(ring.get(), ring_.get() + head_, first);
  if (second != 0) std::memcpy(ring.get() + first, ring_.get(), second);
  ring_ = std::move(ring);
  capacity_ = bytes_max_;
  head_ = wrap_ = 0;
  tail_ = first + second;
  return true;
}

bool FrameQueue::push(const Outgoing& out) {
  used_ = true;
  if (!fit_ring()) return false;
  const Frame& frame = *out.frame;
  const std::size_t needed = space_for(frame.size);
  const std::size_t at = contiguous_room(needed);
  if (at == kNoRoom) return false;

  const Record record{frame.size, frame.priority, frame.vlan, frame.offload, out.tagged};
  std::uint8_t* to = ring_.get() + at;
  std::memcpy(to, &record, sizeof record);
  to += sizeof record;
  for (std::size_t i = 0; i < frame.segment_count; ++i) {
    std::memcpy(to, frame.segments[i].data, frame.segments[i].size);
    to += frame.segments[i].size;
  }
  tail_ = at + needed;
  ++frames_;
  return true;
}

void FrameQueue::peek(FramePool& pool, EgressBatch& into) {
  std::size_t at = head_;
  for (std::size_t i = 0; i < frames_ && into.room() != 0; ++i) {
    if (wrap_ != 0 && at == wrap_) at = 0;
    Record record;
    std::memcpy(&record, ring_.get() + at, sizeof record);
    FrameRef frame = pool.borrow(ring_.get() + at + sizeof record, record.size);
    frame->priority = record.priority;
    frame->vlan = record.vlan;
    frame->offload = record.offload;
    into.push(record.tagged ? Outgoing::with_tag(std::move(frame))
                            : Outgoing::untagged(std::move(frame)));
    at += space_for(record.size);
  }
}

void FrameQueue::pop(std::size_t count) {
  for (; count != 0 && frames_ != 0; --count) {
    if (wrap_ != 0 && head_ == wrap_) head_ = wrap_ = 0;
    Record record;
    std::memcpy(&record, ring_.get() + head_, sizeof record);
    head_ += space_for(record.size);
    --frames_;
  }
  if (wrap_ != 0 && head_ == wrap_) head_ = wrap_ = 0;
}

void FrameQueue::clear() {
  frames_ = head_ = tail_ = wrap_ = 0;
}

void FrameQueue::set_bytes_max(std::size_t bytes_max) {
  bytes_max_ = bytes_max;
}

void FrameQueue::release_if_idle() {
  if (frames_ == 0 && !used_) {
    ring_.reset();
    capacity_ = 0;
  }
  used_ = false;
}

}  // namespace lanyard
