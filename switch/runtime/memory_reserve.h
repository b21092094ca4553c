// SPDX-License-Identifier: MIT
//
// What happens when there is no memory any more: a block that was put by is given back, so that
// what is under way can end as it should; what still finds none is given up, callback by callback
// (EventLoop), and the loop goes on; and the log says so, once there is room for that.
//
// A switch that ended instead would take the network from every guest for the sake of one new
// client. operator new asks a function of the whole program for more (std::set_new_handler), so
// there can be one reserve at a time. Lane thread only, but for operator new, which may be any's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "switch/base/log.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

class MemoryReserve {
 public:
  static constexpr std::size_t kBytes = std::size_t{1} << 20;

  MemoryReserve(EventLoop& loop, Log& log);
  ~MemoryReserve();
  MemoryReserve(const MemoryReserve&) = delete;
  MemoryReserve& operator=(const MemoryReserve&) = delete;

  // Says in the log what has happened since the last time, and puts a block by again if it can.
  void look();

 private:
  EventLoop& loop_;
  Log& log_;
  EventLoop::Timer timer_;
  std::uint64_t given_up_ = 0;  // of the loop's, that the log knows of
};

}  // namespace lanyard
