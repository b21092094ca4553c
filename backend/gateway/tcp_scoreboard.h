// SPDX-License-Identifier: MIT
//
// What a guest has said it has beyond what it acknowledges, and so what it misses (RFC 2018 5,
// RFC 6675 3).
//
// What makes it hard: it is the guest who says so. Blocks outside of what is in flight mean
// nothing, and there may be any number of them; what is not remembered is sent once more, no worse.
// Gateway thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "backend/gateway/tcp_segment.h"

namespace lanyard {

class TcpScoreboard {
 public:
  static constexpr std::size_t kRangesMax = 64;

  bool empty() const { return ranges_.empty(); }
  std::uint32_t bytes() const { return bytes_; }
  // Behind the last that the guest has; there is one.
  std::uint32_t end() const { return ranges_.back().end; }
  // True when it says something new about what is in flight.
  bool add(TcpRange block, const TcpRange& in_flight);
  // Everything before is acknowledged.
  void release(std::uint32_t acknowledged);
  void clear();
  // The first part of `within` that the guest has not told of.
  std::optional<TcpRange> missing(const TcpRange& within) const;

 private:
  std::vector<TcpRange> ranges_;  // by their place; they neither overlap nor touch
  std::uint32_t bytes_ = 0;
};

}  // namespace lanyard
