// SPDX-License-Identifier: MIT
//
// The spanning tree of a switch: one tree a VLAN, as VDE has it, each an engine of its own
// (rstp.h). This is what joins the engine to ports: BPDUs become frames, tagged where the port is
// in the VLAN that way, states go into the VLAN table, flushes into the MAC table, links and
// memberships become links of the tree's ports.
//
// What makes it hard: a port must discard before the first frame can be flooded to it. So whoever
// changes who is active or member tells this class before a frame moves, and settings that may come
// before their port or VLAN exists are kept here, by number, whether the tree runs or not.
// Lane thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "switch/base/result.h"
#include "switch/base/time.h"
#include "switch/bridge/rstp.h"
#include "switch/bridge/switch_state.h"
#include "switch/frame/frame.h"

namespace lanyard {

class Switch;

class SpanningTree {
 public:
  static constexpr std::uint16_t kDefaultPriority = 0x8000;

  explicit SpanningTree(Switch& bridge);
  ~SpanningTree();
  SpanningTree(const SpanningTree&) = delete;
  SpanningTree& operator=(const SpanningTree&) = delete;

  // EBUSY in hub mode: a hub repeats BPDUs like anything else.
  Result<void> start();
  void stop();
  bool running() const { return running_; }
  // Told when the tree starts and stops to run: somebody has to call tick() while it does.
  std::function<void(bool)> on_running;

  // ---- what happens ----

  void tick(Time now);
  // A frame to the bridges' group address that came in at the port, in the VLAN of the frame.
  void receive(PortId in, const Frame& frame);
  void port_changed(PortId port);  // its link, or how many plugs it has
  void vlan_changed(VlanId vlan);  // its members, or whether it exists

  // ---- what is configured; by number, of ports and VLANs that may yet come ----

  void set_priority(std::uint16_t priority);
  std::uint16_t priority() const { return settings_.priority; }
  void set_edge(VlanId vlan, PortId port, bool edge);
  bool is_edge(VlanId vlan, PortId port) const;
  // Makes one port of the VLAN cheaper by this much. It replaces the bonus of another.
  void set_bonus(VlanId vlan, PortId port, std::int32_t bonus);
  PortId bonus_port(VlanId vlan) const;
  std::int32_t bonus(VlanId vlan) const;
  void set_bpdu_guard(PortId port, bool guard);
  void set_root_guard(PortId port, bool guard);
  bool has_bpdu_guard(PortId port) const { return bpdu_guards_.has(port); }
  bool has_root_guard(PortId port) const { return root_guards_.has(port); }

  // ---- what is the case ----

  // Null when the tree does not run, or the VLAN does not exist.
  const Rstp* tree(VlanId vlan) const;

  SpanningTreeState state() const { return settings_; }
  // After ports and VLANs have been restored.
  void restore(const SpanningTreeState& state);

 private:
  class Tree;

  void make_tree(VlanId vlan);
  void match_members(Tree& tree);
  void configure(Tree& tree, PortId port);
  bool is_point_to_point(PortId port) const;
  VlanTreeState& settings_of(VlanId vlan);
  const VlanTreeState* find_settings(VlanId vlan) const;
  void note_guards();

  Switch& bridge_;
  bool running_ = false;
  SpanningTreeState settings_;
  PortSet bpdu_guards_;
  PortSet root_guards_;
  std::map<VlanId, std::unique_ptr<Tree>> trees_;
};

}  // namespace lanyard
