// SPDX-License-Identifier: MIT
//
// The gateway's end of the frame socket: batches in, batches out.
//
// What makes it hard: libslirp loses a second for every frame to a guest that is lost, so nothing
// may be lost while the switch is merely slow; and a switch that stands still must not make us
// grow. So what the socket does not take waits here, has_room() is false above kBacklogHigh, which
// is when NAT stops reading from its sockets, and above kBacklogMax frames are dropped and counted.
// And a thread that writes each frame by itself spends most of its time entering the kernel: what
// is sent in one turn is collected and goes out by flush() in one call. Only large frames are
// written at once, because copying them costs more than the call.
//
// The buffers received into are reserved, not touched: a network of small frames keeps them small.
// Gateway thread only.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "backend/gateway/packet.h"
#include "switch/base/fd.h"
#include "switch/base/result.h"
#include "switch/frame/ethernet.h"
#include "switch/frame/virtio_header.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

struct FrameCounters {
  std::uint64_t received_frames = 0;
  std::uint64_t received_bytes = 0;
  std::uint64_t sent_frames = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t runts = 0;        // received: shorter than both headers
  std::uint64_t too_long = 0;     // received: longer than any frame
  std::uint64_t bad_offload = 0;  // received: a header that cannot be true
  std::uint64_t dropped = 0;      // to be sent: the switch did not read
  std::uint64_t refused = 0;      // to be sent: the kernel refused it
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

  // Takes a connected SOCK_SEQPACKET socket.
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
  // A message of the backlog is this, then header and frame.
  struct Record {
    std::uint32_t size = 0;
  };

  FrameChannel(EventLoop& loop, UniqueFd fd, Callbacks callbacks);

  void on_events(std::uint32_t events);
  void receive();
  bool accept(std::size_t slot, const mmsghdr& message, Received& into);
  bool send_now(const VirtioHeader& header, std::span<const std::uint8_t> frame);
  bool write_batch();
  void consume(std::size_t messages);
  void after_write();
  void close();
  void set_writable_interest(bool on);

  EventLoop& loop_;
  UniqueFd fd_;
  Callbacks callbacks_;
  EventLoop::Watch watch_;
  FrameCounters counters_;
  bool waits_writable_ = false;
  bool is_full_ = false;

  void* buffers_ = nullptr;  // kBatch times kMaxFrameSize
  std::array<VirtioHeader, kBatch> headers_{};
  std::array<std::array<iovec, 2>, kBatch> parts_{};
  std::array<mmsghdr, kBatch> messages_{};
  std::array<Received, kBatch> received_;

  PacketBytes out_;  // records
  std::size_t written_ = 0;
  std::array<iovec, kBatch> out_parts_{};
  std::array<mmsghdr, kBatch> out_messages_{};
};

}  // namespace lanyard
