// SPDX-License-Identifier: MIT
//
// Cables whose far end is a socket's peer, and those whose far end is a thread of their own.
//
// What makes it hard: some far ends wait. A library's open may take seconds, a disk may stall, a
// file is to be played at its own pace; the data thread can wait for none of them. So each such
// cable has a thread that passes frames between what waits and a pair of sockets, whose other end
// is an endpoint like that of any VDE client. A thread inside a call cannot be hurried; one that is
// not wanted any more ends by itself when it sees that its sockets are closed. Lane thread only,
// but for what is said about the thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "backend/kept_cable.h"
#include "backend/mmsg.h"

namespace lanyard {

// One end of a cable. Frames are datagrams of `data`; the end of `control` is the cable's end.
struct CableEnds {
  UniqueFd data;
  UniqueFd control;
};

using CableDone = std::function<void(Result<CableEnds>)>;

// A datagram socket with a peer, one frame a datagram.
class DatagramEndpoint final : public Endpoint {
 public:
  DatagramEndpoint(UniqueFd data, std::string label, std::uint32_t frame_max,
                   std::shared_ptr<DatagramBatches> batches)
      : data_(std::move(data)), label_(std::move(label)), batches_(std::move(batches)) {
    caps_.frame_max = frame_max;
  }

  std::string label() const override { return label_; }
  Caps caps() const override { return caps_; }
  int wait_fd() const override { return data_.get(); }
  Rx receive(FrameBatch& into) override { return batches_->receive(data_.get(), guess_, into); }
  Transmitted transmit(std::span<const Outgoing> frames) override {
    return batches_->transmit(data_.get(), frames);
  }

 private:
  UniqueFd data_;
  std::string label_;
  Caps caps_;
  std::shared_ptr<DatagramBatches> batches_;
  BurstGuess guess_;
};

// What the ends become in a switch.
MadeCable make_cable(CableEnds ends, const std::string& label, std::uint32_t frame_max,
                     const std::shared_ptr<DatagramBatches>& batches);

// The far end of a cable, in its own thread, which may wait as long as it likes.
class CableThread {
 public:
  virtual ~CableThread() = default;
  // Empty, or why it cannot be opened.
  virtual std::string open() = 0;
  // Passes frames on until it has no more, or until one of the sockets is closed at the other end.
  // Both are blocking.
  virtual void run(const CableEnds& ends) = 0;
};

// An error when it is over before it began.
Result<std::unique_ptr<CableAttempt>> begin_thread_cable(std::unique_ptr<CableThread> thread,
                                                         EventLoop& loop, CableDone done);

}  // namespace lanyard
