// SPDX-License-Identifier: MIT
//
// The gateway's end of the rings to the switch (frame_rings.h): batches in, batches out.
//
// What makes it hard: libslirp loses a second for every frame to a guest that is lost, so nothing
// may be lost while the switch is merely slow; and a switch that stands still must not make us
// grow. So what the ring does not take waits here, has_room() is false above kBacklogHigh, which is
// when NAT stops reading from its sockets, and above kBacklogMax frames are dropped and counted.
// And to wake the switch costs more than a frame: what is sent in one turn is told of at its end,
// by flush(). Only large frames are told of at once, so that both work at the same time.
//
// The switch process may be followed by another, which offers other rings: what it had sent comes
// first, and what nobody had read goes along. Gateway thread only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "backend/gateway/packet.h"
#include "switch/base/fd.h"
#include "switch/base/result.h"
#include "switch/frame/ethernet.h"
#include "switch/frame/virtio_header.h"
#include "switch/runtime/event_loop.h"
#include "switch/runtime/frame_rings.h"

namespace lanyard {

struct FrameCounters {
  std::uint64_t received_frames = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t sent_frames = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t runts = 0;        // received: shorter than an Ethernet header
  std::uint64_t bad_offload = 0;  // received: a header that cannot be true
  std::uint64_t dropped = 0;      // to be sent: the switch did not read
  std::uint64_t refused = 0;      // to be sent: longer than any frame
};

class FrameChannel {
 public:
  static constexpr std::size_t kBatch = 64;
  static constexpr std::size_t kBacklogHigh = std::size_t{1} << 20;
  static constexpr std::size_t kBacklogLow = kBacklogHigh / 4;
  static constexpr std::size_t kBacklogMax = 2 * kBacklogHigh;

  struct Received {
    std::span<std::uint8_t> frame;  // may be changed in place; good for the duration of the call
    Offload offload;
  };
  struct Callbacks {
    std::function<void(std::span<Received> frames)> frames;
    std::function<void()> room;    // has_room() again, after it was not so
    std::function<void()> closed;  // the other end is gone
  };

  // Takes a connected SOCK_SEQPACKET socket, over which rings will be offered.
  static Result<std::unique_ptr<FrameChannel>> open(EventLoop& loop, UniqueFd fd,
                                                    Callbacks callbacks);
  ~FrameChannel();
  FrameChannel(const FrameChannel&) = delete;
  FrameChannel& operator=(const FrameChannel&) = delete;

  void send(std::span<const std::uint8_t> frame, const Offload& offload);
  // At the end of a turn.
  void flush();
  bool has_room() const { return !is_full_; }
  std::size_t backlog() const { return out_.size() - written_; }
  const FrameCounters& counters() const { return counters_; }

 private:
  // A frame of the backlog is this, then its bytes.
  struct Record {
    std::uint32_t size = 0;
    VirtioHeader header{};
  };

  FrameChannel(EventLoop& loop, UniqueFd fd, Callbacks callbacks);

  void on_bell();
  void adopt(std::string_view offer, UniqueFd file);
  void receive();
  bool receive_batch(FrameRingReader& ring);
  bool accept(const FrameRingReader::Record& record, Received& into);
  bool push(const VirtioHeader& header, std::span<const std::uint8_t> frame);
  bool write_backlog();
  void publish();
  void after_write();
  void close();

  EventLoop& loop_;
  UniqueFd fd_;
  Callbacks callbacks_;
  EventLoop::Watch watch_;
  EventLoop::Timer next_batch_;  // where one is not enough for what has come
  std::unique_ptr<FrameRings> rings_;
  FrameCounters counters_;
  bool is_full_ = false;
  std::array<Received, kBatch> received_;

  PacketBytes out_;  // records
  std::size_t written_ = 0;
};

}  // namespace lanyard
