// SPDX-License-Identifier: MIT
#include "switch/frame/frame_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "switch/frame/headroom.h"

namespace lanyard {

FramePool::~FramePool() {
  for (void* mapping : mappings_) ::munmap(mapping, kChunk * kStride);
}

FrameRef FramePool::make() {
  if (idle_buffers_.empty()) grow_buffers();
  Frame* const frame = take_frame();
  Buffer* const buffer = idle_buffers_.back();
  idle_buffers_.pop_back();
  buffer->refs = 1;
  frame->buffer = buffer;
  frame->set_bytes(buffer->data, 0);
  return FrameRef(frame);
}

FrameRef FramePool::borrow(std::uint8_t* data, std::uint32_t size) {
  Frame* const frame = take_frame();
  frame->set_bytes(data, size);
  return FrameRef(frame);
}

void FramePool::trim() {
  for (Buffer* buffer : idle_buffers_) {
    if (buffer->touched <= kPage) continue;
    // The first page stays: the next small frame will want it.
    ::madvise(buffer->data - kHeadroom + kPage, kStride - kPage, MADV_DONTNEED);
    buffer->touched = 0;
  }
}

Frame* FramePool::take_frame() {
  if (idle_frames_.empty()) grow_frames();
  Frame* const frame = idle_frames_.back();
  idle_frames_.pop_back();
  frame->refs = 1;
  frame->truncated = false;
  frame->priority = 0;
  frame->vlan = 0;
  frame->offload = Offload{};
  frame->buffer = nullptr;
  return frame;
}

void FramePool::put_back(Frame* frame) {
  if (Buffer* const buffer = frame->buffer; buffer != nullptr) {
    const auto end = static_cast<std::uint32_t>(kHeadroom + frame->size);
    buffer->touched = std::max(buffer->touched, end);
    if (--buffer->refs == 0) {
      if (buffer->owner == this) {
        idle_buffers_.push_back(buffer);  // the common case, without the call
      } else {
        buffer->done(buffer, buffer->owner);
      }
    }
  }
  idle_frames_.push_back(frame);
}

void recycle(Frame* frame) {
  frame->home->put_back(frame);
}

void FramePool::return_buffer(Buffer* buffer, void* owner) {
  static_cast<FramePool*>(owner)->idle_buffers_.push_back(buffer);
}

void FramePool::grow_frames() {
  auto chunk = std::make_unique<Frame[]>(kChunk);
  idle_frames_.reserve((frames_.size() + 1) * kChunk);
  for (std::size_t i = 0; i < kChunk; ++i) {
    chunk[i].home = this;
    idle_frames_.push_back(&chunk[i]);
  }
  frames_.push_back(std::move(chunk));
}

void FramePool::grow_buffers() {
  static_assert(kHeadroom == kFrameHeadroom);
  void* const mapping = ::mmap(nullptr, kChunk * kStride, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::bad_alloc();
  mappings_.push_back(mapping);
  // One huge page would make 28 untouched buffers resident.
  ::madvise(mapping, kChunk * kStride, MADV_NOHUGEPAGE);
  auto chunk = std::make_unique<Buffer[]>(kChunk);
  idle_buffers_.reserve((buffers_.size() + 1) * kChunk);
  // In reverse, so that the lowest addresses are handed out first.
  for (std::size_t i = kChunk; i-- > 0;) {
    chunk[i].data = static_cast<std::uint8_t*>(mapping) + i * kStride + kHeadroom;
    chunk[i].capacity = static_cast<std::uint32_t>(kStride - kHeadroom);
    chunk[i].done = &FramePool::return_buffer;
    chunk[i].owner = this;
    idle_buffers_.push_back(&chunk[i]);
  }
  buffers_.push_back(std::move(chunk));
}

}  // namespace lanyard
