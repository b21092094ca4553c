// SPDX-License-Identifier: MIT
#include "backend/gateway/tcp_scoreboard.h"

#include <algorithm>

namespace lanyard {
namespace {

std::uint32_t earlier(std::uint32_t a, std::uint32_t b) {
  return sequence_before(a, b) ? a : b;
}
std::uint32_t later(std::uint32_t a, std::uint32_t b) {
  return sequence_before(a, b) ? b : a;
}

}  // namespace

bool TcpScoreboard::add(TcpRange block, const TcpRange& in_flight) {
  // RFC 2883 4: what is acknowledged already came twice.
  if (!sequence_before(in_flight.begin, block.begin) || !sequence_before(block.begin, block.end) ||
      sequence_before(in_flight.end, block.end)) {
    return false;
  }
  auto first = ranges_.begin();
  while (first != ranges_.end() && sequence_before(first->end, block.begin)) ++first;
  auto last = first;
  std::uint32_t known = 0;
  for (; last != ranges_.end() && !sequence_before(block.end, last->begin); ++last) {
    block.begin = earlier(block.begin, last->begin);
    block.end = later(block.end, last->end);
    known += last->end - last->begin;
  }
  const std::uint32_t more = block.end - block.begin - known;
  if (more == 0) return false;
  if (first != last) {
    *first = block;
    ranges_.erase(first + 1, last);
  } else {
    if (ranges_.size() >= kRangesMax) return false;
    ranges_.insert(first, block);
  }
  bytes_ += more;
  return true;
}

void TcpScoreboard::release(std::uint32_t acknowledged) {
  auto first = ranges_.begin();
  for (; first != ranges_.end() && !sequence_before(acknowledged, first->end); ++first) {
    bytes_ -= first->end - first->begin;
  }
  ranges_.erase(ranges_.begin(), first);
  if (!ranges_.empty() && sequence_before(ranges_.front().begin, acknowledged)) {
    bytes_ -= acknowledged - ranges_.front().begin;
    ranges_.front().begin = acknowledged;
  }
}

void TcpScoreboard::clear() {
  ranges_.clear();
  bytes_ = 0;
}

std::optional<TcpRange> TcpScoreboard::missing(const TcpRange& within) const {
  TcpRange gap = within;
  for (const TcpRange& range : ranges_) {
    if (!sequence_before(gap.begin, range.end)) continue;
    if (sequence_before(gap.begin, range.begin)) {
      gap.end = earlier(gap.end, range.begin);
      break;
    }
    gap.begin = range.end;
  }
  if (!sequence_before(gap.begin, gap.end)) return std::nullopt;
  return gap;
}

}  // namespace lanyard
