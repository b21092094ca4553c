// SPDX-License-Identifier: MIT
//
// One broadcast domain: ports, VLANs, the MAC table, and the decision what happens to a frame.
//
// The data side (forward.cpp) is a lane's inner loop and reads as the definition of a switch:
// admit, learn, decide, emit. The control side (switch.cpp) is what commands and backends ask for.
// Both run in the lane's thread; nothing here waits, opens files or knows sockets. Time is told by
// set_time().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "switch/base/result.h"
#include "switch/base/time.h"
#include "switch/bridge/event.h"
#include "switch/bridge/filter.h"
#include "switch/bridge/guards.h"
#include "switch/bridge/mac_table.h"
#include "switch/bridge/port.h"
#include "switch/bridge/switch_state.h"
#include "switch/bridge/vlan_table.h"

namespace lanyard {

class SpanningTree;

// What happens to an admitted frame. Pure data: the console can ask for it without a frame moving.
struct Decision {
  enum class Kind : std::uint8_t { drop, one, flood };
  Kind kind = Kind::drop;
  Drop why = Drop::none;    // of a drop
  PortId port = kPortNone;  // of one
};

// What a client or a configuration asks for when it wants to be plugged in.
struct PlugRequest {
  std::optional<PortId> port;  // nullopt: the first free one
  PortId range_first = 1;      // of "the first free one"
  PortId range_last = kPortMax;
  Plug::Traits traits;
};

class Switch {
 public:
  struct Settings {
    MacAddress mac;  // the switch's own address, as the console shows it
    PortId ports_max = 32;
    std::uint64_t hash_secret = 1;
    std::size_t mac_entries_max = MacTable::kDefaultEntries;
  };

  Switch(const Settings& settings, FramePool& pool, EventSink& events);
  ~Switch();
  Switch(const Switch&) = delete;
  Switch& operator=(const Switch&) = delete;

  // ---- data side (forward.cpp) ----

  // The time of everything that follows, until it is told again.
  void set_time(Time now) {
    now_ = now;
    now_s_ = whole_seconds(now);
  }
  std::uint32_t now_s() const { return now_s_; }

  // Takes all frames of the batch: each is delivered to pending output or dropped by name.
  void forward(Port& in, FrameBatch& batch) {
    if (!filters_.empty()) [[unlikely]]
      filters_.ingress(in, batch);
    relay(in, batch);
  }
  // A frame of the switch's own, out of a port whatever its state, tagged if the port is in the
  // VLAN that way.
  void send_own(PortId out, VlanId vlan, std::span<const std::uint8_t> bytes);
  // Sends what ports have pending. Returns the plugs that now have a backlog nobody waits for.
  std::vector<Plug*>& flush();
  // Frames that a filter held go on behind it, as if they had just passed; with nullptr, frames
  // that somebody made pass all filters. The batch is empty afterwards. What a port that is gone
  // should have had vanishes.
  void resume_ingress(PortId in, const Filter* held_by, FrameBatch& batch);
  void resume_egress(PortId out, const Filter* held_by, EgressBatch& batch);
  bool has_pending() const { return pending_frames_ != 0; }
  std::size_t pending_frames() const { return pending_frames_; }

  // In which VLAN a frame that enters at `in` is, by the VLAN of its tag (nullopt: it has none),
  // and whether that tag is to be taken off. Pure.
  struct Classification {
    Drop why = Drop::none;
    VlanId vlan = 0;
    bool takes_tag = false;
  };
  Classification classify(const Port& in, std::optional<VlanId> tag) const;

  // Where a frame from port `in` to `destination` would go, in the VLAN of `plan`. Pure.
  Decision decide(PortId in, const VlanPlan& plan, MacAddress destination, VlanId vlan) const;

  // ---- control side (switch.cpp) ----

  // The port a request may have, created when it does not exist. EADDRINUSE: somebody else's;
  // EACCES: not for this user; ENOSPC: none free; EINVAL: no such number.
  Result<Port*> port_for(const PlugRequest& request);
  Plug& plug(Port& port, std::unique_ptr<Endpoint> endpoint, Plug::Traits traits);
  // Takes the plug out and destroys it; the last one of a port takes its MAC entries along.
  void unplug(Plug& plug);

