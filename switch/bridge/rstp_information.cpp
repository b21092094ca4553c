// SPDX-License-Identifier: MIT
//
// What is known of the tree: the port information machine (IEEE 802.1D-2004, 17.27) and the port
// role selection machine (17.28).
#include <algorithm>
#include <tuple>

#include "switch/bridge/rstp.h"

namespace lanyard {
namespace {

using InfoIs = RstpPort::InfoIs;
using Information = RstpPort::Information;
using Received = RstpPort::Received;

constexpr std::uint32_t kCostMax = 0xffffffff;

bool is_same_port(const PriorityVector& a, const PriorityVector& b) {
  return a.bridge.mac() == b.bridge.mac() && a.port == b.port;
}

// 17.6: better, or from the same designated port, whose word replaces what it said before.
bool is_superior(const PriorityVector& message, const PriorityVector& known) {
  return message < known || (is_same_port(message, known) && message != known);
}

// Whether the port whose word is believed here says that it is no longer the designated one. The
// standard goes on believing it for three hellos. But two bridges that lose a root at the same time
// may each take the other for the way to it: both their ports are root ports and say so, and to the
// standard that ends nothing. A dead root goes round for MaxAge hops of a second each; every such
// pair on its way makes one of them take 6 s. What FSTP says in its roles is not always what the
// standard means (bpdu.h): its information is left to age.
bool is_retirement(const RstpPort& p) {
  return p.info_is == InfoIs::received && !p.fstp && is_same_port(p.msg_priority, p.port_priority);
}

// recordProposal (17.21.11).
void record_proposal(RstpPort& p) {
  if (p.message.kind == Bpdu::Kind::rapid && p.message.proposal) p.proposed = true;
}

// recordDispute (17.21.10). FSTP neighbours forward before they have heard anybody, and that is
// what they say; to dispute it would keep them out.
void record_dispute(RstpPort& p) {
  if (p.message.kind != Bpdu::Kind::rapid || !p.message.learning || p.fstp) return;
  p.disputed = true;
  p.agreed = false;
}

}  // namespace

void Rstp::reselect(Port& p) {
  p.reselect = true;
  p.selected = false;
}

void Rstp::information_aged(Port& p) {
  p.information = Information::aged;
  p.info_is = InfoIs::aged;
  p.rcvd_info_while = 0;
  reselect(p);
}

bool Rstp::port_information(Port& p) {
  if (!p.enabled()) {
    if (p.info_is == InfoIs::disabled && !p.rcvd_msg) return false;
    information_disabled(p);
    return true;
  }
  switch (p.information) {
    case Information::disabled: information_aged(p); return true;
    case Information::aged:
      if (!p.selected || !p.updt_info) return false;
      information_update(p);
      return true;
    case Information::current: break;
  }
  if (p.selected && p.updt_info) {
    information_update(p);
  } else if (p.info_is == InfoIs::received && p.rcvd_info_while == 0 && !p.updt_info &&
             !p.rcvd_msg) {
    information_aged(p);
  } else if (p.rcvd_msg && !p.updt_info) {
    information_receive(p);
  } else {
    return false;
  }
  return true;
}

void Rstp::information_disabled(Port& p) {
  p.information = Information::disabled;
  p.rcvd_msg = false;
  p.proposing = p.proposed = p.agree = p.agreed = p.disputed = false;
  p.rcvd_info_while = 0;
  p.info_is = InfoIs::disabled;
  reselect(p);
}

void Rstp::information_update(Port& p) {
  p.information = Information::current;
  p.proposing = p.proposed = false;
  if (p.designated_priority != p.port_priority || p.info_is != InfoIs::mine) {
    ++p.numbers.said;
    p.doubtful_answer = {};
  }
  // The standard keeps an agreement when the information becomes better: who agreed to less agrees
  // to more. But the neighbour may have had better of its own meanwhile and no longer be what it
  // was when it agreed; then both ends of the cable forward, and a loop can close behind them
  // (seen in one of some 500 random networks). So new information wants a new agreement.
  p.agreed = p.agreed && p.info_is == InfoIs::mine && p.designated_priority == p.port_priority;
  p.synced = p.synced && p.agreed;
  p.port_priority = p.designated_priority;
  p.port_times = p.designated_times;
  p.updt_info = false;
  p.info_is = InfoIs::mine;
  p.new_info = true;
}

void Rstp::information_receive(Port& p) {
  switch (rcv_info(p)) {
    case Received::superior_designated: superior_designated(p); break;
    case Received::repeated_designated:
      record_proposal(p);
      set_tc_flags(p);
      update_rcvd_info_while(p);
      break;
    case Received::inferior_designated:
      record_dispute(p);
      // Whoever knows worse is told at once (as 802.1D-1998 did, 8.6.9), not with the next hello.
      p.new_info = true;
      break;
    case Received::inferior_root_alternate:
      record_agreement(p);
      set_tc_flags(p);
      break;
    case Received::retired_designated:
      set_tc_flags(p);
      information_aged(p);
      break;
    case Received::other: break;
  }
  p.rcvd_msg = false;
}

void Rstp::superior_designated(Port& p) {
  p.agreed = p.proposing = false;
  record_proposal(p);
  set_tc_flags(p);
  // betterorsameInfo (17.21.1)
  p.agree = p.agree && p.info_is == InfoIs::received && p.msg_priority <= p.port_priority;
  p.port_priority = p.msg_priority;  // recordPriority
  p.port_times = p.msg_times;        // recordTimes
  update_rcvd_info_while(p);
  p.info_is = InfoIs::received;
  reselect(p);
}

// rcvInfo (17.21.8).
Received Rstp::rcv_info(Port& p) {
  const Bpdu& message = p.message;
  if (message.kind == Bpdu::Kind::topology_change_notification) {
    p.rcvd_tcn = true;
    return Received::other;
  }
  if (message.numbers) p.numbers.heard = message.numbers->said;
  p.msg_priority = message.priority;
  p.msg_times = message.times;
  p.msg_times.hello = std::max(p.msg_times.hello, TreeTimes::kSecond);
  switch (message.role) {
    case PortRole::designated: break;
    case PortRole::root:
    case PortRole::alternate:
    case PortRole::backup:
      if (is_retirement(p)) return Received::retired_designated;
      return p.msg_priority >= p.port_priority ? Received::inferior_root_alternate
                                               : Received::other;
    case PortRole::disabled: return Received::other;
  }
  const bool same = p.msg_priority == p.port_priority && p.msg_times == p.port_times;
  if (same && p.info_is == InfoIs::received) return Received::repeated_designated;
  if (is_superior(p.msg_priority, p.port_priority) ||
      (p.msg_priority == p.port_priority && !same)) {
    return Received::superior_designated;
  }
  return same ? Received::other : Received::inferior_designated;
}

// recordAgreement (17.21.9). Stricter than the standard: an agreement to something else than what
// is said now, because it is old or because what is said now could not be sent yet, agrees to
// nothing.
void Rstp::record_agreement(Port& p) {
  p.agreed = !settings_.old_protocol && p.message.kind == Bpdu::Kind::rapid && p.point_to_point &&
             p.message.agreement && p.msg_priority.root == p.port_priority.root &&
             p.sent_priority == p.designated_priority && is_answer(p);
  if (p.agreed) p.proposing = false;
}

// Whether the message answers what was said last, or was on its way before that came. Our own
// switches say what they have heard. Of others' root ports the cost follows from it, unless a cable
// costs its other end something else: then the neighbour is asked again, and has to say the same.
bool Rstp::is_answer(Port& p) {
  if (p.message.numbers) return p.message.numbers->heard == p.numbers.said;
  const bool fits = p.message.role != PortRole::root ||
                    p.msg_priority.cost == p.designated_priority.cost + p.path_cost ||
                    p.msg_priority == p.doubtful_answer;
  p.doubtful_answer = p.msg_priority;
  if (!fits) p.new_info = true;
  return fits;
}

// setTcFlags (17.21.17); notifications are dealt with by rcv_info().
void Rstp::set_tc_flags(Port& p) {
  if (p.message.topology_change) p.rcvd_tc = true;
  if (p.message.acknowledgment && p.message.kind == Bpdu::Kind::configuration) {
    p.rcvd_tc_ack = true;
  }
}

// updtRcvdInfoWhile (17.21.23).
void Rstp::update_rcvd_info_while(Port& p) {
  p.info_age_s = 0;
  const std::uint32_t age = std::uint32_t{p.port_times.message_age} + TreeTimes::kSecond;
  const unsigned hello = std::clamp<unsigned>(
      (p.port_times.hello + TreeTimes::kSecond / 2U) / TreeTimes::kSecond, 1, 10);
  p.rcvd_info_while = age <= p.port_times.max_age ? 3 * hello : 0;
}

bool Rstp::port_role_selection() {
  const auto wants = [](const auto& entry) { return entry.second->reselect; };
  if (std::none_of(ports_.begin(), ports_.end(), wants)) return false;
  for (const auto& [id, port] : ports_) port->reselect = false;
  update_roles_tree();
  for (const auto& [id, port] : ports_) port->selected = true;
  return true;
}

// updtRolesTree (17.21.25).
void Rstp::update_roles_tree() {
  PriorityVector best{bridge_id_, 0, bridge_id_, 0};
  const Port* root = nullptr;
  for (const auto& [id, port] : ports_) {
    const Port& p = *port;
    if (p.info_is != InfoIs::received || p.port_priority.bridge.mac() == settings_.mac) continue;
    PriorityVector path = p.port_priority;
    path.cost = path.cost > kCostMax - p.path_cost ? kCostMax : path.cost + p.path_cost;
    guard_root(*port);
    if (p.root_guard) continue;
    const std::uint16_t best_port = root == nullptr ? std::uint16_t{0} : root->port_id;
    if (std::tie(path, p.port_id) >= std::tie(best, best_port)) continue;
    best = path;
    root = &p;
  }
  root_times_ = bridge_times_;
  if (root != nullptr) {
    root_times_ = root->port_times;
    const unsigned age = root_times_.message_age + TreeTimes::kSecond;
    root_times_.message_age = static_cast<std::uint16_t>(std::min(age, 0xff00U));
  }
  note_root(best, root);
  for (const auto& [id, port] : ports_) {
    Port& p = *port;
    p.designated_priority = {best.root, best.cost, bridge_id_, p.port_id};
    p.designated_times = root_times_;
    p.designated_times.hello = bridge_times_.hello;
    p.selected_role = role_for(p);
  }
}

// Which role the port shall have, and whether it has new things to say (updtInfo).
PortRole Rstp::role_for(Port& p) const {
  const bool differs =
      p.port_priority != p.designated_priority || p.port_times != p.designated_times;
  switch (p.info_is) {
    case InfoIs::disabled: return PortRole::disabled;
    case InfoIs::aged: p.updt_info = true; return PortRole::designated;
    case InfoIs::mine: p.updt_info = differs; return PortRole::designated;
    case InfoIs::received: break;
  }
  p.updt_info = false;
  if (&p == root_port_) return PortRole::root;
  if (p.designated_priority < p.port_priority) {
    p.updt_info = true;
    return PortRole::designated;
  }
  return p.port_priority.bridge.mac() == settings_.mac ? PortRole::backup : PortRole::alternate;
}

void Rstp::note_root(const PriorityVector& priority, const Port* port) {
  const bool changed = root_priority_.root != priority.root || root_port_ != port;
  root_priority_ = priority;
  root_port_ = port;
  if (changed) actions_.root_changed();
}

// Whether the guard keeps the port from being the way to a better root, as an operator wants to
// know it: once when it begins.
void Rstp::guard_root(Port& p) {
  const bool withheld = p.root_guard && p.port_priority.root < bridge_id_;
  if (withheld && !p.withheld) {
    actions_.guarded(p.id, "blocked: a better root is announced there (root guard)");
  }
  p.withheld = withheld;
}

}  // namespace lanyard
