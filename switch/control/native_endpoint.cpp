// SPDX-License-Identifier: MIT
#include "switch/control/native_endpoint.h"

#include <algorithm>

#include "switch/control/native_plugin.h"

namespace lanyard {
namespace {

lanyard_batch batch_of(std::span<lanyard_frame> frames) {
  lanyard_batch batch{};
  batch.size = sizeof batch;
  batch.frame_size = sizeof(lanyard_frame);
  batch.count = static_cast<std::uint32_t>(frames.size());
  batch.frames = frames.data();
  return batch;
}

}  // namespace

NativeEndpoint::NativeEndpoint(NativePlugin& plugin, const lanyard_endpoint& table, void* endpoint,
                               std::string label)
    : plugin_(&plugin), table_(table), endpoint_(endpoint), label_(std::move(label)) {
  wait_fd_ = table_.wait_fd != nullptr ? table_.wait_fd(endpoint_) : -1;
}

Caps NativeEndpoint::caps() const {
  Caps caps;
  if (table_.frame_max != 0) {
    caps.frame_max = std::min<std::uint32_t>(table_.frame_max, kMaxFrameSize);
  }
  return caps;
}

Rx NativeEndpoint::receive(FrameBatch& into) {
  if (plugin_ == nullptr) return Rx::closed;
  FramePool& pool = plugin_->environment().lane.pool();
  std::array<FrameRef, FrameBatch::kCapacity> frames;
  std::array<lanyard_frame, FrameBatch::kCapacity> shown{};
  const std::size_t room = into.room();
  for (std::size_t i = 0; i < room; ++i) {
    frames[i] = pool.make();
    shown[i].data = frames[i]->segments[0].data;
    shown[i].room = kMaxFrameSize;
  }
  lanyard_batch batch = batch_of({shown.data(), room});
  batch.direction = LANYARD_INGRESS;
  int count = 0;
  {
    const NativePlugin::Call call(*plugin_, true);
    count = table_.receive(endpoint_, &batch);
  }
  if (count < 0) return Rx::closed;
  if (static_cast<std::size_t>(count) > room) {
    plugin_->complain("its endpoint received more frames than there was room for");
    return Rx::closed;
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    if (shown[i].length > kMaxFrameSize || shown[i].data != frames[i]->segments[0].data) {
      plugin_->complain("its endpoint left the bounds of a frame");
      return Rx::closed;
    }
    frames[i]->set_bytes(shown[i].data, shown[i].length);
    into.push(std::move(frames[i]));
  }
  return static_cast<std::size_t>(count) == room ? Rx::more : Rx::drained;
}

Transmitted NativeEndpoint::transmit(std::span<const Outgoing> frames) {
  if (plugin_ == nullptr) return {frames.size(), frames.size(), Drop::receiver_gone};
  FramePool& pool = plugin_->environment().lane.pool();
  std::array<FrameRef, EgressBatch::kCapacity> copies;
  std::array<lanyard_frame, EgressBatch::kCapacity> shown{};
  const std::size_t offered = std::min(frames.size(), shown.size());
  for (std::size_t i = 0; i < offered; ++i) {
    const Outgoing& out = frames[i];
    if (out.tagged || out.frame->segment_count > 1) {
      // Plugins read frames in one piece.
      copies[i] = pool.make();
      std::array<iovec, kGatherMax> parts{};
      const std::size_t count = gather(out, parts);
      std::uint8_t* to = copies[i]->segments[0].data;
      shown[i].data = to;
      for (std::size_t part = 0; part < count; ++part) {
        std::memcpy(to, parts[part].iov_base, parts[part].iov_len);
        to += parts[part].iov_len;
      }
    } else {
      shown[i].data = out.frame->segments[0].data;
    }
    shown[i].length = static_cast<std::uint32_t>(out.wire_size());
    shown[i].vlan = out.frame->vlan;
    shown[i].priority = out.frame->priority;
  }
  lanyard_batch batch = batch_of({shown.data(), offered});
  batch.direction = LANYARD_EGRESS;
  const NativePlugin::Call call(*plugin_, true);
  const int count = table_.transmit(endpoint_, &batch);
  if (count < 0) return {offered, offered, Drop::receiver_gone};
  return {std::min(static_cast<std::size_t>(count), offered), 0, Drop::none};
}

void NativeEndpoint::end() {
  NativePlugin* const plugin = std::exchange(plugin_, nullptr);
  if (plugin == nullptr || table_.close == nullptr) return;
  const NativePlugin::Call call(*plugin, true);
  table_.close(endpoint_);
}

}  // namespace lanyard
