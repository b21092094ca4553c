// SPDX-License-Identifier: MIT
//
// A whole switch in memory: ports with cables that the test holds, and a clock that stands still
// until the test moves it. Frames are named by port number and arrive at once.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "switch/bridge/switch.h"
#include "tests/support/memory_endpoint.h"
#include "tests/support/recording_events.h"

namespace lanyard::testing {

// The first port on which a frame is not accounted for, in words; empty when there is none, which
// must be so at any time between two calls.
inline std::string balance_error(const Switch& bridge) {
  std::string error;
  bridge.for_each_port([&](const Port& port) {
    const PortCounters& c = port.counters;
    std::uint64_t queued = 0;
    for (const auto& plug : port.plugs()) queued += plug->queue().frames();
    if (c.received != c.forwarded + c.drops.incoming()) {
      error = fmt::format("port {}: received {}, but forwarded {} and dropped {}", port.id(),
                          c.received, c.forwarded, c.drops.incoming());
    }
    if (c.offered != c.transmitted + queued + c.drops.outgoing()) {
      error = fmt::format("port {}: offered {}, but transmitted {}, queued {} and dropped {}",
                          port.id(), c.offered, c.transmitted, queued, c.drops.outgoing());
    }
  });
  return error;
}

inline void expect_balance(const Switch& bridge) {
  EXPECT_EQ(balance_error(bridge), "");
}

class TestSwitch {
 public:
  // Ports 1 to `plugged` have a cable in them.
  explicit TestSwitch(PortId plugged = 0, Switch::Settings settings = small())
      : bridge_(settings, pool_, events_) {
    for (PortId id = 1; id <= plugged; ++id) plug(id);
    events_.take();
  }

  static Switch::Settings small() {
    Switch::Settings settings;
    settings.mac_entries_max = 4096;
    return settings;
  }

  Switch* operator->() { return &bridge_; }
  Switch& operator*() { return bridge_; }
  FramePool& pool() { return pool_; }
  RecordingEvents& events() { return events_; }
  Port& port(PortId id) { return *bridge_.port(id); }

  // Plugs one more cable into a port, which is made when it does not exist.
  Plug& plug(PortId id, std::shared_ptr<Cable> cable = std::make_shared<Cable>(),
             std::string description = "") {
    if (bridge_.port(id) == nullptr) {
      PlugRequest request;
      request.port = id;
      EXPECT_TRUE(bridge_.port_for(request).ok());
    }
    Plug::Traits traits;
    traits.module = "memory";
    traits.description = std::move(description);
    traits.id = next_id_++;
    traits.identity.uid = 0;
    Plug& plug = bridge_.plug(port(id), std::make_unique<MemoryEndpoint>(cable, pool_), traits);
    cables_[&plug] = std::move(cable);
    return plug;
  }
  void unplug(Plug& plug) {
    cables_.erase(&plug);
    bridge_.unplug(plug);
  }
  void unplug(PortId id) {
    while (port(id).active()) unplug(*port(id).plugs().front());
  }

  // The cable of a plug, or of the oldest plug of a port.
  Cable& cable(const Plug& plug) { return *cables_.at(&plug); }
  Cable& cable(PortId id) { return cable(*port(id).plugs().back()); }

  // Frames arrive at the oldest plug of a port and go all the way.
  void send(PortId id, const WireFrame& wire) { send(id, std::vector<WireFrame>{wire}); }
  void send(PortId id, const std::vector<WireFrame>& frames) {
    Endpoint& endpoint = port(id).plugs().back()->endpoint();
    cable(id).to_switch.insert(cable(id).to_switch.end(), frames.begin(), frames.end());
    Rx rx = Rx::more;
    while (rx == Rx::more) {
      FrameBatch batch;
      rx = endpoint.receive(batch);
      bridge_.forward(port(id), batch);
    }
    bridge_.flush().clear();
  }

  // What the oldest plug of a port got since this was last asked.
  std::vector<WireFrame> received(PortId id) { return cable(id).take(); }

  // The reader of a port takes that many more frames, and the port hears of it.
  void read(PortId id, std::size_t frames) {
    Plug& plug = *port(id).plugs().back();
    cable(plug).room = frames;
    if (plug.drain(pool_) == Plug::Drained::empty) plug.waiting_writable = false;
  }

  void advance(Duration by) {
    now_ += by;
    bridge_.set_time(now_);
  }
  // Ageing, until the whole table has been seen.
  void sweep(std::size_t budget = 1000) {
    while (!bridge_.sweep_macs(budget)) {
    }
  }

 private:
  FramePool pool_;
  RecordingEvents events_;
  Switch bridge_;
  Time now_{0};
  int next_id_ = 100;
  std::map<const Plug*, std::shared_ptr<Cable>> cables_;
};

}  // namespace lanyard::testing
