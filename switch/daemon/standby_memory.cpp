// SPDX-License-Identifier: MIT
#include "switch/daemon/standby_memory.h"

#include <malloc.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "switch/frame/frame_pool.h"

namespace lanyard {
namespace {

// An address table of the usual size is half of it; the rest is ports, buckets and the state.
constexpr std::size_t kHeapBytes = std::size_t{1} << 20;
// Twice what one call of recvmmsg(2) takes: that of the first client, and its partner's.
constexpr std::size_t kFrames = 128;

void touch(FramePool& pool, std::size_t frames) {
  std::vector<FrameRef> touched;
  touched.reserve(frames);
  for (std::size_t i = 0; i < frames; ++i) {
    touched.push_back(pool.make());
    touched.back()->segments[0].data[0] = 0;
  }
}

}  // namespace

void prepare_standby_memory(FramePool& pool) {
  touch(pool, kFrames);
  // Blocks of this size come from the heap, and what is free at its end stays (mallopt(3)).
  ::mallopt(M_MMAP_THRESHOLD, static_cast<int>(kHeapBytes));
  ::mallopt(M_TRIM_THRESHOLD, static_cast<int>(2 * kHeapBytes));
  const auto heap = std::make_unique_for_overwrite<std::byte[]>(kHeapBytes - 4096);
  std::memset(heap.get(), 0, kHeapBytes - 4096);
  // Written, never read: without this the compiler leaves it out.
  asm volatile("" : : "r"(heap.get()) : "memory");
}

}  // namespace lanyard
