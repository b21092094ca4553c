// SPDX-License-Identifier: MIT
//
// A lane with everything it runs on, and endpoints over socket pairs whose other ends the test
// holds. Nothing waits for time: the fixture turns the lane until something has happened, and gives
// up after a while.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "backend/mmsg.h"
#include "switch/runtime/lane.h"
#include "tests/support/fake_log.h"
#include "tests/support/memory_endpoint.h"
#include "tests/support/recording_events.h"

namespace lanyard::testing {

struct SocketPair {
  explicit SocketPair(int type = SOCK_DGRAM) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    ours.reset(ends[0]);
    theirs.reset(ends[1]);
  }
  UniqueFd ours;    // the switch's side
  UniqueFd theirs;  // the client's side
};

inline bool send_frame(int fd, const WireFrame& wire) {
  return ::send(fd, wire.bytes.data(), wire.bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL) ==
         static_cast<ssize_t>(wire.bytes.size());
}

// Everything that can be read now, a datagram a frame.
inline std::vector<WireFrame> receive_frames(int fd) {
  std::vector<WireFrame> frames;
  for (;;) {
    WireFrame wire;
    wire.bytes.resize(kMaxFrameSize + 1);
    const ssize_t size = ::recv(fd, wire.bytes.data(), wire.bytes.size(), MSG_DONTWAIT);
    if (size < 0) return frames;
    wire.bytes.resize(static_cast<std::size_t>(size));
    frames.push_back(std::move(wire));
  }
}

// As a VDE client's data socket, without the client.
class SocketEndpoint final : public Endpoint {
 public:
  SocketEndpoint(UniqueFd fd, DatagramBatches& batches) : fd_(std::move(fd)), batches_(batches) {}

  std::string label() const override { return "socket"; }
  Caps caps() const override {
    Caps caps;
    caps.frame_max = kMaxFrameSize;
    return caps;
  }
  int wait_fd() const override { return fd_.get(); }
  Rx receive(FrameBatch& into) override { return batches_.receive(fd_.get(), guess_, into); }
  Transmitted transmit(std::span<const Outgoing> frames) override {
    return batches_.transmit(fd_.get(), frames);
  }

 private:
  UniqueFd fd_;
  DatagramBatches& batches_;
  BurstGuess guess_;
};

class LaneFixture {
 public:
  explicit LaneFixture(PortId ports_max = 32)
      : bridge(settings(ports_max), pool, events),
        loop(EventLoop::create().take()),
        lane(bridge, pool, *loop, log) {}

  // Turns the lane until it is so; false when it does not become so for long.
  template <typename Predicate>
  bool until(Predicate&& predicate) {
    bool late = false;
    const EventLoop::Timer guard = loop->after(std::chrono::seconds(10), [&late] { late = true; });
    // Once it is so it is not asked again: asking may have an effect.
    while (!predicate()) {
      if (late) return false;
      lane.turn();
    }
    return true;
  }

  // Plugs an endpoint into a port of its own, or into the given one.
  Result<Plug*> plug(std::unique_ptr<Endpoint> endpoint, std::optional<PortId> port = std::nullopt,
                     Patchbay::Unplugged unplugged = nullptr) {
    PlugRequest request;
    request.port = port;
    request.traits.module = "test";
    request.traits.identity.uid = 0;
    const Result<PortId> reserved = lane.reserve(request);
    if (!reserved) return reserved.error();
    return lane.plug(reserved.value(), std::move(endpoint), std::move(request.traits),
                     std::move(unplugged));
  }
  // Plugs in a socket and returns the client's end.
  UniqueFd plug_socket(Patchbay::Unplugged unplugged = nullptr) {
    SocketPair pair;
    EXPECT_TRUE(plug(std::make_unique<SocketEndpoint>(std::move(pair.ours), batches), std::nullopt,
                     std::move(unplugged))
                    .ok());
    return std::move(pair.theirs);
  }
  std::shared_ptr<Cable> plug_memory(Plug** plug_out = nullptr,
                                     Patchbay::Unplugged unplugged = nullptr) {
    auto cable = std::make_shared<Cable>();
    Result<Plug*> done =
        plug(std::make_unique<MemoryEndpoint>(cable, pool), std::nullopt, std::move(unplugged));
    EXPECT_TRUE(done.ok());
    if (plug_out != nullptr) *plug_out = done.value();
    return cable;
  }

  FramePool pool;
  DatagramBatches batches{pool};
  RecordingEvents events;
  FakeLog log;
  Switch bridge;
  std::unique_ptr<EventLoop> loop;
  Lane lane;

 private:
  static Switch::Settings settings(PortId ports_max) {
    Switch::Settings settings;
    settings.ports_max = ports_max;
    settings.mac_entries_max = 4096;
    settings.mac = MacAddress::from_number(0x00ff01020304);
    return settings;
  }
};

}  // namespace lanyard::testing
