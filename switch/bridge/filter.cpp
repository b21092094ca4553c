// SPDX-License-Identifier: MIT
#include "switch/bridge/filter.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace lanyard {
namespace {

using Verdicts = std::array<Filter::Verdict, FrameBatch::kCapacity>;

// Closes the gaps; how many were dropped.
template <typename Item>
std::size_t compact(Batch<Item>& batch, const Verdicts& verdicts) {
  std::size_t kept = 0;
  std::size_t dropped = 0;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (verdicts[i] == Filter::Verdict::pass) {
      if (kept != i) batch[kept] = std::move(batch[i]);
      ++kept;
    } else if (verdicts[i] == Filter::Verdict::drop) {
      ++dropped;
    }
  }
  batch.keep_first(kept);
  return dropped;
}

// Of all places, also those that no frame has, which say pass: a whole array is compared in a few
// instructions.
bool all_pass(const Verdicts& verdicts) {
  static constexpr Verdicts kAllPass{};
  return std::memcmp(verdicts.data(), kAllPass.data(), sizeof verdicts) == 0;
}

}  // namespace

void FilterChain::add(Filter& filter) {
  const auto at = std::find_if(filters_.begin(), filters_.end(), [&](const Filter* other) {
    return other->priority() < filter.priority();
  });
  filters_.insert(at, &filter);
}

void FilterChain::ingress(Port& in, FrameBatch& batch, const Filter* behind) const {
  std::size_t at = 0;
  if (behind != nullptr) {
    const auto found = std::find(filters_.begin(), filters_.end(), behind);
    at = static_cast<std::size_t>(found - filters_.begin()) + 1;
  }
  for (; at < filters_.size() && !batch.empty(); ++at) {
    Verdicts verdicts{};
    filters_[at]->ingress(in.id(), batch.view(), {verdicts.data(), batch.size()});
    if (all_pass(verdicts)) continue;
    const std::size_t dropped = compact(batch, verdicts);
    in.counters.received += dropped;
    in.counters.drops.count(Drop::filtered, dropped);
  }
}

void FilterChain::egress(Port& out, EgressBatch& batch, const Filter* behind) const {
  std::size_t left = filters_.size();
  if (behind != nullptr) {
    const auto found = std::find(filters_.begin(), filters_.end(), behind);
    if (found != filters_.end()) left = static_cast<std::size_t>(found - filters_.begin());
  }
  for (; left > 0 && !batch.empty(); --left) {
    Verdicts verdicts{};
    filters_[left - 1]->egress(out.id(), batch.view(), {verdicts.data(), batch.size()});
    if (all_pass(verdicts)) continue;
    const std::size_t dropped = compact(batch, verdicts);
    out.counters.offered += dropped;
    out.counters.drops.count(Drop::filtered_out, dropped);
  }
}

void unshare(FrameRef& frame, FramePool& pool) {
  const bool single = frame.unique() && frame->segment_count == 1;
  if (single && frame->buffer != nullptr && frame->buffer->refs == 1 && frame->home == &pool) {
    return;
  }
  FrameRef copy = pool.make();
  std::uint8_t* const start = copy->segments[0].data;
  std::uint32_t size = 0;
  for (std::size_t i = 0; i < frame->segment_count; ++i) {
    const Segment& segment = frame->segments[i];
    std::memcpy(start + size, segment.data, segment.size);
    size += segment.size;
  }
  copy->set_bytes(start, size);
  copy->truncated = frame->truncated;
  copy->priority = frame->priority;
  copy->vlan = frame->vlan;
  copy->offload = frame->offload;
  frame = std::move(copy);
}

}  // namespace lanyard
