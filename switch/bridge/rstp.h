// SPDX-License-Identifier: MIT
//
// The Rapid Spanning Tree Protocol of one bridge (IEEE 802.1D-2004, clause 17), without sockets and
// without a clock: BPDUs and ticks go in, actions come out. Variables, timers, procedures and
// machines have the names of the standard; the clause stands beside each.
//
// What makes it hard: the promise is that no frame ever circulates, at no moment, whatever fails. A
// port starts to forward only when its neighbour has agreed, or when timers say that all old
// information is gone. The machines of all ports run until none of them moves any more, after every
// message, link change and tick; so between calls the bridge is at rest.
//
// Beyond the standard: neighbours that speak vde_switch's FSTP (bpdu.h) are answered in it; what a
// neighbour takes back is forgotten at once; a port can be guarded; flushes of learned addresses
// are bounded, so that a neighbour that announces a change with every BPDU costs as much as one
// that does it once a second. Lane thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

#include "switch/base/time.h"
#include "switch/bridge/bpdu.h"
#include "switch/bridge/port_set.h"
#include "switch/bridge/rstp_port.h"
#include "switch/bridge/vlan_table.h"

namespace lanyard {

class RstpActions {
 public:
  virtual ~RstpActions() = default;
  virtual void send_bpdu(PortId port, const Bpdu& bpdu) = 0;
  virtual void set_state(PortId port, PortState state) = 0;
  virtual void flush(PortId port) = 0;  // forget who was behind it
  virtual void root_changed() {}
  virtual void heard(PortId /*port*/, bool /*heard*/) {}  // BPDUs come in, or no more
  virtual void guarded(PortId /*port*/, std::string_view /*what*/) {}
};

// Performance parameters (17.14), in seconds, within the ranges of table 17-1.
struct RstpSettings {
  MacAddress mac;
  std::uint16_t priority = 0x8000;
  unsigned max_age_s = 20;
  unsigned hello_s = 2;
  unsigned forward_delay_s = 15;
  // The most that the standard allows (its default is 6). A cable that comes up costs each of its
  // ports about as many messages at once as that, and another one that is lost right afterwards
  // had to wait for the next second, or the one after.
  unsigned transmit_hold = 10;
  bool old_protocol = false;  // ForceProtocolVersion 0 (17.13.4): speaks and trusts STP alone
};

class Rstp {
 public:
  static constexpr std::uint32_t kDefaultPathCost = 20000000;
  static constexpr unsigned kMigrateTime = 3;

  Rstp(const RstpSettings& settings, RstpActions& actions);
  Rstp(const Rstp&) = delete;
  Rstp& operator=(const Rstp&) = delete;

  // ---- what happens ----

  // Counts the seconds that have passed; to be called at least once in each. A process that was
  // stopped for long does not age what it knows by that: its neighbours' messages still wait.
  void tick(Time now);
  void receive(PortId port, const Bpdu& bpdu);
  void add_port(PortId port);     // its link is down
  void remove_port(PortId port);  // sets no state any more
  void set_link(PortId port, bool up);

  // ---- what is configured; of ports that have been added ----

  void set_priority(std::uint16_t priority);
  void set_path_cost(PortId port, std::uint32_t cost);
  void set_admin_edge(PortId port, bool edge);
  void set_point_to_point(PortId port, bool point_to_point);
  // A BPDU closes the port until its link goes down or the guard is taken away.
  void set_bpdu_guard(PortId port, bool guard);
  // The port never becomes the way to the root: better information blocks it while it comes.
  void set_root_guard(PortId port, bool guard);
  void check_migration(PortId port);  // mcheck (17.19.13)

  // ---- what is the case ----

  BridgeId bridge_id() const { return bridge_id_; }
  bool is_root() const { return root_port_ == nullptr; }
  BridgeId root() const { return root_priority_.root; }
  std::uint32_t root_cost() const { return root_priority_.cost; }
  BridgeId designated_bridge() const { return root_priority_.bridge; }
  PortId root_port_id() const { return root_port_ == nullptr ? kPortNone : root_port_->id; }
  const TreeTimes& root_times() const { return root_times_; }
  // Since the root was last heard of; 0 for itself.
  unsigned root_age_s() const;
  const RstpPort* port(PortId id) const;
  std::size_t topology_changes() const { return topology_changes_; }

 private:
  using Port = RstpPort;

  Port* find(PortId id);
  void run();
  bool step(Port& p);

  // The machines, one step each: whether anything moved.
  bool port_receive(Port& p);             // 17.23, rstp_messages.cpp
  bool port_protocol_migration(Port& p);  // 17.24
  bool bridge_detection(Port& p);         // 17.25
  bool port_transmit(Port& p);            // 17.26
  bool port_information(Port& p);         // 17.27, rstp_information.cpp
  bool port_role_selection();             // 17.28
  bool port_role_transitions(Port& p);    // 17.29, rstp_transitions.cpp
  bool port_state_transition(Port& p);    // 17.30
  bool topology_change(Port& p);          // 17.31

  // States of the port information machine.
  void information_disabled(Port& p);
  static void information_aged(Port& p);
  void information_update(Port& p);
  void information_receive(Port& p);
  void superior_designated(Port& p);

  // The role transitions by role.
  void enter_role(Port& p);
  bool disabled_port(Port& p);
  bool root_port(Port& p);
  bool root_port_may_go_on(const Port& p) const;
  bool others_are_synced(const Port& p) const;
  bool designated_port(Port& p);
  bool alternate_port(Port& p);
  bool detect_topology_change(Port& p);
  bool active_topology_change(Port& p);

  // Procedures (17.21).
  static void reselect(Port& p);
  RstpPort::Received rcv_info(Port& p);
  void record_agreement(Port& p);
  static bool is_answer(Port& p);
  void set_tc_flags(Port& p);
  void update_rcvd_info_while(Port& p);
  void update_roles_tree();
  PortRole role_for(Port& p) const;
  void note_root(const PriorityVector& priority, const Port* port);
  void guard_root(Port& p);
  bool all_synced() const;              // 17.20.3
  bool re_rooted(const Port& p) const;  // 17.20.10
  void set_sync_tree();
  void set_re_root_tree();
  void set_tc_prop_tree(const Port& but);
  void new_tc_while(Port& p);
  void transmit(Port& p, Bpdu::Kind kind);
  void flush(Port& p);
  void count_down(Port& p);
  void enter_state(Port& p, PortState state);

  // 17.20, in seconds; they follow from what the root says.
  unsigned hello_time() const { return settings_.hello_s; }
  unsigned fwd_delay() const;
  unsigned max_age() const;
  unsigned forward_delay(const Port& p) const { return p.send_rstp ? hello_time() : fwd_delay(); }
  unsigned edge_delay(const Port& p) const { return p.point_to_point ? kMigrateTime : max_age(); }

  RstpSettings settings_;
  RstpActions& actions_;
  BridgeId bridge_id_;
  TreeTimes bridge_times_;
  PriorityVector root_priority_;  // the root path priority vector, as designated_bridge sent it
  TreeTimes root_times_;
  const Port* root_port_ = nullptr;
  std::optional<Time> next_tick_;
  std::size_t topology_changes_ = 0;
  std::map<PortId, std::unique_ptr<Port>> ports_;
};

}  // namespace lanyard
