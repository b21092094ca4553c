// SPDX-License-Identifier: MIT
#include "switch/daemon/standby_memory.h"

#include <cstddef>
#include <vector>

#include "switch/frame/frame_pool.h"

namespace lanyard {
namespace {

// Twice what one call of recvmmsg(2) takes: that of the first client, and its partner's.
constexpr std::size_t kFrames = 128;

}  // namespace

void prepare_standby_memory(FramePool& pool) {
  std::vector<FrameRef> touched;
  touched.reserve(kFrames);
  for (std::size_t i = 0; i < kFrames; ++i) {
    touched.push_back(pool.make());
    touched.back()->segments[0].data[0] = 0;
  }
}

}  // namespace lanyard
