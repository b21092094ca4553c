// SPDX-License-Identifier: MIT
#include "backend/gateway/tcp_memory.h"

#include <algorithm>
#include <utility>

namespace lanyard {
namespace {

constexpr std::uint32_t kLarge = kTcpPayloadMax;
// Below this, copying costs less than holding a large block.
constexpr std::uint32_t kFittedBelow = kLarge / 4;

}  // namespace

TcpBlock TcpMemory::make(std::uint32_t capacity) {
  TcpBlock block;
  block.bytes = std::make_unique_for_overwrite<std::uint8_t[]>(kTcpHeadroom + capacity);
  block.capacity = capacity;
  return block;
}

TcpBlock TcpMemory::take() {
  used_ += kLarge;
  if (spare_.empty()) return make(kLarge);
  TcpBlock block = std::move(spare_.back());
  spare_.pop_back();
  block.size = 0;
  return block;
}

TcpBlock TcpMemory::fitted(TcpBlock block) {
  if (block.capacity != kLarge || block.size >= kFittedBelow) return block;
  TcpBlock small = make(block.size);
  used_ += small.capacity;
  small.size = block.size;
  const auto from = block.payload();
  std::copy(from.begin(), from.end(), small.payload().begin());
  give_back(std::move(block));
  return small;
}

void TcpMemory::give_back(TcpBlock block) {
  used_ -= block.capacity;
  if (block.capacity == kLarge && spare_.size() < kSpareMax) spare_.push_back(std::move(block));
}

bool TcpMemory::grant(std::size_t bytes) {
  if (granted_ + bytes > kBytesMax) return false;
  granted_ += bytes;
  return true;
}

}  // namespace lanyard
