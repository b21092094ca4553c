// SPDX-License-Identifier: MIT
//
// What the connections of the direct TCP engine hold in memory: blocks of bytes that were read from
// a socket and stay until the guest has acknowledged them, and leave to keep what a socket does not
// take.
//
// What makes it hard: a guest may open thousands of connections and stop reading on all of them. So
// all of them share one bound, and large blocks, which a read may or may not fill, are exchanged
// for small ones when it did not. Gateway thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/gateway/tcp_segment.h"

namespace lanyard {

// Payload with room for a frame's headers before it.
struct TcpBlock {
  std::unique_ptr<std::uint8_t[]> bytes;
  std::uint32_t capacity = 0;  // of payload
  std::uint32_t size = 0;

  std::span<std::uint8_t> payload() { return {bytes.get() + kTcpHeadroom, size}; }
  std::span<std::uint8_t> space(std::size_t wanted) {
    return {bytes.get() + kTcpHeadroom, wanted < capacity ? wanted : capacity};
  }
};

class TcpMemory {
 public:
  static constexpr std::size_t kBytesMax = std::size_t{64} << 20;

  TcpMemory() = default;
  TcpMemory(const TcpMemory&) = delete;
  TcpMemory& operator=(const TcpMemory&) = delete;

  bool has_room() const { return used_ < kBytesMax; }
  // One that a read of any length fits into; its size is to be set.
  TcpBlock take();
  // The same bytes in no more memory than they need.
  TcpBlock fitted(TcpBlock block);
  void give_back(TcpBlock block);

  // A larger window is granted as long as all of them together are bounded.
  bool grant(std::size_t bytes);
  void give_back_grant(std::size_t bytes) { granted_ -= bytes; }

  std::size_t used() const { return used_; }
  std::size_t granted() const { return granted_; }

 private:
  static constexpr std::size_t kSpareMax = 32;

  TcpBlock make(std::uint32_t capacity);

  std::vector<TcpBlock> spare_;  // large ones
  std::size_t used_ = 0;
  std::size_t granted_ = 0;
};

}  // namespace lanyard
