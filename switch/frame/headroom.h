// SPDX-License-Identifier: MIT
//
// The room in front of the bytes of a frame that the pool has made (frame_pool.h): a header that
// comes before a frame can be read along with it, in one piece. Any thread.
#pragma once

#include <cstddef>

namespace lanyard {

constexpr std::size_t kFrameHeadroom = 64;

}  // namespace lanyard