  Result<Port*> create_port(std::optional<PortId> id);  // not allocatable; nullopt: first free
  Result<void> remove_port(PortId id);
  // Pulls or plugs in the cable of a port, for all its plugs, now and later: a port whose link is
  // down neither receives nor sends, and nobody is known to be behind it.
  Result<void> set_link(PortId id, bool up);
  Port* port(PortId id) const { return id < ports_.size() ? ports_[id].get() : nullptr; }
  PortId ports_max() const { return ports_max_; }
  Result<void> set_ports_max(std::int64_t count);
  template <typename Function>
  void for_each_port(Function&& function) const {
    for (const auto& port : ports_) {
      if (port != nullptr) function(*port);
    }
  }

  Result<void> set_native_vlan(PortId port, VlanId vlan);
  Result<void> remove_from_vlan(VlanId vlan, PortId port);
  // What the port's guest may do, from the next frame on.
  Result<void> set_guard(PortId port, const GuardSettings& settings);
  void set_hub(bool hub);
  bool is_hub() const { return hub_; }

  // One slice of MAC ageing; true when the sweep is complete.
  bool sweep_macs(std::size_t budget);
  void flush_macs_of(PortId port, std::optional<VlanId> vlan = std::nullopt);
  // Gives idle queue memory back.
  void release_idle_queues();

  // What ports are born with (Port::pass_tags).
  bool pass_tags_by_default = false;
  GuardSettings guard_by_default;

  SpanningTree& spanning_tree() { return *spanning_tree_; }
  const SpanningTree& spanning_tree() const { return *spanning_tree_; }
  // Whether BPDUs go to the spanning tree instead of through the switch; it says so itself.
  void set_takes_bpdus(bool takes) { takes_bpdus_ = takes; }

  VlanTable& vlans() { return vlans_; }
  const VlanTable& vlans() const { return vlans_; }
  MacTable& macs() { return macs_; }
  const MacTable& macs() const { return macs_; }
  FilterChain& filters() { return filters_; }
  Guards& guards() { return guards_; }
  const Guards& guards() const { return guards_; }
  EventSink& events() { return events_; }
  MacAddress mac() const { return mac_; }

  // All that was configured, as a value, and back: a successor starts from it.
  SwitchState state() const;
  Result<void> restore(const SwitchState& state);  // into a switch that has no ports yet

 private:
  void relay(Port& in, FrameBatch& batch);
  void prefetch_stations(PortId in, FrameBatch& batch) const;
  Drop admit(const Port& in, Frame& frame) const;
  Drop admit_tagged(const Port& in, Frame& frame) const;
  Drop learn(Port& in, const VlanPlan& plan, MacAddress source, VlanId vlan);
  void report_learned(const MacTable::LearnResult& learned, MacAddress mac, VlanId vlan, PortId in);
  Drop flood(Port& in, const VlanPlan& plan, const FrameRef& frame);
  void show_listeners(PortId in, PortId out, const VlanPlan& plan, const FrameRef& frame);
  void forward_hub(Port& in, FrameBatch& batch);
  Drop repeat(Port& in, const FrameRef& frame);
  void emit(Port& out, bool tagged, FrameRef&& frame);
  void flush_port(Port& port);
  void deliver(Port& port, std::span<Outgoing> frames);
  void limit_rate(Port& port);
  void end_if_shut(Port& port);

  Port& make_port(PortId id, bool allocatable);
  void announce(const Port& port, const Plug& plug, bool first);
  void set_carrying(const Port& port, bool carrying);
  void discard_pending(Port& port, Drop why);
  bool may_use(const Port& port, const Identity& who) const;
  std::optional<PortId> first_free(const PlugRequest& request) const;

  FramePool& pool_;
  EventSink& events_;
  MacAddress mac_;
  PortId ports_max_;
  bool hub_ = false;
  bool takes_bpdus_ = false;
  Time now_{0};
  std::uint32_t now_s_ = 0;
  std::vector<std::unique_ptr<Port>> ports_;  // by number; null: does not exist
  VlanTable vlans_;
  MacTable macs_;
  FilterChain filters_;
  Guards guards_;
  std::vector<Port*> dirty_;
  std::vector<Plug*> backlogged_;
  std::vector<PortId> active_;  // ascending; what a hub floods to
  std::size_t pending_frames_ = 0;
  std::unique_ptr<SpanningTree> spanning_tree_;
};

}  // namespace lanyard
