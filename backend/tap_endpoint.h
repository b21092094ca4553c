// SPDX-License-Identifier: MIT
//
// Frames in and out of an attached TAP interface.
//
// What makes it fast: with the virtio header in front of each frame (IFF_VNET_HDR) the kernel gives
// us TCP as it left the sender's stack, up to 64 KiB a frame, and takes it the same way. One system
// call then moves what takes 45 without. What is owed travels beside the frame (Offload), and the
// switch pays it only for receivers that cannot take it over. Lane thread only.
#pragma once

#include "backend/burst_guess.h"
#include "switch/base/fd.h"
#include "switch/bridge/endpoint.h"
#include "switch/frame/virtio_header.h"
#include "switch/runtime/tap_device.h"

namespace lanyard {

class FramePool;

class TapEndpoint final : public Endpoint {
 public:
  TapEndpoint(UniqueFd fd, const TapOffloads& offloads, FramePool& pool)
      : fd_(std::move(fd)), offloads_(offloads), pool_(pool) {}
  ~TapEndpoint() override;

  std::string label() const override;  // as the system calls it now
  Caps caps() const override;
  int wait_fd() const override { return fd_.get(); }
  Rx receive(FrameBatch& into) override;
  Transmitted transmit(std::span<const Outgoing> frames) override;
  const TapOffloads& offloads() const { return offloads_; }

 private:
  Rx read_frames(FrameBatch& into, std::size_t wanted);
  bool read_frame(FrameBatch& into);
  ssize_t write_frame(const Outgoing& out) const;

  UniqueFd fd_;
  TapOffloads offloads_;
  FramePool& pool_;
  BurstGuess guess_;
  FrameRef empty_;
};

}  // namespace lanyard
