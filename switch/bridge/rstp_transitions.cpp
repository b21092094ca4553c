// SPDX-License-Identifier: MIT
//
// From roles to states: the port role transitions (IEEE 802.1D-2004, 17.29), port state transition
// (17.30) and topology change (17.31) machines.
#include <algorithm>

#include "switch/bridge/rstp.h"

namespace lanyard {
namespace {

using TopologyChange = RstpPort::TopologyChange;

bool is_blocking(PortRole role) {
  return role == PortRole::disabled || role == PortRole::alternate || role == PortRole::backup;
}

bool carries_tree(PortRole role) {
  return role == PortRole::root || role == PortRole::designated;
}

}  // namespace

bool Rstp::all_synced() const {
  return std::all_of(ports_.begin(), ports_.end(), [](const auto& entry) {
    const Port& p = *entry.second;
    return p.selected && !p.updt_info && p.role == p.selected_role &&
           (p.synced || p.role == PortRole::root);
  });
}

bool Rstp::re_rooted(const Port& p) const {
  return std::all_of(ports_.begin(), ports_.end(), [&](const auto& entry) {
    return entry.second.get() == &p || entry.second->rr_while == 0;
  });
}

void Rstp::set_sync_tree() {
  for (const auto& [id, port] : ports_) port->sync = true;
}

void Rstp::set_re_root_tree() {
  for (const auto& [id, port] : ports_) port->re_root = true;
}

// ---- port role transitions ----

bool Rstp::port_role_transitions(Port& p) {
  if (!p.selected || p.updt_info) return false;
  if (p.role != p.selected_role) {
    enter_role(p);
    return true;
  }
  switch (p.role) {
    case PortRole::disabled: return disabled_port(p);
    case PortRole::root: return root_port(p);
    case PortRole::designated: return designated_port(p);
    case PortRole::alternate:
    case PortRole::backup: return alternate_port(p);
  }
  return false;
}

// DISABLE_PORT, BLOCK_PORT, ROOT_PORT, DESIGNATED_PORT.
void Rstp::enter_role(Port& p) {
  const bool retires = p.role == PortRole::root && p.selected_role == PortRole::designated;
  p.role = p.selected_role;
  p.blocked = false;
  if (is_blocking(p.role)) p.learn = p.forward = false;
  if (retires && p.send_rstp) {
    // Stricter than the standard, which leaves the old root port forwarding when the new one does
    // so already, while the neighbour still counts on what it agreed to as a root port.
    p.learn = p.forward = false;
    p.fd_while = forward_delay(p);
  }
  if (p.role != PortRole::root) return;
  p.rr_while = fwd_delay();
  if (!p.forward) {
    for (const auto& [id, port] : ports_) port->sync = port->sync || port->send_rstp;
  }
}

bool Rstp::disabled_port(Port& p) {
  if (p.learning || p.forwarding) return false;
  if (p.blocked && p.fd_while == max_age() && !p.sync && !p.re_root && p.synced) return false;
  // DISABLED_PORT
  p.blocked = true;
  p.fd_while = max_age();
  p.synced = true;
  p.rr_while = 0;
  p.sync = p.re_root = false;
  return true;
}

bool Rstp::root_port(Port& p) {
  if (p.proposed && !p.agree) {  // ROOT_PROPOSED
    set_sync_tree();
    p.proposed = false;
  } else if ((!p.agree && all_synced()) || (p.proposed && p.agree)) {  // ROOT_AGREED
    p.proposed = p.sync = false;
    p.agree = true;
    p.new_info = true;
  } else if (!p.forward && !p.re_root) {  // REROOT
    set_re_root_tree();
  } else if (p.re_root && p.forward) {  // REROOTED
    p.re_root = false;
  } else if (!p.learn && root_port_may_go_on(p)) {  // ROOT_LEARN
    p.fd_while = forward_delay(p);
    p.learn = true;
  } else if (p.learn && !p.forward && root_port_may_go_on(p)) {  // ROOT_FORWARD
    p.fd_while = 0;
    p.forward = true;
  } else if (p.rr_while != fwd_delay()) {  // ROOT_PORT
    p.rr_while = fwd_delay();
  } else {
    return false;
  }
  return true;
}

bool Rstp::root_port_may_go_on(const Port& p) const {
  if (p.fd_while == 0) return true;
  return !settings_.old_protocol && re_rooted(p) && p.rb_while == 0 && others_are_synced(p);
}

// Stricter than the standard, too: a new root port waits not only for recent root ports but for
// every port that forwards without an agreement to what is now the case. Else three bridges that
// take each other's old word for the way to a root that has died may close a ring. Ports with a
// neighbour of the old protocol, which cannot agree, are left as the standard has them.
bool Rstp::others_are_synced(const Port& p) const {
  return std::all_of(ports_.begin(), ports_.end(), [&](const auto& entry) {
    const Port& other = *entry.second;
    return &other == &p || !other.enabled() || !other.send_rstp || other.oper_edge ||
           (!other.learning && !other.forwarding) || (other.synced && !other.updt_info);
  });
}

bool Rstp::designated_port(Port& p) {
  const bool may_go_on =
      (p.fd_while == 0 || p.agreed || p.oper_edge) && (p.rr_while == 0 || !p.re_root) && !p.sync;
  if (!p.forward && !p.agreed && !p.proposing && !p.oper_edge) {  // DESIGNATED_PROPOSE
    p.proposing = true;
    p.edge_delay_while = edge_delay(p);
    p.new_info = true;
  } else if ((!p.learning && !p.forwarding && !p.synced) || (p.agreed && !p.synced) ||
             (p.oper_edge && !p.synced) || (p.sync && p.synced)) {  // DESIGNATED_SYNCED
    p.rr_while = 0;
    p.synced = true;
    p.sync = false;
  } else if (p.rr_while == 0 && p.re_root) {  // DESIGNATED_RETIRED
    p.re_root = false;
  } else if (((p.sync && !p.synced) || (p.re_root && p.rr_while != 0) || p.disputed) &&
             !p.oper_edge && (p.learn || p.forward)) {  // DESIGNATED_DISCARD
    p.learn = p.forward = p.disputed = false;
    p.fd_while = forward_delay(p);
  } else if (may_go_on && !p.learn) {  // DESIGNATED_LEARN
    p.learn = true;
    p.fd_while = forward_delay(p);
  } else if (may_go_on && p.learn && !p.forward) {  // DESIGNATED_FORWARD
    p.forward = true;
    p.fd_while = 0;
    p.agreed = p.send_rstp;
  } else {
    return false;
  }
  return true;
}

bool Rstp::alternate_port(Port& p) {
  if (!p.blocked) {
    if (p.learning || p.forwarding) return false;
  } else if (p.proposed && !p.agree) {  // ALTERNATE_PROPOSED
    set_sync_tree();
    p.proposed = false;
    return true;
  } else if ((!p.agree && all_synced()) || (p.proposed && p.agree)) {  // ALTERNATE_AGREED
    p.proposed = false;
    p.agree = true;
    p.new_info = true;
    return true;
  } else if (p.role == PortRole::backup && p.rb_while != 2 * hello_time()) {  // BACKUP_PORT
    p.rb_while = 2 * hello_time();
    return true;
  } else if (p.fd_while == forward_delay(p) && !p.sync && !p.re_root && p.synced) {
    return false;
  }
  // ALTERNATE_PORT
  p.blocked = true;
  p.fd_while = forward_delay(p);
  p.synced = true;
  p.rr_while = 0;
  p.sync = p.re_root = false;
  return true;
}

// ---- port state transition ----

bool Rstp::port_state_transition(Port& p) {
  PortState next = p.state;
  switch (p.state) {
    case PortState::discarding:
      if (p.learn) next = PortState::learning;
      break;
    case PortState::learning:
      if (!p.learn) {
        next = PortState::discarding;
      } else if (p.forward) {
        next = PortState::forwarding;
      }
      break;
    case PortState::forwarding:
      if (!p.forward) next = PortState::discarding;
      break;
  }
  if (next == p.state) return false;
  enter_state(p, next);
  return true;
}

void Rstp::enter_state(Port& p, PortState state) {
  p.state = state;
  p.learning = state != PortState::discarding;
  p.forwarding = state == PortState::forwarding;
  actions_.set_state(p.id, state);
}

// ---- topology change ----

bool Rstp::topology_change(Port& p) {
  switch (p.change) {
    case TopologyChange::inactive:
      if (!p.learn) return false;
      p.change = TopologyChange::learning;
      break;
    case TopologyChange::learning: return detect_topology_change(p);
    case TopologyChange::active: return active_topology_change(p);
  }
  p.rcvd_tc = p.rcvd_tcn = p.rcvd_tc_ack = p.tc_prop = false;
  return true;
}

bool Rstp::detect_topology_change(Port& p) {
  const bool told = p.rcvd_tc || p.rcvd_tcn || p.rcvd_tc_ack || p.tc_prop;
  if (carries_tree(p.role) && p.forward && !p.oper_edge) {  // DETECTED
    ++topology_changes_;
    new_tc_while(p);
    set_tc_prop_tree(p);
    p.new_info = true;
    p.change = TopologyChange::active;
  } else if (!carries_tree(p.role) && !p.learn && !p.learning && !told) {  // INACTIVE
    flush(p);
    p.tc_while = 0;
    p.tc_ack = false;
    p.change = TopologyChange::inactive;
  } else if (told) {  // LEARNING
    p.rcvd_tc = p.rcvd_tcn = p.rcvd_tc_ack = p.tc_prop = false;
  } else {
    return false;
  }
  return true;
}

bool Rstp::active_topology_change(Port& p) {
  if (!carries_tree(p.role) || p.oper_edge) {  // LEARNING
    p.rcvd_tc = p.rcvd_tcn = p.rcvd_tc_ack = p.tc_prop = false;
    p.change = TopologyChange::learning;
  } else if (p.rcvd_tcn || p.rcvd_tc) {  // NOTIFIED_TCN, NOTIFIED_TC
    if (p.rcvd_tcn) new_tc_while(p);
    p.rcvd_tcn = p.rcvd_tc = false;
    if (p.role == PortRole::designated) p.tc_ack = true;
    set_tc_prop_tree(p);
  } else if (p.tc_prop) {  // PROPAGATING
    new_tc_while(p);
    flush(p);
    p.tc_prop = false;
  } else if (p.rcvd_tc_ack) {  // ACKNOWLEDGED
    p.tc_while = 0;
    p.rcvd_tc_ack = false;
  } else {
    return false;
  }
  return true;
}

void Rstp::set_tc_prop_tree(const Port& but) {
  for (const auto& [id, port] : ports_) {
    if (port.get() != &but) port->tc_prop = true;
  }
}

// newTcWhile (17.21.7).
void Rstp::new_tc_while(Port& p) {
  if (p.tc_while != 0) return;
  p.tc_while = p.send_rstp ? hello_time() + 1 : max_age() + fwd_delay();
  if (p.send_rstp) p.new_info = true;
}

}  // namespace lanyard
