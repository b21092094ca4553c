// SPDX-License-Identifier: MIT
//
// Where frames come from and return to. Every buffer can hold the longest frame there is; the
// memory behind it is reserved, not touched, so a small frame costs one page. There are no size
// classes and nothing is ever copied to fit. After the first turns the frame path allocates
// nothing. The pool must outlive its frames. Lane thread only.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "switch/frame/frame.h"

namespace lanyard {

class FramePool {
 public:
  FramePool() = default;
  ~FramePool();
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;

  // A unique frame with room for kMaxFrameSize bytes at segments[0].data and size 0. Throws
  // std::bad_alloc when the address space is exhausted.
  FrameRef make();

  // A unique frame over bytes somebody else keeps alive until the frame is gone.
  FrameRef borrow(std::uint8_t* data, std::uint32_t size);

  // Gives back to the kernel what long frames left resident in idle buffers.
  void trim();

  std::size_t buffers_total() const { return buffers_.size() * kChunk; }
  std::size_t buffers_idle() const { return idle_buffers_.size(); }

 private:
  friend void recycle(Frame* frame);

  static constexpr std::size_t kChunk = 256;
  // An odd number of pages, so that frames do not all start in the same cache sets.
  static constexpr std::size_t kStride = std::size_t{19} * 4096;
  static constexpr std::size_t kHeadroom = 64;
  static constexpr std::size_t kPage = 4096;
  static_assert(kStride >= kHeadroom + kMaxFrameSize);

  void put_back(Frame* frame);
  void grow_frames();
  void grow_buffers();
  Frame* take_frame();
  static void return_buffer(Buffer* buffer, void* owner);

  std::vector<std::unique_ptr<Frame[]>> frames_;
  std::vector<std::unique_ptr<Buffer[]>> buffers_;
  std::vector<void*> mappings_;
  std::vector<Frame*> idle_frames_;
  std::vector<Buffer*> idle_buffers_;
};

}  // namespace lanyard
