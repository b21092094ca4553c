// SPDX-License-Identifier: MIT
//
// An endpoint without a system behind it. The test holds the other end of the cable: it sees what
// the switch sent, decides how much the reader takes, and can let it vanish.
#pragma once

#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "switch/base/fd.h"
#include "switch/bridge/endpoint.h"
#include "switch/frame/frame_pool.h"
#include "tests/support/frame_builder.h"

namespace lanyard::testing {

// A frame as it lies in memory, put together the way a system call would.
inline WireFrame gathered(const Outgoing& out) {
  std::array<iovec, kGatherMax> parts{};
  const std::size_t count = gather(out, parts);
  WireFrame frame;
  frame.offload = out.frame->offload;
  for (std::size_t i = 0; i < count; ++i) {
    const auto* const data = static_cast<const std::uint8_t*>(parts[i].iov_base);
    frame.bytes.insert(frame.bytes.end(), data, data + parts[i].iov_len);
  }
  return frame;
}

// A unique frame of these bytes.
inline FrameRef frame_of(FramePool& pool, const WireFrame& wire) {
  FrameRef frame = pool.make();
  std::uint8_t* const data = frame->segments[0].data;
  const std::size_t size = std::min(wire.bytes.size(), kMaxFrameSize);
  if (size != 0) std::memcpy(data, wire.bytes.data(), size);
  frame->set_bytes(data, static_cast<std::uint32_t>(size));
  frame->truncated = size < wire.bytes.size();
  frame->offload = wire.offload;
  return frame;
}

// What a test holds of a MemoryEndpoint; it outlives the endpoint.
struct Cable {
  static constexpr std::size_t kUnlimited = static_cast<std::size_t>(-1);

  std::deque<WireFrame> to_switch;
  std::vector<WireFrame> from_switch;
  std::size_t room = kUnlimited;  // how many more frames the reader takes
  std::uint32_t frame_max = kMaxFrameSize;
  bool offloads = false;    // the reader takes over what frames owe
  Drop loses = Drop::none;  // every frame given is lost for this reason
  bool closed = false;      // receive() reports the end
  bool destroyed = false;   // the endpoint is gone
  UniqueFd wait;            // what the endpoint's wait_fd() shows, if it should show anything

  std::vector<WireFrame> take() { return std::exchange(from_switch, {}); }
};

class MemoryEndpoint final : public Endpoint {
 public:
  MemoryEndpoint(std::shared_ptr<Cable> cable, FramePool& pool)
      : cable_(std::move(cable)), pool_(pool) {}
  ~MemoryEndpoint() override { cable_->destroyed = true; }

  std::string label() const override { return "memory"; }
  Caps caps() const override {
    Caps caps;
    caps.frame_max = cable_->frame_max;
    caps.checksum = caps.tcp_segmentation = caps.udp_segmentation = cable_->offloads;
    return caps;
  }
  int wait_fd() const override { return cable_->wait.get(); }

  Rx receive(FrameBatch& into) override {
    auto& waiting = cable_->to_switch;
    while (into.room() != 0 && !waiting.empty()) {
      into.push(frame_of(pool_, waiting.front()));
      waiting.pop_front();
    }
    if (!waiting.empty()) return Rx::more;
    return cable_->closed ? Rx::closed : Rx::drained;
  }

  Transmitted transmit(std::span<const Outgoing> frames) override {
    if (cable_->loses != Drop::none) return {frames.size(), frames.size(), cable_->loses};
    Transmitted done;
    for (const Outgoing& out : frames) {
      if (cable_->room == 0) break;
      if (cable_->room != Cable::kUnlimited) --cable_->room;
      cable_->from_switch.push_back(gathered(out));
      ++done.consumed;
    }
    return done;
  }

 private:
  std::shared_ptr<Cable> cable_;
  FramePool& pool_;
};

}  // namespace lanyard::testing
