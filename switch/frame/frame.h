// SPDX-License-Identifier: MIT
//
// A frame on its way through the switch: a counted view of pooled bytes, with its VLAN tag and its
// offload debts beside it instead of in it.
//
// What makes it hard: a flood hands the same bytes to many receivers, some of which want a tag and
// some do not, and no copy may be made for either. So bytes are never changed once a frame is
// shared; the tag is taken off once, while the frame is still unique (pop_tag), and written back by
// the gather list of whoever sends it (Outgoing). Frame and Buffer are apart because one buffer may
// hold many frames (a stream read) or foreign memory (a virtqueue).
//
// Reference counts are plain integers: a frame lives in the lane whose pool it came from.
// Lane thread only.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "switch/frame/ethernet.h"
#include "switch/frame/offload.h"

namespace lanyard {

class FramePool;

struct Segment {
  std::uint8_t* data = nullptr;
  std::uint32_t size = 0;
};

// Bytes that frames point into. `done` runs when the last frame lets go: back to the pool, or, for
// memory that is not ours, back to its owner.
struct Buffer {
  std::uint8_t* data = nullptr;
  std::uint32_t capacity = 0;
  std::uint32_t refs = 0;
  std::uint32_t touched = 0;  // highest byte ever written: pages up to here are resident
  void (*done)(Buffer*, void* owner) = nullptr;
  void* owner = nullptr;
};

struct Frame {
  static constexpr std::size_t kSegments = 4;

  // The first segment holds at least the Ethernet header (and all headers of a segmentation debt).
  std::array<Segment, kSegments> segments{};
  std::uint8_t segment_count = 0;
  bool truncated = false;      // the receiver had no room for all of it: fit only to be dropped
  std::uint16_t priority = 0;  // PCP and DEI as they stand in a TCI
  VlanId vlan = 0;             // set when the frame is admitted
  std::uint32_t size = 0;      // of all segments, without a popped tag
  Offload offload;

  std::uint32_t refs = 0;
  Buffer* buffer = nullptr;  // null: the bytes are borrowed for the duration of a call
  FramePool* home = nullptr;

  std::span<const std::uint8_t> head() const { return {segments[0].data, segments[0].size}; }

  // One segment of `count` bytes at `data`, which lies in `buffer` or is borrowed.
  void set_bytes(std::uint8_t* data, std::uint32_t count) {
    segments[0] = {data, count};
    segment_count = 1;
    size = count;
  }

  // Takes the 802.1Q tag out of the bytes. The frame must be unique and tagged (EthernetView::tci).
  void pop_tag() {
    std::uint8_t* const start = segments[0].data;
    std::memmove(start + kVlanTagSize, start, kAddressesSize);
    segments[0].data += kVlanTagSize;
    segments[0].size -= static_cast<std::uint32_t>(kVlanTagSize);
    size -= static_cast<std::uint32_t>(kVlanTagSize);
    const auto less = [](std::uint16_t& offset) {
      if (offset >= kVlanTagSize) offset = static_cast<std::uint16_t>(offset - kVlanTagSize);
    };
    if (!offload.owes_nothing()) {
      less(offload.header_size);
      less(offload.checksum_start);
    }
  }
};

// Gives a frame that nobody refers to any more back to its pool (frame_pool.cpp).
void recycle(Frame* frame);

// An owner of a frame. Move-only; share() adds an owner on purpose.
class FrameRef {
 public:
  FrameRef() = default;
  explicit FrameRef(Frame* owned) : frame_(owned) {}
  FrameRef(FrameRef&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  FrameRef& operator=(FrameRef&& other) noexcept {
    if (this != &other) {
      release();
      frame_ = std::exchange(other.frame_, nullptr);
    }
    return *this;
  }
  FrameRef(const FrameRef&) = delete;
  FrameRef& operator=(const FrameRef&) = delete;
  ~FrameRef() { release(); }

  FrameRef share() const {
    ++frame_->refs;
    return FrameRef(frame_);
  }
  bool unique() const { return frame_->refs == 1; }
  explicit operator bool() const { return frame_ != nullptr; }
  Frame& operator*() const { return *frame_; }
  Frame* operator->() const { return frame_; }

 private:
  void release() {
    if (frame_ != nullptr && --frame_->refs == 0) recycle(frame_);
    frame_ = nullptr;
  }

  Frame* frame_ = nullptr;
};

// Up to 64 things in place; what the data path hands from stage to stage.
template <typename T>
class Batch {
 public:
  static constexpr std::size_t kCapacity = 64;

