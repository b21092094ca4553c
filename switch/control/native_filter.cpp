// SPDX-License-Identifier: MIT
#include "switch/control/native_filter.h"

#include <cerrno>
#include <cstddef>
#include <cstring>

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

// On the way in, a tag is still part of the bytes.
bool is_tagged(const FrameRef&) {
  return false;
}
bool is_tagged(const Outgoing& item) {
  return item.tagged;
}
VlanId vlan_of(const FrameRef&) {
  return 0;
}
VlanId vlan_of(const Outgoing& item) {
  return item.frame->vlan;
}

// Whether the interface and the switch lay out alike what a frame owes.
template <std::size_t Shown, std::size_t Own>
constexpr bool kSamePlace = Shown - offsetof(lanyard_frame, segmentation) == Own;
static_assert(
    kSamePlace<offsetof(lanyard_frame, needs_checksum), offsetof(Offload, needs_checksum)>);
static_assert(kSamePlace<offsetof(lanyard_frame, segment_size), offsetof(Offload, segment_size)>);
static_assert(kSamePlace<offsetof(lanyard_frame, header_size), offsetof(Offload, header_size)>);
static_assert(
    kSamePlace<offsetof(lanyard_frame, checksum_start), offsetof(Offload, checksum_start)>);
static_assert(
    kSamePlace<offsetof(lanyard_frame, checksum_offset), offsetof(Offload, checksum_offset)>);
static_assert(offsetof(lanyard_frame, segmentation) + sizeof(Offload) ==
              offsetof(lanyard_frame, reserved));
static_assert(LANYARD_TCP4 == static_cast<int>(Offload::Segmentation::tcp4) &&
              LANYARD_TCP6 == static_cast<int>(Offload::Segmentation::tcp6) &&
              LANYARD_UDP == static_cast<int>(Offload::Segmentation::udp));

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

// What the plugin sees of a frame. Its verdict and its room stay.
void NativeFilter::show(const Frame& frame, bool tagged, VlanId vlan, lanyard_frame& to) {
  to.data = frame.segments[0].data;
  to.length = frame.size;
  to.vlan = vlan;
  to.priority = frame.priority;
  to.tagged = tagged ? 1 : 0;
  // What it owes, in one go: the interface has the same members in the same order.
  std::memcpy(reinterpret_cast<std::uint8_t*>(&to) + offsetof(lanyard_frame, segmentation),
              &frame.offload, sizeof frame.offload);
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
  any_held_ = false;
  lanyard_frame* to = shown_.data();
  for (Item& item : frames) {
    // In one piece, as plugins read them.
    if (frame_in(item)->segment_count > 1) [[unlikely]]
      unshare(frame_in(item), plugin_.environment().lane.pool());
    show(*frame_in(item), is_tagged(item), vlan_of(item), *to);
    to->verdict = LANYARD_PASS;
    to->room = 0;
    ++to;
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
  // Almost always the plugin touched nothing. Then there is nothing to do, and this must be cheap.
  const bool all_there = !any_held_ && written_ == 0;
  for (std::uint32_t i = 0; i < frames.size(); ++i) {
    if (all_there && is_as_shown(*frame_in(frames[i]), shown_[i])) [[likely]]
      continue;
    if (verdicts[i] != Verdict::held) verdicts[i] = judge(i);
  }
}

bool NativeFilter::is_as_shown(const Frame& real, const lanyard_frame& shown) {
  return shown.verdict == LANYARD_PASS && shown.length == real.size &&
         shown.data == real.segments[0].data;
}

// What becomes of a frame that the plugin may have changed.
Filter::Verdict NativeFilter::judge(std::uint32_t index) {
  if (const char* const fault = fault_of(index); fault != nullptr) {
    if (!broken_) plugin_.complain(fault);
    broken_ = true;
    return Verdict::drop;
  }
  const lanyard_frame& shown = shown_[index];
  if (shown.verdict == LANYARD_DROP) return Verdict::drop;
  if ((written_ & bit(index)) == 0) return Verdict::pass;
  Frame& real = *frame(index);
  real.set_bytes(real.segments[0].data, shown.length);
  // What it owes may no longer fit what it is.
  return is_sound(real) ? Verdict::pass : Verdict::drop;
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
  const Frame& own = *frame(index);
  show(own, is_egress() && outgoing_[index].tagged, is_egress() ? own.vlan : VlanId{0},
       shown_[index]);
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
  any_held_ = true;
  if (is_egress()) return std::move(outgoing_[index]);
  return Outgoing::untagged(std::move(incoming_[index]));
}

}  // namespace lanyard
