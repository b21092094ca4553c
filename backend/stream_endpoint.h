// SPDX-License-Identifier: MIT
//
// Frames on a byte stream, as vde_plug, dpipe and wirefilter pass them on: two bytes of length,
// high byte first, and the frame.
//
// What makes it hard: a stream delivers a frame in pieces, the length included, and takes one in
// pieces, too. So what has come is kept until it is whole, and what could not be written yet is
// kept up to a bound and then lost by name, as at any receiver that does not keep up. Input and
// output may be different descriptors, and only one of them can be waited for by the lane: the
// other is watched here. Lane thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "switch/base/fd.h"
#include "switch/bridge/endpoint.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

class FramePool;

// Takes frames out of what a stream delivers. Pure.
class StreamReader {
 public:
  // Room for more bytes; tell with added() how many were put there.
  std::span<std::uint8_t> room();
  void added(std::size_t count) { filled_ += count; }
  // The next whole frame, good until room() is called; nullopt when there is none yet. An empty
  // frame is skipped.
  std::optional<std::span<const std::uint8_t>> next();

 private:
  std::vector<std::uint8_t> bytes_;
  std::size_t taken_ = 0;
  std::size_t filled_ = 0;
};

class StreamEndpoint final : public Endpoint {
 public:
  struct Settings {
    std::string label;
    std::uint32_t frame_max = 9234;  // what vde_plug 4 takes
  };

  // Both descriptors are made non-blocking; they may be the same open file.
  StreamEndpoint(UniqueFd input, UniqueFd output, Settings settings, EventLoop& loop,
                 FramePool& pool);
  ~StreamEndpoint() override;

  std::string label() const override { return settings_.label; }
  Caps caps() const override;
  int wait_fd() const override { return input_.get(); }
  Rx receive(FrameBatch& into) override;
  Transmitted transmit(std::span<const Outgoing> frames) override;

 private:
  bool add(const Outgoing& out);
  bool write_out();
  void watch_output();

  UniqueFd input_;
  UniqueFd output_;
  int input_flags_ = 0;  // as they were: the terminal's or a pipe's other users see them, too
  int output_flags_ = 0;
  Settings settings_;
  EventLoop& loop_;
  FramePool& pool_;
  StreamReader reader_;
  std::vector<std::uint8_t> waiting_;  // for the output
  std::size_t written_ = 0;            // of waiting_
  EventLoop::Watch writable_;
};

}  // namespace lanyard
