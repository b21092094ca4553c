// SPDX-License-Identifier: MIT
//
// The guests' side of a gateway's frames: the test is the switch. Nothing waits for time.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "backend/gateway/frame_channel.h"
#include "backend/gateway/guest_side.h"
#include "tests/support/fake_log.h"
#include "tests/support/lane_fixture.h"
#include "tests/support/ring_end.h"

namespace lanyard::testing {

constexpr MacAddress kGatewayMac = MacAddress::from_number(0x52550a000202);

class GatewayLink {
 public:
  explicit GatewayLink(MacAddress mac = kGatewayMac) {
    SocketPair pair(SOCK_SEQPACKET);
    switch_end = RingEnd::offering(std::move(pair.theirs));
    FrameChannel::Callbacks callbacks;
    callbacks.frames = [this](std::span<FrameChannel::Received> received) {
      for (const FrameChannel::Received& one : received) {
        got.push_back({Bytes(one.frame.begin(), one.frame.end()), one.offload});
      }
    };
    callbacks.room = [this] { ++rooms; };
    callbacks.closed = [this] { closed = true; };
    channel = FrameChannel::open(*loop, std::move(pair.ours), std::move(callbacks)).take();
    link = std::make_unique<GuestSide>(*channel, mac);
    loop->run_once(true);
  }

  // From a guest.
  void send(const Bytes& frame, const Offload& offload = {}) {
    const VirtioHeader header = make_virtio_header(offload);
    WireFrame message{Bytes(header.begin(), header.end())};
    message.bytes.insert(message.bytes.end(), frame.begin(), frame.end());
    EXPECT_TRUE(switch_end.send(message));
  }
  // What guests got since the last time, without the headers.
  std::vector<Bytes> take() {
    channel->flush();
    std::vector<Bytes> frames;
    for (const WireFrame& message : switch_end.receive()) {
      EXPECT_GT(message.bytes.size(), kVirtioHeaderSize);
      frames.emplace_back(message.bytes.begin() + kVirtioHeaderSize, message.bytes.end());
    }
    return frames;
  }
  template <typename Predicate>
  bool until(Predicate&& predicate) {
    bool late = false;
    const EventLoop::Timer guard = loop->after(std::chrono::seconds(10), [&late] { late = true; });
    while (!predicate()) {
      if (late) return false;
      loop->run_once(false);
    }
    return true;
  }

  struct Got {
    Bytes frame;
    Offload offload;
  };

  std::unique_ptr<EventLoop> loop = EventLoop::create().take();
  FakeLog log;
  RingEnd switch_end;
  std::unique_ptr<FrameChannel> channel;
  std::unique_ptr<GuestSide> link;
  std::vector<Got> got;
  int rooms = 0;
  bool closed = false;
};

}  // namespace lanyard::testing
