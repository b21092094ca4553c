// SPDX-License-Identifier: MIT
//
// Two ends joined by a switch with two ports: whatever comes in at one goes out at the other, tags
// and all. The ends are backends like those of the daemon, so a cable that comes loose is plugged
// in again by the same code. Single thread.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "switch/frame/frame_pool.h"
#include "switch/runtime/backend.h"
#include "switch/runtime/lane.h"

namespace lanyard {

// Standard error, a line at a time; `quiet` leaves out what goes well.
class ToolLog final : public Log {
 public:
  explicit ToolLog(std::string tool, bool quiet = false) : tool_(std::move(tool)), quiet_(quiet) {}
  void write(LogLevel level, std::string_view line) override;

 private:
  std::string tool_;
  bool quiet_;
};

class ToolWire {
 public:
  static constexpr PortId kLeft = 1;
  static constexpr PortId kRight = 2;

  ToolWire(EventLoop& loop, Log& log);

  // Plugs the end at this address into a port, now or as soon as it can be.
  Result<void> open(const BackendOptions& address, PortId port);
  // Carries frames now.
  bool carries(PortId port) const;
  // Nothing is plugged in and nobody tries to.
  bool has_ended(PortId port) const;
  // Something was plugged in there, once.
  bool has_carried(PortId port) const { return events_.plugged[port]; }

  FramePool& pool() { return pool_; }
  Lane& lane() { return lane_; }

 private:
  class Memory final : public EventSink {
   public:
    void on_event(const Event& event) override {
      if (event.kind == Event::Kind::endpoint_added) plugged.at(event.port) = true;
    }
    std::array<bool, kRight + 1> plugged{};
  };

  FramePool pool_;
  Memory events_;
  Switch switch_;
  Lane lane_;
};

// SIGTERM and SIGINT stop the loop, so that what was made is taken away.
Result<void> stop_at_signals(EventLoop& loop, UniqueFd& signals, EventLoop::Watch& watch);

}  // namespace lanyard