  std::size_t size() const { return count_; }
  std::size_t room() const { return kCapacity - count_; }
  bool empty() const { return count_ == 0; }
  void push(T item) { items_[count_++] = std::move(item); }
  // The next item, as clear() left it, to be filled in place.
  T& add() { return items_[count_++]; }
  void clear() {
    for (std::size_t i = 0; i < count_; ++i) items_[i] = T{};
    count_ = 0;
  }
  // What lies behind the first `count` is cleared.
  void keep_first(std::size_t count) {
    for (std::size_t i = count; i < count_; ++i) items_[i] = T{};
    count_ = count;
  }
  T* begin() { return items_.data(); }
  T* end() { return items_.data() + count_; }
  T& operator[](std::size_t i) { return items_[i]; }
  std::span<T> view() { return {items_.data(), count_}; }

 private:
  std::array<T, kCapacity> items_{};
  std::size_t count_ = 0;
};

using FrameBatch = Batch<FrameRef>;

// A frame as one receiver gets it: with or without a tag.
struct Outgoing {
  FrameRef frame;
  bool tagged = false;
  std::array<std::uint8_t, kVlanTagSize> tag{};  // in wire order, valid when tagged

  void set_untagged(FrameRef&& given) { frame = std::move(given); }
  // With the VLAN and the priority of the frame.
  void set_tagged(FrameRef&& given) {
    frame = std::move(given);
    tagged = true;
    const auto tci = static_cast<std::uint16_t>(frame->priority | frame->vlan);
    tag = {static_cast<std::uint8_t>(kEtherTypeVlan >> 8),
           static_cast<std::uint8_t>(kEtherTypeVlan & 0xff), static_cast<std::uint8_t>(tci >> 8),
           static_cast<std::uint8_t>(tci)};
  }
  Outgoing share() const { return {frame.share(), tagged, tag}; }
  static Outgoing untagged(FrameRef frame) {
    Outgoing out;
    out.set_untagged(std::move(frame));
    return out;
  }
  static Outgoing with_tag(FrameRef frame) {
    Outgoing out;
    out.set_tagged(std::move(frame));
    return out;
  }
  std::size_t wire_size() const { return frame->size + (tagged ? kVlanTagSize : 0); }
};

using EgressBatch = Batch<Outgoing>;

// The most entries gather() writes: addresses, tag, the rest of the first segment, other segments.
constexpr std::size_t kGatherMax = Frame::kSegments + 2;

// Describes the bytes of `out` as they go on the wire and returns how many entries it wrote. The
// entries point into `out` and its frame.
inline std::size_t gather(const Outgoing& out, std::span<iovec, kGatherMax> into) {
  const Frame& frame = *out.frame;
  std::size_t n = 0;
  std::size_t first_left = 0;
  if (out.tagged) {
    into[n++] = {frame.segments[0].data, kAddressesSize};
    into[n++] = {const_cast<std::uint8_t*>(out.tag.data()), kVlanTagSize};
    first_left = kAddressesSize;
  }
  into[n++] = {frame.segments[0].data + first_left, frame.segments[0].size - first_left};
  for (std::size_t i = 1; i < frame.segment_count; ++i) {
    into[n++] = {frame.segments[i].data, frame.segments[i].size};
  }
  return n;
}

}  // namespace lanyard
