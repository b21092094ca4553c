// SPDX-License-Identifier: MIT
#include "switch/control/native_filter.h"

#include <cerrno>

#include "switch/control/native_plugin.h"
#include "switch/frame/settler.h"

namespace lanyard {
namespace {

static_assert(FrameBatch::kCapacity <= 64, "written_ has a bit for each frame");

constexpr std::uint64_t bit(std::uint32_t index) {
  return std::uint64_t{1} << index;
}

FrameRef& frame_in(FrameRef& item) {
  return item;
}
FrameRef& frame_in(Outgoing& item) {
  return item.frame;
}

}  // namespace

void NativeFilter::ingress(PortId in, std::span<FrameRef> frames, std::span<Verdict> verdicts) {
  if (broken_ || (table_.directions & LANYARD_INGRESS) == 0) return;
  incoming_ = frames;
  batch_.direction = LANYARD_INGRESS;
  filter(in, frames, verdicts);
}

void NativeFilter::egress(PortId out, std::span<Outgoing> frames, std::span<Verdict> verdicts) {
  if (broken_ || (table_.directions & LANYARD_EGRESS) == 0) return;
  outgoing_ = frames;
  batch_.direction = LANYARD_EGRESS;
  filter(out, frames, verdicts);
}

// What the plugin sees of a frame. Its verdict stays.
void NativeFilter::show(std::uint32_t index) {
  const Frame& each = *frame(index);
  lanyard_frame& to = shown_[index];
  to.data = each.segments[0].data;
  to.length = each.size;
  to.room = 0;
  to.vlan = is_egress() ? each.vlan : VlanId{0};
  to.priority = each.priority;
  to.tagged = is_egress() && outgoing_[index].tagged ? 1 : 0;
  to.segmentation = static_cast<std::uint8_t>(each.offload.segmentation);
  to.needs_checksum = each.offload.needs_checksum ? 1 : 0;
  to.segment_size = each.offload.segment_size;
  to.header_size = each.offload.header_size;
  to.checksum_start = each.offload.checksum_start;
  to.checksum_offset = each.offload.checksum_offset;
}

template <typename Item>
void NativeFilter::filter(PortId port, std::span<Item> frames, std::span<Verdict> verdicts) {
  batch_.size = sizeof batch_;
  batch_.frame_size = sizeof(lanyard_frame);
  batch_.count = static_cast<std::uint32_t>(frames.size());
  batch_.port = static_cast<std::uint16_t>(port);
  batch_.frames = shown_.data();
  verdicts_ = verdicts;
  written_ = 0;
  for (std::uint32_t i = 0; i < batch_.count; ++i) {
    // In one piece, as plugins read them.
    if (frame_in(frames[i])->segment_count > 1) {
      unshare(frame_in(frames[i]), plugin_.environment().lane.pool());
    }
    shown_[i].verdict = LANYARD_PASS;
    show(i);
  }
  {
    const NativePlugin::Call call(plugin_, true);
    NativeFilter* const outer = std::exchange(plugin_.filtering_, this);
    table_.frames(plugin_.self(), &batch_);
    plugin_.filtering_ = outer;
  }
  read_back(frames, verdicts);
}

template <typename Item>
void NativeFilter::read_back(std::span<Item> frames, std::span<Verdict> verdicts) {
  for (std::uint32_t i = 0; i < frames.size(); ++i) {
    if (verdicts[i] == Verdict::held) continue;
    const lanyard_frame& shown = shown_[i];
    Frame& real = *frame_in(frames[i]);
    if (const char* const fault = fault_of(i); fault != nullptr) {
      if (!broken_) plugin_.complain(fault);
      broken_ = true;
      verdicts[i] = Verdict::drop;
      continue;
    }
    if (shown.verdict == LANYARD_DROP) {
      verdicts[i] = Verdict::drop;
    } else if ((written_ & bit(i)) != 0) {
      real.set_bytes(real.segments[0].data, shown.length);
      // What it owes may no longer fit what it is.
      if (!is_sound(real)) verdicts[i] = Verdict::drop;
    }
  }
}

// What the plugin did to a frame that it must not do.
const char* NativeFilter::fault_of(std::uint32_t index) const {
  const lanyard_frame& shown = shown_[index];
  const Frame& real = is_egress() ? *outgoing_[index].frame : *incoming_[index];
  if (shown.verdict > LANYARD_DROP) return "it gave a verdict that there is not";
  if (shown.data != real.segments[0].data) return "it put bytes of its own in a frame's place";
  if ((written_ & bit(index)) == 0) {
    return shown.length == real.size ? nullptr
                                     : "it changed the length of a frame it had not made writable";
  }
  return shown.length <= kMaxFrameSize ? nullptr : "it made a frame longer than its room";
}

int NativeFilter::writable(std::uint32_t index) {
  if (index >= batch_.count) return -EINVAL;
  if (verdicts_[index] == Verdict::held) return -ENOENT;
  if ((written_ & bit(index)) != 0) return 0;
  unshare(frame(index), plugin_.environment().lane.pool());
  show(index);
  shown_[index].room = kMaxFrameSize;
  written_ |= bit(index);
  return 0;
}

Outgoing NativeFilter::take(std::uint32_t index) {
  if (index >= batch_.count || verdicts_[index] == Verdict::held) return {};
  if (fault_of(index) != nullptr) return {};  // told after the call
  if ((written_ & bit(index)) != 0) {
    Frame& real = *frame(index);
    real.set_bytes(real.segments[0].data, shown_[index].length);
    if (!is_sound(real)) real.offload = Offload{};
  }
  verdicts_[index] = Verdict::held;
  if (is_egress()) return std::move(outgoing_[index]);
  return Outgoing::untagged(std::move(incoming_[index]));
}

}  // namespace lanyard
