// SPDX-License-Identifier: MIT
//
// One end of the rings between a switch and a gateway (frame_rings.h), for a test that plays the
// other side. A message is a frame behind its header.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "switch/base/descriptor_passing.h"
#include "switch/runtime/frame_rings.h"
#include "tests/support/lane_fixture.h"

namespace lanyard::testing {

class RingEnd {
 public:
  RingEnd() = default;
  // The gateway's, of a socket over which rings are or will be offered.
  explicit RingEnd(UniqueFd socket) : socket_(std::move(socket)) { hear(); }
  // The switch's.
  static RingEnd offering(UniqueFd socket) {
    RingEnd end;
    end.socket_ = std::move(socket);
    end.offer();
    return end;
  }
  // Another pair, as a successor does. The one before stays as it is, for whoever had it.
  std::unique_ptr<FrameRings> offer() {
    std::unique_ptr<FrameRings> rings = FrameRings::make().take();
    EXPECT_TRUE(rings->offer(socket_.get()).ok());
    return std::exchange(rings_, std::move(rings));
  }

  // False when there is no room.
  bool push(const WireFrame& message) {
    VirtioHeader header{};
    std::copy_n(message.bytes.begin(), header.size(), header.begin());
    const std::size_t size = message.bytes.size() - header.size();
    const iovec bytes{const_cast<std::uint8_t*>(message.bytes.data()) + header.size(), size};
    return rings_->outgoing().push(header, {&bytes, 1}, size) == FrameRingWriter::Push::done;
  }
  bool send(const WireFrame& message) {
    hear();
    const bool done = push(message);
    if (rings_->outgoing().publish()) ring_bell(socket_.get());
    return done;
  }
  // All that is there.
  std::vector<WireFrame> receive() {
    std::vector<WireFrame> messages;
    hear();
    if (rings_ == nullptr) return messages;
    FrameRingReader::Record record;
    do {
      while (rings_->incoming().next(record) == FrameRingReader::Next::record) {
        WireFrame message{Bytes(record.header().begin(), record.header().end())};
        message.bytes.insert(message.bytes.end(), record.frame().begin(), record.frame().end());
        messages.push_back(std::move(message));
      }
      if (rings_->incoming().release()) ring_bell(socket_.get());
    } while (!rings_->incoming().sleep());
    return messages;
  }

  // Takes what has been offered, and the bells.
  void hear() {
    for (;;) {
      auto message = receive_with_descriptor(socket_.get(), 64);
      if (!message || !message.value()) return;
      if (!message.value()->descriptor) continue;
      rings_ =
          FrameRings::accept(message.value()->bytes, std::move(message.value()->descriptor)).take();
    }
  }

  int fd() const { return socket_.get(); }
  FrameRings& rings() { return *rings_; }
  void close() { socket_.reset(); }

 private:
  UniqueFd socket_;
  std::unique_ptr<FrameRings> rings_;
};

}  // namespace lanyard::testing
